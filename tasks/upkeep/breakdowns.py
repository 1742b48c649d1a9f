"""Declared breakdowns of a relation, read through the cache where the relation is a declared materialized view (A3, N6).

Belongs here: the statement's parts, the cached rows, what a refresh warms. Keep out: what a page makes of the rows.
Such a view changes by its refresh alone, which empties the namespace; a table's breakdown is never cached.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from psycopg import sql

from tasks.core.connect import Kind, runtime, transaction
from tasks.core.declaration import Breakdown, Declaration
from tasks.core.names import Relation
from tasks.core.sqlfiles import fetch
from tasks.upkeep.cache import cache_of

Rows = list[dict[str, Any]]


def grouping(breakdown: Breakdown) -> dict[str, object]:
    """Return the keywords of `upkeep/breakdown`."""
    sums = [sql.SQL("sum({0})").format(sql.Identifier(name)) for name in breakdown.sum] or [sql.SQL("count(*)")]
    names = breakdown.sum or ("rows",)
    measures = [sql.SQL("{}::bigint as {}").format(s, sql.Identifier(name)) for s, name in zip(sums, names, strict=True)]
    return {
        "relation": Relation.parse(breakdown.relation),
        "groups": sql.SQL(", ").join(map(sql.Identifier, breakdown.by)),
        "measures": sql.SQL(", ").join(measures),
        "total": sums[0],
    }


def is_cached(breakdown: Breakdown, declaration: Declaration) -> bool:
    """Say whether its rows come through the cache."""
    return breakdown.relation in declaration.matviews


def read_breakdown_cached(breakdown: Breakdown, declaration: Declaration) -> Rows:
    """Return the rows of a breakdown of a declared view, from the cache where it has them.

    Raises psycopg's error where the view is absent or was never filled. Locks: ACCESS SHARE on the view.
    """
    with runtime() as current:
        return cache_of(current, declaration).read_through("evt", _key(breakdown), lambda: _read(breakdown))


def to_warm(declaration: Declaration) -> dict[str, Callable[[], Rows]]:
    """Return what a refresh puts into the cache: what reads each breakdown, by its key."""
    declared = (declaration.health.errors, declaration.health.events)
    return {_key(one): partial(_read, one) for one in declared if one is not None and is_cached(one, declaration)}


def _key(breakdown: Breakdown) -> str:
    return f"breakdown:{breakdown.relation}:{','.join(breakdown.by)}:{','.join(breakdown.sum)}"


def _read(breakdown: Breakdown) -> Rows:
    """What is no JSON becomes text, so that a cached value and a fresh one are the same."""
    with transaction(Kind.READ) as conn:
        rows: Rows = json.loads(json.dumps(fetch(conn, "upkeep/breakdown", **grouping(breakdown)), default=str))
        return rows
