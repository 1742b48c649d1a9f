"""Flow: say how the maintained database is doing (A5, A6)."""

from __future__ import annotations

from prefect import flow

from tasks.core.connect import database_now
from tasks.core.declaration import read_declaration
from tasks.core.flowruns import flow_runtime, log, manual, publish, publish_table
from tasks.health.events import tell
from tasks.health.memory import remember
from tasks.health.page import write_page
from tasks.health.report import HealthSummary, read_health
from tasks.health.text import describe, finding_rows
from tasks.health.verdict import refuse


@manual
@flow(flow_run_name="report health")
def report_health() -> HealthSummary:
    """Report storage, memory, cache, sessions, errors, connections, events, rights and maintenance of everything declared.

    Reads in one read-only snapshot; keeps one row of figures for trends. Every finding has a level, an object and a remedy;
    one that opens or closes is an event in Prefect. The report is an artifact and build/reports/health.html. The run fails
    where a finding is as bad as the declaration says (critical: no runway, a pending detach, a blocked gate, an overdue
    flow). Undo: nothing to undo.
    """
    with flow_runtime():
        declaration = read_declaration()
        summary = read_health(declaration, database_now())
        publish("report-health", describe(summary))
        publish_table("report-health-findings", finding_rows(summary))
        tell(remember(summary, declaration.health.keep))
        log().info("The page is %s", write_page(summary))
        refuse(summary.findings, declaration.health.fail_at)
        return summary
