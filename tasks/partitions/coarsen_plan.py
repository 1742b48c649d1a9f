"""Decide which closed partitions become one longer partition.

Belongs here: rules from (partitions, holds, policy, as_of) to a list of `Merge`, and what is left alone with its reason.
Keep out: SQL, clocks, Prefect, logging. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from tasks.core.names import Relation
from tasks.partitions.bounds import Bounds, Interval, interval_at, partition_name
from tasks.partitions.retention_plan import Candidate, Hold


@dataclass(frozen=True)
class Coarsening:
    """What the declaration asks: partitions that ended `after` ago become one per `to`; `keep` is retention's age."""

    after: timedelta
    to: Interval
    zone: str = "UTC"
    at_most: int = 3
    keep: timedelta | None = None


@dataclass(frozen=True)
class Merge:
    """Partitions that become one for [lower, upper), oldest first, and why."""

    lower: datetime
    upper: datetime
    name: str
    members: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class Left:
    """A range that is old enough and stays as it is."""

    lower: datetime
    upper: datetime
    reason: str


@dataclass(frozen=True)
class CoarseningPlan:
    """What one run does to a table, what waits for the next because of `at_most`, and what stays."""

    table: str
    as_of: datetime
    merges: tuple[Merge, ...]
    debt: tuple[Merge, ...]
    left: tuple[Left, ...]


def plan_coarsening(
    parent: Relation,
    candidates: Sequence[Candidate],
    holds: Sequence[Hold],
    obstacles: Mapping[str, str],
    *,
    policy: Coarsening,
    as_of: datetime,
) -> CoarseningPlan:
    """Return the ranges whose partitions are closed, whole and free, oldest first; the second plan after it has none.

    `obstacles` says by partition why it cannot be replaced. A range that retention takes soon is left to it.
    """
    merges, left = list[Merge](), list[Left]()
    for bounds, members in _groups(candidates, policy).items():
        if len(members) < 2 or bounds[1] > as_of - policy.after or _goes_soon(bounds, policy, as_of):
            continue
        reason = _why_not(bounds, members, holds, obstacles, as_of)
        if reason:
            left.append(Left(*bounds, reason))
            continue
        name = partition_name(parent.name, bounds[0], policy.to, policy.zone)
        why = f"{len(members)} partitions ended more than {policy.after.days} days ago"
        merges.append(Merge(*bounds, name, tuple(member.name for member in members), why))
    return CoarseningPlan(str(parent), as_of, tuple(merges[: policy.at_most]), tuple(merges[policy.at_most :]), tuple(left))


def _groups(candidates: Sequence[Candidate], policy: Coarsening) -> dict[Bounds, list[Candidate]]:
    """Partitions by the longer interval that they begin in, both oldest first; detached ones are not ours."""
    groups: dict[Bounds, list[Candidate]] = {}
    bounds: Bounds | None = None
    for candidate in sorted(candidates, key=lambda c: (c.lower is None, c.lower)):
        if candidate.lower is None or candidate.upper is None or candidate.is_default:
            continue
        if candidate.state in ("attached", "pending"):
            if bounds is None or candidate.lower >= bounds[1]:
                bounds = interval_at(candidate.lower, policy.to, policy.zone)
            groups.setdefault(bounds, []).append(candidate)
    return groups


def _goes_soon(bounds: Bounds, policy: Coarsening, as_of: datetime) -> bool:
    """Work on what retention removes within one such interval would be in vain, and would hold its removal up."""
    return policy.keep is not None and bounds[0] <= as_of - policy.keep + (bounds[1] - bounds[0])


def _why_not(
    bounds: Bounds, members: Sequence[Candidate], holds: Sequence[Hold], obstacles: Mapping[str, str], as_of: datetime
) -> str:
    pending = next((member.name for member in members if member.state == "pending"), None)
    if pending:
        return f"the detach of {pending} is pending"
    ends = [member.upper for member in members]
    begins = [member.lower for member in members]
    if begins[0] != bounds[0] or ends[-1] != bounds[1] or begins[1:] != ends[:-1]:
        return "its partitions do not cover it without a gap"
    held = next((hold for hold in holds if _is_held(hold, bounds, as_of)), None)
    if held:
        return f"a legal hold lies on it: {held.reason}"
    return _reasons({m.name: reason for m in members if (reason := m.obstacle or obstacles.get(m.name, ""))})


def _reasons(by_name: Mapping[str, str]) -> str:
    """Say each reason once, with the first that has it and how many others have."""
    names: dict[str, list[str]] = {}
    for name, reason in by_name.items():
        names.setdefault(reason, []).append(name)
    others = {reason: f" and {len(them) - 1} more" if len(them) > 1 else "" for reason, them in names.items()}
    return "; ".join(f"{them[0]}{others[reason]}: {reason}" for reason, them in names.items())


def _is_held(hold: Hold, bounds: Bounds, as_of: datetime) -> bool:
    is_over = hold.until is not None and hold.until <= as_of
    begins_before = hold.lower is None or hold.lower < bounds[1]
    ends_after = hold.upper is None or hold.upper > bounds[0]
    return not is_over and begins_before and ends_after
