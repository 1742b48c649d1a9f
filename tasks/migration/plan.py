"""Decide which units a backfill has to do.

Belongs here: rules from (span, attached partitions, units of the ledger, generation) to a list of `Due`, each with a reason;
bundles for one task run; the disk a backfill needs.
Keep out: SQL, clocks, Prefect, logging.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from tasks.core.errors import Permanent
from tasks.core.names import Relation
from tasks.partitions.bounds import Bounds, Interval, partition_name, tile
from tasks.partitions.partition import Partition
from tasks.partitions.plan import FOREVER, NEVER, subtract

Kind = Literal["aside", "live", "residue"]
Act = Literal["build", "attach", "queue"]
#: One flow run maps at most this many task runs: more press the API (design 4).
MOST_BUNDLES = 40
#: The target beside its legacy tables, while both are kept: measured 1.44 with the narrow indexes (docs/benchmarks.md).
DISK_FACTOR = 1.5


@dataclass(eq=False)
class TooLittleDisk(Permanent):
    """The backfill of {migration} needs about {needed_mb} MB for {target} and {free_mb} MB are free on {where}. Free or add
    disk, or shorten span_from in the declaration; nothing was changed."""

    migration: str
    target: str
    needed_mb: int
    free_mb: int
    where: str


@dataclass(frozen=True)
class Unit:
    """A unit as the ledger has it."""

    id: int
    kind: Kind
    lower: datetime | None
    upper: datetime | None
    partition: str | None
    state: Literal["planned", "loaded", "done"]
    generation: int
    mapping_version: str


@dataclass(frozen=True)
class Version:
    """What a unit must have been done with to count as done (design 8)."""

    generation: int
    mapping_version: str

    def holds(self, unit: Unit) -> bool:
        """Say whether `unit` was worked on at this generation and mapping version."""
        return (unit.generation, unit.mapping_version) == (self.generation, self.mapping_version)


@dataclass(frozen=True)
class Due:
    """One unit to do, and why. `act` says how: build a partition aside, attach a loaded one, or queue keys for the drain."""

    kind: Kind
    act: Act
    lower: datetime | None
    upper: datetime | None
    partition: str | None
    reason: str

    @property
    def bounds(self) -> Bounds | None:
        """The range of event times, half-open; None for the residue."""
        return None if self.lower is None or self.upper is None else (self.lower, self.upper)

    def __str__(self) -> str:
        if self.bounds is None:
            return self.kind
        lower, upper = self.bounds
        return f"{self.kind} {lower:%Y-%m-%d %H:%M} to {upper:%Y-%m-%d %H:%M}"


@dataclass(frozen=True)
class Cut:
    """How the target is cut into partitions."""

    parent: Relation
    every: Interval
    zone: str = "UTC"


@dataclass(frozen=True)
class BackfillPlan:
    """Units to do, and registered units whose bounds nobody wants any more."""

    due: tuple[Due, ...]
    obsolete: tuple[Unit, ...]
    already_done: int


def plan_backfill(
    span: Bounds, attached: Sequence[Partition], units: Sequence[Unit], version: Version, cut: Cut
) -> BackfillPlan:
    """Return what is left to do so that every event time of `span` and the residue is covered at `version`.

    An attached partition is live: its keys are queued, only the drain writes to it. What no partition covers is built
    aside, empty intervals too, so that the partitions tile the span without a gap.
    """
    live = [bounds for partition in attached if (bounds := _within(partition, span))]
    aside = [piece for gap in subtract(span, live) for piece in tile(*gap, cut.every, cut.zone)]
    done = [unit for unit in units if unit.state == "done" and version.holds(unit)]
    due = [*(_aside(piece, units, version, cut) for piece in aside), *_queued(live, units, done), *_residue(units, done)]
    wanted = set(aside)
    obsolete = [u for u in units if u.kind == "aside" and u.state != "done" and (u.lower, u.upper) not in wanted]
    return BackfillPlan(tuple(due), tuple(obsolete), len(aside) + len(live) + 1 - len(due))


def _within(partition: Partition, span: Bounds) -> Bounds | None:
    """Clip an attached partition to the span; a pending detach takes no rows, and a default has no bounds of its own."""
    if partition.is_default or partition.is_pending_detach:
        return None
    lower, upper = max(partition.lower or NEVER, span[0]), min(partition.upper or FOREVER, span[1])
    return (lower, upper) if lower < upper else None


def _aside(piece: Bounds, units: Sequence[Unit], version: Version, cut: Cut) -> Due:
    lower, upper = piece
    name = partition_name(cut.parent.name, lower, cut.every, cut.zone)
    known = next((u for u in units if u.kind == "aside" and (u.lower, u.upper) == piece), None)
    if known is not None and known.state == "loaded" and version.holds(known):
        return Due("aside", "attach", lower, upper, known.partition, "loaded by an earlier run and not attached yet")
    reason = "not loaded yet" if known is None or known.state == "planned" else "loaded before the capture or mapping changed"
    return Due("aside", "build", lower, upper, name, reason)


def _queued(live: Iterable[Bounds], units: Sequence[Unit], done: Sequence[Unit]) -> list[Due]:
    return [
        Due("live", "queue", *bounds, None, _why_queued(bounds, units))
        for bounds in live
        if not any(_covers(unit, bounds) for unit in done)
    ]


def _why_queued(bounds: Bounds, units: Sequence[Unit]) -> str:
    is_redone = any(unit.state == "done" and _covers(unit, bounds) for unit in units)
    return "done before the capture or mapping changed" if is_redone else "its partition is attached and in use"


def _covers(unit: Unit, bounds: Bounds) -> bool:
    if unit.lower is None or unit.upper is None:
        return False
    return unit.lower <= bounds[0] and bounds[1] <= unit.upper


def _residue(units: Sequence[Unit], done: Sequence[Unit]) -> list[Due]:
    if any(unit.kind == "residue" for unit in done):
        return []
    is_redone = any(unit.kind == "residue" and unit.state == "done" for unit in units)
    reason = "done before the capture or mapping changed" if is_redone else "times that no partition takes"
    return [Due("residue", "queue", None, None, None, reason)]


def bundle(due: Sequence[Due], *, workers: int, most: int = MOST_BUNDLES) -> list[tuple[Due, ...]]:
    """Split units into at most `most` runs of neighbours, each unit once and in order, each run a share of what is left.

    The last ones are short, so that no worker idles long while another finishes.
    """
    bundles: list[tuple[Due, ...]] = []
    begin = 0
    while begin < len(due):
        shares = min(max(1, workers) * 4, most - len(bundles))
        end = begin - (begin - len(due)) // shares
        bundles.append(tuple(due[begin:end]))
        begin = end
    return bundles


def require_disk(migration: str, target: str, legacy_bytes: int, free_bytes: int | None, where: str) -> None:
    """Raise TooLittleDisk where `free_bytes` is known and less than the target will take beside its legacy tables."""
    needed = round(legacy_bytes * DISK_FACTOR)
    if free_bytes is not None and free_bytes < needed:
        raise TooLittleDisk(migration, target, -(-needed // 1_000_000), free_bytes // 1_000_000, where)
