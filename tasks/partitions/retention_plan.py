"""Decide which partitions have outlived their table's retention, and what becomes of each next (D4).

Belongs here: rules from (policy, partitions, holds, as_of) to a plan with a reason for every line.
Keep out: what looks so wrong that nothing may go (`retention_anomalies`), the text (`retention_text`), SQL, clocks, Prefect, logging. A caller that needs "now" passes it in. Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from typing import Any, Literal

State = Literal["attached", "pending", "detached", "archiving", "archived"]
Bounds = tuple[datetime, datetime]
FOREVER, NEVER = datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Policy:
    """A table's declared retention, and how many partitions this run may remove."""

    keep: timedelta
    grace: timedelta
    at_most: int
    is_archived: bool = True
    is_dropped: bool = True


@dataclass(frozen=True)
class Hold:
    """A range of time that must stay until `until`; None is unbounded."""

    lower: datetime | None
    upper: datetime | None
    reason: str
    until: datetime | None = None


@dataclass(frozen=True)
class Candidate:
    """A partition as the catalog and the ledger have it; a detached one is still a candidate until it is dropped."""

    name: str
    lower: datetime | None
    upper: datetime | None
    state: State = "attached"
    #: What the grace period counts from: archived, or detached where nothing is archived.
    since: datetime | None = None
    is_default: bool = False
    #: Why it cannot go although it may be due, in words; empty where nothing stands in the way.
    obstacle: str = ""


@dataclass(frozen=True)
class Finalize:
    """Finish a concurrent detach that was interrupted; its rows are hidden already."""

    partition: Candidate
    reason: str
    #: False where it was not due: somebody else began to detach it.
    is_due: bool = True


@dataclass(frozen=True)
class Detach:
    """Take it out of its parent; it stays a table of its own."""

    partition: Candidate
    reason: str


@dataclass(frozen=True)
class Archive:
    """Write its rows to a file and load that file again to prove it."""

    partition: Candidate
    reason: str


@dataclass(frozen=True)
class Drop:
    """Remove the detached table for good."""

    partition: Candidate
    reason: str


@dataclass(frozen=True)
class Keep:
    """Leave it as it is; `is_due` where it should have gone, `is_held` where it would go but for a legal hold."""

    partition: Candidate
    reason: str
    is_due: bool = False
    is_held: bool = False


Step = Finalize | Detach | Archive | Drop
#: The words for them in texts and evidence.
VERBS: dict[type[Step], str] = {Finalize: "finalize", Detach: "detach", Archive: "archive", Drop: "drop"}


@dataclass(frozen=True)
class Debt:
    """A partition that is due and stays for now."""

    partition: str
    upper: datetime | None
    reason: str


@dataclass(frozen=True)
class RetentionPlan:
    """What one pass over a table does, oldest first, what it keeps and what it owes."""

    table: str
    as_of: datetime
    policy: Policy
    steps: tuple[Step, ...]
    kept: tuple[Keep, ...]
    debt: tuple[Debt, ...]
    newest: str | None = None
    held: frozenset[str] = frozenset()

    @property
    def held_back(self) -> tuple[Debt, ...]:
        """What would go but for a legal hold."""
        return tuple(_debt(keep.partition, keep.reason) for keep in self.kept if keep.is_held)

    @property
    def removals(self) -> tuple[Detach | Drop, ...]:
        """The steps that take rows away from somebody."""
        return tuple(step for step in self.steps if isinstance(step, Detach | Drop))

    def covers(self, other: RetentionPlan) -> bool:
        """Say whether every removal of `other` is one of this plan too."""
        deeds = {(type(step), step.partition.name) for step in self.removals}
        return all((type(step), step.partition.name) in deeds for step in other.removals)

    @property
    def fingerprint(self) -> str:
        """Hash of the removals: what a gate's verdict is bound to."""
        deeds = "\n".join(f"{type(s).__name__} {s.partition.name} {s.partition.upper}" for s in self.removals)
        return hashlib.sha256(f"{self.table}\n{deeds}".encode()).hexdigest()

    @property
    def subject(self) -> str:
        """What the gate's verdict is about: this table and exactly these removals."""
        return f"{self.table} {self.fingerprint[:16]}"

    @property
    def oldest_kept(self) -> datetime:
        """Every row from this instant on stays."""
        return (self.as_of - self.policy.keep).astimezone(UTC)

    def evidence(self) -> list[dict[str, Any]]:
        """Return the removals as facts for the gate, judged there without `decide`."""
        return [
            {
                "partition": step.partition.name,
                "deed": VERBS[type(step)],
                "upper": step.partition.upper,
                "oldest_kept": self.oldest_kept,
                "is_held": step.partition.name in self.held,
                "is_newest": step.partition.name == self.newest,
            }
            for step in self.removals
        ]


def decide(partition: Candidate, policy: Policy, *, hold: Hold | None, as_of: datetime, is_newest: bool = False) -> Step | Keep:
    """Return the one next step of a partition.

    Judged by the upper bound, which is exclusive, so no row younger than `keep` can leave with it.
    """
    match partition.state:
        case "pending":
            return _finalize(partition, policy, as_of)
        case "attached":
            return _leave_parent(partition, policy, hold, as_of, is_newest=is_newest)
        case "detached" | "archiving" if policy.is_archived:
            return Archive(partition, "detached and not archived yet")
        case _:
            return _leave_for_good(partition, policy, hold, as_of)


def _finalize(partition: Candidate, policy: Policy, as_of: datetime) -> Finalize:
    is_due = _is_past(partition, as_of - policy.keep)
    reason = "its detach was interrupted; its rows are hidden and every other detach of this table fails"
    return Finalize(partition, reason if is_due else f"{reason}. It was not due: attach it again afterwards", is_due)


def _leave_parent(
    partition: Candidate, policy: Policy, hold: Hold | None, as_of: datetime, *, is_newest: bool
) -> Detach | Keep:
    oldest_kept = as_of - policy.keep
    if partition.is_default:
        return Keep(partition, "the default partition has no upper bound")
    if not _is_past(partition, oldest_kept):
        return Keep(partition, f"holds rows up to {show(partition.upper)}")
    if is_newest:
        return Keep(partition, "the newest partition never goes")
    if hold is not None:
        return Keep(partition, f"on hold: {hold.reason}", is_held=True)
    if partition.obstacle:
        return Keep(partition, partition.obstacle, is_due=True)
    return Detach(partition, f"every row is older than {show(oldest_kept)}")


def _leave_for_good(partition: Candidate, policy: Policy, hold: Hold | None, as_of: datetime) -> Drop | Keep:
    end = (partition.since or as_of) + policy.grace
    if not policy.is_dropped:
        return Keep(partition, "the declaration keeps what was detached")
    if not _is_past(partition, as_of - policy.keep):
        return Keep(partition, "its retention was lengthened after it was detached; attach it again")
    if as_of < end:
        return Keep(partition, f"waits until {show(end)}")
    if hold is not None:
        return Keep(partition, f"on hold: {hold.reason}", is_held=True)
    if partition.obstacle:
        return Keep(partition, partition.obstacle, is_due=True)
    what = "archived and verified" if partition.state == "archived" else "detached, no archive declared"
    return Drop(partition, f"{what}; its grace period ended {show(end)}")


def _is_past(partition: Candidate, oldest_kept: datetime) -> bool:
    return not partition.is_default and partition.upper is not None and partition.upper <= oldest_kept


def plan_retention(
    table: str,
    candidates: Iterable[Candidate],
    policy: Policy,
    holds: Sequence[Hold],
    as_of: datetime,
    *,
    begun: frozenset[str] = frozenset(),
) -> RetentionPlan:
    """Return the next step of each partition, the oldest first; past `at_most` removals the rest is debt.

    `begun` names the partitions that this run already took a step with: they need no second place among the at_most.
    """
    ordered = sorted(candidates, key=lambda c: (c.is_default, c.lower or NEVER, c.upper or FOREVER))
    on_hold = {c.name: hold for c in ordered if (hold := hold_on((c.lower, c.upper), holds, as_of)) is not None}
    newest = _newest(ordered)
    decided = [decide(c, policy, hold=on_hold.get(c.name), as_of=as_of, is_newest=c.name == newest) for c in ordered]
    steps, over = _cut(decided, policy.at_most, begun)
    kept = tuple(choice for choice in decided if isinstance(choice, Keep))
    debt = [_debt(choice.partition, choice.reason) for choice in kept if choice.is_due]
    debt += [_debt(step.partition, f"{step.reason}; this run removes at most {policy.at_most}") for step in over]
    return RetentionPlan(table, as_of, policy, steps, kept, tuple(debt), newest, frozenset(on_hold))


def _cut(decided: Iterable[Step | Keep], at_most: int, begun: frozenset[str]) -> tuple[tuple[Step, ...], list[Step]]:
    """Let the oldest `at_most` removals pass; what removes nothing always passes."""
    passed: list[Step] = []
    over: list[Step] = []
    left = at_most - len(begun)
    for step in decided:
        if isinstance(step, Keep):
            continue
        takes_place = isinstance(step, Detach | Drop) and step.partition.name not in begun
        left -= takes_place
        (over if takes_place and left < 0 else passed).append(step)
    return tuple(passed), over


def _debt(partition: Candidate, reason: str) -> Debt:
    return Debt(partition.name, partition.upper, reason)


def _newest(candidates: Iterable[Candidate]) -> str | None:
    attached = [c for c in candidates if c.state == "attached" and not c.is_default]
    return max(attached, key=lambda c: c.upper or FOREVER).name if attached else None


def hold_on(bounds: tuple[datetime | None, datetime | None], holds: Iterable[Hold], as_of: datetime) -> Hold | None:
    """Return the first hold in force on a range, whose None is open."""
    return next((hold for hold in holds if _is_in_force(hold, as_of) and _overlaps(hold, *bounds)), None)


def _is_in_force(hold: Hold, as_of: datetime) -> bool:
    return hold.until is None or as_of < hold.until


def _overlaps(hold: Hold, lower: datetime | None, upper: datetime | None) -> bool:
    begins_before = (hold.lower or NEVER) < (upper or FOREVER)
    return begins_before and (lower or NEVER) < (hold.upper or FOREVER)


def without(plan: RetentionPlan, failed: Iterable[str], barred: tuple[type[Step], ...] = ()) -> RetentionPlan:
    """Return the plan without the steps of partitions that failed and without the barred kinds of step."""
    named = set(failed)
    steps = tuple(s for s in plan.steps if s.partition.name not in named and not isinstance(s, barred))
    return replace(plan, steps=steps)


def show(instant: datetime | None) -> str:
    """Write an instant for people: the day alone where it begins one."""
    if instant is None:
        return "the end of time"
    utc = instant.astimezone(UTC)
    return utc.date().isoformat() if utc.time() == time.min else f"{utc:%Y-%m-%d %H:%M:%S} UTC"
