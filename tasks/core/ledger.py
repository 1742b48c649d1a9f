"""Runs and units: mutual exclusion by the server's own locks, and the record of what happened (design 3).

Belongs here: taking the run lock, deferring to its holder, the transaction of a unit, waiting for a dead run's units.
Keep out: what a unit does, and Prefect (its limits are no mutual exclusion).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, TypeVar

import psycopg

from tasks.core.connect import Connection, Kind, open_connection, require_session, runtime, transaction, with_lock_retries
from tasks.core.errors import LockBusy, MissingRelation, Overdue, RunLost
from tasks.core.sqlfiles import fetch, fetch_one, run

R = TypeVar("R")

#: All advisory locks of maintenance are hashes of such a name; `run:` is exclusive per run, `work:` shared per unit.
RUN, WORK = "run:", "work:"
#: The group of partition creation and of whoever registers bounds: `run:create:<table>`. Retention and copy do not exclude it.
CREATION = "create:"


@dataclass(frozen=True)
class Run:
    """A run that holds the lock of its subject until its coordinating session ends."""

    id: int
    flow: str
    subject: str
    pid: int
    detail: dict[str, Any] = field(default_factory=dict[str, Any], compare=False)


@dataclass(frozen=True)
class Deferred:
    """The subject was locked by another run; nothing was done and nothing is overdue yet."""

    flow: str
    subject: str
    reason: str
    outcome: Literal["deferred"] = "deferred"


def run_exclusively(
    flow: str,
    subject: str,
    work: Callable[[Run], R],
    *,
    overdue_after: timedelta,
    group: str | None = None,
    flow_run_id: str | None = None,
) -> R | Deferred:
    """Do `work` while holding the advisory lock `run:<group or subject>`; return Deferred where another run holds it.

    The coordinating session holds the lock, so the server frees it the moment this process dies. Before `work` plans,
    units of a dead run are waited for. Raises Overdue where a deferral lasts past `overdue_after`, PoolerRefused
    behind a transaction-mode pooler, and whatever `work` raises (recorded as failed).
    """
    lock = RUN + (group or subject)
    with runtime(), open_connection(Kind.READ, purpose=f"{flow} {subject}") as coordinator:
        require_session(coordinator)
        if not fetch_one(coordinator, "core/try_lock", subject=lock)["taken"]:
            return _defer(coordinator, flow, subject, lock, overdue_after)
        started = start_run(coordinator, flow, subject, lock, flow_run_id)
        return _record(started, work, group or subject)


def start_run(conn: Connection, flow: str, subject: str, lock: str, flow_run_id: str | None) -> Run:
    """Record that a run begins, its earlier dead ones abandoned; returns the Run."""
    try:
        row = fetch_one(conn, "core/start_run", flow=flow, subject=subject, lock=lock, flow_run_id=flow_run_id)
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        where, remedy = f" in the database {conn.info.dbname}", "Run apply_migrations first; nothing was changed."
        raise MissingRelation("maintenance.run", where, remedy) from None
    return Run(row["id"], flow, subject, conn.info.backend_pid)


def _record(started: Run, work: Callable[[Run], R], units_of: str) -> R:
    try:
        wait_for_units(units_of)
        result = work(started)
    except BaseException as error:
        end_run(started, "failed", {**started.detail, "error": f"{type(error).__name__}: {error}"})
        raise
    end_run(started, getattr(result, "outcome", "completed"), started.detail)
    return result


def end_run(started: Run, outcome: str, detail: Mapping[str, Any]) -> None:
    """Record how a run ended: completed, waiting or failed, with `detail` as JSON."""
    kept = outcome if outcome in ("completed", "waiting", "failed", "deferred") else "completed"
    with transaction(Kind.READ) as conn:
        run(conn, "core/end_run", run_id=started.id, outcome=kept, detail=json.dumps(detail, default=str))


def _defer(conn: Connection, flow: str, subject: str, lock: str, overdue_after: timedelta) -> Deferred:
    holders = fetch(conn, "core/lock_holder", subject=lock)
    held_by = describe_holder(holders[0]) if holders else "a session that has just ended"
    return defer(conn, flow, subject, f"held by {held_by}", overdue_after)


def defer(conn: Connection, flow: str, subject: str, reason: str, overdue_after: timedelta) -> Deferred:
    """Record a deferral and return it; raises Overdue once the last success is older than `overdue_after`."""
    run(conn, "core/record_deferred", flow=flow, subject=subject, detail=json.dumps({"reason": reason}))
    facts = fetch_one(conn, "core/last_success", flow=flow, subject=subject)
    since: datetime = facts["last_success"] or facts["first_asked"]
    if facts["now"] - since > overdue_after:
        last = f"{facts['last_success']:%Y-%m-%d %H:%M} UTC" if facts["last_success"] else "never"
        raise Overdue(flow=flow, subject=subject, reason=reason, last=last, overdue_after=str(overdue_after))
    return Deferred(flow, subject, reason)


def describe_holder(row: Mapping[str, Any]) -> str:
    """Return one line for messages: the run where the ledger knows it, else the session."""
    if row["run_id"] is None:
        return f"pid {row['pid']} ({row['application_name']})"
    return f"run {row['run_id']} of {row['flow']} since {row['started_at']:%Y-%m-%d %H:%M:%S} UTC (pid {row['pid']})"


def wait_for_units(subject: str) -> None:
    """Take `work:<subject>` exclusively for a moment, so that a dead run's last units have ended; LockBusy past 2 minutes."""

    def attempt(conn: Connection) -> None:
        run(conn, "core/wait_for_work", work=WORK + subject)

    with_lock_retries(WORK + subject, "take over from a run that died", attempt, kind=Kind.HANDOVER, budget_s=0)


@contextmanager
def unit(started: Run, *, kind: Kind = Kind.BULK, group: str | None = None) -> Iterator[Connection]:
    """Open the transaction of one unit of `started`: it holds `work:<subject>` shared and its run is still alive.

    Raises RunLost where the coordinating session has ended, LockBusy where a new run is taking over.
    """
    with transaction(kind) as conn:
        enter_unit(conn, started, group=group)
        yield conn


def enter_unit(conn: Connection, started: Run, *, group: str | None = None) -> None:
    """Make the transaction of `conn` a unit of `started`: for units that retry for their own locks. Raises as `unit`."""
    subject = group or started.subject
    state = fetch_one(conn, "core/try_lock_work", work=WORK + subject, run=RUN + subject, pid=started.pid)
    if not state["taken"]:
        raise LockBusy(WORK + subject, "start a unit", 0, "a new run that takes over")
    if not state["run_is_alive"]:
        raise RunLost(run_id=started.id, subject=subject)
