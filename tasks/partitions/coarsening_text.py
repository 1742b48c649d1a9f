"""The text in which a coarsening is shown.

Belongs here: Markdown from a plan. Keep out: anything that decides.
"""

from __future__ import annotations

from datetime import UTC, datetime

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


def _day(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M}"
