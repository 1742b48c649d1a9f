"""A database in which a migration waits for its cutover: copied, compared, judged and approved.

Belongs here: making it once per server, cloning it per test, giving consent anew where a test has changed the schema.
Keep out: expectations. The verdict is kept without Great Expectations, which its own tests import.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import psycopg
import pytest
from psycopg import sql

from tasks.core.connect import Kind, database_now, runtime, transaction
from tasks.core.declaration import Declaration, read_declaration
from tasks.core.ledger import run_exclusively
from tasks.core.sqlfiles import fetch
from tasks.gates.evidence import collect, read_state
from tasks.gates.store import keep_verdict
from tasks.gates.verdict import Outcome
from tasks.migration.approval import State, answer, ask
from tasks.migration.backfill import backfill
from tasks.migration.compare import compare
from tasks.partitions.create import ensure_partitions
from tests import conftest as shared
from tests.conftest import SHIPPED_SETS, Server
from tests.demo.legacy import VALIDATION_ZONE, create_legacy, generate

NAME, TARGET = "event_store", "unified.event_metric_events"
ROWS, DAYS, SEED = 400, 5, 7


def declaration() -> Declaration:
    """Return the shipped declaration with few days, the zone of the generated rows, and the view that reads a table."""
    shipped = read_declaration()
    table = shipped.tables[TARGET]
    cut = table.model_copy(update={"partitioning": table.partitioning.model_copy(update={"ahead": timedelta(days=3)})})
    migration = shipped.migrations[NAME]
    sources = dict(migration.sources)
    first, validation = "monitoring.monitoring_events", "monitoring.validation_metrics"
    sources[first] = sources[first].model_copy(update={"dependants": {"public.monitoring_events_view": "recreate"}})
    sources[validation] = sources[validation].model_copy(update={"zone": VALIDATION_ZONE})
    short = migration.model_copy(update={"span_from": timedelta(days=DAYS + 2), "sources": sources, "backup": "by other means"})
    return shipped.model_copy(update={"tables": {**shipped.tables, TARGET: cut}, "migrations": {NAME: short}})


def make_ready(dsn: str, rows: int = ROWS) -> None:
    """Fill the legacy tables and bring the migration to where only the cutover is left; DATABASE_URL names `dsn`."""
    as_of = database_now()
    with psycopg.connect(dsn, autocommit=True) as conn:
        create_legacy(conn, view_writer=True)
        generate(conn, rows, SEED, as_of, days=DAYS)
    with runtime():
        ensure_partitions(TARGET, declaration(), as_of)
        for _ in range(2):
            backfill(NAME, declaration(), as_of, preflight=None)
        consent()


def consent(declared: Declaration | None = None) -> None:
    """Compare every row, keep a passing verdict of the gate and approve, for the state as it is now."""
    declared = declared or declaration()
    with runtime():
        found = run_exclusively(
            "verify_integrity",
            NAME,
            lambda run: compare(run, NAME, requires=None),
            overdue_after=timedelta(days=1),
            group=TARGET,
        )
        assert getattr(found, "differing", None) == 0, found
        pass_cutover(declared, NAME)


def approve(declared: Declaration, allowance: int = 10_000, name: str = NAME) -> None:
    """Ask for the state as it is now and say yes, more rows in quarantine allowed."""
    with transaction(Kind.READ) as conn:
        state, _ = read_state(conn, name, declared)
        quarantined = sum(row["rows"] for row in fetch(conn, "migration/count_quarantined", migration=name))
        asked = ask(conn, name, State(state.fingerprint, state.mapping_version or "", quarantined), allowance=allowance)
        sign_offs = declared.migration(name).sign_offs
        answer(conn, asked, name, decision="approved", name="Ada", reason="rehearsed", sign_offs=sign_offs, needed=sign_offs)


def pass_cutover(declared: Declaration, name: str) -> None:
    """Keep a passing verdict of the gate before the cutover, and approve, for the state as it is now; nothing is compared."""
    passed = [Outcome("facts", "they hold", success=True)]
    keep_verdict(collect(name, "cutover", declared), passed, timedelta(hours=1), None)
    approve(declared, name=name)


def ready_template(server: Server) -> str:
    """Return the database that tests clone, made once per server and session; it goes with the server's other templates."""
    key = ("ready",)
    if key not in server.templates:
        name = f"ready_{secrets.token_hex(4)}"
        with psycopg.connect(server.superuser_dsn, autocommit=True) as conn, pytest.MonkeyPatch.context() as patch:
            shared._create_database(conn, name, shared._template(server, SHIPPED_SETS))
            server.templates[key] = name
            patch.setenv("DATABASE_URL", server.dsn_for(name))
            make_ready(server.dsn_for(name))
            conn.execute(sql.SQL("alter database {} with is_template true").format(sql.Identifier(name)))
    return server.templates[key]


@contextmanager
def ready_database(server: Server) -> Iterator[str]:
    """Lend a copy of the template; yields the maintenance role's DSN, and DATABASE_URL names it."""
    name = f"test_{secrets.token_hex(5)}"
    template = ready_template(server)
    with psycopg.connect(server.superuser_dsn, autocommit=True) as conn, pytest.MonkeyPatch.context() as patch:
        shared._create_database(conn, name, template)
        patch.setenv("DATABASE_URL", server.dsn_for(name))
        yield server.dsn_for(name)
        shared._drop_database(conn, name)
