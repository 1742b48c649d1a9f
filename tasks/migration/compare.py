"""Compare every row of a migration on both sides in one snapshot, and name the rows that differ (M7).

Belongs here: the snapshot that parallel sessions share, the units spread over them, the record of the outcome.
Keep out: the statements of a unit (`compare_unit`), what follows from a difference (`integrity`, the gates).

Keys in the capture log of the same snapshot are left out on both sides: their change is committed and not yet applied.
Whatever is not in the log has been applied, so an honest difference cannot be there, and writers cause no false alarm.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from queue import SimpleQueue
from typing import Any

import psycopg

from tasks.core.connect import Connection, Kind, open_connection
from tasks.core.errors import MissingRelation
from tasks.core.ledger import Run, unit
from tasks.core.sqlfiles import fetch, fetch_one, run
from tasks.gates.store import require_verdict
from tasks.migration.compare_unit import Differences, Plan, Sides, Unit, bundle, compare_quarantine, compare_units, read_plan
from tasks.migration.registry import read_registered
from tasks.partitions.catalog import list_partitions

#: Differing rows that are kept with both values; the true numbers are always counted.
KEPT = 1_000
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class ComparisonResult:
    """What one comparison found. `differing` is the true number; `differences` names the first of each kind."""

    comparison_id: int
    migration: str
    legacy_rows: int
    rows_compared: int
    quarantined: int
    in_flight: int
    differing: int
    kinds: dict[str, int]
    units: int
    sessions: int
    seconds: float
    is_partial: bool
    differences: tuple[dict[str, Any], ...] = field(default=(), repr=False)
    #: Lower bounds of the units in which rows differ, None for the residue; for a second look at them alone.
    differing_units: frozenset[datetime | None] = field(default=frozenset(), repr=False)

    @property
    def is_clean(self) -> bool:
        """Say whether no row differs."""
        return self.differing == 0


@dataclass
class _Outcome:
    plan: Plan
    bundles: Sequence[tuple[Unit, ...]]
    is_partial: bool
    snapshot_at: datetime | None = None
    sessions: int = 1
    differences: Differences = field(default_factory=lambda: Differences(KEPT))
    sides: list[Sides] = field(default_factory=list[Sides])
    seconds: float = 0.0


def compare(
    started: Run,
    migration: str,
    *,
    sessions: int = 2,
    only: Collection[datetime | None] | None = None,
    requires: str | None = "backfill",
    on_progress: Progress | None = None,
) -> ComparisonResult:
    """Compare every row of both sides and record the result in maintenance.comparison; returns it.

    `only` takes the lower bounds of some units (None is the residue): a second look, recorded as partial, never evidence.
    `requires` names the gate whose verdict must stand in the same snapshot. `on_progress` is told the units done, of how
    many; raising from it ends the comparison. Locks: ACCESS SHARE on both sides, for the whole of it.
    Raises MissingRelation, VerdictMissing, VerdictStale, GateBlocked, RunLost.
    """
    with _snapshot(sessions) as (readers, snapshot_at):
        if requires is not None:
            require_verdict(readers[0], migration, requires)
        outcome = _prepare(readers[0], migration, only)
        outcome.snapshot_at, outcome.sessions = snapshot_at, len(readers)
        begun = time.monotonic()
        _work(readers, outcome, on_progress)
        outcome.seconds = round(time.monotonic() - begun, 3)
    return _record(started, outcome)


@contextmanager
def _snapshot(sessions: int) -> Iterator[tuple[list[Connection], datetime]]:
    """Open `sessions` read-only transactions that see one snapshot; the first exports it and works too."""
    with ExitStack() as stack:
        first = stack.enter_context(_reader())
        exported = fetch_one(first, "migration/compare_export_snapshot")
        others = [stack.enter_context(_reader(exported["snapshot"])) for _ in range(sessions - 1)]
        yield [first, *others], exported["snapshot_at"]


@contextmanager
def _reader(snapshot: str | None = None) -> Iterator[Connection]:
    with open_connection(Kind.SNAPSHOT, purpose="compare") as conn:
        conn.isolation_level, conn.read_only = psycopg.IsolationLevel.REPEATABLE_READ, True
        with conn.transaction():
            if snapshot is not None:
                run(conn, "migration/compare_import_snapshot", snapshot=snapshot)
            run(conn, "migration/compare_session")
            yield conn


def _prepare(conn: Connection, migration: str, only: Collection[datetime | None] | None) -> _Outcome:
    registered = read_registered(conn, migration)
    if registered is None:
        raise MissingRelation(f"migration {migration}", " in the ledger", "Run backfill first; nothing was compared.")
    target = registered.target.relation
    plan = read_plan(conn, registered, list_partitions(conn, target))
    units = [unit for unit in plan.units if only is None or unit.lower in only]
    rows = fetch(conn, "migration/compare_partition_rows", schema=target.schema, name=target.name)
    bundles = bundle(units, {row["lower"]: row["rows"] for row in rows})
    return _Outcome(plan, bundles, is_partial=only is not None)


def _work(readers: Sequence[Connection], outcome: _Outcome, on_progress: Progress | None) -> None:
    """Spread the units and the sources' quarantines over the sessions, each of which does one at a time."""
    free: SimpleQueue[Connection] = SimpleQueue()
    for reader in readers:
        free.put(reader)

    def lend(work: Callable[[Connection], list[Sides]]) -> list[Sides]:
        conn = free.get()
        try:
            return work(conn)
        finally:
            free.put(conn)

    jobs = [*_quarantine_jobs(outcome), *_unit_jobs(outcome)]
    with ThreadPoolExecutor(len(readers), thread_name_prefix="compare") as pool:
        futures = [pool.submit(lend, job) for job in jobs]
        try:
            _collect(futures, outcome, on_progress)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for reader in readers:
                reader.cancel_safe()
            raise


def _unit_jobs(outcome: _Outcome) -> Iterator[Callable[[Connection], list[Sides]]]:
    for units in outcome.bundles:
        yield lambda conn, units=units: compare_units(conn, outcome.plan, units, outcome.differences)


def _quarantine_jobs(outcome: _Outcome) -> Iterator[Callable[[Connection], list[Sides]]]:
    for source in outcome.plan.registered.sources:

        def judge(conn: Connection, source: Any = source) -> list[Sides]:
            compare_quarantine(conn, outcome.plan, source, outcome.differences)
            return []

        yield judge


def _collect(futures: Sequence[Future[list[Sides]]], outcome: _Outcome, on_progress: Progress | None) -> None:
    for done, future in enumerate(as_completed(futures), start=1):
        outcome.sides += future.result()
        if on_progress is not None:
            on_progress(done, len(futures))


def _record(started: Run, outcome: _Outcome) -> ComparisonResult:
    """Write the comparison, its days and its differences in one transaction of the run."""
    plan, found = outcome.plan, outcome.differences
    figures = _figures(outcome)
    with unit(started, kind=Kind.READ, group=plan.registered.subject) as conn:
        row = fetch_one(
            conn,
            "migration/insert_comparison",
            run_id=started.id,
            snapshot_at=outcome.snapshot_at,
            mapping_version=plan.registered.mapping_version,
            generation=plan.registered.generation,
            **{**figures, "kinds": json.dumps(found.kinds)},
        )
        days, rows = json.dumps([_day(side) for side in outcome.sides]), json.dumps(found.rows, default=str)
        run(conn, "migration/insert_comparison_days", comparison_id=row["id"], days=days)
        run(conn, "migration/insert_comparison_differences", comparison_id=row["id"], differences=rows)
    units = frozenset(row["lower"] for row in found.rows) | {side.unit.lower for side in outcome.sides if not side.is_equal}
    return ComparisonResult(comparison_id=row["id"], differences=tuple(found.rows), differing_units=units, **figures)


def _figures(outcome: _Outcome) -> dict[str, Any]:
    """Return what the ledger's row and the result have in common."""
    plan, sides = outcome.plan, outcome.sides
    legacy_rows = sum(side.legacy_rows for side in sides)
    return {
        "migration": plan.registered.name,
        "legacy_rows": legacy_rows,
        "rows_compared": legacy_rows - sum(side.in_flight for side in sides),
        "quarantined": sum(plan.quarantined.values()),
        "in_flight": sum(plan.in_flight.values()),
        "differing": sum(outcome.differences.kinds.values()),
        "kinds": outcome.differences.kinds,
        "units": sum(map(len, outcome.bundles)),
        "sessions": outcome.sessions,
        "seconds": outcome.seconds,
        "is_partial": outcome.is_partial,
    }


def _day(side: Sides) -> dict[str, Any]:
    bounds = (side.unit.lower, side.unit.upper)
    lower, upper = (bound.isoformat() if bound is not None else None for bound in bounds)
    return {**{k: v for k, v in vars(side).items() if k != "unit"}, "lower": lower, "upper": upper}
