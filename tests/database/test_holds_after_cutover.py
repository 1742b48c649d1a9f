"""After a cutover old code can still reach what is on hold, and never meets a hole between partitions (D4, M4)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from tasks.core.connect import runtime
from tasks.core.declaration import Declaration
from tasks.core.parameters import Safety
from tasks.migration.cutover import cut_over
from tasks.migration.steps import carry_back_from
from tasks.partitions.restore import Restored, restore
from tasks.partitions.retire import RetentionResult, retire
from tests.conftest import Server
from tests.ready import NAME, TARGET, declaration, ready_database

Conn = psycopg.Connection[Any]


@pytest.fixture(scope="module")
def dsn(server: Server) -> Iterator[str]:
    """A database after the cutover, shared: each test writes rows of its own."""
    with ready_database(server) as name, runtime(), pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAINTENANCE_ALLOW_FUTURE", "1")
        cut_over(NAME, declaration())
        hold_the_oldest_and_retire_the_next(name)
        yield name


@pytest.fixture
def conn(dsn: str) -> Iterator[Conn]:
    with psycopg.connect(dsn, autocommit=True) as session:
        session.execute("set timezone = 'UTC'")
        yield session


def declared() -> Declaration:
    """The shipped table with three days of retention and no archive."""
    shipped = declaration()
    table = shipped.tables[TARGET]
    assert table.retention is not None
    kept = table.retention.model_copy(update={"keep": timedelta(days=3), "archive": "none", "at_most_per_run": 20})
    table = table.model_copy(update={"retention": kept, "gates": ()})
    return shipped.model_copy(update={"tables": {**shipped.tables, TARGET: table}})


def hold_the_oldest_and_retire_the_next(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        ((lower, upper, now),) = conn.execute(
            "select p.lower, p.upper, now() from maintenance.partition as p where p.lower is not null and exists ("
            "  select from monitoring.events as e where e.timestamp >= p.lower and e.timestamp < p.upper"
            ") order by p.lower limit 1"
        ).fetchall()
        conn.execute(
            "insert into maintenance.hold (relation, lower, upper, reason, owner) values (%s, %s, %s, 'case 7', 'legal')",
            (TARGET, lower, upper),
        )
    result = retire(
        TARGET, declared(), Safety(apply=True), now, carry_back=lambda run: carry_back_from(TARGET, declared(), run)
    )
    assert isinstance(result, RetentionResult)
    assert result.detached


def bounds_on_hold(conn: Conn) -> tuple[datetime, datetime]:
    """The bounds of the partition on hold."""
    ((lower, upper),) = conn.execute("select lower, upper from maintenance.hold where owner = 'legal'").fetchall()
    return lower, upper


def insert(conn: Conn, at: datetime) -> int:
    ((key,),) = conn.execute(
        "insert into monitoring.events (type, data, timestamp, created_at) values ('late', '{}', %s, now()) returning id", (at,)
    ).fetchall()
    return key


def reason_of(conn: Conn, key: int) -> str:
    query = "select reason from maintenance.quarantine where key = %s and legacy_row ->> 'type' = 'late'"
    ((reason,),) = conn.execute(query, (str(key),)).fetchall()
    return reason


def test_a_write_into_the_hole_behind_a_hold_goes_to_quarantine(conn: Conn) -> None:
    _, hole = bounds_on_hold(conn)
    key = insert(conn, hole)
    assert reason_of(conn, key) == "event time is outside the span"


def test_a_new_row_for_the_time_on_hold_goes_to_quarantine(conn: Conn) -> None:
    lower, _ = bounds_on_hold(conn)
    key = insert(conn, lower)
    assert reason_of(conn, key) == "event time is outside the span"


def test_a_row_on_hold_is_changed_where_it_is(conn: Conn) -> None:
    query = "select id from monitoring.events where timestamp >= %s and timestamp < %s order by id limit 1"
    ((key,),) = conn.execute(query, bounds_on_hold(conn)).fetchall()

    changed = conn.execute("update monitoring.events set data = '{\"seen\": 1}' where id = %s", (key,))

    assert changed.rowcount == 1
    assert conn.execute("select data from monitoring.events where id = %s", (key,)).fetchall() == [({"seen": 1},)]


def test_a_row_that_moves_into_the_hole_goes_to_quarantine(conn: Conn) -> None:
    (_, hole), key = bounds_on_hold(conn), insert(conn, datetime.now(UTC))
    conn.execute("update monitoring.events set timestamp = %s where id = %s", (hole, key))
    assert reason_of(conn, key) == "event time is outside the span"


def test_a_restored_partition_is_seen_and_changed_under_old_names_and_takes_no_new_row(conn: Conn) -> None:
    query = (
        "select r.partition, r.lower, r.upper from maintenance.retirement as r where r.state = 'detached' and exists ("
        " select from monitoring.events_legacy as e where e.timestamp >= r.lower and e.timestamp < r.upper)"
        " order by r.lower desc limit 1"
    )
    ((partition, lower, upper),) = conn.execute(query).fetchall()
    of_it = "from monitoring.events where timestamp >= %s and timestamp < %s"
    assert conn.execute(f"select id {of_it}".encode(), (lower, upper)).fetchall() == []

    result = restore(TARGET, partition, declared(), datetime.now(UTC))

    assert isinstance(result, Restored)
    ((key,),) = conn.execute(f"select min(id) {of_it}".encode(), (lower, upper)).fetchall()
    assert conn.execute("update monitoring.events set data = '{\"back\": 1}' where id = %s", (key,)).rowcount == 1
    assert reason_of(conn, insert(conn, lower)) == "event time is outside the span"
    again = retire_again()
    assert partition not in again.detached
    carried = conn.execute("select data from monitoring.events_legacy where id = %s", (key,)).fetchall()
    assert carried == [({"back": 1},)]
    assert conn.execute(f"select data {of_it} and id = {key}".encode(), (lower, upper)).fetchall() == carried


def retire_again() -> RetentionResult:
    """Run retention once more, which carries back first."""
    now = datetime.now(UTC)
    result = retire(
        TARGET, declared(), Safety(apply=True), now, carry_back=lambda run: carry_back_from(TARGET, declared(), run)
    )
    assert isinstance(result, RetentionResult)
    return result
