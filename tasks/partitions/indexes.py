"""Declared indexes: on the parent without building, then on each partition concurrently, then attached (D5).

Belongs here: finding what is missing, invalid or different, and building it while the table is read and written.
Keep out: which indexes are worth having (the declaration), the acts on one partition (`index_build`), and the indexes of a new
partition (`build`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Literal

import psycopg
from psycopg import sql

from tasks.core.connect import Connection, Kind, open_connection, transaction, with_lock_retries
from tasks.core.declaration import Declaration, Index
from tasks.core.errors import LockBusy, MissingRight, Permanent
from tasks.core.ledger import RUN, wait_for_units
from tasks.core.names import Relation
from tasks.core.sqlfiles import fetch, fetch_one, identifier, run, trusted
from tasks.partitions.catalog import read_parent
from tasks.partitions.index_build import OnProgress, Target, Work, complete, read_targets, target_of
from tasks.partitions.partition import Parent

Phase = Literal["before_attach", "after_load"]
#: The group of whoever builds indexes of a table: the run lock `run:index:<table>`, which `rebuild_indexes` takes too.
BUILDING = "index:"


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


@dataclass(frozen=True)
class IndexResult:
    """What became of one declared index; `built` counts the partitions on which it was built or attached now."""

    table: str
    index: str
    outcome: Literal["present", "created", "completed"]
    built: int = 0


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
        parent = read_parent(conn, Relation.parse(table), policy.partitioning.by, to_build=False)
    definitions = as_the_server_writes(parent, wanted)
    found = match_declared(parent, definitions)
    if all(target is not None and target.is_valid for target in found.values()):
        return [IndexResult(table, name, "present") for name in wanted]
    with _building(parent) as conn:
        work = Work(conn, parent, on_progress, is_quiet)
        return [_ensure(work, name, wanted[name], target) for name, target in found.items()]


def as_the_server_writes(parent: Parent, wanted: Mapping[str, Index]) -> dict[str, str]:
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


def match_declared(parent: Parent, definitions: Mapping[str, str]) -> dict[str, Target | None]:
    """Find each definition on the parent, by name or, on an adopted table, under another one; IndexDiffers where it differs."""
    with transaction(Kind.READ) as conn:
        rows = fetch(conn, "partitions/list_parent_indexes", parent=parent.oid)
    named = {row["name"]: row for row in rows}
    alike = {row["full_definition"]: row for row in rows if row["constraint_definition"] is None}
    for name, definition in definitions.items():
        if name in named and named[name]["full_definition"] != definition:
            raise IndexDiffers(str(parent.relation), name, named[name]["full_definition"], definition)
    found = {name: named.get(name) or alike.get(text) for name, text in definitions.items()}
    return {name: target_of(row) if row else None for name, row in found.items()}


@contextmanager
def _building(parent: Parent) -> Iterator[Connection]:
    """Lend a connection for CONCURRENTLY that holds the table's index lock; LockBusy where another session builds."""
    group = BUILDING + str(parent.relation)
    subject = RUN + group
    with closing(open_connection(Kind.CONCURRENT, purpose=f"build indexes {parent.relation}")) as conn:
        if not fetch_one(conn, "core/try_lock", subject=subject)["taken"]:
            holders = fetch(conn, "core/lock_holder", subject=subject)
            held_by = "; ".join(f"pid {row['pid']} ({row['application_name']})" for row in holders)
            raise LockBusy(str(parent.relation), "build indexes on", 0, held_by or "a session that has just ended")
        wait_for_units(group)
        yield conn


def _ensure(work: Work, name: str, index: Index, target: Target | None) -> IndexResult:
    is_new = target is None
    target = target or create_on_parent(work.parent, name, index)
    built = 0 if target.is_valid else complete(work, target)
    outcome = "created" if is_new else "completed" if not target.is_valid else "present"
    return IndexResult(str(work.parent.relation), name, outcome, built)


def create_on_parent(parent: Parent, name: str, index: Index) -> Target:
    """Without partitions the index is valid at once; else it is built below it, and new partitions have it already."""

    def attempt(conn: Connection) -> None:
        try:
            _create(conn, name, parent.relation, index)
        except psycopg.errors.DuplicateTable as error:
            reason = f"its schema has another relation called {name}"
            raise InvalidIndex(str(parent.relation), name, reason) from error

    with _as_declared(parent, name):
        with_lock_retries(parent.relation, f"create the index {name} on", attempt)
    return next(target for target in read_targets(parent) if target.relation.name == name)
