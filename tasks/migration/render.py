"""Text of cutovers and rollbacks, for the log, the artifact and the reader of both.

Belongs here: the only text of either. Keep out: rules, connections, Prefect.
"""

from __future__ import annotations

from tasks.core.shown import counted
from tasks.migration.cutover import CutoverResult
from tasks.migration.remove import Removal
from tasks.migration.rollback import RollbackResult


def describe_cutover(result: CutoverResult) -> str:
    """Return what a cutover did as Markdown: lock time first, then what a rehearsal found missing and what it tried."""
    if result.outcome == "already cut over":
        return f"{result.migration} is cut over already."
    meanwhile = f"{counted(result.attempts, 'attempt')}, {counted(result.drained, 'change')} applied meanwhile"
    lines = [f"{result.migration} is {result.outcome}: the legacy tables were locked for {result.lock_ms} ms ({meanwhile})."]
    if result.outcome == "rehearsed":
        lines += ["", f"Everything was rolled back. A cutover would lack{':' if result.lacks else ' nothing.'}", ""]
        lines += [f"- {lack}" for lack in result.lacks]
        lines += ["", "The backups were tried:", "", *(f"- {said}" for said in result.restored)] if result.restored else []
    return "\n".join(lines).rstrip()


def describe_rollback(result: RollbackResult) -> str:
    """Return what a rollback would do or has done as Markdown, the rows that stay behind named."""
    if result.toggle is not None:
        return _describe_toggle(result, result.toggle)
    if result.removal is not None:
        return "\n".join([*_describe_names(result), *_describe_removal(result, result.removal)])
    more = result.refused_rows - len(result.refused)
    lines = _describe_names(result)
    lines += [f"- stays in the target alone: {row.target_key} of {row.event_time}: {row.reason}" for row in result.refused]
    return "\n".join([*lines, *([f"- and {counted(more, 'more row')}"] if more > 0 else [])])


def _describe_names(result: RollbackResult) -> list[str]:
    """Say what became of the names; nothing where the way complete found them given back already."""
    if result.removal is not None and not result.writes:
        return []
    match result.outcome:
        case "nothing to roll back":
            return [f"There is nothing to roll back of {result.migration}."]
        case "planned":
            head = (
                f"Rolling {result.migration} back would carry {counted(result.waiting, 'change')} to the legacy tables, write"
                f" {counted(result.restored, 'row')} from quarantine there, and give them their names again. Apply it with safety.apply."
            )
        case "rolled back" | "removed" | "toggled":
            head = (
                f"{result.migration} is rolled back: {counted(result.carried, 'change')} carried back ({counted(result.written, 'row')} written,"
                f" {result.deleted:,} deleted), {counted(result.restored, 'row')} taken from quarantine; locked for {result.lock_ms} ms."
            )
    lines = [head, *(f"- {name}: {counted(writes, 'row')} written under this name" for name, writes in result.writes.items())]
    return [*lines, *(f"- reads the table again: {name}" for name in result.dependants)]


def _describe_removal(result: RollbackResult, removal: Removal) -> list[str]:
    is_planned = result.outcome == "planned"
    lines = [_removal_head(result.migration, removal, is_planned=is_planned)]
    lines += [f"- capture ends: {name}" for name in removal.triggers if is_planned]
    lines += [f"- archive: {path}" for path in removal.archives]
    lines += [f"- {removal.only_here:,} of them are in no legacy table; their archive keeps them"] if removal.only_here else []
    lines += [f"- only archived: {row.target_key} of {row.event_time}: {row.reason}" for row in removal.only_here_rows]
    lines += [f"- {counted(removal.staying_rows, 'row')} left in the target"] if removal.staying_rows else []
    lines += [f"- stays: {row.target_key} of {row.event_time}: {row.reason}" for row in removal.staying]
    lines += [f"- not touched: {kept}" for kept in removal.kept]
    return [*lines, *([f"- left for the next run: {counted(removal.left, 'partition')}"] if removal.left else [])]


def _removal_head(migration: str, removal: Removal, *, is_planned: bool) -> str:
    if not removal.partitions:
        left = f"Nothing of {migration} is left to take out of the target."
        return f"{left} Apply it with safety.apply to end its capture." if is_planned and removal.triggers else left
    rows, partitions = counted(removal.rows, "row"), counted(removal.partitions, "partition")
    what = f"{rows} of {migration} in {partitions} ({removal.size_bytes / 2**20:,.1f} MB)"
    if is_planned:
        return f"{what} would be archived, verified and taken out of the target. Apply it with safety.apply."
    return f"{what} archived, verified and taken out of the target."


def _describe_toggle(result: RollbackResult, toggle: str) -> str:
    told = {
        "planned": f"{toggle} is on; applying this turns it off and changes nothing else. Apply it with safety.apply.",
        "toggled": f"{toggle} is off now. Turn it on again with: update maintenance.setting set value = 'true' where name = '{toggle}'",  # noqa: S608 (read by a person)
    }
    head = told.get(result.outcome, f"{toggle} is off already; there is nothing to roll back.")
    return f"{head}\n- this process's environment overrides the settings row" if result.overridden else head
