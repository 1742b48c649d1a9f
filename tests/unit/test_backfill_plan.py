"""What a backfill plans: every instant of the span once, done units never again, stale ones anew."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.names import Relation
from tasks.migration.plan import (
    MOST_BUNDLES,
    BackfillPlan,
    Cut,
    Due,
    TooLittleDisk,
    Unit,
    Version,
    bundle,
    plan_backfill,
    require_disk,
)
from tasks.partitions.bounds import Bounds
from tasks.partitions.partition import Partition

FIRST, END = datetime(2025, 3, 1, tzinfo=UTC), datetime(2025, 3, 11, tzinfo=UTC)
SPAN: Bounds = (FIRST, END)
NOW = Version(3, "v2")
CUT = Cut(Relation("app", "events"), "day")


def day(number: float) -> datetime:
    return FIRST + timedelta(days=number)


def attached(lower: float | None, upper: float | None, **facts: bool) -> Partition:
    bounds = [None if number is None else day(number) for number in (lower, upper)]
    return Partition(Relation("app", f"p{lower}"), *bounds, **facts)


def unit(kind: str, lower: float | None, upper: float | None, state: str = "done", version: Version = NOW) -> Unit:
    bounds = [None if number is None else day(number) for number in (lower, upper)]
    name = None if lower is None else f"events_p{day(lower):%Y%m%d}"
    return Unit(1, kind, *bounds, name, state, version.generation, version.mapping_version)  # pyright: ignore[reportArgumentType]


def plan(partitions: Sequence[Partition] = (), units: Sequence[Unit] = ()) -> BackfillPlan:
    return plan_backfill(SPAN, partitions, units, NOW, CUT)


def acts(found: BackfillPlan, kind: str) -> list[tuple[str, str]]:
    return [(due.act, f"{due.lower:%d}") for due in found.due if due.kind == kind]


def test_an_empty_target_is_built_aside_day_by_day() -> None:
    assert acts(plan(), "aside") == [("build", f"{number:02d}") for number in range(1, 11)]


def test_an_attached_partition_is_live_and_its_keys_are_queued() -> None:
    found = plan([attached(3, 4)])
    assert acts(found, "live") == [("queue", "04")]
    assert ("build", "04") not in acts(found, "aside")


def test_a_partition_over_the_edge_of_the_span_is_clipped_to_it() -> None:
    (first, last) = [due for due in plan([attached(None, 1), attached(9, None)]).due if due.kind == "live"]
    assert (first.bounds, last.bounds) == ((FIRST, day(1)), (day(9), END))


def test_a_partition_off_the_calendar_leaves_pieces_around_it() -> None:
    found = [due.bounds for due in plan([attached(0.5, 2.25)]).due if due.kind == "aside"]
    assert found[:2] == [(FIRST, day(0.5)), (day(2.25), day(3))]


@pytest.mark.parametrize("fact", ["is_pending_detach", "is_default"])
def test_a_partition_that_takes_no_rows_covers_nothing(fact: str) -> None:
    assert len(acts(plan([attached(0, 10, **{fact: True})]), "aside")) == 10


def test_the_residue_is_one_unit() -> None:
    assert [due.act for due in plan().due if due.kind == "residue"] == ["queue"]


def test_a_second_plan_finds_nothing() -> None:
    units = [unit("aside", n, n + 1) for n in range(9)] + [unit("live", 9, 10), unit("residue", None, None)]
    found = plan([attached(n, n + 1) for n in range(10)], units)
    assert (found.due, found.already_done) == ((), 11)


@pytest.mark.parametrize("version", [Version(2, "v2"), Version(3, "v1")])
def test_a_unit_of_another_generation_or_mapping_is_queued_again(version: Version) -> None:
    found = plan([attached(n, n + 1) for n in range(10)], [unit("aside", n, n + 1, version=version) for n in range(10)])
    assert len(acts(found, "live")) == 10
    assert {due.reason for due in found.due if due.kind == "live"} == {"done before the capture or mapping changed"}


def test_a_loaded_partition_is_only_attached() -> None:
    assert acts(plan(units=[unit("aside", 0, 1, "loaded")]), "aside")[0] == ("attach", "01")


def test_a_partition_loaded_for_another_generation_is_built_again() -> None:
    assert acts(plan(units=[unit("aside", 0, 1, "loaded", Version(2, "v2"))]), "aside")[0] == ("build", "01")


def test_a_planned_unit_is_built() -> None:
    assert acts(plan(units=[unit("aside", 0, 1, "planned")]), "aside")[0] == ("build", "01")


def test_a_unit_whose_partition_has_gone_is_built_again() -> None:
    assert acts(plan(units=[unit("aside", 0, 1)]), "aside")[0] == ("build", "01")


def test_registered_bounds_that_nobody_wants_are_obsolete() -> None:
    found = plan([attached(0, 5)], [unit("aside", 0, 1, "loaded"), unit("aside", 6, 8, "planned"), unit("aside", 1, 2)])
    assert [one.lower for one in found.obsolete] == [day(0), day(6)]


@st.composite
def partitions(draw: st.DrawFn) -> list[Partition]:
    edges = sorted(set(draw(st.lists(st.integers(-10, 130), max_size=12))))
    pairs = list(zip(edges[::2], edges[1::2], strict=False))
    return [attached(lower / 12, upper / 12) for lower, upper in pairs]


@given(partitions(), st.lists(st.integers(0, 119), max_size=30))
def test_every_instant_of_the_span_is_in_exactly_one_unit(existing: list[Partition], hours: list[int]) -> None:
    bounds = [due.bounds for due in plan(existing).due if due.bounds]
    for hour in hours:
        instant = FIRST + timedelta(hours=2 * hour)
        assert len([1 for lower, upper in bounds if lower <= instant < upper]) == 1


@given(partitions())
def test_no_piece_built_aside_overlaps_an_attached_partition(existing: list[Partition]) -> None:
    for due in plan(existing).due:
        if due.kind == "aside" and due.bounds:
            assert all(due.bounds[1] <= p.lower or p.upper <= due.bounds[0] for p in existing if p.lower and p.upper)


@given(partitions())
def test_what_was_done_is_planned_no_more(existing: list[Partition]) -> None:
    due = plan(existing).due
    done = [Unit(1, one.kind, one.lower, one.upper, one.partition, "done", 3, "v2") for one in due]
    now = [
        *existing,
        *(Partition(Relation("app", one.partition or ""), one.lower, one.upper) for one in due if one.kind == "aside"),
    ]
    assert plan(now, done).due == ()


@given(st.integers(0, 500), st.integers(1, 8))
def test_bundles_hold_each_unit_once_and_in_order(count: int, workers: int) -> None:
    due = [Due("aside", "build", day(n), day(n + 1), f"p{n}", "r") for n in range(count)]
    bundles = bundle(due, workers=workers)
    assert [one for units in bundles for one in units] == due
    assert len(bundles) <= MOST_BUNDLES
    assert all(bundles)
    assert [len(units) for units in bundles] == sorted((len(units) for units in bundles), reverse=True)


def test_the_last_bundles_are_short_so_that_no_worker_idles_long() -> None:
    due = [Due("aside", "build", day(n), day(n + 1), f"p{n}", "r") for n in range(136)]
    assert len(bundle(due, workers=2)[0]) == 17
    assert {len(units) for units in bundle(due, workers=2)[-7:]} == {1}


def test_too_little_disk_says_how_much_is_missing() -> None:
    with pytest.raises(TooLittleDisk, match=r"m needs about 150 MB for a\.b and 99 MB are free on the disk"):
        require_disk("m", "a.b", 100_000_000, 99_999_999, "the disk")


@pytest.mark.parametrize("free", [150_000_000, None])
def test_enough_or_unknown_disk_passes(free: int | None) -> None:
    require_disk("m", "a.b", 100_000_000, free, "the disk")
