"""Deployments as `prefect deploy --all` makes them, run by a process worker with what the form proposes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest

from flows.__main__ import list_flows
from tasks.core.settings import PROJECT
from tests.flows.conftest import Worker
from tests.flows.pages import PATIENCE_S, Pages

#: What a run started with the form's defaults is called, and the artifact that it publishes.
STARTED = {
    "create-partitions/daily": ("create partitions every table", "create-partitions-plan"),
    "enforce-retention/daily": ("plan retention every table", "enforce-retention-plan"),
    "refresh-matviews/every-5-minutes": ("refresh every matview", "refresh-matviews"),
    "report-health/every-5-minutes": ("report health", "report-health"),
    "validate/on-demand": ("validate every table", "validate"),
}


def test_every_flow_is_deployed_with_its_manual(deployed: Pages) -> None:
    found = {name.partition("/")[0].replace("-", "_"): deployment for name, deployment in deployed.deployments().items()}

    assert set(found) == set(list_flows())
    for name, summary in list_flows().items():
        assert found[name]["description"].startswith(summary)
        help_of = found[name]["parameter_openapi_schema"]["properties"]
        assert all(parameter["description"] for parameter in help_of.values()), f"{name} has a field without help"


def test_a_run_finds_its_code_in_the_directory_from_which_it_was_deployed(deployed: Pages) -> None:
    for deployment in deployed.deployments().values():
        (step,) = deployment["pull_steps"]
        assert step == {"prefect.deployments.steps.set_working_directory": {"directory": str(PROJECT)}}


def test_the_form_has_brakes_with_titles_bounds_and_safe_defaults(deployed: Pages) -> None:
    schema = deployed.deployments()["enforce-retention/daily"]["parameter_openapi_schema"]
    fields = schema["definitions"]["Safety"]["properties"]

    assert schema["properties"]["safety"]["default"] == {"apply": False, "at_most": None}
    assert [fields[name]["title"] for name in ("apply", "at_most")] == ["Apply the plan", "Take at most"]
    assert [(part["minimum"], part["maximum"]) for part in fields["at_most"]["anyOf"] if "minimum" in part] == [(1, 50)]
    # What the page says of a number beyond them is "is not valid under any of the given schemas".
    assert "From 1 to 50" in fields["at_most"]["description"]


def test_the_form_of_a_migration_offers_the_two_ways_of_approval(deployed: Pages) -> None:
    schema = deployed.deployments()["migrate/on-demand"]["parameter_openapi_schema"]

    assert schema["properties"]["approval"]["enum"] == ["ask", "given"]
    assert schema["required"] == ["migration"]


@pytest.mark.slow
def test_runs_started_as_the_form_proposes_complete_in_a_worker(worker: Worker, deployed: Pages) -> None:
    applied = deployed.wait(deployed.start("apply-migrations/on-demand"))
    assert (applied["name"], applied["state_type"]) == ("apply migrations", "COMPLETED"), deployed.log_of(applied["id"])
    assert "- maintenance/0001_ledger.sql" in deployed.artifacts_of(applied["id"])["apply-migrations"]

    first = deployed.start("create-partitions/daily")
    deployed.wait(first)
    runs = {name: first if name.startswith("create") else deployed.start(name) for name in STARTED}
    found = {name: deployed.wait(run_id) for name, run_id in runs.items()}

    assert {name: (run["name"], run["state_type"]) for name, run in found.items()} == {
        name: (title, "COMPLETED") for name, (title, _) in STARTED.items()
    }, worker.log.read_text()
    for name, (_, key) in STARTED.items():
        assert key in deployed.artifacts_of(runs[name])
    assert "Nothing to do" in deployed.artifacts_of(runs["enforce-retention/daily"])["enforce-retention-plan"]


@pytest.mark.slow
def test_the_scheduler_enters_the_runs_of_every_schedule_that_is_on(deployed: Pages) -> None:
    on = {name for name, found in deployed.deployments().items() if any(one["active"] for one in found["schedules"])}
    with running(deployed, *on):
        until(lambda: all(deployed.scheduled(name) for name in on))

        first = {name: deployed.scheduled(name)[0] for name in on}

    hours = {"create-partitions/daily": "01:00:00", "enforce-retention/daily": "02:00:00"}
    assert {name: first[name]["expected_start_time"][11:19] for name in hours} == hours
    assert {name for name, run in first.items() if run["parameters"].get("safety")} == {
        "enforce-retention/daily",
        "coarsen-partitions/weekly",
        "retire-legacy/weekly",
    }
    assert all(run["parameters"].get("safety", {"apply": True})["apply"] for run in first.values())


@pytest.mark.slow
@pytest.mark.usefixtures("worker")
def test_a_worker_runs_what_a_schedule_has_entered(deployed: Pages) -> None:
    """Whether it completes depends on what another test did to the worker's database."""
    name = "report-health/every-5-minutes"
    schedules = f"deployments/{deployed.deployments()[name]['id']}/schedules"
    (made,) = deployed.ask_with("POST", schedules, [{"active": True, "schedule": {"interval": 15.0}}])
    try:
        with running(deployed, name):
            until(lambda: any(run["state_type"] in ("COMPLETED", "FAILED") for run in deployed.scheduled(name)))
    finally:
        deployed.ask("DELETE", f"{schedules}/{made['id']}")


@contextmanager
def running(pages: Pages, *names: str) -> Iterator[None]:
    """Take deployments out of their pause for a moment."""
    try:
        for name in names:
            pages.ask("POST", f"deployments/{pages.deployments()[name]['id']}/resume_deployment")
        yield
    finally:
        pages.pause(*names)


@pytest.mark.slow
def test_a_run_cancelled_in_the_pages_is_ended_with_its_session_and_has_changed_nothing(
    worker: Worker, deployed: Pages, database: str
) -> None:
    with psycopg.connect(database) as holder, psycopg.connect(database, autocommit=True) as watcher:
        holder.execute(A_UNIT_OF_A_DEAD_RUN)
        run_id = deployed.start("create-partitions/daily", {"DATABASE_URL": database})
        until(lambda: bool(watcher.execute(RUNNING).fetchall()))

        deployed.cancel(run_id)

        assert deployed.wait(run_id, "CANCELLED")["state_name"] == "Cancelled"
        until(lambda: watcher.execute(SESSIONS).fetchall() == [])
        assert watcher.execute(RUNNING).fetchall() == [], "the ledger says how it ended"
        holder.rollback()
        assert (
            watcher.execute("select from pg_inherits where inhparent = 'unified.event_metric_events'::regclass").rowcount == 0
        )
        assert watcher.execute("select outcome from maintenance.run").fetchall() == [("failed",)]


#: A new run waits for it, for up to two minutes and in one statement, before it plans.
A_UNIT_OF_A_DEAD_RUN = "select pg_advisory_xact_lock_shared(hashtextextended('work:create:unified.event_metric_events', 0))"
RUNNING = "select id from maintenance.run where ended_at is null"
SESSIONS = "select pid from pg_stat_activity where application_name like 'maintenance%' and datname = current_database()"


def until(is_so: Callable[[], bool]) -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.1)
