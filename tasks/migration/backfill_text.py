"""The text in which a backfill is shown: log and artifact are the same.

Belongs here: Markdown from a plan or a result. Keep out: anything that decides.
"""

from __future__ import annotations

from collections import Counter

from tasks.core.shown import counted
from tasks.migration.backfill import BackfillResult
from tasks.migration.plan import BackfillPlan, Due

#: Single units shown; a plan of years would be longer than an artifact.
MOST_SHOWN = 200


def backfill_plan(migration: str, plan: BackfillPlan) -> str:
    """Return which units are due and why; the log is drained in any case."""
    if not plan.due:
        return f"### {migration}\n\nEvery unit is done ({plan.already_done:,}); only the capture log is drained."
    kinds = Counter(f"{due.act} {due.kind}" for due in plan.due)
    head = ", ".join(f"{count:,} to {kind}" for kind, count in kinds.items())
    lines = [_line(due) for due in plan.due[:MOST_SHOWN]]
    more = [f"\n{len(plan.due) - MOST_SHOWN:,} more."] if len(plan.due) > MOST_SHOWN else []
    table = "\n".join(["| unit | partition | why |", "|---|---|---|", *lines, *more])
    withdrawn = f" Withdrawn: {counted(len(plan.obsolete), 'registered unit')}." if plan.obsolete else ""
    return f"### {migration}\n\nDue: {head}; done: {plan.already_done:,}.{withdrawn}\n\n{table}"


def _line(due: Due) -> str:
    return f"| {due} | {due.partition or ''} | {due.reason} |"


def backfill_result(result: BackfillResult) -> str:
    """Return what a backfill did and what is in quarantine by reason."""
    if result.outcome == "waiting":
        return result.message
    if result.outcome == "cut over":
        return f"{result.migration} is cut over: nothing is copied any more, {counted(result.keys_drained, 'change')} carried back."
    rate = f"{result.rows_copied / result.seconds:,.0f} rows/s" if result.seconds else "at once"
    copied = f"{counted(result.rows_copied, 'row')} copied in {result.seconds:.1f} s ({rate}), {counted(result.units_done, 'unit')} done"
    drained = f"{counted(result.keys_drained, 'key')} drained, {result.queue_left:,} still in the log"
    reasons = [f"- {counted(rows, 'row')} in quarantine: {reason}" for reason, rows in result.rows_quarantined.items()]
    return "\n".join([f"{result.migration}: {copied}, {drained}.", *reasons])
