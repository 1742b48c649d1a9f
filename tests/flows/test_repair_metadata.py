"""The flow: what a person sees in Prefect of metadata outside the shape (D6)."""

from __future__ import annotations

from pathlib import Path

import httpx
import psycopg
import pytest

from flows.repair_metadata import repair_metadata
from tasks.core.errors import NotDeclared
from tasks.core.parameters import Safety
from tasks.upkeep.metadata import MetadataResult
from tests.flows.pages import Pages

DECLARED = "metadata: {why: w, owner: o, columns: {public.notes: metadata, public.sessions: metadata}}"


@pytest.fixture
def declared(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    file = tmp_path / "maintenance.yaml"
    file.write_text(DECLARED, encoding="utf-8")
    monkeypatch.setenv("MAINTENANCE_FILE", str(file))
    with psycopg.connect(database) as conn:
        conn.execute("create table public.notes (id int primary key, metadata jsonb)")
        conn.execute("""insert into public.notes values (1, '[]'), (2, null)""")
    return database


def test_a_plan_is_shown_then_applied_and_the_next_run_finds_nothing(declared: str, prefect_api: str) -> None:
    plan, applied, again = repair_metadata(), repair_metadata(safety=Safety(apply=True)), repair_metadata()

    found = [[result for result in results if isinstance(result, MetadataResult)] for results in (plan, applied, again)]
    assert [[(r.report.rows, r.repaired, r.left) for r in results] for results in found] == [
        [(2, 0, 2), (0, 0, 0)],
        [(2, 2, 0), (0, 0, 0)],
        [(0, 0, 0), (0, 0, 0)],
    ]
    assert [run["name"] for run in Pages(prefect_api).last(3)] == [
        "plan repair metadata every table",
        "APPLY repair metadata every table",
        "plan repair metadata every table",
    ]
    artifacts = httpx.post(f"{prefect_api}/artifacts/filter", json={"sort": "CREATED_DESC", "limit": 6}).json()
    said = [artifact["data"] for artifact in artifacts if artifact["key"] == "repair-metadata-report"]
    assert any("public.notes.metadata: 2 rows outside the standard shape." in text for text in said)
    assert any("sessions_metadata_shape holds for every row." in text for text in said)


def test_a_table_that_is_not_declared_fails_the_run_with_the_remedy(declared: str, prefect_api: str) -> None:
    with pytest.raises(NotDeclared, match=r"public\.gone is not declared in .* Declared are: public\.notes"):
        repair_metadata("public.gone")
