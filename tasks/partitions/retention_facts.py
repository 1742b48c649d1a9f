"""What retention knows of a table at one moment: the catalog's partitions, the ledger's retirements, holds, the last run.

Belongs here: reading it. Keep out: judging it (`retention_plan`) and changing anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import accumulate
from typing import Any

import psycopg

from tasks.core.connect import Connection
from tasks.core.errors import MaintenanceError, UnsuitableRelation
from tasks.core.names import Relation
from tasks.core.sqlfiles import fetch, fetch_one, fetch_together, trusted
from tasks.partitions.catalog import or_raise, read_parents
from tasks.partitions.partition import Parent
from tasks.partitions.retention_anomalies import LastRun
from tasks.partitions.retention_plan import FOREVER, NEVER, Bounds, Candidate, Hold


@dataclass(frozen=True)
class Listed:
    """The partitions of a table and what retention has detached, and the oid and retirement of each by name."""

    parent: Parent
    candidates: tuple[Candidate, ...]
    holds: tuple[Hold, ...]
    oids: dict[str, int]
    retirements: dict[str, int | None]
    #: What is not read to judge a clock by: foreign tables, whose server may be away, and names with a dot.
    unread: frozenset[str]


@dataclass(frozen=True)
class Observed(Listed):
    """Everything that a plan of retention is made from."""

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


@dataclass(frozen=True)
class Asked:
    """A table that is looked at: the declared column of time, and the rows that retention keeps in spite of their age."""

    by: str
    undelivered: Undelivered | None = None


def observe(conn: Connection, table: Relation, asked: Asked) -> Observed:
    """Read everything that a plan of one table depends on. Locks and errors: see `observe_all`; raises the error."""
    return or_raise(observe_all(conn, {table: asked})[table])


def observe_all(conn: Connection, asked: Mapping[Relation, Asked]) -> dict[Relation, Observed | MaintenanceError]:
    """Read everything that plans of these tables depend on, by the same few statements for one as for a hundred.

    Returns of a table what `read_parent` raises, or UnsuitableRelation where the server refuses the condition. Locks:
    ACCESS SHARE on the newest partition that has a row, and on those asked for `undelivered` rows while they are.
    """
    found = list_all(conn, {table: one.by for table, one in asked.items()})
    listed = {table: one for table, one in found.items() if isinstance(one, Listed)}
    memory = _memory(conn, listed)
    retired = _retired(conn, listed)
    newest = _newest_rows(conn, listed)
    result: dict[Relation, Observed | MaintenanceError] = dict(found)  # pyright: ignore[reportAssignmentType]
    for table, one in listed.items():
        now, last = memory[table]
        try:
            candidates = _without_undelivered(conn, table, one.candidates, asked[table].undelivered)
        except UnsuitableRelation as error:
            result[table] = error
            continue
        facts = (one.parent, candidates, one.holds, one.oids, one.retirements, one.unread)
        result[table] = Observed(*facts, retired=retired[table], last=last, now=now, newest_rows=newest[table])
    return result


def list_all(conn: Connection, asked: Mapping[Relation, str | None]) -> dict[Relation, Listed | MaintenanceError]:
    """Read the partitions, retirements and holds of every table at once, given the declared column of each.

    Returns of a table what `read_parent` raises. Locks: ACCESS SHARE on the catalog.
    """
    parents = read_parents(conn, asked)
    known = {str(table): parent for table, parent in parents.items() if isinstance(parent, Parent)}
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in known}
    oids = [parent.oid for parent in known.values()]
    for row in fetch(conn, "partitions/list_candidates", parents=list(known), parent_oids=oids):
        rows[row["parent"]].append(row)
    holds = list_holds_of(conn, list(known))
    return {
        table: _listed(parent, rows[str(table)], holds[str(table)]) if isinstance(parent, Parent) else parent
        for table, parent in parents.items()
    }


def _listed(parent: Parent, rows: Sequence[Mapping[str, Any]], holds: Sequence[Hold]) -> Listed:
    return Listed(
        parent,
        tuple(map(_candidate, rows)),
        tuple(holds),
        oids={row["name"]: row["oid"] for row in rows},
        retirements={row["name"]: row["retirement_id"] for row in rows},
        unread=frozenset(row["name"] for row in rows if row["is_unread"]),
    )


def _candidate(row: Mapping[str, Any]) -> Candidate:
    bounds = (row["lower"], row["upper"])
    return Candidate(row["name"], *bounds, row["state"], row["since"], row["is_default"], row["obstacle"])


def _memory(conn: Connection, tables: Mapping[Relation, Listed]) -> dict[Relation, tuple[datetime, LastRun | None]]:
    """Return the clock and what the last applied run of each table decided by."""
    found: dict[str, tuple[datetime, LastRun | None]] = {}
    for row in fetch(conn, "partitions/read_retention", relations=[str(table) for table in tables]):
        name, now = row.pop("relation"), row.pop("now")
        found[name] = (now, LastRun(**row) if row["keep"] is not None else None)
    return {table: found[str(table)] for table in tables}


def _retired(conn: Connection, tables: Mapping[Relation, Listed]) -> dict[Relation, tuple[Bounds, ...]]:
    found: dict[str, list[Bounds]] = {str(table): [] for table in tables}
    oldest = [_oldest(one.candidates) for one in tables.values()]
    for row in fetch(conn, "partitions/list_retired_bounds", parents=list(found), oldest=oldest):
        found[row["parent"]].append((row["lower"], row["upper"]))
    return {table: tuple(found[str(table)]) for table in tables}


def _oldest(candidates: Sequence[Candidate]) -> datetime | None:
    lowers = [c.lower for c in candidates if c.state in ("attached", "pending") and c.lower is not None]
    return min(lowers, default=None)


def _without_undelivered(
    conn: Connection, table: Relation, candidates: tuple[Candidate, ...], undelivered: Undelivered | None
) -> tuple[Candidate, ...]:
    """Ask within a savepoint that is given up: a refused condition fails its own table only, and no lock is kept."""
    if undelivered is None:
        return candidates
    with conn.transaction(force_rollback=True):
        return tuple(_kept(conn, table, candidate, undelivered) for candidate in candidates)


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


def list_holds(conn: Connection, table: Relation) -> list[Hold]:
    """Return the legal holds on a table, those that have ended too."""
    return list_holds_of(conn, [str(table)])[str(table)]


def list_holds_of(conn: Connection, tables: Sequence[str]) -> dict[str, list[Hold]]:
    """Return what `list_holds` does of every table at once, by its name."""
    found: dict[str, list[Hold]] = {table: [] for table in tables}
    for row in fetch(conn, "partitions/list_holds", relations=list(tables)):
        found[row.pop("relation")].append(Hold(**row))
    return found


def _newest_rows(conn: Connection, tables: Mapping[Relation, Listed]) -> dict[Relation, Bounds | None]:
    """Look from the newest partition down to one that has a row: near enough to judge a clock by, and no scan.

    What is unread hides what is behind it: then nothing is known.
    """
    found: dict[Relation, Bounds | None] = dict.fromkeys(tables)
    left = {table: _newest_first(one.candidates) for table, one in tables.items()}
    while left := _from_first_written(conn, tables, left):
        left = {table: rest for table, rest in left.items() if rest[0].name not in tables[table].unread}
        asked = [("partitions/has_row", {"partition": Relation.parse(rest[0].name)}) for rest in left.values()]
        answers = fetch_together(conn, asked)
        for (table, rest), ((answer,)) in zip(list(left.items()), answers, strict=True):
            if answer["has_row"]:
                found[table] = (rest[0].lower or NEVER, rest[0].upper or FOREVER)
                del left[table]
            else:
                left[table] = rest[1:]
    return found


def _newest_first(candidates: Sequence[Candidate]) -> list[Candidate]:
    attached = [c for c in candidates if c.state == "attached" and not c.is_default]
    return sorted(attached, key=lambda c: c.upper or FOREVER, reverse=True)


def _from_first_written(
    conn: Connection, tables: Mapping[Relation, Listed], left: Mapping[Relation, list[Candidate]]
) -> dict[Relation, list[Candidate]]:
    """Leave out the newest partitions whose files are empty, and the tables of which no other is left."""
    lists = [table for table, rest in left.items() if rest]
    oids = [tables[table].oids[candidate.name] for table in lists for candidate in left[table]]
    lasts = list(accumulate(len(left[table]) for table in lists))
    firsts = [last - len(left[table]) + 1 for table, last in zip(lists, lasts, strict=True)]
    rows = fetch(conn, "partitions/newest_written", oids=oids, firsts=firsts, lasts=lasts)
    places = {lists[row["list"] - 1]: row["place"] - firsts[row["list"] - 1] for row in rows}
    return {table: left[table][place:] for table, place in places.items()}
