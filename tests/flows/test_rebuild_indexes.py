"""The flow: what a person sees in Prefect, and that one table's failure neither hides nor spreads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
import psycopg
import pytest

from flows.rebuild_indexes import rebuild_indexes
from tasks.core.errors import Unfinished
from tests.flows.pages import Pages

DECLARATION = """
tables:
  app.nothing: {why: w, owner: o, partitioning: {by: at, every: day, ahead: P3D}}
  app.readings:
    why: w
    owner: o
    partitioning: {by: at, every: day, ahead: P3D}
    indexes: {readings_kind: {columns: kind, why: w}}
"""
SCHEMA = """
create schema app;
create table app.readings (id bigint, at timestamptz, kind text) partition by range (at);
create table app.readings_a partition of app.readings for values from ('2025-08-09Z') to ('2025-08-10Z');
"""


@pytest.fixture
def dsn(make_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    made = make_database(sets=())
    with psycopg.connect(made, autocommit=True) as conn:
        conn.execute(SCHEMA)
    (tmp_path / "maintenance.yaml").write_text(DECLARATION, encoding="utf-8")
    monkeypatch.setenv("DATABASE_URL", made)
    monkeypatch.setenv("MAINTENANCE_FILE", str(tmp_path / "maintenance.yaml"))
    return made


def test_a_table_s_failure_is_named_and_the_others_get_their_indexes(dsn: str, prefect_api: str) -> None:
    with pytest.raises(Unfinished, match=r"app\.nothing does not exist"):
        rebuild_indexes()

    artifact = httpx.get(f"{prefect_api}/artifacts/rebuild-indexes-report/latest").json()
    assert "| missing | readings_kind | app.readings | it is declared | created on the table" in artifact["data"]
    done = httpx.get(f"{prefect_api}/artifacts/rebuild-indexes/latest").json()["data"]
    assert "app.readings: 1 created on the table, 1 built on partitions." in done
    assert "- created on the table: app.readings_kind" in done
    with psycopg.connect(dsn) as conn:
        assert conn.execute(
            "select bool_and(indisvalid), count(*) from pg_index where indrelid::regclass::text like 'app.%'"
        ).fetchone() == (True, 2)

    (again,) = rebuild_indexes("app.readings")

    assert (again.outcome, again.is_complete) == ("nothing due", True)
    latest = Pages(prefect_api).latest()
    assert (latest["name"], latest["state_type"]) == ("rebuild indexes app.readings", "COMPLETED")
