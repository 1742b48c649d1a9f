"""A migration that has been copied and proven once, for the tests that then break something.

Belongs here: building it with the engine's own functions on a few days of the demo's rows, the declaration that fits them,
running work under a run lock. Keep out: faults and expectations; each test writes its own down.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import psycopg

from tasks.core.connect import database_now, runtime
from tasks.core.declaration import Declaration, read_declaration
from tasks.core.ledger import Deferred, Run, run_exclusively
from tasks.core.sqlfiles import ROOT, run
from tasks.migration.backfill import backfill
from tasks.migration.compare import ComparisonResult, compare
from tasks.partitions.create import ensure_partitions
from tests.demo.legacy import create_legacy, generate

T = TypeVar("T")

NAME, TABLE = "event_store", "unified.event_metric_events"
DAYS, ROWS = 6, 400


def short_declaration() -> Declaration:
    """Return the shipped declaration with a span of a few days and a short runway, so that there are few partitions."""
    shipped = read_declaration(ROOT.parent / "maintenance.yaml")
    migration = shipped.migrations[NAME].model_copy(update={"span_from": timedelta(days=DAYS + 2)})
    table = shipped.tables[TABLE]
    ahead = table.partitioning.model_copy(update={"ahead": timedelta(days=2)})
    tables = {TABLE: table.model_copy(update={"partitioning": ahead})}
    return shipped.model_copy(update={"migrations": {NAME: migration}, "tables": tables})


def build(dsn: str) -> None:
    """Fill the legacy tables, make the runway, and copy everything; DATABASE_URL points at `dsn`."""
    declaration = short_declaration()
    with runtime(), psycopg.connect(dsn, autocommit=True) as conn:
        run(conn, "core/session_settings")
        as_of = database_now()
        create_legacy(conn)
        generate(conn, ROWS, 7, as_of, DAYS)
        ensure_partitions(TABLE, declaration, as_of)
        result = backfill(NAME, declaration, as_of)
        assert not isinstance(result, Deferred)
        drained = backfill(NAME, declaration, as_of)
        assert not isinstance(drained, Deferred)
        assert drained.queue_left == 0


@dataclass(frozen=True)
class Copied:
    """One test's own clone of it."""

    dsn: str
    declaration: Declaration

    def connect(self) -> psycopg.Connection:
        """Open a session as the maintenance role, in autocommit; closed by `with`."""
        conn = psycopg.connect(self.dsn, autocommit=True)
        run(conn, "core/session_settings")
        return conn

    def execute(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        """Execute a statement of this test's own, uncaptured ones included, and return its rows."""
        with self.connect() as conn:
            cursor = conn.execute(statement.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    def alone(self, work: Callable[[Run], T]) -> T:
        """Do `work` while holding the run lock of the target."""
        result = run_exclusively("test", NAME, work, overdue_after=timedelta(days=1), group=TABLE)
        assert not isinstance(result, Deferred)
        return result

    def compare(self, sessions: int = 1) -> ComparisonResult:
        """Compare every row, without asking the gate of the backfill."""
        return self.alone(lambda started: compare(started, NAME, sessions=sessions, requires=None))
