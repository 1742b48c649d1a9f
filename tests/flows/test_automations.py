"""Automations: installed once however often, and each one fires when what it waits for is caused."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.orchestration import get_client
from prefect.events.schemas.automations import AutomationCore

from flows.__main__ import main
from flows.report_health import report_health
from tasks.core.settings import PROJECT
from tasks.health.automations import Installed, NoPrefectApi, NoSuchBlock, install_automations
from tasks.health.verdict import Unhealthy
from tests.declarations import SECOND_MIGRATION, make_second
from tests.flows.conftest import POOL
from tests.flows.pages import PATIENCE_S, Pages

NAMES = {a["name"] for a in yaml.safe_load((PROJECT / "automations.yaml").read_text("utf-8"))["automations"]}
BLOCK = "custom-webhook/on-call"


@pytest.fixture
def told(prefect_api: str) -> Iterator[list[dict[str, str]]]:
    """Return what a webhook of this machine is told; Prefect's block on-call names it."""
    heard: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the base class's word)
            """Keep quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/"
        says = {"subject": "{{subject}}", "body": "{{body}}"}
        block = CustomWebhookNotificationBlock(name="on-call", url=url, json_data=says)
        block.save("on-call", overwrite=True)
        yield heard
        server.shutdown()


@pytest.fixture
def installed(told: list[dict[str, str]]) -> Iterator[None]:
    """Take the automations away again afterwards: other tests' runs would fire them."""
    yield
    with get_client(sync_client=True) as client:
        for automation in client.read_automations():
            if automation.name in NAMES:
                client.delete_automation(automation.id)


def test_installing_again_changes_nothing_and_what_differs_is_updated(installed: None, tmp_path: Path) -> None:
    assert {i.change for i in install_automations(BLOCK)} == {"created"}
    assert {i.change for i in install_automations(BLOCK)} == {"unchanged"}
    with get_client(sync_client=True) as client:
        (first, *_) = client.read_automations_by_name("maintenance: low runway")
        client.pause_automation(first.id)
        client.create_automation(AutomationCore.model_validate(first.model_dump()))
    file = tmp_path / "automations.yaml"
    file.write_text((PROJECT / "automations.yaml").read_text("utf-8").replace("within: 900", "within: 600"), "utf-8")

    again = {i.automation: i.change for i in install_automations(BLOCK, file)}

    assert {name for name, change in again.items() if change == "updated"} == {
        "maintenance: low runway",
        "maintenance: no health report",
    }
    with get_client(sync_client=True) as client:
        (kept,) = client.read_automations_by_name("maintenance: low runway")
        assert not kept.enabled, "somebody paused it"
        assert {len(client.read_automations_by_name(name)) for name in NAMES} == {1}


def test_without_a_block_they_are_installed_and_a_wrong_one_changes_nothing(
    installed: None, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(NoSuchBlock, match="slack-webhook/nobody"):
        install_automations("slack-webhook/nobody")
    with get_client(sync_client=True) as client:
        assert not NAMES & {automation.name for automation in client.read_automations()}

    assert main(["install_automations"]) == 0
    assert "created" in capsys.readouterr().out
    with get_client(sync_client=True) as client:
        (one,) = client.read_automations_by_name("maintenance: low runway")
        assert [action.type for action in one.actions] == ["do-nothing"]


def test_without_a_prefect_server_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.health.automations.PREFECT_API_URL", type("Unset", (), {"value": staticmethod(lambda: None)}))
    with pytest.raises(NoPrefectApi, match="PREFECT_API_URL"):
        install_automations()


PLANT = """
insert into maintenance.migration (name, target, phase) values ('bills', 'accounts.invoices', 'capturing');
insert into maintenance.source (migration, code, relation, relation_oid, aside, position, key_column, key_type, time_column,
    time_type, zone, forward, backward, owns)
values ('bills', 1, 'shop.bills', 0, 'bills_old', 1, 'id', 'bigint', 'issued', 'date', 'UTC', 'f', 'b', 'o');
insert into maintenance.quarantine (source_id, key, reason, legacy_row)
select s.id, '1', 'event time is null', '{}' from maintenance.source s;
insert into maintenance.health values (now() - interval '3 hours', 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0);
insert into maintenance.verdict (subject, step, status, evidence_hash, fingerprint, valid_until)
values ('bills', 'integrity', 'BLOCKED', 'h', 'f', now());
insert into maintenance.run (flow, subject, outcome, started_at, ended_at) values
    ('create_partitions', 'accounts.invoices', 'completed', now() - interval '9 days', now() - interval '9 days');
"""


@pytest.mark.slow
def test_each_automation_notifies_when_what_it_waits_for_is_caused(
    installed: None,
    told: list[dict[str, str]],
    deployed: Pages,
    make_database: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    dsn = make_database(sets=())
    make_second(dsn)
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(PLANT)
    declared = SECOND_MIGRATION.read_text("utf-8") + (
        "\nmatviews: {accounts.totals: {why: w, owner: o, refresh_every: PT5M, stale_after: PT15M}}\n"
        "flows: {create_partitions: {overdue_after: P1D}}\n"
    )
    (tmp_path / "maintenance.yaml").write_text(declared, "utf-8")
    shipped = (PROJECT / "automations.yaml").read_text("utf-8")
    (tmp_path / "automations.yaml").write_text(shipped.replace("within: 900", "within: 10"), "utf-8")
    for name, value in {
        "DATABASE_URL": dsn,
        "MAINTENANCE_FILE": tmp_path / "maintenance.yaml",
        "MAINTENANCE_OUTPUT": tmp_path,
    }.items():
        monkeypatch.setenv(name, str(value))
    assert {i.change for i in install_automations(BLOCK, tmp_path / "automations.yaml")} == {"created"}

    missed = deployed.deployments()["enforce-retention/daily"]
    state = {
        "type": "SCHEDULED",
        "state_details": {"scheduled_time": f"{datetime.now(UTC) - timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"},
    }
    # A worker that another test has started would take the run before it is late.
    deployed.ask("PATCH", f"work_pools/{POOL}", is_paused=True)
    try:
        run = deployed.ask("POST", f"deployments/{missed['id']}/create_flow_run", state=state)
        with pytest.raises(Unhealthy):
            report_health()
        deadline = time.monotonic() + PATIENCE_S
        while _names(told) < NAMES and time.monotonic() < deadline:
            time.sleep(0.2)
        deployed.ask("DELETE", f"flow_runs/{run['id']}")
    finally:
        deployed.ask("PATCH", f"work_pools/{POOL}", is_paused=False)
    assert _names(told) == NAMES
    (low,) = [t for t in told if t["subject"].endswith("low runway")]
    assert low["subject"] == "accounts.invoices: maintenance: low runway"
    assert "python -m flows create_partitions --table accounts.invoices" in low["body"]


def _names(told: list[dict[str, str]]) -> set[str]:
    return {name for name in NAMES for heard in told if heard["subject"].endswith(name)}


def test_what_was_done_reads_as_a_line() -> None:
    assert str(Installed("maintenance: low runway", "created"))
