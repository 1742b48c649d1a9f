"""Flow: say how the maintained database is doing (A5, A6)."""

from __future__ import annotations

from prefect import flow

from tasks.core.connect import database_now
from tasks.core.declaration import read_declaration
from tasks.core.flowruns import flow_runtime, publish
from tasks.health.report import HealthSummary, Unhealthy, describe, read_health


@flow(flow_run_name="report health")
def report_health() -> HealthSummary:
    """Report runway, retention debt, views, quarantine, gates and overdue flows of everything declared.

    Read-only, one snapshot. Every finding has a level, an object and a remedy. The run fails where a finding is
    critical: no runway, a pending detach, a blocked gate, an overdue flow. Undo: nothing to undo.
    """
    with flow_runtime():
        summary = read_health(read_declaration(), database_now())
        publish("report-health", describe(summary))
        if summary.critical:
            raise Unhealthy("; ".join(f"{f.object}: {f.text}" for f in summary.critical))
        return summary
