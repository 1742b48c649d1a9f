"""Coarsening survives SIGKILL at every boundary: the next run ends in the same partitions with the same rows."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable

import psycopg
import pytest

from tasks.core.sqlfiles import ROOT
from tasks.partitions.coarsen import CoarseningResult, coarsen
from tests.database.test_coarsen import APPLY, AS_OF, CONTENT, FEBRUARY, JANUARY, SCHEMA, TABLE, declare, tables

RUN = """
import sys
from tasks.partitions.coarsen import coarsen
from tests.crash.victim import arm
from tests.database.test_coarsen import APPLY, AS_OF, TABLE, declare
arm("partitions.coarsen", *sys.argv[1:])
coarsen(TABLE, declare(), AS_OF, APPLY)
"""
POINTS = [
    ("_watch", "after", 1),
    ("copy_member", "before", 1),
    ("finish_partition", "before", 1),
    ("_build", "after", 1),
    ("_freeze", "after", 1),
    ("attach_partition", "after", 1),
    ("_swap", "after", 1),
    ("_drop_one", "after", 5),
    ("_drop_members", "after", 1),
    ("_build", "before", 2),
]


@pytest.mark.crash
@pytest.mark.parametrize(("name", "when", "number"), POINTS)
def test_a_run_killed_at_a_boundary_is_completed_by_the_next(
    make_database: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    when: str,
    number: int,
    *,
    full_loops: bool,
) -> None:
    if not full_loops and POINTS.index((name, when, number)) % 2:
        pytest.skip("every second boundary without --full-loops")
    dsn = make_database(sets=())
    monkeypatch.setenv("DATABASE_URL", dsn)
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(SCHEMA)
        before = conn.execute(CONTENT).fetchall()
        function = "run" if name == "copy_member" else name
        number = number + 8 if name == "copy_member" else number
        died = subprocess.run(
            [sys.executable, "-c", RUN, function, when, str(number)], cwd=ROOT.parent, env=os.environ, check=False
        )
        assert died.returncode == -9

        assert conn.execute(CONTENT).fetchall() == before, "nobody misses a row before the next run either"
        resume()

        assert conn.execute(CONTENT).fetchall() == before
        assert tables(conn) == 69 - 59 + 2
        assert conn.execute("select state, count(*) from maintenance.coarsening group by 1").fetchall() == [("done", 2)]
        attached = conn.execute("select schema || '.' || name from maintenance.partition order by lower limit 2").fetchall()
        assert attached == [(JANUARY,), (FEBRUARY,)]


def resume() -> None:
    """The server frees a dead run's lock when it has noticed: within seconds, until then a run is deferred."""
    for _ in range(100):
        if isinstance(coarsen(TABLE, declare(), AS_OF, APPLY), CoarseningResult):
            return
        time.sleep(0.2)
    pytest.fail("the dead run's lock was not freed")
