"""From facts to findings: what is wrong, how bad, and what to do (A6).

Belongs here: one small rule per subject, each finding with a remedy that can be copied.
Keep out: SQL, clocks, Prefect, logging. The caller passes `as_of`. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

Level = Literal["critical", "warning", "info"]
ORDER: dict[Level, int] = {"critical": 0, "warning": 1, "info": 2}


@dataclass(frozen=True)
class Finding:
    """One thing that somebody should know; `remedy` is a command or a sentence."""

    level: Level
    section: str
    object: str
    text: str
    remedy: str = ""


@dataclass(frozen=True)
class TableFacts:
    """Partitions of one declared table. `due` are attached past their retention, `waiting` are archived and in grace."""

    table: str
    runway_until: datetime | None
    ahead: timedelta
    has_default: bool
    pending_detach: tuple[str, ...]
    due: int
    waiting: int


@dataclass(frozen=True)
class MatviewFacts:
    """One declared materialized view's freshness."""

    matview: str
    refreshed_at: datetime | None
    stale_after: timedelta
    last_error: str | None


@dataclass(frozen=True)
class QuarantineFacts:
    """Rows that a mapping refused."""

    source: str
    reason: str
    rows: int


@dataclass(frozen=True)
class GateFacts:
    """The newest verdict of one gate."""

    subject: str
    step: str
    status: str
    decided_at: datetime
    reasons: int


@dataclass(frozen=True)
class MigrationFacts:
    """Where one migration stands."""

    name: str
    phase: str
    queued_keys: int
    open_units: int


@dataclass(frozen=True)
class FlowFacts:
    """When a flow last did its work on a subject."""

    flow: str
    subject: str
    last_success: datetime | None
    newest_outcome: str
    overdue_after: timedelta


Facts = TableFacts | MatviewFacts | QuarantineFacts | GateFacts | MigrationFacts | FlowFacts


def find(facts: Iterable[Facts], as_of: datetime) -> list[Finding]:
    """Return every finding, the worst first."""
    found = [finding for fact in facts for finding in _rules(fact, as_of)]
    return sorted(found, key=lambda finding: (ORDER[finding.level], finding.section, finding.object))


def _rules(fact: Facts, as_of: datetime) -> Iterator[Finding]:
    match fact:
        case TableFacts():
            yield from _table(fact, as_of)
        case MatviewFacts():
            yield from _matview(fact, as_of)
        case QuarantineFacts():
            text = f"{fact.rows:,} rows in quarantine: {fact.reason}"
            yield Finding("info", "quarantine", fact.source, text, "select * from maintenance.quarantine")
        case GateFacts():
            yield from _gate(fact)
        case MigrationFacts():
            yield from _migration(fact)
        case FlowFacts():
            yield from _flow(fact, as_of)


def _table(fact: TableFacts, as_of: datetime) -> Iterator[Finding]:
    create = f"python -m flows create_partitions --table {fact.table}"
    if fact.runway_until is None or fact.runway_until <= as_of:
        yield Finding("critical", "runway", fact.table, "no partition takes a row of this moment: inserts fail", create)
    elif fact.runway_until - as_of < fact.ahead / 2:
        left = (fact.runway_until - as_of) / timedelta(days=1)
        text = f"partitions for {left:.1f} more days, where {fact.ahead / timedelta(days=1):g} are declared"
        yield Finding("critical", "runway", fact.table, text, create)
    if fact.has_default:
        text = "has a default partition: DETACH CONCURRENTLY is refused, and its rows block new partitions"
        yield Finding("warning", "partitions", fact.table, text, "Move its rows out and drop it.")
    retire = f"python -m flows enforce_retention --table {fact.table} --safety.apply"
    for name in fact.pending_detach:
        yield Finding("critical", "partitions", name, "its detach is pending: its rows are invisible", retire)
    if fact.due:
        yield Finding("warning", "retention", fact.table, f"{fact.due} partitions are past their retention", retire)
    if fact.waiting:
        yield Finding("info", "retention", fact.table, f"{fact.waiting} archived partitions wait out their grace period")


def _matview(fact: MatviewFacts, as_of: datetime) -> Iterator[Finding]:
    refresh = f"python -m flows refresh_matviews --matview {fact.matview}"
    if fact.last_error is not None:
        yield Finding("warning", "views", fact.matview, f"its last refresh failed: {fact.last_error}", refresh)
    if fact.refreshed_at is None:
        yield Finding("warning", "views", fact.matview, "has never been filled", refresh)
    elif as_of - fact.refreshed_at > fact.stale_after:
        age = round((as_of - fact.refreshed_at).total_seconds())
        yield Finding("warning", "views", fact.matview, f"is {age} s old; {fact.stale_after} is declared", refresh)


def _gate(fact: GateFacts) -> Iterator[Finding]:
    if fact.status in ("BLOCKED", "ERRORED"):
        text = f"gate {fact.step} {fact.status} on {fact.decided_at:%Y-%m-%d %H:%M} UTC for {fact.reasons} reasons"
        yield Finding("critical", "gates", fact.subject, text, "Open its report; mend the cause; run the flow again.")
    elif fact.status == "WARNED":
        yield Finding("info", "gates", fact.subject, f"gate {fact.step} warned for {fact.reasons} reasons")


def _migration(fact: MigrationFacts) -> Iterator[Finding]:
    if fact.phase == "capturing":
        text = f"capture is on: {fact.queued_keys:,} keys queued, {fact.open_units} units open"
        yield Finding("info", "migration", fact.name, text, f"python -m flows migrate {fact.name}")


def _flow(fact: FlowFacts, as_of: datetime) -> Iterator[Finding]:
    again = f"python -m flows {fact.flow}"
    if fact.last_success is not None and as_of - fact.last_success > fact.overdue_after:
        text = f"{fact.flow} last succeeded on {fact.last_success:%Y-%m-%d %H:%M} UTC"
        yield Finding("critical", "flows", fact.subject, text, again)
    elif fact.newest_outcome in ("failed", "abandoned"):
        yield Finding("warning", "flows", fact.subject, f"the newest run of {fact.flow} {fact.newest_outcome}", again)
