"""Creation survives SIGKILL at any moment: what was attached stays, nothing else is left, the next run completes it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from tasks.core.declaration import Declaration
from tasks.core.sqlfiles import ROOT
from tasks.partitions.create import CreationResult, ensure_partitions
from tests.declarations import make_second, second_declaration

AS_OF = datetime(2025, 8, 10, tzinfo=UTC)
RUN = """
from datetime import timedelta
from tests.crash.test_creation import AS_OF, hundred
from tasks.partitions.create import ensure_partitions
ensure_partitions("accounts.invoices", hundred(), AS_OF, on_plan=lambda plan: print("planned", flush=True))
"""
LEFT = """
select c.relname from pg_class c where c.relnamespace = 'accounts'::regnamespace and c.relkind = 'r' and not c.relispartition
union all select conname from pg_constraint where conname = 'maintenance_bounds'
"""

MADE = "select relation_oid, lower from maintenance.partition"


def hundred() -> Declaration:
    """Return the second declaration with a hundred days to make."""
    declaration = second_declaration()
    table = declaration.tables["accounts.invoices"]
    cut = table.partitioning.model_copy(update={"every": "day", "ahead": timedelta(days=100)})
    return declaration.model_copy(update={"tables": {"accounts.invoices": table.model_copy(update={"partitioning": cut})}})


@pytest.mark.crash
@pytest.mark.slow
def test_a_run_killed_at_a_random_moment_is_completed_by_the_next(
    make_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch, *, full_loops: bool
) -> None:
    for _ in range(10 if full_loops else 2):
        dsn = make_database(sets=())
        make_second(dsn)
        monkeypatch.setenv("DATABASE_URL", dsn)
        kill_once(random.uniform(0.05, 1.0))
        with psycopg.connect(dsn) as conn:
            made = set(conn.execute(MADE).fetchall())

        result = resume()

        assert result.runway_until == AS_OF + timedelta(days=100)
        with psycopg.connect(dsn) as conn:
            assert made <= set(conn.execute(MADE).fetchall()), "what was attached stays as it is"
            assert conn.execute("select count(*), min(lower) from maintenance.partition").fetchone() == (100, AS_OF)
            assert conn.execute(LEFT).fetchall() == []


def kill_once(after_s: float) -> None:
    process = subprocess.Popen([sys.executable, "-c", RUN], cwd=ROOT.parent, env=os.environ.copy(), stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process, process.stdout as said:
        assert said.readline() == b"planned\n"
        time.sleep(after_s)
        process.send_signal(signal.SIGKILL)


def resume() -> CreationResult:
    """The server frees a dead run's lock when it has noticed: within seconds, until then a run is deferred."""
    for _ in range(100):
        result = ensure_partitions("accounts.invoices", hundred(), AS_OF)
        if isinstance(result, CreationResult):
            return result
        time.sleep(0.2)
    pytest.fail("the dead run's lock was not freed")
