"""Runs exclude each other by the server's own locks; the dead free theirs at once."""

from __future__ import annotations

import threading
import time
from datetime import timedelta

import psycopg
import pytest

from tasks.core.connect import Kind, transaction
from tasks.core.errors import LockBusy, Overdue, RunLost
from tasks.core.ledger import Deferred, Run, run_exclusively, unit

DAY = timedelta(days=1)


def nothing(_run: Run) -> str:
    return "done"


def outcomes() -> list[str]:
    with transaction(Kind.READ) as conn:
        return [row[0] for row in conn.execute("select outcome from maintenance.run order by id").fetchall()]


def test_a_run_is_recorded_with_its_end(database: str) -> None:
    assert run_exclusively("copy", "a.b", nothing, overdue_after=DAY) == "done"
    assert outcomes() == ["completed"]


def test_a_failed_run_is_recorded_with_its_error(database: str) -> None:
    def fail(_run: Run) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_exclusively("copy", "a.b", fail, overdue_after=DAY)

    assert outcomes() == ["failed"]


def test_a_second_run_on_the_same_subject_is_deferred_and_says_to_whom(database: str) -> None:
    def work(first: Run) -> object:
        return first.id, run_exclusively("retire", "a.b", nothing, overdue_after=DAY)

    first_id, second = run_exclusively("copy", "a.b", work, overdue_after=DAY)

    assert isinstance(second, Deferred)
    assert f"held by run {first_id} of copy" in second.reason
    assert outcomes() == ["completed", "deferred"]


def test_runs_on_different_subjects_do_not_exclude_each_other(database: str) -> None:
    def work(_run: Run) -> object:
        return run_exclusively("copy", "a.c", nothing, overdue_after=DAY)

    assert run_exclusively("copy", "a.b", work, overdue_after=DAY) == "done"


def test_a_run_deferred_for_longer_than_declared_fails_as_overdue(database: str) -> None:
    def work(_run: Run) -> object:
        run_exclusively("retire", "a.b", nothing, overdue_after=DAY)
        with pytest.raises(Overdue, match=r"retire of a\.b is overdue: held by run .*; its last success was never"):
            run_exclusively("retire", "a.b", nothing, overdue_after=timedelta(0))
        return "seen"

    assert run_exclusively("copy", "a.b", work, overdue_after=DAY) == "seen"


def test_the_lock_of_a_session_that_dies_is_free_at_once(database: str) -> None:
    def die(run: Run) -> str:
        with psycopg.connect(database, autocommit=True) as conn:
            conn.execute("select pg_terminate_backend(%s, 5000)", [run.pid])
        return str(run_exclusively("copy", "a.b", nothing, overdue_after=DAY))

    assert run_exclusively("copy", "a.b", die, overdue_after=DAY) == "done"


def test_a_unit_of_a_run_that_lost_its_session_does_not_start(database: str) -> None:
    def work(run: Run) -> None:
        with psycopg.connect(database, autocommit=True) as conn:
            conn.execute("select pg_terminate_backend(%s, 5000)", [run.pid])
        with pytest.raises(RunLost, match=r"no longer holds the lock of a\.b"), unit(run):
            pytest.fail("it started")

    run_exclusively("copy", "a.b", work, overdue_after=DAY)


def test_a_new_run_waits_for_the_last_unit_of_a_dead_one(database: str) -> None:
    entered, order = threading.Event(), list[str]()

    def work(run: Run) -> None:
        with unit(run):
            with psycopg.connect(database, autocommit=True) as conn:
                conn.execute("select pg_terminate_backend(%s, 5000)", [run.pid])
            entered.set()
            time.sleep(0.7)
            order.append("unit ended")

    dead = threading.Thread(target=lambda: run_exclusively("copy", "a.b", work, overdue_after=DAY))
    dead.start()
    assert entered.wait(10)
    run_exclusively("copy", "a.b", lambda _run: order.append("new run planned"), overdue_after=DAY)
    dead.join()
    assert order == ["unit ended", "new run planned"]


def test_no_unit_starts_while_a_new_run_takes_over(database: str) -> None:
    def work(run: Run) -> None:
        with psycopg.connect(database) as other:
            other.execute("select pg_advisory_xact_lock(hashtextextended('work:a.b', 0))")
            with pytest.raises(LockBusy, match="a new run that takes over"), unit(run):
                pytest.fail("it started")

    run_exclusively("copy", "a.b", work, overdue_after=DAY)
