"""Backfill a migration: prepare, capture, copy what is missing, drain the log until little is left (M2).

Belongs here: the order of these steps under one run lock, the threads of a plain call, and the result.
Keep out: what a unit or a batch does (`copy`, `drain`), and Prefect (`steps` gives another way to map units).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Literal

import psycopg
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random

from tasks.core.connect import Connection, Kind, transaction
from tasks.core.declaration import Declaration
from tasks.core.disk import free_bytes
from tasks.core.errors import MissingRelation
from tasks.core.ledger import Deferred, Run, run_exclusively
from tasks.core.names import Relation
from tasks.core.sqlfiles import fetch, fetch_one
from tasks.gates.gate import pass_gate
from tasks.gates.store import require_verdict
from tasks.migration.backup import ARCHIVE, back_up
from tasks.migration.capture import Guard, capture_on, check_generation, is_captured, queue_length
from tasks.migration.copy import UnitResult, Work, copy_unit, read_rows_done, register_units
from tasks.migration.drain import BATCH_KEYS, Batch, drain_source
from tasks.migration.plan import BackfillPlan, Cut, Due, bundle, require_disk
from tasks.migration.prepare import prepare_migration
from tasks.migration.registry import Registered, Source, read_registered
from tasks.migration.reverse import carry_back
from tasks.partitions.bounds import Bounds
from tasks.partitions.catalog import list_partitions, read_parent
from tasks.partitions.indexes import ensure_indexes
from tasks.partitions.plan import FOREVER, NEVER

FLOW = "backfill"
#: Writers go on, so the log is never empty for long: after so many rounds the rest is the next run's.
MOST_ROUNDS = 20
#: How often a bundle tells how far the copy has come, beside its end: units of small partitions take milliseconds.
TELL_EVERY_S = 0.25
#: More sessions than this gain nothing and would exhaust the pool.
MOST_WORKERS = 8

OnProgress = Callable[[str, int, int | None], None]
Preflight = Callable[[str, Declaration, datetime], object]
OnPlan = Callable[[BackfillPlan], None]
Bundle = tuple[Due, ...]
#: How bundles of units are mapped over `copy_bundle`: threads here, Prefect tasks in a flow.
MapBundles = Callable[[Run, str, Sequence[Bundle], int, OnProgress | None], list[list[UnitResult]]]


def ask_preflight(name: str, declaration: Declaration, as_of: datetime) -> None:
    """Ask the gate before the legacy tables are touched for the first time; raises GateBlocked (M8)."""
    pass_gate(name, "preflight", declaration, as_of=as_of)


@dataclass(frozen=True)
class BackfillResult:
    """What a backfill did, and what it left: `queue_left` entries came in while the log was drained."""

    migration: str
    rows_copied: int = 0
    rows_quarantined: dict[str, int] = field(default_factory=dict[str, int])
    units_done: int = 0
    units_left: int = 0
    keys_drained: int = 0
    queue_left: int = 0
    seconds: float = 0.0
    outcome: Literal["completed", "cut over", "waiting"] = "completed"

    @property
    def message(self) -> str:
        """Say what a waiting one waits for."""
        return f"{self.migration} was rolled back and stays so: run migrate to begin it anew."


def backfill(
    name: str,
    declaration: Declaration,
    as_of: datetime,
    *,
    workers: int = 2,
    on_progress: OnProgress | None = None,
    on_plan: OnPlan | None = None,
    map_bundles: MapBundles | None = None,
    measure_free: Callable[[Connection], int | None] | None = None,
    preflight: Preflight | None = ask_preflight,
    begins_anew: bool = True,
    flow_run_id: str | None = None,
) -> BackfillResult | Deferred:
    """Copy the legacy tables of migration `name` into its target, while they are written, exactly once.

    Interrupted at any moment, the next call goes on; a call with nothing left to copy drains the log only, and after
    the cutover it carries back what has changed since. Locks: SHARE ROW EXCLUSIVE on each legacy table once, for its triggers; SHARE UPDATE
    EXCLUSIVE on the target for milliseconds per partition. The gate `preflight` guards the triggers, the declared
    backup is made before it (None: neither).
    After a way back it begins anew, or waits where it may not: a schedule must not undo what a person decided.
    Deferred where another run works on this target.
    Raises NotDeclared, MissingRelation, MissingRight, UnsuitableRelation, ColumnMissing, MappingRefused, TooLittleDisk,
    MappingDefect, UnitFailed, CaptureChanged, LockBusy, RunLost, GateBlocked, and what `back_up` raises.
    """
    target = declaration.migration(name).target
    begun = time.monotonic()

    def work(started: Run) -> BackfillResult:
        with transaction(Kind.READ) as conn:
            known = read_registered(conn, name)
        if known is not None and known.phase == "cut_over":
            carried = carry_back(started, known, declaration.migration(name))
            return BackfillResult(name, keys_drained=carried.keys, outcome="cut over")
        if known is not None and known.phase == "retired":
            return BackfillResult(name, outcome="cut over")
        if known is not None and known.phase == "rolled_back" and not begins_anew:
            return BackfillResult(name, outcome="waiting")
        session = _Session(started, declaration, as_of, max(1, min(workers, MOST_WORKERS)), on_progress, preflight)
        copied = session.copy(name, on_plan, map_bundles or in_threads, measure_free or free_bytes)
        return session.finish(name, copied, begun)

    overdue_after = declaration.flow(FLOW).overdue_after
    return run_exclusively(FLOW, name, work, overdue_after=overdue_after, group=target, flow_run_id=flow_run_id)


@dataclass(frozen=True)
class _Session:
    """One run's fixed facts."""

    started: Run
    declaration: Declaration
    as_of: datetime
    workers: int
    on_progress: OnProgress | None
    preflight: Preflight | None

    def copy(
        self, name: str, on_plan: OnPlan | None, map_bundles: MapBundles, measure_free: Callable[[Connection], int | None]
    ) -> list[UnitResult]:
        """Prepare, look for disk and indexes, capture, and do every unit that is due."""
        with transaction(Kind.DDL) as conn:
            migration = prepare_migration(conn, name, self.declaration, self.as_of)
            check_disk(conn, migration, measure_free)
        ensure_indexes(migration.subject, self.declaration, "before_attach", on_progress=self.on_progress)
        capture_on(migration, self.guarded(migration))
        migration = current(name)
        plan = register_units(self.started, migration, self.cut(migration))
        if on_plan:
            on_plan(plan)
        bundles = bundle(plan.due, workers=self.workers)
        mapped = map_bundles(self.started, name, bundles, self.workers, self.on_progress) if bundles else []
        return [result for results in mapped for result in results]

    def guarded(self, migration: Registered) -> Guard | None:
        """Back up and ask the preflight gate where a trigger is still to be installed; returns what its transaction asks again."""
        if self.preflight is None or all(is_captured(source) for source in migration.sources):
            return None
        if self.declaration.migration(migration.name).backup == ARCHIVE:
            back_up(self.started, migration, self.as_of, self.on_progress)
        self.preflight(migration.name, self.declaration, self.as_of)
        return lambda conn: require_verdict(conn, migration.name, "preflight", self.declaration)

    def cut(self, migration: Registered) -> Cut:
        """How the declaration cuts the target."""
        policy = self.declaration.table(migration.subject).partitioning
        return Cut(migration.target.relation, policy.every, policy.zone)

    def finish(self, name: str, copied: Sequence[UnitResult], begun: float) -> BackfillResult:
        """Drain, build what waits for the load, and count."""
        drained = drain(self.started, current(name), workers=self.workers, on_progress=self.on_progress)
        ensure_indexes(
            self.declaration.migration(name).target, self.declaration, "after_load", on_progress=self.on_progress, is_quiet=True
        )
        done = [result for result in copied if result.outcome == "done"]
        with transaction(Kind.READ) as conn:
            reasons = {row["reason"]: row["rows"] for row in fetch(conn, "migration/count_quarantined", migration=name)}
            left = queue_length(conn, name)
        return BackfillResult(
            name,
            rows_copied=sum(result.rows_copied for result in done),
            rows_quarantined=reasons,
            units_done=len(done),
            units_left=len(copied) - len(done),
            keys_drained=drained,
            queue_left=left,
            seconds=round(time.monotonic() - begun, 3),
        )


def current(name: str) -> Registered:
    """Count a new capture generation where a trigger was touched, and return the migration as it is then."""
    with transaction(Kind.READ) as conn:
        check_generation(conn, name)
        migration = read_registered(conn, name)
    if migration is None:
        raise MissingRelation(f"migration {name}", " in the ledger", "Run backfill for it first.")
    return migration


def in_threads(
    started: Run, name: str, bundles: Sequence[Bundle], workers: int, on_progress: OnProgress | None
) -> list[list[UnitResult]]:
    """Map bundles over threads of this process; the first error is raised once the bundles at work have ended."""
    with ThreadPoolExecutor(max_workers=workers, thread_name_prefix="copy") as pool:
        futures = [pool.submit(copy_bundle, started, name, units, on_progress) for units in bundles]
        try:
            return [future.result() for future in futures]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def copy_bundle(
    started: Run, name: str, units: Bundle, on_progress: OnProgress | None = None, between: Callable[[], None] | None = None
) -> list[UnitResult]:
    """Do the units of one bundle one by one; `between` is called before each, to stop a run that was cancelled."""
    with transaction(Kind.READ) as conn:
        migration = read_registered(conn, name)
        assert migration is not None  # noqa: S101 (registered before any unit)
        work = Work(started, migration, read_parent(conn, migration.target.relation))
    results: list[UnitResult] = []
    told = time.monotonic()
    for due in units:
        if between:
            between()
        results.append(copy_unit(work, due))
        if on_progress and (len(results) == len(units) or time.monotonic() - told >= TELL_EVERY_S):
            on_progress(f"copy {name}", *read_rows_done(name))
            told = time.monotonic()
    return results


def drain(
    started: Run, migration: Registered, *, workers: int = 1, on_progress: OnProgress | None = None, rounds: int = MOST_ROUNDS
) -> int:
    """Apply the log of every source until less than a batch came in meanwhile, at most `rounds` times; return how many entries.

    Sources are drained side by side, each by one session. Entries of partitions that are not attached stay. What a round
    put back itself, for another source to judge, is always seen by a further one while there are rounds left.
    """
    total = 0
    with ThreadPoolExecutor(max_workers=max(1, workers), thread_name_prefix="drain") as pool:
        for _ in range(rounds):
            one = partial(_drain_once, started, migration, attached_bounds(migration.target.relation))
            batches = [batch for found in pool.map(one, migration.sources) for batch in found]
            taken, requeued = sum(batch.taken for batch in batches), sum(batch.requeued for batch in batches)
            total += taken
            if on_progress and taken:
                on_progress(f"drain {migration.name}", total, None)
            if taken < BATCH_KEYS and not requeued:
                break
    return total


def _drain_once(started: Run, migration: Registered, attached: Sequence[Bounds], source: Source) -> list[Batch]:
    """Go through a source's log once, from its beginning to its present end; nothing where another session drains it."""
    # Two sources whose rows meet at one place may each hold what the other wants; one of the batches is then repeated.
    patience = Retrying(
        retry=retry_if_exception_type(psycopg.errors.DeadlockDetected),
        wait=wait_random(0, 0.3),
        stop=stop_after_attempt(5),
        reraise=True,
    )
    batches: list[Batch] = []
    after: int | None = 0
    while after is not None:
        batch = patience(drain_source, started, migration, source, attached, after)
        if batch is None:
            break
        batches.append(batch)
        after = batch.last_seq
    return batches


def attached_bounds(target: Relation) -> list[Bounds]:
    """Return the bounds of the attached partitions in order; one that is pending detach takes no rows."""
    with transaction(Kind.READ) as conn:
        partitions = list_partitions(conn, target)
    usable = (p for p in partitions if not p.is_default and not p.is_pending_detach)
    return [(partition.lower or NEVER, partition.upper or FOREVER) for partition in usable]


def check_disk(conn: Connection, migration: Registered, measure: Callable[[Connection], int | None]) -> None:
    """Raise TooLittleDisk where the free space is known and a first copy would not fit; a copy under way has its space."""
    if fetch(conn, "migration/list_units", migration=migration.name):
        return
    size = fetch_one(conn, "migration/legacy_size", migration=migration.name)["size_bytes"]
    require_disk(migration.name, migration.subject, size, measure(conn), "the server's data directory")
