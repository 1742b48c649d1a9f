"""A new index on a parent with 120 live partitions: killed at every step, written at full speed all the while (D5)."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from tasks.core.connect import AUTOVACUUM_LOCK_MS, database_now, runtime
from tasks.core.declaration import read_declaration
from tasks.core.sqlfiles import ROOT
from tasks.partitions.rebuild import RebuildResult, rebuild_indexes_of

pytestmark = [pytest.mark.crash, pytest.mark.slow]

TABLE = "app.readings"
PARTITIONS = 120
FIRST = datetime(2025, 1, 1, tzinfo=UTC)
DECLARATION = """
tables:
  app.readings:
    why: w
    owner: o
    partitioning: {by: at, every: day, ahead: P3D}
    indexes:
      readings_kind: {columns: "kind, at desc", why: w}
"""
SCHEMA = """
set timezone = 'UTC';
create schema app;
create table app.readings (
    id bigint not null, at timestamptz not null, kind text not null, value integer not null default 0, primary key (id, at)
) partition by range (at);
do $$
begin
    for day in 0..119 loop
        execute format(
            'create table app.readings_p%s partition of app.readings for values from (%L) to (%L)',
            to_char('2025-01-01Z'::timestamptz + make_interval(days => day), 'YYYYMMDD'),
            '2025-01-01Z'::timestamptz + make_interval(days => day), '2025-01-01Z'::timestamptz + make_interval(days => day + 1)
        );
    end loop;
end
$$;
insert into app.readings (id, at, kind)
select i, '2025-01-01Z'::timestamptz + i * interval '6 hours', 'k' || i % 7 from generate_series(0, 479) as i;
"""
#: In this order on one table, each run going on where the last one died; every one is reached.
MOMENTS = [
    ("partitions.rebuild", "create_on_parent", "after", 1),
    ("partitions.index_build", "build", "during", 10),
    ("partitions.index_build", "remove_invalid", "before", 1),
    ("partitions.index_build", "build", "after", 5),
    ("partitions.index_build", "attach", "before", 6),
    ("partitions.index_build", "attach", "after", 7),
]
VALID = "select indexrelid from pg_index where indisvalid and indrelid::regclass::text like 'app.readings_p%'"


class Writer:
    """Inserts and updates at full speed in two sessions; a wait for a lock above the budget is an error."""

    def __init__(self, dsn: str) -> None:
        self.dsn, self.stop = dsn, threading.Event()
        self.written, self.updated, self.errors = 0, 0, list[psycopg.Error]()

    def insert(self) -> None:
        """Insert single rows anywhere."""
        with self._session() as conn:
            while not self.stop.is_set():
                at = FIRST + timedelta(days=random.random() * PARTITIONS)
                self._try(conn, "insert into app.readings (id, at, kind) values (%s, %s, 'w')", [10_000 + self.written, at])
                self.written += 1

    def update(self) -> None:
        """Update rows of three partitions in one transaction."""
        with self._session() as conn:
            while not self.stop.is_set():
                # In one order, so that nothing but maintenance can be in the way.
                for row in sorted(random.sample(range(480), 3)):
                    at = FIRST + timedelta(hours=6 * row)
                    self._try(conn, "update app.readings set value = value + 1 where id = %s and at = %s", [row, at])
                    self.updated += 1
                conn.commit()

    def _session(self) -> psycopg.Connection:
        return psycopg.connect(self.dsn, options=f"-c lock_timeout={AUTOVACUUM_LOCK_MS}", application_name="the application")

    def _try(self, conn: psycopg.Connection, statement: str, values: list[object]) -> None:
        try:
            conn.execute(statement.encode(), values)
            if statement.startswith("insert"):
                conn.commit()
        except psycopg.Error as error:
            self.errors.append(error)
            conn.rollback()


@contextmanager
def written_at_full_speed(dsn: str) -> Iterator[Writer]:
    writer = Writer(dsn)
    threads = [threading.Thread(target=work) for work in (writer.insert, writer.update)]
    for thread in threads:
        thread.start()
    try:
        yield writer
    finally:
        writer.stop.set()
        for thread in threads:
            thread.join()


@pytest.fixture
def dsn(make_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    made = make_database(sets=())
    (tmp_path / "maintenance.yaml").write_text(DECLARATION, encoding="utf-8")
    monkeypatch.setenv("DATABASE_URL", made)
    monkeypatch.setenv("MAINTENANCE_FILE", str(tmp_path / "maintenance.yaml"))
    with psycopg.connect(made, autocommit=True) as conn:
        conn.execute(SCHEMA)
    return made


def killed_at(*point: object) -> bool:
    """Run the flow's work in a process that dies at `point`; says whether it did."""
    command = [sys.executable, "-m", "tests.crash.victim", "indexes", *map(str, point)]
    process = subprocess.Popen(command, cwd=ROOT.parent, env=os.environ.copy(), stdout=subprocess.PIPE)
    with process:
        return process.wait(timeout=240) == -9


def resume() -> RebuildResult:
    """Run again until the server has freed the dead run's lock, which takes a moment."""
    with runtime():
        for _ in range(150):
            result = rebuild_indexes_of(TABLE, read_declaration(), database_now())
            if isinstance(result, RebuildResult):
                return result
            time.sleep(0.2)
    pytest.fail("the dead run's lock was not freed")


def free(conn: psycopg.Connection) -> None:
    """Wait until the server has noticed that the dead run's sessions are dead."""
    for _ in range(300):
        held = conn.execute(
            "select count(*) from pg_stat_activity where application_name like 'maintenance rebuild_indexes%' and datname = current_database()"
        ).fetchone()
        if held == (0,):
            return
        time.sleep(0.1)
    pytest.fail("the dead run's sessions stay")


def test_a_new_index_on_120_live_partitions_survives_kills_and_stops_no_writer(dsn: str) -> None:
    kept: set[int] = set()
    with psycopg.connect(dsn, autocommit=True) as conn, written_at_full_speed(dsn) as writer:
        for moment in MOMENTS:
            with a_slow_writer_of_the_tenth_day(dsn, held=moment[2] == "during"):
                assert killed_at(*moment), f"{moment} was never reached"
                free(conn)
            valid = {oid for (oid,) in conn.execute(VALID)}
            assert kept <= valid, "what was built stays"
            kept = valid

        result = resume()

        assert (result.outcome, result.is_complete) == ("rebuilt", True)
        assert kept <= {oid for (oid,) in conn.execute(VALID)}
    assert writer.errors == []
    assert writer.written > 0
    assert writer.updated > 0
    assert_exact(dsn, writer.written)


@contextmanager
def a_slow_writer_of_the_tenth_day(dsn: str, *, held: bool) -> Iterator[None]:
    """Keep a concurrent build of that partition waiting, so that it dies in the middle of it."""
    with psycopg.connect(dsn) as conn:
        if held:
            conn.execute("insert into app.readings (id, at, kind) values (5000, '2025-01-10 12:00Z', 'slow')")
        yield
        conn.rollback()


def assert_exact(dsn: str, written: int) -> None:
    """Every partition has the index, valid and attached, no other index is there, and it finds every row."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        assert conn.execute("select count(*) from pg_index where not indisvalid").fetchone() == (0,)
        attached = "select count(*) from pg_inherits where inhparent = 'app.readings_kind'::regclass"
        assert conn.execute(attached).fetchone() == (PARTITIONS,)
        per_partition = "select count(*) from pg_index where indrelid::regclass::text like 'app.readings_p%'"
        assert conn.execute(per_partition).fetchone() == (2 * PARTITIONS,)
        conn.execute("set enable_seqscan = off")
        assert conn.execute("select count(*) from app.readings where kind = 'w'").fetchone() == (written,)
    again = resume()
    assert (again.outcome, again.built, again.dropped) == ("nothing due", (), ())


def test_a_run_killed_at_any_moment_is_completed_by_the_next(dsn: str, *, full_loops: bool) -> None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        for _ in range(10 if full_loops else 1):
            conn.execute("drop index if exists app.readings_kind")
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.crash.victim", "indexes"],
                cwd=ROOT.parent,
                env=os.environ.copy(),
                stdout=subprocess.PIPE,
            )
            assert process.stdout is not None
            with process, process.stdout as said:
                assert said.readline() == b"begun\n"
                time.sleep(random.uniform(0.5, 3.5))
                process.kill()

            resume()

            assert_exact(dsn, 0)
