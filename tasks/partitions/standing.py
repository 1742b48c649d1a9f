"""Tables that stand beside a partitioned one where it lacks a partition: former ones, detached by hand (D3).

Belongs here: finding them, and saying how one is attached again. Keep out: what is due (`plan`). A new partition in the place of
one would be empty, and attaching the old one again would be refused for the overlap, so its range is left open and a person told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import Any

from tasks.core.connect import Connection
from tasks.core.errors import Permanent
from tasks.core.names import Relation
from tasks.core.sqlfiles import fetch, fetch_one
from tasks.partitions.bounds import Bounds, as_key
from tasks.partitions.build import attach_statements
from tasks.partitions.partition import Parent
from tasks.partitions.plan import Create, Standing, Wanted, holes


@dataclass(eq=False)
class PartitionStands(Permanent):
    """{table} has no partition for [{lower}, {upper}), and {name} stands beside it: {reason}. Nothing was made in its place; what
    else was due is there. Bring it back with: {attach}
    Or drop it, or move it to another schema, and run create_partitions again."""

    table: str
    lower: str
    upper: str
    name: str
    reason: str
    attach: str


def read_standing(conn: Connection, parent: Parent, wanted: Wanted, creates: Sequence[Create]) -> list[Standing]:
    """Return the former partitions that stand where one is due: by retention's record, by name, or by their rows.

    The rows are asked only of a table that has the parent's columns, and only where a hole between partitions is to be filled; a
    table of other columns or in another schema, and an empty one of another name, is none. Locks: ACCESS SHARE on those asked.
    """
    names = [create.name for create in creates]
    between = holes(creates, wanted)
    asked = {"parent": parent.oid, "table": str(parent.relation), "names": names, "has_hole": bool(between)}
    rows = fetch(conn, "partitions/list_standing", **asked)
    return [standing for row in rows for standing in _standing(conn, parent, creates, between, row)]


def _standing(
    conn: Connection, parent: Parent, creates: Sequence[Create], between: Sequence[Bounds], row: Mapping[str, Any]
) -> Iterator[Standing]:
    relation = Relation(row["schema"], row["name"])
    if row["lower"] is not None and row["upper"] is not None:
        yield Standing(str(relation), row["lower"], row["upper"], "retention has detached it and not dropped it yet")
    elif row["is_named"]:
        create = next(create for create in creates if create.name == relation.name)
        yield Standing(str(relation), create.lower, create.upper, "it has the name and the columns of that partition")
    elif row["is_readable"]:
        for hole in between:
            yield from _by_rows(conn, parent, creates, relation, hole)


def _by_rows(
    conn: Connection, parent: Parent, creates: Sequence[Create], relation: Relation, hole: Bounds
) -> Iterator[Standing]:
    lower, upper = (as_key(bound, parent.key_type) for bound in hole)
    found = fetch_one(conn, "partitions/rows_within", partition=relation, key=parent.key, lower=lower, upper=upper)
    if found["first"] is not None:
        first, last = _instant(found["first"]), _instant(found["last"])
        begin = max(create.lower for create in creates if create.lower <= first)
        end = min(create.upper for create in creates if create.upper > last)
        yield Standing(str(relation), begin, end, "it has the columns of a partition, and all of its rows lie there")


def _instant(value: Any) -> datetime:
    """Read a key as an instant; one without time zone is UTC's."""
    moment = value if isinstance(value, datetime) else datetime.combine(value, time(), UTC)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def stands(parent: Parent, standing: Standing) -> PartitionStands:
    """Return the error that names a former partition, with the statement that brings it back."""
    attach = attach_statements(parent, Relation.parse(standing.name), standing.lower, standing.upper)[0].as_string(None)
    lower, upper = (f"{bound.astimezone(UTC):%Y-%m-%d %H:%M} UTC" for bound in (standing.lower, standing.upper))
    return PartitionStands(str(parent.relation), lower, upper, standing.name, standing.reason, attach)
