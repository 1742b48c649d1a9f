"""The flow: what a person sees in Prefect, its gate, its archives as tasks (D4, M8)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from flows.enforce_retention import enforce_retention
from flows.restore_partition import restore_partition
from tasks.core.parameters import Safety
from tasks.gates.verdict import Verdict, VerdictStale
from tasks.partitions import steps
from tests import storage_double as double
from tests.flows.pages import Pages
from tests.retention import AS_OF, DAY, GRACE, TABLE, attached, make_table, name_of, names, states
from tests.storage_double import StorageDouble
from tests.storage_real import storage

__all__ = ["storage"]

DECLARATION = """
tables:
  app.readings:
    why: w
    owner: o
    partitioning: {by: at, every: day, ahead: P3D}
    retention: {keep: P10D, then: drop, grace: P7D, at_most_per_run: 20, archive: parquet}
    gates: [retention]
  app.nothing:
    why: w
    owner: o
    partitioning: {by: at, every: day, ahead: P3D}
"""
DUE = range(-13, -10)


@pytest.fixture
def conn(make_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[psycopg.Connection]:
    dsn = make_database(sets=())
    make_table(dsn, range(-13, 4))
    (tmp_path / "maintenance.yaml").write_text(DECLARATION, encoding="utf-8")
    settings = {"DATABASE_URL": dsn, "MAINTENANCE_FILE": tmp_path / "maintenance.yaml", "MAINTENANCE_OUTPUT": tmp_path}
    for name, value in {**settings, "MAINTENANCE_ALLOW_FUTURE": 1}.items():
        monkeypatch.setenv(name, str(value))
    with psycopg.connect(dsn, autocommit=True) as opened:
        yield opened


def test_a_run_by_hand_publishes_its_plan_and_changes_nothing(conn: psycopg.Connection, prefect_api: str) -> None:
    (result,) = enforce_retention()

    assert not result.applied
    assert len(attached(conn)) == 17
    assert Pages(prefect_api).latest()["name"] == "plan retention every table"
    artifact = httpx.get(f"{prefect_api}/artifacts/enforce-retention-plan/latest").json()
    assert artifact["data"] == result.plan
    assert f"| detach | {name_of(-13)} |" in artifact["data"]


def test_an_applied_run_passes_its_gate_and_archives_as_tasks(conn: psycopg.Connection, prefect_api: str) -> None:
    (result,) = enforce_retention(TABLE, Safety(apply=True), AS_OF)

    assert result.archived == names(DUE)
    assert states(conn) == dict.fromkeys(names(DUE), "archived")
    done = httpx.get(f"{prefect_api}/artifacts/enforce-retention/latest").json()["data"]
    assert done.endswith(f"- detached and archived: {', '.join(result.archived)}"), "each name once"
    assert Pages(prefect_api).latest()["name"] == f"APPLY retention {TABLE} {AS_OF:%Y-%m-%d}"
    tasks = Pages(prefect_api).ask("POST", "task_runs/filter", sort="EXPECTED_START_TIME_DESC", limit=5)
    assert f"archive {name_of(-13)} and 1 more" in {run["name"] for run in tasks}
    verdict = "select status, split_part(subject, ' ', 1), count(*) from maintenance.verdict group by 1, 2"
    assert conn.execute(verdict).fetchall() == [("PASSED", TABLE, 1)]

    (later,) = enforce_retention(TABLE, Safety(apply=True, at_most=3), AS_OF + GRACE + DAY)

    assert later.dropped == names(DUE)
    said = httpx.get(f"{prefect_api}/artifacts/enforce-retention/latest").json()["data"]
    assert "3 dropped" in said
    assert name_of(-13) in said
    assert conn.execute("select count(distinct subject) from maintenance.verdict").fetchone() == (2,)


def test_a_run_that_storage_failed_is_tried_again_by_prefect_and_what_was_dropped_comes_back(
    conn: psycopg.Connection, prefect_api: str, storage: StorageDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAINTENANCE_ARCHIVE_LOCAL", "remove")
    # The second object is refused once; the task goes on with that one, later.
    left = [None, double.BROKEN]
    storage.instead = lambda method, _: left.pop(0) if method == "POST" and left else None

    (result,) = enforce_retention(TABLE, Safety(apply=True), AS_OF)

    assert result.archived == names(DUE)
    assert len(storage.written) == len(set(storage.written)) == 2 * len(DUE)
    (later,) = enforce_retention(TABLE, Safety(apply=True, at_most=3), AS_OF + GRACE + DAY)
    assert later.dropped == names(DUE)
    back = restore_partition(TABLE, name_of(-13))
    assert (back.came_from, back.rows) == ("archive", 3)


def test_what_was_changed_after_the_verdict_closes_the_gate(
    conn: psycopg.Connection, prefect_api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = steps.pass_gate

    def ask_and_change(*subject: Any, **facts: Any) -> Verdict:
        verdict = ask(*subject, **facts)
        conn.execute("alter table app.readings enable row level security")
        return verdict

    monkeypatch.setattr(steps, "pass_gate", ask_and_change)

    with pytest.raises(VerdictStale, match="a policy or a grant was changed since"):
        enforce_retention(TABLE, Safety(apply=True), AS_OF)

    assert len(attached(conn)) == 17
    assert states(conn) == {}
