"""Complete an index of a partitioned table: build it on the partitions that lack it, attach, and remove what was interrupted.

Belongs here: the acts on one partition while it is read and written, and their errors.
Keep out: which index is due and where (`indexes` from the declaration, `rebuild` from the catalog).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg

from tasks.core.connect import LOCK_BUDGET_S, Connection, Kind, naming_holders, transaction, with_lock_retries
from tasks.core.errors import LockBusy, Permanent, UnsuitableRelation
from tasks.core.names import Relation
from tasks.core.sqlfiles import fetch, run
from tasks.partitions.partition import Parent

OnProgress = Callable[[str, int, int | None], None]
#: Failures of a build that the rows or the definition cause.
_REFUSED = (psycopg.DataError, psycopg.ProgrammingError, psycopg.IntegrityError, psycopg.NotSupportedError)


@dataclass(eq=False)
class IndexFailed(Permanent):
    """The index {index} could not be built on {partition}: {reason}{detail}. What was built stays; an invalid rest is removed at
    once, or by the next run."""

    quoting = "detail"
    index: str
    partition: str
    reason: str
    detail: str = ""


@dataclass(frozen=True)
class Target:
    """An index of the parent that is to become valid on every partition."""

    oid: int
    relation: Relation
    kind: str
    definition: str
    is_valid: bool
    #: Of the constraint that it serves, as the catalog writes it; None for an index alone.
    constraint: str | None = None


@dataclass(frozen=True)
class Work:
    """The connection for CONCURRENTLY, the parent, who listens, and the partitions that are left alone."""

    conn: Connection
    parent: Parent
    on_progress: OnProgress | None = None
    is_quiet: bool = False
    left_alone: frozenset[Relation] = frozenset()


def read_targets(parent: Parent) -> list[Target]:
    """Return every key and index of the parent, the primary key first."""
    with transaction(Kind.READ) as conn:
        return [target_of(row) for row in fetch(conn, "partitions/list_parent_indexes", parent=parent.oid)]


def target_of(row: Mapping[str, Any]) -> Target:
    """Return the Target of one row of `partitions/list_parent_indexes`."""
    names = ("oid", "kind", "definition", "is_valid")
    return Target(
        relation=Relation(row["schema"], row["name"]), constraint=row["constraint_definition"], **{n: row[n] for n in names}
    )


def complete(work: Work, target: Target) -> int:
    """Build and attach the index on each partition that lacks it; return how many those were.

    Locks: SHARE UPDATE EXCLUSIVE (SHARE where quiet) on one partition at a time; ACCESS EXCLUSIVE on the built index to
    attach it (on the partition where the index serves a key). Raises IndexFailed, LockBusy, UnsuitableRelation.
    """
    lacking = [leaf for leaf in _lacking(work, target) if Relation(leaf["schema"], leaf["name"]) not in work.left_alone]
    for number, leaf in enumerate(lacking, start=1):
        try:
            _complete_leaf(work, target, leaf)
        except IndexFailed:
            if leaf["oid"] in {row["oid"] for row in _lacking(work, target)}:
                raise  # else retention has taken it out meanwhile
        if work.on_progress:
            work.on_progress(f"index {target.relation.name}", number, len(lacking))
    if work.is_quiet:
        attach_built(work, target)
    if not work.left_alone:
        _require_valid(work, target)
    return len(lacking)


def _require_valid(work: Work, target: Target) -> None:
    if any(found.oid == target.oid and found.is_valid for found in read_targets(work.parent)):
        return
    reason = (
        "it is attached everywhere and still invalid, so a partition's own is: run rebuild_indexes, which rebuilds that one"
    )
    raise IndexFailed(str(target.relation), str(work.parent.relation), reason)


def _lacking(work: Work, target: Target) -> list[dict[str, Any]]:
    return fetch(work.conn, "partitions/list_leaf_indexes", parent=work.parent.oid, index=target.oid, partition=None)


def _complete_leaf(work: Work, target: Target, leaf: Mapping[str, Any]) -> None:
    partition = Relation(leaf["schema"], leaf["name"])
    if not leaf["is_leaf"]:
        reason = f"its partition {partition} is partitioned itself or foreign, where no index is built concurrently"
        raise UnsuitableRelation(str(work.parent.relation), reason)
    valid = _remove_invalid(work.conn, partition, leaf["candidates"])
    if not valid:
        build(work, target, partition)
    if work.is_quiet:
        return
    if not valid:
        valid = [candidate for candidate in _candidates(work, target, partition) if candidate["is_valid"]]
    for candidate in valid[:1]:
        attach(target, partition, candidate)


def _candidates(work: Work, target: Target, partition: Relation) -> list[dict[str, Any]]:
    about = {"parent": work.parent.oid, "index": target.oid, "partition": partition.name}
    rows = fetch(work.conn, "partitions/list_leaf_indexes", **about)
    mine = [row for row in rows if (row["schema"], row["name"]) == (partition.schema, partition.name)]
    return [candidate for row in mine for candidate in row["candidates"]]


def _remove_invalid(conn: Connection, partition: Relation, candidates: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Drop what interrupted builds left behind and return those that are valid; LockBusy where one is being built."""
    builders = [candidate["builder"] for candidate in candidates if candidate["builder"]]
    if builders:
        raise LockBusy(str(partition), "build an index on", 0, f"pid {builders[0]}, which is building the same index")
    for candidate in candidates:
        if not candidate["is_valid"]:
            remove_invalid(conn, partition, partition.sibling(candidate["name"]))
    return [candidate for candidate in candidates if candidate["is_valid"]]


def remove_invalid(conn: Connection, partition: Relation, index: Relation, *, budget_s: float = LOCK_BUDGET_S) -> bool:
    """Drop an invalid index that is attached to nothing; False where it has become valid or has gone meanwhile.

    Whoever builds an index holds SHARE UPDATE EXCLUSIVE on its table until the end. So once we had that lock nobody is at work,
    and what is invalid then is a left-over: a build that we see half done is never taken for one. Raises LockBusy.
    """

    def is_left_over(locked: Connection) -> bool:
        run(locked, "partitions/lock_against_builds", partition=partition)
        return bool(fetch(locked, "partitions/find_invalid_index", schema=index.schema, name=index.name))

    if not with_lock_retries(partition, f"remove the invalid index {index.name} from", is_left_over, budget_s=budget_s):
        return False
    with naming_holders(conn, partition, f"remove the invalid index {index.name} from"):
        run(conn, "partitions/drop_invalid_index", index=index)
    return True


def build(work: Work, target: Target, partition: Relation) -> None:
    """Build one partition's index, attached to nothing yet; what a refused build leaves is removed. Raises IndexFailed, LockBusy."""
    name = "partitions/create_leaf_index_plainly" if work.is_quiet else "partitions/create_leaf_index"
    with _named(work.conn, target.relation, partition):
        try:
            run(work.conn, name, partition=partition, kind=target.kind, definition=target.definition)
        except _REFUSED:
            _remove_invalid(work.conn, partition, _candidates(work, target, partition))
            raise


@contextmanager
def _named(conn: Connection, index: Relation, partition: Relation) -> Iterator[None]:
    try:
        with naming_holders(conn, partition, f"build {index.name} on"):
            yield
    except _REFUSED as error:
        detail = f": {error.diag.message_detail}" if error.diag.message_detail else ""
        raise IndexFailed(str(index), str(partition), error.diag.message_primary or str(error), detail) from error


def rebuild(conn: Connection, partition: Relation, index: Relation) -> None:
    """Build an invalid index of one partition again under its name, whatever it is attached to. Raises IndexFailed, LockBusy.

    Locks: SHARE UPDATE EXCLUSIVE on the partition; ACCESS EXCLUSIVE on the index for the swap of names.
    """
    with _named(conn, index, partition):
        try:
            run(conn, "partitions/reindex_concurrently", index=index)
        except _REFUSED:
            for row in fetch(conn, "partitions/list_reindex_rests", schema=partition.schema, name=partition.name):
                remove_invalid(conn, partition, partition.sibling(row["name"]))
            raise


def attach_built(work: Work, target: Target) -> None:
    """Attach everything that was built, together: nobody else is at work on the table."""
    rows = _lacking(work, target)
    built = [(row["schema"], next(c["name"] for c in row["candidates"] if c["is_valid"])) for row in rows]

    def attempt(conn: Connection) -> None:
        for schema, name in built:
            run(conn, "partitions/attach_index", parent_index=target.relation, index=Relation(schema, name))

    with_lock_retries(work.parent.relation, f"attach the parts of {target.relation.name} of", attempt)


def attach(target: Target, partition: Relation, candidate: Mapping[str, Any]) -> None:
    """Attach a valid index of a partition to the parent's; below a key it becomes the partition's key first."""
    index = partition.sibling(candidate["name"])
    key = _key_of(target)

    def attempt(conn: Connection) -> None:
        if key and not candidate["has_constraint"]:
            run(conn, "partitions/add_key_using_index", partition=partition, index=index.name, key=key)
        run(conn, "partitions/attach_index", parent_index=target.relation, index=index)

    try:
        with_lock_retries(index, f"attach to {target.relation}", attempt)
    except (*_REFUSED, psycopg.errors.ObjectNotInPrerequisiteState) as error:
        raise IndexFailed(str(target.relation), str(partition), error.diag.message_primary or str(error)) from error


def _key_of(target: Target) -> str | None:
    """Return `primary key` or `unique` with what follows the columns; an exclusion constraint has no concurrent build."""
    if target.constraint is None:
        return None
    for key in ("PRIMARY KEY", "UNIQUE"):
        if target.constraint.startswith(f"{key} (") and target.constraint.endswith(")"):
            return key.lower()
    reason = f"the constraint {target.relation.name} ({target.constraint}) cannot be built concurrently"
    raise UnsuitableRelation(str(target.relation), reason, "Add it to the partition by hand.")


def validate(work: Work, target: Target, parts: list[Relation]) -> None:
    """Have the parent's index marked valid where every part is: attaching one once more makes the server count them again.

    A part that was invalid when it was attached, and rebuilt since, leaves the parent invalid until then.
    """
    if target.is_valid or not parts or _lacking(work, target):
        return

    def attempt(conn: Connection) -> None:
        run(conn, "partitions/attach_index", parent_index=target.relation, index=parts[0])

    with_lock_retries(parts[0], f"attach again to {target.relation}", attempt)
