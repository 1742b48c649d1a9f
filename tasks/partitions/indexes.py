"""Declared indexes: on the parent without building, then on each partition concurrently, then attached (D5).

Belongs here: finding what is missing, invalid or different, and building it while the table is read and written.
Keep out: which indexes are worth having (the declaration), and the indexes of a new partition (`build`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import psycopg
from psycopg import sql

from tasks.core.connect import Connection, Kind, open_connection, transaction, with_lock_retries
from tasks.core.declaration import Declaration, Index
from tasks.core.errors import LockBusy, MissingRight, Permanent, UnsuitableRelation
from tasks.core.names import Relation
from tasks.core.sqlfiles import fetch, fetch_one, identifier, run, trusted
from tasks.partitions.catalog import read_parent
from tasks.partitions.partition import Parent

Phase = Literal["before_attach", "after_load"]
OnProgress = Callable[[str, int, int | None], None]
#: Advisory lock of whoever builds indexes of a table.
LOCK = "index:"


@dataclass(eq=False)
class IndexDiffers(Permanent):
    """The index {index} of {table} is '{found}' but is declared as '{declared}'. Drop or rename it, or correct the
    declaration; nothing was changed."""

    table: str
    index: str
    found: str
    declared: str


@dataclass(eq=False)
class InvalidIndex(Permanent):
    """The index {index} of {table} cannot be built as declared: {reason}. Correct it in the declaration; nothing was changed."""

    table: str
    index: str
    reason: str


@dataclass(eq=False)
class IndexFailed(Permanent):
    """The index {index} could not be built on {partition}: {reason}. What was built stays; an invalid rest is removed by the
    next run."""

    index: str
    partition: str
    reason: str


@dataclass(frozen=True)
class IndexResult:
    """What became of one declared index; `built` counts the partitions on which it was built or attached now."""

    table: str
    index: str
    outcome: Literal["present", "created", "completed"]
    built: int = 0


@dataclass(frozen=True)
class _Target:
    """An index of the parent that is to become valid on every partition."""

    oid: int
    relation: Relation
    kind: str
    definition: str
    is_valid: bool


@dataclass(frozen=True)
class _Work:
    """The connection for CONCURRENTLY, the parent, and who listens."""

    conn: Connection
    parent: Parent
    on_progress: OnProgress | None
    is_quiet: bool


def ensure_indexes(
    table: str,
    declaration: Declaration,
    phase: Phase,
    *,
    on_progress: OnProgress | None = None,
    is_quiet: bool = False,
) -> list[IndexResult]:
    """Give a declared table the indexes declared for `phase`; what is there already costs one look at the catalog.

    `is_quiet` says that nobody but maintenance writes the table yet, as before a cutover: plain builds are then several
    times faster. Locks: SHARE on the parent for a moment where an index is new; SHARE UPDATE EXCLUSIVE (SHARE where
    quiet) on one partition at a time while its index is built; ACCESS EXCLUSIVE on that index alone to attach it. Raises NotDeclared,
    IndexDiffers, InvalidIndex, IndexFailed, LockBusy (also where another session builds indexes of the table).
    """
    policy = declaration.table(table)
    wanted = {name: index for name, index in policy.indexes.items() if index.build == phase}
    if not wanted:
        return []
    with transaction(Kind.READ) as conn:
        parent = read_parent(conn, Relation.parse(table), policy.partitioning.by)
    definitions = _as_the_server_writes(parent, wanted)
    found = _match(parent, definitions)
    if all(target is not None and target.is_valid for target in found.values()):
        return [IndexResult(table, name, "present") for name in wanted]
    with _building(parent) as conn:
        work = _Work(conn, parent, on_progress, is_quiet)
        return [_ensure(work, name, wanted[name], target) for name, target in found.items()]


def _as_the_server_writes(parent: Parent, wanted: Mapping[str, Index]) -> dict[str, str]:
    """Return each declared definition in the server's own spelling, from an empty table that is rolled back."""
    probe = Relation("maintenance", f"index_probe_{parent.oid}")

    def attempt(conn: Connection) -> dict[str, str]:
        with conn.transaction(force_rollback=True):
            run(conn, "partitions/create_probe", probe=probe, parent=parent.relation)
            for name, index in wanted.items():
                with _as_declared(parent, name):
                    _create(conn, name, probe, index)
            rows = fetch(conn, "partitions/list_probe_indexes", schema=probe.schema, name=probe.name)
        return {row["name"]: row["definition"] for row in rows}

    return with_lock_retries(parent.relation, "read the columns of", attempt)


@contextmanager
def _as_declared(parent: Parent, name: str) -> Iterator[None]:
    try:
        yield
    except psycopg.errors.InsufficientPrivilege as error:
        remedy = f"Let the flows run as a member of {parent.owner} with CREATE on its schema."
        reason = error.diag.message_primary or ""
        raise MissingRight("the current role", "create an index on", str(parent.relation), reason, remedy) from error
    except (psycopg.ProgrammingError, psycopg.NotSupportedError, psycopg.DataError) as error:
        raise InvalidIndex(str(parent.relation), name, error.diag.message_primary or str(error)) from error


def _create(conn: Connection, name: str, relation: Relation, index: Index) -> None:
    options = [trusted("{} = {}").format(identifier(key), sql.Literal(str(value))) for key, value in index.options.items()]
    clauses = {
        "options": trusted("with ({})").format(sql.SQL(", ").join(options)) if options else "",
        "predicate": trusted("where {}").format(trusted(index.where)) if index.where else "",
    }
    names = {"index": name, "relation": relation, "using": index.using, "columns": trusted(index.columns)}
    run(conn, "partitions/create_parent_index", **names, **clauses)


def _match(parent: Parent, definitions: Mapping[str, str]) -> dict[str, _Target | None]:
    """Find each definition on the parent, by name or, on an adopted table, under another one; IndexDiffers where it differs."""
    with transaction(Kind.READ) as conn:
        rows = fetch(conn, "partitions/list_parent_indexes", parent=parent.oid)
    named = {row["name"]: row for row in rows}
    alike = {row["full_definition"]: row for row in rows if row["constraint_definition"] is None}
    for name, definition in definitions.items():
        if name in named and named[name]["full_definition"] != definition:
            raise IndexDiffers(str(parent.relation), name, named[name]["full_definition"], definition)
    found = {name: named.get(name) or alike.get(text) for name, text in definitions.items()}
    return {name: _target(row) if row else None for name, row in found.items()}


def _target(row: Mapping[str, Any]) -> _Target:
    return _Target(row["oid"], Relation(row["schema"], row["name"]), row["kind"], row["definition"], row["is_valid"])


@contextmanager
def _building(parent: Parent) -> Iterator[Connection]:
    """Lend a connection for CONCURRENTLY that holds the table's index lock; LockBusy where another session builds."""
    subject = LOCK + str(parent.relation)
    with closing(open_connection(Kind.CONCURRENT, purpose=f"build indexes {parent.relation}")) as conn:
        if not fetch_one(conn, "core/try_lock", subject=subject)["taken"]:
            holders = fetch(conn, "core/lock_holder", subject=subject)
            held_by = "; ".join(f"pid {row['pid']} ({row['application_name']})" for row in holders)
            raise LockBusy(str(parent.relation), "build indexes on", 0, held_by or "a session that has just ended")
        yield conn


def _ensure(work: _Work, name: str, index: Index, target: _Target | None) -> IndexResult:
    is_new = target is None
    target = target or _create_on_parent(work.parent, name, index)
    built = 0 if target.is_valid else _complete(work, target)
    outcome = "created" if is_new else "completed" if not target.is_valid else "present"
    return IndexResult(str(work.parent.relation), name, outcome, built)


def _create_on_parent(parent: Parent, name: str, index: Index) -> _Target:
    """Without partitions the index is valid at once; else it is built below it, and new partitions have it already."""

    def attempt(conn: Connection) -> None:
        try:
            _create(conn, name, parent.relation, index)
        except psycopg.errors.DuplicateTable as error:
            reason = f"its schema has another relation called {name}"
            raise InvalidIndex(str(parent.relation), name, reason) from error

    with _as_declared(parent, name):
        with_lock_retries(parent.relation, f"create the index {name} on", attempt)
    with transaction(Kind.READ) as conn:
        rows = fetch(conn, "partitions/list_parent_indexes", parent=parent.oid)
    return next(_target(row) for row in rows if row["name"] == name)


def _complete(work: _Work, target: _Target) -> int:
    """Build and attach the index on each partition that lacks it; return how many those were."""
    lacking = fetch(work.conn, "partitions/list_leaf_indexes", parent=work.parent.oid, index=target.oid, partition=None)
    for number, leaf in enumerate(lacking, start=1):
        _complete_leaf(work, target, leaf)
        if work.on_progress:
            work.on_progress(f"index {target.relation.name}", number, len(lacking))
    if work.is_quiet:
        _attach_built(work, target)
    rows = fetch(work.conn, "partitions/list_parent_indexes", parent=work.parent.oid)
    if not any(row["oid"] == target.oid and row["is_valid"] for row in rows):
        reason = "it is attached everywhere and still invalid, so a partition's own is: reindex that one concurrently"
        raise IndexFailed(str(target.relation), str(work.parent.relation), reason)
    return len(lacking)


def _complete_leaf(work: _Work, target: _Target, leaf: Mapping[str, Any]) -> None:
    partition = Relation(leaf["schema"], leaf["name"])
    if not leaf["is_leaf"]:
        reason = f"its partition {partition} is partitioned itself or foreign, where no index is built concurrently"
        raise UnsuitableRelation(str(work.parent.relation), reason)
    valid = _remove_invalid(work.conn, partition, leaf["candidates"])
    if not valid:
        _build(work, target, partition)
    if work.is_quiet:
        return
    if not valid:
        valid = _valid_candidates(work, target, partition)
    for name in valid[:1]:
        _attach(target, partition.sibling(name))


def _valid_candidates(work: _Work, target: _Target, partition: Relation) -> list[str]:
    about = {"parent": work.parent.oid, "index": target.oid, "partition": partition.name}
    rows = fetch(work.conn, "partitions/list_leaf_indexes", **about)
    mine = [row for row in rows if (row["schema"], row["name"]) == (partition.schema, partition.name)]
    return [candidate["name"] for row in mine for candidate in row["candidates"] if candidate["is_valid"]]


def _remove_invalid(conn: Connection, partition: Relation, candidates: list[dict[str, Any]]) -> list[str]:
    """Drop what interrupted builds left behind and return the names that are valid; LockBusy where one is being built."""
    builders = [candidate["builder"] for candidate in candidates if candidate["builder"]]
    if builders:
        raise LockBusy(str(partition), "build an index on", 0, f"pid {builders[0]}, which is building the same index")
    for candidate in candidates:
        if not candidate["is_valid"]:
            run(conn, "partitions/drop_invalid_index", index=partition.sibling(candidate["name"]))
    return [candidate["name"] for candidate in candidates if candidate["is_valid"]]


def _attach_built(work: _Work, target: _Target) -> None:
    """Attach everything that was built, together: nobody else is at work on the table."""
    rows = fetch(work.conn, "partitions/list_leaf_indexes", parent=work.parent.oid, index=target.oid, partition=None)
    built = [(row["schema"], next(c["name"] for c in row["candidates"] if c["is_valid"])) for row in rows]

    def attempt(conn: Connection) -> None:
        for schema, name in built:
            run(conn, "partitions/attach_index", parent_index=target.relation, index=Relation(schema, name))

    with_lock_retries(work.parent.relation, f"attach the parts of {target.relation.name} of", attempt)


def _build(work: _Work, target: _Target, partition: Relation) -> None:
    name = "partitions/create_leaf_index_plainly" if work.is_quiet else "partitions/create_leaf_index"
    try:
        run(work.conn, name, partition=partition, kind=target.kind, definition=target.definition)
    except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected) as error:
        waited = Kind.CONCURRENT.value.lock_ms
        raise LockBusy(str(partition), f"build {target.relation.name} on", waited, error.diag.message_primary or "") from error
    except (psycopg.DataError, psycopg.ProgrammingError, psycopg.IntegrityError) as error:
        raise IndexFailed(str(target.relation), str(partition), error.diag.message_primary or str(error)) from error


def _attach(target: _Target, index: Relation) -> None:
    def attempt(conn: Connection) -> None:
        run(conn, "partitions/attach_index", parent_index=target.relation, index=index)

    with_lock_retries(index, f"attach to {target.relation}", attempt)
