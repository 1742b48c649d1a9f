"""The text in which a restored partition is shown.

Belongs here: Markdown from a result. Keep out: anything that decides.
"""

from __future__ import annotations

from tasks.core.shown import counted
from tasks.partitions.restore import Restored
from tasks.partitions.retention_plan import show


def restored_text(result: Restored) -> str:
    """Return what became of a partition as Markdown."""
    if result.came_from == "attached":
        return f"{result.partition} is attached to {result.table}; nothing to do."
    source = (
        "the detached table" if result.came_from == "waiting" else f"its archive, {counted(result.rows or 0, 'row')} verified"
    )
    bounds = f"[{show(result.lower)}, {show(result.upper)})"
    return f"{result.partition} {bounds} is attached to {result.table} again, from {source}; on hold until {show(result.held_until)}."
