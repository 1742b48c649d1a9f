"""The text in which a retention is shown: log, artifact and documentation are the same.

Belongs here: Markdown from a plan. Keep out: anything that decides. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from tasks.core.shown import counted
from tasks.partitions.retention_plan import VERBS, RetentionPlan, show


def text_of(plan: RetentionPlan, statements: Sequence[str]) -> str:
    """Return the plan as Markdown, and the SQL that it runs: the only text of it, in log, artifact and documentation."""
    policy = plan.policy
    what = "Archived and verified" if policy.is_archived else "Not archived"
    then = f"dropped after {_days(policy.grace)}" if policy.is_dropped else "kept detached"
    rule = f"a partition goes once its upper bound is at or before {show(plan.oldest_kept)}"
    head = [
        f"### {plan.table} as of {show(plan.as_of)}",
        "",
        f"Keep {_days(policy.keep)}: {rule}. {what}, then {then}. At most {policy.at_most} in one run.",
        "",
    ]
    sql = ["", "```sql", *(f"{statement};" for statement in statements), "```"] if statements else []
    return "\n".join(head + _steps_table(plan) + _debt_lines(plan) + sql)


def _days(length: timedelta) -> str:
    return counted(length.days, "day") if length == timedelta(days=length.days) else str(length)


def _steps_table(plan: RetentionPlan) -> list[str]:
    if not plan.steps:
        return [f"Nothing to do: {counted(len(plan.kept), 'partition')} kept.", *_waiting(plan)]
    rows = [f"| {VERBS[type(s)]} | {s.partition.name} | {show(s.partition.upper)} | {s.reason} |" for s in plan.steps]
    return ["| step | partition | rows before | why |", "|---|---|---|---|", *rows, *_waiting(plan)]


def _waiting(plan: RetentionPlan) -> list[str]:
    """Name what is kept for another reason than being young."""
    young = "holds rows up to"
    return [f"- kept: {k.partition.name}: {k.reason}" for k in plan.kept if not k.reason.startswith(young) and not k.is_due]


def _debt_lines(plan: RetentionPlan) -> list[str]:
    if not plan.debt:
        return []
    return ["", f"Due and left for later: {len(plan.debt)}.", *(f"- {d.partition}: {d.reason}" for d in plan.debt)]
