"""How long it takes to plan creation and retention of many tables.

Belongs here: facts of tables as the catalog would give them, and plans made from them, without a server; the same for the
one table of a database, coarsening too, with what is read for it. Keep out: databases, rounds and figures (`partitions`).
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta

from tasks.core.connect import Kind, runtime, transaction
from tasks.core.declaration import Coarsen, Declaration
from tasks.core.names import Relation
from tasks.core.parameters import Safety
from tasks.partitions.catalog import list_partitions, read_parent
from tasks.partitions.coarsen import coarsen
from tasks.partitions.partition import Partition
from tasks.partitions.plan import Wanted, plan_creation
from tasks.partitions.retention_plan import Candidate, Policy, plan_retention
from tasks.partitions.retention_text import text_of
from tasks.partitions.retire import retire
from tests.bench.partition_contenders import DAY, PARENT, TABLE, Ground, declared

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
    taken = frozenset(one.relation.name for one in facts)
    wanted = Wanted(cut.every, cut.ahead, midnight + timedelta(hours=12), cut.zone, kept.keep)
    made = plan_creation(Relation.parse(name), wanted, facts, [], taken)
    candidates = [Candidate(str(one.relation), one.lower, one.upper) for one in facts]
    removal = plan_retention(name, candidates, Policy(kept.keep, kept.grace, kept.at_most_per_run), [], midnight)
    text_of(removal, [])
    return len(made) + len(removal.steps)


def _coarsening(declaration: Declaration) -> Declaration:
    table = declaration.tables[TABLE]
    cut = table.partitioning.model_copy(update={"coarsen": Coarsen(after=30 * DAY, to="month")})
    return declaration.model_copy(update={"tables": {TABLE: table.model_copy(update={"partitioning": cut})}})


def plan_from_catalog(ground: Ground, times: int) -> float:
    """Return the seconds that one table takes with everything that is read for its three plans; nothing is changed."""
    declaration = _coarsening(declared(ahead=AHEAD))
    with runtime():
        begun = time.monotonic()
        for _ in range(times):
            with transaction(Kind.READ) as conn:
                read_parent(conn, PARENT, "event_timestamp")
                existing = list_partitions(conn, PARENT)
            plan_creation(PARENT, Wanted("day", AHEAD * DAY, ground.midnight), existing, [], frozenset())
            retire(TABLE, declaration, Safety(), ground.midnight)
            coarsen(TABLE, declaration, ground.midnight, Safety())
        return (time.monotonic() - begun) / times
