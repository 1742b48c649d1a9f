"""`migrate` as a deployment: it suspends for a person's form, and goes on from the ledger in a new process (design 9).

One test has a real worker; the others execute each turn of a deployment's run here, which saves a process per turn.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.exceptions import Pause
from prefect.flow_engine import run_flow

from flows.migrate import migrate
from tasks.migration.approval import ApprovalMissing
from tasks.migration.approve import approve
from tests.flows.conftest import Bills, Worker
from tests.flows.pages import PATIENCE_S, Pages

SIGNED = {"decision": "approve", "name": "Ada", "reason": "compared twice", "dba": True, "rollback_plan": True}

OUT_OF_SPAN = "insert into shop.bills (customer, issued, cents) values ('old', '2001-01-01', 1)"

LOCKS = """
    select l.objid from pg_locks l join pg_database d on d.oid = l.database
    where l.locktype = 'advisory' and d.datname = current_database()
"""
SESSIONS = "select pid from pg_stat_activity where application_name like 'maintenance%' and datname = current_database()"


@dataclass(frozen=True)
class Case:
    """Bills to migrate and the pages on which a person follows it."""

    bills: Bills
    pages: Pages

    def begin(self) -> dict[str, Any]:
        """Press Run of a deployment without a worker, execute it here and return the run."""
        flow_id = self.pages.deployments()["migrate/on-demand"]["flow_id"]
        here = self.pages.ask("POST", "deployments/", name="here", flow_id=flow_id, parameters={"migration": "bills"})
        started = self.pages.ask("POST", f"deployments/{here['id']}/create_flow_run", state={"type": "SCHEDULED"})
        return self.go_on(started["id"])

    def go_on(self, run_id: str) -> dict[str, Any]:
        """Execute a scheduled run here, as the process does that a worker starts."""
        with get_client(sync_client=True) as client, suppress(Pause):
            run_flow(migrate, flow_run=client.read_flow_run(run_id), return_type="state")
        return self.pages.run(run_id)

    def answer(self, run: dict[str, Any], **form: Any) -> dict[str, Any]:
        """Send a form that is taken, execute the run and return it."""
        assert self.pages.resume(run["id"], **form)["status"] == "ACCEPT"
        return self.go_on(run["id"])

    def assert_nothing_held(self) -> None:
        """No run of the ledger that has not ended, no lock and, once the process is gone, no session of maintenance."""
        assert self.bills.ask("select flow from maintenance.run where ended_at is null or outcome = 'running'") == []
        assert self.bills.ask(LOCKS) == []
        deadline = time.monotonic() + PATIENCE_S
        while self.bills.ask(SESSIONS):
            assert time.monotonic() < deadline
            time.sleep(0.2)


@pytest.fixture
def case(bills: Bills, deployed: Pages) -> Case:
    return Case(bills, deployed)


@pytest.mark.slow
def test_a_suspended_run_outlives_its_worker_and_cuts_over_once_its_form_approves(case: Case, worker: Worker) -> None:
    pages = case.pages
    run = pages.wait(pages.start("migrate/on-demand", case.bills.env, migration="bills"))
    assert (run["name"], run["state_type"], run["state_name"]) == ("migrate bills", "PAUSED", "Suspended"), run["state"]
    form = pages.form_of(run)
    assert {name: field["type"] for name, field in form["properties"].items()} == {
        "decision": "string", "name": "string", "reason": "string", "dba": "boolean", "rollback_plan": "boolean",
    }  # fmt: skip
    assert form["properties"]["decision"]["enum"] == ["approve", "refuse"]
    assert "at most 0 rows in quarantine" in form["description"]
    case.assert_nothing_held()

    worker.kill()
    worker.start()
    assert pages.resume(run["id"], **SIGNED)["status"] == "ACCEPT"
    done = pages.wait(run["id"], after=run["state_id"])

    assert done["state_type"] == "COMPLETED", pages.log_of(run["id"])
    assert case.bills.kind() == "v"
    assert case.bills.ask("select name, reason, sign_offs from maintenance.approval") == [
        ("Ada", "compared twice", ["dba", "rollback_plan"])
    ]
    assert "bills is cut over" in pages.artifacts_of(run["id"])["migrate"]
    case.assert_nothing_held()


def test_a_form_that_does_not_fit_is_answered_200_and_the_run_stays_suspended(case: Case) -> None:
    run = case.begin()
    case.assert_nothing_held()

    for wrong in ({}, {**SIGNED, "decision": "perhaps"}, {**SIGNED, "name": ""}, {**SIGNED, "dba": "surely"}):
        assert case.pages.resume(run["id"], **wrong)["status"] == "REJECT"

    assert case.pages.run(run["id"])["state_id"] == run["state_id"]
    assert case.bills.ask("select decision from maintenance.approval") == []


def test_an_approval_that_lacks_a_sign_off_is_asked_for_again(case: Case) -> None:
    run = case.begin()

    again = case.answer(run, **{**SIGNED, "rollback_plan": False})

    assert again["state_name"] == "Suspended"
    assert key_of(again) != key_of(run)
    assert "the sign-offs rollback_plan are missing" in case.pages.wait_for_line(run["id"], "are missing")
    assert case.bills.kind() == "r"


def test_a_refusal_fails_the_run_in_one_line_and_the_next_run_asks_anew(case: Case) -> None:
    run = case.begin()

    refused = case.answer(run, decision="refuse", name="Grace", reason="not on a Friday")

    assert refused["state_type"] == "FAILED"
    assert "refused by Grace" in refused["state"]["message"]
    assert "not on a Friday" in refused["state"]["message"]
    assert "Traceback" not in case.pages.wait_for_line(run["id"], "ApprovalRefused: The cutover of bills was refused by Grace")
    assert case.bills.kind() == "r"
    case.assert_nothing_held()
    again = case.begin()
    assert again["state_name"] == "Suspended"
    assert key_of(again) != key_of(run)


def test_a_no_to_a_form_of_a_state_that_has_passed_is_a_no(case: Case) -> None:
    run = case.begin()
    case.bills.change(OUT_OF_SPAN)

    refused = case.answer(run, decision="refuse", name="Grace", reason="not on a Friday")

    assert refused["state_type"] == "FAILED"
    assert "refused by Grace" in refused["state"]["message"]
    again = case.begin()
    assert again["state_name"] == "Suspended", "a new run asks anew"


def test_a_yes_to_a_form_of_a_state_that_has_passed_is_asked_for_again_and_the_log_says_why(case: Case) -> None:
    run = case.begin()
    case.bills.change(OUT_OF_SPAN)

    again = case.answer(run, **SIGNED)

    assert again["state_name"] == "Suspended"
    why = "The approval of bills by Ada does not count: quarantine holds 1 more row than when it was asked for."
    assert why in case.pages.wait_for_line(run["id"], "does not count")
    assert case.bills.kind() == "r"
    assert case.answer(again, **SIGNED)["state_type"] == "COMPLETED"


def test_the_artifact_of_a_suspended_run_says_what_a_person_does(case: Case) -> None:
    run = case.begin()

    said = case.pages.artifacts_of(run["id"])["migrate"]

    assert "Press **Resume** on this run's page" in said
    assert "```sh\npython -m flows approve bills --name NAME --reason REASON" in said


def test_a_run_that_was_cancelled_and_retried_shows_its_form_again(case: Case) -> None:
    run = case.begin()
    case.pages.cancel(run["id"])
    assert case.pages.run(run["id"])["state_name"] == "Cancelled"

    case.pages.retry(run["id"])
    again = case.go_on(run["id"])

    assert (again["state_name"], key_of(again)) == ("Suspended", key_of(run))
    assert "409" not in case.pages.wait_for_line(run["id"], "Suspending flow run")
    assert case.answer(again, decision="refuse", name="Grace", reason="no")["state_type"] == "FAILED"


def test_an_answer_from_the_shell_counts_and_the_form_wakes_the_run(case: Case) -> None:
    run = case.begin()
    approve("bills", name="Shelly", reason="by phone", sign_offs=["dba", "rollback_plan"])

    done = case.answer(run, decision="approve", name="Late", reason="me too")

    assert done["state_type"] == "COMPLETED"
    assert case.bills.ask("select decision, name from maintenance.approval") == [("approved", "Shelly")]


def test_a_no_on_the_form_withdraws_a_yes_from_the_shell(case: Case) -> None:
    run = case.begin()
    approve("bills", name="Shelly", reason="by phone", sign_offs=["dba", "rollback_plan"])

    refused = case.answer(run, decision="refuse", name="Grace", reason="the phone was not hers")

    assert refused["state_type"] == "FAILED"
    assert "refused by Grace" in refused["state"]["message"]
    assert case.bills.kind() == "r"
    with pytest.raises(ApprovalMissing, match="nobody was asked"):
        migrate("bills", approval="given")


def key_of(run: dict[str, Any]) -> str:
    """Return the id of the request that the form answers."""
    return run["state"]["state_details"]["pause_key"]
