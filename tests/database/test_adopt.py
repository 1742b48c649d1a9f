"""Tables that something else made are taken over as they are: pg_partman's, one cut in a zone, one left half-way, odd bounds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tasks.core.connect import Kind, transaction
from tasks.core.declaration import Declaration
from tasks.core.errors import UnsuitableRelation
from tasks.core.ledger import Deferred
from tasks.core.names import Relation
from tasks.core.parameters import Safety
from tasks.partitions.catalog import list_partitions
from tasks.partitions.create import CreationPlan, CreationResult, RunwayShort, ensure_partitions
from tasks.partitions.creation_text import creation_plan
from tasks.partitions.plan import NameTaken
from tasks.partitions.retention_anomalies import PartitionGap
from tasks.partitions.retire import DetachedEarly, RetentionResult, retire
from tasks.partitions.standing import PartitionStands
from tests.conftest import MAINTAINER, Server

DAY = timedelta(days=1)
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
APPLY = Safety(apply=True)


@pytest.fixture
def dsn(make_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    made = make_database(sets=())
    monkeypatch.setenv("DATABASE_URL", made)
    monkeypatch.setenv("MAINTENANCE_ARCHIVE", str(tmp_path))
    return made


@pytest.fixture
def app(dsn: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("set timezone = 'UTC'")
        conn.execute("create schema app")
        yield conn


def declare(table: str, by: str = "at", keep: str | None = None, indexes: Any = None, **partitioning: Any) -> Declaration:
    declared: dict[str, Any] = {
        "why": "w",
        "owner": "o",
        "partitioning": {"by": by, "every": "day", "ahead": "P3D", **partitioning},
        "indexes": indexes or {},
    }
    if keep:
        declared["retention"] = {"keep": keep, "grace": "P7D", "at_most_per_run": 30}
    return Declaration.model_validate({"tables": {table: declared}})


def ensure(table: str, declaration: Declaration, as_of: datetime, plans: list[CreationPlan] | None = None) -> CreationResult:
    result = ensure_partitions(table, declaration, as_of, on_plan=plans.append if plans is not None else None)
    assert isinstance(result, CreationResult)
    return result


def keep_to(table: str, declaration: Declaration, as_of: datetime) -> RetentionResult:
    result = retire(table, declaration, APPLY, as_of)
    assert not isinstance(result, Deferred), result
    return result


def bounds(table: str) -> list[tuple[datetime, datetime]]:
    """Return the bounds of every partition but the default, in order."""
    with transaction(Kind.READ) as conn:
        found = list_partitions(conn, Relation.parse(table))
    return [(p.lower, p.upper) for p in found if p.lower is not None and p.upper is not None]


def assert_tiled(table: str) -> list[tuple[datetime, datetime]]:
    """Assert that each partition begins where the one before it ends; return their bounds."""
    found = bounds(table)
    assert [first[1] for first in found[:-1]] == [second[0] for second in found[1:]]
    return found


def count(conn: psycopg.Connection, relation: str) -> int:
    return conn.execute(f"select count(*) from {relation}").fetchall()[0][0]  # noqa: S608 (names of this file)


# pg_partman's table.

PARTMAN_TABLE = """
create table app.readings (id bigint not null, at timestamptz not null, value integer) partition by range (at);
create index readings_at on app.readings (at);
create table app.readings_template (like app.readings including all);
alter table app.readings_template add primary key (id);
"""
#: Twenty days behind and four ahead; what is later or older falls into the default partition, as it does when nobody watches.
PARTMAN_ROWS = """
insert into app.readings
select row_number() over (), current_date::timestamptz + d * interval '1 day' + h * interval '6 hours', h
from generate_series(-20, 6) as d, generate_series(0, 3) as h;
insert into app.readings values (0, '1999-12-31 12:00Z', 0);
"""


@pytest.fixture
def partman(app: psycopg.Connection, dsn: str, server: Server) -> psycopg.Connection:
    """Let Debian's pg_partman make a table by day and fill it; the extension's own role is the superuser."""
    as_superuser = make_conninfo(server.superuser_dsn, dbname=str(conninfo_to_dict(dsn)["dbname"]))
    with psycopg.connect(as_superuser, autocommit=True) as superuser:
        found = superuser.execute("select from pg_available_extensions where name = 'pg_partman'").fetchone()
        if found is None:
            pytest.skip("this server has no pg_partman: apt-get install postgresql-15-partman, then --server debian15")
        superuser.execute("create schema partman; create extension pg_partman schema partman")
        superuser.execute(f"grant all on schema partman to {MAINTAINER}")
        superuser.execute(f"grant all on all tables in schema partman to {MAINTAINER}")
    app.execute(PARTMAN_TABLE)
    app.execute(
        "select partman.create_parent('app.readings', 'at', 'native', 'daily', p_premake := 4,"
        " p_template_table := 'app.readings_template', p_start_partition := (current_date - 20)::text)"
    )
    app.execute(PARTMAN_ROWS)
    return app


INDEX = {"readings_value": {"columns": "value", "why": "w", "build": "after_load"}}
READINGS = "app.readings"


def test_a_table_of_pg_partman_goes_on_from_its_last_bound_and_rows_leave_its_default(partman: psycopg.Connection) -> None:
    assert bounds(READINGS)[-1][1] == TODAY + 5 * DAY
    assert count(partman, "only app.readings_default") == 9
    everything = partman.execute("select * from app.readings order by id").fetchall()
    plans: list[CreationPlan] = []

    result = ensure(READINGS, declare(READINGS, ahead="P9D"), TODAY + DAY / 2, plans)

    assert [c.lower for c in result.created] == [TODAY + n * DAY for n in range(5, 10)]
    assert [c.from_default for c in result.created] == [4, 4, 0, 0, 0]
    assert result.left_out.objects == ("PRIMARY KEY (id) (25 of them)",), "the template's key stands on its partitions alone"
    assert "- PRIMARY KEY (id) (25 of them)" in creation_plan(plans[0])
    assert_tiled(READINGS)
    assert partman.execute("select id from only app.readings_default").fetchall() == [(0,)]
    assert partman.execute("select * from app.readings order by id").fetchall() == everything
    assert ensure(READINGS, declare(READINGS, ahead="P9D"), TODAY + DAY / 2).created == ()


def test_retention_and_indexes_work_on_a_table_of_pg_partman(partman: psycopg.Connection) -> None:
    declaration = declare(READINGS, ahead="P9D", keep="P10D", indexes=INDEX)
    ensure(READINGS, declaration, TODAY)
    rows = count(partman, READINGS)

    result = keep_to(READINGS, declaration, TODAY)

    assert len(result.detached) == len(result.archived) == 10
    assert count(partman, READINGS) == rows - 40
    assert bounds(READINGS)[0][0] == TODAY - 10 * DAY
    assert ensure(READINGS, declaration, TODAY).created == (), "what retention emptied is no gap to fill"
    valid = "select bool_and(indisvalid), count(*) from pg_index where indexrelid in (select inhrelid from pg_inherits where inhparent = 'app.readings_value'::regclass)"
    assert partman.execute(valid).fetchone() == (True, 20)
    after_grace = keep_to_later(declaration)
    assert len(after_grace.dropped) == 10


def keep_to_later(declaration: Declaration) -> RetentionResult:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAINTENANCE_ALLOW_FUTURE", "1")
        return keep_to(READINGS, declaration, TODAY + 8 * DAY)


# A table cut in a zone, as pagila's payments are.

LONDON = ZoneInfo("Europe/London")
PAYMENT = "app.payment"
PAGILA = """
create table app.customer (customer_id integer primary key);
insert into app.customer select generate_series(1, 5);
create table app.payment (
    payment_id integer generated by default as identity, customer_id integer not null, amount numeric(5, 2) not null,
    payment_date timestamptz not null, primary key (payment_date, payment_id)
) partition by range (payment_date);
"""
PAGILA_PARTITION = """
create table app.{name} partition of app.payment for values from ('{lower}') to ('{upper}');
create index idx_fk_{name}_customer_id on app.{name} (customer_id);
alter table app.{name} add constraint {name}_customer_id_fkey foreign key (customer_id) references app.customer;
"""


def month(year: int, number: int, zone: ZoneInfo) -> datetime:
    """Return the first instant of a month, counted on past December."""
    return datetime(year + (number - 1) // 12, (number - 1) % 12 + 1, 1, tzinfo=zone)


def make_payments(conn: psycopg.Connection, zone: ZoneInfo) -> None:
    """Make January to July 2022 with indexes and foreign keys on the partitions alone, as pagila's script does."""
    conn.execute(PAGILA)
    for number in range(1, 8):
        names = {
            "name": f"payment_p2022_{number:02d}",
            "lower": month(2022, number, zone),
            "upper": month(2022, number + 1, zone),
        }
        conn.execute(PAGILA_PARTITION.format(**names).encode())
    conn.execute(
        "insert into app.payment (customer_id, amount, payment_date)"
        " select n %% 5 + 1, 1, %s + n * interval '6 hours' from generate_series(0, 800) n",
        [month(2022, 1, zone)],
    )


def test_months_of_london_go_on_at_london_midnights(app: psycopg.Connection) -> None:
    make_payments(app, LONDON)
    declaration = declare(PAYMENT, "payment_date", every="month", ahead="P400D", zone="Europe/London")
    plans: list[CreationPlan] = []

    result = ensure(PAYMENT, declaration, datetime(2022, 7, 20, tzinfo=UTC), plans)

    found = assert_tiled(PAYMENT)
    assert found == [(month(2022, n, LONDON), month(2022, n + 1, LONDON)) for n in range(1, 21)]
    hours = [lower.astimezone(UTC).hour for lower, _ in found]
    assert hours == [0] * 3 + [23] * 7 + [0] * 5 + [23] * 5, "summer months begin at 23:00 in UTC"
    assert result.created[0].name == "payment_p202208"
    assert result.left_out.objects == (
        "FOREIGN KEY (customer_id) REFERENCES app.customer(customer_id) (7 of them)",
        "index USING btree (customer_id) (7 of them)",
    )
    assert ensure(PAYMENT, declaration, datetime(2022, 7, 20, tzinfo=UTC)).created == ()
    put(app, "2022-10-31 23:59:59Z", "payment_p202210")
    put(app, "2023-03-31 22:59:59.999999Z", "payment_p202303")
    put(app, "2023-03-31 23:00Z", "payment_p202304")


def put(conn: psycopg.Connection, instant: str, partition: str) -> None:
    """Write a payment at an instant and see in which partition it lies."""
    insert = "insert into app.payment (customer_id, amount, payment_date) values (1, 2, %s) returning tableoid::regclass::text"
    assert conn.execute(insert, [instant]).fetchone() == (f"app.{partition}",)


@pytest.mark.parametrize(("made_in", "declared"), [("UTC", "Europe/London"), ("Europe/London", "UTC")])
def test_a_zone_other_than_the_tables_own_is_joined_without_gap_or_overlap(
    app: psycopg.Connection, made_in: str, declared: str
) -> None:
    """The dump of pagila itself says 01:00+01 where its session was in London: bounds of UTC, read as local ones by many."""
    make_payments(app, ZoneInfo(made_in))
    last = bounds(PAYMENT)[-1][1]
    declaration = declare(PAYMENT, "payment_date", every="month", ahead="P60D", zone=declared)

    result = ensure(PAYMENT, declaration, datetime(2022, 7, 20, tzinfo=UTC))

    found = assert_tiled(PAYMENT)
    assert result.created[0].lower == last
    assert found[-1][1] == month(2022, 10, ZoneInfo(declared))
    assert count(app, PAYMENT) == 801


@pytest.mark.parametrize(("clock", "hours"), [("2022-03-27", 23), ("2022-10-30", 25)])
def test_local_days_of_23_and_25_hours_hold_their_rows(app: psycopg.Connection, clock: str, hours: int) -> None:
    app.execute("create table app.t (at timestamptz not null) partition by range (at)")
    noon = datetime.fromisoformat(clock).replace(hour=12, tzinfo=LONDON)
    begin = datetime.fromisoformat(clock).replace(tzinfo=LONDON)

    ensure("app.t", declare("app.t", zone="Europe/London"), noon)

    found = assert_tiled("app.t")
    assert [(upper - lower) / timedelta(hours=1) for lower, upper in found] == [hours, 24, 24, 24]
    app.execute("insert into app.t select %s + n * interval '30 minutes' from generate_series(0, %s) n", [begin, 2 * hours - 1])
    assert count(app, f"app.t_p{clock.replace('-', '')}") == 2 * hours


# A table that was left half-way.


def make_days(conn: psycopg.Connection, days: range, *, without: int | None = None) -> None:
    """Make a table by day, counted from today, with two rows in each day that has begun; names are of no pattern of ours."""
    conn.execute(
        "create table app.readings (id bigint generated always as identity, at timestamptz not null) partition by range (at)"
    )
    for day in days:
        if day != without:
            lower, upper = TODAY + day * DAY, TODAY + (day + 1) * DAY
            name = f"day_{lower:%Y_%m_%d}"
            conn.execute(
                f"create table app.{name} partition of app.readings for values from ('{lower}') to ('{upper}')".encode()
            )
            if day < 0:
                conn.execute("insert into app.readings (at) values (%s), (%s)", [lower, upper - timedelta(microseconds=1)])


def interrupt_detach(conn: psycopg.Connection, dsn: str, day: int, by: str) -> str:
    """Leave a pending detach for real: a reader is in its way until lock_timeout or a cancel ends the wait."""
    name = f"app.day_{TODAY + day * DAY:%Y_%m_%d}"
    setting = {"lock_timeout": "set lock_timeout = '150ms'", "cancel": "set statement_timeout = '150ms'"}[by]
    with psycopg.connect(dsn) as reader:
        reader.execute("select count(*) from app.readings")
        conn.execute(setting.encode())
        with pytest.raises((psycopg.errors.LockNotAvailable, psycopg.errors.QueryCanceled)):
            conn.execute(f"alter table app.readings detach partition {name} concurrently".encode())
        conn.execute("reset lock_timeout; reset statement_timeout")
    return name


@pytest.mark.parametrize("by", ["lock_timeout", "cancel"])
def test_a_gap_and_a_pending_detach_that_is_due_are_both_mended(app: psycopg.Connection, dsn: str, by: str) -> None:
    make_days(app, range(-14, 1), without=-4)
    name = interrupt_detach(app, dsn, -14, by)
    assert count(app, READINGS) == 2 * 12, "its rows are hidden"
    declaration, plans = declare(READINGS, keep="P10D"), list[CreationPlan]()

    result = ensure(READINGS, declaration, TODAY, plans)

    assert result.pending == plans[0].pending == (name,)
    assert f"The detach of {name} is pending: its rows are hidden" in creation_plan(plans[0])
    assert [c.lower for c in result.created] == [TODAY - 4 * DAY, TODAY + DAY, TODAY + 2 * DAY]
    kept = keep_to(READINGS, declaration, TODAY)
    assert f"\n| finalize | {name} |" in kept.plan
    assert len(kept.archived) == 4
    assert assert_tiled(READINGS)[0][0] == TODAY - 10 * DAY
    assert ensure(READINGS, declaration, TODAY).created == (), "what retention took is not made again"
    assert "is pending" not in creation_plan(plans[-1]) or len(plans) == 1


def test_a_pending_detach_that_was_not_due_leaves_a_hole_that_is_named_and_undone(app: psycopg.Connection, dsn: str) -> None:
    make_days(app, range(-14, 1))
    name = interrupt_detach(app, dsn, -2, "lock_timeout")
    declaration = declare(READINGS, keep="P10D")
    assert ensure(READINGS, declaration, TODAY).pending == (name,)
    assert all(lower > TODAY - DAY for lower, _ in bounds(READINGS)[-2:]), "while it is pending its range is its own"

    with pytest.raises(DetachedEarly, match="Bring it back with"):
        keep_to(READINGS, declaration, TODAY)

    with pytest.raises(PartitionGap):
        keep_to(READINGS, declaration, TODAY)
    with pytest.raises(PartitionStands, match="all of its rows lie there") as named:
        ensure(READINGS, declaration, TODAY)
    app.execute(named.value.attach)
    assert ensure(READINGS, declaration, TODAY).created == ()
    assert count(app, name) == 2
    assert_tiled(READINGS)
    assert len(keep_to(READINGS, declaration, TODAY).archived) == 4


def test_a_pending_detach_in_the_runway_fails_the_run_that_leaves_it(app: psycopg.Connection, dsn: str) -> None:
    make_days(app, range(-2, 4))
    name = interrupt_detach(app, dsn, 1, "lock_timeout")

    with pytest.raises(RunwayShort, match=f"the detach of {name} is pending"):
        ensure(READINGS, declare(READINGS, ahead="P5D"), TODAY)

    assert assert_tiled(READINGS)[-1][1] == TODAY + 5 * DAY, "what is behind it was made all the same"


# Odd partitions.


def test_irregular_and_sub_partitioned_children_are_left_alone(app: psycopg.Connection) -> None:
    app.execute("create table app.t (at timestamptz not null, region text not null) partition by range (at)")
    app.execute(
        """
        create table app.ancient partition of app.t for values from (minvalue) to ('2025-01-01 07:13Z');
        create table app.odd partition of app.t for values from ('2025-01-01 07:13Z') to ('2025-02-11 11:11:11.111111Z');
        create table app.split partition of app.t for values from ('2025-02-11 11:11:11.111111Z') to ('2025-03-01 06:00Z')
            partition by list (region);
        create table app.split_a partition of app.split for values in ('a');
        create table app.split_rest partition of app.split default;
        insert into app.t select '2025-01-31Z'::timestamptz + n * interval '1 hour', case n % 2 when 0 then 'a' else 'b' end
        from generate_series(0, 600) n;
        """
    )
    declaration = declare("app.t", every="day", ahead="P2D", keep="P365D")
    before = "select oid, relfilenode, relispartition from pg_class where relname in ('ancient', 'odd', 'split_a', 'split_rest') order by oid"
    was = app.execute(before).fetchall()

    result = ensure("app.t", declaration, datetime(2025, 2, 28, 12, tzinfo=UTC))

    assert [(c.lower.isoformat(), c.upper.isoformat()) for c in result.created] == [
        ("2025-03-01T06:00:00+00:00", "2025-03-02T00:00:00+00:00"),
        ("2025-03-02T00:00:00+00:00", "2025-03-03T00:00:00+00:00"),
    ]
    assert app.execute(before).fetchall() == was
    assert count(app, "app.t") == 601


def test_an_index_that_a_sub_partitioned_child_cannot_have_is_refused_after_the_runway_was_made(
    app: psycopg.Connection,
) -> None:
    make_days(app, range(-2, 1), without=-1)
    lower = TODAY - DAY
    app.execute(
        f"create table app.split partition of app.readings for values from ('{lower}') to ('{TODAY}') partition by hash (id)".encode()
    )

    with pytest.raises(UnsuitableRelation, match=r"its partition app\.split is partitioned itself"):
        ensure(READINGS, declare(READINGS, indexes={"by_id": {"columns": "id", "why": "w"}}), TODAY)

    assert assert_tiled(READINGS)[-1][1] == TODAY + 3 * DAY


def test_retention_names_a_sub_partitioned_child_that_is_due_and_takes_the_rest(app: psycopg.Connection) -> None:
    make_days(app, range(-14, 4), without=-13)
    lower = TODAY - 13 * DAY
    app.execute(
        f"create table app.split partition of app.readings for values from ('{lower}') to ('{lower + DAY}') partition by hash (id)".encode()
    )
    app.execute("create table app.split_0 partition of app.split for values with (modulus 1, remainder 0)")

    result = keep_to(READINGS, declare(READINGS, keep="P10D"), TODAY)

    assert len(result.archived) == 3
    assert [(debt.partition, "partitioned itself" in debt.reason) for debt in result.debt] == [("app.split", True)]
    assert ensure(READINGS, declare(READINGS, keep="P10D"), TODAY).created == ()


ODD_NAMES = ("Readings 2024", 'say "when"', "größe-%s-{lower}", "select")


def test_partitions_of_odd_names_are_taken_over_and_retired(app: psycopg.Connection) -> None:
    make_days(app, range(-5, 4))
    for number, name in enumerate(ODD_NAMES):
        lower = TODAY - (14 - number) * DAY
        statement = sql.SQL("create table app.{} partition of app.readings for values from ({}) to ({})")
        app.execute(statement.format(sql.Identifier(name), lower, lower + DAY))
        app.execute("insert into app.readings (at) values (%s)", [lower])
    declaration = declare(READINGS, keep="P10D", indexes={"by_id": {"columns": "id", "why": "w", "build": "after_load"}})

    created = ensure(READINGS, declaration, TODAY)
    kept = keep_to(READINGS, declaration, TODAY)

    assert [c.lower for c in created.created] == [TODAY - n * DAY for n in range(10, 5, -1)]
    assert sorted(kept.archived) == sorted(f"app.{name}" for name in ODD_NAMES)
    assert set(ODD_NAMES) <= {name.partition(".")[2] for name in keep_to_later(declaration).dropped}


def test_a_name_with_a_dot_is_named_and_the_rest_goes_on(app: psycopg.Connection) -> None:
    make_days(app, range(-14, 4))
    for day in (-12, 3):
        app.execute(f'alter table app."day_{TODAY + day * DAY:%Y_%m_%d}" rename to "day.{abs(day)}"'.encode())

    result = keep_to(READINGS, declare(READINGS, keep="P10D"), TODAY)

    assert len(result.archived) == 3
    assert [(debt.partition, "has a dot" in debt.reason) for debt in result.debt] == [("app.day.12", True)]


@pytest.fixture
def foreign_server(app: psycopg.Connection, dsn: str, server: Server) -> psycopg.Connection:
    as_superuser = make_conninfo(server.superuser_dsn, dbname=str(conninfo_to_dict(dsn)["dbname"]))
    with psycopg.connect(as_superuser, autocommit=True) as superuser:
        superuser.execute("create foreign data wrapper nowhere; create server elsewhere foreign data wrapper nowhere")
        superuser.execute(f"grant usage on foreign server elsewhere to {MAINTAINER}")
    return app


def test_a_foreign_table_with_the_next_partitions_name_is_found_before_anything_is_made(
    foreign_server: psycopg.Connection,
) -> None:
    make_days(foreign_server, range(-2, 1))
    name = f"app.readings_p{TODAY + 2 * DAY:%Y%m%d}"
    foreign_server.execute(f"create foreign table {name} (id bigint, at timestamptz) server elsewhere".encode())
    was = bounds(READINGS)

    with pytest.raises(NameTaken, match=f"{name} exists already"):
        ensure(READINGS, declare(READINGS), TODAY)

    assert bounds(READINGS) == was


def test_a_foreign_table_that_is_a_partition_counts_and_is_left_alone(foreign_server: psycopg.Connection) -> None:
    """Old days that somebody keeps elsewhere, and today's successor there too."""
    make_days(foreign_server, range(-12, 1), without=-12)
    for day in (-12, 1):
        lower = TODAY + day * DAY
        foreign_server.execute(
            f"create foreign table app.far{abs(day)} partition of app.readings"
            f" for values from ('{lower}') to ('{lower + DAY}') server elsewhere".encode()
        )
    declaration = declare(READINGS, keep="P10D")

    result = ensure(READINGS, declaration, TODAY)

    assert [c.lower for c in result.created] == [TODAY + 2 * DAY]
    kept = plan_only(declaration)
    assert [(debt.partition, "foreign table" in debt.reason) for debt in kept.debt] == [("app.far12", True)]


def plan_only(declaration: Declaration) -> RetentionResult:
    result = retire(READINGS, declaration, Safety(), TODAY)
    assert isinstance(result, RetentionResult)
    return result


# Every interval on every type of key.

INTERVALS = ("hour", "day", "week", "month", "quarter", "year")
KEYS = {"timestamptz": INTERVALS, "timestamp": INTERVALS, "date": INTERVALS[1:]}
LENGTH = {"hour": "PT5H", "day": "P4D", "week": "P30D", "month": "P120D", "quarter": "P300D", "year": "P800D"}


@pytest.mark.parametrize("key", KEYS)
def test_every_interval_tiles_over_a_leap_day_and_a_years_end(app: psycopg.Connection, key: str) -> None:
    for every in KEYS[key]:
        as_of = datetime(2024, 12, 30, 22, tzinfo=UTC) if every in ("hour", "year") else datetime(2024, 2, 28, 22, tzinfo=UTC)
        app.execute(f"create table app.{every} (at {key} not null) partition by range (at)".encode())
        declaration = declare(f"app.{every}", every=every, ahead=LENGTH[every])

        result = ensure(f"app.{every}", declaration, as_of)

        found = assert_tiled(f"app.{every}")
        assert found == [(c.lower, c.upper) for c in result.created]
        assert found[0][0] <= as_of
        assert found[-1][1] >= as_of + declaration.table(f"app.{every}").partitioning.ahead
        fill(app, every, as_of, found[-1][1])
        assert ensure(f"app.{every}", declaration, as_of).created == ()


def fill(conn: psycopg.Connection, table: str, lower: datetime, upper: datetime) -> None:
    """Write a row for each half hour of [lower, upper): where a partition were missing it would be refused."""
    series = "select n from generate_series(%s::timestamp, %s::timestamp, '30 minutes') n"
    ends = [lower.replace(tzinfo=None), (upper - timedelta(minutes=30)).replace(tzinfo=None)]
    conn.execute(f"insert into app.{table} {series}".encode(), ends)


def test_an_adopted_table_of_dates_goes_on_from_its_last_day(app: psycopg.Connection) -> None:
    app.execute("create table app.t (at date not null) partition by range (at)")
    app.execute("create table app.t_old partition of app.t for values from ('2024-01-15') to ('2024-02-20')")

    result = ensure("app.t", declare("app.t", every="month", ahead="P20D"), datetime(2024, 2, 10, tzinfo=UTC))

    assert [c.name for c in result.created] == ["t_p20240220t000000"]
    assert assert_tiled("app.t")[-1][1] == datetime(2024, 3, 1, tzinfo=UTC)
    app.execute("insert into app.t values (%s)", [date(2024, 2, 29)])
