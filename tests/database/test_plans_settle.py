"""Creation, retention and coarsening carried out on a real server leave one another nothing to do, whatever made the table.

The same as `tests/unit/test_partitions_together`, whose tables these are, with the catalog, the ledger and the bounds' own texts
in between. Few examples: each makes and moves dozens of partitions.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from psycopg import sql

from tasks.core.connect import Kind, transaction
from tasks.core.declaration import Declaration
from tasks.core.names import Relation
from tasks.core.parameters import Safety
from tasks.partitions.bounds import Bounds
from tasks.partitions.catalog import list_partitions
from tasks.partitions.coarsen import CoarseningResult, coarsen
from tasks.partitions.create import CreationResult, ensure_partitions
from tasks.partitions.retire import RetentionResult, retire
from tests.unit.test_partitions_together import Table, tables

LONGER = {"hour": "day", "day": "month", "month": "year", "quarter": "year"}
ATTACH = "create table {} partition of {} for values from ({}) to ({})"


def iso(length: timedelta) -> str:
    return f"PT{int(length.total_seconds())}S"


def declare(name: str, table: Table) -> Declaration:
    wanted = table.wanted
    cut: dict[str, Any] = {"by": "at", "every": wanted.every, "ahead": iso(wanted.ahead), "zone": wanted.zone}
    if wanted.every in LONGER:
        cut["coarsen"] = {"after": "P1D", "to": LONGER[wanted.every], "at_most_per_run": 50}
    declared: dict[str, Any] = {"why": "w", "owner": "o", "partitioning": cut}
    if wanted.keep is not None:
        declared["retention"] = {"keep": iso(wanted.keep), "grace": "P7D", "at_most_per_run": 50, "archive": "none"}
    return Declaration.model_validate({"tables": {name: declared}})


def make(dsn: str, table: Table) -> str:
    """Make the table as something else did, under a name of its own; return it."""
    parent = Relation("public", f"t{secrets.token_hex(4)}")
    with psycopg.connect(dsn) as conn:
        conn.execute(
            sql.SQL("create table {} (at timestamptz not null) partition by range (at)").format(
                sql.Identifier(parent.schema, parent.name)
            )
        )
        for number, (lower, upper) in enumerate(table.bounds):
            child = sql.Identifier(parent.schema, f"{parent.name}_{number}")
            conn.execute(sql.SQL(ATTACH).format(child, sql.Identifier(parent.schema, parent.name), lower, upper))
    return str(parent)


def bounds(name: str) -> list[Bounds]:
    with transaction(Kind.READ) as conn:
        found = list_partitions(conn, Relation.parse(name))
    return [(p.lower, p.upper) for p in found if p.lower is not None and p.upper is not None]


def created(name: str, declared: Declaration, table: Table) -> int:
    result = ensure_partitions(name, declared, table.wanted.as_of)
    assert isinstance(result, CreationResult)
    return len(result.created)


def removed(name: str, declared: Declaration, table: Table) -> int:
    """Remove what is due, if anything may be; a table without a declared retention keeps everything."""
    if table.wanted.keep is None:
        return 0
    result = retire(name, declared, Safety(apply=True, at_most=50), table.wanted.as_of)
    assert isinstance(result, RetentionResult)
    return len(result.detached)


def merged(name: str, declared: Declaration, table: Table) -> int:
    if declared.table(name).partitioning.coarsen is None:
        return 0
    result = coarsen(name, declared, table.wanted.as_of, Safety(apply=True, at_most=50))
    assert isinstance(result, CoarseningResult)
    return len(result.merged)


@pytest.fixture
def dsn(make_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> str:
    made = make_database(sets=())
    monkeypatch.setenv("DATABASE_URL", made)
    monkeypatch.setenv("MAINTENANCE_ALLOW_FUTURE", "1")
    return made


def test_any_table_settles_after_one_run_of_each(dsn: str, *, full_loops: bool) -> None:
    @settings(max_examples=40 if full_loops else 4)
    @given(tables())
    def settles(table: Table) -> None:
        name = make(dsn, table)
        declared = declare(name, table)
        steps = (created, removed, merged)

        for step in steps:
            step(name, declared, table)

        after = bounds(name)
        assert all(first[1] <= second[0] for first, second in pairwise(after))
        assert [step(name, declared, table) for step in steps] == [0, 0, 0]
        assert bounds(name) == after

    settles()
