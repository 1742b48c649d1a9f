"""Text of cutovers and rollbacks, for the log, the artifact and the reader of both.

Belongs here: the only text of either. Keep out: rules, connections, Prefect.
"""

from __future__ import annotations

from tasks.migration.cutover import CutoverResult
from tasks.migration.rollback import RollbackResult


def describe_cutover(result: CutoverResult) -> str:
    """Return what a cutover did as Markdown: lock time first, then what a rehearsal found."""
    if result.outcome == "already cut over":
        return f"{result.migration} is cut over already."
    attempts = "1 attempt" if result.attempts == 1 else f"{result.attempts} attempts"
    meanwhile = f"{attempts}, {result.drained} changes applied meanwhile"
    lines = [f"{result.migration} is {result.outcome}: the legacy tables were locked for {result.lock_ms} ms ({meanwhile})."]
    lines += [f"- Found: {note}" for note in result.notes]
    return "\n".join(lines)


def describe_rollback(result: RollbackResult) -> str:
    """Return what a rollback would do or has done as Markdown, the rows that stay behind named."""
    if result.toggle is not None:
        return _describe_toggle(result, result.toggle)
    match result.outcome:
        case "nothing to roll back":
            return f"{result.migration} is not cut over; there is nothing to roll back."
        case "planned":
            head = (
                f"Rolling {result.migration} back would carry {result.waiting} changes to the legacy tables, write"
                f" {result.restored} rows from quarantine there, and give them their names again. Apply it with safety.apply."
            )
        case "rolled back" | "toggled":
            head = (
                f"{result.migration} is rolled back: {result.carried} changes were carried back ({result.written} rows written,"
                f" {result.deleted} deleted), {result.restored} rows came from quarantine; locked for {result.lock_ms} ms."
            )
    lines = [head, *(f"- {name}: {writes} rows written under this name" for name, writes in result.writes.items())]
    lines += [f"- reads the table again: {name}" for name in result.dependants]
    lines += [f"- stays in the target alone: {row.target_key} of {row.event_time}: {row.reason}" for row in result.refused]
    more = result.refused_rows - len(result.refused)
    return "\n".join([*lines, *([f"- and {more:,} more rows"] if more > 0 else [])])


def _describe_toggle(result: RollbackResult, toggle: str) -> str:
    told = {
        "planned": f"{toggle} is on; applying this turns it off and changes nothing else. Apply it with safety.apply.",
        "toggled": f"{toggle} is off now. Turn it on again with: update maintenance.setting set value = 'true' where name = '{toggle}'",  # noqa: S608 (read by a person)
    }
    head = told.get(result.outcome, f"{toggle} is off already; there is nothing to roll back.")
    return f"{head}\n- this process's environment overrides the settings row" if result.overridden else head
