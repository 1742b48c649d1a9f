"""Closed partitions become longer ones: every row stays, is seen once at any moment, and a written range is left alone."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from tasks.core.declaration import Declaration
from tasks.core.errors import LockBusy, UnsuitableRelation
from tasks.core.ledger import Deferred, run_exclusively
from tasks.core.parameters import Safety
from tasks.partitions import coarsen as room
from tasks.partitions.coarsen import CoarseningResult, MembersWritten, coarsen
from tasks.partitions.coarsen_plan import CoarseningPlan
from tasks.partitions.coarsening_text import NOTHING, coarsening_plan, coarsening_result
from tasks.partitions.plan import NameTaken

AS_OF, TABLE = datetime(2025, 3, 10, tzinfo=UTC), "app.readings"
APPLY = Safety(apply=True)
SCHEMA = """
create schema app;
create table app.readings (
    id bigint generated always as identity,
    at timestamptz not null,
    sensor text not null check (sensor <> ''),
    value numeric,
    notes jsonb,
    primary key (id, at)
) partition by range (at);
create index readings_sensor on app.readings (sensor, at desc);
alter table app.readings enable row level security;
create policy everyone on app.readings to authenticated using (true);
grant usage on schema app to authenticated;
grant select, insert, update on app.readings to authenticated;
do $$
begin
    for day in 0..68 loop
        execute format(
            'create table app.readings_p%s partition of app.readings for values from (%L) to (%L)',
            to_char(date '2025-01-01' + day, 'YYYYMMDD'),
            (date '2025-01-01' + day)::timestamp at time zone 'UTC', (date '2025-01-02' + day)::timestamp at time zone 'UTC'
        );
    end loop;
end
$$;
insert into app.readings (at, sensor, value, notes)
select '2025-01-01Z'::timestamptz + n * interval '20 minutes', 's' || n % 7, n / 3.0, jsonb_build_object('n', n)
from generate_series(0, 69 * 72 - 1) as n;
"""
CONTENT = "select count(*), sum(hashtextextended(r::text, 0)::numeric) from app.readings as r"
JANUARY, FEBRUARY = "app.readings_p202501", "app.readings_p202502"


@pytest.fixture
def dsn(make_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> str:
    made = make_database(sets=())
    monkeypatch.setenv("DATABASE_URL", made)
    return made


@pytest.fixture
def app(dsn: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("set timezone = 'UTC'")
        conn.execute(SCHEMA)
        yield conn


def declare(**partitioning: Any) -> Declaration:
    coarsened = {"after": "P5D", "to": "month", "at_most_per_run": 3}
    cut = {"by": "at", "every": "day", "ahead": "P3D", "coarsen": coarsened, **partitioning}
    return Declaration.model_validate({"tables": {TABLE: {"why": "w", "owner": "o", "partitioning": cut}}})


def apply(declaration: Declaration | None = None, as_of: datetime = AS_OF) -> CoarseningResult:
    result = coarsen(TABLE, declaration or declare(), as_of, APPLY)
    assert isinstance(result, CoarseningResult)
    return result


def partitions(conn: psycopg.Connection) -> list[tuple[Any, ...]]:
    rows = (
        "select name, lower::date::text, upper::date::text from maintenance.partition where upper < '2025-03-02' order by lower"
    )
    return conn.execute(rows).fetchall()


def tables(conn: psycopg.Connection) -> int:
    return conn.execute("select count(*) from pg_class where relnamespace = 'app'::regnamespace and relkind = 'r'").fetchall()[
        0
    ][0]


def test_whole_months_that_ended_long_ago_become_one_partition_each(app: psycopg.Connection) -> None:
    before = app.execute(CONTENT).fetchall()

    result = apply()

    assert (result.merged, result.dropped, result.given_up) == ((JANUARY, FEBRUARY), 59, ())
    assert "- dropped: 59 partitions whose rows these hold now" in coarsening_result(result)
    assert partitions(app) == [
        ("readings_p202501", "2025-01-01", "2025-02-01"), ("readings_p202502", "2025-02-01", "2025-03-01"),
    ]  # fmt: skip
    assert app.execute(CONTENT).fetchall() == before
    assert tables(app) == 69 - 59 + 2


def test_the_longer_partition_is_as_its_siblings_are(app: psycopg.Connection) -> None:
    apply()

    shape = """
        select c.relrowsecurity, (select count(*) from pg_policy where polrelid = c.oid), c.relacl::text,
            array(select indisvalid from pg_index where indrelid = c.oid order by indexrelid), c.relispartition,
            (select count(*) from pg_trigger where tgrelid = c.oid), (select count(*) from pg_constraint where conrelid = c.oid)
        from pg_class c where c.oid = 'app.readings_p202501'::regclass
    """
    found = app.execute(shape.encode()).fetchall()[0]
    assert found[:2] == (True, 0)
    assert found[3:6] == ([True, True], True, 0)
    app.execute("set role authenticated")
    assert app.execute("select count(*) from app.readings where at < '2025-02-01Z'").fetchall() == [(31 * 72,)]
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        app.execute("select from app.readings_p202501")


def test_nothing_is_merged_before_somebody_says_so_and_the_plan_says_what_would_be(app: psycopg.Connection) -> None:
    plans: list[CoarseningPlan] = []

    result = coarsen(TABLE, declare(), AS_OF, Safety(), on_plan=plans.append)

    assert result == CoarseningResult(TABLE, applied=False, debt=2)
    assert len(partitions(app)) == 59
    assert "| readings_p202501 | 2025-01-01 00:00 | 2025-02-01 00:00 | 31 | 31 partitions ended" in coarsening_plan(plans[0])


def test_a_second_run_has_nothing_to_do(app: psycopg.Connection) -> None:
    apply()
    plans: list[CoarseningPlan] = []

    result = coarsen(TABLE, declare(), AS_OF, APPLY, on_plan=plans.append)

    assert result == CoarseningResult(TABLE, applied=True)
    assert coarsening_plan(plans[0]).endswith(NOTHING)


def test_at_most_so_many_are_merged_oldest_first(app: psycopg.Connection) -> None:
    result = coarsen(TABLE, declare(), AS_OF, Safety(apply=True, at_most=1))

    assert isinstance(result, CoarseningResult)
    assert (result.merged, result.debt) == ((JANUARY,), 1)


UPDATE = "update app.readings set value = 0 where id = 100"


@pytest.mark.parametrize(
    ("change", "moment"),
    [
        ("insert into app.readings (at, sensor) values ('2025-01-05Z', 'late')", "_freeze"),
        (UPDATE, "_build"),
        (UPDATE, "_swap"),
        ("delete from app.readings where id = 100", "_freeze"),
        ("update app.readings set at = '2025-03-05Z' where id = 100", "_freeze"),
        ("truncate app.readings_p20250105", "_freeze"),
        (f"set session_replication_role = replica; {UPDATE}", "_freeze"),
        ("create index readings_value on app.readings (value)", "_swap"),
        ("alter table app.readings add constraint named check (sensor <> '') not valid", "_swap"),
    ],
)
def test_a_range_that_is_written_to_meanwhile_is_given_up_and_merged_by_a_later_run(
    app: psycopg.Connection, server: Any, monkeypatch: pytest.MonkeyPatch, change: str, moment: str
) -> None:
    real, dbname = getattr(room, moment), app.info.dbname

    def meddle(*arguments: Any) -> Any:
        if arguments[1].partition == JANUARY:
            with psycopg.connect(server.superuser_dsn, dbname=dbname, autocommit=True) as writer:
                writer.execute(change.encode())
        return real(*arguments)

    monkeypatch.setattr(room, moment, meddle)
    result = apply()
    monkeypatch.undo()
    after = app.execute(CONTENT).fetchall()

    assert (result.merged, result.given_up) == ((FEBRUARY,), (JANUARY,))
    assert f"- given up: {JANUARY}: its range was changed meanwhile" in coarsening_result(result)
    assert len(partitions(app)) == 32
    watched = "select count(*) from pg_trigger where tgname like 'maintenance_coarsening%'"
    assert app.execute(watched.encode()).fetchall() == [(0,)]
    monkeypatch.setenv("DATABASE_URL", f"{app.info.dsn} password={app.info.password}")
    assert apply().merged == (JANUARY,)
    assert app.execute(CONTENT).fetchall() == after


def again(dsn: str, stop: threading.Event, statement: str, seen: set[Any]) -> None:
    """Execute `statement` until told to stop; what it returns, or the error that ended it, is in `seen`."""
    try:
        with psycopg.connect(dsn, autocommit=True) as conn:
            while not stop.is_set():
                seen.update(conn.execute(statement.encode()).fetchall())
    except psycopg.Error as error:
        seen.add(str(error))


def test_readers_and_writers_of_other_ranges_go_on_and_see_every_row_once(app: psycopg.Connection, dsn: str) -> None:
    stop, counts, written = threading.Event(), set[Any](), set[Any]()
    read = "select count(*) from app.readings where at < '2025-03-01Z'"
    write = "insert into app.readings (at, sensor) values ('2025-03-05Z', 'new') returning true"
    works = [(read, counts), (read, counts), (write, written)]
    threads = [threading.Thread(target=again, args=(dsn, stop, *work)) for work in works]
    for thread in threads:
        thread.start()
    try:
        result = apply()
    finally:
        stop.set()
        for thread in threads:
            thread.join()

    assert (counts, written) == ({(59 * 72,)}, {(True,)})
    assert result.merged == (JANUARY, FEBRUARY)


def test_a_snapshot_older_than_the_copy_is_waited_for_and_sees_every_row(
    app: psycopg.Connection, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "FREEZE_PAUSE_S", 0.01)
    with psycopg.connect(dsn) as old:
        old.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        old.execute("select 1 from pg_class limit 1")

        first = apply()

        assert (first.merged, first.waiting) == ((), (JANUARY, FEBRUARY))
        assert old.execute("select count(*) from app.readings where at < '2025-03-01Z'").fetchall() == [(59 * 72,)]
        plans: list[CoarseningPlan] = []
        second = coarsen(TABLE, declare(), AS_OF, APPLY, on_plan=plans.append)
        assert isinstance(second, CoarseningResult)
        assert (second.merged, second.waiting, plans[0].merges) == ((), (JANUARY, FEBRUARY), ())
        assert f"and 30 more: the merge into {JANUARY} is under way" in coarsening_plan(plans[0])
    third = apply()
    assert (third.merged, third.waiting) == ((JANUARY, FEBRUARY), ())
    assert tables(app) == 69 - 59 + 2


def test_a_snapshot_taken_after_the_copy_sees_every_row_after_the_exchange(
    app: psycopg.Connection, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, found = room._swap, list[Any]()

    def between(*arguments: Any) -> None:
        with psycopg.connect(dsn) as reader:
            reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            reader.execute("select 1 from pg_class limit 1")
            real(*arguments)
            found.extend(reader.execute("select count(*) from app.readings where at < '2025-03-01Z'").fetchall())

    monkeypatch.setattr(room, "_swap", between)
    apply()

    assert found == [(59 * 72,), (59 * 72,)]


HOLD = """
    insert into maintenance.hold (relation, lower, upper, reason, owner)
    values ('app.readings', '2025-01-10Z', '2025-01-11Z', 'case 7', 'legal')
"""
TRIGGER = """
    create function app.tell() returns trigger language plpgsql as 'begin return null; end';
    create trigger tell after insert on app.readings_p20250117 execute function app.tell()
"""
REFERENCE = """
    create table app.remarks (id bigint, at timestamptz, foreign key (id, at) references app.readings (id, at))
"""
RULE = "create rule told as on insert to app.readings_p20250117 do also notify told"

OWN_KEY = "alter table app.readings_p20250117 add constraint alone unique (id)"
OWN_CHECK = "alter table app.readings_p20250117 add constraint alone check (value >= 0)"
SENSORS = (
    "create table app.sensors as select distinct sensor from app.readings; alter table app.sensors add primary key (sensor)"
)
LINK = "alter table app.readings{} add constraint linked foreign key (sensor) references app.sensors"


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("drop table app.readings_p20250117", "its partitions do not cover it without a gap"),
        ("alter table app.readings detach partition app.readings_p20250101", "its partitions do not cover it without a gap"),
        (HOLD, "a legal hold lies on it: case 7"),
        ("create view app.day as select * from app.readings_p20250117", "app.readings_p20250117: app.day reads it by its name"),
        (RULE, "app.readings_p20250117: it has a rule of its own, told"),
        (TRIGGER, "app.readings_p20250117: it has a trigger of its own, tell"),
        ("create index alone on app.readings_p20250117 (value)", "app.readings_p20250117: it has an index of its own, alone"),
        (OWN_KEY, "app.readings_p20250117: it has an index of its own, alone"),
        (f"{SENSORS}; {LINK.format('_p20250117')}", "app.readings_p20250117: it has a foreign key of its own, linked"),
        (OWN_CHECK, "app.readings_p20250117: it has a CHECK of its own, alone"),
    ],
)
def test_a_range_that_cannot_be_merged_stays_and_the_plan_says_why(
    app: psycopg.Connection, statement: str, reason: str
) -> None:
    app.execute(statement.encode())
    plans: list[CoarseningPlan] = []

    result = coarsen(TABLE, declare(), AS_OF, APPLY, on_plan=plans.append)

    assert isinstance(result, CoarseningResult)
    assert result.merged == (FEBRUARY,)
    assert f"- stays: 2025-01-01 00:00 to 2025-02-01 00:00: {reason}" in coarsening_plan(plans[0])


def test_what_refers_to_the_whole_table_keeps_every_range(app: psycopg.Connection) -> None:
    app.execute(REFERENCE.encode())
    plans: list[CoarseningPlan] = []

    coarsen(TABLE, declare(), AS_OF, APPLY, on_plan=plans.append)

    assert plans[0].merges == ()
    assert all("of app.remarks refers to it" in left.reason for left in plans[0].left)
    assert len(plans[0].left) == 2


def test_a_foreign_key_of_the_whole_table_keeps_every_range(app: psycopg.Connection) -> None:
    app.execute(f"{SENSORS}; {LINK.format('')}".encode())
    plans: list[CoarseningPlan] = []

    coarsen(TABLE, declare(), AS_OF, APPLY, on_plan=plans.append)

    assert plans[0].merges == ()
    text = "app.readings_p20250101 and 30 more: its table has a foreign key, linked; attaching the copy would check every row"
    assert text in coarsening_plan(plans[0])


def test_an_index_like_its_tables_and_checks_that_repeat_its_bounds_keep_nothing(app: psycopg.Connection) -> None:
    app.execute("create index on app.readings_p20250117 (sensor, at desc)")
    app.execute("alter table app.readings detach partition app.readings_p20250118 concurrently")
    bounds = "for values from ('2025-01-18Z') to ('2025-01-19Z')"
    app.execute(f"alter table app.readings attach partition app.readings_p20250118 {bounds}".encode())

    assert apply().merged == (JANUARY, FEBRUARY)


LATE = """
    insert into app.readings_p20250101 (id, at, sensor) overriding system value values (99999, '2025-01-01T12:00Z', 'late')
"""
CARRY_OVER = """
    insert into app.readings overriding system value
    select * from app.readings_p20250101 except select * from app.readings_p202501
"""


def test_what_was_written_to_a_member_after_the_exchange_is_not_dropped(
    app: psycopg.Connection, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = room._drop_members
    with psycopg.connect(dsn) as writer:
        timer = threading.Timer(0.1, writer.commit)

        def meddle(*arguments: Any) -> int:
            if arguments[1].partition == JANUARY:
                writer.execute(LATE)
                timer.start()
            return real(*arguments)

        monkeypatch.setattr(room, "_drop_members", meddle)
        with pytest.raises(MembersWritten, match=r"app\.readings_p20250101 to app\.readings_p20250131 \(31 tables\)") as raised:
            apply()
        timer.join()
    monkeypatch.undo()
    monkeypatch.setenv("DATABASE_URL", dsn)

    assert app.execute("select sensor from app.readings_p20250101 where id = 99999").fetchall() == [("late",)]
    assert tables(app) == 69 - 28 + 2, "every other range was merged"
    with pytest.raises(MembersWritten):
        apply()
    app.execute(CARRY_OVER)
    app.execute(re.findall(r"delete from .*? = \d+", str(raised.value))[0].encode())
    assert (apply().dropped, tables(app)) == (31, 69 - 59 + 2)
    assert app.execute("select count(*) from app.readings where sensor = 'late'").fetchall() == [(1,)]


def test_a_merge_of_which_a_partition_was_detached_is_given_up(
    app: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = room._swap

    def meddle(*arguments: Any) -> None:
        if arguments[1].partition == JANUARY:
            app.execute("alter table app.readings detach partition app.readings_p20250105")
        real(*arguments)

    monkeypatch.setattr(room, "_swap", meddle)
    result = apply()

    assert (result.merged, result.given_up) == ((FEBRUARY,), (JANUARY,))
    reason = "select reason from maintenance.coarsening where state = 'abandoned'"
    assert app.execute(reason.encode()).fetchall() == [("a partition was detached meanwhile",)]
    assert app.execute("select count(*) from app.readings_p20250105").fetchall() == [(72,)]
    watched = "select count(*) from pg_trigger where tgname like 'maintenance_coarsening%'"
    assert app.execute(watched.encode()).fetchall() == [(0,)]


class Stopped(Exception):
    """The run ends here, as a killed one would."""


def stop(*_: Any) -> None:
    raise Stopped


ABANDON = "update maintenance.coarsening set state = 'abandoned' where state <> 'done'"


def test_a_merge_that_was_abandoned_by_hand_is_begun_again(app: psycopg.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(room, "_build", stop)
        with pytest.raises(Stopped):
            apply()
    app.execute(ABANDON)

    assert apply().merged == (JANUARY, FEBRUARY)


def test_a_table_that_has_the_longer_partitions_name_is_named(app: psycopg.Connection) -> None:
    app.execute(f"create table {JANUARY} ()".encode())

    with pytest.raises(NameTaken, match=f"{JANUARY} exists already"):
        apply()

    assert app.execute("select partition, state from maintenance.coarsening").fetchall() == [(FEBRUARY, "done")]


def test_a_reader_that_stays_is_named_and_nothing_is_lost(
    app: psycopg.Connection, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = room.with_lock_retries
    monkeypatch.setattr(room, "with_lock_retries", lambda *a, **k: real(*a, **{**k, "budget_s": 0.5}))
    before, swap = app.execute(CONTENT).fetchall(), room._swap
    with psycopg.connect(dsn, application_name="a long report") as reader:

        def held(*arguments: Any) -> None:
            reader.execute("select from app.readings limit 1")
            swap(*arguments)

        monkeypatch.setattr(room, "_swap", held)
        with pytest.raises(LockBusy, match="a long report"):
            coarsen(TABLE, declare(), AS_OF, Safety(apply=True, at_most=1))
        assert app.execute(CONTENT).fetchall() == before
    monkeypatch.undo()
    monkeypatch.setenv("DATABASE_URL", dsn)

    assert apply().merged == (JANUARY, FEBRUARY)
    assert app.execute(CONTENT).fetchall() == before


def test_while_another_run_holds_the_table_it_is_deferred(app: psycopg.Connection) -> None:
    inner = list[Any]()

    def work(_: Any) -> None:
        inner.append(coarsen(TABLE, declare(), AS_OF, APPLY))

    run_exclusively("enforce_retention", TABLE, work, overdue_after=timedelta(days=1))

    assert isinstance(inner[0], Deferred)
    assert len(partitions(app)) == 59


def test_a_table_that_declares_none_is_refused(app: psycopg.Connection) -> None:
    with pytest.raises(UnsuitableRelation, match=r"app\.readings.*declares no coarsening"):
        coarsen(TABLE, declare(coarsen=None), AS_OF, APPLY)


@pytest.mark.parametrize(("every", "to"), [("day", "day"), ("month", "week"), ("week", "month")])
def test_a_length_that_is_not_longer_or_does_not_fit_is_refused(every: str, to: str) -> None:
    with pytest.raises(ValueError, match=r"not longer|weeks do not tile"):
        declare(every=every, coarsen={"after": "P5D", "to": to})
