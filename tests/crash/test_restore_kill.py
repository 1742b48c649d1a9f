"""Restoring survives SIGKILL at each boundary: the next run attaches the partition, no row is lost or doubled (D4).

A child process restores one dropped partition and kills itself at one point; each point has a partition of its own.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tasks.core.ledger import Deferred
from tasks.core.sqlfiles import ROOT
from tasks.partitions.restore import Restored, restore
from tests.retention import AS_OF, DAY, GRACE, TABLE, apply, attached, declare, make_table, name_of, states

ROWS = 20
#: In the order of a run: the load and its commit, the preparations and theirs, the attach and its record.
STATEMENTS = (
    "partitions/believe_catalog",
    "partitions/find_archive",
    "partitions/record_rebuilt",
    "partitions/lacking_indexes",
    "partitions/add_bounds_check",
    "partitions/leftover_checks",
    "partitions/record_restored",
)
POINTS = [(moment, what) for what in (*STATEMENTS, "read_as_csv") for moment in ("before", "after")]
CHILD = """
import sys
from tests.crash.test_restore_kill import restore_and_die
restore_and_die(*sys.argv[1:])
"""


def restore_and_die(partition: str, moment: str, what: str) -> None:
    """Restore in this process and kill it where `what` is reached for the first time, or after it."""
    from tasks.partitions import parquet, restored_file
    from tasks.partitions import restore as restoring

    def dying(original: Callable[..., Any], is_there: Callable[..., bool]) -> Callable[..., Any]:
        def call(*arguments: Any, **values: Any) -> Any:
            if not is_there(*arguments):
                return original(*arguments, **values)
            if moment == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            result = original(*arguments, **values)
            if what == "read_as_csv":
                next(result)
            os.kill(os.getpid(), signal.SIGKILL)
            return result

        return call

    for module in (restoring, restored_file):
        for name in ("run", "fetch"):
            setattr(module, name, dying(getattr(module, name), lambda _, statement: statement == what))
    parquet.read_as_csv = dying(parquet.read_as_csv, lambda *_: what == "read_as_csv")
    restore(TABLE, partition, declare(), AS_OF)


def kill_at(partition: str, moment: str, what: str) -> None:
    command = [sys.executable, "-c", CHILD, partition, moment, what]
    done = subprocess.run(command, cwd=ROOT.parent, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, f"it was not killed {moment} {what}: {done.stderr[-2000:]}"


def resume(partition: str) -> Restored:
    """Run until the dead run's lock is free: the server frees it once it has noticed."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        result = restore(TABLE, partition, declare(), AS_OF)
        if isinstance(result, Restored):
            return result
        assert isinstance(result, Deferred)
        time.sleep(0.1)
    pytest.fail("the dead run's lock was not freed")


@pytest.mark.crash
@pytest.mark.slow
def test_a_run_killed_at_any_boundary_is_completed_by_the_next(
    make_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, full_loops: bool
) -> None:
    points = POINTS if full_loops else POINTS[1::3]
    dsn = make_database(sets=())
    monkeypatch.setenv("MAINTENANCE_ALLOW_FUTURE", "1")
    monkeypatch.setenv("DATABASE_URL", dsn)
    monkeypatch.setenv("MAINTENANCE_ARCHIVE", str(tmp_path))
    days = range(-10 - len(points), -10)
    make_table(dsn, range(days.start, 2), rows=ROWS)
    for as_of in (AS_OF, AS_OF + GRACE):
        apply(as_of=as_of + DAY * (as_of > AS_OF), at_most=len(points))

    with psycopg.connect(dsn, autocommit=True) as conn:
        for day, (moment, what) in zip(days, points, strict=True):
            partition = name_of(day)
            assert states(conn)[partition] == "dropped"

            kill_at(partition, moment, what)
            resume(partition)

            said = f"{moment} {what}"
            assert partition in attached(conn), said
            rows = "select count(*), count(distinct id) from app.readings where at >= %s and at < %s"
            assert conn.execute(rows, (AS_OF + day * DAY, AS_OF + (day + 1) * DAY)).fetchone() == (ROWS, ROWS), said
            held = "select count(*) from maintenance.hold where lower = %s"
            assert conn.execute(held, (AS_OF + day * DAY,)).fetchone() == (1,), said
            checks = "select count(*) from pg_constraint where contype = 'c' and conrelid = %s::regclass"
            assert conn.execute(checks, (partition,)).fetchone() == (0,), said
            assert states(conn)[partition] == "returned", said
