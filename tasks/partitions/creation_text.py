"""The text in which a creation is shown: log and artifact are the same.

Belongs here: Markdown from a plan. Keep out: anything that decides.
"""

from __future__ import annotations

from datetime import UTC, datetime

from tasks.core.shown import counted
from tasks.partitions.create import MOST_SHOWN, CreationPlan
from tasks.partitions.plan import Create


def creation_plan(plan: CreationPlan) -> str:
    """Return what will be made, why, and the SQL for it."""
    head = f"### {plan.table} as of {_show(plan.as_of)} UTC"
    if not plan.creates:
        return f"{head}\n\n{_nothing(plan)}{_pending(plan)}"
    lines = [f"| {c.name} | {_show(c.lower)} | {_show(c.upper)} | {_why(c)} |" for c in plan.creates[:MOST_SHOWN]]
    rest = len(plan.creates) - len(lines)
    lines += [f"| … and {rest:,} more | | {_show(plan.creates[-1].upper)} | |"] if rest else []
    table = "\n".join(["| partition | from | to | why |", "|---|---|---|---|", *lines])
    statements = ";\n".join(plan.statements)
    return f"{head}\n\n{table}{_left_out(plan)}{_standing(plan)}{_pending(plan)}\n\nEach in a transaction of its own:\n\n```sql\n{statements};\n```"


def _why(create: Create) -> str:
    moved = f"; takes {counted(create.from_default, 'row')} out of the default partition" if create.from_default else ""
    return create.reason + moved


def _left_out(plan: CreationPlan) -> str:
    left_out, text = plan.left_out, ""
    if left_out.publications:
        names = ", ".join(left_out.publications)
        text += f"\n\nNot in {names}, which names partitions one by one: add them, or publish {plan.table} itself."
    if left_out.objects:
        lines = "\n".join(f"- {one}" for one in left_out.objects)
        text += f"\n\nWithout what stands on partitions alone; declare it on {plan.table} where it is meant for all:\n\n{lines}"
    return text


def _nothing(plan: CreationPlan) -> str:
    if plan.standing:
        return f"Nothing is made.{_standing(plan)}"
    return "Nothing is due: the runway is long enough and has no gap."


def _standing(plan: CreationPlan) -> str:
    return "".join(f"\n\nLeft open: {one}" for one in plan.standing)


def _pending(plan: CreationPlan) -> str:
    if not plan.pending:
        return ""
    names = ", ".join(plan.pending)
    return f"\n\nThe detach of {names} is pending: its rows are hidden until enforce_retention finishes it. It is left alone."


def _show(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M}"
