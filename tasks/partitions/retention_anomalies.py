"""What looks so wrong that retention removes nothing: a gap, a retention cut short, a clock that jumped (D4).

Belongs here: recognising it from facts, and the errors that say how a person accepts or mends it.
Keep out: what is due (`retention_plan`), SQL, clocks, Prefect, logging. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from tasks.core.errors import Permanent
from tasks.partitions.retention_plan import FOREVER, NEVER, Bounds, Candidate, RetentionPlan, show


@dataclass(eq=False)
class PartitionGap(Permanent):
    """{parent} has no partition for [{lower}, {upper}); nothing is removed until it is filled. Run create_partitions, or
    attach the partition that is missing."""

    parent: str
    lower: datetime
    upper: datetime


@dataclass(eq=False)
class RetentionShortened(Permanent):
    """The retention of {table} was shortened from {before} to {now}, by more than half; nothing is removed. Correct keep in
    the declaration, or accept it with: update maintenance.retention set accepts = 'shortened' where relation = '{table}'"""

    table: str
    before: timedelta
    now: timedelta


@dataclass(eq=False)
class ClockJumped(Permanent):
    """The time seems wrong for {table}: {reason}; nothing is removed. Check the server's clock, or accept it with:
    update maintenance.retention set accepts = 'clock' where relation = '{table}'"""

    table: str
    reason: str


@dataclass(eq=False)
class FutureRefused(Permanent):
    """{table} cannot be worked on as of {as_of}, which lies in the future (it is {now}); nothing was changed. Publish that
    plan without applying it; tests and the demo set MAINTENANCE_ALLOW_FUTURE=1."""

    table: str
    as_of: datetime
    now: datetime


@dataclass(frozen=True)
class LastRun:
    """What the last applied run decided by, and what a person has accepted since."""

    keep: timedelta
    as_of: datetime
    ran_at: datetime
    accepts: str | None = None


def require_no_anomaly(
    plan: RetentionPlan,
    candidates: Iterable[Candidate],
    retired: Iterable[Bounds],
    *,
    now: datetime,
    last: LastRun | None,
    newest_rows: Bounds | None,
    ahead: timedelta,
) -> None:
    """Raise where something looks wrong, so that nothing may be removed.

    `retired` are the bounds that retention itself has emptied, `newest_rows` the bounds of the newest partition that has
    a row, `ahead` the runway. Raises RetentionShortened, ClockJumped, PartitionGap.
    """
    accepts = last.accepts if last is not None else None
    if last is not None and accepts != "shortened" and plan.policy.keep < last.keep / 2:
        raise RetentionShortened(plan.table, last.keep, plan.policy.keep)
    reason = _clock_reason(plan, now, last, newest_rows, ahead)
    if reason and accepts != "clock":
        raise ClockJumped(plan.table, reason)
    if plan.removals:
        require_no_gap(plan.table, candidates, retired, since=plan.oldest_kept, until=plan.as_of + ahead)


def _clock_reason(
    plan: RetentionPlan, now: datetime, last: LastRun | None, newest_rows: Bounds | None, ahead: timedelta
) -> str | None:
    if last is not None and min(plan.as_of, now) < min(last.as_of, last.ran_at):
        return f"{show(min(plan.as_of, now))} is before the last run, {show(min(last.as_of, last.ran_at))}"
    if newest_rows is None:
        return None
    lower, upper = newest_rows
    if lower > plan.as_of + ahead:
        return f"it holds rows from {show(lower)} on, later than its runway as of {show(plan.as_of)}"
    if upper <= plan.as_of - plan.policy.keep:
        return f"as of {show(plan.as_of)} all of its rows are past their retention, the newest from before {show(upper)}"
    return None


def require_no_gap(
    table: str,
    candidates: Iterable[Candidate],
    retired: Iterable[Bounds],
    *,
    since: datetime = NEVER,
    until: datetime = FOREVER,
) -> None:
    """Raise PartitionGap for the first range between two attached partitions that no partition holds or held.

    Ranges that end by `since` or begin at `until` or later do not count: creation fills none that is past its retention or
    past the runway, so they would block retention for ever.
    """
    bounds = [(c.lower or NEVER, c.upper or FOREVER) for c in candidates if not c.is_default]
    attached = [(c.lower or NEVER, c.upper or FOREVER) for c in candidates if c.state == "attached" and not c.is_default]
    if not attached:
        return
    reached, last = min(attached)[0], max(upper for _, upper in attached)
    for lower, upper in sorted([*bounds, *retired]):
        if reached < lower < last and lower > since and reached < until:
            raise PartitionGap(table, reached, lower)
        reached = max(reached, upper)


def require_not_future(table: str, as_of: datetime, now: datetime, *, is_allowed: bool) -> None:
    """Raise FutureRefused where a run would be applied as of an instant to come; a minute is left for other clocks."""
    if as_of > now + timedelta(minutes=1) and not is_allowed:
        raise FutureRefused(table, as_of, now)
