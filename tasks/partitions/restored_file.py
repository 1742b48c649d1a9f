"""Rebuild a dropped partition from its archive: beside its parent, proven, and waiting like any detached one (D4).

Belongs here: the file's own checks, the columns that changed meanwhile, the load and its proof, in one transaction.
Keep out: attaching it (`restore`), and Arrow except through `parquet`. What dies here leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any

from tasks.core.connect import Connection
from tasks.core.disk import free_bytes
from tasks.core.errors import Permanent
from tasks.core.names import Relation
from tasks.core.sqlfiles import compose, fetch, fetch_one, identifier, run
from tasks.partitions.archive_proof import parquet_module
from tasks.partitions.build import build_partition, finish_partition
from tasks.partitions.figures import Column, differences, from_json, joined, list_columns, read_figures
from tasks.partitions.partition import Parent
from tasks.partitions.uploads import FileFault, archive_directory, files_here

#: The table once, and its keys and indexes, which are rarely larger than it.
COPIES = 2


@dataclass(eq=False)
class RestoreRefused(Permanent):
    """{partition} is not restored to {table}: {reason}. {remedy}"""

    partition: str
    table: str
    reason: str
    remedy: str = "Remove the cause and run again; nothing was changed."


@dataclass(frozen=True)
class ArchivedPartition:
    """A dropped partition, by its retirement: its bounds, where its files are kept and what proves them."""

    id: int
    lower: datetime
    upper: datetime
    archive: str
    manifest: Mapping[str, Any]

    @property
    def types(self) -> dict[str, str]:
        """The type of each column of the file, in order."""
        return {column["name"]: column["type"] for column in self.manifest["columns"]}


@dataclass(frozen=True)
class ParentColumn:
    """A column as the parent has it now; `definition` adds it to a table that lacks it."""

    name: str
    type: str
    is_generated: bool
    is_required: bool
    definition: str


def list_parent_columns(conn: Connection, parent: Parent) -> list[ParentColumn]:
    """Return the columns that a partition of the parent must have."""
    return [ParentColumn(**row) for row in fetch(conn, "partitions/parent_columns", parent=parent.oid)]


def lacking_columns(
    partition: Relation, parent: Relation, columns: Sequence[ParentColumn], found: Mapping[str, str]
) -> list[ParentColumn]:
    """Return the parent's columns that a partition lacks and can take by their default.

    `found` is name and type of its own. Raises RestoreRefused where they do not fit together.
    """
    types = {column.name: column.type for column in columns}
    lacking = [column for column in columns if column.name not in found]
    problems = [
        f"{name} is {types[name]} there now and {kind} here" for name, kind in found.items() if types.get(name, kind) != kind
    ]
    problems += [f"{name} is not there any more" for name in found if name not in types]
    problems += [f"{column.name} is new, not null and without a default" for column in lacking if column.is_required]
    if problems:
        remedy = f"Change {parent} or, while it waits, the detached table so that their columns agree; nothing was changed."
        raise RestoreRefused(str(partition), str(parent), f"columns changed since: {'; '.join(problems)}", remedy)
    return lacking


def find_archive(conn: Connection, parent: Relation, partition: Relation) -> ArchivedPartition:
    """Return the archive of a partition that retention has dropped; RestoreRefused where there is none."""
    rows = fetch(conn, "partitions/find_archive", parent=str(parent), partition=str(partition))
    if not rows:
        remedy = "Name one that stands in maintenance.retirement; nothing was changed."
        raise RestoreRefused(str(partition), str(parent), "it is neither a partition nor one that retention knows", remedy)
    row = rows[0]
    if row["manifest"] is None:
        raise RestoreRefused(str(partition), str(parent), "it is gone and was never archived", "Look into a backup.")
    if row["lower"] is None or row["upper"] is None:
        raise RestoreRefused(str(partition), str(parent), "it has an open bound", "Load its archive by hand.")
    return ArchivedPartition(row["id"], row["lower"], row["upper"], row["archive"], row["manifest"])


@contextmanager
def verified_files(partition: Relation, parent: Relation, archived: ArchivedPartition) -> Iterator[list[Path]]:
    """Lend the archive's files on this machine, brought here from Storage where they are kept there.

    Raises RestoreRefused where one is not there or not the one that was verified, and what Storage raises.
    """
    aside = archive_directory() / f".restore-{archived.id}"
    try:
        with files_here(archived.archive, archived.manifest, aside) as files:
            yield files
    except FileFault as error:
        remedy = "Put the verified file back and run again; nothing was changed."
        raise RestoreRefused(str(partition), str(parent), f"its archive {error.path} {error.reason}", remedy) from error


def require_room(
    conn: Connection, partition: Relation, parent: Relation, archived: ArchivedPartition, files: Sequence[Path]
) -> None:
    """Raise RestoreRefused where the server's disk is known and too small for the table and its indexes."""
    free = free_bytes(conn)
    size = archived.manifest.get("table_bytes") or parquet_module().content_bytes(files)
    if free is not None and free < COPIES * size:
        reason = f"the server's data directory has {free} bytes free and it may take {COPIES * size}"
        raise RestoreRefused(str(partition), str(parent), reason, "Free space and run again; nothing was changed.")


def rebuild_partition(
    conn: Connection,
    parent: Parent,
    partition: Relation,
    archived: ArchivedPartition,
    files: Sequence[Path],
    *,
    run_id: int,
    as_of: datetime,
) -> int:
    """Make the table where it stood, load and prove it, and record that it waits; returns its rows.

    In the caller's transaction. Locks: ACCESS SHARE on the parent. Raises RestoreRefused.
    """
    columns = list_parent_columns(conn, parent)
    lacking_columns(partition, parent.relation, columns, archived.types)
    build_partition(conn, parent, partition.name, archived.lower, archived.upper, schema=partition.schema)
    computed = frozenset(column.name for column in columns if column.is_generated)
    rows = _load(conn, parent, partition, archived, files=files, computed=computed)
    finish_partition(conn, parent, partition)
    names = {"schema": partition.schema, "name": partition.name}
    run(conn, "partitions/record_rebuilt", id=archived.id, run_id=run_id, as_of=as_of, **names)
    return rows


def _load(
    conn: Connection,
    parent: Parent,
    partition: Relation,
    archived: ArchivedPartition,
    *,
    files: Sequence[Path],
    computed: frozenset[str],
) -> int:
    parquet, expected = parquet_module(), from_json(archived.manifest)
    columns = _columns_of_file(conn, partition, archived)
    fields = parquet.fields_of(columns, {column.name: column.beyond for column in expected.columns})
    names = joined(identifier(column.name).as_string() for column in columns if column.name not in computed)
    with conn.cursor().copy(compose("partitions/load_scratch", {"scratch": partition, "columns": names})) as copy:
        for piece in chain.from_iterable(parquet.read_as_csv(path, fields, computed) for path in files):
            copy.write(piece)
    is_same_major = archived.manifest["server_version_num"] // 10_000 == conn.info.server_version // 10_000
    different = differences(expected, read_figures(conn, partition, columns), is_same_major=is_same_major)
    if different:
        reason = f"its archive {archived.archive} does not give back what was archived: {', '.join(different)}"
        raise RestoreRefused(str(partition), str(parent.relation), reason, "Look at the file; nothing was changed.")
    return expected.rows


def _columns_of_file(conn: Connection, partition: Relation, archived: ArchivedPartition) -> list[Column]:
    """Return the new table's columns that the file has, in the file's order."""
    oid = fetch_one(conn, "partitions/read_oid", schema=partition.schema, name=partition.name)["oid"]
    columns = {column.name: column for column in list_columns(conn, oid, archived.manifest)}
    return [columns[name] for name in archived.types]
