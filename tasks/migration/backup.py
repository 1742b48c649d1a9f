"""The backup before a migration: a verified archive of each legacy table, and restoring it on trial (M9).

Belongs here: one snapshot for figures and file, the record, what a rehearsal finds. The table is live and stays so: what is
written after the snapshot stands in the legacy table alone. Keep out: the file (`partitions.archive_file`) and its proof.
"""

from __future__ import annotations

import json
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
from tasks.core.shown import counted
from tasks.core.sqlfiles import compose, fetch, fetch_one, run
from tasks.migration.registry import Registered, Source
from tasks.partitions.archive import publish_verified, remove_local, require_detached, send
from tasks.partitions.archive_file import (
    Job,
    readable_errors,
    require_space,
    stream_settings,
    stream_uri,
    write_files,
)
from tasks.partitions.archive_proof import ArchiveMismatch, is_proven, parquet_module, verify_files
from tasks.partitions.figures import from_json, list_columns, read_figures
from tasks.partitions.uploads import (
    OBJECT_BYTES,
    FileFault,
    archive_directory,
    files_here,
    is_uploaded,
    require_destination,
    require_files,
)

#: What `migrations.<name>.backup` says for our own archive; any other text names a backup taken by other means.
ARCHIVE = "archive"

OnProgress = Callable[[str, int, int | None], None]


@dataclass(frozen=True)
class Backup:
    """A legacy table's verified archive: what it held at `snapshot_at`."""

    relation: str
    rows: int
    content_hash: str
    #: Where it is kept: a file of this machine, or an object of Storage.
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


def back_up(started: Run, migration: Registered, as_of: datetime, on_progress: OnProgress | None = None) -> list[Backup]:
    """Archive and verify each legacy table that has no archive of this migration; returns those made now.

    A file that is gone or changed is made anew beside it. Killed between two tables, the next run makes the rest.
    Locks: ACCESS SHARE on each table while it is read; one snapshot a table, for that time.
    Raises ArchiveMismatch, ArchiveSpace, ArchiveFailed, ArchiveUnavailable, RunLost, and what `send` raises (M9).
    """
    standing = {source: _read_standing(migration.name, source) for source in migration.sources}
    missing = [source for source in migration.sources if standing[source].fault]
    if missing:
        require_destination()
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
    """Read figures and file of one snapshot, prove the file, upload it where that is declared, and only then record it."""
    with _snapshot() as (conn, exported):
        job = _read_job(conn, migration.name, source, earlier)
        require_space(job)
        settings = [*stream_settings(), *_see(exported["snapshot"])]
        limit = OBJECT_BYTES if is_uploaded(job.archive) else None
        errors = readable_errors(str(job.relation), job.size_bytes)
        with errors, parquet_module().session(stream_uri(), settings) as stream:
            written = write_files(job, as_of, stream, limit)
    made = Backup(str(job.relation), job.figures.rows, job.figures.content_hash, job.archive, exported["snapshot_at"])
    facts = {**vars(made), "migration": migration.name, "relation_oid": job.oid, "run_id": started.id}
    proven = is_proven([file.path for file in written.files], job.fields, job.figures)
    with unit(started, group=migration.subject) as conn:
        manifest = publish_verified(conn, job, written, as_of, proven=proven)
        if not is_uploaded(job.archive):
            run(conn, "migration/insert_backup", **facts, manifest=manifest)
            return made
    content = json.loads(manifest)
    send(started, job, content, group=migration.subject)
    with unit(started, group=migration.subject) as conn:
        run(conn, "migration/insert_backup", **facts, manifest=manifest)
    remove_local(job, content)
    return made


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


def try_backups(started: Run, migration: Registered) -> tuple[str, ...]:
    """Restore each archive into a scratch table, compare rows and hash with the record, drop it again; say what was found.

    Locks: ACCESS SHARE on the legacy tables, for the types of their columns (M9).
    """
    return tuple(_try(started, migration, source) for source in migration.sources)


def _try(started: Run, migration: Registered, source: Source) -> str:
    record = _read_standing(migration.name, source).record
    if record is None:
        return f"The backup of {source.relation} was not made."
    figures = from_json(record["manifest"])
    aside = archive_directory() / f".restore-backup-{record['id']}"
    try:
        with files_here(record["path"], record["manifest"], aside) as files:
            _load_on_trial(started, migration, source, record["manifest"], files)
    except FileFault as error:
        return f"The backup of {source.relation} {error.path} {error.reason}."
    except ArchiveMismatch as error:
        return f"The backup of {source.relation} does not give back what was recorded: {error.difference} ({error.path})."
    taken = f"{record['snapshot_at']:%Y-%m-%d %H:%M} UTC"
    return (
        f"The backup of {source.relation} was restored and compared: {counted(figures.rows, 'row')} of {taken}, the same hash."
    )


def _load_on_trial(started: Run, migration: Registered, source: Source, manifest: dict[str, Any], files: list[Path]) -> None:
    figures = from_json(manifest)
    with readable_errors(str(source.relation), 0), unit(started, group=migration.subject) as conn:
        columns = list_columns(conn, source.relation_oid, manifest)
        fields = parquet_module().fields_of(columns, {column.name: column.beyond for column in figures.columns})
        verify_files(conn, source.relation, files, fields, figures)
