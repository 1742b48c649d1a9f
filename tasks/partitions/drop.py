"""Drop a detached partition for good: only what its archive still holds, exactly, and what nobody holds back (D4).

Belongs here: the last look and the drop, in one transaction with its record.
Keep out: when it is due (`retention_plan`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from tasks.core.connect import Connection, Kind, transaction, with_lock_retries
from tasks.core.errors import Permanent
from tasks.core.ledger import Run, enter_unit
from tasks.core.names import Relation
from tasks.core.sqlfiles import fetch, fetch_one, run
from tasks.partitions.archive import require_detached
from tasks.partitions.archive_file import ArchiveFailed
from tasks.partitions.archive_proof import require_archive
from tasks.partitions.figures import Figures, differences, from_json, list_columns, read_figures
from tasks.partitions.retention_facts import list_holds
from tasks.partitions.retention_plan import Drop, hold_on

_Record = Mapping[str, Any]


@dataclass(eq=False)
class DropRefused(Permanent):
    """{partition} is not dropped: {reason}. It stays as it is, detached."""

    partition: str
    reason: str


@dataclass(eq=False)
class PutOnHold(Permanent):
    """{partition} is not dropped: it was put on hold while this run went on: {reason}. It stays as it is, detached."""

    partition: str
    reason: str


@dataclass(frozen=True)
class Dropping:
    """What each drop of one run shares; `gate` raises where the removal is not allowed any more."""

    started: Run
    table: Relation
    as_of: datetime
    gate: Callable[[Connection], None]


def drop_partition(work: Dropping, step: Drop, retirement_id: int) -> None:
    """Drop the table of one retirement, if it is the one that was archived and its content is what the archive holds.

    Locks: SHARE on maintenance.hold, ACCESS EXCLUSIVE on the detached table alone. Raises DropRefused, PutOnHold,
    ArchiveLost, LockBusy, RunLost, and what the gate raises; each leaves the table.
    """
    relation = Relation.parse(step.partition.name)
    with transaction(Kind.READ) as conn:
        proven = _proven(relation, _claim(conn, relation, retirement_id))

    def attempt(conn: Connection) -> None:
        enter_unit(conn, work.started)
        record = _claim(conn, relation, retirement_id)
        _require_allowed(conn, work, step, retirement_id)
        run(conn, "partitions/lock_partition", partition=relation)
        _require_same(conn, relation, record, proven)
        run(conn, "partitions/drop_partition", partition=relation)
        run(conn, "partitions/record_dropped", id=retirement_id, run_id=work.started.id, as_of=work.as_of)

    try:
        with_lock_retries(relation, "drop", attempt, kind=Kind.BULK)
    except psycopg.errors.DependentObjectsStillExist as error:
        detail = (error.diag.message_detail or str(error)).replace("\n", "; ")
        raise DropRefused(str(relation), f"something depends on it: {detail}") from error


def _claim(conn: Connection, relation: Relation, retirement_id: int) -> _Record:
    rows = fetch(conn, "partitions/claim_retirement", id=retirement_id)
    if not rows or rows[0]["state"] not in ("detached", "archiving", "archived"):
        raise DropRefused(str(relation), "another session works on it")
    return rows[0]


def _proven(relation: Relation, record: _Record) -> Figures | None:
    """Return what its archive holds, once its file is the verified one; None where no archive was declared."""
    if record["manifest"] is None:
        return None
    return require_archive(str(relation), record["archive"], record["manifest"])


def _require_allowed(conn: Connection, work: Dropping, step: Drop, retirement_id: int) -> None:
    """Look at the holds once more, with the door closed to new ones, and at the gate."""
    if fetch_one(conn, "partitions/changes_waiting", id=retirement_id)["is_waiting"]:
        raise DropRefused(step.partition.name, "changes in it are still to be carried back to the old tables; run backfill")
    run(conn, "partitions/lock_holds")
    held = hold_on((step.partition.lower, step.partition.upper), list_holds(conn, work.table), work.as_of)
    if held is not None:
        raise PutOnHold(step.partition.name, held.reason)
    work.gate(conn)


def _require_same(conn: Connection, relation: Relation, record: _Record, proven: Figures | None) -> None:
    """Compare the locked table with its archive, where there is one."""
    try:
        require_detached(conn, relation, record["partition_oid"])
    except ArchiveFailed as error:
        raise DropRefused(str(relation), error.reason) from error
    if proven is not None:
        require_unchanged(conn, relation, record["partition_oid"], record["manifest"])


def require_unchanged(conn: Connection, relation: Relation, oid: int, manifest: Mapping[str, Any]) -> None:
    """Raise DropRefused where a table, locked by the caller, does not hold what its manifest says."""
    different = _changes(conn, relation, oid, manifest)
    if different:
        raise DropRefused(str(relation), f"it was changed after its archive was verified: {', '.join(different)}")


def is_unchanged(conn: Connection, relation: Relation, oid: int, manifest: Mapping[str, Any]) -> bool:
    """Say whether a table still holds what its archive's manifest says."""
    return not _changes(conn, relation, oid, manifest)


def _changes(conn: Connection, relation: Relation, oid: int, manifest: Mapping[str, Any]) -> list[str]:
    """Compare by count, hash and figures; across major versions without the hash."""
    found = read_figures(conn, relation, list_columns(conn, oid, manifest))
    is_same_major = manifest["server_version_num"] // 10_000 == conn.info.server_version // 10_000
    return differences(from_json(manifest), found, is_same_major=is_same_major)
