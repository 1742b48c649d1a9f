"""Archive a detached partition: file, proof, upload where that is declared, record (D4).

Belongs here: one unit from detached to archived; its file is proven by loading it again before it gets its name.
Keep out: what is due (`retention_plan`), detaching and dropping (`retire`), Arrow (`parquet`, imported when first used).
A file without `.tmp` at its end is a verified archive; a killed run leaves at most a `.tmp` that the next one removes.
"""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg.conninfo import make_conninfo

from tasks.core.connect import Connection, Kind, bounded, describe_server
from tasks.core.errors import CannotConnect, MaintenanceError, Permanent, Retryable
from tasks.core.ledger import Run, unit
from tasks.core.names import Relation
from tasks.core.settings import database_url, settings
from tasks.core.sqlfiles import compose, fetch, fetch_one, run
from tasks.core.storage import StorageRefused
from tasks.partitions.archive_proof import ArchiveMismatch, parquet_module, verify_files
from tasks.partitions.figures import Column, Figures, from_json, joined, list_columns, read_figures, read_sources
from tasks.partitions.uploads import (
    OBJECT_BYTES,
    ArchiveTaken,
    FileFault,
    UploadMismatch,
    address_of,
    archive_directory,
    files_of,
    is_uploaded,
    require_files,
    upload,
)

#: What Hive, and so DuckDB and Spark, read as a partition value that is null: a partition without a lower bound.
NO_LOWER = "__HIVE_DEFAULT_PARTITION__"
#: One flow run maps at most 40 tasks (design 4); a bundle opens a session of its own, which costs some 40 ms.
LEAST_BUNDLES, MOST_BUNDLES, BUNDLE_BYTES = 2, 40, 64 << 20


@dataclass(eq=False)
class ArchiveSpace(Permanent):
    """{partition} cannot be archived: {where} has {free_bytes} bytes free and one copy may take {needed_bytes}. It stays
    detached and complete; free space or set MAINTENANCE_ARCHIVE to a larger disk, then run again."""

    partition: str
    where: str
    free_bytes: int
    needed_bytes: int


@dataclass(eq=False)
class ArchiveFailed(Retryable):
    """{partition} could not be archived: {reason}. It stays detached and complete; the next run tries again."""

    partition: str
    reason: str


@dataclass(frozen=True)
class ArchiveUnit:
    """One detached partition to archive, by its retirement; rows are sorted by `key`."""

    retirement_id: int
    partition: str
    key: str
    size_bytes: int


@dataclass(frozen=True)
class Archived:
    """A partition whose archive is verified."""

    partition: str
    rows: int
    size_bytes: int
    path: str


@dataclass(frozen=True)
class Failed:
    """A partition whose step failed; the others go on."""

    partition: str
    error: MaintenanceError


@dataclass(frozen=True)
class _Job:
    """What one unit knows once it has claimed its partition."""

    unit: ArchiveUnit
    parent: Relation
    relation: Relation
    oid: int
    lower: datetime | None
    upper: datetime | None
    size_bytes: int
    path: Path
    columns: Sequence[Column]
    figures: Figures
    sources: Mapping[str, Any]

    @property
    def archive(self) -> str:
        """Where the first file is kept in the end; the others and the manifest lie beside it."""
        return address_of(self.path, archive_directory())

    @property
    def temporary(self) -> Path:
        return self.draft_of(self.path)

    def draft_of(self, path: Path) -> Path:
        return self.path.with_name(f".{path.name}.{self.unit.retirement_id}.tmp")

    @property
    def manifest(self) -> Path:
        return manifest_of(self.path)


def manifest_of(path: Path) -> Path:
    """Return the manifest's path: beside the file, numbered like it from the second on."""
    number = path.stem.rpartition("-")[2]
    return path.with_name("manifest.json" if number == "0" else f"manifest-{number}.json")


def bundle(units: Sequence[ArchiveUnit]) -> list[list[ArchiveUnit]]:
    """Deal units out to as many bundles as their bytes deserve: a session and a task have a price, so small ones share."""
    wanted = max(LEAST_BUNDLES, sum(one.size_bytes for one in units) // BUNDLE_BYTES)
    count = min(wanted, MOST_BUNDLES, len(units))
    return [list(units[start::count]) for start in range(count)]


def archive_bundle(started: Run, units: Sequence[ArchiveUnit], as_of: datetime) -> list[Archived | Failed]:
    """Archive and verify each unit over one streaming session; one failure does not stop the others.

    Raises ArchiveUnavailable, CannotConnect, RunLost, and psycopg.OperationalError where a connection is lost.
    """
    parquet = parquet_module()
    try:
        with parquet.session(_uri(), _session_settings()) as stream:
            return [_archive_or_fail(started, one, as_of, stream) for one in units]
    except ConnectionError as error:
        raise CannotConnect(describe_server(database_url()).text, str(error)) from error


def _uri() -> str:
    return make_conninfo(bounded(database_url()), application_name="maintenance archive")


def _session_settings() -> list[str]:
    limits = compose("partitions/archive_session", Kind.BULK.value._asdict())
    return [compose("core/session_settings", {}).as_string(), limits.as_string()]


def _archive_or_fail(started: Run, one: ArchiveUnit, as_of: datetime, stream: Any) -> Archived | Failed:
    try:
        return archive_partition(started, one, as_of, stream)
    except (ArchiveMismatch, ArchiveSpace, ArchiveFailed, ArchiveTaken, UploadMismatch, StorageRefused) as error:
        return Failed(one.partition, error)


def archive_partition(started: Run, one: ArchiveUnit, as_of: datetime, stream: Any) -> Archived:
    """Write one detached partition to its file, load the file again, and record it as archived.

    `stream` is a session of `parquet`. Raises ArchiveMismatch, ArchiveSpace, ArchiveFailed, RunLost; each leaves the
    table as it was. Locks: ACCESS SHARE on the partition.
    """
    with _readable(one):
        claimed = _begin(started, one)
        if isinstance(claimed, Archived):
            return claimed
        manifest = _published(claimed) if is_uploaded(claimed.archive) else None
        if manifest is None:
            _require_space(claimed)
            manifest = _prove(started, claimed, _write(claimed, as_of, stream), as_of)
        if is_uploaded(claimed.archive):
            _upload(started, claimed, manifest, as_of)
        return _archived(one, manifest, claimed.archive)


def _archived(one: ArchiveUnit, manifest: Mapping[str, Any], archive: str) -> Archived:
    return Archived(one.partition, manifest["rows"], sum(file["bytes"] for file in files_of(manifest)), archive)


@contextmanager
def _readable(one: ArchiveUnit) -> Iterator[None]:
    """Turn what the disk and the libraries raise into one error that names the partition; a lost connection stays one."""
    try:
        yield
    except psycopg.errors.DiskFull as error:
        raise ArchiveFailed(one.partition, f"the server has no room for the copy that proves it ({error})") from error
    except psycopg.OperationalError:
        raise
    except psycopg.Error as error:
        raise ArchiveFailed(one.partition, error.diag.message_primary or str(error)) from error
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise _no_space(one.partition, one.size_bytes) from error
        raise ArchiveFailed(one.partition, str(error)) from error
    except (ValueError, NotImplementedError) as error:
        raise ArchiveFailed(one.partition, str(error)) from error


def _no_space(partition: str, needed_bytes: int) -> ArchiveSpace:
    root = archive_directory()
    return ArchiveSpace(partition, str(root), shutil.disk_usage(root).free, needed_bytes)


def _begin(started: Run, one: ArchiveUnit) -> _Job | Archived:
    """Claim the partition, read its figures, and record that a file may be written from now on."""
    with unit(started) as conn:
        rows = fetch(conn, "partitions/claim_retirement", id=one.retirement_id)
        if not rows or rows[0]["state"] not in ("detached", "archiving", "archived"):
            raise ArchiveFailed(one.partition, "another session works on it")
        record = rows[0]
        if record["state"] == "archived":
            return _archived(one, record["manifest"], record["archive"])
        job = _read_job(conn, one, record)
        run(conn, "partitions/record_archiving", id=one.retirement_id, run_id=started.id, archive=job.archive)
        return job


def _read_job(conn: Connection, one: ArchiveUnit, record: Mapping[str, Any]) -> _Job:
    parent, relation, oid = Relation.parse(record["parent"]), Relation.parse(one.partition), record["partition_oid"]
    facts = require_detached(conn, relation, oid)
    columns = list_columns(conn, oid)
    figures = read_figures(conn, relation, columns)
    sources = read_sources(conn, parent, relation, oid, columns)
    earlier = fetch_one(conn, "partitions/count_archives", id=one.retirement_id)["earlier"]
    path = path_of(archive_directory(), parent, record["lower"], earlier)
    bounds = (record["lower"], record["upper"])
    return _Job(one, parent, relation, oid, *bounds, facts["size_bytes"], path, columns, figures, sources)


def require_detached(conn: Connection, relation: Relation, oid: int) -> Mapping[str, Any]:
    """Return what the catalog says of a detached partition; ArchiveFailed where it is not that table any more."""
    rows = fetch(conn, "partitions/read_detached", oid=oid)
    if not rows:
        raise ArchiveFailed(str(relation), "its table is gone")
    if rows[0]["is_attached"]:
        raise ArchiveFailed(str(relation), "it is attached again")
    if Relation(rows[0]["schema"], rows[0]["name"]) != relation:
        raise ArchiveFailed(str(relation), f"it is called {rows[0]['schema']}.{rows[0]['name']} now")
    return rows[0]


def path_of(root: Path, parent: Relation, lower: datetime | None, earlier: int) -> Path:
    """Return the file of a partition: `<root>/<schema>.<table>/lower=<bound>/part-<number>.parquet`.

    A second table with the same bounds, made after the first was dropped, gets the next number.
    """
    folder = f"lower={_hive(lower)}"
    return root.absolute() / quote(str(parent), safe=" ") / folder / f"part-{earlier}.parquet"


def _hive(lower: datetime | None) -> str:
    if lower is None:
        return NO_LOWER
    utc = lower.astimezone(UTC)
    return f"{utc:%Y-%m-%d}" if (utc.hour, utc.minute, utc.second) == (0, 0, 0) else f"{utc:%Y-%m-%dT%H%M%S}"


def _require_space(job: _Job) -> None:
    """Ask for as much as the table takes on the server: compressed it will be less."""
    job.path.parent.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(job.path.parent).free < job.size_bytes:
        raise _no_space(str(job.relation), job.size_bytes)


def _write(job: _Job, as_of: datetime, stream: Any) -> Any:
    parquet = parquet_module()
    fields = _fields(job)
    values = {"partition": job.relation, "key": job.unit.key, "columns": joined(_exports(fields))}
    query = compose("partitions/export_partition", values).as_string()
    _remove_drafts(job)
    limit = {"limit": OBJECT_BYTES} if is_uploaded(job.archive) else {}
    try:
        return parquet.write(stream, query, fields, job.temporary, _facts(job, as_of), **limit)
    except OSError:
        _remove_drafts(job)
        raise


def _remove_drafts(job: _Job) -> None:
    for pattern in (f".{job.path.name}.*.tmp", f".{job.path.stem}-*.tmp"):
        for leftover in job.path.parent.glob(pattern):
            leftover.unlink(missing_ok=True)


def _fields(job: _Job) -> Any:
    return parquet_module().fields_of(job.columns, {c.name: c.beyond for c in job.figures.columns})


def _exports(fields: Any) -> Iterator[str]:
    """Yield the SQL of each column of the file; a time with a companion leaves to it what is beyond."""
    split = {field.column.name for field in fields if field.is_companion}
    for field in fields:
        column: Column = field.column
        if field.is_companion:
            yield column.beyond or "null"
        else:
            yield column.finite if column.name in split else column.export


def _facts(job: _Job, as_of: datetime) -> dict[str, Any]:
    """Return what a reader of the file must know without the database."""
    return {
        "table": str(job.parent),
        "partition": str(job.relation),
        "partition_oid": job.oid,
        "lower": job.lower,
        "upper": job.upper,
        "key": job.unit.key,
        "as_of": as_of,
    }


def _prove(started: Run, job: _Job, written: Any, as_of: datetime) -> Mapping[str, Any]:
    """Load the files, compare, and only then name them and, where they stay here, record them, in one transaction.

    Returns the manifest.
    """
    with unit(started) as conn:
        _require_archiving(conn, job)
        verify_files(conn, job.relation, [file.path for file in written.files], _fields(job), job.figures)
        manifest = _manifest(conn, job, written, as_of)
        _publish(job, written, manifest)
        if not is_uploaded(job.archive):
            run(conn, "partitions/record_archived", id=job.unit.retirement_id, manifest=manifest, as_of=as_of)
    return json.loads(manifest)


def _require_archiving(conn: Connection, job: _Job) -> None:
    claim = fetch(conn, "partitions/claim_retirement", id=job.unit.retirement_id)
    if not claim or claim[0]["state"] != "archiving":
        raise ArchiveFailed(str(job.relation), "another session works on it")


def _published(job: _Job) -> Mapping[str, Any] | None:
    """Return the manifest of files that a run before this one verified in the folder, if they are of what the table holds."""
    try:
        manifest = json.loads(job.manifest.read_bytes())
        is_same = (manifest["partition_oid"], from_json(manifest)) == (job.oid, job.figures)
        require_files(str(job.path), manifest)
    except (OSError, ValueError, KeyError, TypeError, FileFault):
        return None
    return manifest if is_same else None


def _upload(started: Run, job: _Job, manifest: Mapping[str, Any], as_of: datetime) -> None:
    """Upload the verified files outside any transaction, since it may take long, then record the archive where it is kept."""

    def allowed() -> None:
        with unit(started):
            """It raises where the run has ended."""

    files = [job.path.with_name(file["name"]) for file in files_of(manifest)]
    upload(str(job.relation), files, job.manifest, job.archive, allowed)
    with unit(started) as conn:
        _require_archiving(conn, job)
        text = job.manifest.read_text(encoding="utf-8")
        run(conn, "partitions/record_archived", id=job.unit.retirement_id, manifest=text, as_of=as_of)
    if settings().maintenance_archive_local == "remove":
        for path in (*files, job.manifest):
            path.unlink(missing_ok=True)


def _manifest(conn: Connection, job: _Job, written: Any, as_of: datetime) -> str:
    """Return the manifest as JSON: what was archived, from where, and everything to prove the file by."""
    fields = [{"name": f.name, "of": f.column.name} for f in _fields(job) if f.is_companion]
    names = [path.name for path, _ in _named(job, written)]
    first, *more = [
        {"name": name, "bytes": file.size_bytes, "sha256": file.sha256} for name, file in zip(names, written.files, strict=True)
    ]
    content = {
        "format": 1,
        **_facts(job, as_of),
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


def _named(job: _Job, written: Any) -> list[tuple[Path, Any]]:
    """Return each written file with the path that it will have."""
    parquet = parquet_module()
    return [(parquet.piece_of(job.path, number), file) for number, file in enumerate(written.files)]


def _publish(job: _Job, written: Any, manifest: str) -> None:
    """Give files and manifest their names, durably: the files first, since a manifest speaks of them."""
    parquet = parquet_module()
    named = _named(job, written)
    draft = job.temporary.with_suffix(".json.tmp")
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
