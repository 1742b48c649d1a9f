"""Take out of the target what a migration brought there, each row archived and verified first: the way complete (M6).

Belongs here: which rows and partitions are the migration's, taking them out, what of them is left. A partition that the
backfill built and that holds nothing else is detached; out of any other the rows that a source owns are moved into a table of
their own. Either is recorded in maintenance.retirement in its transaction, archived, and dropped as long as it is what its
archive holds: a run after a killed one goes on from there. Rows that no legacy table holds stay where they are.
Keep out: writing and proving files (`partitions.archive`), the names of the legacy tables (`rollback`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import psycopg

from tasks.core.connect import Connection, Kind, transaction, with_lock_retries
from tasks.core.errors import UnsuitableRelation
from tasks.core.ledger import Run, enter_unit, unit
from tasks.core.names import LONGEST_NAME_BYTES, Relation
from tasks.core.sqlfiles import fetch, fetch_one, run
from tasks.migration.approval import close
from tasks.migration.capture import CAPTURE_BUDGET_S, remove_capture
from tasks.migration.copy import drop_loaded
from tasks.migration.cutover import LOCK_MS
from tasks.migration.registry import Registered, Source
from tasks.migration.reverse import compose_owners
from tasks.partitions.archive import Archived, ArchiveUnit, Failed, archive_bundle
from tasks.partitions.archive_proof import require_archive
from tasks.partitions.catalog import read_parent
from tasks.partitions.drop import DropRefused, is_unchanged, require_unchanged
from tasks.partitions.retention_facts import list_holds
from tasks.partitions.retention_plan import Hold, hold_on

#: Partitions taken out, archived and dropped together: so many rows at most stand twice on the server's disk.
TOGETHER = 8
#: Rows that the report names; the true number is always said.
MOST_NAMED = 20
BUDGET_S = 120.0

OnProgress = Callable[[str, int, int | None], None]


@dataclass(frozen=True)
class Refused:
    """A row of the target that stays there, or that only an archive keeps."""

    target_key: str
    event_time: str
    reason: str


@dataclass(frozen=True)
class Removal:
    """What a way back takes out of the target, or would: `rows` of `partitions`, `size_bytes` of whose tables are read.

    `staying_rows` belong to no source or to no legacy table and stay. `only_here` of the rows are in no legacy table any
    more: their archive keeps them. `kept` names partitions that may not be touched, and why; `left` are due for a later run.
    """

    partitions: int = 0
    rows: int = 0
    size_bytes: int = 0
    triggers: tuple[str, ...] = ()
    functions: int = 0
    staying_rows: int = 0
    staying: tuple[Refused, ...] = ()
    only_here: int = 0
    only_here_rows: tuple[Refused, ...] = ()
    kept: tuple[str, ...] = ()
    left: int = 0
    archives: tuple[str, ...] = ()


@dataclass(frozen=True)
class Removing:
    """One run's fixed facts; the run's subject is the target, by which archives lock."""

    started: Run
    migration: Registered
    as_of: datetime
    at_most: int | None = None
    on_progress: OnProgress | None = None

    @property
    def target(self) -> Relation:
        """The table that is cleared of the migration."""
        return self.migration.target.relation

    @property
    def parent(self) -> str:
        """Whose partitions its archives are called: not the target's own, which retention counts with; cut where too long."""
        name = f"{self.target.name} of {self.migration.name}".encode()[:LONGEST_NAME_BYTES].decode(errors="ignore")
        return str(Relation(self.target.schema, name))

    @property
    def parts(self) -> dict[str, Any]:
        """What the statements about rows take."""
        target = self.migration.target
        names = {"id": target.id_column, "time": target.time_column, "time_type": target.time_type}
        return {**names, "owners": compose_owners(self.migration.sources), "migration": self.migration.name}


@dataclass(frozen=True)
class _Piece:
    """A partition of the target as the catalog has it, and whose its rows are."""

    relation: Relation
    oid: int
    bounds: tuple[datetime | None, datetime | None]
    size_bytes: int
    is_built: bool
    obstacle: str | None
    owned: int = 0
    adopted: int = 0
    staying: int = 0

    @property
    def is_due(self) -> bool:
        """Whether anything of it is the migration's: rows, or the partition where nobody else's rows need it."""
        return self.owned > 0 or (self.is_built and not self.staying)


def plan_removal(job: Removing) -> Removal | None:
    """Say what would be taken out; None where nothing of the migration is left. Reads only; scans the target.

    Raises UnsuitableRelation where the functions are gone that say whose a row is.
    """
    with transaction(Kind.READ) as conn:
        rests = fetch_one(conn, "migration/remove_rests", migration=job.migration.name)
        taken = _list_taken(conn, job)
    is_fresh = job.migration.phase == "rolled_back"
    if is_fresh and not taken and not rests["units"] and not rests["functions"]:
        return None
    if rests["owners_missing"]:
        remedy = "Run migrate, which makes them anew, then this; nothing was changed."
        raise UnsuitableRelation(
            str(job.target), f"functions of {job.migration.name} that say whose its rows are are gone", remedy
        )
    pieces = _look(job) if rests["units"] else []
    due, left = _due(job, pieces)
    captured = job.migration.phase in ("declared", "capturing")
    return Removal(
        partitions=len(due) + len(taken),
        rows=sum(piece.owned for piece in due),
        size_bytes=sum(piece.size_bytes for piece in due) + sum(row["size_bytes"] for row in taken),
        triggers=tuple(str(source.relation) for source in job.migration.sources) if captured else (),
        functions=len(rests["functions"]),
        left=left,
        **_staying(job, pieces),
        **(_only_here(job) if pieces and job.migration.phase != "cut_over" else {}),
    )


def remove(job: Removing) -> Removal:
    """Archive, verify and take out what the migration brought; the legacy tables have their names again.

    Locks: ACCESS EXCLUSIVE on a legacy table for a moment, to drop its capture triggers; SHARE on a partition while its
    rows are counted, then ACCESS EXCLUSIVE on the target for a moment to detach it, each attempt at most 300 ms. Raises
    ArchiveMismatch, ArchiveSpace, ArchiveFailed, ArchiveLost, DropRefused, LockBusy, RunLost (M6).
    """
    _stop_capture(job)
    removed = _drop_taken(job)
    with transaction(Kind.READ) as conn:
        has_units = fetch_one(conn, "migration/remove_rests", migration=job.migration.name)["units"] > 0
    pieces = _look(job) if has_units else []
    due, left = _due(job, pieces)
    facts: dict[str, Any] = {**_staying(job, pieces), **(_only_here(job) if pieces else {})}
    skipped = _take_all(job, due, removed)
    left += len(skipped)
    functions = 0 if left or facts["kept"] else _forget(job)
    gone = [piece for piece in due if piece not in skipped]
    numbers = {"rows": sum(one.rows for one in removed), "size_bytes": sum(piece.size_bytes for piece in gone), "left": left}
    numbers["partitions"] = len(removed) + sum(not piece.owned for piece in gone)
    job.started.detail.update(**numbers, kept=list(facts["kept"]))
    return Removal(functions=functions, archives=tuple(one.path for one in removed), **numbers, **facts)


def _take_all(job: Removing, due: Sequence[_Piece], removed: list[Archived]) -> list[_Piece]:
    """Take out, archive and drop the partitions, a few at a time, noting archives; returns those that had to be left."""
    skipped: list[_Piece] = []
    for start in range(0, len(due), TOGETHER):
        some = due[start : start + TOGETHER]
        skipped += [piece for piece in some if not _take(job, piece)]
        removed += _drop_taken(job)
        if job.on_progress:
            job.on_progress(f"remove {job.migration.name}", start + len(some), len(due))
    return skipped


def _look(job: Removing) -> list[_Piece]:
    """Read the partitions, each counted in a transaction of its own."""
    with transaction(Kind.READ) as conn:
        found = _list(conn, job)
    pieces: list[_Piece] = []
    for piece in found:
        with transaction(Kind.BULK) as conn:
            pieces.append(_counted(conn, job, piece))
    return pieces


def _list(conn: Connection, job: Removing) -> list[_Piece]:
    facts = {"migration": job.migration.name, "target": str(job.target)}
    rows = fetch(conn, "migration/remove_partitions", **facts, target_oid=read_parent(conn, job.target, to_build=False).oid)
    holds = list_holds(conn, job.target)
    return [_piece(job, row, holds) for row in rows]


def _piece(job: Removing, row: Mapping[str, Any], holds: Sequence[Hold]) -> _Piece:
    relation, bounds = Relation(row["schema"], row["name"]), (row["lower"], row["upper"])
    pending = "its detach has not ended; run enforce_retention" if row["is_pending_detach"] else None
    return _Piece(relation, row["oid"], bounds, row["size_bytes"], row["is_built"], pending or _held(job, bounds, holds))


def _held(job: Removing, bounds: tuple[datetime | None, datetime | None], holds: Sequence[Hold]) -> str | None:
    hold = hold_on(bounds, holds, job.as_of)
    return f"on hold: {hold.reason}" if hold else None


def _counted(conn: Connection, job: Removing, piece: _Piece) -> _Piece:
    return replace(piece, **fetch_one(conn, "migration/remove_count", partition=piece.relation, **job.parts))


def _due(job: Removing, pieces: Sequence[_Piece]) -> tuple[list[_Piece], int]:
    """Return the oldest pieces that are to be taken out, and how many are left for later runs."""
    due = [piece for piece in pieces if piece.is_due and piece.obstacle is None]
    chosen = due[: job.at_most] if job.at_most else due
    return chosen, len(due) - len(chosen)


def _staying(job: Removing, pieces: Sequence[_Piece]) -> dict[str, Any]:
    """Name what stays: rows, and partitions that may not be touched."""
    named: list[Refused] = []
    with transaction(Kind.BULK) as conn:
        for piece in pieces:
            if piece.staying and len(named) < MOST_NAMED:
                limit = MOST_NAMED - len(named)
                rows = fetch(conn, "migration/remove_staying", partition=piece.relation, **job.parts, limit=limit)
                named += [Refused(**row) for row in rows]
    kept = tuple(f"{piece.relation}: {piece.obstacle}" for piece in pieces if piece.is_due and piece.obstacle)
    return {"staying_rows": sum(piece.staying for piece in pieces), "staying": tuple(named), "kept": kept}


def _only_here(job: Removing) -> dict[str, Any]:
    """Name the sources' rows that their legacy tables do not have."""
    total, named = 0, list[Refused]()
    names = {name: value for name, value in job.parts.items() if name != "owners"}
    with transaction(Kind.BULK) as conn:
        for source in job.migration.sources:
            functions = {"owns": source.owns, "backward": source.backward}
            legacy = {"legacy": source.relation, "key": source.key_column, "target": job.target}
            rows = fetch(conn, "migration/remove_only_here", **names, **legacy, **functions, limit=MOST_NAMED)
            total += rows[0]["total"] if rows else 0
            reason = f"not in {source.relation}"
            named += [Refused(row["target_key"], row["event_time"], reason) for row in rows]
    return {"only_here": total, "only_here_rows": tuple(named[:MOST_NAMED])}


def _stop_capture(job: Removing) -> None:
    """Before a cutover: drop the capture triggers, each table by itself, then record that the migration is rolled back.

    Killed in between, the next run goes on; a backfill would put the triggers right and count a new generation.
    """
    if job.migration.phase not in ("declared", "capturing"):
        return
    for source in job.migration.sources:
        _release(job, source)
    with unit(job.started, kind=Kind.DDL) as conn:
        run(conn, "migration/close_capture", migration=job.migration.name)
        run(conn, "migration/rollback_record", migration=job.migration.name)
        close(conn, job.migration.name, "it was rolled back")


def _release(job: Removing, source: Source) -> None:
    def attempt(conn: Connection) -> None:
        enter_unit(conn, job.started)
        remove_capture(conn, source)

    with_lock_retries(source.relation, "drop the capture triggers of", attempt, budget_s=CAPTURE_BUDGET_S)


def _take(job: Removing, piece: _Piece) -> bool:
    """Take a partition, or the migration's rows of it, out of the target, in one transaction with its record.

    False where it may not be touched any more.
    """

    def attempt(conn: Connection) -> bool:
        enter_unit(conn, job.started)
        run(conn, "partitions/lock_holds")
        found = _look_locked(conn, job, piece)
        for now in found:
            if now.is_built and not (now.staying or now.adopted):
                _detach(conn, job, now)
            elif now.owned:
                _move(conn, job, now)
        return bool(found)

    action = f"take {job.migration.name} out of"
    return with_lock_retries(piece.relation, action, attempt, kind=Kind.BULK, budget_s=BUDGET_S)


def _look_locked(conn: Connection, job: Removing, piece: _Piece) -> list[_Piece]:
    """Count again where nobody can write any more; empty where the partition has gone or been put on hold."""
    if piece.is_built:
        run(conn, "migration/remove_lock", partition=piece.relation)
    found = [now for now in _list(conn, job) if now.oid == piece.oid and now.obstacle is None]
    return [_counted(conn, job, now) for now in found]


def _detach(conn: Connection, job: Removing, piece: _Piece) -> None:
    """Detach a partition that is the migration's alone; one without rows needs no archive and goes at once."""
    run(conn, "core/timeouts", **Kind.BULK.value._replace(lock_ms=LOCK_MS)._asdict(), is_local=True)
    run(conn, "partitions/detach_plainly", parent=job.target, partition=piece.relation)
    if piece.owned:
        _record(conn, job, piece, piece.relation, piece.oid)
    else:
        run(conn, "partitions/drop_partition", partition=piece.relation)


def _move(conn: Connection, job: Removing, piece: _Piece) -> None:
    aside = Relation("maintenance", f"removed_{piece.oid}")
    run(conn, "migration/remove_aside", aside=aside, partition=piece.relation)
    run(conn, "migration/remove_move", aside=aside, partition=piece.relation, **job.parts)
    _record(conn, job, piece, aside, fetch_one(conn, "partitions/oid_of", schema=aside.schema, name=aside.name)["oid"])


def _record(conn: Connection, job: Removing, piece: _Piece, table: Relation, oid: int) -> None:
    lower, upper = piece.bounds
    names = {"parent": job.parent, "partition": str(table), "partition_oid": oid, "lower": lower, "upper": upper}
    reason = f"{job.migration.name} was rolled back completely"
    run(conn, "partitions/record_due", **names, state="detached", reason=reason, run_id=job.started.id, as_of=job.as_of)


def _list_taken(conn: Connection, job: Removing) -> list[dict[str, Any]]:
    return fetch(conn, "migration/remove_taken", parent=job.parent)


def _drop_taken(job: Removing) -> list[Archived]:
    """Archive what stands taken out, by this run or a killed one, and drop it; returns the archives."""
    taken = _settle_taken(job)
    if not taken:
        return []
    key = job.migration.target.time_column
    units = [ArchiveUnit(row["id"], row["partition"], key, row["size_bytes"]) for row in taken]
    archived: list[Archived] = []
    for found in archive_bundle(job.started, units, job.as_of):
        if isinstance(found, Failed):
            raise found.error
        archived.append(found)
    with transaction(Kind.READ) as conn:
        proven = _list_taken(conn, job)
    for row in proven:
        _drop(job, row)
    return archived


def _settle_taken(job: Removing) -> list[dict[str, Any]]:
    """Believe the catalog, and have a table archived anew that is no longer what its archive holds."""
    with unit(job.started) as conn:
        oid = read_parent(conn, job.target, to_build=False).oid
        run(conn, "partitions/believe_catalog", parent=job.parent, parent_oid=oid, as_of=job.as_of)
        taken = _list_taken(conn, job)
        for row in taken:
            table = Relation.parse(row["partition"])
            if row["state"] == "archived" and not is_unchanged(conn, table, row["oid"], row["manifest"]):
                run(conn, "migration/retire_again", id=row["id"])
    return taken


def _drop(job: Removing, row: Mapping[str, Any]) -> None:
    """Drop a table whose file is the verified one and which is still what the file holds."""
    table = Relation.parse(row["partition"])
    require_archive(str(table), row["archive"], row["manifest"])
    try:
        with_lock_retries(table, "drop", lambda conn: _drop_once(conn, job, row), kind=Kind.BULK, budget_s=BUDGET_S)
    except psycopg.errors.DependentObjectsStillExist as error:
        detail = (error.diag.message_detail or str(error)).replace("\n", "; ")
        raise DropRefused(str(table), f"something depends on it: {detail}") from error


def _drop_once(conn: Connection, job: Removing, row: Mapping[str, Any]) -> None:
    table = Relation.parse(row["partition"])
    enter_unit(conn, job.started)
    run(conn, "core/timeouts", **Kind.BULK.value._replace(lock_ms=LOCK_MS)._asdict(), is_local=True)
    run(conn, "partitions/lock_holds")
    if held := _held(job, (row["lower"], row["upper"]), list_holds(conn, job.target)):
        raise DropRefused(str(table), f"it is {held}")
    run(conn, "partitions/lock_partition", partition=table)
    require_unchanged(conn, table, row["oid"], row["manifest"])
    run(conn, "partitions/drop_partition", partition=table)
    run(conn, "partitions/record_dropped", id=row["id"], run_id=job.started.id, as_of=job.as_of)


def _forget(job: Removing) -> int:
    """Drop the mapping's functions and tables that were loaded and never attached, copies of legacy rows; forget the units.

    The rows of maintenance.migration and source stay: quarantine, carry_back, backups and archives speak of them. Returns
    how many functions were dropped.
    """
    name = job.migration.name
    with unit(job.started, kind=Kind.DDL) as conn:
        rests = fetch_one(conn, "migration/remove_rests", migration=name)
        for partition in rests["loaded"]:
            drop_loaded(conn, job.migration, partition)
        run(conn, "migration/remove_units", migration=name)
        run(conn, "migration/drop_functions", names=rests["functions"])
        close(conn, name, "it was rolled back completely")
    return len(rests["functions"])
