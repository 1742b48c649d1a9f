"""Rows of the declared materialized views, read through the cache; a refresh empties and fills it (A3, D7).

Belongs here: which results are cached under `evt`. Keep out: the cache itself, and when a view is refreshed (`matviews`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import psycopg

from tasks.core.connect import Kind, Runtime, runtime, transaction
from tasks.core.declaration import Declaration
from tasks.core.errors import MaintenanceError
from tasks.core.names import Relation
from tasks.core.sqlfiles import fetch
from tasks.upkeep.breakdowns import to_warm
from tasks.upkeep.cache import CacheStats, cache_of
from tasks.upkeep.matviews import Refreshed

#: A view with more rows is cut here: what is cached is what a page shows.
MOST_ROWS = 500

_log = logging.getLogger("maintenance")


@dataclass(frozen=True)
class MatviewRows:
    """Rows of one view as JSON objects, at most MOST_ROWS; `is_complete` says whether these are all."""

    rows: list[dict[str, Any]]
    is_complete: bool


def read_matview_cached(name: str, declaration: Declaration) -> MatviewRows:
    """Return the rows of a declared view, from the cache where it has them.

    Raises NotDeclared, and psycopg's error where the view is absent or was never filled. Locks: ACCESS SHARE on the view.
    """
    declaration.matview(name)
    with runtime() as current:
        found = cache_of(current, declaration).read_through("evt", _key(name), lambda: _as_json(name))
    return MatviewRows(**found)


def read_cache_stats(declaration: Declaration) -> CacheStats:
    """Return what the cache has done so far: for the health report."""
    with runtime() as current:
        return cache_of(current, declaration).stats()


def _key(name: str) -> str:
    return f"matview:{name}"


def _read(name: str) -> MatviewRows:
    with transaction(Kind.READ) as conn:
        found = fetch(conn, "upkeep/matview_rows", matview=Relation.parse(name), limit=MOST_ROWS + 1)
    return MatviewRows([row["row"] for row in found[:MOST_ROWS]], len(found) <= MOST_ROWS)


@contextmanager
def renewing(current: Runtime, declaration: Declaration) -> Iterator[Callable[[Refreshed], Refreshed]]:
    """Empty the namespace `evt` after the block and warm it with every declared view, where the block refreshed one.

    Yields what notes a refresh. Never raises for the cache's sake, and does its work for the views that were refreshed
    where others failed.
    """
    cache, refreshed = cache_of(current, declaration), list[Refreshed]()

    def note(result: Refreshed) -> Refreshed:
        refreshed.append(result)
        return result

    try:
        yield note
    finally:
        if any(result.outcome == "completed" for result in refreshed):
            cache.invalidate_namespace("evt")
            cache.warm("evt", _results(declaration))


def _results(declaration: Declaration) -> dict[str, Any]:
    wanted: dict[str, Callable[[], Any]] = {_key(name): partial(_as_json, name) for name in declaration.matviews}
    results: dict[str, Any] = {}
    for key, read in (wanted | to_warm(declaration)).items():
        try:
            results[key] = read()
        except (psycopg.Error, MaintenanceError) as error:
            _log.info("%s was not put into the cache: %s", key, error)
    return results


def _as_json(name: str) -> dict[str, Any]:
    return asdict(_read(name))
