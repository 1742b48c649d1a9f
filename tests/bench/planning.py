"""How long it takes to plan creation and retention of many tables.

Belongs here: facts of tables as the catalog would give them, and plans made from them, without a server; the same for tables
that are really there, coarsening too, with all that is read for it. Keep out: databases, rounds and figures (`partitions`).
"""

from __future__ import annotations

import time
from contextlib import closing
from datetime import datetime, timedelta

import psycopg

from tasks.core.connect import runtime
from tasks.core.declaration import Declaration
from tasks.core.errors import MaintenanceError
from tasks.core.names import Relation
from tasks.core.parameters import Safety
from tasks.partitions.catalog import or_raise
from tasks.partitions.coarsen import CoarseningResult, plan_merges
from tasks.partitions.create import look_at
from tasks.partitions.partition import Partition
from tasks.partitions.plan import Create, Wanted, plan_creation
from tasks.partitions.retention_plan import Candidate, Policy, plan_retention
from tasks.partitions.retention_text import text_of
from tasks.partitions.retire import RetentionResult, plan_removals
from tests.bench.common import run
from tests.bench.partition_contenders import DAY, Ground

#: Partitions of each table: what has to be made and what has to go is a day of each.
EACH, AHEAD, KEPT = 120, 14, 105


def plan_many(tables: int, midnight: datetime) -> float:
    """Return the seconds that it takes to read a declaration of so many tables and to plan both for each of them."""
    names = [f"app.table_{number}" for number in range(tables)]
    written = {"tables": {name: _written() for name in names}}
    facts = [_facts(name, midnight) for name in names]
    begun = time.monotonic()
    declaration = Declaration.model_validate(written)
    steps = sum(_plan_one(declaration, name, of, midnight) for name, of in zip(names, facts, strict=True))
    seconds = time.monotonic() - begun
    if steps != 2 * tables:
        raise RuntimeError(f"{steps} steps were planned for {tables} tables; one to make and one to remove were expected")
    return seconds


def _written() -> dict[str, object]:
    partitioning = {"by": "at", "every": "day", "ahead": f"P{AHEAD}D"}
    return {"why": "w", "owner": "o", "partitioning": partitioning, "retention": {"keep": f"P{KEPT}D"}}


def _facts(name: str, midnight: datetime) -> list[Partition]:
    """One past retention and the last day of the runway missing."""
    parent, first = Relation.parse(name), midnight - (KEPT + 1) * DAY
    days = [first + number * DAY for number in range(EACH)]
    return [Partition(parent.sibling(f"{parent.name}_p{day:%Y%m%d}"), day, day + DAY) for day in days]


def _plan_one(declaration: Declaration, name: str, facts: list[Partition], midnight: datetime) -> int:
    """Plan one table and write its plan of retention as it is shown."""
    table = declaration.table(name)
    cut, kept = table.partitioning, table.retention
    assert kept is not None
    wanted = Wanted(cut.every, cut.ahead, midnight + timedelta(hours=12), cut.zone, kept.keep)
    made = plan_creation(Relation.parse(name), wanted, facts, [])
    candidates = [Candidate(str(one.relation), one.lower, one.upper) for one in facts]
    removal = plan_retention(name, candidates, Policy(kept.keep, kept.grace, kept.at_most_per_run), [], midnight)
    text_of(removal, [])
    return len(made) + len(removal.steps)


def make_tables(ground: Ground, tables: int) -> None:
    """Make so many tables with EACH partitions, which lack and owe what `_facts` says, a row in each day until today."""
    begin = -(KEPT + 1)
    with closing(ground.connect()) as conn:
        run(conn, "partitions/make_planned_schema")
        for number in range(tables):
            parent = _planned(number)
            with conn.transaction():
                run(conn, "partitions/make_planned", parent=parent)
                for day in range(begin, begin + EACH):
                    partition = parent.sibling(f"{parent.name}_p{ground.day(day):%Y%m%d}")
                    bounds = {"lower": ground.day(day), "upper": ground.day(day + 1)}
                    run(conn, "partitions/add_day", parent=parent, partition=partition, **bounds)
                run(conn, "partitions/fill_planned", parent=parent, first=ground.day(begin), last=ground.day(0))
    with closing(psycopg.connect(ground.superuser_dsn, autocommit=True)) as conn:
        run(conn, "vacuum")


def _planned(number: int) -> Relation:
    return Relation("planned", f"table_{number}")


def plan_from_catalog(ground: Ground, tables: int) -> float:
    """Return the seconds that the plans of so many tables take with everything that is read for them; nothing is changed.

    As the flows do for every declared table: creation, retention with its text, and coarsening.
    """
    names = [str(_planned(number)) for number in range(tables)]
    partitioning = {"by": "at", "every": "day", "ahead": f"P{AHEAD}D", "coarsen": {"after": "P30D", "to": "week"}}
    declaration = Declaration.model_validate({"tables": {name: {**_written(), "partitioning": partitioning} for name in names}})
    with runtime():
        begun = time.monotonic()
        made = _made(names, declaration, ground.midnight)
        removed = plan_removals(names, declaration, Safety(), ground.midnight)
        merged = plan_merges(names, declaration, ground.midnight, Safety())
        seconds = time.monotonic() - begun
    planned = [
        len(made),
        *(sum(is_planned) for is_planned in (map(bool, made), map(_removes, removed.values()), map(_merges, merged.values()))),
    ]
    if planned != [tables] * 4:
        raise RuntimeError(f"{planned} tables have a plan of each kind; {tables} were expected")
    return seconds


def _made(names: list[str], declaration: Declaration, midnight: datetime) -> list[list[Create]]:
    """The flow's facts end with it, and so do these before the next is planned."""
    wanted = Wanted("day", AHEAD * DAY, midnight + DAY / 2, keep=KEPT * DAY)
    looked = map(or_raise, look_at(names, declaration).values())
    return [plan_creation(one.parent.relation, wanted, one.existing, one.registered) for one in looked]


def _removes(found: RetentionResult | MaintenanceError) -> bool:
    return any(line.startswith("| detach |") for line in or_raise(found).plan.splitlines())


def _merges(found: CoarseningResult | MaintenanceError) -> bool:
    return or_raise(found).debt > 0
