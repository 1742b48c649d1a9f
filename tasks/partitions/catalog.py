"""What the catalog says about partitioned tables: the only place where bounds are read.

Belongs here: reading a parent, its partitions, and the names in a schema; the errors of a table that cannot be maintained.
Keep out: deciding (`plan`) and changing (`create`, `indexes`). Nothing here takes more than ACCESS SHARE on the catalog.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.core.connect import Connection
from tasks.core.errors import MissingRelation, MissingRight, UnsuitableRelation
from tasks.core.names import Relation
from tasks.core.sqlfiles import fetch, fetch_one
from tasks.partitions.partition import Likeness, Parent, Partition

_KEY_TYPES = {
    "timestamp with time zone": "timestamptz",
    "timestamp without time zone": "timestamp",
    "date": "date",
}


def list_partitions(conn: Connection, relation: Relation) -> list[Partition]:
    """Return the direct partitions in order of their lower bound, the default last; pending detaches are among them."""
    rows = fetch(conn, "partitions/list_partitions", schema=relation.schema, name=relation.name)
    return [Partition(Relation(row.pop("schema"), row.pop("name")), **row) for row in rows]


def read_parent(conn: Connection, relation: Relation, by: str | None = None, *, to_build: bool = True) -> Parent:
    """Return the facts of a table partitioned by range over one column of time, which must be `by` where given.

    What a new partition takes over is read where one may be made from these facts: `to_build`.

    Raises MissingRelation, UnsuitableRelation naming what it is instead, or MissingRight where the session's role is not
    a member of the owner.
    """
    rows = fetch(conn, "partitions/read_parent", schema=relation.schema, name=relation.name)
    if not rows:
        raise MissingRelation(str(relation), f" in the database {conn.info.dbname}")
    facts = rows[0]
    reason = _unsuitable(facts, by)
    if reason:
        raise UnsuitableRelation(
            str(relation), reason, "Partition it by range over one column of time, and declare that column."
        )
    if not facts["may_own"]:
        remedy = f"Grant it with: grant {facts['owner']} to {facts['role_name']}"
        raise MissingRight(facts["role_name"], "maintain", str(relation), f"only its owner {facts['owner']} may", remedy)
    return _parent(relation, facts, _likeness(conn, facts["oid"]) if to_build else Likeness())


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


def _parent(relation: Relation, facts: Mapping[str, Any], likeness: Likeness) -> Parent:
    kept = ("oid", "key", "owner", "has_rls", "has_default", "is_owned_by_session")
    key_type: Any = _KEY_TYPES[facts["key_type"]]
    return Parent(relation=relation, key_type=key_type, likeness=likeness, **{name: facts[name] for name in kept})


def _likeness(conn: Connection, oid: int) -> Likeness:
    row = fetch_one(conn, "partitions/read_likeness", parent=oid)
    pairs = {name: tuple((first, second) for first, second in row.pop(name)) for name in ("grants", "policies")}
    return Likeness(revoke_from=tuple(row.pop("revoke_from")), **pairs, **row)
