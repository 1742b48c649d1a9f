"""The text in which upkeep is shown: log and artifact are the same.

Belongs here: Markdown from results. Keep out: anything that decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

from tasks.core.shown import counted
from tasks.upkeep.matviews import Refreshed
from tasks.upkeep.metadata import MetadataReport, MetadataResult
from tasks.upkeep.sessions import SessionsExpired


def refreshed_table(results: Sequence[Refreshed]) -> str:
    """Return a Markdown table, one line per view."""
    head = "| view | outcome | why | seconds | rows | bytes |\n|---|---|---|---|---|---|"
    lines = [
        f"| {r.matview} | {r.outcome} | {r.reason} | {r.seconds:.2f} | {r.rows_after:,} | {r.size_bytes:,} |" for r in results
    ]
    return "\n".join([head, *lines])


def expired_sessions(result: SessionsExpired) -> str:
    """Return one sentence: what became of the sessions."""
    return (
        f"{result.table} as of {result.as_of:%Y-%m-%d %H:%M} UTC: {result.expired:,} marked as expired, "
        f"{result.purged:,} expired ones deleted, in {result.batches:,} batches."
    )


#: What becomes of a kind whose whole repair can be said in one line; every other one is completed.
BECOMES = MappingProxyType({
    "null": "becomes the shape with no fields",
    "not an object": "becomes fields.value, with wrapped: true",
    "no part of the shape": "becomes fields, as it is",
    "version unknown": "becomes fields, as it is",
    "schema unknown": "becomes fields, as it is",
    "wrapped not true": "becomes fields, as it is",
    "legacy not an object": "becomes fields, as it is",
    "shape in the shape": "left as it is: within the shape, and it may be meant so",
})  # fmt: skip
COMPLETED = "completed; what stands beside fields moves in, or all of it becomes fields where that would lose a value"


def metadata_report(found: MetadataReport) -> str:
    """Return Markdown: rows outside the shape by kind with what becomes of them, examples, and what holds the rule."""
    where = f"{found.table}.{found.column}"
    lines = [f"{where}: {counted(found.rows, 'row')} outside the standard shape. {_held_by(found)}"]
    if found.faults or found.kept:
        lines += ["", "| kind | rows | what becomes of it |", "|---|---|---|"]
        counts = sorted([*found.faults.items(), *found.kept.items()], key=lambda item: -item[1])
        lines += [f"| {kind} | {rows:,} | {BECOMES.get(kind, COMPLETED)} |" for kind, rows in counts]
        lines += ["", "| for example | row | its metadata, without values |", "|---|---|---|"]
        lines += [f"| {e.kind} | {_cell(e.row)} | {_cell(e.outline)} |" for e in found.examples]
    return "\n".join(lines)


def _held_by(found: MetadataReport) -> str:
    if not found.checks:
        return "No CHECK holds it for new rows (docs/flows/repair_metadata.md has one)."
    return " ".join(
        f"{check.name} {'holds for every row' if check.is_valid else 'is NOT VALID: it holds for new rows alone'}."
        for check in found.checks
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def repaired_metadata(result: MetadataResult) -> str:
    """Return one sentence: what a run did to a column."""
    where = f"{result.report.table}.{result.report.column}"
    if result.outcome == "planned":
        return f"{where}: nothing was changed; {counted(result.left, 'row')} to be repaired."
    validated = f" Validated: {', '.join(result.validated)}." if result.validated else ""
    return (
        f"{where}: {counted(result.repaired, 'row')} repaired (batches: {result.batches:,}), {result.left:,} left.{validated}"
    )
