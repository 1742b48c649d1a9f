"""Refresh materialized views: in order of dependency, concurrently once filled, each on its own (D7).

Belongs here: what is due, the order, the refresh and the record of its cost.
Keep out: the views' definitions (`sql/migrations/`), and skipping a view as unchanged: one that reads the clock
changes without a write, so age alone decides.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from graphlib import TopologicalSorter
from typing import Any, Literal

import psycopg

from tasks.core.connect import Connection, Kind, transaction, with_lock_retries
from tasks.core.declaration import Declaration
from tasks.core.errors import MissingRelation, MissingRight, Permanent, UnsuitableRelation
from tasks.core.names import Relation
from tasks.core.sqlfiles import fetch, fetch_one, run

#: A second refresh of the same view does not queue for long behind the first: the next one is minutes away.
WAIT_S = 3.0


@dataclass(eq=False)
class RefreshFailed(Permanent):
    """{matview} could not be refreshed: {reason}. It keeps its former content; the other views were refreshed."""

    matview: str
    reason: str


@dataclass(frozen=True)
class Refreshed:
    """What a refresh of one view did; `seconds` and `size_bytes` are its cost."""

    matview: str
    reason: str
    is_concurrent: bool = False
    seconds: float = 0.0
    rows_after: int = 0
    size_bytes: int = 0
    outcome: Literal["completed", "not due"] = "completed"


def in_order(names: Iterable[str], declaration: Declaration) -> list[str]:
    """Sort views so that each comes after the ones it reads; every declared dependency counts, wherever it stands."""
    with transaction(Kind.READ) as conn:
        edges = fetch(conn, "upkeep/matview_dependencies")
    graph: dict[str, set[str]] = {name: set() for name in declaration.matviews}
    for edge in edges:
        if edge["reader"] in graph and edge["source"] in graph:
            graph[edge["reader"]].add(edge["source"])
    chosen = set(names)
    return [name for name in TopologicalSorter(graph).static_order() if name in chosen]


def refresh(name: str, declaration: Declaration, as_of: datetime, *, force: bool = False) -> Refreshed:
    """Refresh one declared view where it is due or `force` is given.

    Locks: EXCLUSIVE on the view (readers go on); ACCESS EXCLUSIVE for its first fill. Raises MissingRelation,
    UnsuitableRelation (no unique index), MissingRight, LockBusy (a refresh is running), RefreshFailed.
    """
    policy = declaration.matview(name)
    with transaction(Kind.READ) as conn:
        facts = _read(conn, name)
    age = as_of - facts["last_refreshed_at"] if facts["last_refreshed_at"] else None
    if not force and facts["is_populated"] and age is not None and age < policy.refresh_every:
        return Refreshed(name, f"refreshed {age.total_seconds():.0f} s ago", outcome="not due")
    why = "forced" if force else "never filled" if not facts["is_populated"] else f"older than {policy.refresh_every}"
    return _carry_out(Relation.parse(name), as_of, why, is_concurrent=facts["is_populated"])


def _read(conn: Connection, name: str) -> Mapping[str, Any]:
    relation = Relation.parse(name)
    rows = fetch(conn, "upkeep/read_matview", schema=relation.schema, name=relation.name)
    if not rows:
        raise MissingRelation(name, " as a materialized view")
    facts = rows[0]
    if not facts["has_unique_index"]:
        remedy = "Create a unique index on plain columns of it, without a WHERE; nothing was changed."
        raise UnsuitableRelation(name, "REFRESH … CONCURRENTLY needs a unique index and it has none", remedy)
    return facts


def _carry_out(relation: Relation, as_of: datetime, why: str, *, is_concurrent: bool) -> Refreshed:
    def attempt(conn: Connection) -> Refreshed:
        started = time.monotonic()
        if is_concurrent:
            run(conn, "upkeep/refresh_concurrently", matview=relation)
        else:
            run(conn, "upkeep/refresh_plain", matview=relation)
        run(conn, "upkeep/analyze_matview", matview=relation)
        cost = fetch_one(conn, "upkeep/matview_size", matview=relation, schema=relation.schema, name=relation.name)
        done = Refreshed(str(relation), why, is_concurrent, time.monotonic() - started, **cost)
        _record(conn, done, as_of)
        return done

    try:
        return with_lock_retries(relation, "refresh", attempt, kind=Kind.REFRESH, budget_s=WAIT_S)
    except psycopg.errors.InsufficientPrivilege as error:
        remedy = "Let the flows run as its owner, or on PostgreSQL 17 and newer grant MAINTAIN on it."
        raise MissingRight("the current role", "refresh", str(relation), error.diag.message_primary or "", remedy) from error
    except psycopg.Error as error:
        failed = RefreshFailed(str(relation), error.diag.message_primary or type(error).__name__)
        with transaction(Kind.READ) as conn:
            _record(conn, Refreshed(str(relation), why, is_concurrent), as_of, error=failed.reason)
        raise failed from error


def _record(conn: Connection, done: Refreshed, as_of: datetime, error: str | None = None) -> None:
    cost = {"seconds": done.seconds, "rows_after": done.rows_after, "size_bytes": done.size_bytes}
    fields = {"matview": done.matview, "refreshed_at": as_of, "is_concurrent": done.is_concurrent, "error": error}
    run(conn, "upkeep/record_refresh", **fields, **cost)
