"""Prove an archive: read its file again and compare; later, that the file is still the one that was proven (D4).

Belongs here: both proofs, the scratch table, the errors of an archive that does not hold.
Keep out: writing files (`archive`), and Arrow except through `parquet` and `file_hash`, imported when they are first used.

The server hashes every row of the table, in a scan of its own: each value as it is stored, or as its text where the file holds
text. `is_proven` reads the file back from disk, computes the same hash from what is in it, and compares rows and sum: the very
figures that are compared once a file is loaded again, without the load. It finds what a load finds: a row that is lost, doubled
or taken from elsewhere (rows, and the sum over rows), a value altered or moved to another row or column (a row's hash holds all
its values, each in its place, null apart from empty), a value that the driver decoded wrongly (the server's hash has not passed
through the driver), another type or unit (the file's own type has to be the expected one), a damaged page (it cannot be read, or
has other values). What it leaves to PostgreSQL is to read its own text, on which each dump rests too; where a type is not one of
PostgreSQL's own or an enum, and for times beyond those of Parquet, the file is loaded. Whatever is not proven here is
loaded as well: `verify_files` has the last word, and names what differs.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import psycopg

from tasks.core.connect import Connection
from tasks.core.errors import Permanent
from tasks.core.names import Relation
from tasks.core.sqlfiles import compose, identifier, run
from tasks.partitions.figures import Figures, differences, differing_columns, from_json, joined, read_figures
from tasks.partitions.uploads import FileFault, require_files

SCRATCH_SCHEMA = "maintenance"


@dataclass(eq=False)
class ArchiveMismatch(Permanent):
    """The archive of {partition} does not give back what the table holds: {difference} ({path}). The table stays as it is and
    this run drops nothing; look at the file, then run again."""

    partition: str
    path: str
    difference: str


@dataclass(eq=False)
class ArchiveLost(Permanent):
    """{partition} is not dropped: its archive {path} {reason}. Put the file back, or archive the table again with: update
    maintenance.retirement set state = 'detached' where partition = '{partition}' and state = 'archived'"""

    partition: str
    path: str
    reason: str


@dataclass(eq=False)
class ArchiveUnavailable(Permanent):
    """Archives need pyarrow and adbc-driver-postgresql, and {missing} is not installed. Install the extra [archive]; or
    declare archive: none for a table, or for a migration a backup taken by other means."""

    missing: str


def parquet_module() -> ModuleType:
    """Import `parquet` when it is first needed: it takes half a second. Raises ArchiveUnavailable without the extra."""
    try:
        from tasks.partitions import parquet
    except ImportError as error:
        raise ArchiveUnavailable(missing=error.name or str(error)) from error
    return parquet


def is_proven(paths: Sequence[Path], fields: Any, expected: Figures) -> bool:
    """Say whether the files alone prove that they hold the table's rows; where not, `verify_files` decides."""
    if not all(field.column.reads_back and not field.is_companion for field in fields):
        return False
    content_of: Any = importlib.import_module("tasks.partitions.file_hash").content_of
    try:
        return content_of(paths, fields) == (expected.rows, expected.content_hash)
    except (ValueError, OSError, NotImplementedError):
        return False


def verify_files(conn: Connection, partition: Relation, paths: Sequence[Path], fields: Any, expected: Figures) -> None:
    """Load an archive's files into a scratch table of the partition's types; raises ArchiveMismatch naming what differs.

    The scratch table lives in a savepoint that is always rolled back, so that nothing can be left over.
    """
    scratch = Relation(SCRATCH_SCHEMA, f"scratch_{conn.info.backend_pid}")
    columns = [field.column for field in fields if not field.is_companion]
    with conn.transaction(force_rollback=True):
        run(conn, "partitions/create_scratch", scratch=scratch, partition=partition)
        try:
            with conn.transaction():
                for path in paths:
                    _load(conn, scratch, path, fields)
        except (psycopg.errors.DataError, psycopg.errors.IntegrityError, ValueError, OSError) as error:
            raise ArchiveMismatch(str(partition), str(paths[0]), f"it cannot be loaded: {_first_line(error)}") from error
        found = read_figures(conn, scratch, columns)
        different = differences(expected, found)
        if different == ["content hash"]:
            different = [f"column {name}" for name in differing_columns(conn, partition, scratch, columns)] or different
    if different:
        raise ArchiveMismatch(str(partition), str(paths[0]), ", ".join(different))


def _first_line(error: Exception) -> str:
    return str(error).split("\n", 1)[0]


def _load(conn: Connection, scratch: Relation, path: Path, fields: Any) -> None:
    names = [field.name for field in fields if not field.is_companion]
    columns = joined(identifier(name).as_string() for name in names)
    statement = compose("partitions/load_scratch", {"scratch": scratch, "columns": columns})
    with conn.cursor().copy(statement) as copy:
        for piece in parquet_module().read_as_csv(path, fields):
            copy.write(piece)


def require_archive(partition: str, archive: str, manifest: Mapping[str, Any]) -> Figures:
    """Return the figures of a verified archive; ArchiveLost where a file, or object, is not the one that was verified."""
    try:
        require_files(archive, manifest)
    except FileFault as error:
        raise ArchiveLost(partition, error.path, error.reason) from error
    return from_json(manifest)
