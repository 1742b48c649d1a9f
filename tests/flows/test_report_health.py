"""The health report as a person sees it in Prefect: artifacts, events, and the state of the run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from flows.report_health import report_health
from tasks.health.verdict import Unhealthy
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


def test_a_critical_finding_fails_the_run_after_everything_is_published(dsn: str, pages: Pages, tmp_path: Path) -> None:
    with pytest.raises(Unhealthy, match="no partition takes a row of this moment"):
        report_health()

    run = pages.latest()
    assert (run["name"], run["state_type"]) == ("report health", "FAILED")
    assert "python -m flows create_partitions --table accounts.invoices" in run["state"]["message"]
    text = pages.ask("GET", "artifacts/report-health/latest")["data"]
    assert text.startswith("# Health at ")
    assert "## Errors" in text
    rows: Any = pages.ask("GET", "artifacts/report-health-findings/latest")["data"]
    assert '"low-runway"' not in rows
    assert "accounts.invoices" in rows
    assert (tmp_path / "reports" / "health.html").is_file()


def test_a_declared_level_decides(dsn: str, prefect_api: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    declared = (SECOND / "maintenance.yaml").read_text("utf-8") + "\nhealth: {fail_at: never}\n"
    (tmp_path / "maintenance.yaml").write_text(declared, "utf-8")
    monkeypatch.setenv("MAINTENANCE_FILE", str(tmp_path / "maintenance.yaml"))

    assert report_health().critical

    with psycopg.connect(dsn) as conn:
        assert conn.execute("select count(*), max(critical) > 0 from maintenance.health").fetchone() == (1, True)
