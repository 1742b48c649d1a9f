"""Archive a detached partition: file, proof, upload where that is declared, record (D4).

Belongs here: one unit from detached to archived; its file is proven before it gets its name.
Keep out: the file itself (`archive_file`), what is due (`retention_plan`), detaching and dropping (`retire`).
A file without `.tmp` at its end is a verified archive; a killed run leaves at most a `.tmp` that the next one removes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tasks.core.connect import Connection, describe_server
from tasks.core.errors import CannotConnect, MaintenanceError
from tasks.core.ledger import Run, unit
from tasks.core.names import Relation
from tasks.core.settings import database_url, settings
from tasks.core.sqlfiles import fetch, fetch_one, run
from tasks.core.storage import BucketPublic, StorageRefused
from tasks.partitions.archive_file import (
    ArchiveFailed,
    ArchiveSpace,
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
from tasks.partitions.figures import from_json, list_columns, read_figures, read_sources
from tasks.partitions.uploads import (
    OBJECT_BYTES,
    ArchiveTaken,
    FileFault,
    UploadMismatch,
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


#: What concerns one partition, or is said once by the run that failed: the other partitions go on.
_FAILURES = (ArchiveMismatch, ArchiveSpace, ArchiveFailed, ArchiveTaken, UploadMismatch, StorageRefused, BucketPublic)


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
        with parquet.session(stream_uri(), stream_settings()) as stream:
            return [_archive_or_fail(started, one, as_of, stream) for one in units]
    except ConnectionError as error:
        raise CannotConnect(describe_server(database_url()).text, str(error)) from error


def _archive_or_fail(started: Run, one: ArchiveUnit, as_of: datetime, stream: Any) -> Archived | Failed:
    try:
        return archive_partition(started, one, as_of, stream)
    except _FAILURES as error:
        return Failed(one.partition, error)


def archive_partition(started: Run, one: ArchiveUnit, as_of: datetime, stream: Any) -> Archived:
    """Write one detached partition to its file, prove the file, and record it as archived.

    `stream` is a session of `parquet`. Raises ArchiveMismatch, ArchiveSpace, ArchiveFailed, RunLost; each leaves the
    table as it was. Locks: ACCESS SHARE on the partition.
    """
    with readable_errors(one.partition, one.size_bytes):
        claimed = _begin(started, one)
        if isinstance(claimed, Archived):
            return claimed
        manifest = _published(claimed) if is_uploaded(claimed.archive) else None
        if manifest is None:
            require_space(claimed)
            limit = OBJECT_BYTES if is_uploaded(claimed.archive) else None
            manifest = _prove(started, claimed, write_files(claimed, as_of, stream, limit), as_of)
        if is_uploaded(claimed.archive):
            _upload(started, claimed, manifest, as_of)
        return _archived(one, manifest, claimed.archive)


def _archived(one: ArchiveUnit, manifest: Mapping[str, Any], archive: str) -> Archived:
    return Archived(one.partition, manifest["rows"], sum(file["bytes"] for file in files_of(manifest)), archive)


def _begin(started: Run, one: ArchiveUnit) -> Job | Archived:
    """Claim the partition, read its figures, and record that a file may be written from now on."""
    with unit(started) as conn:
        rows = fetch(conn, "partitions/claim_retirement", id=one.retirement_id)
        if not rows or rows[0]["state"] not in ("detached", "archiving", "archived"):
            raise ArchiveFailed(one.partition, "another session works on it")
        record = rows[0]
        if record["state"] == "archived":
            return _archived(one, record["manifest"], record["archive"])
        job = _read_job(conn, one, record)
        run(conn, "partitions/record_archiving", id=one.retirement_id, archive=job.archive)
        return job


def _read_job(conn: Connection, one: ArchiveUnit, record: Mapping[str, Any]) -> Job:
    parent, relation, oid = Relation.parse(record["parent"]), Relation.parse(one.partition), record["partition_oid"]
    facts = require_detached(conn, relation, oid)
    columns = list_columns(conn, oid)
    figures = read_figures(conn, relation, columns)
    sources = read_sources(conn, parent, relation, oid, columns)
    earlier = fetch_one(conn, "partitions/count_archives", id=one.retirement_id)["earlier"]
    path = path_of(archive_directory(), parent, record["lower"], earlier)
    bounds = (record["lower"], record["upper"])
    size, number = facts["size_bytes"], one.retirement_id
    return Job(parent, relation, oid, one.key, *bounds, size, path, number, columns, figures, sources)


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


def _prove(started: Run, job: Job, written: Any, as_of: datetime) -> Mapping[str, Any]:
    """Prove the files, and only then name them and, where they stay here, record them, in one transaction.

    Returns the manifest.
    """
    proven = is_proven([file.path for file in written.files], job.fields, job.figures)
    with unit(started) as conn:
        _require_archiving(conn, job)
        manifest = publish_verified(conn, job, written, as_of, proven=proven)
        if not is_uploaded(job.archive):
            run(conn, "partitions/record_archived", id=job.number, manifest=manifest, as_of=as_of)
    return json.loads(manifest)


def publish_verified(conn: Connection, job: Job, written: Any, as_of: datetime, *, proven: bool) -> str:
    """Load the files and compare where they have not proven themselves, and only then name them; returns the manifest.

    Raises ArchiveMismatch. Locks: ACCESS SHARE on the table, where the files are loaded.
    """
    if not proven:
        verify_files(conn, job.relation, [file.path for file in written.files], job.fields, job.figures)
    manifest = compose_manifest(conn, job, written, as_of)
    publish(job, written, manifest)
    return manifest


def _require_archiving(conn: Connection, job: Job) -> None:
    claim = fetch(conn, "partitions/claim_retirement", id=job.number)
    if not claim or claim[0]["state"] != "archiving":
        raise ArchiveFailed(str(job.relation), "another session works on it")


def _published(job: Job) -> Mapping[str, Any] | None:
    """Return the manifest of files that a run before this one verified in the folder, if they are of what the table holds."""
    try:
        manifest = json.loads(job.manifest.read_bytes())
        is_same = (manifest["partition_oid"], from_json(manifest)) == (job.oid, job.figures)
        require_files(str(job.path), manifest)
    except (OSError, ValueError, KeyError, TypeError, FileFault):
        return None
    return manifest if is_same else None


def _upload(started: Run, job: Job, manifest: Mapping[str, Any], as_of: datetime) -> None:
    """Upload the verified files outside any transaction, since it may take long, then record the archive where it is kept."""
    send(started, job, manifest)
    with unit(started) as conn:
        _require_archiving(conn, job)
        text = job.manifest.read_text(encoding="utf-8")
        run(conn, "partitions/record_archived", id=job.number, manifest=text, as_of=as_of)
    remove_local(job, manifest)


def send(started: Run, job: Job, manifest: Mapping[str, Any], group: str | None = None) -> None:
    """Upload a table's verified files to where they are kept, each read back, while the run may go on.

    `group` is that of the run where it is not its subject. Raises RunLost and what `upload` raises. Locks: none.
    """

    def allowed() -> None:
        with unit(started, group=group):
            """It raises where the run has ended."""

    upload(str(job.relation), _files(job, manifest), job.manifest, job.archive, allowed)


def remove_local(job: Job, manifest: Mapping[str, Any]) -> None:
    """Free the folder of files whose upload is recorded, where MAINTENANCE_ARCHIVE_LOCAL says so."""
    if settings().maintenance_archive_local == "remove":
        for path in (*_files(job, manifest), job.manifest):
            path.unlink(missing_ok=True)


def _files(job: Job, manifest: Mapping[str, Any]) -> list[Path]:
    return [job.path.with_name(file["name"]) for file in files_of(manifest)]
