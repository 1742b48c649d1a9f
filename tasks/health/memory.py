"""What the report remembers: a row of figures per run for trends, and which findings are open (A5, A6).

Belongs here: writing both in one short transaction, and saying what has changed. Keep out: reading the facts (`report`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, TypeVar

from tasks.core.connect import Kind, transaction
from tasks.core.sqlfiles import fetch, run
from tasks.health.facts import BreakdownFacts, Finding, MatviewFacts, QuarantineFacts, ServerFacts, TableFacts
from tasks.health.report import HealthSummary

F = TypeVar("F")


@dataclass(frozen=True)
class Change:
    """A finding to tell: `opened` (or still open after a day, or of another level), or `closed` without the finding."""

    change: Literal["opened", "closed"]
    rule: str
    object: str
    finding: Finding | None


def remember(summary: HealthSummary, keep: timedelta) -> list[Change]:
    """Keep the figures of `summary`, forget those older than `keep`, and return which findings opened or closed since."""
    given = [{"rule": finding.rule, "object": finding.object, "level": finding.level} for finding in summary.findings]
    with transaction(Kind.BULK) as conn:
        run(conn, "health/record_figures", taken_at=summary.as_of, **figures(summary))
        run(conn, "health/purge_figures", before=summary.as_of - keep)
        rows = fetch(conn, "health/record_findings", findings=json.dumps(given), as_of=summary.as_of)
    known = {(finding.rule, finding.object): finding for finding in reversed(summary.findings)}
    return [Change(finding=known.get((row["rule"], row["object"])), **row) for row in rows]


def figures(summary: HealthSummary) -> dict[str, Any]:
    """Return the figures of one report, by the columns of maintenance.health."""
    tables = list(of_kind(summary, TableFacts))
    server = next(of_kind(summary, ServerFacts))
    runways = [(t.runway_until - summary.as_of) / timedelta(days=1) if t.runway_until else 0.0 for t in tables]
    totals = {fact.section: fact.total for fact in of_kind(summary, BreakdownFacts)}
    return {
        "database_bytes": server.database_bytes,
        "hit_ratio": server.hit_ratio,
        "connections": server.connections,
        "runway_days": min(runways, default=None),
        "partitions_due": sum(table.due for table in tables),
        "quarantined": sum(fact.rows for fact in of_kind(summary, QuarantineFacts)),
        "stale_views": sum(is_stale(summary, fact) for fact in of_kind(summary, MatviewFacts)),
        "errors": totals.get("errors"),
        "events": totals.get("events"),
        "critical": len(summary.critical),
        "warnings": sum(finding.level == "warning" for finding in summary.findings),
    }


def of_kind(summary: HealthSummary, kind: type[F]) -> Iterator[F]:
    """Yield the facts of one kind."""
    return (fact for fact in summary.facts if isinstance(fact, kind))


def is_stale(summary: HealthSummary, fact: MatviewFacts) -> bool:
    """Say whether a view is older than declared, or was never filled."""
    return fact.refreshed_at is None or summary.as_of - fact.refreshed_at > fact.stale_after
