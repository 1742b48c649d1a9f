"""The ways to make and to remove partitions that the benchmark compares.

Belongs here: what each contender prepares, which is not measured, and what it then does, which is.
Keep out: servers, databases, rounds, readers beside it and figures (`partitions`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

import psycopg

from tasks.core.connect import runtime
from tasks.core.declaration import Declaration, Retention, read_declaration
from tasks.core.names import Relation
from tasks.core.parameters import Safety
from tasks.core.sqlfiles import ROOT
from tasks.partitions.create import ensure_partitions
from tasks.partitions.retire import RetentionResult, retire
from tests.bench.common import run

TABLE = "unified.event_metric_events"
PARENT = Relation.parse(TABLE)
OURS, PARTMAN, PLAIN, DELETE = "ours", "pg_partman", "PARTITION OF", "DELETE + VACUUM"
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Ground:
    """A database of one turn: its DSNs for the maintenance role and the superuser, and today's first instant.

    DATABASE_URL names it while the turn lasts.
    """

    dsn: str
    superuser_dsn: str
    role: str
    midnight: datetime

    def connect(self) -> psycopg.Connection[Any]:
        """Open a plain session of the maintenance role, each statement a transaction of its own."""
        return psycopg.connect(self.dsn, autocommit=True, options="-c timezone=UTC")

    def day(self, number: int) -> datetime:
        """Return the first instant of the day so many days from today."""
        return self.midnight + number * DAY

    def partition(self, number: int) -> Relation:
        """Return the partition of that day by the name that pg_partman gives it."""
        return PARENT.sibling(f"{PARENT.name}_p{self.day(number):%Y_%m_%d}")


#: `prepare(ground)` makes what exists before the turn and returns what is measured.
#: A creator makes so many partitions after tomorrow; a remover removes the days from the first to before the second number.
Creator = Callable[[Ground], Callable[[int], object]]
Remover = Callable[[Ground], Callable[[int, int], object]]


def declared(*, ahead: int = 1, **retention: Any) -> Declaration:
    """Return the shipped table with every index that is not off, cut over long ago, and this runway and retention."""
    shipped = read_declaration(ROOT.parent / "maintenance.yaml")
    table = shipped.tables[TABLE]
    policy: dict[str, Any] = {"keep": "P90D", "grace": "PT0S", "at_most_per_run": 50, "archive": "none", **retention}
    partitioning = table.partitioning.model_copy(update={"ahead": ahead * DAY})
    changed = table.model_copy(update={"partitioning": partitioning, "retention": Retention.model_validate(policy)})
    return shipped.model_copy(update={"tables": {TABLE: changed}, "migrations": {}})


def create_ours(ground: Ground) -> Callable[[int], object]:
    """Make them as the product does: indexes, row-level security and rights, a transaction each, proven afterwards."""

    def create(count: int) -> object:
        with runtime():
            return ensure_partitions(TABLE, declared(ahead=count + 1), ground.midnight + DAY / 2)

    return create


def create_with_partman(ground: Ground) -> Callable[[int], object]:
    """Let pg_partman make them; it gives them the indexes, and neither row-level security nor rights."""
    _install_partman(ground, 0)

    def create(count: int) -> None:
        with closing(ground.connect()) as conn:
            run(conn, "partitions/partman_premake", parent=TABLE, premake=count + 1)
            run(conn, "partitions/partman_run", parent=TABLE)

    return create


def create_plainly(ground: Ground) -> Callable[[int], object]:
    """Make them with one statement each, which brings the indexes alone."""

    def create(count: int) -> None:
        with closing(ground.connect()) as conn:
            for number in range(2, count + 2):
                add_day(conn, ground, number)

    return create


def add_day(conn: psycopg.Connection[Any], ground: Ground, number: int) -> None:
    """Make the partition of one day by hand."""
    bounds = {"lower": ground.day(number), "upper": ground.day(number + 1)}
    run(conn, "partitions/add_day", parent=PARENT, partition=ground.partition(number), **bounds)


def _install_partman(ground: Ground, first: int) -> None:
    with closing(psycopg.connect(ground.superuser_dsn, autocommit=True)) as admin:
        run(admin, "partitions/partman_install", role=ground.role)
    default = PARENT.sibling(f"{PARENT.name}_default")
    with closing(ground.connect()) as conn:
        run(conn, "partitions/partman_adopt", parent=TABLE, first=f"{ground.day(first):%Y-%m-%d}", default_partition=default)


def remove_ours(ground: Ground) -> Callable[[int, int], object]:
    """Remove them as the product does: planned, recorded, detached concurrently, dropped."""

    def remove(_first: int, end: int) -> RetentionResult:
        with runtime():
            result = retire(TABLE, declared(keep=-end * DAY), Safety(apply=True), ground.midnight)
        if not isinstance(result, RetentionResult):
            raise RuntimeError(f"nothing was removed: {result}")  # noqa: TRY004 (no fault of a type)
        return result

    return remove


def remove_with_partman(ground: Ground) -> Callable[[int, int], object]:
    """Let pg_partman's own maintenance drop them."""
    _install_partman(ground, 0)

    def remove(_first: int, end: int) -> None:
        with closing(ground.connect()) as conn:
            run(conn, "partitions/partman_retention", parent=TABLE, retention=f"{-end} days")
            run(conn, "partitions/partman_run", parent=TABLE)

    return remove


def remove_by_delete(ground: Ground) -> Callable[[int, int], object]:
    """Delete their rows day by day and vacuum."""

    def remove(first: int, end: int) -> None:
        with closing(ground.connect()) as conn:
            for number in range(first, end):
                run(conn, "partitions/delete_day", parent=PARENT, lower=ground.day(number), upper=ground.day(number + 1))
                run(conn, "partitions/vacuum_day", partition=ground.partition(number))

    return remove


CREATORS: Mapping[str, Creator] = MappingProxyType({
    OURS: create_ours,
    PARTMAN: create_with_partman,
    PLAIN: create_plainly,
})  # fmt: skip
REMOVERS: Mapping[str, Remover] = MappingProxyType({
    OURS: remove_ours,
    PARTMAN: remove_with_partman,
    DELETE: remove_by_delete,
})  # fmt: skip


def enter(ground: Ground) -> None:
    """Let DATABASE_URL name the database of this turn."""
    os.environ["DATABASE_URL"] = ground.dsn
