"""Rows of a default partition that lie where a partition is due: counted for the plan, moved when it is made (D3).

Belongs here: why they cannot be moved, and the statements of one move in the caller's transaction, in which the new partition
is built and attached: readers of the parent see each row once, before in the default and after in its partition.
Keep out: which partitions are due (`plan`), lock waits (`create`). The set-up we recommend has no default partition
(docs/decisions/0003).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tasks.core.connect import Connection
from tasks.core.errors import Permanent
from tasks.core.names import Relation
from tasks.core.sqlfiles import fetch, fetch_one, run, trusted
from tasks.partitions.bounds import as_key
from tasks.partitions.partition import Parent, Partition
from tasks.partitions.plan import Create

#: Rows moved in one transaction, in which nobody writes to the default partition: seconds, not minutes.
MOST_ROWS = 500_000


@dataclass(eq=False)
class DefaultHoldsRows(Permanent):
    """The default partition {partition} of {table} holds {rows} rows between {lower} and {upper}, where a partition is due, and
    they cannot be moved: {reason}. Nothing was changed."""

    partition: str
    table: str
    rows: int
    lower: str
    upper: str
    reason: str


def default_of(existing: Sequence[Partition]) -> Partition | None:
    """Return the default partition, None where there is none."""
    return next((partition for partition in existing if partition.is_default), None)


def count_rows(conn: Connection, parent: Parent, default: Partition, creates: Sequence[Create]) -> list[Create]:
    """Say of each partition to be made how many rows come out of the default one; reads only.

    Raises DefaultHoldsRows where there are any and they cannot be moved.
    """
    counted = [replace(create, from_default=_count(conn, parent, default, create)) for create in creates]
    for create in counted:
        reason = _obstacle(conn, default, create.from_default) if create.from_default else None
        if reason:
            lower, upper = (f"{bound:%Y-%m-%d %H:%M} UTC" for bound in (create.lower, create.upper))
            raise DefaultHoldsRows(str(default.relation), str(parent.relation), create.from_default, lower, upper, reason)
    return counted


def _count(conn: Connection, parent: Parent, default: Partition, create: Create) -> int:
    bounds = {"lower": as_key(create.lower, parent.key_type), "upper": as_key(create.upper, parent.key_type)}
    rows: int = fetch_one(conn, "partitions/count_default_rows", partition=default.relation, key=parent.key, **bounds)["rows"]
    return rows


def _obstacle(conn: Connection, default: Partition, rows: int) -> str | None:
    """A move deletes and inserts, so whoever is told of deletes would believe that the rows are gone."""
    if not default.is_leaf:
        return "it is partitioned itself or foreign; move them by hand"
    if rows > MOST_ROWS:
        return f"more than {MOST_ROWS:,} would move in one transaction; declare a shorter interval, or move some by hand"
    relation = default.relation
    found = fetch(conn, "partitions/default_obstacles", schema=relation.schema, name=relation.name)
    return "; ".join(row["reason"] for row in found) or None


def move_rows(conn: Connection, parent: Parent, default: Relation, partition: Relation, create: Create) -> int:
    """Move the rows of `create`'s bounds out of `default` into the standalone table `partition`; return how many.

    Locks: SHARE ROW EXCLUSIVE on the default partition until the transaction ends: its readers go on, its writers wait.
    """
    run(conn, "partitions/lock_default", partition=default)
    columns = fetch_one(conn, "partitions/insertable_columns", schema=default.schema, name=default.name)["columns"]
    bounds = {"lower": as_key(create.lower, parent.key_type), "upper": as_key(create.upper, parent.key_type)}
    names = {"default_partition": default, "partition": partition, "key": parent.key, "columns": trusted(columns)}
    return run(conn, "partitions/move_default_rows", **names, **bounds).rowcount
