"""Which partitions are made: the runway, the gaps, never what exists, is registered or has outlived its retention."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.errors import InvalidName
from tasks.core.names import Relation
from tasks.partitions.bounds import Bounds
from tasks.partitions.partition import Partition
from tasks.partitions.plan import (
    FOREVER,
    Create,
    NameTaken,
    TooManyPartitions,
    Wanted,
    covered_until,
    plan_creation,
    require_free_names,
    subtract,
)

PARENT = Relation("s", "t")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


AS_OF = at("2025-08-10 15:00")
DAILY = Wanted("day", timedelta(days=3), AS_OF)


def span(lower: str | None, upper: str | None, **facts: Any) -> Partition:
    name = f"t_{lower}"
    return Partition(PARENT.sibling(name), at(lower) if lower else None, at(upper) if upper else None, **facts)


def plan(
    existing: Sequence[Partition] = (),
    wanted: Wanted = DAILY,
    registered: Sequence[Bounds] = (),
) -> list[Create]:
    return plan_creation(PARENT, wanted, existing, registered)


def names(creates: Sequence[Create]) -> list[str]:
    return [create.name for create in creates]


def test_an_empty_table_gets_the_interval_of_now_and_its_runway() -> None:
    creates = plan()

    assert names(creates) == ["t_p20250810", "t_p20250811", "t_p20250812", "t_p20250813"]
    assert (creates[0].lower, creates[-1].upper) == (at("2025-08-10"), at("2025-08-14"))
    assert {create.reason for create in creates} == {"the runway must reach 2025-08-13 15:00:00"}


def test_a_runway_that_ends_on_a_bound_is_not_made_longer() -> None:
    assert names(plan(wanted=Wanted("day", timedelta(days=1), at("2025-08-10")))) == ["t_p20250810"]


def test_a_table_whose_runway_is_long_enough_gets_nothing() -> None:
    assert plan([span("2025-08-01", "2025-08-14")]) == []
    assert plan([span("2025-08-01", None)]) == []


def test_a_gap_between_partitions_is_filled_and_says_so() -> None:
    creates = plan([span("2025-08-05", "2025-08-07"), span("2025-08-08", "2025-08-14")])

    assert names(creates) == ["t_p20250807"]
    assert creates[0].reason == "fills the gap from 2025-08-07 to 2025-08-08"


def test_nothing_is_made_before_the_oldest_partition() -> None:
    assert plan([span("2025-08-08", "2025-08-20")]) == []


def test_a_table_with_partitions_in_the_future_alone_gets_today() -> None:
    assert names(plan([span("2025-08-12", "2025-08-14")])) == ["t_p20250810", "t_p20250811"]


def test_a_table_whose_runway_ran_out_is_continued_from_its_end() -> None:
    assert names(plan([span("2025-08-01", "2025-08-09")]))[0] == "t_p20250809"


def test_an_adopted_table_is_continued_from_its_irregular_bound() -> None:
    creates = plan([span("2025-08-01", "2025-08-11 06:30")])

    assert (creates[0].lower, creates[0].upper) == (at("2025-08-11 06:30"), at("2025-08-12"))
    assert names(creates) == ["t_p20250811t063000", "t_p20250812", "t_p20250813"]


def test_a_table_that_turns_from_months_to_days_keeps_its_months() -> None:
    assert names(plan([span("2025-07-01", "2025-09-01")], Wanted("day", timedelta(days=23), AS_OF))) == [
        "t_p20250901",
        "t_p20250902",
    ]


def test_bounds_that_a_backfill_registered_are_left_to_it() -> None:
    registered = [(at("2025-08-11"), at("2025-08-12")), (at("2025-04-01"), at("2025-04-02"))]

    assert names(plan(registered=registered)) == ["t_p20250810", "t_p20250812", "t_p20250813"]


def test_a_partition_whose_detach_is_pending_still_holds_its_bounds() -> None:
    assert plan([span("2025-08-01", "2025-08-12"), span("2025-08-12", "2025-08-14", is_pending_detach=True)]) == []


def test_a_default_partition_covers_nothing() -> None:
    assert len(plan([Partition(PARENT.sibling("t_default"), None, None, is_default=True)])) == 4


def test_a_gap_that_retention_left_behind_is_not_filled() -> None:
    wanted = Wanted("day", timedelta(days=3), AS_OF, keep=timedelta(days=2))
    held, rest = span("2025-01-01", "2025-01-02"), span("2025-08-09", "2025-08-14")

    assert names(plan([held, rest], wanted)) == ["t_p20250808"]


def test_a_name_that_somebody_else_uses_is_found_before_anything_is_made() -> None:
    with pytest.raises(NameTaken, match=r"s.t needs a partition s.t_p20250812 for \[2025-08-12, 2025-08-13\)"):
        require_free_names(PARENT, plan(), {"t_p20250812"})


def test_a_name_past_63_bytes_stops_the_plan() -> None:
    with pytest.raises(InvalidName, match="bytes"):
        plan_creation(Relation("s", "t" * 60), DAILY, [], [])


def test_an_absurd_runway_is_refused_with_the_count() -> None:
    with pytest.raises(TooManyPartitions, match="would need 3651 new partitions"):
        plan(wanted=Wanted("day", timedelta(days=3650), AS_OF))


days = st.integers(0, 60)
ranges = st.tuples(days, st.integers(1, 9)).map(lambda pair: (pair[0], pair[0] + pair[1]))


def _disjoint(found: list[tuple[int, int]]) -> list[Partition]:
    kept: list[Partition] = []
    end = -1
    for lower, upper in sorted(found):
        if lower >= end:
            begin = at("2025-07-15") + timedelta(days=lower, hours=lower % 3)
            kept.append(Partition(PARENT.sibling(f"x{lower}"), begin, at("2025-07-15") + timedelta(days=upper)))
            end = upper
    return [p for p in kept if p.lower and p.upper and p.lower < p.upper]


@given(st.lists(ranges, max_size=8), st.lists(ranges, max_size=3), st.sampled_from(["hour", "day", "week", "month"]))
def test_what_is_made_and_what_exists_tile_the_line_without_overlap(
    found: list[tuple[int, int]], reserved: list[tuple[int, int]], every: Any
) -> None:
    existing = _disjoint(found)
    registered = [(p.lower, p.upper) for p in _disjoint(reserved) if p.lower and p.upper]
    wanted = Wanted(every, timedelta(days=9), AS_OF)

    creates = plan(existing, wanted, registered)

    made = [(create.lower, create.upper) for create in creates]
    others = [(p.lower, p.upper) for p in existing if p.lower and p.upper] + registered
    assert all(lower >= end or upper <= begin for lower, upper in made for begin, end in others)
    assert all(first[1] <= second[0] for first, second in pairwise(made))
    begin = min([AS_OF, *(p.lower for p in existing if p.lower)])
    assert subtract((begin, wanted.until), [*made, *others]) == []
    again = [*existing, *(Partition(PARENT.sibling(c.name), c.lower, c.upper) for c in creates)]
    assert plan(again, wanted, registered) == []


def test_the_runway_ends_where_the_first_break_is() -> None:
    existing = [span("2025-08-01", "2025-08-12"), span("2025-08-13", "2025-08-20")]

    assert covered_until(AS_OF, existing) == at("2025-08-12")
    assert covered_until(AS_OF, existing, [(at("2025-08-12"), at("2025-08-13"))]) == at("2025-08-20")


def test_an_instant_without_a_partition_has_no_runway() -> None:
    assert covered_until(AS_OF, [span("2025-08-11", "2025-08-20")]) == AS_OF


def test_an_open_partition_has_an_endless_runway() -> None:
    assert covered_until(AS_OF, [span("2025-08-01", None)]) == FOREVER


def test_a_pending_detach_takes_no_rows_and_ends_the_runway() -> None:
    existing = [span("2025-08-01", "2025-08-12"), span("2025-08-12", "2025-08-14", is_pending_detach=True)]

    assert covered_until(AS_OF, existing) == at("2025-08-12")
