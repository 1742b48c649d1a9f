"""Decide which partitions a table lacks.

Belongs here: rules from (existing partitions, registered bounds, policy, as_of) to a list of `Create`, each with a reason.
Keep out: SQL, clocks, Prefect, logging. What retention takes away is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tasks.core.errors import Permanent
from tasks.core.names import Relation
from tasks.partitions.bounds import Bounds, Interval, interval_at, partition_name, round_up, tile
from tasks.partitions.partition import Partition

#: More at once is a wrong `as_of` or interval rather than a wish: at least refused before the first is made.
MOST_AT_ONCE = 2_000
NEVER, FOREVER = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


@dataclass(eq=False)
class NameTaken(Permanent):
    """{parent} needs a partition {name} for [{lower}, {upper}), but {name} exists already and is not that partition. Attach it
    where it was detached by mistake, rename it, or move it to another schema; nothing was changed."""

    parent: str
    name: str
    lower: str
    upper: str


@dataclass(eq=False)
class TooManyPartitions(Permanent):
    """{parent} would need {count} new partitions, from {lower} to {upper}; at most {most} are made at once. Check as_of and
    the runway, or declare a longer interval; nothing was changed."""

    parent: str
    count: int
    lower: str
    upper: str
    most: int


@dataclass(frozen=True)
class Wanted:
    """What the declaration asks of a table's partitions at one instant."""

    every: Interval
    ahead: timedelta
    as_of: datetime
    zone: str = "UTC"
    #: Retention's age: what is older needs no partition any more.
    keep: timedelta | None = None

    @property
    def until(self) -> datetime:
        """The instant up to which partitions must exist."""
        return self.as_of + self.ahead


@dataclass(frozen=True)
class Create:
    """One partition to make for [lower, upper), and why; `from_default` rows move into it out of the default partition."""

    lower: datetime
    upper: datetime
    name: str
    reason: str
    from_default: int = 0


@dataclass(frozen=True)
class Standing:
    """A table that is no partition and stands where one is due, and what it is known by."""

    name: str
    lower: datetime
    upper: datetime
    reason: str


def plan_creation(
    parent: Relation, wanted: Wanted, existing: Sequence[Partition], registered: Sequence[Bounds]
) -> list[Create]:
    """Return what is missing between the oldest partition and the end of the runway, in order of time.

    Bounds that a backfill has registered count as existing. Pieces follow the calendar, but fit to bounds off it that an
    adopted table has. Never overlaps. Raises InvalidName, TooManyPartitions.
    """
    start, end = _range(wanted, existing)
    gaps = subtract((start, end), [*(_bounds(p) for p in existing if not p.is_default), *registered])
    pieces = [(piece, gap) for gap in gaps for piece in tile(*gap, wanted.every, wanted.zone) if not _is_past(piece, wanted)]
    if len(pieces) > MOST_AT_ONCE:
        raise TooManyPartitions(str(parent), len(pieces), _day(pieces[0][0][0]), _day(pieces[-1][0][1]), MOST_AT_ONCE)
    return [_create(parent, wanted, piece, _reason(gap, end, wanted)) for piece, gap in pieces]


def _range(wanted: Wanted, existing: Sequence[Partition]) -> Bounds:
    """History is the backfill's to make: without partitions the runway begins at the interval of as_of."""
    begin, _ = interval_at(wanted.as_of, wanted.every, wanted.zone)
    known = [bound for p in existing for bound in (p.lower, p.upper) if bound is not None]
    return min([begin, *known]), round_up(wanted.until, wanted.every, wanted.zone)


def _bounds(partition: Partition) -> Bounds:
    return partition.lower or NEVER, partition.upper or FOREVER


def subtract(whole: Bounds, parts: Iterable[Bounds]) -> list[Bounds]:
    """Return the ranges of `whole` that no part covers, in order; the parts may overlap."""
    left: list[Bounds] = []
    position, end = whole
    for lower, upper in sorted(parts):
        if lower > position:
            left.append((position, min(lower, end)))
        position = max(position, upper)
        if position >= end:
            return left
    return [*left, (position, end)]


def _is_past(piece: Bounds, wanted: Wanted) -> bool:
    """Filling what retention removed would make partitions that the next retention removes."""
    return wanted.keep is not None and piece[1] <= wanted.as_of - wanted.keep


def _reason(gap: Bounds, end: datetime, wanted: Wanted) -> str:
    if gap[1] == end:
        return f"the runway must reach {_day(wanted.until)}"
    return f"fills the gap from {_day(gap[0])} to {_day(gap[1])}"


def _create(parent: Relation, wanted: Wanted, piece: Bounds, reason: str) -> Create:
    return Create(*piece, partition_name(parent.name, piece[0], wanted.every, wanted.zone), reason)


def holes(creates: Sequence[Create], wanted: Wanted) -> list[Bounds]:
    """Return the unbroken ranges that are to be made between partitions, without the one that ends the runway."""
    ranges: list[Bounds] = []
    for create in creates:
        begin = ranges.pop()[0] if ranges and ranges[-1][1] == create.lower else create.lower
        ranges.append((begin, create.upper))
    end = round_up(wanted.until, wanted.every, wanted.zone)
    return [hole for hole in ranges if hole[1] != end]


def leave_open(creates: Sequence[Create], standing: Iterable[Standing]) -> tuple[list[Create], list[Standing]]:
    """Return what is to be made beside the tables that stand there, and those of them that stand where one was due."""
    in_the_way = [one for one in standing if any(_overlap(create, one) for create in creates)]
    return [create for create in creates if not any(_overlap(create, one) for one in in_the_way)], in_the_way


def _overlap(create: Create, standing: Standing) -> bool:
    return create.lower < standing.upper and standing.lower < create.upper


def require_free_names(parent: Relation, creates: Iterable[Create], taken: Container[str]) -> None:
    """Raise NameTaken for the first partition to be made whose name is among `taken`."""
    for create in creates:
        if create.name in taken:
            raise NameTaken(str(parent), str(parent.sibling(create.name)), _day(create.lower), _day(create.upper))


def _day(instant: datetime) -> str:
    in_utc = instant.astimezone(UTC)
    return f"{in_utc:%Y-%m-%d}" if in_utc.time() == datetime.min.time() else f"{in_utc:%Y-%m-%d %H:%M:%S}"


def covered_until(as_of: datetime, existing: Iterable[Partition], registered: Iterable[Bounds] = ()) -> datetime:
    """Return the end of the unbroken run of bounds that holds `as_of`; `as_of` where none does, FOREVER where it is open.

    A partition whose detach is pending takes no rows and covers nothing.
    """
    usable = (_bounds(p) for p in existing if not p.is_default and not p.is_pending_detach)
    gaps = subtract((as_of, FOREVER), [*usable, *registered])
    return gaps[0][0] if gaps else FOREVER
