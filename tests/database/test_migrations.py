"""Migrations run once each; a changed one is refused, a failing one leaves nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from tasks.core.errors import MissingRight
from tasks.core.migrations import InvalidMigration, MigrationChanged, apply, list_files
from tasks.core.sqlfiles import ROOT

FIRST = "create table public.made (id integer);\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Our own set as shipped, and a set `other` with one migration."""
    (tmp_path / "maintenance").symlink_to(ROOT / "migrations" / "maintenance")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "0001_first.sql").write_text(FIRST, encoding="utf-8")
    return tmp_path


@pytest.fixture
def empty(make_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> str:
    dsn = make_database(sets=None)
    monkeypatch.setenv("DATABASE_URL", dsn)
    return dsn


def made(dsn: str) -> bool:
    with psycopg.connect(dsn) as conn:
        return conn.execute("select to_regclass('public.made') is not null").fetchone() == (True,)


def test_a_second_run_applies_nothing(empty: str, folder: Path) -> None:
    assert "other/0001_first.sql" in apply(["other"], folder)
    assert apply(["other"], folder) == []


def test_sets_that_are_not_named_stay_unapplied(empty: str, folder: Path) -> None:
    apply([], folder)
    assert not made(empty)


def test_a_changed_migration_is_refused_and_nothing_else_is_applied(empty: str, folder: Path) -> None:
    apply(["other"], folder)
    (folder / "other" / "0001_first.sql").write_text(FIRST + "-- later thought\n", encoding="utf-8")
    (folder / "other" / "0002_second.sql").write_text("create table public.second (id integer);", encoding="utf-8")

    with pytest.raises(MigrationChanged, match=r"other/0001_first\.sql was changed.*put the change into a new migration"):
        apply(["other"], folder)

    with psycopg.connect(empty) as conn:
        assert conn.execute("select to_regclass('public.second')").fetchone() == (None,)


def test_a_failing_migration_is_named_and_leaves_nothing(empty: str, folder: Path) -> None:
    (folder / "other" / "0001_first.sql").write_text(FIRST + "select no_such_column;", encoding="utf-8")

    with pytest.raises(InvalidMigration, match=r"other/0001_first\.sql cannot be applied: .*no_such_column"):
        apply(["other"], folder)

    assert not made(empty)


def test_a_role_that_may_not_create_is_told_what_to_grant(
    empty: str, server: object, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = conninfo_to_dict(empty)["dbname"]
    with psycopg.connect(server.superuser_dsn, autocommit=True) as conn:  # type: ignore[attr-defined]
        conn.execute(sql.SQL("alter database {} owner to postgres").format(sql.Identifier(str(database))))

    with pytest.raises(MissingRight, match=f"grant create on database {database} to maintainer"):
        apply([], folder)


def test_an_oddly_named_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "maintenance").mkdir()
    (tmp_path / "maintenance" / "1_first.sql").write_text(FIRST, encoding="utf-8")

    with pytest.raises(InvalidMigration, match="not of the form"):
        list_files([], tmp_path)


def test_a_missing_set_is_refused(tmp_path: Path) -> None:
    (tmp_path / "maintenance").mkdir()
    with pytest.raises(InvalidMigration, match="there is no folder"):
        list_files(["absent"], tmp_path)
