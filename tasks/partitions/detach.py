"""Take partitions out of their parent, and finish what an interrupted detach has begun (D4, §4.2).

Belongs here: the acts on the server, each recorded before and after, and the errors of a detach.
Keep out: which partitions go (`retention_plan`) and what becomes of them afterwards (`archive`, `retire`).
An interrupted DETACH … CONCURRENTLY is no failure that can be forgotten: it hides rows and blocks the next detach, so
after every act, whatever it raised, the outcome is read from the catalog.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import psycopg

from tasks.core.connect import Connection, Kind, naming_holders, open_connection, with_lock_retries
from tasks.core.errors import LockBusy, Permanent, Retryable, RunLost
from tasks.core.ledger import RUN, WORK, Run, enter_unit, unit
from tasks.core.names import Relation
from tasks.core.sqlfiles import fetch, fetch_one, run
from tasks.partitions.partition import Parent


@dataclass(eq=False)
class DetachRefused(Permanent):
    """{partition} could not be detached from {parent}: {reason}. It stays attached; remove the cause and run again."""

    partition: str
    parent: str
    reason: str


@dataclass(eq=False)
class DetachPending(Retryable):
    """The detach of {partition} from {parent} has begun and could not end: {reason}. Its rows are hidden from {parent}; run
    again to finish it, once the transactions that use {parent} have ended."""

    partition: str
    parent: str
    reason: str


@dataclass(frozen=True)
class Detaching:
    """What each detach of one run shares."""

    started: Run
    parent: Parent
    as_of: datetime

    @property
    def table(self) -> str:
        """The parent's name, as the ledger has it."""
        return str(self.parent.relation)


@contextmanager
def detach_session(started: Run) -> Iterator[Connection]:
    """Open the connection for CONCURRENTLY; its session holds `work` of the run's subject, since no transaction can.

    So a later run waits until the server has ended the detach of a process that died. Raises RunLost, LockBusy.
    """
    with open_connection(Kind.CONCURRENT, purpose=f"{started.flow} {started.subject}") as conn:
        names = {"work": WORK + started.subject, "run": RUN + started.subject, "pid": started.pid}
        state = fetch_one(conn, "partitions/hold_work", **names)
        if not state["taken"]:
            raise LockBusy(WORK + started.subject, "detach", 0, "a new run that takes over")
        if not state["run_is_alive"]:
            raise RunLost(run_id=started.id, subject=started.subject)
        yield conn


def detach_partition(conn: Connection, work: Detaching, partition: Relation, oid: int) -> bool:
    """Detach one partition whose intent is recorded; returns False where a change in it is still to be carried back.

    `conn` is a `detach_session`. With a default partition, where CONCURRENTLY is refused, plainly under a small
    lock_timeout with retries. Raises DetachPending, DetachRefused, LockBusy.
    """
    if work.parent.has_default:
        return with_lock_retries(work.parent.relation, f"detach {partition.name} from", _plainly(work, partition, oid))
    with unit(work.started) as tx:
        if not _intend(tx, work, oid):
            return False
    _act(conn, work, "partitions/detach_concurrently", partition)
    return True


def _intend(conn: Connection, work: Detaching, oid: int) -> bool:
    """Record the intent; False where a change in the partition is still to be carried back."""
    ids = {"oid": oid, "run_id": work.started.id, "parent_oid": work.parent.oid}
    return bool(fetch(conn, "partitions/record_detaching", **ids))


def _plainly(work: Detaching, partition: Relation, oid: int):  # noqa: ANN202 (an attempt for with_lock_retries)
    def attempt(conn: Connection) -> bool:
        enter_unit(conn, work.started)
        if not _intend(conn, work, oid):
            return False
        with _refusals(conn, work, partition):
            run(conn, "partitions/detach_plainly", parent=work.parent.relation, partition=partition)
        _read_outcome(conn, work)
        return True

    return attempt


def finalize_detach(conn: Connection, work: Detaching, partition: Relation) -> None:
    """Finish the concurrent detach of one partition that somebody began. Raises DetachPending, DetachRefused."""
    _act(conn, work, "partitions/detach_finalize", partition)


def _act(conn: Connection, work: Detaching, statement: str, partition: Relation) -> None:
    try:
        with _refusals(conn, work, partition), naming_holders(conn, work.parent.relation, f"detach {partition.name} from"):
            run(conn, statement, parent=work.parent.relation, partition=partition)
    except LockBusy as error:
        raise DetachPending(str(partition), work.table, f"held by {error.holders}") from error
    finally:
        if not conn.broken:
            record_outcome(work)


@contextmanager
def _refusals(conn: Connection, work: Detaching, partition: Relation) -> Iterator[None]:
    """Let what the server refuses name the partition; a lost connection and a busy lock stay what they are, for the retries."""
    try:
        yield
    except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
        raise
    except psycopg.Error as error:
        if conn.broken:
            raise
        raise DetachRefused(str(partition), work.table, error.diag.message_primary or str(error)) from error


def record_outcome(work: Detaching) -> None:
    """Bring the ledger to what the catalog says, and let the target's span begin at its oldest attached partition."""
    with unit(work.started) as conn:
        _read_outcome(conn, work)


def _read_outcome(conn: Connection, work: Detaching) -> None:
    run(conn, "partitions/believe_catalog", parent=work.table, parent_oid=work.parent.oid, as_of=work.as_of)
    run(conn, "partitions/raise_span", target=work.table, parent_oid=work.parent.oid)
