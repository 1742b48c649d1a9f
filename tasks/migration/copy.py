"""Copy what the legacy tables hold: each missing partition is built aside and attached, the rest is queued for the drain.

Belongs here: registering units under the creation lock, and the transaction of one unit (design 6).
Keep out: which units (`plan`), writing to attached partitions (`drain`), Prefect (`steps`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, assert_never

import psycopg
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_random_exponential

from tasks.core.connect import Connection, Kind, transaction, with_lock_retries
from tasks.core.errors import LockBusy, Permanent
from tasks.core.ledger import CREATION, RUN, Run, enter_unit, unit
from tasks.core.names import Relation
from tasks.core.sqlfiles import fetch, fetch_one, run
from tasks.migration.capture import enqueue_range, enqueue_residue, require_generation
from tasks.migration.drain import collision_reason
from tasks.migration.plan import BackfillPlan, Cut, Due, Unit, Version, plan_backfill
from tasks.migration.registry import Registered, Source
from tasks.migration.rows import Place, find_defect, is_about_a_row, write_rows
from tasks.partitions.bounds import Bounds
from tasks.partitions.build import attach_partition, build_partition, complete_checks, finish_partition
from tasks.partitions.catalog import list_partitions
from tasks.partitions.partition import Parent

#: Rows copied and rows put into quarantine.
Rows = tuple[int, int]
#: How long the registration waits for a running creation of partitions.
CREATION_BUDGET_S = 60.0


@dataclass(eq=False)
class UnitFailed(Permanent):
    """The unit {unit} of {migration} could not be done: {reason}. Nothing of it was kept; the other units stay."""

    unit: str
    migration: str
    reason: str


@dataclass(frozen=True)
class UnitResult:
    """What one unit did; `queued` entries are the drain's to apply. A unit that another session had is skipped."""

    unit: str
    rows_copied: int = 0
    rows_quarantined: int = 0
    queued: int = 0
    outcome: Literal["done", "skipped"] = "done"


@dataclass(frozen=True)
class Work:
    """What the units of one bundle share: the run that they belong to, the migration as it was read, the parent's facts."""

    started: Run
    migration: Registered
    parent: Parent


def register_units(started: Run, migration: Registered, cut: Cut) -> BackfillPlan:
    """Plan what is due and register it, so that creation leaves those bounds alone; return the plan.

    Holds the creation lock of the target for the moment: both sides agree which bounds are whose. Raises LockBusy where a
    creation runs for longer than a minute.
    """
    policy = Retrying(
        retry=retry_if_result(lambda plan: plan is None),
        wait=wait_random_exponential(multiplier=0.1, max=2.0),
        stop=stop_after_delay(CREATION_BUDGET_S),
        retry_error_callback=lambda _: None,
    )
    plan: BackfillPlan | None = policy(_register_once, started, migration, cut)
    if plan is None:
        waited = round(CREATION_BUDGET_S * 1000)
        raise LockBusy(migration.subject, "register the bounds of", waited, "a run of create_partitions")
    return plan


def _register_once(started: Run, migration: Registered, cut: Cut) -> BackfillPlan | None:
    with unit(started, kind=Kind.DDL, group=migration.subject) as conn:
        if not fetch_one(conn, "migration/try_transaction_lock", subject=RUN + CREATION + migration.subject)["taken"]:
            return None
        plan = read_plan(conn, migration, cut)
        for obsolete in plan.obsolete:
            _withdraw(conn, migration, obsolete)
        _register(conn, started, migration, plan.due)
        return plan


def read_plan(conn: Connection, migration: Registered, cut: Cut) -> BackfillPlan:
    """Return what a backfill would do now; reads only."""
    attached = list_partitions(conn, migration.target.relation)
    units = [Unit(**row) for row in fetch(conn, "migration/list_units", migration=migration.name)]
    version = Version(migration.generation, migration.mapping_version)
    return plan_backfill((migration.span_from, migration.span_to), attached, units, version, cut)


def _register(conn: Connection, started: Run, migration: Registered, due: Sequence[Due]) -> None:
    version = {"generation": migration.generation, "mapping_version": migration.mapping_version}
    run(
        conn,
        "migration/register_units",
        migration=migration.name,
        target=migration.subject,
        run_id=started.id,
        **version,
        kinds=[one.kind for one in due],
        lowers=[one.lower for one in due],
        uppers=[one.upper for one in due],
        partitions=[one.partition for one in due],
    )


def _withdraw(conn: Connection, migration: Registered, obsolete: Unit) -> None:
    if obsolete.state == "loaded":
        drop_loaded(conn, migration, obsolete.partition)
    run(conn, "migration/withdraw_unit", id=obsolete.id)


def drop_loaded(conn: Connection, migration: Registered, name: str | None) -> None:
    """Drop the table of an interrupted run; one that somebody has attached or renamed meanwhile is not ours any more."""
    partition = migration.target.relation.sibling(name or "")
    if fetch_one(conn, "partitions/is_standalone", schema=partition.schema, name=partition.name)["found"]:
        run(conn, "partitions/drop_partition", partition=partition)


def copy_unit(work: Work, due: Due) -> UnitResult:
    """Do one unit: build its partition aside and attach it, attach a loaded one, or queue its keys for the drain.

    A killed unit leaves nothing, or a loaded table that the next run attaches. Locks: ACCESS SHARE on the legacy tables,
    SHARE UPDATE EXCLUSIVE on the target for milliseconds. Raises MappingDefect, UnitFailed, CaptureChanged, LockBusy,
    RunLost.
    """
    with _explained(work.migration, due):
        match due.act:
            case "queue":
                return _queue(work, due)
            case "attach":
                _complete(work, due)
                _attach(work, due)
                return UnitResult(str(due))
            case "build":
                result = _build(work, due)
                if result.outcome == "done":
                    _attach(work, due)
                return result
            case _:
                assert_never(due.act)


@contextmanager
def _explained(migration: Registered, due: Due) -> Iterator[None]:
    """Name the unit where the server refuses; lock waits, time limits and lost connections pass for those who retry."""
    try:
        yield
    except psycopg.Error as error:
        if not is_about_a_row(error):
            raise
        reason = error.diag.message_primary or str(error)
        raise UnitFailed(str(due), migration.name, reason) from error


def _claim(conn: Connection, migration: Registered, due: Due) -> dict[str, Any] | None:
    rows = fetch(conn, "migration/claim_unit", migration=migration.name, kind=due.kind, lower=due.lower)
    return rows[0] if rows else None


def _queue(work: Work, due: Due) -> UnitResult:
    migration = work.migration
    with unit(work.started, group=migration.subject) as conn:
        claimed = _claim(conn, migration, due)
        if claimed is None:
            return UnitResult(str(due), outcome="skipped")
        require_generation(conn, migration)
        queued = sum(_enqueue(conn, migration, source, due) for source in migration.sources)
        _record(conn, work, claimed["id"], "done")
        return UnitResult(str(due), queued=queued)


def _enqueue(conn: Connection, migration: Registered, source: Source, due: Due) -> int:
    if due.bounds is None:
        return enqueue_residue(conn, migration, source)
    return enqueue_range(conn, migration.target, source, *due.bounds)


def _record(conn: Connection, work: Work, unit_id: int, state: Literal["loaded", "done"], rows: Rows = (0, 0)) -> None:
    version = {"generation": work.migration.generation, "mapping_version": work.migration.mapping_version}
    counts = {"rows_copied": rows[0], "rows_quarantined": rows[1]}
    run(conn, "migration/record_unit", id=unit_id, state=state, run_id=work.started.id, **version, **counts)


def _build(work: Work, due: Due) -> UnitResult:
    """Load every source's rows of the range into a table of its own, index it, and record it as loaded: one transaction."""
    migration = work.migration
    with unit(work.started, group=migration.subject) as conn:
        claimed = _claim(conn, migration, due)
        if claimed is None:
            return UnitResult(str(due), outcome="skipped")
        require_generation(conn, migration)
        if claimed["state"] == "loaded":
            drop_loaded(conn, migration, claimed["partition"])
        run(conn, "migration/copy_settings")
        counts = _load(conn, work, due)
        rows = (sum(copied for copied, _ in counts.values()), sum(refused for _, refused in counts.values()))
        _record(conn, work, claimed["id"], "loaded", rows)
        _record_sources(conn, claimed["id"], counts)
        return UnitResult(str(due), *rows)


def _record_sources(conn: Connection, unit_id: int, counts: dict[int, Rows]) -> None:
    copied, quarantined = ([figures[place] for figures in counts.values()] for place in (0, 1))
    figures = {"source_ids": list(counts), "copied": copied, "quarantined": quarantined}
    run(conn, "migration/record_unit_sources", unit_id=unit_id, **figures)


def _load(conn: Connection, work: Work, due: Due) -> dict[int, Rows]:
    """Return (copied, quarantined) by source."""
    migration, (bounds, name) = work.migration, _aside(due)
    partition = build_partition(conn, work.parent, name, *bounds)
    run(conn, "migration/forget_quarantined", migration=migration.name, lower=bounds[0], upper=bounds[1])
    span = (migration.span_from, migration.span_to)
    places = [Place(conn, migration.target, source, [bounds], span) for source in migration.sources]
    copied = _load_sources(places, partition)
    refused = _refused(conn, migration, bounds)
    counts = {source_id: (rows, refused.get(source_id, 0)) for source_id, rows in copied.items()}
    try:
        with conn.transaction():
            finish_partition(conn, work.parent, partition)
    except psycopg.errors.UniqueViolation:
        for source_id, moved in _move_collisions(places, partition).items():
            copied, quarantined = counts[source_id]
            counts[source_id] = (copied - moved, quarantined + moved)
        finish_partition(conn, work.parent, partition)
    return counts


def _aside(due: Due) -> tuple[Bounds, str]:
    """Return bounds and partition name, which every aside unit has."""
    if due.bounds is None or due.partition is None:
        reason = f"{due} has no partition of its own"
        raise ValueError(reason)
    return due.bounds, due.partition


def _refused(conn: Connection, migration: Registered, bounds: Bounds) -> dict[int, int]:
    """Count what the load has put into the quarantine of a range that was empty before, by source."""
    values = {"migration": migration.name, "lower": bounds[0], "upper": bounds[1]}
    return {row["source_id"]: row["rows"] for row in fetch(conn, "migration/count_refused", **values)}


def _load_sources(places: Sequence[Place], partition: Relation) -> dict[int, int]:
    """Return how many rows were copied, by source; one savepoint for all, because the first row that fails ends the unit."""
    copied: dict[int, int] = {}
    try:
        with places[0].conn.transaction():
            for place in places:
                copied[place.source.id] = _load_source(place, partition)
    except psycopg.Error as error:
        if not is_about_a_row(error):
            raise
        raise _defect(places[len(copied)], partition, error) from error
    return copied


def _load_source(place: Place, partition: Relation) -> int:
    source = place.source
    names = {**place.legacy_names, "time": source.time_column, "forward": source.forward, "partition": partition}
    columns = {"columns": place.target.names, "mapped": place.target.mapped}
    values = {**_range(place), **place.spanned, "source_id": source.id}
    return run(place.conn, "migration/load_range", **names, **columns, **values).rowcount


def _range(place: Place) -> dict[str, object]:
    lower, upper = place.attached[0]
    return {"lower": lower, "upper": upper, "zone": place.source.zone}


def _defect(place: Place, partition: Relation, error: psycopg.Error) -> Permanent:
    rows = fetch(place.conn, "migration/list_range_keys", **place.legacy_names, time=place.source.time_column, **_range(place))
    return find_defect(place, [row["key"] for row in rows], lambda keys: write_rows(place, keys, into=partition), error)


def _move_collisions(places: Sequence[Place], partition: Relation) -> dict[int, int]:
    """Move later sources' rows out of places that earlier ones hold, the last source first; return how many by source."""
    moved: dict[int, int] = {}
    for number, loser in reversed(list(enumerate(places))):
        for winner in places[:number]:
            count = _move(loser, winner.source, partition)
            moved[loser.source.id] = moved.get(loser.source.id, 0) + count
    return moved


def _move(loser: Place, winner: Source, partition: Relation) -> int:
    source = loser.source
    names = {**loser.target_names, **loser.legacy_names, "legacy_time": source.time_column, "partition": partition}
    owners = {"loser_owns": source.owns, "winner_owns": winner.owns}
    columns = {f"columns_of_{row}": loser.target.columns_of(row) for row in ("u", "o")}
    values = {**_range(loser), "source_id": source.id, "code": source.code, "reason": collision_reason(winner)}
    return run(loser.conn, "migration/move_collisions", **names, **owners, **columns, **values).rowcount


def _complete(work: Work, due: Due) -> None:
    """Bring a table that an earlier run has loaded to what its parent is by now."""
    with unit(work.started, group=work.migration.subject) as conn:
        complete_checks(conn, work.parent, work.parent.relation.sibling(_aside(due)[1]))


def _attach(work: Work, due: Due) -> None:
    """Attach a loaded partition without a scan and note that its unit is done, in a second, short transaction."""
    bounds, name = _aside(due)
    parent, migration = work.parent, work.migration
    partition = parent.relation.sibling(name)

    def attempt(conn: Connection) -> None:
        enter_unit(conn, work.started, group=migration.subject)
        run(conn, "migration/copy_settings")
        attach_partition(conn, parent, partition, *bounds)
        run(conn, "migration/record_attached", migration=migration.name, lower=bounds[0])

    with_lock_retries(parent.relation, f"attach {partition.name} to", attempt)


def read_rows_done(migration: str) -> tuple[int, int | None]:
    """Return how many rows the units have handled and about how many there are; None where nobody ever counted."""
    with transaction(Kind.READ) as conn:
        row = fetch_one(conn, "migration/progress_rows", migration=migration)
    return row["done"], row["total"]
