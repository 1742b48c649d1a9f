"""The file of an archive: which columns and facts it holds, its manifest, and giving it its name (D4).

Belongs here: what every archive of a table does, whoever asked for it: room, stream, manifest, durable names, readable errors.
Keep out: states in the ledger (`archive`, and `migration.backup`), the proof (`archive_proof`), Arrow (`parquet`).
A file without `.tmp` at its end is a verified archive.
"""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from tasks.core.connect import Connection, Kind, bounded
from tasks.core.errors import Permanent, Retryable
from tasks.core.names import Relation
from tasks.core.settings import database_url
from tasks.core.sqlfiles import compose, fetch_one
from tasks.partitions.archive_proof import parquet_module
from tasks.partitions.figures import FORMAT, Column, Figures, joined
from tasks.partitions.uploads import ArchiveTaken, address_of, archive_directory, name_other


@dataclass(eq=False)
class ArchiveSpace(Permanent):
    """{partition} cannot be archived: {where} has {free_bytes} bytes free and one copy may take {needed_bytes}. It stays
    as it is and complete; free space or set MAINTENANCE_ARCHIVE to a larger disk, then run again."""

    partition: str
    where: str
    free_bytes: int
    needed_bytes: int


@dataclass(eq=False)
class ArchiveFailed(Retryable):
    """{partition} could not be archived: {reason}. It stays as it is and complete; the next run tries again."""

    partition: str
    reason: str


@dataclass(eq=False)
class FolderTaken(ArchiveTaken):
    """{partition} is not archived: {object} is the manifest of {other}. Set MAINTENANCE_ARCHIVE to a folder that this database
    alone uses, or move that file and those beside it away, and run again; its table stays as it is."""


@dataclass(frozen=True)
class Job:
    """One table to write: `table` is what the archive is of, `relation` where its rows stand; `number` marks its temporary file."""

    table: Relation
    relation: Relation
    oid: int
    key: str
    lower: datetime | None
    upper: datetime | None
    size_bytes: int
    path: Path
    number: int
    columns: Sequence[Column]
    figures: Figures
    sources: Mapping[str, Any]

    @property
    def temporary(self) -> Path:
        """Where the file stands until it is proven."""
        return self.draft_of(self.path)

    def draft_of(self, path: Path) -> Path:
        """Where one of its files stands until it is proven."""
        return self.path.with_name(f".{path.name}.{self.number}.tmp")

    @property
    def archive(self) -> str:
        """Where the first file is kept in the end; the others and the manifest lie beside it."""
        return address_of(self.path, archive_directory())

    @property
    def manifest(self) -> Path:
        """The manifest beside the file."""
        return manifest_of(self.path)

    @property
    def fields(self) -> Any:
        """The columns of the file: the table's, and companions for times that Parquet's readers cannot hold."""
        return parquet_module().fields_of(self.columns, {c.name: c.beyond for c in self.figures.columns})


def manifest_of(path: Path) -> Path:
    """Return the manifest's path: beside the file, numbered like it from the second on."""
    number = path.stem.rpartition("-")[2]
    return path.with_name("manifest.json" if number == "0" else f"manifest-{number}.json")


def stream_uri() -> str:
    """Return the connection string of the session that streams a table."""
    return make_conninfo(bounded(database_url()), application_name="maintenance archive")


def stream_settings() -> list[str]:
    """Return what such a session executes first."""
    limits = compose("partitions/archive_session", Kind.BULK.value._asdict())
    return [compose("core/session_settings", {}).as_string(), limits.as_string()]


@contextmanager
def readable_errors(table: str, size_bytes: int) -> Iterator[None]:
    """Turn what the disk and the libraries raise into one error that names the table; a lost connection stays one."""
    try:
        yield
    except psycopg.errors.DiskFull as error:
        raise ArchiveFailed(table, f"the server has no room for the copy that proves it ({error})") from error
    except psycopg.OperationalError:
        raise
    except psycopg.Error as error:
        raise ArchiveFailed(table, error.diag.message_primary or str(error)) from error
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise _no_space(table, size_bytes) from error
        raise ArchiveFailed(table, str(error)) from error
    except (ValueError, NotImplementedError) as error:
        raise ArchiveFailed(table, str(error)) from error


def _no_space(table: str, needed_bytes: int) -> ArchiveSpace:
    root = archive_directory()
    return ArchiveSpace(table, str(root), shutil.disk_usage(root).free, needed_bytes)


def require_space(job: Job) -> None:
    """Ask for as much as the table takes on the server: compressed it will be less. Raises ArchiveSpace."""
    job.path.parent.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(job.path.parent).free < job.size_bytes:
        raise _no_space(str(job.relation), job.size_bytes)


def write_files(job: Job, as_of: datetime, stream: Any, limit: int | None = None) -> Any:
    """Stream the table into temporary files, those of killed runs removed; returns what was written.

    No file is larger than `limit`; without it there is one.
    """
    fields = job.fields
    values = {"partition": job.relation, "key": job.key, "columns": joined(_exports(fields))}
    query = compose("partitions/export_partition", values).as_string()
    more = {} if limit is None else {"limit": limit}
    _remove_drafts(job)
    with _freed(job):
        return parquet_module().write(stream, query, fields, job.temporary, _facts(job, as_of), **more)


@contextmanager
def _freed(job: Job) -> Iterator[None]:
    """Give back what a table's drafts take where the disk refuses one of them; a full disk would stay full."""
    try:
        yield
    except OSError:
        _remove_drafts(job)
        raise


def _remove_drafts(job: Job) -> None:
    for pattern in (f".{job.path.name}.*.tmp", f".{job.path.stem}-*.tmp"):
        for leftover in job.path.parent.glob(pattern):
            leftover.unlink(missing_ok=True)


def _exports(fields: Any) -> Iterator[str]:
    """Yield the SQL of each column of the file; a time with a companion leaves to it what is beyond."""
    split = {field.column.name for field in fields if field.is_companion}
    for field in fields:
        column: Column = field.column
        if field.is_companion:
            yield column.beyond or "null"
        else:
            yield column.finite if column.name in split else column.export


def _facts(job: Job, as_of: datetime) -> dict[str, Any]:
    """Return what a reader of the file must know without the database."""
    return {
        "table": str(job.table),
        "partition": str(job.relation),
        "partition_oid": job.oid,
        "lower": job.lower,
        "upper": job.upper,
        "key": job.key,
        "as_of": as_of,
    }


def compose_manifest(conn: Connection, job: Job, written: Any, as_of: datetime) -> str:
    """Return the manifest as JSON: what was archived, from where, and everything to prove the file by."""
    fields = [{"name": f.name, "of": f.column.name} for f in job.fields if f.is_companion]
    names = [path.name for path, _ in _named(job, written)]
    first, *more = [
        {"name": name, "bytes": file.size_bytes, "sha256": file.sha256} for name, file in zip(names, written.files, strict=True)
    ]
    content = {
        "format": FORMAT,
        **_facts(job, as_of),
        "ledger": fetch_one(conn, "partitions/read_ledger")["ledger"],
        "server_version": conn.info.parameter_status("server_version"),
        "server_version_num": conn.info.server_version,
        "table_bytes": job.size_bytes,
        **job.figures.as_json(),
        "companions": fields,
        **job.sources,
        "file": first,
        **({"more_files": more} if more else {}),
    }
    return json.dumps(content, default=_iso, indent=1, ensure_ascii=False)


def _iso(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _named(job: Job, written: Any) -> list[tuple[Path, Any]]:
    """Return each written file with the path that it will have."""
    parquet = parquet_module()
    return [(parquet.piece_of(job.path, number), file) for number, file in enumerate(written.files)]


def publish(job: Job, written: Any, manifest: str) -> None:
    """Give files and manifest their names, durably: the files first, since a manifest speaks of them.

    Raises FolderTaken, before anything is replaced, where another table's archive has these names.
    """
    _require_ours(job, json.loads(manifest))
    parquet = parquet_module()
    named = _named(job, written)
    draft = job.temporary.with_suffix(".json.tmp")
    with _freed(job):
        draft.write_text(manifest + "\n", encoding="utf-8")
        parquet.flush(draft)
    job.manifest.unlink(missing_ok=True)
    for stale in set(job.path.parent.glob(f"{job.path.stem}-*.parquet")) - {path for path, _ in named}:
        stale.unlink()
    for path, file in named:
        file.path.replace(path)
    draft.replace(job.manifest)
    for folder in (job.path.parent, job.path.parent.parent, job.path.parent.parent.parent):
        parquet.flush(folder)


def _require_ours(job: Job, wanted: Mapping[str, Any]) -> None:
    """Raise FolderTaken where a whole archive of another table stands there."""
    try:
        other = name_other(job.manifest.read_bytes(), wanted)
    except FileNotFoundError:
        return
    if other:
        _remove_drafts(job)
        raise FolderTaken(str(job.relation), str(job.manifest), other)
