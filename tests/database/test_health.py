"""Each finding of the health report, planted on a real server; none of them on a healthy database."""

from __future__ import annotations

import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from tasks.core import sqlfiles
from tasks.core.connect import Kind, database_now, runtime
from tasks.core.declaration import Declaration, read_declaration
from tasks.core.errors import LockBusy, MissingRelation
from tasks.core.sqlfiles import ROOT
from tasks.health.facts import BreakdownFacts, BucketFacts, CacheFacts, Finding, RelationFacts
from tasks.health.memory import figures, remember
from tasks.health.page import write_page
from tasks.health.report import HealthSummary, read_health
from tasks.health.text import describe, finding_rows
from tasks.upkeep.matview_rows import renewing
from tasks.upkeep.matviews import refresh

DAY = timedelta(days=1)
TABLE, VIEW = "app.readings", "app.totals"
#: A table with its runway and row-level security, and a view of it that nobody but its owner reads.
HEALTHY = """
create schema app;
create table app.readings (id bigint, at timestamptz not null, kind text, primary key (id, at)) partition by range (at);
alter table app.readings enable row level security;
create policy "service role all" on app.readings to service_role using (true) with check (true);
create table app.p1 partition of app.readings for values from ('2020-01-01') to ('2120-01-01');
alter table app.p1 enable row level security;
revoke all on app.p1 from public, anon, authenticated, service_role;
insert into app.readings select n, now(), 'k' || n % 2 from generate_series(1, 10) n;
create materialized view app.totals as select kind, count(*) as n from app.readings group by kind;
create unique index on app.totals (kind);
revoke all on app.totals from public, anon, authenticated, service_role;
insert into maintenance.matview_refresh (matview, refreshed_at, is_concurrent, seconds, rows_after, size_bytes)
values ('app.totals', now(), false, 0, 2, 8192);
grant usage on schema app to anon, authenticated, service_role;
"""


def declare(**changed: Any) -> Declaration:
    owned = {"why": "w", "owner": "o"}
    table = {**owned, "partitioning": {"by": "at", "ahead": "P14D"}, "retention": {"keep": "P90D"}}
    view = {**owned, "refresh_every": "PT5M", "stale_after": "PT15M"}
    errors = {"relation": VIEW, "by": ["kind"], "sum": ["n"]}
    declared: dict[str, Any] = {"tables": {TABLE: table}, "matviews": {VIEW: view}, "flows": {"create_partitions": {}}}
    return Declaration.model_validate(declared | {"health": {"errors": errors, **changed.pop("health", {})}} | changed)


@pytest.fixture
def dsn(make_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> str:
    """Return a healthy database of the maintenance role's own."""
    made = make_database(sets=())
    monkeypatch.setenv("DATABASE_URL", made)
    execute(made, HEALTHY)
    return made


@pytest.fixture
def superuser(server: Any, dsn: str) -> str:
    return str(psycopg.conninfo.make_conninfo(server.superuser_dsn, dbname=str(conninfo_to_dict(dsn)["dbname"])))


def execute(dsn: str, *statements: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("set timezone = 'UTC'")
        for statement in statements:
            conn.execute(statement.encode())


def report(declaration: Declaration | None = None, after: timedelta = timedelta(0)) -> HealthSummary:
    return read_health(declaration or declare(), database_now() + after)


def found(rule: str, **options: Any) -> Finding:
    """Return the one finding of a rule."""
    (finding,) = [f for f in report(**options).findings if f.rule == rule]
    return finding


def test_a_healthy_database_has_no_finding(dsn: str) -> None:
    summary = report()
    assert summary.findings == ()
    assert "Nothing to report." in describe(summary)


def test_the_shipped_schema_has_no_finding_of_rights_or_server(database: str) -> None:
    rules = {finding.rule for finding in read_health(read_declaration(), database_now()).findings}
    assert rules == {"low-runway", "stale-view"}, "no partition was made and no view was filled yet"


def test_before_the_first_migration_the_remedy_is_named(empty_database: str) -> None:
    with pytest.raises(MissingRelation, match="apply_migrations"):
        report()


SOURCE = {"code": 1, "mapping": "old", "time": "at", "aside": "old_legacy"}
DECLARED_MIGRATION = {"m": {"why": "w", "owner": "o", "target": TABLE, "span_from": "P9D", "sources": {"app.old": SOURCE}}}
MIGRATION = """
insert into maintenance.migration (name, target, phase) values ('m', 'app.readings', 'capturing');
insert into maintenance.source (migration, code, relation, relation_oid, aside, position, key_column, key_type, time_column,
    time_type, zone, forward, backward, owns)
values ('m', 1, 'app.old', 0, 'old_legacy', 1, 'id', 'bigint', 'at', 'timestamptz', 'UTC', 'f', 'b', 'o');
insert into maintenance.quarantine (source_id, key, reason, legacy_row)
select s.id, n, 'event time is null', '{}' from maintenance.source s, generate_series(1, 3) n;
"""
#: Tables that are declared in the planted database beside the healthy one.
SHORT, GONE, QUIET = "app.short", "app.gone", "app.quiet"
PLANTING = [
    MIGRATION,
    "insert into maintenance.health values (now() - interval '3 hours', 1, 1, 1, 1, 0, 1, 0, 0, 0, 0, 0)",
    "create table app.short (at timestamptz) partition by range (at); revoke all on app.short from anon, authenticated",
    "create table app.gone ()",
    """create table app.quiet (at timestamptz) partition by range (at); revoke all on app.quiet from anon, authenticated;
    create table app.q1 partition of app.quiet for values from ('2020-01-01') to ('2120-01-01')""",
    "create table app.p0 partition of app.readings for values from ('2010-01-01') to ('2010-01-02')",
    "create table app.d partition of app.readings default",
    "insert into app.readings values (1, '2011-01-01')",
    """insert into maintenance.retirement (parent, partition, partition_oid, state, reason, due_at)
    values ('app.readings', 'app.p9', 1, 'archived', 'r', now())""",
    "update maintenance.matview_refresh set refreshed_at = now() - interval '1 hour'",
    """insert into maintenance.matview_refresh (matview, refreshed_at, is_concurrent, seconds, rows_after, size_bytes, error)
    values ('app.totals', now(), true, 0, 0, 0, 'a duplicate')""",
    """insert into maintenance.verdict (subject, step, status, evidence_hash, fingerprint, valid_until)
    values ('app.readings', 'schema', 'BLOCKED', 'h', 'f', now()), ('app.readings', 'retention', 'WARNED', 'h', 'f', now())""",
    """insert into maintenance.run (flow, subject, outcome, started_at, ended_at)
    values ('create_partitions', 'app.readings', 'completed', now() - interval '3 days', now() - interval '3 days'),
    ('create_partitions', 'app.quiet', 'failed', now(), now())""",
    """insert into maintenance.failure (occurred_at, kind, object, message, flow, flow_run_id, refused, refused_at)
    values (now(), 'permanent', 'app.readings', 'it broke', 'create_partitions', 'r', 'no such column', now())""",
    """insert into maintenance.breaker (dependency, address, state, failures, since, reason, seen_by)
    values ('redis', 'cache:6379', 'open', 5, now(), 'refused', 'a:1'), ('storage', 's', 'closed', 0, now(), '', 'a:1')""",
    "alter table app.p1 disable row level security",
    "grant select on app.totals to authenticated",
    "create view app.open as select * from app.readings; revoke all on app.open from anon, service_role",
    "create function app.f() returns int language sql security definer as 'select 1'",
    'create policy "service role" on app.readings using (true) with check (true)',
    "create schema cron; create table cron.job (jobid bigint, schedule text, command text, database text, active boolean)",
    """insert into cron.job select n, '*/5 * * * *', c, current_database(), n <> 9 from (values
    (7, 'refresh materialized view app.totals'), (8, 'select 1'), (9, 'refresh materialized view app.totals')) as j (n, c)""",
]
#: Rule, object, level, a part of the remedy: everything that is found in the planted database.
PLANTED = {
    ("low-runway", SHORT, "critical"): f"python -m flows create_partitions --table {SHORT}",
    ("missing-table", GONE, "critical"): "take it out of maintenance.yaml",
    ("retention-debt", TABLE, "warning"): f"python -m flows enforce_retention --table {TABLE} --safety.apply",
    ("in-grace", TABLE, "info"): "",
    ("default-partition", TABLE, "warning"): "Move its rows out and drop it.",
    ("default-rows", TABLE, "critical"): f"create_partitions --table {TABLE}",
    ("stale-view", VIEW, "warning"): f"python -m flows refresh_matviews --matview {VIEW}",
    ("failed-refresh", VIEW, "warning"): "refresh_matviews",
    ("failed-gate", f"{TABLE} schema", "critical"): "mend the cause",
    ("warned-gate", f"{TABLE} retention", "info"): "",
    ("overdue-flow", f"create_partitions {TABLE}", "critical"): "python -m flows create_partitions",
    ("failed-flow", f"create_partitions {QUIET}", "warning"): "python -m flows create_partitions",
    ("refused-failures", "maintenance.failure", "warning"): "sinks.failures",
    ("open-breaker", "redis cache:6379", "warning"): "asked again by itself",
    ("unsecured-partition", "app.p1", "warning"): "alter table app.p1 enable row level security;",
    ("unsecured-partition", "partitions of app.readings", "critical"): "revoke all on %s from anon, authenticated",
    ("unsecured-partition", "app.q1", "critical"): "revoke all on app.q1 from anon, authenticated;",
    ("exposed-matview", VIEW, "warning"): "revoke all on app.totals from authenticated;",
    ("exposed-view", "app.open", "warning"): "alter view app.open set (security_invoker = true);",
    ("definer-search-path", "app.f()", "warning"): "alter routine app.f() set search_path = app, pg_temp;",
    ("policy-for-everyone", f'{TABLE} "service role"', "critical"): "to service_role",
    ("doubled-by-cron", "pg_cron job 7", "warning"): "select cron.unschedule(7);",
    ("quarantine", "app.old", "info"): "from maintenance.quarantine order by reason;",
    ("growing-quarantine", "maintenance.quarantine", "warning"): "order by quarantined_at desc",
    ("migrating", "m", "info"): "python -m flows migrate m",
}


def test_every_planted_fault_is_found_with_its_remedy_and_nothing_else(dsn: str) -> None:
    execute(dsn, *PLANTING)
    table = declare().tables[TABLE].model_dump()
    bare = {name: {**table, "retention": None} for name in (SHORT, GONE, QUIET)}
    declaration = declare(tables={TABLE: table, **bare}, migrations=DECLARED_MIGRATION)

    findings = {(f.rule, f.object, f.level): f for f in report(declaration).findings}

    assert set(findings) == set(PLANTED)
    wrong = {key: findings[key].remedy for key, remedy in PLANTED.items() if remedy not in findings[key].remedy}
    assert not wrong
    sections = {name.split(" ", 1)[0] for _, name, _ in findings}
    assert SHORT in sections
    assert "| it broke |" in describe(report(declaration))
    assert describe(report(declaration)).count("\n| critical |") == sum(level == "critical" for _, _, level in PLANTED)


def test_the_remedy_for_many_partitions_mends_them_all(dsn: str) -> None:
    days = "create table app.p{0} partition of app.readings for values from ('201{0}-01-01') to ('201{0}-01-02')"
    execute(dsn, *(days.format(n) for n in range(2, 7)))
    finding = found("unsecured-partition")
    assert finding.text.startswith(
        "5 partitions have no row-level security, and anon and authenticated may use them directly: "
    )
    assert finding.text.endswith("app.p2, app.p3, app.p4 and 2 more")

    execute(dsn, finding.remedy)

    assert {f.rule for f in report().findings} == {"retention-debt"}


def test_a_partitioned_table_without_row_level_security_that_the_api_reaches_is_critical(dsn: str) -> None:
    execute(dsn, "alter table app.readings disable row level security")

    finding = found("unsecured-parent")

    assert (finding.object, finding.level) == (TABLE, "critical")
    assert finding.remedy == "alter table app.readings enable row level security;"


def leave_pending(dsn: str) -> None:
    """Let a reader keep a detach from being finished."""
    with psycopg.connect(dsn) as reader, psycopg.connect(dsn, autocommit=True) as conn:
        reader.execute("select from app.readings limit 1")
        conn.execute("set lock_timeout = '100ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            conn.execute("alter table app.readings detach partition app.p1 concurrently")


def test_a_pending_detach_is_found(dsn: str) -> None:
    leave_pending(dsn)

    assert (found("pending-detach").object, found("pending-detach").level) == ("app.p1", "critical")


def test_an_interrupted_index_is_found_with_its_remedy(dsn: str) -> None:
    execute(dsn, "create table app.plain as select 1 as n union all select 1")
    with pytest.raises(psycopg.errors.UniqueViolation):
        execute(dsn, "create unique index concurrently plain_n on app.plain (n)")

    finding = found("invalid-index")
    assert (finding.object, finding.remedy) == ("app.plain_n", "reindex index concurrently app.plain_n;")

    execute(dsn, "create index readings_kind on only app.readings (kind)")
    declared = [f for f in report().findings if f.object == "app.readings_kind"]
    assert [f.remedy for f in declared] == ["python -m flows rebuild_indexes --table app.readings"]


OLD = [
    ("app.x1", "relfrozenxid", "txid_current()", "transaction", 450_000_000, "warning"),
    ("app.x2", "relfrozenxid", "txid_current()", "transaction", 1_600_000_000, "critical"),
    ("app.m1", "relminmxid", "1", "multixact", 850_000_000, "warning"),
    ("app.m2", "relminmxid", "1", "multixact", 1_600_000_000, "critical"),
]


def test_tables_near_wraparound_are_found(superuser: str) -> None:
    with psycopg.connect(superuser, autocommit=True) as conn:
        conn.execute("set allow_system_table_mods = on")
        for name, column, now, _, age, _ in OLD:
            conn.execute(f"create table {name} (n int) with (autovacuum_enabled = false)".encode())
            old = f"(({now} % 4294967296 - {age} + 4294967296) % 4294967296)::text::xid"
            conn.execute(f"update pg_class set {column} = {old} where oid = '{name}'::regclass".encode())  # noqa: S608

    findings = [f for f in report().findings if f.rule == "wraparound"]

    assert {(f.object, f.level, f.remedy) for f in findings} == {
        (f"table {name}", level, f"vacuum (freeze, verbose) {name};") for name, _, _, _, _, level in OLD
    }
    assert all(what in f.text for name, _, _, what, _, _ in OLD for f in findings if f.object == f"table {name}")


def test_a_database_near_wraparound_is_found(superuser: str) -> None:
    with psycopg.connect(superuser, autocommit=True) as conn:
        conn.execute("set allow_system_table_mods = on")
        old = "((txid_current() - 1600000000 + 4294967296) % 4294967296)::text::xid"
        former = conn.execute("select datfrozenxid::text from pg_database where datname = current_database()").fetchone()
        set_to = "update pg_database set datfrozenxid = {} where datname = current_database()"
        conn.execute(set_to.format(old).encode())
        try:
            finding = found("wraparound")
        finally:
            conn.execute(set_to.format(f"'{former[0]}'::xid").encode())
        assert finding.object == f"database {conn.info.dbname}"
        assert finding.level == "critical"


def test_dead_rows_that_autovacuum_left_are_found(dsn: str) -> None:
    execute(
        dsn,
        "create table app.plain (n int) with (autovacuum_enabled = false)",
        "insert into app.plain select generate_series(1, 20000)",
        "delete from app.plain",
        "select pg_stat_force_next_flush()",
    )

    finding = found("vacuum-debt")

    assert finding.object == "app.plain"
    assert "reset (autovacuum_enabled)" in finding.remedy


def test_autovacuum_switched_off_is_found(superuser: str) -> None:
    execute(superuser, "alter system set autovacuum = off", "select pg_reload_conf()")
    try:
        _until(lambda: "autovacuum-off" in {f.rule for f in report().findings})
    finally:
        execute(superuser, "alter system reset autovacuum", "select pg_reload_conf()")
    _until(lambda: "autovacuum-off" not in {f.rule for f in report().findings})


def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_session_that_idles_in_its_transaction_is_found(dsn: str) -> None:
    with psycopg.connect(dsn, application_name="forgotten") as conn:
        conn.execute("select 1")
        finding = found("idle-in-transaction", after=timedelta(minutes=11))
        assert f"pg_terminate_backend({conn.info.backend_pid})" in finding.remedy
        assert "forgotten" in finding.text
        assert "idle-in-transaction" not in {f.rule for f in report(after=timedelta(minutes=9)).findings}


@contextmanager
def running(dsn: str, statement: str, application: str) -> Iterator[int]:
    """Keep a statement running in the background; yields the session's pid and cancels it afterwards."""
    with closing(psycopg.connect(dsn, application_name=application)) as conn:

        def work() -> None:
            with pytest.raises(psycopg.errors.QueryCanceled):
                conn.execute(statement.encode())

        worker = threading.Thread(target=work)
        worker.start()
        time.sleep(0.2)
        yield conn.info.backend_pid
        conn.cancel_safe()
        worker.join()


def test_a_long_transaction_is_found_and_one_of_our_own_is_only_told(dsn: str) -> None:
    with running(dsn, "select pg_sleep(60)", "report of the year"):
        assert found("long-transaction", after=timedelta(hours=2)).level == "warning"
    with running(dsn, "select pg_sleep(60)", "maintenance backfill"):
        assert found("long-transaction", after=timedelta(hours=2)).level == "info"


def test_a_session_that_waits_for_a_lock_is_found_with_its_blocker(dsn: str) -> None:
    execute(dsn, "create table app.other ()")
    with psycopg.connect(dsn) as holder:
        holder.execute("lock table app.other")
        with running(dsn, "lock table app.other", "waiter"):
            finding = found("blocked", after=timedelta(minutes=5))
            assert finding.remedy == f"select pg_terminate_backend({holder.info.backend_pid});"


def test_a_table_that_nobody_may_look_at_is_named_with_its_holder(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.core.connect.Kind.READ._value_", Kind.READ.value._replace(lock_ms=200))
    with psycopg.connect(dsn) as holder:
        holder.execute("lock table app.readings")
        with pytest.raises(LockBusy, match=f"app.readings.*pid {holder.info.backend_pid}"):
            report()


def test_a_prepared_transaction_is_found(dsn: str) -> None:
    with psycopg.connect(dsn) as conn:
        conn.execute("insert into app.readings values (99, now(), 'k')")
        conn.execute("prepare transaction 'it''s forgotten'")
    try:
        assert found("prepared-transaction", after=timedelta(minutes=11)).remedy == "rollback prepared 'it''s forgotten';"
    finally:
        execute(dsn, "rollback prepared 'it''s forgotten'")


def test_a_slot_that_nobody_reads_is_found_and_is_critical_once_it_keeps_much(superuser: str) -> None:
    execute(superuser, "select pg_create_physical_replication_slot('forgotten', true)")
    try:
        assert (found("idle-slot").object, found("idle-slot").level) == ("forgotten", "warning")
        execute(superuser, "create table app.much as select generate_series(1, 30000)")
        assert found("idle-slot", declaration=declare(health={"slot_wal_mb": 1})).level == "critical"
        assert "pg_drop_replication_slot('forgotten')" in found("idle-slot").remedy
    finally:
        execute(superuser, "select pg_drop_replication_slot('forgotten')")


def test_a_slot_is_dropped_only_once_its_wal_is_lost(superuser: str) -> None:
    switch = ("select pg_logical_emit_message(false, 'test', 'x')", "select pg_switch_wal()")
    execute(superuser, "select pg_create_physical_replication_slot('behind', true)")
    execute(superuser, "alter system set max_slot_wal_keep_size = '1MB'", "select pg_reload_conf()")
    try:
        execute(superuser, *switch, *switch)
        _until(lambda: "lost-slot" in {f.rule for f in report().findings})
        assert "its WAL is unreserved" in found("lost-slot").text
        assert found("lost-slot").remedy.startswith(
            "Start its reader and let it catch up, with a higher max_slot_wal_keep_size"
        )

        execute(superuser, "checkpoint")
        assert "its WAL is lost" in found("lost-slot").text
        execute(superuser, found("lost-slot").remedy)
        assert "lost-slot" not in {f.rule for f in report().findings}
    finally:
        execute(superuser, "alter system reset max_slot_wal_keep_size", "select pg_reload_conf()")
        execute(superuser, "select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = 'behind'")


def test_connections_near_their_limit_are_found(superuser: str) -> None:
    execute(superuser, f"alter database {conninfo_to_dict(superuser)['dbname']} connection limit 20")
    with ExitStack() as opened:
        for _ in range(16):
            opened.enter_context(psycopg.connect(superuser))
        finding = found("connections")
        assert finding.level == "warning"
        assert "of 20 connections" in finding.text


def test_a_role_that_sees_no_other_sessions_is_found(server: Any, dsn: str) -> None:
    execute(server.superuser_dsn, "revoke pg_monitor from maintainer")
    try:
        assert found("blind").remedy == "grant pg_monitor to maintainer;"
    finally:
        execute(server.superuser_dsn, "grant pg_monitor to maintainer")


def test_a_relation_that_may_not_be_read_is_found_and_does_not_fail_the_report(superuser: str, dsn: str) -> None:
    execute(superuser, "alter materialized view app.totals owner to postgres")

    assert (found("unreadable").object, found("unreadable").section) == (VIEW, "errors")


TOGGLES = [
    ("cut_over", "true", "false", "toggle-overridden"),
    ("capturing", None, "true", "toggle-overridden"),
    ("cut_over", "false", None, "toggle-disagrees"),
    ("rolled_back", "true", None, "toggle-disagrees"),
    ("cut_over", "true", "1", None),
    ("rolled_back", "false", None, None),
]


def test_a_toggle_that_disagrees_is_found(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    execute(dsn, MIGRATION)
    for phase, setting, environment, rule in TOGGLES:
        with psycopg.connect(dsn, autocommit=True) as conn:
            conn.execute("update maintenance.migration set phase = %s", [phase])
            conn.execute("delete from maintenance.setting")
            conn.execute(
                "insert into maintenance.setting (name, value) select 'USE_UNIFIED_SCHEMA', %s where %s",
                [setting, bool(setting)],
            )
        monkeypatch.setenv("USE_UNIFIED_SCHEMA", environment or "")

        findings = report(declare(migrations=DECLARED_MIGRATION)).findings

        assert {f.rule for f in findings if f.rule.startswith("toggle")} == ({rule} if rule else set()), (phase, setting)


COMPATIBLE = """
create table app.old_legacy (id int); revoke all on app.old_legacy from anon, authenticated, service_role;
create view app.old as select * from app.old_legacy; revoke all on app.old from anon, authenticated, service_role;
grant select on app.old, app.old_legacy to authenticated;
"""


def test_a_compatibility_view_is_silent_only_while_its_grants_are_the_legacy_tables(dsn: str) -> None:
    declaration = declare(migrations=DECLARED_MIGRATION)
    execute(dsn, COMPATIBLE)
    assert report(declaration).findings == ()

    execute(dsn, "grant insert on app.old to authenticated")

    finding = found("exposed-view", declaration=declaration)
    assert "its grants are not that table's" in finding.text

    execute(dsn, "grant insert on app.old_legacy to authenticated")
    assert report(declaration).findings == ()


#: What was done to the view's grants, and the statements that undo it.
REGRANTED = [
    ("grant select on app.old to {other}", "revoke select on app.old from {other};"),
    ("grant insert, delete on app.old to authenticated", "revoke delete, insert on app.old from authenticated;"),
    ("revoke update on app.old from {other}", "grant update on app.old to {other};"),
    (
        "grant select on app.old to public; revoke update on app.old from {other}",
        "revoke select on app.old from public; grant update on app.old to {other};",
    ),
]


def test_the_remedy_for_a_compatibility_view_takes_and_gives_the_difference_alone(server: Any, dsn: str) -> None:
    declaration = declare(migrations=DECLARED_MIGRATION)
    other = f'"Reporting {secrets.token_hex(5)}"'
    execute(server.superuser_dsn, f"create role {other}")
    execute(dsn, COMPATIBLE, f"grant update on app.old, app.old_legacy to {other}")
    try:
        for done, remedy in REGRANTED:
            before = grants(dsn)
            execute(dsn, done.format(other=other))
            finding = found("exposed-view", declaration=declaration)
            assert finding.remedy == remedy.format(other=other)

            execute(dsn, finding.remedy)
            assert grants(dsn) == before
            assert report(declaration).findings == ()
    finally:
        execute(dsn, f"revoke all on app.old, app.old_legacy from {other}")
        execute(server.superuser_dsn, f"drop role {other}")


def grants(dsn: str) -> Any:
    """Return what the compatibility view grants, to whom."""
    with psycopg.connect(dsn) as conn:
        return conn.execute("select maintenance.grants_on('app.old'::regclass)").fetchone()


def test_a_compatibility_view_without_a_trace_of_its_table_gets_no_statement_to_copy(dsn: str) -> None:
    execute(dsn, COMPATIBLE, "alter table app.old_legacy rename to elsewhere")

    finding = found("exposed-view", declaration=declare(migrations=DECLARED_MIGRATION))

    assert "whose grants are not known" in finding.text
    assert "app.old" not in finding.remedy


def test_a_function_works_on_and_cannot_be_lured_once_the_remedy_for_its_path_was_copied(dsn: str) -> None:
    execute(
        dsn,
        'create schema "My.App"; create table "My.App".t as select 1 as n',
        """create function "My.App".f(n int default 0) returns bigint language plpgsql security definer
        as 'begin return (select count(*) from t); end'""",
    )

    finding = found("definer-search-path")
    execute(dsn, finding.remedy)

    assert "definer-search-path" not in {f.rule for f in report().findings}
    with psycopg.connect(dsn) as conn:
        conn.execute("create temporary table t (n int)")
        assert conn.execute('select "My.App".f()').fetchone() == (1,)


def test_a_view_that_reads_with_the_callers_rights_is_silent(dsn: str) -> None:
    execute(dsn, "create view app.open with (security_invoker = true) as select * from app.readings")
    assert report().findings == ()


def test_what_row_level_security_would_hide_is_left_out_and_does_not_fail_the_report(superuser: str) -> None:
    execute(
        superuser,
        "create schema storage; create table storage.objects (bucket_id text, metadata jsonb)",
        "alter table storage.objects enable row level security; grant usage on schema storage to maintainer",
        "grant select on storage.objects to maintainer",
    )
    summary = report()
    assert not [f for f in summary.facts if isinstance(f, BucketFacts)]
    assert "may not read storage.objects whole" in describe(summary)


def test_what_one_migration_holds_back_is_not_overdue(dsn: str) -> None:
    execute(
        dsn,
        MIGRATION,
        "insert into maintenance.run (flow, subject, outcome, started_at, ended_at)"
        " values ('enforce_retention', 'app.readings', 'completed', now() - interval '9 days', now() - interval '9 days'),"
        " ('backfill', 'm', 'completed', now() - interval '9 days', now() - interval '9 days'),"
        " ('enforce_retention', 'app.readings', 'deferred', now(), now())",
    )
    declaration = declare(flows={"enforce_retention": {}, "backfill": {}}, migrations=DECLARED_MIGRATION)
    assert [f.object for f in report(declaration).findings if f.rule == "overdue-flow"] == ["backfill m"]

    execute(dsn, "update maintenance.migration set phase = 'cut_over'")
    assert [f.object for f in report(declaration).findings if f.rule == "overdue-flow"] == ["enforce_retention app.readings"]


def test_every_rule_has_a_test_that_plants_it() -> None:
    sources = "".join(path.read_text("utf-8") for path in (ROOT.parent / "tasks" / "health").glob("*.py"))
    rules = set(re.findall(r'Finding\(\s*(?:level|"\w+"), f?"([a-z-]+)', sources))
    tests = (ROOT.parent / "tests" / "database" / "test_health.py").read_text("utf-8")
    unplanted = {rule for rule in rules if not re.search(rf'"{rule}\w*"', tests)}
    assert len(rules) > 25
    assert unplanted <= {"slow-slot", "unsecured-", "exposed-"}, "slow-slot stands in tests/unit/test_findings.py"


def test_the_optional_parts_of_supabase_are_shown_where_they_are(dsn: str) -> None:
    execute(
        dsn,
        "create schema storage; create table storage.objects (bucket_id text, metadata jsonb)",
        """insert into storage.objects values ('archive', '{"size": 1500}'), ('archive', '{"size": 500}'), ('pages', null)""",
        "create table app.messages as select generate_series(1, 5)",
    )

    summary = report(declare(health={"conversations": ["app.messages", "app.absent"]}))

    buckets = [f for f in summary.facts if isinstance(f, BucketFacts)]
    assert buckets == [BucketFacts("archive", 2, 2000), BucketFacts("pages", 1, 0)]
    shown = {f.relation: f.exists for f in summary.facts if isinstance(f, RelationFacts)}
    assert shown == {"app.messages": True, "app.absent": False}
    assert "| archive | 2 | 2.0 kB |" in describe(summary)


def test_a_declared_view_is_shown_by_its_columns_with_the_total(dsn: str) -> None:
    (shown,) = [f for f in report().facts if isinstance(f, BreakdownFacts)]
    assert (shown.state, shown.columns, shown.total) == ("read", ("kind", "n"), 10)
    assert sorted(shown.rows) == [("k0", 5), ("k1", 5)]

    execute(dsn, "refresh materialized view app.totals with no data")
    (shown,) = [f for f in report().facts if isinstance(f, BreakdownFacts)]
    assert (shown.state, shown.rows) == ("never filled", ())


def test_a_report_reads_a_views_rows_through_the_cache_that_a_refresh_renews(dsn: str) -> None:
    declaration = declare()
    with runtime() as current:
        for number in range(3):
            execute(dsn, "insert into app.readings select 100 + count(*), now(), 'new' from app.readings")
            with renewing(current, declaration) as note:
                note(refresh(VIEW, declaration, database_now(), force=True))
            for _ in range(2):
                (shown,) = [fact for fact in report(declaration).facts if isinstance(fact, BreakdownFacts)]
                assert dict(shown.rows)["new"] == number + 1
        (cache,) = [fact for fact in report(declaration).facts if isinstance(fact, CacheFacts)]
    assert cache.hit_rate is not None
    assert cache.hit_rate > 0.8


def test_a_report_is_remembered_and_tells_each_finding_once_a_day_and_when_it_goes(dsn: str) -> None:
    keep = timedelta(days=90)
    execute(dsn, "update maintenance.matview_refresh set refreshed_at = now() + interval '2 days'")
    assert remember(report(), keep) == []
    execute(dsn, "grant select on app.totals to anon")

    first, second, later = (
        remember(report(after=after), keep) for after in (timedelta(0), timedelta(hours=1), DAY + timedelta(minutes=1))
    )
    assert [(c.change, c.rule, c.object) for c in first] == [("opened", "exposed-matview", VIEW)]
    assert second == []
    assert ("opened", "exposed-matview") in {(c.change, c.rule) for c in later}
    since = finding_rows(report())[0]["since"]
    assert since[:10] == f"{database_now():%Y-%m-%d}"

    execute(dsn, "revoke all on app.totals from anon")
    assert ("closed", "exposed-matview", None) in [(c.change, c.rule, c.finding) for c in remember(report(), keep)]


def test_a_cache_that_is_down_is_found_and_fails_nothing(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [f.is_up for f in report().facts if isinstance(f, CacheFacts)] == [True]
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")

    finding = found("cache-down")

    assert (finding.level, finding.section) == ("warning", "cache")
    assert "REDIS_URL" in finding.remedy


def test_figures_older_than_declared_are_forgotten(dsn: str) -> None:
    execute(dsn, "insert into maintenance.health values (now() - interval '8 days', 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0)")
    remember(report(), timedelta(days=9))
    assert len(report().trend) == 2
    remember(report(), timedelta(days=7))
    with psycopg.connect(dsn) as conn:
        assert conn.execute("select min(taken_at) > now() - interval '1 day' from maintenance.health").fetchone() == (True,)


def test_the_page_holds_everything_it_shows_and_escapes_what_others_wrote(dsn: str, tmp_path: Any) -> None:
    execute(
        dsn,
        "insert into maintenance.health values (now() - interval '1 day', 5, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0)",
        "insert into app.readings values (77, now(), '<script>alert(1)</script>')",
        "refresh materialized view app.totals; grant select on app.totals to anon; analyze app.readings",
    )

    text = write_page(report(), tmp_path).read_text("utf-8")

    for anchor in ("storage", "memory", "cache", "sessions", "errors", "connections", "events", "maintenance"):
        assert text.count(f'<h2 id="{anchor}">') == 1
    assert text.count("<svg") >= 4
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "revoke all on app.totals from anon;" in text
    links = re.findall(r'(?:href|src)="([^"]*)"', text)
    assert all(link.startswith("#") for link in links)


def test_the_report_reads_in_two_round_trips_and_changes_nothing(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    trips: list[int] = []
    inner = sqlfiles.fetch_together

    def counted(conn: Any, asked: Any) -> Any:
        trips.append(len(asked))
        assert conn.read_only
        return inner(conn, asked)

    monkeypatch.setattr("tasks.health.report.fetch_together", counted)
    summary = report()
    assert len(trips) == 2
    assert figures(summary)["runway_days"] > 30000
