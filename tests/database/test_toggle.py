"""The toggle: a settings row that the environment overrides, and that the quickest way back turns off alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tasks.core.connect import database_now, runtime
from tasks.core.errors import InvalidSetting
from tasks.core.ledger import run_exclusively
from tasks.core.parameters import Safety
from tasks.core.sqlfiles import ROOT
from tasks.core.toggle import is_on
from tasks.migration.render import describe_rollback
from tasks.migration.rollback import RollbackResult, roll_back
from tests.catalog import describe
from tests.ready import NAME, TARGET, declaration

TOGGLE = "USE_UNIFIED_SCHEMA"


@pytest.fixture
def conn(database: str) -> Iterator[psycopg.Connection[Any]]:
    """The maintenance role's session."""
    with runtime(), psycopg.connect(database, autocommit=True) as session:
        yield session


def say(conn: psycopg.Connection[Any], value: str) -> None:
    conn.execute(
        "insert into maintenance.setting (name, value) values (%s, %s) on conflict (name) do update set value = excluded.value",
        [TOGGLE, value],
    )


def turn_off(*, apply: bool = True) -> RollbackResult:
    result = roll_back(NAME, declaration(), database_now(), way="toggle", safety=Safety(apply=apply))
    assert isinstance(result, RollbackResult)
    return result


@pytest.mark.parametrize(("row", "expected"), [(None, False), ("true", True), ("ON", True), ("false", False), ("?", False)])
def test_sql_and_python_read_the_same_row(conn: psycopg.Connection[Any], row: str | None, *, expected: bool) -> None:
    if row is not None:
        say(conn, row)

    assert conn.execute("select maintenance.use_unified_schema()").fetchall() == [(expected,)]
    assert is_on(TOGGLE) is expected


@pytest.mark.parametrize(("environment", "expected"), [("true", True), ("0", False), ("", True), ("  ", True)])
def test_the_environment_overrides_the_row(
    conn: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch, environment: str, *, expected: bool
) -> None:
    say(conn, "false" if environment == "true" else "true")
    monkeypatch.setenv(TOGGLE, environment)

    assert is_on(TOGGLE) is expected


def test_an_environment_that_says_neither_is_an_error_that_keeps_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOGGLE, "hunter2")

    with pytest.raises(InvalidSetting, match=TOGGLE) as caught:
        is_on(TOGGLE)

    assert "hunter2" not in str(caught.value)


def test_an_application_asks_it_by_a_function_of_its_own_while_the_schema_stays_closed(
    conn: psycopg.Connection[Any], database: str
) -> None:
    """Default privileges give the API roles rights on every new table: the closed schema alone keeps them out."""
    say(conn, "true")
    conn.execute(documented())

    with psycopg.connect(make_conninfo(database, options="-c role=service_role"), autocommit=True) as application:
        assert application.execute("select public.use_unified_schema()").fetchall() == [(True,)]
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="schema maintenance"):
            application.execute("select maintenance.setting_on('x')")


def documented() -> bytes:
    """Return the statement of docs/toggle.md that makes the application's function."""
    text = (ROOT.parent / "docs" / "toggle.md").read_text(encoding="utf-8")
    return ("create function" + text.partition("create function")[2].partition("```")[0]).encode()


def test_the_way_toggle_changes_the_settings_row_alone(conn: psycopg.Connection[Any]) -> None:
    say(conn, "true")
    before = describe(conn)

    assert turn_off(apply=False).outcome == "planned"
    assert is_on(TOGGLE)
    assert turn_off().outcome == "toggled"

    assert not is_on(TOGGLE)
    assert describe(conn) == before


def test_a_second_turn_off_has_nothing_to_do(conn: psycopg.Connection[Any]) -> None:
    say(conn, "true")
    turn_off()

    assert turn_off().outcome == "nothing to roll back"


def test_turning_it_off_waits_for_nobody(conn: psycopg.Connection[Any]) -> None:
    say(conn, "true")

    def work(_: object) -> str:
        return turn_off().outcome

    overdue_after = declaration().flow("backfill").overdue_after
    assert run_exclusively("backfill", NAME, work, overdue_after=overdue_after, group=TARGET) == "toggled"


def test_the_text_says_when_the_environment_overrides_it(
    conn: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    say(conn, "true")
    monkeypatch.setenv(TOGGLE, "true")

    text = describe_rollback(turn_off())

    assert "is off now" in text
    assert "environment overrides" in text
