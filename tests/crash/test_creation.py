"""Creation survives SIGKILL at any moment: what was attached stays, nothing else is left, the next run completes it.

At each transition of one partition, beside rows that leave a default partition, and at random moments of a long run.
"""

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


# At each transition.

STEP = """
import sys
from tasks.partitions.create import ensure_partitions
from tests.crash.test_creation import AS_OF, TABLE, declare
from tests.crash.victim import arm
arm(*sys.argv[1:])
ensure_partitions(TABLE, declare(), AS_OF)
"""
TABLE = "app.readings"
SETUP = """
create schema app;
create table app.readings (id bigint generated always as identity, at timestamptz not null, primary key (id, at))
partition by range (at);
create table app.rest partition of app.readings default;
insert into app.readings (at) select '2025-08-10Z'::timestamptz + n * interval '1 hour' from generate_series(0, 71) as n;
insert into maintenance.migration (name, target, phase) values ('m', 'app.readings', 'capturing');
insert into maintenance.span values ('app.readings', '2025-01-01Z', '2025-08-10Z');
"""
SPAN = "select extract(day from upper - '2025-08-10Z')::integer from maintenance.span"
#: Module, function, moment, and at which call: what a partition goes through, and what surrounds it.
POINTS = [
    ("partitions.create", "plan_creation", "after", 1),
    ("partitions.create", "_create_all", "before", 1),
    ("partitions.build", "build_partition", "before", 2),
    ("partitions.build", "build_partition", "after", 2),
    ("partitions.create", "move_rows", "after", 2),
    ("partitions.build", "finish_partition", "after", 2),
    ("partitions.build", "attach_partition", "after", 2),
    ("partitions.create", "_lock_span", "after", 2),
    ("partitions.create", "_raise_span", "before", 2),
    ("partitions.create", "_raise_span", "after", 2),
    ("partitions.create", "_create_one", "after", 1),
    ("partitions.create", "_create_one", "after", 4),
    ("partitions.create", "_proven_runway", "after", 1),
    ("partitions.create", "_declared_indexes", "before", 1),
    ("partitions.create", "_declared_indexes", "after", 1),
]
STATE = """
select
    (select count(*) from app.readings),
    (select count(*) from only app.rest),
    (select count(*) from maintenance.partition where not is_default),
    (select count(*) from pg_class where relnamespace = 'app'::regnamespace and relkind = 'r' and not relispartition),
    (select count(*) from pg_index where not indisvalid)
"""


def declare() -> Declaration:
    """Return four days to make and an index that is built after them."""
    index = {"columns": "at", "why": "w", "build": "after_load"}
    cut = {"by": "at", "every": "day", "ahead": "P4D"}
    table = {"why": "w", "owner": "o", "partitioning": cut, "indexes": {"readings_at": index}}
    return Declaration.model_validate({"tables": {TABLE: table}})


@pytest.mark.crash
@pytest.mark.slow
def test_a_run_killed_at_any_transition_leaves_whole_partitions_and_every_row(
    make_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch, *, full_loops: bool
) -> None:
    for module, name, when, number in POINTS if full_loops else POINTS[1::3]:
        dsn = make_database(sets=())
        monkeypatch.setenv("DATABASE_URL", dsn)
        with psycopg.connect(dsn, autocommit=True) as conn:
            conn.execute(SETUP)
            command = [sys.executable, "-c", STEP, module, name, when, str(number)]
            died = subprocess.run(command, cwd=ROOT.parent, env=os.environ.copy(), check=False, capture_output=True, text=True)
            assert died.returncode == -signal.SIGKILL, died.stderr[-2000:]
            rows, in_default, made, loose, _ = conn.execute(STATE).fetchall()[0]
            assert (rows, loose) == (72, 0), f"{when} {name}: a partition is whole or not there"
            assert conn.execute(SPAN).fetchall() == [(made,)], f"{when} {name}: rows are taken just as far as partitions reach"
            assert in_default == 72 - 24 * min(made, 3), f"{when} {name}: rows lie where they belong"

            result = finish()

            assert conn.execute(STATE).fetchone() == (72, 0, 4, 0, 0), f"{when} {name}"
            assert conn.execute(SPAN).fetchall() == [(4,)]
            assert len(result.created) == 4 - made
            assert finish().created == ()


def finish() -> CreationResult:
    """Run until the dead run's lock is free."""
    for _ in range(100):
        result = ensure_partitions(TABLE, declare(), AS_OF)
        if isinstance(result, CreationResult):
            return result
        time.sleep(0.2)
    pytest.fail("the dead run's lock was not freed")
