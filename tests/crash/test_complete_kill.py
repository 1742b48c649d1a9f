"""The way back called complete, killed at any moment: no row is lost, and the next run ends where one without a kill would (M6)."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pyarrow.parquet as pq
import pytest

from tasks.core.connect import database_now, runtime
from tasks.core.parameters import Safety
from tasks.core.sqlfiles import ROOT
from tasks.migration.cutover import cut_over
from tasks.migration.rollback import RollbackResult, roll_back
from tests.conftest import Server
from tests.crash.test_cutover_kill import wait_until_gone
from tests.database.test_rollback import shown
from tests.ready import NAME, declaration, ready_database

pytestmark = pytest.mark.crash

#: Rolls back and dies at the call named.
RUN = """
import os, sys
from tasks.core.connect import database_now, runtime
from tasks.core.parameters import Safety
from tasks.migration.rollback import roll_back
dsn = os.environ["DATABASE_URL"]
from tests.crash.victim import arm
from tests.ready import NAME, declaration  # its fixtures take DATABASE_URL away
os.environ["DATABASE_URL"] = dsn

if sys.argv[1:]:
    arm(*sys.argv[1:])
print("begun", flush=True)
with runtime():
    roll_back(NAME, declaration(), database_now(), way="complete", safety=Safety(apply=True))
"""
OWN = (
    "insert into unified.event_metric_events (id, event_type, event_category, source_system, event_timestamp)"
    " select maintenance.v8_id(0, n), 'own', 'error', 'maintenance', now() - n * interval '3 days' from generate_series(0, 1) as n"
)
#: Module, function, when, which call; those of `remove` are in the order of a run.
POINTS = [
    ("migration.rollback", "_attempt", "after", "1"),
    ("migration.rollback", "remove", "before", "1"),
    ("migration.remove", "_detach", "before", "2"),
    ("migration.remove", "_detach", "after", "2"),
    ("migration.remove", "_record", "after", "2"),
    ("migration.remove", "_take", "after", "3"),
    ("migration.remove", "_move", "after", "1"),
    ("migration.remove", "archive_bundle", "before", "1"),
    ("migration.remove", "archive_bundle", "during", "1"),
    ("migration.remove", "archive_bundle", "after", "1"),
    ("migration.remove", "_drop_once", "after", "2"),
    ("migration.remove", "_drop", "after", "2"),
    ("migration.remove", "_take_all", "after", "1"),
    ("migration.remove", "drop_loaded", "after", "1"),
    ("migration.remove", "close", "after", "1"),
    ("migration.remove", "_forget", "after", "1"),
]
SAMPLE = [POINTS[3], POINTS[6], POINTS[9], POINTS[11]]
#: Before a cutover there are triggers to drop.
EARLY = [("migration.remove", "_release", "after", "2"), ("migration.remove", "_stop_capture", "after", "1")]


@pytest.fixture
def conn(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[psycopg.Connection[Any]]:
    """The maintenance role's session before the cutover, with two rows in the target that nobody owns."""
    monkeypatch.setenv("MAINTENANCE_ARCHIVE", str(tmp_path / "archive"))
    with ready_database(server) as dsn, runtime(), psycopg.connect(dsn, autocommit=True) as session:
        yield session


def start(*point: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", RUN, *point]
    return subprocess.Popen(command, cwd=ROOT.parent, env=os.environ.copy(), stdout=subprocess.PIPE, text=True)


def places(conn: psycopg.Connection[Any], relation: str) -> list[tuple[str, Any]]:
    return conn.execute(f"select id::text, event_timestamp from {relation}".encode()).fetchall()  # noqa: S608


def held(conn: psycopg.Connection[Any]) -> set[tuple[str, Any]]:
    """Return every place that the target, a table taken out of it, or a verified file holds."""
    rows = places(conn, "unified.event_metric_events")
    for partition, state, archive in conn.execute("select partition, state, archive from maintenance.retirement").fetchall():
        if state == "dropped":
            rows += [(str(row["id"]), row["event_timestamp"]) for row in read(archive)]
        else:
            rows += places(conn, partition)
    assert len(rows) == len(set(rows))
    return set(rows)


def read(archive: str) -> list[dict[str, Any]]:
    return pq.read_table(archive, columns=["id", "event_timestamp"]).to_pylist()


def finish(conn: psycopg.Connection[Any], before: set[tuple[str, Any]], legacy: dict[str, set[str]]) -> None:
    """Run again and assert that what a run without a kill leaves is there."""
    assert held(conn) == before
    result = roll_back(NAME, declaration(), database_now(), way="complete", safety=Safety(apply=True))
    assert isinstance(result, RollbackResult)
    assert result.outcome in ("removed", "nothing to roll back")
    own = sorted(places(conn, "unified.event_metric_events"))
    assert [key[:8] for key, _ in own] == ["00000000", "00000000"]
    assert held(conn) == before
    assert shown(conn) == legacy
    open_ones = "select count(*) from maintenance.retirement where state <> 'dropped'"
    assert conn.execute(open_ones.encode()).fetchall() == [(0,)]
    left = "select count(*) from pg_class where relname ~ '^removed_' or relname ~ '_legacy$'"
    assert conn.execute(left.encode()).fetchall() == [(0,)]
    assert roll_back(NAME, declaration(), database_now(), way="complete", safety=Safety(apply=True)) == RollbackResult(
        NAME, "nothing to roll back"
    )


def die(conn: psycopg.Connection[Any], *point: str) -> None:
    with start(*point) as process:
        assert process.wait() == -signal.SIGKILL
    wait_until_gone(conn)


@pytest.mark.parametrize("point", POINTS, ids=" ".join)
def test_killed_at_any_step_no_row_is_lost_and_the_next_run_finishes(
    conn: psycopg.Connection[Any], point: tuple[str, ...], *, full_loops: bool
) -> None:
    if point not in SAMPLE and not full_loops:
        pytest.skip("a sample of the points without --full-loops")
    legacy = shown(conn)
    cut_over(NAME, declaration())
    conn.execute(OWN.encode())
    if point[1] == "drop_loaded":
        conn.execute(
            "insert into maintenance.unit (migration, target, kind, lower, upper, partition, state, generation, mapping_version)"
            " select name, target, 'aside', '1999-01-01+00', '1999-01-02+00', 'rest', 'loaded', 1, 'v' from maintenance.migration"
        )
    before = held(conn)

    die(conn, *point)

    finish(conn, before, legacy)


@pytest.mark.parametrize("point", EARLY, ids=" ".join)
def test_killed_while_capture_ends_the_next_run_finishes(conn: psycopg.Connection[Any], point: tuple[str, ...]) -> None:
    conn.execute(OWN.encode())
    before, legacy = held(conn), shown(conn)

    die(conn, *point)

    finish(conn, before, legacy)
    assert conn.execute("select count(*) from pg_trigger where tgname ~ '^maintenance_'").fetchall() == [(0,)]


@pytest.mark.slow
def test_killed_at_random_moments_no_row_is_lost(conn: psycopg.Connection[Any], *, full_loops: bool) -> None:
    legacy = shown(conn)
    cut_over(NAME, declaration())
    conn.execute(OWN.encode())
    before = held(conn)
    for _ in range(20 if full_loops else 2):
        with start() as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(random.uniform(0.0, 2.5))
            process.kill()
        wait_until_gone(conn)
        assert held(conn) == before

    finish(conn, before, legacy)
