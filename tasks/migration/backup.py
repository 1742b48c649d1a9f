"""The backup before a migration: a verified archive of each legacy table, and restoring it on trial (M9).

Belongs here: one snapshot for figures and file, the record, what a rehearsal finds. The table is live and stays so: what is
written after the snapshot stands in the legacy table alone. Keep out: the file (`partitions.archive_file`) and its proof.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg

from tasks.core.connect import Connection, Kind, open_connection, transaction
from tasks.core.ledger import Run, unit
from tasks.core.sqlfiles import compose, fetch, fetch_one, run
from tasks.migration.registry import Registered, Source
from tasks.partitions.archive import require_detached
from tasks.partitions.archive_file import (
    Job,
    compose_manifest,
    publish,
    readable_errors,
    require_space,
    stream_settings,
    stream_uri,
    write_files,
)
from tasks.partitions.archive_proof import ArchiveMismatch, is_proven, parquet_module, verify_files
from tasks.partitions.figures import from_json, list_columns, read_figures
from tasks.partitions.uploads import FileFault, archive_directory, require_files

#: What `migrations.<name>.backup` says for our own archive; any other text names a backup taken by other means.
ARCHIVE = "archive"

OnProgress = Callable[[str, int, int | None], None]


@dataclass(frozen=True)
class Backup:
    """A legacy table's verified archive: what it held at `snapshot_at`."""

    relation: str
    rows: int
    content_hash: str
    path: str
    snapshot_at: datetime


@dataclass(frozen=True)
class _Standing:
    """What the ledger knows of a table's archives: the one that counts, and how many there were."""

    record: dict[str, Any] | None
    earlier: int

    @property
    def fault(self) -> str | None:
        """Say what is wrong with the archive that counts; None where its file is the one that was verified."""
        if self.record is None:
            return "was not made"
        try:
            require_files(self.record["path"], self.record["manifest"])
        except FileFault as error:
            return f"{error.path} {error.reason}"
        return None


@dataclass(frozen=True)
class _Written:
    """A file that is still to be proven, and the snapshot that it was read in."""

    job: Job
    written: Any
    snapshot_at: datetime
    as_of: datetime


def back_up(started: Run, migration: Registered, as_of: datetime, on_progress: OnProgress | None = None) -> list[Backup]:
    """Archive and verify each legacy table that has no archive of this migration; returns those made now.

    A file that is gone or changed is made anew beside it. Killed between two tables, the next run makes the rest.
    Locks: ACCESS SHARE on each table while it is read; one snapshot a table, for that time.
    Raises ArchiveMismatch, ArchiveSpace, ArchiveFailed, ArchiveUnavailable, RunLost (M9).
    """
    standing = {source: _read_standing(migration.name, source) for source in migration.sources}
    missing = [source for source in migration.sources if standing[source].fault]
    made: list[Backup] = []
    for source in missing:
        with readable_errors(str(source.relation), 0):
            made.append(_back_up(started, migration, source, standing[source].earlier, as_of))
        parquet_module().release()
        if on_progress:
            on_progress(f"back up {migration.name}", len(made), len(missing))
    return made


def _read_standing(migration: str, source: Source) -> _Standing:
    with transaction(Kind.READ) as conn:
        rows = fetch(conn, "migration/list_backups", migration=migration, relation_oid=source.relation_oid)
    return _Standing(rows[0] if rows and rows[0]["is_current"] else None, len(rows))


def _back_up(started: Run, migration: Registered, source: Source, earlier: int, as_of: datetime) -> Backup:
    """Read figures and file of one snapshot, then prove the file."""
    with _snapshot() as (conn, exported):
        job = _read_job(conn, migration.name, source, earlier)
        require_space(job)
        settings = [*stream_settings(), *_see(exported["snapshot"])]
        with parquet_module().session(stream_uri(), settings) as stream:
            written = write_files(job, as_of, stream)
    proven = is_proven([job.temporary], job.fields, job.figures)
    with unit(started, group=migration.subject) as conn:
        return _record(conn, started, migration, _Written(job, written, exported["snapshot_at"], as_of), proven=proven)


@contextmanager
def _snapshot() -> Iterator[tuple[Connection, dict[str, Any]]]:
    """Hold a snapshot for the session that streams, and read the figures in it."""
    with open_connection(Kind.SNAPSHOT, purpose="backup") as conn:
        conn.isolation_level, conn.read_only = psycopg.IsolationLevel.REPEATABLE_READ, True
        with conn.transaction():
            yield conn, fetch_one(conn, "migration/compare_export_snapshot")


def _see(snapshot: str) -> list[str]:
    """Return what the streaming session executes to read that snapshot."""
    seen = compose("migration/compare_import_snapshot", {"snapshot": snapshot})
    return [compose("migration/backup_begin", {}).as_string(), seen.as_string()]


def _read_job(conn: Connection, migration: str, source: Source, earlier: int) -> Job:
    relation, oid = source.relation, source.relation_oid
    size = require_detached(conn, relation, oid)["size_bytes"]
    columns = list_columns(conn, oid)
    figures = read_figures(conn, relation, columns)
    path = _path_of(migration, source, earlier)
    return Job(relation, relation, oid, source.key_column, None, None, size, path, source.id, columns, figures, {})


def _path_of(migration: str, source: Source, earlier: int) -> Path:
    """Beside the archives of retention: `<root>/backup of <migration>/<schema>.<table>/part-<number>.parquet`."""
    names = [quote(name, safe=" ") for name in (f"backup of {migration}", str(source.relation))]
    return archive_directory().absolute().joinpath(*names, f"part-{earlier}.parquet")


def _record(conn: Connection, started: Run, migration: Registered, done: _Written, *, proven: bool) -> Backup:
    """Load the file and compare where that is left to do, and only then name it and record it, in one transaction."""
    job, figures = done.job, done.job.figures
    if not proven:
        verify_files(conn, job.relation, [job.temporary], job.fields, figures)
    manifest = compose_manifest(conn, job, done.written, done.as_of)
    publish(job, done.written, manifest)
    made = Backup(str(job.relation), figures.rows, figures.content_hash, str(job.path), done.snapshot_at)
    facts = {"migration": migration.name, "relation_oid": job.oid, "run_id": started.id, "manifest": manifest}
    run(conn, "migration/insert_backup", **vars(made), **facts)
    return made


def try_backups(started: Run, migration: Registered) -> tuple[str, ...]:
    """Restore each archive into a scratch table, compare rows and hash with the record, drop it again; say what was found.

    Locks: ACCESS SHARE on the legacy tables, for the types of their columns (M9).
    """
    return tuple(_try(started, migration, source) for source in migration.sources)


def _try(started: Run, migration: Registered, source: Source) -> str:
    standing = _read_standing(migration.name, source)
    record, fault = standing.record, standing.fault
    if record is None or fault:
        return f"The backup of {source.relation} {fault}."
    figures = from_json(record["manifest"])
    try:
        with readable_errors(str(source.relation), 0), unit(started, group=migration.subject) as conn:
            columns = list_columns(conn, source.relation_oid, record["manifest"])
            fields = parquet_module().fields_of(columns, {column.name: column.beyond for column in figures.columns})
            verify_files(conn, source.relation, [Path(record["path"])], fields, figures)
    except ArchiveMismatch as error:
        return f"The backup of {source.relation} does not give back what was recorded: {error.difference} ({error.path})."
    taken = f"{record['snapshot_at']:%Y-%m-%d %H:%M} UTC"
    return f"The backup of {source.relation} was restored and compared: {figures.rows:,} rows of {taken}, the same hash."
