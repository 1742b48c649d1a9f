"""The flows that prove and validate: what a person sees in Prefect."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
import psycopg
import pytest

from flows.validate import validate
from flows.verify_integrity import verify_integrity
from tasks.core.errors import Unfinished
from tasks.gates.verdict import GateBlocked
from tests.declarations import SECOND, make_second
from tests.flows.pages import Pages


@pytest.fixture
def dsn(make_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    made = make_database(sets=())
    make_second(made)
    monkeypatch.setenv("DATABASE_URL", made)
    monkeypatch.setenv("MAINTENANCE_FILE", str(SECOND / "maintenance.yaml"))
    monkeypatch.setenv("MAINTENANCE_OUTPUT", str(tmp_path))
    return made


def test_a_blocked_gate_ends_the_run_failed_and_names_the_expectation(dsn: str, prefect_api: str) -> None:
    with pytest.raises((GateBlocked, Unfinished), match="there is at least one row"):
        validate("accounts.invoices", "schema")

    run = Pages(prefect_api).latest()
    assert (run["name"], run["state_type"]) == ("validate accounts.invoices", "FAILED")
    assert "in partitions, there is at least one row" in run["state"]["message"]


def test_the_gate_is_a_task_with_a_name_and_the_verdict_an_artifact(dsn: str, prefect_api: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("create table accounts.p partition of accounts.invoices for values from ('2020-01-01') to ('2100-01-01')")
        conn.execute("alter table accounts.p enable row level security")
        conn.execute("revoke all on accounts.p from public, anon, authenticated, service_role")
        for name, what in (("customer", "customer, issued_on desc"), ("unpaid", "due_on")):
            conn.execute(f"create index invoices_{name} on accounts.invoices ({what})".encode())

    results = validate("accounts.invoices", "schema")

    assert [(result.suite, result.status) for result in results] == [("schema", "WARNED")]
    assert Path(str(results[0].data_docs)).is_file()
    (task,) = httpx.post(f"{prefect_api}/task_runs/filter", json={"sort": "EXPECTED_START_TIME_DESC", "limit": 1}).json()
    assert task["name"] == "gate schema of accounts.invoices"
    artifact = httpx.get(f"{prefect_api}/artifacts/validate/latest").json()
    assert "| schema | accounts.invoices | WARNED |" in artifact["data"]
    assert "index=invoices_note" in artifact["data"]


def test_a_migration_that_was_never_copied_is_named(dsn: str, prefect_api: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.declarations import SECOND_MIGRATION

    monkeypatch.setenv("MAINTENANCE_FILE", str(SECOND_MIGRATION))
    with pytest.raises(Exception, match="Run backfill bills first"):
        verify_integrity("bills")
