"""What the catalog says about partitioned tables: the only place where bounds are read.

Belongs here: reading a parent, its partitions, and the names in a schema; the errors of a table that cannot be maintained.
Keep out: deciding (`plan`) and changing (`create`, `indexes`). Nothing here takes more than ACCESS SHARE on the catalog.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from tasks.core.connect import Connection, Kind, transaction
from tasks.core.errors import LockBusy, MaintenanceError, MissingRelation, MissingRight, UnsuitableRelation
from tasks.core.names import Relation
from tasks.core.sqlfiles import fetch, fetch_one
from tasks.partitions.partition import Likeness, Parent, Partition

#: Tables whose facts are read in one transaction: few statements for each, and few locks at once.
MOST_TOGETHER = 100

K = TypeVar("K")
P = TypeVar("P")
R = TypeVar("R")
T = TypeVar("T")

_KEY_TYPES = {
    "timestamp with time zone": "timestamptz",
    "timestamp without time zone": "timestamp",
    "date": "date",
}


def list_partitions(conn: Connection, relation: Relation) -> list[Partition]:
    """Return the direct partitions in order of their lower bound, the default last; pending detaches are among them."""
    oids = fetch(conn, "partitions/oid_of", schema=relation.schema, name=relation.name)
    return [partition for row in oids for partition in list_partitions_of(conn, [row["oid"]])[row["oid"]]]


def list_partitions_of(conn: Connection, parents: Sequence[int]) -> dict[int, list[Partition]]:
    """Return what `list_partitions` does of every table at once, by its oid."""
    found: dict[int, list[Partition]] = {parent: [] for parent in parents}
    for row in fetch(conn, "partitions/list_partitions", parents=list(parents)):
        states = (row["is_pending_detach"], row["is_default"], row["is_leaf"])
        found[row["parent_oid"]].append(Partition(Relation(row["schema"], row["name"]), row["lower"], row["upper"], *states))
    return found


def read_parent(conn: Connection, relation: Relation, by: str | None = None, *, to_build: bool = True) -> Parent:
    """Return the facts of a table partitioned by range over one column of time, which must be `by` where given.

    What a new partition takes over is read where one may be made from these facts: `to_build`.

    Raises MissingRelation, UnsuitableRelation naming what it is instead, or MissingRight where the session's role is not
    a member of the owner.
    """
    parent = or_raise(read_parents(conn, {relation: by})[relation])
    return replace(parent, likeness=_likeness(conn, parent.oid)) if to_build else parent


def read_parents(conn: Connection, asked: Mapping[Relation, str | None]) -> dict[Relation, Parent | MaintenanceError]:
    """Return what `read_parent` returns or raises of every table at once, without what a new partition takes over."""
    names = {"schemas": [relation.schema for relation in asked], "names": [relation.name for relation in asked]}
    rows = {(row["schema"], row["name"]): row for row in fetch(conn, "partitions/read_parents", **names)}
    where = f" in the database {conn.info.dbname}"
    return {
        relation: _parent(relation, rows[key], by)
        if (key := (relation.schema, relation.name)) in rows
        else MissingRelation(str(relation), where)
        for relation, by in asked.items()
    }


def or_raise(found: T | MaintenanceError) -> T:
    """Return what was found of one table among many, or raise what was found wrong with it."""
    if isinstance(found, MaintenanceError):
        raise found
    return found


def each_found(
    names: Sequence[K], read: Callable[[Connection, Sequence[K]], Mapping[K, T | MaintenanceError]]
) -> dict[K, T | MaintenanceError]:
    """Read the facts of many tables, MOST_TOGETHER in one transaction; those of a busy one are read apart from the others.

    So a table that somebody has locked fails alone, with LockBusy. Locks: what `read` takes, until its transaction ends.
    """
    found: dict[K, T | MaintenanceError] = {}
    for facts in _in_batches(names, read):
        found |= facts
    return found


def _in_batches(
    names: Sequence[K], read: Callable[[Connection, Sequence[K]], Mapping[K, T | MaintenanceError]]
) -> Iterator[Mapping[K, T | MaintenanceError]]:
    for first in range(0, len(names), MOST_TOGETHER):
        yield _together(names[first : first + MOST_TOGETHER], read)


def _together(
    names: Sequence[K], read: Callable[[Connection, Sequence[K]], Mapping[K, T | MaintenanceError]]
) -> Mapping[K, T | MaintenanceError]:
    try:
        with transaction(Kind.READ) as conn:
            return read(conn, names)
    except LockBusy as error:
        if len(names) == 1:
            return {names[0]: error}
        return {name: one for alone in names for name, one in _together([alone], read).items()}


def each_planned(
    policies: Mapping[K, P | MaintenanceError],
    read: Callable[[Connection, Sequence[K]], Mapping[K, T | MaintenanceError]],
    plan: Callable[[K, T, P], R],
) -> dict[K, R | MaintenanceError]:
    """Plan each table from its facts; an error stays in the place of its policy or its facts.

    MOST_TOGETHER are planned before the facts of others are read: those of all would take memory that grows with their number.
    """
    asked = {name: policy for name, policy in policies.items() if not isinstance(policy, MaintenanceError)}
    done: dict[K, R | MaintenanceError] = {
        name: policy for name, policy in policies.items() if isinstance(policy, MaintenanceError)
    }
    for seen in _in_batches(list(asked), read):
        done |= {
            name: facts if isinstance(facts, MaintenanceError) else plan(name, facts, asked[name])
            for name, facts in seen.items()
        }
    return {name: done[name] for name in policies}


def _unsuitable(facts: Mapping[str, Any], by: str | None) -> str | None:
    if facts["kind"] != "p":
        return "it is not partitioned"
    if facts["strategy"] != "r":
        return f"it is partitioned by {'list' if facts['strategy'] == 'l' else 'hash'} and not by range"
    if facts["columns"] != 1 or facts["key"] is None:
        return "its partition key is not one plain column"
    if facts["key_type"] not in _KEY_TYPES:
        return f"its partition key {facts['key']} is of type {facts['key_type']} and not timestamptz, timestamp or date"
    if by is not None and by != facts["key"]:
        return f"it is partitioned by {facts['key']} but declared by {by}"
    return None


def _parent(relation: Relation, facts: Mapping[str, Any], by: str | None) -> Parent | MaintenanceError:
    reason = _unsuitable(facts, by)
    if reason:
        remedy = "Partition it by range over one column of time, and declare that column."
        return UnsuitableRelation(str(relation), reason, remedy)
    if not facts["may_own"]:
        remedy = f"Grant it with: grant {facts['owner']} to {facts['role_name']}"
        return MissingRight(facts["role_name"], "maintain", str(relation), f"only its owner {facts['owner']} may", remedy)
    kept = ("oid", "key", "owner", "has_rls", "has_default", "is_owned_by_session")
    key_type: Any = _KEY_TYPES[facts["key_type"]]
    return Parent(relation=relation, key_type=key_type, likeness=Likeness(), **{name: facts[name] for name in kept})


def _likeness(conn: Connection, oid: int) -> Likeness:
    row = fetch_one(conn, "partitions/read_likeness", parent=oid)
    pairs = {name: tuple((first, second) for first, second in row.pop(name)) for name in ("grants", "policies")}
    return Likeness(revoke_from=tuple(row.pop("revoke_from")), **pairs, **row)
