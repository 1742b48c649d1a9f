"""What the health report says of maintenance's own work: gates, breakers, flows, runs that are at it, jobs that do it twice."""

from __future__ import annotations

import importlib
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from cyclopts import App

from flows.__main__ import _plain
from tasks.core.declaration import read_declaration
from tasks.core.ledger import run_exclusively
from tasks.health.facts import HiddenFacts
from tasks.health.text import describe
from tests.database import test_health
from tests.database.test_health import DECLARED_MIGRATION, TABLE, VIEW, declare, execute, found, leave_pending, report

DAY = timedelta(days=1)
dsn, superuser = test_health.dsn, test_health.superuser


def objects(rule: str, **options: Any) -> list[str]:
    """Return what the findings of a rule are about."""
    return [f.object for f in report(**options).findings if f.rule == rule]


def give_verdict(dsn: str, *given: tuple[str, str, str]) -> None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        for subject, step, status in given:
            conn.execute(
                "insert into maintenance.verdict (subject, step, status, evidence_hash, fingerprint, valid_until)"
                " values (%s, %s, %s, 'h', 'f', now())",
                [subject, step, status],
            )


def test_a_blocked_plan_is_over_once_a_later_plan_of_the_table_passed(dsn: str) -> None:
    give_verdict(dsn, (f"{TABLE} h1", "retention", "BLOCKED"), (TABLE, "custom", "ERRORED"))
    assert objects("failed-gate") == [f"{TABLE} custom", f"{TABLE} retention"]

    give_verdict(dsn, (f"{TABLE} h2", "retention", "PASSED"))

    assert objects("failed-gate") == [f"{TABLE} custom"], "one gate's verdict says nothing of another gate"

    give_verdict(dsn, (f"{TABLE} h1", "retention", "BLOCKED"))
    assert objects("failed-gate") == [f"{TABLE} custom", f"{TABLE} retention"]


def test_the_gate_of_what_is_no_longer_declared_is_left_out(dsn: str) -> None:
    blocked = [("app.gone", "schema"), ("app.gone h1", "retention"), ("gone", "preflight"), (f"{TABLE} h1", "retention")]
    kept = [("m", "cutover"), (VIEW, "matviews"), (TABLE, "schema")]
    give_verdict(dsn, *((*gate, "BLOCKED") for gate in (*blocked, *kept)))
    table = declare().tables[TABLE].model_copy(update={"retention": None}).model_dump()

    failed = objects("failed-gate", declaration=declare(tables={TABLE: table}, migrations=DECLARED_MIGRATION))

    assert failed == sorted(f"{subject} {step}" for subject, step in kept)


def test_an_open_breaker_that_nobody_has_told_of_for_two_days_is_left_out(dsn: str) -> None:
    execute(
        dsn,
        "insert into maintenance.breaker (dependency, address, state, failures, since, reason, seen_by, told_at)"
        " values ('redis', 'left:1', 'open', 5, now(), 'r', 'a:1', now() - interval '49 hours'),"
        " ('storage', 'down:1', 'open', 5, now() - interval '9 days', 'r', 'a:1', now() - interval '25 hours')",
    )
    assert objects("open-breaker") == ["storage down:1"]


def test_the_index_that_a_run_is_building_is_no_finding_while_it_runs(dsn: str) -> None:
    execute(
        dsn, "create index readings_kind on only app.readings (kind)", "create table app.other (n int) partition by range (n)"
    )
    execute(
        dsn,
        "create table app.o1 partition of app.other for values from (1) to (2)",
        "create index other_n on only app.other (n)",
    )

    def building(group: str) -> Any:
        return run_exclusively("rebuild_indexes", TABLE, lambda _: objects("invalid-index"), overdue_after=DAY, group=group)

    assert building(f"index:{TABLE}") == ["app.other_n"]
    assert building(f"create:{TABLE}") == ["app.other_n", "app.readings_kind"]
    assert objects("invalid-index") == ["app.other_n", "app.readings_kind"]


def test_the_detach_that_a_run_waits_with_is_no_finding_while_it_runs(dsn: str) -> None:
    leave_pending(dsn)

    def during(flow: str) -> Any:
        return run_exclusively(flow, TABLE, lambda _: objects("pending-detach"), overdue_after=DAY)

    assert during("enforce_retention") == []
    assert during("repair_metadata") == ["app.p1"], "a run of another flow does not finish it"
    assert objects("pending-detach") == ["app.p1"]


def test_a_pending_detach_of_a_table_without_retention_is_finished_by_its_remedy(dsn: str) -> None:
    leave_pending(dsn)
    execute(dsn, 'alter table app.p1 rename to "P 1"')
    assert found("pending-detach").remedy == f"python -m flows enforce_retention --table {TABLE} --safety.apply"
    table = declare().tables[TABLE].model_copy(update={"retention": None}).model_dump()
    declaration = declare(tables={TABLE: table})

    execute(dsn, found("pending-detach", declaration=declaration).remedy)

    assert objects("pending-detach", declaration=declaration) == []


def given_to(remedy: str) -> dict[str, Any]:
    """Return the arguments that the flow which a remedy names would be called with."""
    name, *rest = remedy.removeprefix("python -m flows ").split()
    app = App()
    app.default(_plain(getattr(importlib.import_module(f"flows.{name}"), name)))
    return dict(app.parse_args(rest, exit_on_error=False, print_error=False)[1].arguments)


@pytest.mark.parametrize(
    ("flow", "subject", "argument", "applies"),
    [
        ("create_partitions", TABLE, "table", False),
        ("rebuild_indexes", TABLE, "table", False),
        ("enforce_retention", TABLE, "table", True),
        ("coarsen_partitions", TABLE, "table", True),
        ("repair_metadata", TABLE, "table", True),
        ("backfill", "m", "migration", False),
        ("verify_integrity", "m", "migration", False),
        ("cut_over", "m", "migration", False),
        ("roll_back", "m", "migration", False),
        ("retire_legacy", "m", "migration", True),
    ],
)
def test_the_remedy_of_a_flow_does_its_work_when_copied(
    dsn: str, flow: str, subject: str, argument: str, *, applies: bool
) -> None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        ended = "insert into maintenance.run (flow, subject, outcome, ended_at) values (%s, %s, 'completed', now() - interval '9 days')"
        conn.execute(ended, [flow, subject])

    arguments = given_to(found("overdue-flow", declaration=declare(flows={flow: {}}, migrations=DECLARED_MIGRATION)).remedy)

    assert arguments[argument] == subject
    assert ("safety" in arguments and arguments["safety"].apply) == applies


def test_the_shipped_flows_are_judged_where_they_keep_a_record_and_not_while_they_run() -> None:
    flows = read_declaration().flows
    assert not {"refresh_matviews", "repair_metadata"} & set(flows), "one keeps no record, the other's schedule only reports"
    assert flows["create_partitions"].overdue_after > DAY


CRON = "create schema cron; create table cron.job (jobid bigint, schedule text, command text, database text, active boolean)"
#: The plan's own function, shortened, and others that a job may call.
FUNCTIONS = """
create function app.cleanup_old_partitions() returns void language plpgsql as $$
declare partition_name text;
begin
    for partition_name in select tablename from pg_tables where schemaname = 'app' and tablename like 'readings_%' loop
        execute 'DROP TABLE IF EXISTS app.' || partition_name;
    end loop;
end $$;
create function app.detach_all(parent text) returns void language plpgsql as
$$ begin execute format('alter table %s detach partition %s', parent, parent || '_1'); end $$;
create function app.forget() returns void language sql as 'delete from app.readings where id < 0';
create function app.fill() returns void language sql as 'insert into app.readings values (1, now())';
create function app.tidy() returns void language plpgsql as 'begin drop table if exists app.scratch; end';
"""
DOUBLING = [
    "SELECT app.cleanup_old_partitions();",
    "select app.detach_all('other.table')",
    'call "forget"()',
    'truncate "app"."readings"',
    "refresh materialized view concurrently totals",
    "drop table app.readings_p20200101",
    "create table app.p2 partition of app.readings for values from ('2121-01-01') to ('2122-01-01')",
    "select partman.run_maintenance()",
]
HARMLESS = [
    "insert into app.readings select * from app.incoming",
    "select count(*) from app.readings",
    "select app.fill()",
    "select app.tidy()",
    "delete from app.readings_archive",
    "refresh materialized view other.totals",
    'refresh materialized view "other"."totals"',
]


def test_a_job_doubles_the_work_where_it_removes_or_refreshes_what_is_declared_itself_or_by_a_function(dsn: str) -> None:
    execute(dsn, CRON, FUNCTIONS)
    with psycopg.connect(dsn, autocommit=True) as conn:
        for jobid, command in enumerate((*DOUBLING, *HARMLESS), 1):
            conn.execute("insert into cron.job values (%s, '* * * * *', %s, current_database(), true)", [jobid, command])

    assert objects("doubled-by-cron") == [f"pg_cron job {jobid}" for jobid, _ in enumerate(DOUBLING, 1)]


def test_jobs_that_row_level_security_hides_are_left_out_and_named(superuser: str) -> None:
    assert "cron.job" not in describe(report())
    execute(superuser, CRON, "grant usage on schema cron to maintainer; grant select on cron.job to maintainer")
    assert "cron.job" not in describe(report())

    execute(superuser, "alter table cron.job enable row level security")

    assert "may not read cron.job whole" in describe(report())
    assert [f.relation for f in report().facts if isinstance(f, HiddenFacts)] == ["cron.job"]
