"""Build a partition beside its parent and attach it: the one way in which partitions come to be (D3, D8).

Belongs here: the statements of one partition, in the caller's transaction, and the proof that it is what was wanted.
Keep out: which partitions are due (`plan`), lock waits and the ledger (`create`, and the backfill, which loads between
`build_partition` and `finish_partition`). Each function sends its statements in one round trip.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import sql

from tasks.core.connect import Connection
from tasks.core.errors import Permanent
from tasks.core.names import Relation
from tasks.core.sqlfiles import compose, fetch, run_all, trusted
from tasks.partitions.bounds import as_key
from tasks.partitions.partition import Likeness, Parent


@dataclass(eq=False)
class PartitionMismatch(Permanent):
    """{partition} did not become what was planned: {differences}. It was rolled back; nothing of it was kept."""

    partition: str
    differences: str


def build_partition(
    conn: Connection, parent: Parent, name: str, lower: datetime, upper: datetime, *, schema: str | None = None
) -> Relation:
    """Make the standalone table `name` for [lower, upper) in `schema`, the parent's by default, and return it.

    It has the parent's columns, defaults, CHECKs, comments and storage, a CHECK for its bounds, no identity and no index;
    it belongs to the parent's owner and is closed as D8 says. Locks: ACCESS SHARE on the parent.
    """
    partition = parent.relation.sibling(name) if schema is None else Relation(schema, name)
    run_all(conn, build_statements(parent, partition, lower, upper))
    return partition


def build_statements(parent: Parent, partition: Relation, lower: datetime, upper: datetime) -> list[sql.Composed]:
    """Return the statements of `build_partition`, for the plan that a person reads."""
    bounds = {"lower": as_key(lower, parent.key_type), "upper": as_key(upper, parent.key_type)}
    table = {"partition": partition, "parent": parent.relation, "key": parent.key, "storage": parent.likeness.storage}
    owner = (
        [] if parent.is_owned_by_session else [compose("partitions/set_owner", {"partition": partition, "owner": parent.owner})]
    )
    return [
        compose("partitions/create_partition", {**table, **bounds}),
        *_likeness_statements(parent.likeness, partition),
        *owner,
    ]


def _likeness_statements(like: Likeness, partition: Relation) -> list[sql.Composed]:
    """Grants are taken back first, so that a closed partition is never open, not even to its own transaction."""
    table = {"partition": partition}
    revoked = ", ".join(("public", *like.revoke_from))
    statements = [compose("partitions/revoke_grants", {**table, "grantees": revoked})]
    if like.is_closed or like.has_rls:
        statements.append(compose("partitions/enable_row_security", table))
    if like.comment is not None:
        statements.append(compose("partitions/comment_partition", {**table, "comment": like.comment}))
    if like.replica_identity is not None:
        statements.append(compose("partitions/set_replica_identity", {**table, "identity": like.replica_identity}))
    return statements if like.is_closed else [*statements, *_copied_statements(like, partition)]


def _copied_statements(like: Likeness, partition: Relation) -> list[sql.Composed]:
    table = {"partition": partition}
    grants = [compose("partitions/grant_privileges", {**table, "privileges": p, "grantee": g}) for p, g in like.grants]
    policies = [compose("partitions/create_policy", {**table, "policy": p, "definition": d}) for p, d in like.policies]
    forced = [compose("partitions/force_row_security", table)] if like.is_rls_forced else []
    return [*policies, *forced, *grants]


def finish_partition(conn: Connection, parent: Parent, partition: Relation) -> None:
    """Build on a loaded standalone partition every key and index that the parent has at this moment.

    Locks: only the partition, which nobody else can see. Raises UniqueViolation where the rows break a key.
    """
    run_all(conn, finish_statements(fetch(conn, "partitions/list_parent_indexes", parent=parent.oid), partition))


def finish_statements(indexes: list[dict[str, Any]], partition: Relation) -> list[sql.Composed]:
    """Return the statements of `finish_partition` for rows of `partitions/list_parent_indexes`."""
    return [_index_statement(index, partition) for index in indexes]


def _index_statement(index: Mapping[str, Any], partition: Relation) -> sql.Composed:
    if index["constraint_definition"]:
        return compose("partitions/build_constraint", {"partition": partition, "definition": index["constraint_definition"]})
    return compose("partitions/build_index", {"partition": partition, "kind": index["kind"], "definition": index["definition"]})


def list_lacking_checks(conn: Connection, parent: Parent, partition: Relation) -> list[dict[str, Any]]:
    """Return name and definition of each CHECK that the parent has and a standalone table has not."""
    names = {"parent": parent.oid, "schema": partition.schema, "name": partition.name}
    return fetch(conn, "partitions/lacking_checks", **names)


def complete_checks(conn: Connection, parent: Parent, partition: Relation) -> None:
    """Add the CHECKs that the parent has got since a standalone table was made like it; ATTACH refuses a table without them.

    Locks: ACCESS EXCLUSIVE on the standalone table while its rows are read. Raises CheckViolation where one does not fit.
    """
    for check in list_lacking_checks(conn, parent, partition):
        values = {"partition": partition, "constraint": check["name"], "definition": check["definition"]}
        run_all(conn, [compose("partitions/add_check", values)])


def attach_partition(conn: Connection, parent: Parent, partition: Relation, lower: datetime, upper: datetime) -> None:
    """Attach a partition made by `build_partition` for the same bounds, without a scan, and verify it from the catalog.

    Locks: SHARE UPDATE EXCLUSIVE on the parent until the transaction ends. Raises PartitionMismatch.
    """
    run_all(conn, attach_statements(parent, partition, lower, upper))
    if parent.likeness.replica_index is not None:
        _set_replica_index(conn, parent.likeness.replica_index, partition)
    _verify(conn, parent, partition, lower, upper)


def attach_statements(parent: Parent, partition: Relation, lower: datetime, upper: datetime) -> list[sql.Composed]:
    """Return the statements of `attach_partition`, for the plan that a person reads."""
    bounds = {"lower": as_key(lower, parent.key_type), "upper": as_key(upper, parent.key_type)}
    attach = compose("partitions/attach_partition", {"parent": parent.relation, "partition": partition, **bounds})
    return [attach, compose("partitions/drop_bounds_check", {"partition": partition})]


def _set_replica_index(conn: Connection, index: int, partition: Relation) -> None:
    rows = fetch(conn, "partitions/replica_index", index=index, schema=partition.schema, name=partition.name)
    for row in rows:
        identity = trusted("using index {}").format(sql.Identifier(row["name"]))
        run_all(conn, [compose("partitions/set_replica_identity", {"partition": partition, "identity": identity})])


def _verify(conn: Connection, parent: Parent, partition: Relation, lower: datetime, upper: datetime) -> None:
    rows = fetch(conn, "partitions/verify_partition", parent=parent.oid, schema=partition.schema, name=partition.name)
    differences = _differences(rows[0], parent, lower, upper) if rows else [f"it is not attached to {parent.relation}"]
    if differences:
        raise PartitionMismatch(str(partition), "; ".join(differences))


def _differences(found: Mapping[str, Any], parent: Parent, lower: datetime, upper: datetime) -> list[str]:
    """Compare with what was planned; a closed partition grants nothing to anybody but its owner."""
    is_closed = parent.likeness.is_closed
    checks = {
        f"its bounds are [{found['lower']}, {found['upper']})": (found["lower"], found["upper"]) != (lower, upper),
        f"its owner is {found['owner']}": found["owner"] != parent.owner,
        "its row-level security is off": is_closed and not found["has_rls"],
        f"it has {found['policies']} policies": is_closed and found["policies"] > 0,
        f"it is open to {', '.join(found['grantees'])}": is_closed and bool(found["grantees"]),
        f"it lacks the index {', '.join(found['lacking_indexes'])}": bool(found["lacking_indexes"]),
    }
    return [text for text, is_wrong in checks.items() if is_wrong]
