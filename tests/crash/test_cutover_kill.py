"""A cutover or rollback killed at any moment has happened whole or not at all, and the next run knows which."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tasks.core.connect import database_now, runtime
from tasks.core.parameters import Safety
from tasks.core.sqlfiles import ROOT
from tasks.migration.cutover import cut_over
from tasks.migration.rollback import roll_back
from tests.catalog import describe
from tests.conftest import Server
from tests.ready import NAME, declaration, ready_database

pytestmark = pytest.mark.crash

#: Runs the step and dies at the call named, before or after it.
RUN = """
import os, signal, sys
from tasks.core.connect import database_now, runtime
from tasks.core.parameters import Safety
from tasks.migration import cutover, rollback
dsn = os.environ["DATABASE_URL"]
from tests.ready import NAME, declaration  # its fixtures take DATABASE_URL away
os.environ["DATABASE_URL"] = dsn

step, module, name, when = sys.argv[1:]
victim = {"cutover": cutover, "rollback": rollback}.get(module)
if victim is not None:
    real = getattr(victim, name)

    def die(*args, **kwargs):
        result = real(*args, **kwargs) if when == "after" else None
        os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(victim, name, die)
print("begun", flush=True)
with runtime():
    if step == "cut_over":
        cutover.cut_over(NAME, declaration())
    else:
        rollback.roll_back(NAME, declaration(), database_now(), safety=Safety(apply=True))
"""


@pytest.fixture
def ready(server: Server) -> Iterator[psycopg.Connection[Any]]:
    """A session of the maintenance role in a database that waits for its cutover."""
    with ready_database(server) as dsn, runtime(), psycopg.connect(dsn, autocommit=True) as conn:
        yield conn


def start(step: str, module: str = "none", name: str = "none", when: str = "before") -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", RUN, step, module, name, when]
    return subprocess.Popen(arguments, cwd=ROOT.parent, env=os.environ.copy(), stdout=subprocess.PIPE, text=True)


def die(step: str, module: str, name: str, when: str) -> None:
    with start(step, module, name, when) as process:
        assert process.wait() == -signal.SIGKILL


def outcome(result: Any) -> str:
    return result.outcome


def wait_until_gone(conn: psycopg.Connection[Any]) -> None:
    """The server notices a dead client at its next statement or after 5 seconds."""
    query = "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and state <> 'idle'"
    deadline = time.monotonic() + 20
    while conn.execute(query).fetchall() != [(0,)] and time.monotonic() < deadline:
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("name", "when"),
    [("_prepare", "after"), ("_lock", "after"), ("_apply_rest", "after"), ("_swap_names", "after"), ("_swap", "after")],
)
def test_killed_inside_the_transaction_nothing_has_happened(ready: psycopg.Connection[Any], name: str, when: str) -> None:
    before = describe(ready)

    die("cut_over", "cutover", name, when)
    wait_until_gone(ready)

    assert describe(ready) == before
    assert outcome(cut_over(NAME, declaration())) == "cut over"


def test_killed_after_the_commit_the_next_run_says_that_it_is_done(ready: psycopg.Connection[Any]) -> None:
    die("cut_over", "cutover", "_finish", "before")
    wait_until_gone(ready)

    assert outcome(cut_over(NAME, declaration())) == "already cut over"
    ((locked_ms,),) = ready.execute("select locked_ms from maintenance.cutover").fetchall()
    assert locked_ms >= 0
    assert outcome(roll_back(NAME, declaration(), database_now(), safety=Safety(apply=True))) == "rolled back"


@pytest.mark.parametrize(
    ("name", "when"), [("carry_nearly_all", "after"), ("_lock", "after"), ("_carry_rest", "after"), ("_restore", "after")]
)
def test_a_way_back_killed_before_its_commit_is_done_by_the_next(ready: psycopg.Connection[Any], name: str, when: str) -> None:
    cut_over(NAME, declaration())
    ready.execute("insert into monitoring.events (type, data, timestamp, created_at) values ('kept', '{}', now(), now())")
    before = describe(ready)

    die("roll_back", "rollback", name, when)
    wait_until_gone(ready)

    assert describe(ready) == before
    assert outcome(roll_back(NAME, declaration(), database_now(), safety=Safety(apply=True))) == "rolled back"
    assert ready.execute("select count(*) from monitoring.events where type = 'kept'").fetchall() == [(1,)]


@pytest.mark.slow
def test_killed_at_random_moments_it_is_whole_or_not_at_all(ready: psycopg.Connection[Any], *, full_loops: bool) -> None:
    before, done = describe(ready), ""
    for _ in range(20 if full_loops else 3):
        with start("cut_over") as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(random.uniform(0.0, 1.2))
            process.kill()
        wait_until_gone(ready)
        ((phase,),) = ready.execute("select phase from maintenance.migration").fetchall()
        assert (describe(ready) == before) == (phase == "capturing")
        if phase == "cut_over":
            done = outcome(cut_over(NAME, declaration()))
            break

    assert (done or outcome(cut_over(NAME, declaration()))) in {"cut over", "already cut over"}
