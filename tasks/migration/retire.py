"""The end of a migration: the old tables are archived, verified and dropped; the views under their names stay (M5).

Belongs here: when that may be done, its one transaction, the row types that the views go on with.
Keep out: writing and proving files (`partitions.archive`), the views' functions (`views`). An archive that a killed run left
behind is compared again and made anew where the table has changed; the drop is one transaction with its record.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

import psycopg

from tasks.core.connect import Connection, Kind, database_now, transaction, with_lock_retries
from tasks.core.declaration import Declaration, Migration
from tasks.core.errors import Permanent, UnsuitableRelation
from tasks.core.ledger import Deferred, Run, enter_unit, run_exclusively, unit
from tasks.core.names import Relation
from tasks.core.parameters import Safety
from tasks.core.settings import settings
from tasks.core.shown import counted
from tasks.core.sqlfiles import fetch, fetch_one, run
from tasks.migration.cutover import LOCK_MS, read_migration
from tasks.migration.registry import Registered, Source
from tasks.migration.reverse import carry_nearly_all, remove_reverse_capture
from tasks.migration.rollback import restore_quarantined
from tasks.migration.sources import read_mapping, retype_forward
from tasks.migration.views import counter_of, read_legacy, retype_functions
from tasks.partitions.archive import ArchiveUnit, Failed, archive_bundle, require_detached
from tasks.partitions.archive_proof import require_archive
from tasks.partitions.drop import is_unchanged, require_unchanged
from tasks.partitions.figures import Figures
from tasks.partitions.retention_anomalies import require_not_future

FLOW = "retire_legacy"
BUDGET_S = 120.0


@dataclass(eq=False)
class StillWritten(Permanent):
    """{migration} is not retired: {reasons}. Its views stay whatever happens, so such writes may go on: say so with
    old_names_stay: true in maintenance.yaml, or move the writers to the new table. Nothing was changed."""

    migration: str
    reasons: str


@dataclass(eq=False)
class RetireRefused(Permanent):
    """{migration} is not retired: {reason}. Nothing was dropped."""

    migration: str
    reason: str


@dataclass(frozen=True)
class LegacyTable:
    """An old table: writes counted through its name, the instant since which none were seen, and where its archive is."""

    relation: str
    aside: str
    writes: int
    quiet_since: datetime
    rows: int | None = None
    archive: str | None = None


@dataclass(frozen=True)
class RetireResult:
    """What retiring did or would do; `message` says why it waits."""

    migration: str
    outcome: Literal["planned", "waiting", "retired", "already retired"]
    message: str
    tables: tuple[LegacyTable, ...] = ()


@dataclass(frozen=True)
class _Job:
    started: Run
    migration: Registered
    policy: Migration
    as_of: datetime

    @property
    def name(self) -> str:
        return self.migration.name


@dataclass(frozen=True)
class _Proven:
    """A table whose archive is verified: what the file holds, by the retirement that says so."""

    source: Source
    retirement: dict[str, Any]
    figures: Figures

    @property
    def aside(self) -> Relation:
        return self.source.relation.sibling(self.source.aside)


def retire_legacy(
    name: str, declaration: Declaration, *, safety: Safety | None = None, as_of: datetime, flow_run_id: str | None = None
) -> RetireResult | Deferred:
    """Archive, verify and drop the old tables of migration `name`; without `safety.apply` say what that would do.

    Waits until `retire_after` has passed since the cutover. What the old tables lack of the present state is carried to
    them first, so the archives hold all of it. Locks: ACCESS EXCLUSIVE on the tables aside, which nobody uses, while they
    are compared; on the target for a moment, each attempt at most 300 ms. Raises StillWritten, RetireRefused, MissingRelation,
    FutureRefused, ArchiveMismatch, ArchiveSpace, ArchiveFailed, ArchiveLost, DropRefused, LockBusy, RunLost (M5).
    """
    policy = declaration.migration(name)

    def work(started: Run) -> RetireResult:
        migration = read_migration(name)
        if migration.phase == "retired":
            return RetireResult(name, "already retired", f"{name} is retired already.")
        if migration.phase != "cut_over":
            return RetireResult(name, "waiting", f"{name} is not cut over: its phase is {migration.phase}.")
        # Archives lock by the run's subject, which here is the migration; its locks are those of the target.
        by_target = replace(started, subject=migration.subject)
        return _work(_Job(by_target, migration, policy, as_of), is_applied=safety is not None and safety.apply)

    overdue_after = declaration.flow(FLOW).overdue_after
    return run_exclusively(FLOW, name, work, overdue_after=overdue_after, group=policy.target, flow_run_id=flow_run_id)


def _work(job: _Job, *, is_applied: bool) -> RetireResult:
    """Look, wait for the window, refuse, and only then begin."""
    cut_over_at, tables = _look(job)
    due = cut_over_at + job.policy.retire_after
    if due > job.as_of:
        days = job.policy.retire_after / timedelta(days=1)
        message = f"{job.name} may be retired from {due:%Y-%m-%d %H:%M} UTC on, {days:g} days after its cutover."
        return RetireResult(job.name, "waiting", message, tables)
    written = _still_written(job, tables)
    if not is_applied:
        message = f"{job.name}: {counted(len(tables), 'table')} would be archived, verified and dropped; views stay under their names."
        return RetireResult(job.name, "planned", f"{message} It would be refused: {written}." if written else message, tables)
    if written:
        raise StillWritten(job.name, written)
    require_not_future(job.name, job.as_of, database_now(), is_allowed=settings().maintenance_allow_future)
    return _retire(job, cut_over_at, tables)


def _look(job: _Job) -> tuple[datetime, tuple[LegacyTable, ...]]:
    """Read the cutover, and note what each old name has counted: the next run compares, so nothing is noted of the future."""
    as_of = job.as_of if settings().maintenance_allow_future else min(job.as_of, database_now())
    with unit(job.started) as conn:
        cut_over_at = fetch_one(conn, "migration/cutover_read", migration=job.name)["cut_over_at"]
        tables = tuple(_watch(conn, source, cut_over_at, as_of) for source in job.migration.sources)
    return cut_over_at, tables


def _watch(conn: Connection, source: Source, cut_over_at: datetime, as_of: datetime) -> LegacyTable:
    writes = fetch_one(conn, "migration/rollback_writes", counter=counter_of(source))["writes"]
    facts = {"source_id": source.id, "writes": writes, "cut_over_at": cut_over_at, "as_of": as_of}
    seen = fetch_one(conn, "migration/retire_watch", **facts)
    return LegacyTable(str(source.relation), source.aside, seen["writes"], seen["grew_at"])


def _still_written(job: _Job, tables: Sequence[LegacyTable]) -> str:
    """Name the old names whose count has grown within the quiet time; empty where there are none or the writes may go on."""
    loud = [table for table in tables if table.writes and table.quiet_since > job.as_of - job.policy.old_names_quiet]
    if job.policy.old_names_stay:
        return ""
    days = job.policy.old_names_quiet / timedelta(days=1)
    parts = (
        f"{counted(t.writes, 'write')} came through {t.relation}, the last seen at {t.quiet_since:%Y-%m-%d %H:%M} UTC"
        for t in loud
    )
    return "; ".join([*parts, f"none may come for {days:g} days"]) if loud else ""


def _retire(job: _Job, cut_over_at: datetime, tables: Sequence[LegacyTable]) -> RetireResult:
    carry_nearly_all(job.started, job.migration, job.policy)
    with unit(job.started, kind=Kind.BULK) as conn:
        run(conn, "migration/carry_mark")
        for source in job.migration.sources:
            restore_quarantined(conn, source, cut_over_at)
    proven = _archive(job)
    try:
        names = ", ".join(str(one.aside) for one in proven)
        with_lock_retries(names, "drop", lambda conn: _drop(conn, job, proven), kind=Kind.BULK, budget_s=BUDGET_S)
    except psycopg.errors.DependentObjectsStillExist as error:
        detail = (error.diag.message_detail or str(error)).replace("\n", "; ")
        raise RetireRefused(job.name, f"something depends on an old table: {detail}") from error
    archives = {str(one.source.relation): one for one in proven}
    done = tuple(
        replace(t, rows=archives[t.relation].figures.rows, archive=archives[t.relation].retirement["archive"]) for t in tables
    )
    rows = sum(table.rows or 0 for table in done)
    job.started.detail.update(rows=rows, tables=len(done))
    return RetireResult(
        job.name, "retired", f"{job.name} is retired: {counted(len(done), 'table')}, {counted(rows, 'row')} archived.", done
    )


def _archive(job: _Job) -> list[_Proven]:
    """Archive every table that has no verified archive of what it holds now; raises the first failure, nothing dropped."""
    units = [_record(job, source) for source in job.migration.sources]
    failed = [found for found in archive_bundle(job.started, units, job.as_of) if isinstance(found, Failed)]
    if failed:
        raise failed[0].error
    with transaction(Kind.READ) as conn:
        return [_proven(conn, source) for source in job.migration.sources]


def _record(job: _Job, source: Source) -> ArchiveUnit:
    """Record the intent; an old table is like a partition that was detached, without bounds."""
    aside, oid = source.relation.sibling(source.aside), source.relation_oid
    with unit(job.started, kind=Kind.BULK) as conn:
        size = require_detached(conn, aside, oid)["size_bytes"]
        names = {"parent": str(source.relation), "partition": str(aside), "partition_oid": oid}
        intent = {"lower": None, "upper": None, "state": "detached", "reason": f"legacy table of {job.name}"}
        run(conn, "partitions/record_due", **names, **intent, run_id=job.started.id, as_of=job.as_of)
        record = fetch_one(conn, "migration/retire_open", relation_oid=oid)
        if record["state"] == "archived" and not is_unchanged(conn, aside, oid, record["manifest"]):
            run(conn, "migration/retire_again", id=record["id"])
    return ArchiveUnit(record["id"], str(aside), source.key_column, size)


def _proven(conn: Connection, source: Source) -> _Proven:
    record = fetch_one(conn, "migration/retire_open", relation_oid=source.relation_oid)
    figures = require_archive(str(source.relation.sibling(source.aside)), record["archive"], record["manifest"])
    return _Proven(source, record, figures)


def _drop(conn: Connection, job: _Job, proven: Sequence[_Proven]) -> None:
    """The whole transaction: compare each locked table with its archive, let its view go on without it, drop it."""
    enter_unit(conn, job.started)
    run(conn, "core/timeouts", **Kind.BULK.value._replace(lock_ms=LOCK_MS)._asdict(), is_local=True)
    for one in proven:
        run(conn, "partitions/lock_partition", partition=one.aside)
        require_unchanged(conn, one.aside, one.source.relation_oid, one.retirement["manifest"])
    for one in proven:
        _let_go(conn, job, one.source)
        run(conn, "migration/retire_note_grants", source_id=one.source.id, relation_oid=one.source.relation_oid)
        run(conn, "partitions/drop_partition", partition=one.aside)
        run(conn, "partitions/record_dropped", id=one.retirement["id"], run_id=job.started.id, as_of=job.as_of)
    remove_reverse_capture(conn, job.migration)
    run(conn, "migration/retire_record", migration=job.name)


def _let_go(conn: Connection, job: _Job, source: Source) -> None:
    """Give the view's functions a row type of its own in place of the table's, and keep the sequence of its keys."""
    row = Relation("maintenance", f"old_name_{source.id}_row")
    legacy, policy = read_legacy(conn, source), job.policy.sources[str(source.relation)]
    sides = {"source": row, "target": job.migration.target.relation}
    run(conn, "migration/retire_row_type", type=row, columns=legacy.facts["typed"])
    mapping = read_mapping(conn, job.name, policy.mapping, **sides, code=source.code, zone=source.zone)
    if mapping.forward != source.forward:
        remedy = "Put the files of sql/legacy/ back as they were at the cutover; nothing was dropped."
        raise UnsuitableRelation(str(source.relation), f"its mapping {policy.mapping} has changed since the cutover", remedy)
    retype_forward(conn, mapping)
    retype_functions(conn, job.migration, source, legacy, row)
    if legacy.facts["is_identity"]:
        _keep_identity(conn, source, legacy.facts)


def _keep_identity(conn: Connection, source: Source, facts: Any) -> None:
    sequence = Relation(facts["sequence_schema"], facts["sequence_name"])
    rows = fetch(conn, "migration/retire_read_sequence", sequence=sequence, name=facts["sequence"])
    names = {"aside": source.relation.sibling(source.aside), "key": source.key_column, "sequence": sequence}
    run(conn, "migration/retire_free_identity", **names, **rows[0])


def describe_retirement(result: RetireResult) -> str:
    """Return the Markdown of the artifact: the message, and each table."""
    lines = [result.message, ""]
    for table in result.tables:
        archived = f"; {counted(table.rows, 'row')} in {table.archive}" if table.rows is not None else ""
        lines.append(
            f"- {table.relation}: {counted(table.writes, 'write')} through this name, no more of them noticed since"
            f" {table.quiet_since:%Y-%m-%d %H:%M} UTC{archived}"
        )
    return "\n".join(lines).strip()
