"""Retention on a real server: what goes, what stays, and what is refused (D4)."""

# ruff: noqa: S608 (statements are put together from this file's own names)
from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tasks.core.connect import Connection
from tasks.core.declaration import FlowPolicy
from tasks.core.errors import NotDeclared, Permanent, Unfinished, UnsuitableRelation
from tasks.core.ledger import Deferred, Run, run_exclusively
from tasks.core.parameters import Safety
from tasks.partitions import detach as detach_module
from tasks.partitions.archive_file import ArchiveFailed
from tasks.partitions.archive_proof import ArchiveLost
from tasks.partitions.detach import DetachPending, DetachRefused
from tasks.partitions.drop import DropRefused
from tasks.partitions.retention_anomalies import ClockJumped, FutureRefused, PartitionGap, RetentionShortened
from tasks.partitions.retention_plan import RetentionPlan
from tasks.partitions.retire import ChangesWaiting, DetachedEarly, RetentionResult, describe_removal, retire
from tests.conftest import Server
from tests.declarations import make_second, second_declaration
from tests.retention import (
    AS_OF,
    DAY,
    GRACE,
    TABLE,
    add_partition,
    add_rows,
    apply,
    attached,
    declare,
    make_empty,
    make_table,
    name_of,
    names,
    plan,
    states,
)

DUE = range(-15, -10)
#: Past the end of every grace period that began in a test.
LATER = AS_OF + GRACE + DAY


@pytest.fixture
def dsn(make_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    return make_empty(make_database, monkeypatch, tmp_path)


@pytest.fixture
def conn(dsn: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(dsn, autocommit=True, application_name="the application") as opened:
        opened.execute("set timezone = 'UTC'")
        yield opened


@pytest.fixture
def readings(dsn: str, conn: psycopg.Connection) -> psycopg.Connection:
    """The table as `make_table` makes it, and a session of the application."""
    make_table(dsn)
    return conn


def rows_in(conn: psycopg.Connection, relation: str = TABLE) -> int:
    return conn.execute(f"select count(*) from {relation}").fetchone()[0]


def everything(conn: psycopg.Connection) -> tuple[Any, ...]:
    """The state that a refused run must leave as it was; the ledger of runs apart."""
    remembered = "select to_jsonb(r) from maintenance.retirement r union all select to_jsonb(t) from maintenance.retention t"
    return attached(conn), rows_in(conn), conn.execute(remembered).fetchall()


# A plan is only a plan.


def test_a_run_without_apply_changes_nothing(readings: psycopg.Connection) -> None:
    before = everything(readings)

    result = plan()

    assert not result.applied
    assert [line for line in result.plan.splitlines() if line.startswith("| detach |")] == [
        f"| detach | {name_of(day)} | {AS_OF + (day + 1) * DAY:%Y-%m-%d} | every row is older than {AS_OF - 10 * DAY:%Y-%m-%d} |"
        for day in DUE
    ]
    assert f'alter table "app"."readings" detach partition "app"."p{AS_OF - 15 * DAY:%Y%m%d}" concurrently;' in result.plan
    assert everything(readings) == before
    assert readings.execute("select count(*) from maintenance.run").fetchone() == (0,)


def test_a_plan_says_why_it_would_be_refused(readings: psycopg.Connection) -> None:
    readings.execute(f"drop table {name_of(-3)}")
    assert plan().plan.splitlines()[-1].startswith("Would be refused: app.readings has no partition for")


# It does it, it preserves the rest, a second run does nothing.


def test_what_is_due_is_detached_and_archived_and_the_rest_is_untouched(readings: psycopg.Connection) -> None:
    kept = readings.execute("select count(*), sum(id) from app.readings where at >= %s", (AS_OF - 10 * DAY,)).fetchone()

    result = apply()

    assert result.detached == result.archived == names(DUE)
    assert (result.dropped, result.debt, result.rows_archived) == ((), (), 15)
    assert readings.execute("select count(*), sum(id) from app.readings").fetchone() == kept
    assert attached(readings) == list(names(range(-10, 3)))
    assert set(states(readings).values()) == {"archived"}
    assert [rows_in(readings, name_of(day)) for day in DUE] == [3] * 5


def test_a_second_run_in_a_row_plans_nothing(readings: psycopg.Connection) -> None:
    apply()
    before = readings.execute("select to_jsonb(r) from maintenance.retirement r order by id").fetchall()

    again = apply()

    assert (again.detached, again.archived, again.dropped, again.debt) == ((), (), (), ())
    assert "\nNothing to do" in again.plan
    assert readings.execute("select to_jsonb(r) from maintenance.retirement r order by id").fetchall() == before


def test_a_partition_that_ends_a_microsecond_after_the_bound_is_kept(readings: psycopg.Connection) -> None:
    result = apply(as_of=AS_OF - timedelta(microseconds=1))
    assert result.detached == names(range(-15, -11))


def test_nothing_is_dropped_before_its_grace_period_has_ended(readings: psycopg.Connection) -> None:
    apply()
    (archived_at,) = readings.execute("select min(archived_at) from maintenance.retirement").fetchone()

    early = apply(as_of=archived_at + GRACE - timedelta(microseconds=1))

    assert early.dropped == ()
    assert [rows_in(readings, name_of(day)) for day in DUE] == [3] * 5


def test_after_the_grace_period_the_detached_are_dropped_and_the_newly_due_are_debt(readings: psycopg.Connection) -> None:
    apply(at_most=5)

    result = apply(as_of=LATER, at_most=5)

    assert result.dropped == names(DUE)
    assert [debt.partition for debt in result.debt] == list(names(range(-10, -2)))
    assert readings.execute("select to_regclass(%s)", (name_of(-15),)).fetchone() == (None,)
    assert attached(readings) == list(names(range(-10, 3)))


def test_a_run_as_of_the_past_does_not_shorten_the_grace_period(readings: psycopg.Connection) -> None:
    apply(as_of=AS_OF - 2 * DAY)
    assert apply(as_of=AS_OF + GRACE - DAY).dropped == ()


def test_without_grace_one_run_goes_all_the_way(readings: psycopg.Connection) -> None:
    result = apply(declare(grace="PT0S"), as_of=AS_OF + DAY, at_most=2)
    assert result.detached == result.archived == result.dropped == names((-15, -14))
    assert len(result.debt) == 4


def test_then_keep_never_drops(readings: psycopg.Connection) -> None:
    policy = declare(then="keep", keep="P10D")
    apply(policy, at_most=5)
    assert apply(policy, as_of=LATER, at_most=1).dropped == ()
    assert rows_in(readings, name_of(-15)) == 3


def test_without_an_archive_a_partition_waits_detached_and_is_dropped(readings: psycopg.Connection, tmp_path: Path) -> None:
    policy = declare(archive="none")
    assert apply(policy).archived == ()
    assert states(readings)[name_of(-15)] == "detached"
    assert apply(policy, as_of=LATER, at_most=5).dropped == names(DUE)
    assert not (tmp_path / "archive").exists()


def test_at_most_takes_the_oldest_and_the_next_run_goes_on(readings: psycopg.Connection) -> None:
    first = apply(at_most=2)
    assert first.detached == names((-15, -14))
    assert [debt.partition for debt in first.debt] == list(names((-13, -12, -11)))
    assert apply().detached == names((-13, -12, -11))


def test_a_retry_of_the_same_flow_run_takes_no_more_than_at_most(readings: psycopg.Connection) -> None:
    def lose_connection(*_: Any) -> Any:
        raise psycopg.OperationalError("the connection is lost")

    apply(at_most=1, flow_run_id="yesterday")
    with pytest.raises(psycopg.OperationalError):
        apply(at_most=2, flow_run_id="today", archive_all=lose_connection)
    assert attached(readings) == list(names(range(-12, 3)))

    again = apply(at_most=2, flow_run_id="today")
    assert (again.detached, again.archived) == ((), names((-14, -13)))
    assert apply(at_most=1, flow_run_id="tomorrow").detached == names((-12,))


def test_a_retry_drops_no_more_than_at_most_and_what_was_only_archived_takes_no_place(readings: psycopg.Connection) -> None:
    def lose_connection(*_: Any) -> Any:
        raise psycopg.OperationalError("the connection is lost")

    def stop(step: str, *_: Any) -> None:
        if step != "detach":
            raise psycopg.OperationalError("the connection is lost")

    with pytest.raises(psycopg.OperationalError):
        apply(at_most=2, flow_run_id="first", archive_all=lose_connection)
    with pytest.raises(psycopg.OperationalError):
        apply(at_most=1, flow_run_id="second", on_progress=stop)
    assert "archived" in states(readings).values()
    assert apply(at_most=1, flow_run_id="second").detached == ()

    with pytest.raises(psycopg.OperationalError):
        apply(as_of=LATER, at_most=1, flow_run_id="third", on_progress=stop)
    assert apply(as_of=LATER, at_most=1, flow_run_id="third").dropped == ()
    assert list(states(readings).values()).count("dropped") == 1


def test_progress_is_told_for_each_step(readings: psycopg.Connection) -> None:
    told: list[tuple[str, int, int | None]] = []
    apply(on_progress=lambda *step: told.append(step))
    assert [step for step in told if step[0] == "detach"] == [("detach", n, 5) for n in range(1, 6)]
    assert told[-1] == ("archive", 5, 5)


# Holds.


def test_a_hold_keeps_its_partition_and_later_runs_know_the_gaps_beside_it(readings: psycopg.Connection) -> None:
    hold = "insert into maintenance.hold (relation, lower, upper, reason, owner) values (%s, %s, %s, 'case 7', 'legal')"
    readings.execute(hold, (TABLE, AS_OF - 13 * DAY, AS_OF - 13 * DAY + timedelta(hours=1)))

    result = apply(at_most=5)

    assert result.detached == names((-15, -14, -12, -11))
    assert "on hold: case 7" in result.plan
    assert apply(as_of=LATER, at_most=4).dropped == names((-15, -14, -12, -11))
    readings.execute("delete from maintenance.hold")
    assert apply(as_of=LATER, at_most=1).detached == names((-13,))


def test_a_held_partition_goes_once_its_hold_has_ended(readings: psycopg.Connection) -> None:
    until = AS_OF + 3 * DAY
    hold = (
        "insert into maintenance.hold (relation, lower, upper, reason, owner, until) values (%s, %s, %s, 'case 7', 'legal', %s)"
    )
    readings.execute(hold, (TABLE, AS_OF - 15 * DAY, AS_OF - 14 * DAY, until))
    apply(at_most=4)

    early = apply(as_of=until - timedelta(microseconds=1), at_most=1)

    assert f"- kept: {name_of(-15)}: on hold: case 7" in early.plan.splitlines()
    assert name_of(-15) in attached(readings)
    assert apply(as_of=until, at_most=1).detached == names((-15,))


def test_a_partition_on_hold_lies_before_the_span_so_that_no_hole_is_within_it(readings: psycopg.Connection) -> None:
    span = "insert into maintenance.span (target, lower, upper) values (%s, %s, %s)"
    readings.execute(span, (TABLE, AS_OF - 15 * DAY, AS_OF + 3 * DAY))
    hold = "insert into maintenance.hold (relation, lower, upper, reason, owner) values (%s, %s, %s, 'case 7', 'legal')"
    readings.execute(hold, (TABLE, AS_OF - 14 * DAY, AS_OF - 13 * DAY))
    seen: list[Any] = []
    detach = detach_module._act

    def look(*arguments: object) -> None:
        seen.append(readings.execute("select lower from maintenance.span").fetchone()[0])
        detach(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(detach_module, "_act", look)
        apply(at_most=3)

    assert attached(readings)[0] == name_of(-14)
    assert seen == [AS_OF - 14 * DAY, AS_OF - 12 * DAY, AS_OF - 11 * DAY]
    assert readings.execute("select lower from maintenance.span").fetchone() == (AS_OF - 11 * DAY,)


def test_a_hold_placed_after_the_archive_keeps_the_table_from_being_dropped(readings: psycopg.Connection) -> None:
    apply()
    readings.execute("insert into maintenance.hold (relation, reason, owner) values (%s, 'audit', 'legal')", (TABLE,))
    assert apply(as_of=LATER).dropped == ()


def test_a_hold_placed_while_the_run_drops_keeps_its_table_with_the_reason_and_the_others_go(
    readings: psycopg.Connection,
) -> None:
    apply()

    def place(*_: object) -> None:
        bounds = (AS_OF - 14 * DAY, AS_OF - 13 * DAY)
        words = "insert into maintenance.hold (relation, lower, upper, reason, owner) values (%s, %s, %s, 'audit', 'legal')"
        readings.execute(words, (TABLE, *bounds))

    result = apply(as_of=LATER, at_most=5, on_plan=place)

    assert result.dropped == names((-15, -13, -12, -11))
    assert [(one.partition, one.reason) for one in result.held] == [(name_of(-14), "on hold: audit")]
    assert f"- stays: {name_of(-14)}: on hold: audit" in describe_removal(result)
    assert rows_in(readings, name_of(-14)) == 3
    assert readings.execute("select outcome from maintenance.run order by id desc limit 1").fetchone() == ("completed",)


# What stands in the way of one partition.


def test_a_partition_with_undelivered_rows_stays_until_they_are_delivered(readings: psycopg.Connection) -> None:
    policy = declare(keep_where="sensor in ('pending', 'retry')")
    readings.execute(f"update {name_of(-14)} set sensor = 'retry' where id = (select min(id) from {name_of(-14)})")

    result = apply(policy)

    assert result.detached == names((-15, -13, -12, -11))
    assert [(debt.partition, debt.reason) for debt in result.debt] == [
        (name_of(-14), "it holds rows that keep_where keeps: sensor in ('pending', 'retry')")
    ]
    readings.execute(f"update {name_of(-14)} set sensor = 'done'")
    assert apply(policy).detached == names((-14,))


def test_a_row_that_became_undelivered_as_its_partition_left_keeps_it_from_the_drop(readings: psycopg.Connection) -> None:
    apply(declare(archive="none"))
    readings.execute(f"update {name_of(-14)} set sensor = 'retry'")
    policy = declare(archive="none", keep_where="sensor = 'retry'")
    assert apply(policy, as_of=LATER, at_most=5).dropped == names((-15, -13, -12, -11))


def test_a_condition_that_the_server_refuses_is_named(readings: psycopg.Connection) -> None:
    before = everything(readings)
    with pytest.raises(UnsuitableRelation, match=r"keep_where is refused by the server: column .*status.* does not exist"):
        apply(declare(keep_where="status = 'retry'"))
    assert everything(readings) == before


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("create publication told for table {}", "the publication told names it; take it out of there first"),
        ("create view app.old as select * from {}", "app.old reads it by its name; let that read the table instead"),
        (
            "create table app.note (id bigint, at timestamptz, constraint noted foreign key (id, at) references {})",
            "the foreign key noted of app.note references it by its name; drop that first",
        ),
    ],
    ids=["publication", "view", "foreign key"],
)
def test_a_partition_that_something_needs_by_its_name_stays_with_the_reason(
    readings: psycopg.Connection, server: Server, statement: str, reason: str
) -> None:
    with psycopg.connect(server.superuser_dsn, dbname=readings.info.dbname, autocommit=True) as admin:
        admin.execute(statement.format(name_of(-14)).encode())

    result = apply()

    assert result.detached == names((-15, -13, -12, -11))
    assert [(debt.partition, debt.reason) for debt in result.debt] == [(name_of(-14), reason)]
    assert states(readings)[name_of(-13)] == "archived"


def test_a_partition_of_another_owner_stays_with_the_reason_and_the_remedy_lets_it_go(
    readings: psycopg.Connection, server: Server
) -> None:
    apply(at_most=1)
    with psycopg.connect(server.superuser_dsn, dbname=readings.info.dbname, autocommit=True) as admin:
        for day in (-15, -14):
            admin.execute(f"alter table {name_of(day)} owner to postgres".encode())

        stays = apply(as_of=LATER, at_most=3)

        assert (stays.detached, stays.dropped) == (names((-13, -12, -11)), ())
        reasons = {debt.partition: debt.reason for debt in stays.debt}
        for day in (-15, -14):
            said, _, remedy = reasons[name_of(day)].partition(" with: ")
            assert said == "it belongs to postgres; give it to the owner of its table"
            admin.execute(remedy.encode())

    goes = apply(as_of=LATER, at_most=2)
    assert (goes.detached, goes.dropped) == (names((-14,)), names((-15,)))


# Anomalies: nothing is removed.


def test_a_gap_blocks_every_removal(readings: psycopg.Connection) -> None:
    readings.execute(f"drop table {name_of(-3)}")
    before = everything(readings)

    with pytest.raises(PartitionGap, match="nothing is removed until it is filled"):
        apply()

    assert everything(readings) == before


def test_a_retention_shortened_by_more_than_half_waits_for_a_person(readings: psycopg.Connection) -> None:
    apply()
    before = everything(readings)
    shorter = declare(keep="P4D")

    with pytest.raises(RetentionShortened) as refused:
        apply(shorter)
    assert everything(readings) == before

    readings.execute(str(refused.value).partition("accept it with: ")[2])
    assert apply(shorter, at_most=50).detached == names(range(-10, -4))
    assert readings.execute("select accepts, keep from maintenance.retention").fetchone() == (None, timedelta(days=4))


def test_a_clock_that_went_back_is_refused(readings: psycopg.Connection) -> None:
    apply()
    readings.execute("update maintenance.retention set ran_at = now() + interval '1 day', as_of = now() + interval '1 day'")
    with pytest.raises(ClockJumped, match="before the last run"):
        apply()


def test_a_clock_that_went_ahead_is_refused_although_a_runway_was_made(readings: psycopg.Connection) -> None:
    before = everything(readings)
    with pytest.raises(ClockJumped, match="all of its rows are past"):
        apply(as_of=AS_OF + 700 * DAY)
    assert everything(readings) == before


def test_an_as_of_in_the_future_is_refused_where_nothing_allows_it(
    readings: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAINTENANCE_ALLOW_FUTURE", "0")
    before = everything(readings)
    with pytest.raises(FutureRefused):
        apply(as_of=LATER + 30 * DAY)
    assert everything(readings) == before
    assert plan(as_of=LATER).plan


def test_an_undeclared_table_and_one_without_retention_are_refused(readings: psycopg.Connection) -> None:
    declaration = declare()
    with pytest.raises(NotDeclared):
        retire("app.other", declaration, Safety(apply=True), AS_OF)
    table = declaration.tables[TABLE].model_copy(update={"retention": None})
    with pytest.raises(UnsuitableRelation, match="declares no retention"):
        retire(TABLE, declaration.model_copy(update={"tables": {TABLE: table}}), Safety(), AS_OF)


# The gate stands in the transactions that record an intent.


def test_a_gate_that_refuses_leaves_everything_as_it_was(readings: psycopg.Connection) -> None:
    before = everything(readings)

    def refuse(conn: Connection, asked: RetentionPlan) -> None:
        assert len(asked.removals) == 5
        raise UnsuitableRelation(TABLE, "the gate is closed")

    with pytest.raises(UnsuitableRelation, match="the gate is closed"):
        apply(require_gate=refuse)
    assert everything(readings) == before


def test_the_gate_is_asked_in_the_transaction_of_each_drop(readings: psycopg.Connection) -> None:
    apply()
    asked: list[bool] = []

    def gate(conn: Connection, _: RetentionPlan) -> None:
        asked.append(conn.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS)
        if len(asked) == 3:
            raise UnsuitableRelation(TABLE, "the gate has closed")

    with pytest.raises(UnsuitableRelation, match="the gate has closed"):
        apply(as_of=LATER, at_most=5, require_gate=gate)

    assert asked == [True] * 3
    assert list(states(readings).values()) == ["dropped"] + ["archived"] * 4


def test_each_plan_with_new_removals_is_shown_before_they_happen(readings: psycopg.Connection) -> None:
    shown: list[tuple[int, int]] = []
    apply(
        declare(grace="PT0S"),
        as_of=AS_OF + DAY,
        at_most=2,
        on_plan=lambda p, _: shown.append((len(p.removals), len(attached(readings)))),
    )
    assert shown == [(2, 18), (2, 16)]


# Interrupted detaches.


def leave_pending(dsn: str, day: int) -> None:
    """Leave a real pending detach: cancelled while it waits for a reader."""
    with psycopg.connect(dsn) as reader, psycopg.connect(dsn, autocommit=True) as other:
        reader.execute("select count(*) from app.readings")
        other.execute("set statement_timeout = '200ms'")
        with pytest.raises(psycopg.errors.QueryCanceled):
            other.execute(f"alter table app.readings detach partition {name_of(day)} concurrently")


def pending(conn: psycopg.Connection) -> list[str]:
    return [name for (name,) in conn.execute("select schema || '.' || name from maintenance.partition where is_pending_detach")]


def test_a_pending_detach_that_another_tool_left_is_finished_first(dsn: str, readings: psycopg.Connection) -> None:
    leave_pending(dsn, -14)
    assert pending(readings) == [name_of(-14)]

    result = apply()

    assert f"\n| finalize | {name_of(-14)} |" in result.plan
    assert pending(readings) == []
    assert tuple(sorted(result.archived)) == names(DUE)
    assert rows_in(readings) == 30


def test_a_pending_detach_that_was_not_due_is_finished_and_named_with_the_way_back(
    dsn: str, readings: psycopg.Connection
) -> None:
    leave_pending(dsn, -2)

    with pytest.raises(DetachedEarly) as named:
        apply()

    assert pending(readings) == []
    with pytest.raises(PartitionGap):
        apply()
    readings.execute(str(named.value).partition("Bring it back with: ")[2])
    assert apply().detached == names(DUE)


def test_a_detach_that_is_cancelled_names_who_held_it_and_the_next_run_ends_it(dsn: str, readings: psycopg.Connection) -> None:
    with psycopg.connect(dsn, application_name="a long report") as reader:
        reader.execute("select count(*) from app.readings")
        canceller = threading.Thread(target=cancel_when_pending, args=(dsn,))
        canceller.start()
        with pytest.raises(DetachPending, match="a long report"):
            apply()
        canceller.join()
    assert states(readings)[name_of(-15)] == "detaching"
    assert set(states(readings).values()) == {"detaching", "due"}

    assert tuple(sorted(apply().archived)) == names(DUE)
    assert pending(readings) == []


def cancel_when_pending(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        cancel = "select pg_cancel_backend(pid) from pg_stat_activity where query like '%%detach partition%%' and state = 'active' and pid <> pg_backend_pid()"
        wait_until(lambda: bool(pending(conn)))
        time.sleep(0.3)
        conn.execute(cancel)


def wait_until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < end, "it did not happen within ten seconds"
        time.sleep(0.02)


def test_a_long_reader_delays_the_run_and_nobody_else(dsn: str, readings: psycopg.Connection) -> None:
    waits: list[float] = []
    with psycopg.connect(dsn) as reader:
        reader.execute("select count(*) from app.readings")
        run = threading.Thread(target=apply)
        run.start()
        wait_until(lambda: bool(pending(readings)))
        for _ in range(20):
            started = time.monotonic()
            rows_in(readings)
            add_rows(readings, 0, 1)
            waits.append(time.monotonic() - started)
        assert run.is_alive()
    run.join()
    assert max(waits) < 1
    assert states(readings) == dict.fromkeys(names(DUE), "archived")
    assert rows_in(readings) == 50


# Others.


def test_of_two_runs_at_once_one_is_deferred(readings: psycopg.Connection) -> None:
    def second(_: object) -> RetentionResult | Deferred:
        return retire(TABLE, declare(), Safety(apply=True), AS_OF)

    result = run_exclusively("copy", TABLE, second, overdue_after=DAY)

    assert isinstance(result, Deferred)
    assert "held by run" in result.reason
    assert len(attached(readings)) == 18


def test_while_a_migration_captures_the_run_is_deferred_and_never_overdue(readings: psycopg.Connection) -> None:
    readings.execute("insert into maintenance.migration (name, target, phase) values ('move', %s, 'capturing')", (TABLE,))
    at_once = {"enforce_retention": FlowPolicy(overdue_after=timedelta(0))}
    declaration = declare().model_copy(update={"flows": at_once})

    for _ in range(2):
        result = retire(TABLE, declaration, Safety(apply=True), AS_OF)
        assert isinstance(result, Deferred)
        assert result.reason.startswith("migration move")
    assert len(attached(readings)) == 18
    assert readings.execute("select distinct outcome from maintenance.run").fetchall() == [("deferred",)]


def test_after_a_cutover_a_partition_with_changes_to_carry_back_stays(readings: psycopg.Connection) -> None:
    readings.execute("insert into maintenance.migration (name, target, phase) values ('move', %s, 'cut_over')", (TABLE,))
    entry = "insert into maintenance.reverse_capture (migration, key, event_time) values ('move', '1', %s)"
    readings.execute(entry, (AS_OF - 14 * DAY,))

    with pytest.raises(ChangesWaiting, match=f"{name_of(-14)} stays attached .* every younger one"):
        apply()

    assert attached(readings)[0] == name_of(-14)
    readings.execute("delete from maintenance.reverse_capture")
    assert apply().detached == names((-14, -13, -12, -11))


def test_what_changed_meanwhile_is_carried_back_and_the_partition_goes(readings: psycopg.Connection) -> None:
    readings.execute("insert into maintenance.migration (name, target, phase) values ('move', %s, 'cut_over')", (TABLE,))
    entry = "insert into maintenance.reverse_capture (migration, key, event_time) values ('move', '1', %s)"
    readings.execute(entry, (AS_OF - 14 * DAY,))
    arriving = [AS_OF - 13 * DAY, AS_OF - 12 * DAY]

    def carry(_run: Run) -> None:
        readings.execute("delete from maintenance.reverse_capture")
        if arriving:
            readings.execute(entry, (arriving.pop(),))

    result = retire(TABLE, declare(), Safety(apply=True), AS_OF, carry_back=carry)

    assert isinstance(result, RetentionResult)
    assert result.detached == names((-15, -14, -13, -12, -11))


def test_the_span_begins_after_a_partition_before_that_is_detached(readings: psycopg.Connection) -> None:
    span = "insert into maintenance.span (target, lower, upper) values (%s, %s, %s)"
    readings.execute(span, (TABLE, AS_OF - 15 * DAY, AS_OF + 3 * DAY))
    seen: list[tuple[object, ...] | None] = []
    detach = detach_module._act

    def look(*arguments: object) -> None:
        seen.append(readings.execute("select lower from maintenance.span").fetchone())
        detach(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(detach_module, "_act", look)
        apply(at_most=1)

    assert seen == [(AS_OF - 14 * DAY,)]


def test_the_span_of_a_target_begins_where_its_oldest_attached_partition_does(readings: psycopg.Connection) -> None:
    span = "insert into maintenance.span (target, lower, upper) values (%s, %s, %s)"
    readings.execute(span, (TABLE, AS_OF - 15 * DAY, AS_OF + 3 * DAY))
    apply(at_most=2)
    assert readings.execute("select lower from maintenance.span").fetchone() == (AS_OF - 13 * DAY,)


def test_a_parent_with_a_default_partition_is_detached_from_plainly(readings: psycopg.Connection) -> None:
    readings.execute("create table app.rest partition of app.readings default")
    assert f'alter table "app"."readings" detach partition "app"."p{AS_OF - 15 * DAY:%Y%m%d}";' in plan().plan
    result = apply()
    assert result.archived == names(DUE)
    assert attached(readings) == [*names(range(-10, 3)), "app.rest"]


def test_a_partition_that_a_foreign_key_needs_is_named_and_stays(readings: psycopg.Connection) -> None:
    readings.execute("create table app.note (id bigint, at timestamptz, foreign key (id, at) references app.readings)")
    readings.execute(f"insert into app.note select id, at from {name_of(-14)}")

    with pytest.raises(DetachRefused, match=name_of(-14)):
        apply()

    assert name_of(-14) in attached(readings)
    assert pending(readings) == []
    assert states(readings)[name_of(-13)] == "archived"


def test_beside_a_default_partition_one_that_a_foreign_key_needs_is_named_too_and_the_others_go(
    readings: psycopg.Connection,
) -> None:
    readings.execute("create table app.rest partition of app.readings default")
    readings.execute("create table app.note (id bigint, at timestamptz, foreign key (id, at) references app.readings)")
    readings.execute(f"insert into app.note select id, at from {name_of(-14)}")

    with pytest.raises(DetachRefused, match=f"{name_of(-14)} could not be detached from {TABLE}.*foreign key"):
        apply()

    assert name_of(-14) in attached(readings)
    assert states(readings)[name_of(-13)] == "archived"


def test_a_partition_that_was_attached_again_by_hand_is_retired_anew(readings: psycopg.Connection) -> None:
    apply(at_most=1)
    bounds = (AS_OF - 15 * DAY).isoformat(), (AS_OF - 14 * DAY).isoformat()
    readings.execute(
        f"alter table app.readings attach partition {name_of(-15)} for values from ('{bounds[0]}') to ('{bounds[1]}')"
    )
    readings.execute(f"update {name_of(-15)} set value = 99")

    assert apply(at_most=1).archived == names((-15,))

    rows = readings.execute(
        "select state, manifest -> 'file' ->> 'sha256' from maintenance.retirement where partition = %s order by id",
        (name_of(-15),),
    ).fetchall()
    assert [state for state, _ in rows] == ["returned", "archived"]
    assert rows[0][1] != rows[1][1]


def test_a_detached_table_that_somebody_dropped_is_recorded_as_gone(readings: psycopg.Connection) -> None:
    apply(at_most=1)
    readings.execute(f"drop table {name_of(-15)}")
    assert apply(at_most=1).detached == names((-14,))
    assert readings.execute("select state, note from maintenance.retirement order by id limit 1").fetchone() == (
        "dropped",
        "its table was found gone",
    )


# The drop.


def test_a_table_that_was_changed_after_its_archive_is_not_dropped(readings: psycopg.Connection) -> None:
    apply()
    readings.execute(
        f"update {name_of(-14)} set value = value + 0.000000000000000000000000 where id = (select min(id) from {name_of(-14)})"
    )

    with pytest.raises(DropRefused, match="column value"):
        apply(as_of=LATER, at_most=5)

    assert list(states(readings).values()) == ["dropped", *["archived"] * 4]


def test_an_archive_that_was_changed_or_is_missing_keeps_its_table(readings: psycopg.Connection) -> None:
    apply()
    (path,) = readings.execute("select archive from maintenance.retirement where partition = %s", (name_of(-15),)).fetchone()
    content = Path(path).read_bytes()

    Path(path).write_bytes(content[:-10] + bytes([content[-10] ^ 1]) + content[-9:])
    with pytest.raises(ArchiveLost, match="was changed"):
        apply(as_of=LATER, at_most=5)
    Path(path).unlink()
    with pytest.raises(ArchiveLost, match="is not there"):
        apply(as_of=LATER, at_most=5)

    assert rows_in(readings, name_of(-15)) == 3
    assert set(states(readings).values()) == {"archived"}
    Path(path).write_bytes(content)
    assert apply(as_of=LATER, at_most=5).dropped == names(DUE)


def test_a_lost_archive_is_made_anew_as_its_error_says(readings: psycopg.Connection) -> None:
    apply()
    (path,) = readings.execute("select archive from maintenance.retirement where partition = %s", (name_of(-15),)).fetchone()
    Path(path).unlink()
    with pytest.raises(ArchiveLost) as lost:
        apply(as_of=LATER, at_most=5)

    readings.execute(str(lost.value).partition("archive the table again with: ")[2])

    assert name_of(-15) in apply(as_of=LATER, at_most=5).archived
    assert Path(path).is_file()


def test_a_table_that_a_view_needs_is_not_dropped(readings: psycopg.Connection) -> None:
    apply()
    readings.execute(f"create view app.old as select * from {name_of(-15)}")
    with pytest.raises(DropRefused, match=r"something depends on it: view app\.old"):
        apply(as_of=LATER, at_most=5)
    assert rows_in(readings, "app.old") == 3


def test_a_detached_table_under_another_name_is_left_alone(readings: psycopg.Connection) -> None:
    apply()
    readings.execute(f"alter table {name_of(-15)} rename to precious")
    readings.execute(f"create table {name_of(-15)} (id int)")

    result = apply(as_of=LATER, at_most=5)

    assert result.dropped == names(range(-14, -10))
    assert [debt.reason for debt in result.debt][:1] == ["its table is called app.precious now; give it back its name"]
    assert rows_in(readings, "app.precious") == 3
    assert rows_in(readings, name_of(-15)) == 0


def test_a_failed_archive_is_named_the_others_go_on_and_nothing_is_dropped(
    readings: psycopg.Connection, tmp_path: Path
) -> None:
    apply(at_most=2)
    blocked = tmp_path / "archive" / TABLE / f"lower={AS_OF - 9 * DAY:%Y-%m-%d}"
    blocked.write_text("a file where a folder should be")

    with pytest.raises(ArchiveFailed, match=name_of(-9)):
        apply(as_of=LATER, at_most=8)

    found = states(readings)
    assert found[name_of(-9)] == "archiving"
    assert found[name_of(-8)] == "archived"
    assert found[name_of(-15)] == "archived"


# Another declaration is served by the same code.


def test_a_key_of_type_date_by_months_is_served(dsn: str, conn: psycopg.Connection, tmp_path: Path) -> None:
    make_second(dsn)
    for year, month in ((2019, 1), (2019, 2), (2019, 3)):
        upper = f"{year}-{month + 1:02d}-01"
        conn.execute(
            f"create table accounts.i{month} partition of accounts.invoices for values from ('{year}-{month:02d}-01') to ('{upper}')"
        )
        conn.execute(
            "insert into accounts.invoices (number, issued_on, customer, amount) select n, %s::date, 'c' || n, n / 100.0 from generate_series(1, 50) n",
            (f"{year}-{month:02d}-09",),
        )
    conn.execute("create table accounts.rest partition of accounts.invoices for values from ('2019-04-01') to ('2100-01-01')")
    conn.execute("insert into accounts.invoices (number, issued_on, customer, amount) values (1, current_date, 'c', 1)")

    result = retire("accounts.invoices", second_declaration(), Safety(apply=True), AS_OF)

    assert isinstance(result, RetentionResult)
    assert result.archived == ("accounts.i1", "accounts.i2")
    assert [debt.partition for debt in result.debt] == ["accounts.i3"]
    assert (tmp_path / "archive" / "accounts.invoices" / "lower=2019-01-01" / "part-0.parquet").is_file()
    later = retire("accounts.invoices", second_declaration(), Safety(apply=True), AS_OF + 40 * DAY)
    assert isinstance(later, RetentionResult)
    assert later.dropped == ("accounts.i1", "accounts.i2")
    assert conn.execute("select count(*) from accounts.invoices").fetchone() == (51,)


def test_a_role_that_does_not_own_the_table_is_told_so(readings: psycopg.Connection, server: Server) -> None:
    with psycopg.connect(server.superuser_dsn, dbname=readings.info.dbname, autocommit=True) as admin:
        admin.execute("alter table app.readings owner to postgres")
    with pytest.raises(Permanent, match="only its owner postgres may"):
        apply()


def test_an_empty_partition_is_archived_like_any_other(readings: psycopg.Connection) -> None:
    readings.execute(f"delete from {name_of(-15)}")
    assert apply(at_most=1).rows_archived == 0
    assert apply(as_of=LATER, at_most=1).dropped == names((-15,))


def test_unfinished_names_every_partition_that_failed(readings: psycopg.Connection) -> None:
    readings.execute("create table app.note (id bigint, at timestamptz, foreign key (id, at) references app.readings)")
    readings.execute(f"insert into app.note select id, at from {name_of(-14)} union all select id, at from {name_of(-12)}")
    with pytest.raises(Unfinished, match=f"{name_of(-14)}.*{name_of(-12)}"):
        apply()


def test_partitions_made_in_between_are_no_gap(readings: psycopg.Connection) -> None:
    apply(at_most=1)
    add_partition(readings, 3)
    assert apply().detached == names(range(-14, -10))
