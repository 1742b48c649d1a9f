"""Bring a partition back that retention has taken out: from waiting, or from its archive (D4).

Belongs here: where it stands, what speaks against it, attaching it, and the hold that follows.
Keep out: rebuilding it from a file (`restored_file`), finishing an interrupted detach (`detach`), Prefect.
A run that dies leaves a partition that waits, with its record; the next one goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import psycopg

from tasks.core.connect import Connection, Kind, with_lock_retries
from tasks.core.declaration import Declaration
from tasks.core.declaration import Table as DeclaredTable
from tasks.core.ledger import Deferred, Run, enter_unit, run_exclusively, unit
from tasks.core.names import Relation
from tasks.core.progress import ignore
from tasks.core.sqlfiles import fetch, run, trusted
from tasks.partitions.bounds import as_key
from tasks.partitions.build import attach_partition, complete_checks, finish_statements
from tasks.partitions.catalog import list_partitions, read_parent
from tasks.partitions.detach import Detaching, detach_session, finalize_detach
from tasks.partitions.figures import list_columns
from tasks.partitions.partition import Parent
from tasks.partitions.restored_file import (
    ArchivedPartition,
    RestoreRefused,
    find_archive,
    lacking_columns,
    list_parent_columns,
    rebuild_partition,
    require_room,
    verified_files,
)
from tasks.partitions.retention_plan import FOREVER, NEVER, show

FLOW = "restore_partition"
#: What the server refuses again on every attempt; a lost connection or a busy lock passes for those who retry it.
_REFUSED = (
    psycopg.ProgrammingError,
    psycopg.IntegrityError,
    psycopg.DataError,
    psycopg.NotSupportedError,
    psycopg.errors.DiskFull,
    psycopg.errors.QueryCanceled,
)
Progress = Callable[[str, int, int | None], None]


@dataclass(frozen=True)
class Restored:
    """What became of one partition; `held_until` is when retention may take it again."""

    table: str
    partition: str
    #: Where it came from; `attached` where there was nothing to do.
    came_from: Literal["attached", "waiting", "archive"]
    lower: datetime | None
    upper: datetime | None
    held_until: datetime | None = None
    rows: int | None = None
    outcome: str = "completed"


@dataclass(frozen=True)
class _Work:
    """One run for one partition."""

    started: Run
    table: Relation
    partition: Relation
    declared: DeclaredTable
    as_of: datetime
    hold_for: timedelta
    on_progress: Progress

    @property
    def held_until(self) -> datetime:
        return self.as_of + self.hold_for


@dataclass(frozen=True)
class _Waiting:
    """A detached partition that stands as a table of its own."""

    oid: int
    lower: datetime
    upper: datetime


def restore(
    table: str,
    partition: str,
    declaration: Declaration,
    as_of: datetime,
    *,
    on_progress: Progress | None = None,
    flow_run_id: str | None = None,
) -> Restored | Deferred:
    """Attach a partition again that retention has detached or dropped, and hold it from `as_of` for `hold_restored`.

    Returns Deferred while another run holds the table. An attached partition is left as it is. Locks: ACCESS EXCLUSIVE on
    the detached table, SHARE UPDATE EXCLUSIVE on the parent for a moment. Raises NotDeclared, RestoreRefused, LockBusy,
    DetachPending, PartitionMismatch; each leaves the partition waiting or in its archive (D4).
    """
    declared = declaration.table(table)
    parent = Relation.parse(table)
    named = Relation.parse(partition) if "." in partition else parent.sibling(partition)
    kept = declared.retention
    if kept is None:
        raise RestoreRefused(str(named), table, "the table declares no retention", "Declare one; nothing was changed.")

    def work(started: Run) -> Restored:
        return _restore(_Work(started, parent, named, declared, as_of, kept.hold_restored, on_progress or ignore))

    overdue_after = declaration.flow(FLOW).overdue_after
    return run_exclusively(FLOW, table, work, overdue_after=overdue_after, flow_run_id=flow_run_id)


def _restore(work: _Work) -> Restored:
    """Believe the catalog, finish what was interrupted, rebuild what is gone, attach."""
    found = _find(work)
    if found is not None and found["state"] == "pending":
        _finalize(work, found)
        found = _find(work)
    if found is not None and found["state"] == "attached":
        return Restored(str(work.table), str(work.partition), "attached", found["lower"], found["upper"])
    rows = None
    if found is None:
        rows = _rebuild(work)
        work.on_progress("load", 1, 2)
        found = _find(work)
    waiting = _waiting(work, found)
    _prepare(work, waiting)
    _attach(work, waiting)
    work.on_progress("attach", 2, 2)
    came_from = "waiting" if rows is None else "archive"
    bounds = (waiting.lower, waiting.upper)
    return Restored(str(work.table), str(work.partition), came_from, *bounds, work.held_until, rows)


def _find(work: _Work) -> Mapping[str, Any] | None:
    """Return what the catalog and the ledger say of the partition, None where no such table stands."""
    with unit(work.started) as conn:
        parent = _read_parent(conn, work)
        _require_no_migration(conn, work)
        run(conn, "partitions/believe_catalog", parent=str(work.table), parent_oid=parent.oid, as_of=work.as_of)
        rows = fetch(conn, "partitions/list_candidates", parents=[str(work.table)], parent_oids=[parent.oid])
    return next((row for row in rows if row["name"] == str(work.partition)), None)


def _read_parent(conn: Connection, work: _Work) -> Parent:
    return read_parent(conn, work.table, work.declared.partitioning.by)


def _require_no_migration(conn: Connection, work: _Work) -> None:
    under_way = fetch(conn, "partitions/migration_under_way", target=str(work.table))
    if under_way:
        reason = f"the migration {under_way[0]['name']} captures changes until its cutover"
        raise _refused(work, reason, "Run again after its cutover; nothing was changed.")


def _refused(work: _Work, reason: str, remedy: str = "Remove the cause and run again; nothing was changed.") -> RestoreRefused:
    return RestoreRefused(str(work.partition), str(work.table), reason, remedy)


def _finalize(work: _Work, found: Mapping[str, Any]) -> None:
    """End the interrupted detach, which hides the rows and cannot be taken back, its record written first."""
    with unit(work.started) as conn:
        parent = _read_parent(conn, work)
        bounds = {"lower": found["lower"], "upper": found["upper"], "partition_oid": found["oid"]}
        memory = {"reason": "its detach was interrupted", "run_id": work.started.id, "as_of": work.as_of}
        names = {"parent": str(work.table), "partition": str(work.partition)}
        run(conn, "partitions/record_due", **names, **bounds, **memory, state="detaching")
    with detach_session(work.started) as conn:
        finalize_detach(conn, Detaching(work.started, parent, work.as_of), work.partition)


def _waiting(work: _Work, found: Mapping[str, Any] | None) -> _Waiting:
    if found is None:
        raise _refused(work, "its table was taken away meanwhile")
    if found["obstacle"]:
        raise _refused(work, found["obstacle"])
    if found["lower"] is None or found["upper"] is None:
        raise _refused(work, "it has an open bound", "Attach it by hand; nothing was changed.")
    return _Waiting(found["oid"], found["lower"], found["upper"])


def _rebuild(work: _Work) -> int:
    """Bring the files here first, which may take long, and only then open the transaction that builds the table."""
    with _explained(work), verified_files(work.partition, work.table, archived := _archived(work)) as files:
        return _rebuild_from(work, archived, files)


def _rebuild_from(work: _Work, archived: ArchivedPartition, files: Sequence[Path]) -> int:
    with unit(work.started) as conn:
        parent = _read_parent(conn, work)
        _require_free(conn, work, archived.lower, archived.upper)
        require_room(conn, work.partition, work.table, archived, files)
        run_id, as_of = work.started.id, work.as_of
        return rebuild_partition(conn, parent, work.partition, archived, files, run_id=run_id, as_of=as_of)


def _archived(work: _Work) -> ArchivedPartition:
    with unit(work.started) as conn:
        found = find_archive(conn, work.table, work.partition)
        _require_free(conn, work, found.lower, found.upper)
    return found


def _require_free(conn: Connection, work: _Work, lower: datetime, upper: datetime) -> None:
    """Raise RestoreRefused where a partition, one whose detach is pending too, covers a part of the bounds."""
    for other in list_partitions(conn, work.table):
        overlaps = (other.lower or NEVER) < upper and lower < (other.upper or FOREVER)
        if overlaps and not other.is_default and other.relation != work.partition:
            reason = f"{other.relation} covers [{show(other.lower)}, {show(other.upper)}) now"
            raise _refused(work, reason, "Move its rows there by hand, or detach that one first; nothing was changed.")


def _prepare(work: _Work, waiting: _Waiting) -> None:
    """Bring the detached table to what its parent is by now, and prove its bounds, before the parent is locked at all."""
    with unit(work.started) as conn, _explained(work):
        parent = _read_parent(conn, work)
        _require_free(conn, work, waiting.lower, waiting.upper)
        found = {column.name: column.type for column in list_columns(conn, waiting.oid)}
        lacking = lacking_columns(work.partition, work.table, list_parent_columns(conn, parent), found)
        for column in lacking:
            definition = trusted(column.definition)
            run(conn, "partitions/add_column", partition=work.partition, column=column.name, definition=definition)
        if lacking:
            run(conn, "partitions/record_widened", oid=waiting.oid)
        complete_checks(conn, parent, work.partition)
        for statement in finish_statements(
            fetch(conn, "partitions/lacking_indexes", parent=parent.oid, oid=waiting.oid), work.partition
        ):
            conn.execute(statement)
        if parent.likeness.is_closed:
            run(conn, "partitions/enable_row_security", partition=work.partition)
        bounds = {"lower": as_key(waiting.lower, parent.key_type), "upper": as_key(waiting.upper, parent.key_type)}
        run(conn, "partitions/add_bounds_check", partition=work.partition, key=parent.key, **bounds)


def _attach(work: _Work, waiting: _Waiting) -> None:
    """Attach without a scan, verified from the catalog, recorded and put on hold in the same transaction."""

    def attempt(conn: Connection) -> None:
        enter_unit(conn, work.started)
        parent = _read_parent(conn, work)
        _require_no_migration(conn, work)
        attach_partition(conn, parent, work.partition, waiting.lower, waiting.upper)
        for check in fetch(conn, "partitions/leftover_checks", schema=work.partition.schema, name=work.partition.name):
            run(conn, "partitions/drop_check", partition=work.partition, constraint=check["name"])
        _record(conn, work, waiting)

    with _explained(work):
        with_lock_retries(work.table, f"attach {work.partition.name} to", attempt, kind=Kind.DDL)


def _record(conn: Connection, work: _Work, waiting: _Waiting) -> None:
    bounds = {"lower": waiting.lower, "upper": waiting.upper, "until": work.held_until}
    words = {"reason": f"restored by run {work.started.id}", "owner": work.declared.owner}
    run(
        conn, "partitions/record_restored", oid=waiting.oid, run_id=work.started.id, relation=str(work.table), **bounds, **words
    )


@contextmanager
def _explained(work: _Work) -> Iterator[None]:
    """Name the object where the server or a file refuses."""
    try:
        yield
    except _REFUSED as error:
        raise _refused(work, error.diag.message_primary or str(error)) from error
    except (ValueError, OSError) as error:
        raise _refused(work, f"its archive cannot be read: {error}") from error
