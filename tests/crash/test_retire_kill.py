"""Retiring killed at any moment leaves at most archives, and the next run ends where one without a kill would (M5)."""

# ruff: noqa: S608 (statements are put together from the names of the demo's tables)
from __future__ import annotations

import os
import signal
import subprocess
import sys
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
from tasks.migration.retire import RetireResult, retire_legacy
from tests.catalog import describe
from tests.conftest import Server
from tests.crash.test_cutover_kill import wait_until_gone
from tests.database.test_retire import LATER, shown, tables
from tests.demo.tables import TABLES
from tests.ready import NAME, declaration, ready_database

pytestmark = pytest.mark.crash

#: Retires and dies at the call named, before or after it; of a function called per table, at the second.
RUN = """
import os, signal, sys
from tasks.core.connect import database_now, runtime
from tasks.core.parameters import Safety
from tasks.migration import retire
dsn = os.environ["DATABASE_URL"]
from tests.database.test_retire import LATER
from tests.ready import NAME, declaration  # its fixtures take DATABASE_URL away
os.environ["DATABASE_URL"] = dsn

name, when = sys.argv[1:]
real, calls = getattr(retire, name), []

def die(*args, **kwargs):
    calls.append(name)
    is_last = name not in ("_record", "_let_go", "_proven") or len(calls) == 2
    result = None if is_last and when == "before" else real(*args, **kwargs)
    if is_last:
        os.kill(os.getpid(), signal.SIGKILL)
    return result

setattr(retire, name, die)
with runtime():
    retire.retire_legacy(NAME, declaration(), safety=Safety(apply=True), as_of=database_now() + LATER)
"""
POINTS = ["carry_nearly_all", "_record", "archive_bundle", "_proven", "_let_go", "remove_reverse_capture", "_drop"]
SAMPLE = [("archive_bundle", "after"), ("_let_go", "after"), ("_drop", "after")]


@pytest.fixture
def conn(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[psycopg.Connection[Any]]:
    """The maintenance role's session after the cutover."""
    monkeypatch.setenv("MAINTENANCE_ARCHIVE", str(tmp_path))
    monkeypatch.setenv("MAINTENANCE_ALLOW_FUTURE", "1")
    with ready_database(server) as dsn, runtime():
        cut_over(NAME, declaration())
        with psycopg.connect(dsn, autocommit=True) as session:
            yield session


def die(name: str, when: str) -> None:
    command = [sys.executable, "-c", RUN, name, when]
    with subprocess.Popen(command, cwd=ROOT.parent, env=os.environ.copy()) as process:
        assert process.wait() == -signal.SIGKILL


def again() -> RetireResult:
    result = retire_legacy(NAME, declaration(), safety=Safety(apply=True), as_of=database_now() + LATER)
    assert isinstance(result, RetireResult)
    return result


def check_retired(conn: psycopg.Connection[Any], rows: dict[str, int]) -> None:
    """Assert that every table is gone and its newest file holds each of its rows."""
    assert tables(conn) == set()
    recorded = conn.execute("select partition, archive from maintenance.retirement where state = 'dropped'").fetchall()
    assert {name.partition(".")[2]: pq.read_table(archive).num_rows for name, archive in recorded} == rows


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("name", POINTS)
def test_killed_before_the_commit_only_archives_are_left_and_the_next_run_finishes(
    conn: psycopg.Connection[Any], name: str, when: str, *, full_loops: bool
) -> None:
    if (name, when) not in SAMPLE and not full_loops:
        pytest.skip("a sample of the points without --full-loops")
    rows = {f"{table.name}_legacy": len(found) for table, found in zip(TABLES, counted(conn), strict=True)}
    before, seen = describe(conn), shown(conn)

    die(name, when)
    wait_until_gone(conn)
    assert describe(conn) == before

    assert again().outcome == "retired"
    check_retired(conn, rows)
    assert shown(conn) == seen


def counted(conn: psycopg.Connection[Any]) -> list[list[Any]]:
    """Return the keys of every old table."""
    return [conn.execute(f"select id from monitoring.{table.name}_legacy".encode()).fetchall() for table in TABLES]


def test_killed_after_the_commit_the_next_run_says_that_it_is_done(conn: psycopg.Connection[Any]) -> None:
    die("with_lock_retries", "after")
    wait_until_gone(conn)

    assert tables(conn) == set()
    assert again().outcome == "already retired"
