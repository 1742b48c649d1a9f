"""What retention knows of a table at one moment: the catalog's partitions, the ledger's retirements, holds, the last run.

Belongs here: reading it. Keep out: judging it (`retention_plan`) and changing anything.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

import psycopg

from tasks.core.connect import Connection
from tasks.core.declaration import Partitioning
from tasks.core.errors import UnsuitableRelation
from tasks.core.names import Relation
from tasks.core.sqlfiles import fetch, fetch_one, trusted
from tasks.partitions.catalog import read_parent
from tasks.partitions.partition import Parent
from tasks.partitions.retention_anomalies import LastRun
from tasks.partitions.retention_plan import FOREVER, NEVER, Bounds, Candidate, Hold

_FIELDS = ("name", "lower", "upper", "state", "since", "is_default", "obstacle")


@dataclass(frozen=True)
class Observed:
    """Everything that a plan is made from, and the oid and retirement of each partition by name."""

    parent: Parent
    candidates: tuple[Candidate, ...]
    holds: tuple[Hold, ...]
    oids: dict[str, int]
    retirements: dict[str, int | None]
    #: Bounds that retention itself has emptied.
    retired: tuple[Bounds, ...]
    last: LastRun | None
    now: datetime
    #: Bounds of the newest partition that holds a row.
    newest_rows: Bounds | None


@dataclass(frozen=True)
class Undelivered:
    """What the declaration keeps in spite of its age: a partition with such a row stays; asked of what ends by then."""

    condition: str
    oldest_kept: datetime


def observe(conn: Connection, table: Relation, partitioning: Partitioning, undelivered: Undelivered | None = None) -> Observed:
    """Read everything that a plan depends on.

    Locks: ACCESS SHARE on the newest partitions, down to one that has a row, and on those asked for `undelivered` rows.
    Raises what `read_parent` does, and UnsuitableRelation where the server refuses the condition.
    """
    parent = read_parent(conn, table, partitioning.by, to_build=False)
    rows = fetch(conn, "partitions/list_candidates", parent=str(table), parent_oid=parent.oid)
    candidates = tuple(Candidate(**{name: row[name] for name in _FIELDS}) for row in rows)
    if undelivered is not None:
        candidates = tuple(_kept(conn, table, candidate, undelivered) for candidate in candidates)
    memory = fetch_one(conn, "partitions/read_retention", relation=str(table))
    now: datetime = memory.pop("now")
    unread = frozenset(row["name"] for row in fetch(conn, "partitions/list_unread", parent_oid=parent.oid))
    retired = fetch(conn, "partitions/list_retired_bounds", parent=str(table), parent_oid=parent.oid)
    return Observed(
        parent,
        candidates,
        list_holds(conn, table),
        oids={row["name"]: row["oid"] for row in rows},
        retirements={row["name"]: row["retirement_id"] for row in rows},
        retired=tuple((row["lower"], row["upper"]) for row in retired),
        last=LastRun(**memory) if memory["keep"] is not None else None,
        now=now,
        newest_rows=_newest_rows(conn, candidates, unread),
    )


def _kept(conn: Connection, table: Relation, candidate: Candidate, undelivered: Undelivered) -> Candidate:
    """Give a partition that may go an obstacle where it holds such a row; one that has left already is asked again."""
    is_old = candidate.upper is not None and candidate.upper <= undelivered.oldest_kept
    if candidate.is_default or candidate.obstacle or candidate.state == "pending" or not is_old:
        return candidate
    partition, condition = Relation.parse(candidate.name), trusted(undelivered.condition)
    try:
        found = fetch_one(conn, "partitions/has_kept_row", partition=partition, condition=condition)["has_row"]
    except psycopg.ProgrammingError as error:
        reason = f"its keep_where is refused by the server: {error.diag.message_primary}"
        raise UnsuitableRelation(str(table), reason, "Correct it in the declaration; nothing was removed.") from error
    return replace(candidate, obstacle=f"it holds rows that keep_where keeps: {undelivered.condition}") if found else candidate


def list_holds(conn: Connection, table: Relation) -> tuple[Hold, ...]:
    """Return the legal holds on a table, those that have ended too."""
    return tuple(Hold(**row) for row in fetch(conn, "partitions/list_holds", relation=str(table)))


def _newest_rows(conn: Connection, candidates: Iterable[Candidate], unread: frozenset[str]) -> Bounds | None:
    """Look from the newest partition down to one that has a row: near enough to judge a clock by, and no scan.

    What is `unread` (a foreign table's server may be away) hides what is behind it: then nothing is known.
    """
    attached = [c for c in candidates if c.state == "attached" and not c.is_default]
    for candidate in sorted(attached, key=lambda c: c.upper or FOREVER, reverse=True):
        if candidate.name in unread:
            return None
        if fetch_one(conn, "partitions/has_row", partition=Relation.parse(candidate.name))["has_row"]:
            return candidate.lower or NEVER, candidate.upper or FOREVER
    return None
