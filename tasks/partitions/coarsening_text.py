"""The text in which a coarsening is shown.

Belongs here: Markdown from a plan and from a result. Keep out: anything that decides.
"""

from __future__ import annotations

from datetime import UTC, datetime

from tasks.core.shown import counted
from tasks.partitions.coarsen import CoarseningResult
from tasks.partitions.coarsen_plan import CoarseningPlan

NOTHING = "Nothing is due: no range of two partitions or more has ended long enough ago and stays long enough before retention."


def coarsening_plan(plan: CoarseningPlan) -> str:
    """Return what becomes one, what waits for another run, and what stays and why."""
    head = f"### {plan.table} as of {plan.as_of.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    rows = [f"| {m.name} | {_day(m.lower)} | {_day(m.upper)} | {len(m.members)} | {m.reason} |" for m in plan.merges]
    table = ["| becomes | from | to | partitions | why |", "|---|---|---|---|---|", *rows] if rows else [NOTHING]
    later = [f"Left for a later run: {', '.join(m.name for m in plan.debt)}."] if plan.debt else []
    stays = [f"- stays: {_day(left.lower)} to {_day(left.upper)}: {left.reason}" for left in plan.left]
    return "\n".join([head, "", *table, "", *later, *stays]).rstrip()


def coarsening_result(result: CoarseningResult) -> str:
    """Return what became one, and what did not and why."""
    lines = [f"- merged: {name}" for name in result.merged]
    lines += [f"- dropped: {counted(result.dropped, 'partition')} whose rows these hold now"] if result.dropped else []
    lines += [f"- given up: {name}: its range was changed meanwhile; a later run tries again" for name in result.given_up]
    lines += [
        f"- waits: {name}: it is copied, and a snapshot is older than the copy; a later run puts it in place"
        for name in result.waiting
    ]
    return "\n".join([f"### {result.table}", "", *(lines or ["Nothing was due."])])


def _day(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M}"
