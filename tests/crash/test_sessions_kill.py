"""What was acknowledged as saved survives SIGKILL of the process and of the server; a killed expiry is taken up again (N4)."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest

from tasks.core.connect import database_now, runtime
from tasks.core.declaration import read_declaration
from tasks.core.settings import PROJECT
from tasks.upkeep.sessions import SessionsExpired, expire_sessions, load
from tests.conftest import Restartable
from tests.crash.saver import SESSIONS, declaration

pytestmark = pytest.mark.crash

#: Two processes with as many connections each.
THREADS = 10
SAVES = 1_000


class Acknowledged(NamedTuple):
    session_id: str
    version: int
    mark: str


class Saver:
    """One saving process; what it acknowledges goes into a file, so that no full pipe slows it down."""

    def __init__(self, name: str, saves: int, folder: Path) -> None:
        self.said = folder / f"{name}.txt"
        command = [sys.executable, "-m", "tests.crash.saver", name, str(THREADS), str(saves)]
        with self.said.open("wb") as out, (folder / f"{name}.err").open("wb") as err:
            self.process = subprocess.Popen(command, cwd=PROJECT, stdin=subprocess.PIPE, stdout=out, stderr=err)

    def wait_for(self, lines: int) -> None:
        """Wait until it has said so many lines, or has ended."""
        while len(self.lines()) < lines and self.process.poll() is None:
            time.sleep(0.005)

    def lines(self) -> list[str]:
        """Return the whole lines so far."""
        return self.said.read_text(encoding="utf-8").rpartition("\n")[0].splitlines()

    def go(self) -> None:
        """Let it save."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()

    def acknowledged(self) -> list[Acknowledged]:
        """Return what it was told is saved."""
        words = [line.split() for line in self.lines()[1:]]
        return [Acknowledged(session_id, int(version), mark) for session_id, version, mark in words]

    def end(self) -> None:
        """End it, where it has not ended."""
        self.process.kill()
        self.process.communicate()


@contextmanager
def savers(dsn: str, folder: Path, *names: str, saves: int) -> Iterator[list[Saver]]:
    """Start saving processes, see that each thread has its connection, and let them go."""
    started = [Saver(name, saves, folder) for name in names]
    try:
        for saver in started:
            saver.wait_for(1)
        with psycopg.connect(dsn) as conn:
            query = "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
            assert conn.execute(query).fetchone() == (THREADS * len(names),)
        for saver in started:
            saver.go()
        yield started
    finally:
        for saver in started:
            saver.end()


def assert_nothing_is_lost(dsn: str, acknowledged: list[Acknowledged]) -> None:
    """Every acknowledged mark is loaded, at its version's place, and each version added exactly one mark."""
    sink = read_declaration(PROJECT / "maintenance.yaml").session_sink()
    with runtime():
        found = {name: load(sink, name) for name in (f"s{n}" for n in range(SESSIONS))}
    marks = {name: session.data["marks"] if session else [] for name, session in found.items()}
    lost = [a for a in acknowledged if marks[a.session_id][a.version - 1 : a.version] != [a.mark]]
    assert not lost
    assert {name: session.version for name, session in found.items() if session} == {n: len(m) for n, m in marks.items() if m}


@pytest.mark.slow
def test_a_process_killed_amid_a_thousand_saves_loses_none_that_was_acknowledged(
    database: str, tmp_path: Path, *, full_loops: bool
) -> None:
    for turn in range(5 if full_loops else 1):
        folder = tmp_path / str(turn)
        folder.mkdir()
        each = SAVES // (2 * THREADS)
        with savers(database, folder, f"a{turn}", f"b{turn}", saves=each) as (victim, other):
            victim.wait_for(random.randint(2, SAVES // 2 - 50))
            victim.process.kill()
            assert victim.process.wait() == -9, "it had ended before it was killed"
            assert other.process.wait(timeout=120) == 0
            kept = [*victim.acknowledged(), *other.acknowledged()]
        assert len(other.acknowledged()) == SAVES // 2
        assert 0 < len(victim.acknowledged()) < SAVES // 2
        assert_nothing_is_lost(database, kept)

        # Started again it goes on with the same sessions.
        with savers(database, folder, f"again{turn}", saves=5) as (again,):
            assert again.process.wait(timeout=60) == 0
            kept += again.acknowledged()
        assert len(again.acknowledged()) == 5 * THREADS
        assert_nothing_is_lost(database, kept)
        with psycopg.connect(database, autocommit=True) as conn:
            conn.execute("truncate public.sessions")


@pytest.mark.slow
def test_a_server_that_crashes_amid_saves_has_every_one_that_was_acknowledged(restartable: Restartable, tmp_path: Path) -> None:
    with savers(restartable.dsn, tmp_path, "a", "b", saves=SAVES) as both:
        for saver in both:
            saver.wait_for(100)
        restartable.crash()
        for saver in both:
            saver.end()
        kept = [acknowledged for saver in both for acknowledged in saver.acknowledged()]
    assert len(kept) >= 198
    assert_nothing_is_lost(restartable.dsn, kept)


#: Expires in batches of three and dies before the batch named, or in it before its commit.
RUN = """
import os, signal, sys
from datetime import datetime
from tasks.core.connect import runtime
from tasks.upkeep import sessions
from tests.crash.saver import declaration
where, left = sys.argv[1], [int(sys.argv[2])]

def die(*_):
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)

def dying(real):
    def batch(*arguments):
        rows = real(*arguments)
        die()
        return rows
    return batch

if where == "within":
    sessions.expire, sessions.purge = dying(sessions.expire), dying(sessions.purge)
with runtime():
    sessions.expire_sessions(declaration(), datetime.fromisoformat(sys.argv[3]), between=die if where == "before" else None)
"""


@pytest.mark.parametrize(
    ("where", "batch", "expired", "purged"),
    [("before", 3, 6, 0), ("within", 2, 3, 0), ("before", 6, 8, 3), ("within", 6, 8, 3)],
)
def test_an_expiry_that_is_killed_keeps_its_batches_and_the_next_run_does_the_rest(
    database: str, where: str, batch: int, expired: int, purged: int
) -> None:
    with runtime(), psycopg.connect(database, autocommit=True) as conn:
        now = database_now()
        conn.execute(
            "insert into public.sessions (session_id, last_activity_at, session_state, expires_at)"
            " select 'idle' || n, %(now)s - interval '2 days', 'active', null from generate_series(1, 8) n"
            " union all select 'old' || n, %(now)s - interval '50 days', 'expired', %(now)s - interval '31 days'"
            " from generate_series(1, 7) n",
            {"now": now},
        )
        command = [sys.executable, "-c", RUN, where, str(batch), now.isoformat()]
        assert subprocess.run(command, cwd=PROJECT, env=os.environ.copy(), check=False, timeout=60).returncode == -9
        query = (
            "select count(*) filter (where session_id ~ 'idle' and session_state = 'expired'),"
            " 7 - count(*) filter (where session_id ~ 'old') from public.sessions"
        )
        assert conn.execute(query).fetchone() == (expired, purged)

        rest = until_free(now)

        assert (rest.expired, rest.purged) == (8 - expired, 7 - purged)
        assert until_free(now) == SessionsExpired("public.sessions", now)
        outcomes = conn.execute("select outcome from maintenance.run where flow = 'expire_sessions' order by id").fetchall()
        assert outcomes[0] == ("abandoned",)
        assert outcomes[-1] == ("completed",)


def until_free(as_of: Any) -> SessionsExpired:
    """Run again until the server has freed a dead run's lock, which takes a moment."""
    for _ in range(150):
        result = expire_sessions(declaration(), as_of)
        if isinstance(result, SessionsExpired):
            return result
        time.sleep(0.2)
    pytest.fail("the dead run's lock was not freed")
