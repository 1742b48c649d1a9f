"""Partitions are made ahead of time, closed, beside a live table, once each (D2, D3, D8)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tasks.core.connect import Kind, transaction
from tasks.core.declaration import Declaration
from tasks.core.errors import (
    InvalidName,
    LockBusy,
    MissingRelation,
    MissingRight,
    NotDeclared,
    RunLost,
    Unfinished,
    UnsuitableRelation,
)
from tasks.core.flowruns import each
from tasks.core.ledger import Deferred
from tasks.core.names import Relation
from tasks.partitions import build, create
from tasks.partitions.catalog import list_partitions, read_parent
from tasks.partitions.create import CreationPlan, CreationResult, RunwayShort, ensure_partitions
from tasks.partitions.creation_text import creation_plan
from tasks.partitions.default_rows import DefaultHoldsRows
from tasks.partitions.plan import NameTaken
from tasks.partitions.standing import PartitionStands
from tests.conftest import MAINTAINER, Server
from tests.declarations import make_second, second_declaration

AS_OF = datetime(2025, 8, 10, 15, tzinfo=UTC)
READINGS = Relation("app", "readings")
SCHEMA = """
create schema app;
create table app.readings (
    id bigint generated always as identity,
    at timestamptz not null default now(),
    sensor text not null check (sensor <> ''),
    value integer,
    primary key (id, at)
) partition by range (at);
comment on table app.readings is 'It''s {what} was measured, 100% of it.';
create index readings_sensor on app.readings (sensor, at desc);
alter table app.readings enable row level security;
create policy everyone on app.readings to authenticated, service_member using (true) with check (true);
grant usage on schema app to anon, authenticated, service_role;
"""
TABLE: dict[str, Any] = {"why": "w", "owner": "o", "partitioning": {"by": "at", "every": "day", "ahead": "P3D"}}


def declare(name: str = "app.readings", **partitioning: str) -> Declaration:
    table = {**TABLE, "partitioning": {**TABLE["partitioning"], **partitioning}}
    return Declaration.model_validate({"tables": {name: table}})


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


@pytest.fixture
def other(dsn: str, app: psycopg.Connection) -> Iterator[psycopg.Connection]:
    """A second session, for what happens beside the first."""
    with psycopg.connect(dsn, autocommit=True, application_name="the application") as conn:
        yield conn


def ensure(as_of: datetime = AS_OF, **partitioning: str) -> CreationResult:
    result = ensure_partitions("app.readings", declare(**partitioning), as_of)
    assert isinstance(result, CreationResult)
    return result


def bounds(parent: Relation = READINGS) -> list[tuple[str, datetime | None, datetime | None]]:
    with transaction(Kind.READ) as conn:
        return [(p.relation.name, p.lower, p.upper) for p in list_partitions(conn, parent)]


def names() -> list[str]:
    return [name for name, _, _ in bounds()]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def attach(conn: psycopg.Connection, name: str, lower: str, upper: str) -> None:
    statement = sql.SQL("create table app.{} partition of app.readings for values from ({}) to ({})")
    conn.execute(statement.format(sql.Identifier(name), lower, upper))


RUNWAY = ["readings_p20250810", "readings_p20250811", "readings_p20250812", "readings_p20250813"]


def test_an_empty_table_gets_today_and_its_runway(app: psycopg.Connection) -> None:
    result = ensure()

    assert [c.name for c in result.created] == names() == RUNWAY
    assert bounds()[0] == ("readings_p20250810", at("2025-08-10"), at("2025-08-11"))
    assert result.runway_until == at("2025-08-14")
    app.execute("insert into app.readings (at, sensor) values ('2025-08-13 23:59:59.999999Z', 'a')")
    assert app.execute("select tableoid::regclass::text from app.readings").fetchone() == ("app.readings_p20250813",)


def test_a_second_run_plans_nothing(app: psycopg.Connection) -> None:
    ensure()
    plans: list[CreationPlan] = []

    again = ensure_partitions("app.readings", declare(), AS_OF, on_plan=plans.append)

    assert isinstance(again, CreationResult)
    assert again.created == plans[0].creates == plans[0].statements == ()
    assert "Nothing is due" in creation_plan(plans[0])
    assert names() == RUNWAY


def test_what_exists_keeps_its_rows_bounds_and_files(app: psycopg.Connection) -> None:
    attach(app, "readings_first", "2025-08-09", "2025-08-11 06:00")
    app.execute("insert into app.readings (at, sensor) select '2025-08-10 12:00Z', 's' || i from generate_series(1, 100) i")
    facts = "select pg_relation_filenode('app.readings_first'), (select count(*) from app.readings), (select count(*) from pg_policy)"
    before = app.execute(facts).fetchone()

    ensure()

    assert app.execute(facts).fetchone() == before
    assert names() == ["readings_first", "readings_p20250811t060000", "readings_p20250812", "readings_p20250813"]
    assert bounds()[1][1:] == (at("2025-08-11 06:00"), at("2025-08-12"))


def test_a_gap_is_filled(app: psycopg.Connection) -> None:
    ensure()
    app.execute("drop table app.readings_p20250812")

    assert [c.reason for c in ensure().created] == ["fills the gap from 2025-08-12 to 2025-08-13"]
    assert names() == RUNWAY


@pytest.mark.parametrize("name", ["readings_p20250811", "readings_old"], ids=["name", "rows"])
def test_where_a_former_partition_stands_nothing_is_made_in_its_place_and_the_rest_is(
    app: psycopg.Connection, name: str
) -> None:
    ensure()
    app.execute("insert into app.readings (at, sensor) values ('2025-08-11 10:00', 'a')")
    app.execute("alter table app.readings detach partition app.readings_p20250811")
    app.execute(f"alter table app.readings_p20250811 rename to {name}" if name != "readings_p20250811" else "select 1")
    app.execute("create table app.backup (like app.readings including all)")
    app.execute("insert into app.backup (at, sensor) values ('2025-08-11 10:00', 'a'), ('2025-08-12 10:00', 'a')")
    shown: list[CreationPlan] = []

    with pytest.raises(
        PartitionStands, match=rf"\[2025-08-11 00:00 UTC, 2025-08-12 00:00 UTC\), and app\.{name} stands"
    ) as named:
        ensure_partitions("app.readings", declare(ahead="P5D"), AS_OF, on_plan=shown.append)

    assert names() == [RUNWAY[0], *RUNWAY[2:], "readings_p20250814", "readings_p20250815"]
    assert "Left open: app.readings has no partition for" in creation_plan(shown[0])
    app.execute(named.value.attach)
    assert ensure(ahead="P5D").created == ()
    assert app.execute("select count(*) from app.readings").fetchone() == (1,)


def test_what_retention_has_detached_stands_in_its_place_until_it_is_dropped(app: psycopg.Connection) -> None:
    ensure()
    app.execute("alter table app.readings detach partition app.readings_p20250811")
    app.execute("alter table app.readings_p20250811 rename to readings_old")
    app.execute(
        "insert into maintenance.retirement (parent, partition, partition_oid, lower, upper, state, reason, run_id, due_at)"
        " select 'app.readings', 'app.readings_old', 'app.readings_old'::regclass, '2025-08-11', '2025-08-12', 'detached', 'due', max(id), now()"
        " from maintenance.run"
    )

    with pytest.raises(PartitionStands, match="retention has detached it and not dropped it yet"):
        ensure()

    app.execute("drop table app.readings_old")
    assert [create.name for create in ensure().created] == ["readings_p20250811"]


def test_a_partition_is_like_its_parent(app: psycopg.Connection) -> None:
    ensure()

    copied = """
        select
            c.relowner::regrole::text, obj_description(c.oid),
            (select pg_get_expr(adbin, adrelid) from pg_attrdef d join pg_attribute a
                on a.attrelid = d.adrelid and a.attnum = d.adnum where d.adrelid = c.oid and a.attname = 'at'),
            array(select pg_get_constraintdef(k.oid) from pg_constraint k where k.conrelid = c.oid and k.contype = 'c'),
            array(select regexp_replace(pg_get_indexdef(i.indexrelid), '^.* USING ', '') from pg_index i
                where i.indrelid = c.oid and i.indisvalid order by 1)
        from pg_class c where c.oid = 'app.{}'::regclass
    """
    parent, partition = (app.execute(copied.format(name)).fetchone() for name in ("readings", "readings_p20250811"))
    assert partition == parent
    assert parent is not None
    assert parent[1:] == (
        "It's {what} was measured, 100% of it.",
        "now()",
        ["CHECK ((sensor <> ''::text))"],
        ["btree (id, at)", "btree (sensor, at DESC)"],
    )


def test_an_identity_keeps_counting_through_the_parent(app: psycopg.Connection) -> None:
    ensure()

    app.execute("insert into app.readings (at, sensor) values ('2025-08-10Z', 'a'), ('2025-08-13Z', 'b')")

    assert app.execute("select array_agg(id order by id) from app.readings").fetchone() == ([1, 2],)


ROLES = ("anon", "authenticated", "service_role", "service_member")
READ, WRITE = "select from app.{}", "insert into app.{} (at, sensor) values ('2025-08-11Z', 'x')"


def probe(conn: psycopg.Connection, role: str, statement: str) -> str | None:
    """Run a statement as `role` and return the SQLSTATE of its refusal, None where it was allowed."""
    with conn.transaction(force_rollback=True):
        conn.execute(sql.SQL("set local role {}").format(sql.Identifier(role)))
        try:
            conn.execute(statement)
        except psycopg.Error as error:
            return error.sqlstate
    return None


@pytest.mark.parametrize("role", ROLES)
def test_no_role_of_the_api_reaches_a_partition(app: psycopg.Connection, role: str) -> None:
    """Supabase's default privileges grant everything on a new table; the database of this test has them."""
    app.execute("create table app.granted_silently (at timestamptz, sensor text)")
    assert probe(app, role, READ.format("granted_silently")) is None

    ensure()

    assert probe(app, role, READ.format("readings_p20250811")) == "42501"
    assert probe(app, role, WRITE.format("readings_p20250811")) == "42501"
    assert probe(app, role, "truncate app.readings_p20250811") == "42501"


def test_roles_read_and_write_through_the_parent_as_its_policies_say(app: psycopg.Connection) -> None:
    ensure()

    assert probe(app, "authenticated", WRITE.format("readings")) is None
    assert probe(app, "service_member", READ.format("readings")) is None
    assert probe(app, "service_role", WRITE.format("readings")) is None
    assert probe(app, "anon", WRITE.format("readings")) == "42501"


def test_a_partition_has_row_level_security_and_no_policy(app: psycopg.Connection) -> None:
    ensure()

    facts = "select relrowsecurity, relacl::text, (select count(*) from pg_policy where polrelid = oid) from pg_class where relname = %s"
    row = app.execute(facts, ["readings_p20250811"]).fetchone()
    assert row is not None
    assert (row[0], row[2]) == (True, 0)
    assert row[1].startswith("{" + MAINTAINER + "=")
    assert "," not in row[1]


def test_an_adopted_table_without_row_level_security_keeps_what_its_siblings_have(app: psycopg.Connection) -> None:
    app.execute("drop policy everyone on app.readings")
    app.execute("alter table app.readings disable row level security")
    attach(app, "readings_old", "2025-08-09", "2025-08-11")
    app.execute(
        """
        revoke all on app.readings_old from anon, authenticated, service_role;
        grant select, update on app.readings_old to authenticated;
        grant insert on app.readings_old to service_role with grant option;
        alter table app.readings_old enable row level security;
        create policy "Odd, name" on app.readings_old as restrictive for update to authenticated using (value > 1) with check (value < 9);
        alter table app.readings_old set (fillfactor = 70, autovacuum_enabled = false, toast.autovacuum_enabled = false);
        alter table app.readings_old replica identity full;
        """
    )

    ensure()

    facts = """
        select relrowsecurity, relreplident, relacl, reloptions,
            (select array_agg((polname, polcmd, polpermissive, polroles, pg_get_expr(polqual, polrelid),
                pg_get_expr(polwithcheck, polrelid))::text) from pg_policy where polrelid = c.oid)
        from pg_class c where relname = %s
    """
    old = app.execute(facts, ["readings_old"]).fetchone()
    assert app.execute(facts, ["readings_p20250812"]).fetchone() == old
    assert old is not None
    assert (old[0], old[1]) == (True, "f")


def test_an_index_as_replica_identity_is_that_of_the_partition(app: psycopg.Connection) -> None:
    app.execute("create unique index readings_identity on app.readings (sensor, at)")
    ensure(as_of=AS_OF - timedelta(days=1))
    app.execute("alter table app.readings_p20250812 replica identity using index readings_p20250812_sensor_at_idx")

    ensure()

    found = app.execute(
        "select x.relname from pg_index i join pg_class x on x.oid = i.indexrelid where indisreplident and indrelid = %s::regclass",
        ["app.readings_p20250813"],
    ).fetchone()
    assert found == ("readings_p20250813_sensor_at_idx",)


def test_a_partition_belongs_to_its_parents_owner(app: psycopg.Connection) -> None:
    app.execute("grant usage, create on schema app to service_member")
    app.execute("alter table app.readings owner to service_member")

    ensure()

    owners = app.execute("select distinct relowner::regrole::text from pg_class where relname like 'readings%'").fetchall()
    assert owners == [("service_member",)]
    assert probe(app, "authenticated", READ.format("readings_p20250811")) == "42501"


def test_attaching_scans_nothing(app: psycopg.Connection) -> None:
    """A full partition is attached in the time of a catalog change: the CHECK for its bounds is proof enough."""
    said: list[str] = []
    with transaction(Kind.DDL) as conn:
        conn.add_notice_handler(lambda notice: said.append(notice.message_primary or ""))
        conn.execute("set local client_min_messages = debug1")
        parent = read_parent(conn, READINGS)
        lower, upper = at("2025-08-10"), at("2025-08-11")
        partition = build.build_partition(conn, parent, "readings_x", lower, upper)
        conn.execute("insert into app.readings_x (id, at, sensor) select i, '2025-08-10Z', 's' from generate_series(1, 10) i")
        build.finish_partition(conn, parent, partition)
        build.attach_partition(conn, parent, partition, lower, upper)

    assert 'partition constraint for table "readings_x" is implied by existing constraints' in said
    assert app.execute("select count(*) from app.readings").fetchone() == (10,)
    assert app.execute("select count(*) from pg_constraint where conname = 'maintenance_bounds'").fetchone() == (0,)


def attach_a_granted_one() -> None:
    lower, upper = at("2025-08-10"), at("2025-08-11")
    with transaction(Kind.DDL) as conn:
        parent = read_parent(conn, READINGS)
        partition = build.build_partition(conn, parent, "readings_x", lower, upper)
        conn.execute("grant select on app.readings_x to anon")
        build.attach_partition(conn, parent, partition, lower, upper)


def test_a_partition_that_is_not_what_was_planned_is_not_kept(app: psycopg.Connection) -> None:
    with pytest.raises(build.PartitionMismatch, match="it is open to anon"):
        attach_a_granted_one()

    assert app.execute("select to_regclass('app.readings_x')").fetchone() == (None,)


def test_readers_and_writers_go_on_while_a_partition_is_attached(app: psycopg.Connection, other: psycopg.Connection) -> None:
    attach(app, "readings_old", "2025-08-01", "2025-08-11")
    other.execute("set lock_timeout = '200ms'")

    with transaction(Kind.DDL) as conn:
        parent = read_parent(conn, READINGS)
        lower, upper = at("2025-08-11"), at("2025-08-12")
        partition = build.build_partition(conn, parent, "readings_x", lower, upper)
        build.finish_partition(conn, parent, partition)
        build.attach_partition(conn, parent, partition, lower, upper)
        other.execute("insert into app.readings (at, sensor) values ('2025-08-10Z', 'during')")
        assert other.execute("select count(*) from app.readings").fetchone() == (1,)


def test_an_open_transaction_that_read_and_wrote_does_not_hold_creation_up(
    app: psycopg.Connection, other: psycopg.Connection
) -> None:
    attach(app, "readings_old", "2025-08-01", "2025-08-11")
    with other.transaction():
        other.execute("insert into app.readings (at, sensor) values ('2025-08-10Z', 'before')")
        other.execute("select from app.readings")

        assert len(ensure().created) == 3


def test_a_lock_held_by_another_session_is_named(
    app: psycopg.Connection, other: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(create, "LOCK_BUDGET_S", 0.5)
    with other.transaction():
        other.execute("lock table app.readings in share update exclusive mode")

        with pytest.raises(
            LockBusy, match=r"wanted to attach readings_p20250810 to.*the application.*lock table app\.readings"
        ):
            ensure()

    assert names() == []


def test_a_run_that_dies_within_a_partition_keeps_the_ones_before_and_resumes(
    app: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = build.attach_partition

    def die_at_the_third(conn: Any, parent: Any, partition: Relation, *rest: datetime) -> None:
        whole(conn, parent, partition, *rest)
        if partition.name == RUNWAY[2]:
            raise KeyboardInterrupt

    monkeypatch.setattr(build, "attach_partition", die_at_the_third)
    with suppress(KeyboardInterrupt):
        ensure()
    assert names() == RUNWAY[:2]
    assert app.execute("select to_regclass('app.' || %s)", [RUNWAY[2]]).fetchone() == (None,)
    monkeypatch.undo()
    monkeypatch.setenv("DATABASE_URL", app.info.dsn + f" password={app.info.password}")

    assert [c.name for c in ensure().created] == RUNWAY[2:]


def test_a_run_whose_session_ended_makes_nothing_more(app: psycopg.Connection) -> None:
    def kill(_plan: CreationPlan) -> None:
        app.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'maintenance create_partitions app.readings'"
        )
        app.execute("select pg_sleep(0.2)")

    with pytest.raises(RunLost, match=r"no longer holds the lock of create:app\.readings"):
        ensure_partitions("app.readings", declare(), AS_OF, on_plan=kill)
    assert names() == []


def test_of_two_at_once_one_is_deferred_and_both_are_safe(app: psycopg.Connection) -> None:
    seen: list[object] = []

    def meanwhile(_plan: CreationPlan) -> None:
        seen.append(ensure_partitions("app.readings", declare(), AS_OF))

    result = ensure_partitions("app.readings", declare(), AS_OF, on_plan=meanwhile)

    assert isinstance(seen[0], Deferred)
    assert "held by run" in seen[0].reason
    assert isinstance(result, CreationResult)
    assert names() == RUNWAY


def test_the_plan_is_the_sql_that_then_runs(app: psycopg.Connection) -> None:
    plans: list[CreationPlan] = []
    ensure_partitions("app.readings", declare(ahead="PT1H"), AS_OF, on_plan=plans.append)
    text = creation_plan(plans[0])
    assert "| readings_p20250810 | 2025-08-10 00:00 | 2025-08-11 00:00 | the runway must reach 2025-08-10 16:00:00 |" in text
    app.execute("drop table app.readings_p20250810")

    app.execute(text.partition("```sql\n")[2].removesuffix("```"))

    assert names() == ["readings_p20250810"]


def test_bounds_are_utc_whatever_the_roles_session_says(app: psycopg.Connection) -> None:
    app.execute("alter role current_user set timezone = 'Europe/Berlin'")
    try:
        ensure(as_of=at("2026-03-29 12:00"))
        assert bounds()[0][1:] == (at("2026-03-29"), at("2026-03-30"))
        assert len(ensure(as_of=at("2026-03-29 12:00")).created) == 0
    finally:
        app.execute("alter role current_user reset timezone")


def test_bounds_follow_the_declared_zone_over_the_change_of_clocks(app: psycopg.Connection) -> None:
    ensure(as_of=at("2026-03-28 12:00"), zone="Europe/Berlin", ahead="P1D")

    assert bounds() == [
        ("readings_p20260328", at("2026-03-27 23:00"), at("2026-03-28 23:00")),
        ("readings_p20260329", at("2026-03-28 23:00"), at("2026-03-29 22:00")),
    ]


def test_bounds_that_a_backfill_registered_are_left_to_it(app: psycopg.Connection) -> None:
    app.execute("insert into maintenance.migration (name, target) values ('m', 'app.readings')")
    app.execute(
        "insert into maintenance.unit (migration, target, kind, lower, upper, generation, mapping_version, state) values "
        "('m', 'app.readings', 'aside', '2025-08-11Z', '2025-08-12Z', 0, 'v', 'planned'),"
        "('m', 'app.readings', 'aside', '2025-08-13Z', '2025-08-14Z', 0, 'v', 'done'),"
        "('m', 'app.other', 'aside', '2025-08-12Z', '2025-08-13Z', 0, 'v', 'planned')"
    )

    result = ensure()

    assert names() == ["readings_p20250810", "readings_p20250812", "readings_p20250813"]
    assert result.runway_until == at("2025-08-14")


@pytest.fixture
def span(app: psycopg.Connection) -> psycopg.Connection:
    """A migration under capture into app.readings whose span ends at 2025-08-11."""
    app.execute("insert into maintenance.migration (name, target, phase) values ('m', 'app.readings', 'capturing')")
    app.execute("insert into maintenance.span values ('app.readings', '2025-01-01Z', '2025-08-11Z')")
    app.execute(
        "insert into maintenance.source (migration, code, relation, relation_oid, aside, position, key_column, key_type, time_column,"
        " time_type, zone, forward, backward, owns) values ('m', 1, 'l.t', 0, 'x', 1, 'id', 'bigint', 'at', 'timestamptz', 'UTC', '', '', '')"
    )
    return app


def quarantine(conn: psycopg.Connection, key: str, event_time: str | None, target_key: str | None = None) -> None:
    conn.execute(
        "insert into maintenance.quarantine (source_id, key, event_time, target_key, reason, legacy_row)"
        " values (1, %s, %s, %s, 'event time is outside the span', '{}')",
        [key, event_time, target_key],
    )


def test_the_span_rises_to_the_runways_end_and_quarantined_rows_in_it_are_judged_again(span: psycopg.Connection) -> None:
    for key, time in [
        ("first", "2025-08-11Z"),
        ("last", "2025-08-13 23:59:59Z"),
        ("beyond", "2025-08-14Z"),
        ("before", "2025-08-10Z"),
    ]:
        quarantine(span, key, time)
    quarantine(span, "no time", None)
    quarantine(span, "collision", "2025-08-12Z", "some key")

    ensure()

    assert span.execute("select lower, upper from maintenance.span").fetchone() == (at("2025-01-01"), at("2025-08-14"))
    queued = span.execute("select key, source_id, old_time from maintenance.capture order by seq").fetchall()
    assert queued == [("first", 1, None), ("last", 1, None)]


def test_the_span_does_not_rise_past_a_break_in_the_runway(span: psycopg.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    attach(span, "readings_far", "2025-08-13", "2025-08-15")
    whole = build.build_partition

    def die_at_the_second(conn: Any, parent: Any, name: str, *rest: datetime) -> Relation:
        if name == RUNWAY[2]:
            raise KeyboardInterrupt
        return whole(conn, parent, name, *rest)

    monkeypatch.setattr(build, "build_partition", die_at_the_second)
    with suppress(KeyboardInterrupt):
        ensure()

    assert span.execute("select upper from maintenance.span").fetchone() == (at("2025-08-12"),)


def test_the_span_never_falls(span: psycopg.Connection) -> None:
    span.execute("update maintenance.span set upper = '2026-01-01Z'")

    ensure()

    assert span.execute("select upper from maintenance.span").fetchone() == (at("2026-01-01"),)


def test_a_unit_that_reads_the_span_is_waited_for_without_holding_the_parent(
    span: psycopg.Connection, other: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(create, "SPAN_BUDGET_S", 0.5)
    monkeypatch.setattr(create, "SPAN_LOCK_MS", 300)
    with other.transaction():
        other.execute("select from maintenance.span for share")

        with pytest.raises(LockBusy, match="the application"):
            ensure()

    assert span.execute("select upper from maintenance.span").fetchone() == (at("2025-08-11"),)
    ensure()
    assert span.execute("select upper from maintenance.span").fetchone() == (at("2025-08-14"),)


def test_a_run_that_leaves_less_runway_than_declared_fails_and_says_why(
    app: psycopg.Connection, other: psycopg.Connection
) -> None:
    ensure()
    with other.transaction():
        other.execute("select from app.readings")
        app.execute("set lock_timeout = '200ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            app.execute("alter table app.readings detach partition app.readings_p20250812 concurrently")

    reason = r"app\.readings has partitions without a break until 2025-08-12 00:00 UTC only.*detach of app\.readings_p20250812 is pending"
    with pytest.raises(RunwayShort, match=reason):
        ensure()


def test_rows_of_the_default_partition_move_into_the_one_that_is_due(app: psycopg.Connection) -> None:
    app.execute("alter table app.readings add doubled integer generated always as (value * 2) stored")
    app.execute("create table app.readings_default partition of app.readings default")
    app.execute(
        "insert into app.readings (at, sensor, value) select '2025-08-12 10:00Z', 'a', n from generate_series(1, 7) as n"
    )
    app.execute("insert into app.readings (at, sensor) values ('1999-01-01Z', 'old')")
    before = app.execute("select * from app.readings order by id").fetchall()
    plans: list[CreationPlan] = []

    result = ensure_partitions(str(READINGS), declare(), AS_OF, on_plan=plans.append)

    assert isinstance(result, CreationResult)
    assert [create.from_default for create in result.created] == [0, 0, 7, 0]
    assert "takes 7 rows out of the default partition" in creation_plan(plans[0])
    assert app.execute("select * from app.readings order by id").fetchall() == before
    assert app.execute("select count(*) from only app.readings_p20250812").fetchall() == [(7,)]
    assert app.execute("select sensor from only app.readings_default").fetchall() == [("old",)]


def test_a_reader_sees_every_row_once_while_rows_leave_the_default_partition(
    app: psycopg.Connection, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.execute("create table app.readings_default partition of app.readings default")
    app.execute("insert into app.readings (at, sensor) select '2025-08-12 10:00Z', 'a' from generate_series(1, 500)")
    counts, attach = list[int](), build.attach_partition

    def look(*arguments: Any) -> None:
        with psycopg.connect(dsn, autocommit=True) as reader:
            counts.append(reader.execute("select count(*) from app.readings").fetchall()[0][0])
        attach(*arguments)

    monkeypatch.setattr(build, "attach_partition", look)
    ensure()

    assert counts == [500, 500, 500, 500]
    assert app.execute("select count(*) from app.readings").fetchall() == [(500,)]


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        (
            """
            create function app.tell() returns trigger language plpgsql as 'begin return old; end';
            create trigger tell after delete on app.readings for each row execute function app.tell()
            """,
            "its trigger tell fires on DELETE",
        ),
        (
            "create table app.notes (id bigint, at timestamptz, foreign key (id, at) references app.readings on delete cascade)",
            "the foreign key notes_id_at_fkey.* of app.notes refers to it",
        ),
    ],
)
def test_rows_whose_deletion_somebody_acts_on_are_counted_and_not_moved(
    app: psycopg.Connection, statement: str, reason: str
) -> None:
    app.execute("create table app.readings_default partition of app.readings default")
    app.execute("insert into app.readings (at, sensor) select '2025-08-12 10:00Z', 'a' from generate_series(1, 7)")
    app.execute(statement.encode())

    holds = r"holds 7 rows between 2025-08-12 00:00 UTC and 2025-08-13 00:00 UTC.*cannot be moved: "
    with pytest.raises(DefaultHoldsRows, match=holds + reason):
        ensure()

    assert names() == ["readings_default"]


def test_a_publication_of_single_partitions_is_told_that_the_new_ones_are_not_in_it(
    app: psycopg.Connection, server: Server
) -> None:
    ensure()
    with psycopg.connect(server.superuser_dsn, dbname=app.info.dbname, autocommit=True) as superuser:
        superuser.execute("create publication parts for table app.readings_p20250810, app.readings_p20250811")
        superuser.execute("create publication whole for table app.readings")
    plans: list[CreationPlan] = []

    result = ensure_partitions(str(READINGS), declare(ahead="P5D"), AS_OF, on_plan=plans.append)

    assert isinstance(result, CreationResult)
    assert result.left_out.publications == ("parts",)
    assert "Not in parts, which names partitions one by one" in creation_plan(plans[0])


def test_a_default_partition_without_rows_in_the_way_does_not_stop_creation(app: psycopg.Connection) -> None:
    app.execute("create table app.readings_default partition of app.readings default")
    app.execute("insert into app.readings (at, sensor) values ('1999-01-01Z', 'a')")

    assert len(ensure().created) == 4


def test_a_name_that_another_table_uses_is_found_before_anything_is_made(app: psycopg.Connection) -> None:
    app.execute("create table app.readings_p20250812 (id integer)")

    with pytest.raises(NameTaken, match=r"app\.readings_p20250812 exists already"):
        ensure()

    assert names() == []


def test_a_name_past_63_bytes_is_refused_before_anything_is_made(app: psycopg.Connection) -> None:
    long = "r" * 55
    app.execute(sql.SQL("alter table app.readings rename to {}").format(sql.Identifier(long)))

    with pytest.raises(InvalidName, match="it has 65 bytes and PostgreSQL keeps 63"):
        ensure_partitions(f"app.{long}", declare(f"app.{long}"), AS_OF)

    assert bounds(Relation("app", long)) == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("create table app.t (at timestamptz)", "it is not partitioned"),
        ("create table app.t (at timestamptz) partition by list (at)", "it is partitioned by list and not by range"),
        ("create table app.t (at timestamptz, b int) partition by range (at, b)", "its partition key is not one plain column"),
        ("create table app.t (at text) partition by range ((at || 'x'))", "its partition key is not one plain column"),
        ("create table app.t (at integer) partition by range (at)", "its partition key at is of type integer"),
        ("create table app.t (at int, b date) partition by range (b)", "it is partitioned by b but declared by at"),
        ("create view app.t as select now() as at", "it is not partitioned"),
    ],
)
def test_a_table_that_cannot_be_maintained_is_named_with_the_reason(app: psycopg.Connection, change: str, reason: str) -> None:
    app.execute(change)

    with pytest.raises(UnsuitableRelation, match=rf"app\.t cannot be maintained: {reason}"):
        ensure_partitions("app.t", declare("app.t"), AS_OF)


def test_a_date_has_no_hours_and_no_zone(app: psycopg.Connection) -> None:
    app.execute("create table app.t (at date) partition by range (at)")

    with pytest.raises(UnsuitableRelation, match=r"type date, which has no hours\. Declare day or longer"):
        ensure_partitions("app.t", declare("app.t", every="hour"), AS_OF)
    with pytest.raises(UnsuitableRelation, match="the declared zone Europe/Berlin has no meaning"):
        ensure_partitions("app.t", declare("app.t", zone="Europe/Berlin"), AS_OF)


def test_a_key_without_time_zone_is_cut_at_its_own_midnights(app: psycopg.Connection) -> None:
    app.execute("create table app.t (at timestamp not null) partition by range (at)")

    ensure_partitions("app.t", declare("app.t"), AS_OF)

    assert bounds(Relation("app", "t"))[0] == ("t_p20250810", at("2025-08-10"), at("2025-08-11"))
    app.execute("insert into app.t values ('2025-08-10 00:00'), ('2025-08-10 23:59:59.999999')")
    assert app.execute("select count(*) from app.t_p20250810").fetchone() == (2,)


def test_open_infinite_and_irregular_bounds_are_read_as_they_are(app: psycopg.Connection) -> None:
    app.execute("create table app.t (at date not null) partition by range (at)")
    app.execute(
        """
        create table app.oldest partition of app.t for values from (minvalue) to ('0044-03-15 BC');
        create table app.older partition of app.t for values from ('0044-03-15 BC') to ('2025-01-07');
        create table app.old partition of app.t for values from ('2025-01-07') to ('2025-02-01');
        create table app.newest partition of app.t for values from ('2025-02-01') to ('infinity');
        create table app.rest partition of app.t default;
        """
    )

    with transaction(Kind.READ) as conn:
        found = {p.relation.name: (p.lower, p.upper, p.is_default) for p in list_partitions(conn, Relation("app", "t"))}

    assert found == {
        "oldest": (None, None, False),
        "older": (None, at("2025-01-07"), False),
        "old": (at("2025-01-07"), at("2025-02-01"), False),
        "newest": (at("2025-02-01"), None, False),
        "rest": (None, None, True),
    }


def test_a_table_that_does_not_exist_is_named(app: psycopg.Connection) -> None:
    with pytest.raises(MissingRelation, match=r"app\.nothing does not exist in the database test_"):
        ensure_partitions("app.nothing", declare("app.nothing"), AS_OF)


def test_a_database_without_our_schema_is_told_to_apply_the_migrations(empty_database: str) -> None:
    with pytest.raises(
        MissingRelation, match=r"maintenance\.run does not exist in the database test_\w+\. Run apply_migrations first"
    ):
        ensure_partitions("app.readings", declare(), AS_OF)


def test_a_long_plan_is_shown_cut_with_the_rest_counted(app: psycopg.Connection) -> None:
    plans: list[CreationPlan] = []

    ensure_partitions("app.readings", declare(every="hour", ahead="PT48H"), AS_OF, on_plan=plans.append)

    assert "| … and 8 more | | 2025-08-12 15:00 | |" in creation_plan(plans[0])
    assert len(bounds()) == 48


def test_an_undeclared_table_is_refused_with_the_declared_ones(app: psycopg.Connection) -> None:
    with pytest.raises(NotDeclared, match=r"table app\.nothing is not declared.*Declared are: app\.readings"):
        ensure_partitions("app.nothing", declare(), AS_OF)


def test_a_role_that_does_not_own_the_table_is_told_what_to_grant(
    app: psycopg.Connection, superuser_dsn_of: Callable[[], str]
) -> None:
    with psycopg.connect(superuser_dsn_of(), autocommit=True) as superuser:
        superuser.execute("alter table app.readings owner to postgres")

    with pytest.raises(MissingRight, match=rf"{MAINTAINER} may not maintain app\.readings.*grant postgres to {MAINTAINER}"):
        ensure()


def test_a_role_that_may_not_create_in_the_schema_is_told_so(
    app: psycopg.Connection, superuser_dsn_of: Callable[[], str]
) -> None:
    with psycopg.connect(superuser_dsn_of(), autocommit=True) as superuser:
        superuser.execute("alter schema app owner to postgres")

    with pytest.raises(MissingRight, match=r"create app\.readings_p20250810: permission denied for schema app\. Grant CREATE"):
        ensure()
    assert names() == []


@pytest.fixture
def superuser_dsn_of(server: Any, dsn: str) -> Callable[[], str]:
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    return lambda: make_conninfo(server.superuser_dsn, dbname=str(conninfo_to_dict(dsn)["dbname"]))


def test_one_tables_failure_does_not_stop_the_others(app: psycopg.Connection) -> None:
    declared = Declaration.model_validate({"tables": {"app.nothing": TABLE, "app.readings": TABLE}})

    with pytest.raises(Unfinished, match=r"app\.nothing: app\.nothing does not exist"):
        each("create_partitions", declared.tables, lambda name: ensure_partitions(name, declared, AS_OF))

    assert names() == RUNWAY


def test_a_second_declaration_with_dates_and_months_is_served(dsn: str) -> None:
    make_second(dsn)
    invoices = Relation("accounts", "invoices")

    result = ensure_partitions("accounts.invoices", second_declaration(), AS_OF)

    assert isinstance(result, CreationResult)
    assert bounds(invoices) == [
        ("invoices_p202508", at("2025-08-01"), at("2025-09-01")),
        ("invoices_p202509", at("2025-09-01"), at("2025-10-01")),
        ("invoices_p202510", at("2025-10-01"), at("2025-11-01")),
    ]
    assert [(i.index, i.outcome) for i in result.indexes] == [
        ("invoices_customer", "created"),
        ("invoices_unpaid", "created"),
        ("invoices_note", "created"),
    ]
    with psycopg.connect(dsn) as conn:
        conn.execute("insert into accounts.invoices (number, issued_on, customer, amount) values (1, '2025-08-31', 'c', 2.50)")
        row = conn.execute("select tableoid::regclass::text, issued_on, amount_in_cents from accounts.invoices").fetchone()
        assert row == ("accounts.invoices_p202508", date(2025, 8, 31), 250)
    again = ensure_partitions("accounts.invoices", second_declaration(), AS_OF)
    assert isinstance(again, CreationResult)
    assert again.created == ()
    assert {i.outcome for i in again.indexes} == {"present"}
