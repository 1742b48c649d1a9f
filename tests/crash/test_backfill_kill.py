"""A backfill killed at any boundary or moment leaves nothing half done, and the next run ends as if it had never happened."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tasks.core.connect import database_now, runtime
from tasks.core.ledger import Deferred
from tasks.core.sqlfiles import ROOT
from tasks.migration.backfill import BackfillResult, backfill
from tasks.partitions.create import ensure_partitions
from tests.demo.legacy import create_legacy, generate
from tests.migrating import Scene, scene
from tests.ready import DAYS, NAME, SEED, TARGET, declaration
from tests.store import assert_store_exact, writer

__all__ = ["scene"]

pytestmark = [pytest.mark.crash, pytest.mark.slow]

#: Module, function, before or after it returns, and which call of it: the commits, and a few points inside a transaction.
BOUNDARIES = [
    ("migration.backfill", "prepare_migration", "after", 1),
    ("migration.capture", "_install", "after", 1),
    ("migration.backfill", "register_units", "after", 1),
    ("migration.copy", "_load_source", "after", 2),
    ("migration.copy", "_build", "after", 2),
    ("migration.copy", "attach_partition", "after", 3),
    ("migration.copy", "_attach", "after", 3),
    ("migration.copy", "_queue", "after", 2),
    ("migration.drain", "write_rows", "after", 1),
    ("migration.backfill", "drain_source", "after", 1),
    ("migration.backfill", "ensure_indexes", "before", 2),
]
#: The points between these; with full loops only.
MORE_BOUNDARIES = [
    ("migration.backfill", "ensure_indexes", "after", 1),
    ("migration.backfill", "capture_on", "after", 1),
    ("migration.backfill", "current", "after", 1),
    ("migration.copy", "_register", "after", 1),
    ("migration.copy", "build_partition", "after", 2),
    ("migration.copy", "finish_partition", "after", 2),
    ("migration.copy", "_record_sources", "after", 2),
    ("migration.copy", "attach_partition", "before", 3),
    ("migration.copy", "_enqueue", "after", 2),
    ("migration.backfill", "drain", "before", 1),
    ("migration.drain", "_take", "after", 1),
    ("migration.backfill", "ensure_indexes", "after", 2),
]


def start(what: str, *point: object) -> subprocess.Popen[str]:
    """Start a backfill in a process of its own and wait until it begins."""
    command = [sys.executable, "-m", "tests.crash.victim", what, *map(str, point)]
    process = subprocess.Popen(command, cwd=ROOT.parent, env=os.environ.copy(), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    return process


def killed(process: subprocess.Popen[str]) -> bool:
    """Wait for the end; says whether it was a kill."""
    with process:
        return process.wait(timeout=120) == -9


def until_free(run: Callable[[], BackfillResult | Deferred]) -> BackfillResult:
    """Run again until the server has freed a dead run's lock, which takes a moment."""
    for _ in range(150):
        result = run()
        if isinstance(result, BackfillResult):
            return result
        time.sleep(0.2)
    pytest.fail("the dead run's lock was not freed")


@pytest.fixture
def full(scene: Scene) -> Scene:
    """Bills of every kind over all months."""
    scene.execute("""
        insert into shop.bills (bill_no, customer, cents, issued)
        select n, 'c', n, '2025-01-01'::date + n * 243 / 300 from generate_series(0, 299) n
    """)
    scene.add(
        (1001, None, 1), (1002, "infinity", 1), (1004, "2024-12-31", 1), (1006, "2025-03-03", -1), (1007, "2025-07-07", -1)
    )
    return scene


@pytest.mark.parametrize("boundary", [*BOUNDARIES, *MORE_BOUNDARIES], ids=lambda b: f"{b[2]} {b[1]} {b[3]}")
def test_a_kill_at_a_boundary_is_made_good_by_the_next_run(
    full: Scene, boundary: tuple[str, str, str, int], *, full_loops: bool
) -> None:
    if boundary in MORE_BOUNDARIES and not full_loops:
        pytest.skip("with --full-loops")
    assert killed(start("bills", *boundary)), "the point was never reached"
    assert_nothing_is_half_done(full)
    full.execute("update shop.bills set issued = issued + 31, cents = cents + 1 where bill_no % 3 = 0 and isfinite(issued)")
    full.execute("delete from shop.bills where bill_no % 10 = 1 or bill_no = 1006")

    until_free(full.backfill)
    full.assert_exact()
    assert full.backfill().units_done == 0


def assert_nothing_is_half_done(scene: Scene) -> None:
    """No index is invalid, no partition holds rows that another holds too, and every loose table is a registered unit's."""
    assert (
        scene.one("select count(*)::int from pg_index where not indisvalid and indrelid::regclass::text like 'accounts.%_p%'")
        == 0
    )
    assert (
        scene.one("select count(*)::int from (select number from accounts.invoices group by number having count(*) > 1) d") == 0
    )
    loose = """
    select relname from pg_class where relnamespace = 'accounts'::regnamespace and relkind = 'r' and not relispartition
    except select partition from maintenance.unit where state = 'loaded'
    """
    assert scene.execute(loose) == []


def test_a_killed_run_leaves_the_capture_at_work(full: Scene) -> None:
    assert killed(start("bills", "migration.copy", "_build", "after", 2))
    full.execute("update shop.bills set cents = 1 where bill_no = 5")
    assert full.queue() == [("5", "2025-01-05")]


@pytest.fixture
def legacy(make_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """The five legacy tables with generated rows, and the runway of their target."""
    dsn = make_database()
    monkeypatch.setenv("DATABASE_URL", dsn)
    with psycopg.connect(dsn, autocommit=True) as conn:
        create_legacy(conn)
        generate(conn, 2_000, SEED, database_now(), days=DAYS)
    with runtime():
        ensure_partitions(TARGET, declaration(), database_now())
        yield dsn


def test_kills_at_random_moments_under_a_writer_end_in_no_difference(legacy: str, tmp_path: Path, *, full_loops: bool) -> None:
    """Each run is killed somewhere between its start and its end; the application goes on all the while."""

    def copy() -> BackfillResult | Deferred:
        return backfill(NAME, declaration(), database_now(), workers=2, preflight=None)

    with writer(legacy, tmp_path, days=DAYS, rate=400):
        for _ in range(20 if full_loops else 3):
            process = start("store")
            time.sleep(random.uniform(0.0, 4.0))
            process.kill()
            killed(process)
        until_free(copy)
    until_free(copy)
    assert until_free(copy).keys_drained == 0
    assert_store_exact(legacy)
