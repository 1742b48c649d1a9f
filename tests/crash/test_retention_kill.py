"""Retention survives SIGKILL at each recorded boundary: the next run ends where one without a kill would, no row is lost (D4).

A child process applies retention and kills itself before or after the n-th call of one statement, or within a step that
has no statement. Each point is tried in a database of its own; without --full-loops a sample of them.
"""

# ruff: noqa: S608 (statements are put together from this file's own names)
from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pyarrow.parquet as pq
import pytest

from tasks.core.ledger import Deferred
from tasks.core.parameters import Safety
from tasks.core.sqlfiles import ROOT
from tasks.partitions.retire import RetentionResult, retire
from tests.retention import AS_OF, DAY, GRACE, TABLE, declare, make_table, name_of, names

DUE = range(-13, -10)
ROWS = 20
#: Where a run may die: before or after the call of a statement, or of a function that acts outside the database.
STATEMENTS = (
    "partitions/record_retention",
    "partitions/withdraw_due",
    "partitions/detach_finalize",
    "partitions/detach_plainly",
    "partitions/record_due",
    "partitions/record_detaching",
    "partitions/detach_concurrently",
    "partitions/believe_catalog",
    "partitions/raise_span",
    "partitions/record_archiving",
    "partitions/create_scratch",
    "partitions/record_archived",
    "partitions/lock_partition",
    "partitions/drop_partition",
    "partitions/record_dropped",
)
#: Those that a run calls once; of the others the second call is the one.
ONCE = ("partitions/record_retention", "partitions/withdraw_due", "partitions/detach_finalize")
FUNCTIONS = (
    "tasks.partitions.parquet.write",
    "tasks.partitions.file_hash.content_of",
    "tasks.partitions.parquet.read_as_csv",
    "tasks.partitions.archive.publish",
)
#: Reached only where a file does not prove itself and is loaded.
LOADING = ("partitions/create_scratch", "tasks.partitions.parquet.read_as_csv")
POINTS = [(moment, what) for what in (*STATEMENTS, *FUNCTIONS) for moment in ("before", "after")]
CHILD = """
import sys
from tests.crash.test_retention_kill import run_and_die
run_and_die(*sys.argv[1:])
"""


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def run_and_die(moment: str, what: str, as_of_days: str) -> None:
    """Apply retention in this process and kill it at the second time that `what` is reached, or the only one."""
    from tasks.partitions import archive

    if what in LOADING:
        archive.is_proven = lambda *_: False
    patch_function(moment, what) if what.startswith("tasks.") else patch_statements(moment, what)
    retire(TABLE, declare(), Safety(apply=True), AS_OF + int(as_of_days) * DAY)


def patch_statements(moment: str, what: str) -> None:
    from tasks.core import sqlfiles
    from tasks.partitions import archive, archive_proof, detach, drop
    from tasks.partitions import retire as retiring

    calls: list[str] = []
    number = 1 if what in ONCE else 2

    def dying(original: Callable[..., Any]) -> Callable[..., Any]:
        def run(conn: Any, name: str, /, **values: object) -> Any:
            calls.extend([name] if name == what else [])
            is_there = name == what and len(calls) == number
            if is_there and moment == "before":
                die()
            result = original(conn, name, **values)
            if is_there:
                die()
            return result

        return run

    originals = {"run": sqlfiles.run, "fetch": sqlfiles.fetch}
    for module in (archive, archive_proof, detach, drop, retiring):
        for name, original in originals.items():
            if hasattr(module, name):
                setattr(module, name, dying(original))


def patch_function(moment: str, what: str) -> None:
    import importlib

    path, _, name = what.rpartition(".")
    module = importlib.import_module(path)
    original = getattr(module, name)

    def dying(*arguments: Any) -> Any:
        if moment == "before":
            die()
        result = original(*arguments)
        if name == "read_as_csv":
            next(result)
        die()
        return result

    setattr(module, name, dying)


def kill_at(moment: str, what: str, as_of_days: int) -> None:
    command = [sys.executable, "-c", CHILD, moment, what, str(as_of_days)]
    done = subprocess.run(command, cwd=ROOT.parent, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, f"it was not killed {moment} {what}: {done.stderr[-2000:]}"


def resume(as_of_days: int) -> RetentionResult:
    """Run until the dead run's lock is free: the server frees it once it has noticed."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        result = retire(TABLE, declare(), Safety(apply=True), AS_OF + as_of_days * DAY)
        if isinstance(result, RetentionResult):
            return result
        assert isinstance(result, Deferred)
        time.sleep(0.1)
    pytest.fail("the dead run's lock was not freed")


def prepare(dsn: str, what: str) -> None:
    """Bring the table into the state in which retention takes that step: a detach pending, or a default partition."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        if what == "partitions/detach_finalize":
            interrupt_a_detach(conn, dsn)
        if what == "partitions/detach_plainly":
            conn.execute("create table app.rest partition of app.readings default")


def interrupt_a_detach(conn: psycopg.Connection, dsn: str) -> None:
    with psycopg.connect(dsn) as reader:
        reader.execute("select count(*) from app.readings")
        conn.execute("set statement_timeout = '150ms'")
        with suppress(psycopg.errors.QueryCanceled):
            conn.execute(f"alter table app.readings detach partition {name_of(DUE[0])} concurrently".encode())
    assert is_there(conn, "select from maintenance.partition where is_pending_detach")


def is_of_the_drop(what: str) -> bool:
    return what in ("partitions/lock_partition", "partitions/drop_partition", "partitions/record_dropped")


def sample(points: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Every fifth point: by turns before and after."""
    return points[::5]


@pytest.mark.crash
@pytest.mark.slow
def test_a_run_killed_at_any_boundary_is_completed_by_the_next(
    make_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, full_loops: bool
) -> None:
    monkeypatch.setenv("MAINTENANCE_ALLOW_FUTURE", "1")
    for number, (moment, what) in enumerate(POINTS if full_loops else sample(POINTS)):
        dsn = make_database(sets=())
        monkeypatch.setenv("DATABASE_URL", dsn)
        monkeypatch.setenv("MAINTENANCE_ARCHIVE", str(tmp_path / str(number)))
        make_table(dsn, range(-13, 2), rows=ROWS)
        prepare(dsn, what)
        later = GRACE.days + 1 if is_of_the_drop(what) else 0
        if later:
            resume(0)

        kill_at(moment, what, later)

        assert_nothing_is_lost(dsn, tmp_path / str(number))
        resume(later)
        assert_complete(dsn, tmp_path / str(number), is_dropped=bool(later), killed=f"{moment} {what}")


def assert_nothing_is_lost(dsn: str, archive: Path) -> None:
    """Each due partition's rows are in the table, in its detached table, or in a verified archive."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        for day in DUE:
            (oid,) = conn.execute("select to_regclass(%s)", (name_of(day),)).fetchone()
            if oid is None:
                assert rows_archived(archive, day) == ROWS
            else:
                assert conn.execute(f"select count(*) from {name_of(day)}").fetchone() == (ROWS,)


def rows_archived(archive: Path, day: int) -> int:
    file = archive / TABLE / f"lower={AS_OF + day * DAY:%Y-%m-%d}" / "part-0.parquet"
    return pq.read_metadata(file).num_rows


def assert_complete(dsn: str, archive: Path, *, is_dropped: bool, killed: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        states = conn.execute("select partition, state from maintenance.retirement order by id").fetchall()
        wanted = dict.fromkeys(names(DUE), "dropped" if is_dropped else "archived")
        assert {name: state for name, state in states if name in wanted} == wanted, killed
        assert len(states) == len({name for name, _ in states}), killed
        assert conn.execute("select count(*) from maintenance.partition where is_pending_detach").fetchone() == (0,), killed
        assert conn.execute("select count(*) from pg_class where relname like 'scratch%'").fetchone() == (0,), killed
        kept = 2 if is_dropped else 10
        assert conn.execute("select count(*) from app.readings").fetchone() == (kept * ROWS,), killed
    assert [rows_archived(archive, day) for day in DUE] == [ROWS] * len(DUE), killed
    assert list(archive.rglob("*.tmp")) == [], killed


@pytest.mark.crash
@pytest.mark.slow
def test_a_run_killed_while_its_detach_waits_leaves_a_pending_one_that_the_next_finishes(
    make_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    dsn = make_database(sets=())
    monkeypatch.setenv("DATABASE_URL", dsn)
    monkeypatch.setenv("MAINTENANCE_ARCHIVE", str(tmp_path))
    make_table(dsn, range(-13, 2), rows=ROWS)
    with psycopg.connect(dsn) as reader, psycopg.connect(dsn, autocommit=True) as conn:
        reader.execute("select count(*) from app.readings")
        with subprocess.Popen([sys.executable, "-c", CHILD, "after", "never", "0"], cwd=ROOT.parent) as child:
            wait_until(lambda: is_there(conn, "select from maintenance.partition where is_pending_detach"))
            child.kill()
        # The server looks every five seconds whether its client still lives.
        wait_until(lambda: not is_there(conn, "select from pg_stat_activity where query like 'alter table%detach%'"))
        assert is_there(conn, "select from maintenance.partition where is_pending_detach")

    resume(0)

    assert_complete(dsn, tmp_path, is_dropped=False, killed="while waiting")


def is_there(conn: psycopg.Connection, query: LiteralString) -> bool:
    return conn.execute(query).fetchone() is not None


def wait_until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < end, "it did not happen within twenty seconds"
        time.sleep(0.05)
