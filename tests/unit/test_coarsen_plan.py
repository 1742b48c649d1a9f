"""Which partitions are merged: whole longer intervals, closed, free, never what retention takes soon."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.names import Relation
from tasks.partitions.bounds import Interval, interval_at, tile
from tasks.partitions.coarsen_plan import Coarsening, CoarseningPlan, plan_coarsening
from tasks.partitions.retention_plan import Candidate, Hold

PARENT = Relation("app", "readings")
DAY = timedelta(days=1)
AS_OF = datetime(2025, 4, 15, tzinfo=UTC)
POLICY = Coarsening(after=5 * DAY, to="month", at_most=50)


def days(lower: str, upper: str, zone: str = "UTC") -> list[Candidate]:
    begin, end = (datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (lower, upper))
    return [Candidate(f"app.d{n}", *piece) for n, piece in enumerate(tile(begin, end, "day", zone))]


def plan(
    candidates: Sequence[Candidate],
    policy: Coarsening = POLICY,
    as_of: datetime = AS_OF,
    holds: Sequence[Hold] = (),
    **facts: Any,
) -> CoarseningPlan:
    return plan_coarsening(PARENT, candidates, holds, facts.get("obstacles", {}), policy=policy, as_of=as_of)


def merged(found: CoarseningPlan) -> list[str]:
    return [merge.name for merge in found.merges]


def test_a_month_is_merged_from_the_instant_on_at_which_it_is_old_enough() -> None:
    march = days("2025-03-01", "2025-04-01")
    end = datetime(2025, 4, 6, tzinfo=UTC)

    assert merged(plan(march, as_of=end)) == ["readings_p202503"]
    assert merged(plan(march, as_of=end - timedelta(microseconds=1))) == []


@pytest.mark.parametrize("missing", [0, 15, 30])
def test_a_month_with_a_hole_stays_and_says_so(missing: int) -> None:
    march = days("2025-03-01", "2025-04-01")
    found = plan([c for n, c in enumerate(march) if n != missing])

    assert merged(found) == []
    assert [left.reason for left in found.left] == ["its partitions do not cover it without a gap"]


def test_a_partition_that_reaches_over_a_months_end_keeps_both_months() -> None:
    begin = datetime(2025, 2, 1, tzinfo=UTC)
    across = Candidate("app.across", begin + 27 * DAY, begin + 29 * DAY)
    found = plan([*days("2025-02-01", "2025-02-28"), across, *days("2025-03-02", "2025-04-01")])

    assert merged(found) == []
    assert len(found.left) == 2


def test_a_pending_member_a_hold_and_an_obstacle_each_keep_a_month() -> None:
    january, march = days("2025-01-01", "2025-02-01"), days("2025-03-01", "2025-04-01")
    pending = plan([replace(january[3], state="pending"), *(c for n, c in enumerate(january) if n != 3)])
    held = plan(march, holds=[Hold(march[-1].lower, None, "audit")])
    blocked = plan(march, obstacles={march[4].name: "the publication p names it"})

    assert [left.reason for left in pending.left] == [f"the detach of {january[3].name} is pending"]
    assert [left.reason for left in held.left] == ["a legal hold lies on it: audit"]
    assert [left.reason for left in blocked.left] == [f"{march[4].name}: the publication p names it"]


def test_a_hold_that_has_ended_or_only_touches_keeps_nothing() -> None:
    march = days("2025-03-01", "2025-04-01")
    holds = [Hold(None, None, "over", AS_OF), Hold(march[-1].upper, None, "later"), Hold(None, march[0].lower, "before")]

    assert merged(plan(march, holds=holds)) == ["readings_p202503"]


def test_what_retention_takes_within_a_month_is_left_to_it() -> None:
    months = days("2025-01-01", "2025-04-01")

    assert merged(plan(months, replace(POLICY, keep=80 * DAY))) == ["readings_p202503"]


def test_past_at_most_the_younger_ones_are_debt() -> None:
    found = plan(days("2025-01-01", "2025-04-01"), replace(POLICY, at_most=2))

    assert merged(found) == ["readings_p202501", "readings_p202502"]
    assert [debt.name for debt in found.debt] == ["readings_p202503"]


# Properties.

ZONES = ["UTC", "Europe/London", "America/Havana", "Australia/Lord_Howe", "Pacific/Apia"]
LONGER: dict[Interval, tuple[Interval, ...]] = {
    "hour": ("day", "week", "month"),
    "day": ("week", "month", "quarter", "year"),
    "month": ("quarter", "year"),
    "quarter": ("year",),
}
PAIRS = [(every, to) for every, longer in LONGER.items() for to in longer]
SPANS = {"hour": 60 * DAY, "day": 500 * DAY, "month": 1500 * DAY, "quarter": 2500 * DAY}


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[Candidate], Coarsening, datetime]:
    """A table of one interval in one zone, with holes, cuts off the calendar and states, and what is asked of it."""
    every, to = draw(st.sampled_from(PAIRS))
    zone = draw(st.sampled_from(ZONES))
    begin = draw(st.datetimes(datetime(2005, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)))
    end = begin + draw(st.timedeltas(timedelta(0), SPANS[every]))
    pieces = tile(begin, end, every, zone)
    holes = draw(st.sets(st.integers(0, len(pieces)), max_size=3))
    pending = draw(st.none() | st.integers(0, len(pieces)))
    made = [
        Candidate(f"app.p{n}", *piece, state="pending" if n == pending else "attached")
        for n, piece in enumerate(pieces)
        if n not in holes
    ]
    after, keep = draw(st.timedeltas(timedelta(0), 90 * DAY)), draw(st.none() | st.timedeltas(DAY, 900 * DAY))
    at_most = draw(st.integers(1, 5))
    return made, Coarsening(after, to, zone, at_most, keep), end + draw(st.timedeltas(timedelta(0), 200 * DAY))


def carried_out(candidates: Sequence[Candidate], found: CoarseningPlan) -> list[Candidate]:
    """What the table looks like afterwards."""
    gone = {name for merge in found.merges for name in merge.members}
    made = [Candidate(f"app.{merge.name}", merge.lower, merge.upper) for merge in found.merges]
    return [*(c for c in candidates if c.name not in gone), *made]


def bounds(candidates: Sequence[Candidate]) -> list[tuple[datetime, datetime]]:
    return sorted((c.lower, c.upper) for c in candidates if c.lower is not None and c.upper is not None)


def covered(candidates: Sequence[Candidate]) -> list[tuple[datetime, datetime]]:
    """The ranges that the partitions cover, those that touch joined."""
    ranges: list[tuple[datetime, datetime]] = []
    for lower, upper in bounds(candidates):
        if ranges and ranges[-1][1] == lower:
            ranges[-1] = ranges[-1][0], upper
        else:
            ranges.append((lower, upper))
    return ranges


@given(tables())
def test_a_merge_covers_what_its_members_did_and_nothing_overlaps(table: tuple[list[Candidate], Coarsening, datetime]) -> None:
    candidates, policy, as_of = table
    found = plan(candidates, policy, as_of)

    after = carried_out(candidates, found)

    assert covered(after) == covered(candidates)
    assert all(first[1] <= second[0] for first, second in pairwise(bounds(after)))
    assert len(found.merges) <= policy.at_most
    for merge in found.merges:
        assert (merge.lower, merge.upper) == interval_at(merge.lower, policy.to, policy.zone)
        assert merge.upper + policy.after <= as_of, "only closed ranges"


@given(tables())
def test_a_merge_never_delays_what_retention_removes_by_a_whole_interval(
    table: tuple[list[Candidate], Coarsening, datetime],
) -> None:
    candidates, policy, as_of = table
    for merge in plan(candidates, policy, as_of).merges:
        assert policy.keep is None or merge.lower > as_of - policy.keep


@given(tables())
def test_runs_in_a_row_end_and_the_next_one_plans_nothing(table: tuple[list[Candidate], Coarsening, datetime]) -> None:
    candidates, policy, as_of = table
    names: list[str] = []
    while (found := plan(candidates, policy, as_of)).merges:
        names += merged(found)
        candidates = carried_out(candidates, found)

    assert not found.debt
    assert len(names) == len(set(names)), "no range is merged twice, no name used twice"
    assert plan(list(reversed(candidates)), policy, as_of) == found, "the order of the catalog does not matter"
