"""Read the facts of the declared objects in one snapshot, and say how they are (A5, A6).

Belongs here: reading, and the text that log and artifact share. Keep out: the rules (`findings`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tasks.core.connect import Connection, snapshot
from tasks.core.declaration import Declaration, Table
from tasks.core.errors import Permanent
from tasks.core.names import Relation
from tasks.core.sqlfiles import fetch, fetch_one
from tasks.health.findings import (
    Facts,
    Finding,
    FlowFacts,
    GateFacts,
    MatviewFacts,
    MigrationFacts,
    QuarantineFacts,
    TableFacts,
    find,
)
from tasks.partitions.catalog import list_partitions, read_parent


@dataclass(eq=False)
class Unhealthy(Permanent):
    """The maintained database needs somebody now: {findings}"""

    findings: str


@dataclass(frozen=True)
class HealthSummary:
    """Facts and findings of one moment; `findings` with the worst first."""

    as_of: datetime
    facts: tuple[Facts, ...]
    findings: tuple[Finding, ...]

    @property
    def critical(self) -> tuple[Finding, ...]:
        """Return what cannot wait."""
        return tuple(finding for finding in self.findings if finding.level == "critical")


def read_health(declaration: Declaration, as_of: datetime) -> HealthSummary:
    """Return the health of everything declared, read in one read-only snapshot."""
    with snapshot("report_health") as conn:
        facts = tuple(_facts(conn, declaration, as_of))
    return HealthSummary(as_of, facts, tuple(find(facts, as_of)))


def _facts(conn: Connection, declaration: Declaration, as_of: datetime) -> list[Facts]:
    tables = [_table(conn, name, policy, as_of) for name, policy in declaration.tables.items()]
    return [
        *tables,
        *_matviews(conn, declaration),
        *_quarantine(conn),
        *_gates(conn),
        *_migrations(conn),
        *_flows(conn, declaration),
    ]


def _table(conn: Connection, name: str, policy: Table, as_of: datetime) -> TableFacts:
    relation = Relation.parse(name)
    parent, partitions = read_parent(conn, relation, policy.partitioning.by), list_partitions(conn, relation)
    uppers = [p.upper for p in partitions if p.upper is not None and not p.is_pending_detach]
    keep = policy.retention.keep if policy.retention else None
    return TableFacts(
        table=name,
        runway_until=max(uppers, default=None),
        ahead=policy.partitioning.ahead,
        has_default=parent.has_default,
        pending_detach=tuple(str(p.relation) for p in partitions if p.is_pending_detach),
        due=sum(1 for upper in uppers if keep is not None and upper <= as_of - keep),
        waiting=fetch_one(conn, "health/retirement", parent=name)["waiting"],
    )


def _matviews(conn: Connection, declaration: Declaration) -> list[MatviewFacts]:
    rows = fetch(conn, "health/matviews", names=list(declaration.matviews))
    return [MatviewFacts(stale_after=declaration.matviews[row["matview"]].stale_after, **row) for row in rows]


def _quarantine(conn: Connection) -> list[QuarantineFacts]:
    return [QuarantineFacts(**row) for row in fetch(conn, "health/quarantine")]


def _gates(conn: Connection) -> list[GateFacts]:
    return [GateFacts(**row) for row in fetch(conn, "health/gates")]


def _migrations(conn: Connection) -> list[MigrationFacts]:
    return [MigrationFacts(**row) for row in fetch(conn, "health/migrations")]


def _flows(conn: Connection, declaration: Declaration) -> list[FlowFacts]:
    rows = fetch(conn, "health/flows", declared=list(declaration.flows))
    return [FlowFacts(overdue_after=declaration.flow(row["flow"]).overdue_after, **row) for row in rows]


def describe(summary: HealthSummary) -> str:
    """Return the Markdown that log and artifact share."""
    runway = [f for f in summary.facts if isinstance(f, TableFacts)]
    lines = [
        f"Health at {summary.as_of:%Y-%m-%d %H:%M} UTC",
        "",
        "| table | runway until | due | waiting |",
        "|---|---|---|---|",
    ]
    lines += [f"| {f.table} | {_instant(f.runway_until)} | {f.due} | {f.waiting} |" for f in runway]
    return "\n".join([*lines, "", *(_finding_lines(summary.findings) or ["Nothing to report."])])


def _instant(value: datetime | None) -> str:
    return f"{value:%Y-%m-%d %H:%M} UTC" if value else "none"


def _finding_lines(findings: Sequence[Finding]) -> list[str]:
    if not findings:
        return []
    head = ["| level | section | object | finding | remedy |", "|---|---|---|---|---|"]
    return head + [
        f"| {f.level} | {f.section} | {f.object} | {f.text} | {f'`{f.remedy}`' if f.remedy else ''} |" for f in findings
    ]
