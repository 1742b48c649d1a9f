"""A flow run that fails leaves one row, keeps its own error, and tells of its breakers (A4, A8)."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from prefect import flow
from psycopg.conninfo import make_conninfo

from flows.create_partitions import create_partitions
from tasks.core.errors import CannotConnect, NotDeclared
from tasks.core.flowruns import Cancelled, flow_runtime

KEPT = "select kind, object, flow, message from maintenance.failure"


def ask(dsn: str, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(dsn) as conn:
        return conn.execute(query.encode()).fetchall()


def test_a_failed_run_leaves_one_row_and_its_own_error(database: str, prefect_api: str) -> None:
    with pytest.raises(NotDeclared):
        create_partitions("no.such")
    ((kind, about, name, message),) = ask(database, KEPT)
    assert (kind, about, name) == ("RULE", "no.such", "create_partitions")
    assert str(message).startswith("table no.such is not declared in")
    assert ask(database, "select state from maintenance.breaker where dependency = 'database'") == [("closed",)]


def test_a_run_that_succeeds_or_is_cancelled_leaves_none(database: str, prefect_api: str) -> None:
    @flow
    def cancelled() -> None:
        with flow_runtime():
            raise Cancelled

    create_partitions()
    with pytest.raises(Cancelled):
        cancelled()
    assert ask(database, KEPT) == []


def test_a_failure_that_cannot_be_written_hides_nothing(
    database: str, prefect_api: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MAINTENANCE_OUTPUT", str(tmp_path / "file"))
    with psycopg.connect(database, autocommit=True) as conn:
        conn.execute("drop table maintenance.failure, maintenance.breaker")
    with pytest.raises(NotDeclared):
        create_partitions("no.such")


def test_a_run_without_a_database_is_told_of_by_the_next_one(
    database: str, prefect_api: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAINTENANCE_OUTPUT", str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", make_conninfo(database, port=1))
    with pytest.raises(CannotConnect):
        create_partitions()
    monkeypatch.setenv("DATABASE_URL", database)
    create_partitions()
    assert [row[:3] for row in ask(database, KEPT)] == [
        ("NETWORK", "127.0.0.1:1/" + database_name(database), "create_partitions")
    ]


def database_name(dsn: str) -> str:
    return str(psycopg.conninfo.conninfo_to_dict(dsn)["dbname"])
