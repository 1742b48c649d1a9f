"""The flow: what a person sees in Prefect, and that one table's failure neither hides nor spreads."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import httpx
import psycopg
import pytest

from flows.create_partitions import create_partitions
from tasks.core.errors import Unfinished
from tests.declarations import SECOND, make_second
from tests.flows.pages import Pages

AS_OF = datetime(2025, 8, 10, tzinfo=UTC)
BROKEN = """
  accounts.nothing: {why: w, owner: o, partitioning: {by: at, every: day, ahead: P3D}}
"""


@pytest.fixture
def dsn(make_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> str:
    made = make_database(sets=())
    make_second(made)
    monkeypatch.setenv("DATABASE_URL", made)
    monkeypatch.setenv("MAINTENANCE_FILE", str(SECOND / "maintenance.yaml"))
    return made


def test_the_run_names_its_table_and_publishes_the_plan(dsn: str, prefect_api: str) -> None:
    results = create_partitions("accounts.invoices", AS_OF)

    assert [[c.name for c in result.created] for result in results] == [
        ["invoices_p202508", "invoices_p202509", "invoices_p202510"]
    ]
    latest = Pages(prefect_api).latest()
    assert (latest["name"], latest["state_type"]) == ("create partitions accounts.invoices", "COMPLETED")
    artifact = httpx.get(f"{prefect_api}/artifacts/create-partitions-plan/latest").json()
    assert "| invoices_p202508 | 2025-08-01 00:00 | 2025-09-01 00:00 | the runway must reach 2025-10-19 |" in artifact["data"]
    assert 'create table "accounts"."invoices_p202508"' in artifact["data"]


def test_one_tables_failure_is_named_and_the_others_are_served(
    dsn: str, prefect_api: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (SECOND / "maintenance.yaml").read_text(encoding="utf-8").replace("tables:\n", f"tables:{BROKEN}", 1)
    (tmp_path / "maintenance.yaml").write_text(text, encoding="utf-8")
    monkeypatch.setenv("MAINTENANCE_FILE", str(tmp_path / "maintenance.yaml"))

    with pytest.raises(Unfinished, match=r"accounts\.nothing does not exist"):
        create_partitions(as_of=AS_OF)

    with psycopg.connect(dsn) as conn:
        assert conn.execute(
            "select count(*) from pg_inherits h join pg_class c on c.oid = inhrelid and relkind = 'r'"
        ).fetchone() == (3,)
