"""Creation, retention and coarsening on one table: none undoes what another did, and a plan carried out leaves nothing to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tasks.core.names import Relation
from tasks.partitions.bounds import Bounds, Interval, tile
from tasks.partitions.coarsen_plan import Coarsening, plan_coarsening
from tasks.partitions.partition import Partition
from tasks.partitions.plan import NEVER, Wanted, covered_until, plan_creation
from tasks.partitions.retention_anomalies import require_no_gap
from tasks.partitions.retention_plan import Candidate, Policy, plan_retention

PARENT = Relation("app", "readings")
DAY = timedelta(days=1)
ZONES = [
    "UTC",
    "Europe/London",
    "America/New_York",
    "America/Sao_Paulo",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Asia/Kathmandu",
]
INTERVALS: list[Interval] = ["hour", "day", "week", "month", "quarter", "year"]
LENGTH = {"hour": DAY / 24, "day": DAY, "week": 7 * DAY, "month": 31 * DAY, "quarter": 92 * DAY, "year": 366 * DAY}


@dataclass(frozen=True)
class Table:
    """What is declared of a table, what it has, and which ranges retention has emptied."""

    wanted: Wanted
    bounds: tuple[Bounds, ...]
    retired: tuple[Bounds, ...] = ()

    @property
    def partitions(self) -> list[Partition]:
        """As creation reads them."""
        return [Partition(PARENT.sibling(f"x{lower:%Y%m%dt%H%M%S%f}"), lower, upper) for lower, upper in self.bounds]

    @property
    def candidates(self) -> list[Candidate]:
        """As retention and coarsening read them."""
        return [Candidate(str(p.relation), p.lower, p.upper) for p in self.partitions]


@st.composite
def tables(draw: st.DrawFn) -> Table:
    """A table that something made: a stretch of its calendar, or of another zone's, cut where it likes, with holes."""
    every, zone, other = draw(st.sampled_from(INTERVALS)), draw(st.sampled_from(ZONES)), draw(st.sampled_from(ZONES))
    as_of = draw(st.datetimes(datetime(2005, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)))
    length = LENGTH[every]
    begin, end = as_of - draw(st.integers(0, 40)) * length, as_of + draw(st.integers(-20, 20)) * length / 3
    pieces = tile(begin, end, every, other)
    holes = draw(st.sets(st.integers(0, 60), max_size=4))
    keep = draw(st.none() | st.integers(0, 30))
    wanted = Wanted(every, draw(st.integers(0, 20)) * length, as_of, zone, None if keep is None else keep * length)
    return Table(wanted, tuple(piece for number, piece in enumerate(pieces) if number not in holes))


def create(table: Table) -> Table:
    creates = plan_creation(PARENT, table.wanted, table.partitions, [])
    return replace(table, bounds=tuple(sorted([*table.bounds, *((c.lower, c.upper) for c in creates)])))


def keep_to(table: Table) -> Table:
    """Let retention remove what is due, without a brake."""
    if table.wanted.keep is None:
        return table
    policy = Policy(table.wanted.keep, grace=DAY, at_most=10_000, is_archived=False)
    found = plan_retention(str(PARENT), table.candidates, policy, [], table.wanted.as_of)
    gone = {(s.partition.lower, s.partition.upper) for s in found.removals}
    left = tuple(piece for piece in table.bounds if piece not in gone)
    return replace(table, bounds=left, retired=tuple(piece for piece in table.bounds if piece in gone))


def coarsen(table: Table) -> Table:
    to: Interval = {"hour": "day", "day": "month", "month": "year", "quarter": "year"}.get(table.wanted.every, "year")  # type: ignore[assignment]
    policy = Coarsening(DAY, to, table.wanted.zone, 10_000, table.wanted.keep)
    found = plan_coarsening(PARENT, table.candidates, [], {}, policy=policy, as_of=table.wanted.as_of)
    left = {str(p.relation): (p.lower, p.upper) for p in table.partitions if p.lower and p.upper}
    for merge in found.merges:
        for name in merge.members:
            del left[name]
        left[merge.name] = merge.lower, merge.upper
    return replace(table, bounds=tuple(sorted(left.values())))


def is_disjoint(pieces: Sequence[Bounds]) -> bool:
    return all(first[1] <= second[0] for first, second in pairwise(pieces))


@given(tables())
def test_creation_fits_any_table_and_its_plan_carried_out_leaves_nothing(table: Table) -> None:
    made = create(table)

    assert set(table.bounds) <= set(made.bounds), "what exists is left alone"
    assert is_disjoint(made.bounds)
    assert create(made) == made
    assert covered_until(table.wanted.as_of, made.partitions) >= table.wanted.until


@given(tables())
def test_what_retention_removed_is_not_made_again_and_is_no_gap(table: Table) -> None:
    made = create(table)

    kept = keep_to(made)

    assert create(kept) == kept
    assert keep_to(kept).bounds == kept.bounds
    since = table.wanted.as_of - table.wanted.keep if table.wanted.keep is not None else NEVER
    require_no_gap(str(PARENT), kept.candidates, kept.retired, since=since, until=table.wanted.until)
    for _, upper in kept.retired:
        assert upper <= since, "nothing younger than its retention has gone"


@given(tables())
def test_coarsening_leaves_creation_and_retention_nothing_new_to_do(table: Table) -> None:
    settled = keep_to(create(table))

    longer = coarsen(settled)

    assert is_disjoint(longer.bounds)
    assert coarsen(longer) == longer
    assert create(longer) == longer
    assert keep_to(longer).bounds == longer.bounds


@given(tables(), st.integers(1, 400))
def test_as_time_goes_on_no_row_of_the_retention_is_without_its_partition(table: Table, steps: int) -> None:
    """Whatever runs in whatever order later, what was written within the retention stays where it was."""
    now = keep_to(create(table))
    later = replace(now.wanted, as_of=now.wanted.as_of + steps * LENGTH[now.wanted.every] / 7)

    then = keep_to(create(coarsen(keep_to(create(replace(now, wanted=later))))))

    assert is_disjoint(then.bounds)
    if later.keep is not None:
        for lower, upper in now.bounds:
            if upper > later.as_of - later.keep:
                assert any(a <= lower and upper <= b for a, b in then.bounds)
    assert create(then) == then
