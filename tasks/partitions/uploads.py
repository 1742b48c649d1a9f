"""An archive's files where they are kept: in the folder, or in Supabase Storage once it is declared (D4).

Belongs here: the address, the upload that is read back, looking at what is there, bringing it here again.
Keep out: writing and proving the files (`archive`), asking Storage (`tasks.core.storage`), and the ledger.
Each file is an object, a Parquet file of its own; the manifest is the last, so that where one stands all stand.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.core.errors import Permanent, Retryable
from tasks.core.settings import settings
from tasks.core.storage import SCHEME, ObjectMissing, StorageObject, read_object, require_private, write_object

#: No object is larger, so that one is held in memory when it is read back and little is sent again after a break.
OBJECT_BYTES = 24_000_000
PARQUET, JSON = "application/vnd.apache.parquet", "application/json"


@dataclass(eq=False)
class UploadMismatch(Retryable):
    """{object} does not give back what was uploaded of {partition}. Nothing was recorded and its table stays; the next run
    uploads it again."""

    partition: str
    object: str


@dataclass(eq=False)
class ArchiveTaken(Permanent):
    """{partition} is not uploaded: {object} is the manifest of {other}. Set MAINTENANCE_ARCHIVE_TO to a prefix that this database
    alone uses, or remove that object where it is a damaged manifest of ours, and run again; its table stays as it is."""

    partition: str
    object: str
    other: str


@dataclass(eq=False)
class FileFault(Permanent):
    """The archive {path} {reason}. Put the verified file back."""

    path: str
    reason: str


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, read piece by piece."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def archive_directory() -> Path:
    """Return where archives go on this machine: MAINTENANCE_ARCHIVE, else below the output folder."""
    return settings().maintenance_archive or settings().maintenance_output / "archive"


def destination() -> StorageObject | None:
    """Return where archives are uploaded to, None where they stay in the folder."""
    to = settings().maintenance_archive_to
    return StorageObject.parse(to) if to else None


def require_destination() -> None:
    """Look at the bucket that archives go to before anything is taken out of a table: nothing is asked where none is set.

    Raises what `require_private` raises.
    """
    to = destination()
    if to is not None:
        require_private(to.bucket)


def address_of(path: Path, root: Path) -> str:
    """Return where a file of the folder `root` will be kept: its path, or the object below the destination.

    Storage takes no percent sign and no tilde in a key, so that quoted characters begin with a dollar sign there.
    """
    to = destination()
    if to is None:
        return str(path)
    relative = path.relative_to(root.absolute()).as_posix().replace("%", "$").replace("~", "$7E")
    return str(StorageObject(to.bucket, f"{to.key}/{relative}".lstrip("/")))


def is_uploaded(archive: str) -> bool:
    """Say whether an archive's address is one of Storage."""
    return archive.startswith(SCHEME)


def files_of(manifest: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return name, bytes and sha256 of each file of an archive, in the order of its rows."""
    return [manifest["file"], *manifest.get("more_files", ())]


def upload(partition: str, files: Sequence[Path], manifest: Path, archive: str, allowed: Callable[[], None]) -> None:
    """Upload an archive's files, then its manifest, each read back; what is there already is not sent again.

    `allowed` raises before each object where the run may not go on. Raises UploadMismatch, ArchiveTaken, BucketPublic, and
    what `read_object` and `write_object` raise.
    """
    at = StorageObject.parse(archive)
    require_private(at.bucket)
    _require_ours(partition, at.sibling(manifest.name), json.loads(manifest.read_bytes()))
    for path in files:
        allowed()
        _put(partition, path, at.sibling(path.name), PARQUET)
    allowed()
    _put(partition, manifest, at.sibling(manifest.name), JSON)


def _require_ours(partition: str, one: StorageObject, wanted: Mapping[str, Any]) -> None:
    """Raise ArchiveTaken where a whole archive of another table stands there."""
    try:
        other = name_other(read_object(one), wanted)
    except ObjectMissing:
        return
    if other:
        raise ArchiveTaken(partition, str(one), other)


def name_other(manifest: bytes, wanted: Mapping[str, Any]) -> str | None:
    """Say whose a manifest is where it is not of the table of `wanted`: of another database, or of a former table.

    Oids coincide between databases; what tells those apart is their ledgers, which manifests of before do not name.
    """
    try:
        found = json.loads(manifest)
        is_same_ledger = len({one["ledger"] for one in (found, wanted) if "ledger" in one}) < 2
        if is_same_ledger and all(found[key] == wanted[key] for key in ("table", "partition", "partition_oid")):
            return None
        where = "" if is_same_ledger else " of another database"
        return f"{found['partition']}{where} (oid {found['partition_oid']}, {found['rows']} rows)"
    except (ValueError, KeyError, TypeError):
        return "something else"


def _put(partition: str, path: Path, one: StorageObject, content_type: str) -> None:
    wanted = sha256_of(path)
    if _hash_of(one) == wanted:
        return
    write_object(one, path, content_type)
    if _hash_of(one) != wanted:
        raise UploadMismatch(partition, str(one))


def _hash_of(one: StorageObject) -> str | None:
    try:
        return hashlib.sha256(read_object(one)).hexdigest()
    except ObjectMissing:
        return None


def require_files(archive: str, manifest: Mapping[str, Any]) -> None:
    """Raise FileFault where a file of an archive is not there, or not the one that was verified."""
    for file in files_of(manifest):
        if is_uploaded(archive):
            _read_verified(archive, file)
        else:
            _require_local(Path(archive).with_name(file["name"]), file)


def _require_local(path: Path, file: Mapping[str, Any]) -> None:
    if not path.is_file():
        raise FileFault(str(path), "is not there")
    if sha256_of(path) != file["sha256"]:
        raise FileFault(str(path), "was changed since it was verified")


def _read_verified(archive: str, file: Mapping[str, Any]) -> bytes:
    one = StorageObject.parse(archive).sibling(file["name"])
    try:
        content = read_object(one)
    except ObjectMissing as error:
        raise FileFault(str(one), "is not there, or this key may not see it") from error
    if hashlib.sha256(content).hexdigest() != file["sha256"]:
        raise FileFault(str(one), "was changed since it was verified")
    return content


@contextmanager
def files_here(archive: str, manifest: Mapping[str, Any], aside: Path) -> Iterator[list[Path]]:
    """Lend an archive's files on this machine, verified; those of Storage are in the folder `aside`, which is removed again.

    Raises FileFault, OSError, and what `read_object` raises.
    """
    if not is_uploaded(archive):
        require_files(archive, manifest)
        yield [Path(archive).with_name(file["name"]) for file in files_of(manifest)]
        return
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        yield [_bring(archive, file, aside) for file in files_of(manifest)]
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _bring(archive: str, file: Mapping[str, Any], aside: Path) -> Path:
    path = aside / file["name"]
    path.write_bytes(_read_verified(archive, file))
    return path
