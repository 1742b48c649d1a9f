"""Sessions of an application, kept in the database so that a restart loses none (D9, A2), and their end (N4).

Belongs here: save, load, touch and delete for the application; expire and purge for the flow.
Keep out: the table itself (`sql/migrations/`) and its name (the declaration's `sinks.sessions`).
What returns was committed; what was not raises. Calls of the application are judged by the server's clock, since they are
about this moment; expiring and purging take `as_of` like every flow. Errors quote a session's id: it must not be what signs somebody in.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import psycopg

from tasks.core.connect import Connection, Kind, database_now, transaction
from tasks.core.declaration import Declaration, SessionSink
from tasks.core.errors import MissingRelation, MissingRight, Permanent, UnsuitableRelation
from tasks.core.ledger import Deferred, Run, run_exclusively, unit
from tasks.core.names import Relation
from tasks.core.settings import settings
from tasks.core.sqlfiles import fetch, run

FLOW = "expire_sessions"
#: The columns that the declared table must have; every other one needs a default.
COLUMNS = (
    "session_id text (unique), session_data jsonb, session_state text, version bigint default 1, user_id text, "
    "last_activity_at timestamptz default now(), expires_at timestamptz, request_count integer default 0, "
    "total_duration_ms bigint default 0"
)

Progress = Callable[[str, int, int | None], None]
Batch = Callable[[Connection, SessionSink, datetime], int]


@dataclass(eq=False)
class StaleSession(Permanent):
    """Session {session_id} was not saved: the save was made from version {held}, and the session has version {found}.
    Load it, apply the change to what it holds now, and save that."""

    session_id: str
    held: int
    found: int


@dataclass(eq=False)
class UnknownSession(Permanent):
    """There is no session {session_id} in {table}: it was never saved, or was deleted or purged. Save it as a new one, with
    version 0."""

    session_id: str
    table: str


@dataclass(eq=False)
class SessionExpired(Permanent):
    """Session {session_id} ended at {expires_at} and can no longer be used. Start one under another id, or delete it first."""

    session_id: str
    expires_at: datetime


@dataclass(eq=False)
class InvalidSession(Permanent):
    """Session {session_id} cannot be saved: {reason}. Nothing was written."""

    session_id: str
    reason: str


@dataclass(eq=False)
class FutureRefused(Permanent):
    """{table} cannot be expired as of {as_of}, which lies in the future (it is {now}); nothing was changed. Leave as_of empty;
    tests and the demo set MAINTENANCE_ALLOW_FUTURE=1."""

    table: str
    as_of: datetime
    now: datetime


@dataclass(frozen=True)
class Session:
    """A session as it stands; `version` is what the next save has to name."""

    session_id: str
    data: dict[str, Any]
    version: int
    state: str
    user_id: str | None
    last_activity_at: datetime
    expires_at: datetime


@dataclass(frozen=True)
class SessionsExpired:
    """What a run did: sessions marked as expired, expired ones deleted, and in how many committed batches."""

    table: str
    as_of: datetime
    expired: int = 0
    purged: int = 0
    batches: int = 0
    outcome: str = "completed"


def save(
    sink: SessionSink,
    session_id: str,
    data: Mapping[str, Any],
    *,
    version: int,
    user_id: str | None = None,
    expires_at: datetime | None = None,
) -> Session:
    """Write `data` and return the session with its new version; `version` is the one that was loaded, 0 for a new session.

    `user_id` and `expires_at` (a fixed end; without one the session ends by idleness) stay as they are where None.
    Locks: the session's row. Raises StaleSession where somebody saved in between, SessionExpired, UnknownSession,
    InvalidSession, LockBusy, MissingRelation, UnsuitableRelation, MissingRight (D9).
    """
    given = {
        "table": Relation.parse(sink.table),
        "session_id": session_id,
        "data": _as_json(session_id, data),
        "user_id": user_id,
        "expires_at": _aware(session_id, expires_at),
        "expire_after": sink.expire_after,
    }
    with _writing(session_id), _on(sink) as conn:
        if version == 0:
            rows = fetch(conn, "upkeep/insert_session", **given)
        else:
            rows = fetch(conn, "upkeep/update_session", **given, version=version)
        if not rows:
            raise StaleSession(session_id, version, _usable(conn, sink, session_id).version)
    return Session(**rows[0])


def load(sink: SessionSink, session_id: str) -> Session | None:
    """Return the session, None where there is none; SessionExpired where its time is over, marked yet or not (D9)."""
    with _on(sink) as conn:
        return _read(conn, sink, session_id)


def touch(sink: SessionSink, session_id: str, *, duration_ms: int = 0) -> None:
    """Count a request of the session and keep it from idling out; its version stays, so no save becomes stale by it.

    Locks: the session's row. Raises UnknownSession, SessionExpired, LockBusy (D9).
    """
    given = {"session_id": session_id, "duration_ms": duration_ms, "expire_after": sink.expire_after}
    with _writing(session_id), _on(sink) as conn:
        if not run(conn, "upkeep/touch_session", table=Relation.parse(sink.table), **given).rowcount:
            # Deleted and made again, or revived by hand, between the two statements: the next touch counts.
            _usable(conn, sink, session_id)


def delete(sink: SessionSink, session_id: str) -> bool:
    """Delete the session, whatever its state; False where there is none. Locks: the session's row (D9)."""
    with _on(sink) as conn:
        return bool(run(conn, "upkeep/delete_session", table=Relation.parse(sink.table), session_id=session_id).rowcount)


def expire(conn: Connection, sink: SessionSink, as_of: datetime) -> int:
    """Mark at most one batch of sessions as expired whose time is over; return how many.

    A session that somebody is writing at the moment is left for later. Locks: the rows (D9).
    """
    table = Relation.parse(sink.table)
    overdue = run(conn, "upkeep/expire_overdue_sessions", table=table, as_of=as_of, batch_rows=sink.batch_rows).rowcount
    left = sink.batch_rows - overdue
    idle = {"as_of": as_of, "expire_after": sink.expire_after, "batch_rows": left}
    return overdue + run(conn, "upkeep/expire_idle_sessions", table=table, **idle).rowcount


def purge(conn: Connection, sink: SessionSink, as_of: datetime) -> int:
    """Delete at most one batch of sessions that have been expired for `purge_after`; return how many. Locks: the rows (D9)."""
    due = {"as_of": as_of, "purge_after": sink.purge_after, "batch_rows": sink.batch_rows}
    return run(conn, "upkeep/purge_sessions", table=Relation.parse(sink.table), **due).rowcount


def expire_sessions(
    declaration: Declaration,
    as_of: datetime,
    *,
    on_progress: Progress | None = None,
    between: Callable[[], None] | None = None,
    flow_run_id: str | None = None,
) -> SessionsExpired | Deferred:
    """Mark what is over and delete what has been over for long enough, batch by batch, each committed on its own (D9, N4).

    `between` is called before each batch and may raise. Raises NotDeclared, FutureRefused, MissingRelation,
    UnsuitableRelation, MissingRight, LockBusy, Overdue; the batches before the failing one stay.
    """
    sink = declaration.session_sink()
    now = database_now()
    if as_of > now and not settings().maintenance_allow_future:
        raise FutureRefused(sink.table, as_of, now)
    work = partial(_carry_out, sink, as_of, on_progress or _say_nothing, between or _say_nothing)
    overdue_after = declaration.flow(FLOW).overdue_after
    return run_exclusively(FLOW, sink.table, work, overdue_after=overdue_after, flow_run_id=flow_run_id)


def _say_nothing(*_: object) -> None:
    """Stand in for whoever does not listen."""


def _carry_out(
    sink: SessionSink, as_of: datetime, on_progress: Progress, between: Callable[[], None], started: Run
) -> SessionsExpired:
    counts: dict[str, list[int]] = {"expire": [], "purge": []}
    steps: tuple[tuple[str, Batch], ...] = (("expire", expire), ("purge", purge))
    for step, batch in steps:
        done = counts[step]
        for rows in _batches(started, sink, as_of, batch, between):
            done.append(rows)
            on_progress(f"{step} sessions", sum(done), None)
    expired, purged = sum(counts["expire"]), sum(counts["purge"])
    started.detail.update(expired=expired, purged=purged)
    return SessionsExpired(sink.table, as_of, expired, purged, len(counts["expire"]) + len(counts["purge"]))


def _batches(started: Run, sink: SessionSink, as_of: datetime, batch: Batch, between: Callable[[], None]) -> Iterator[int]:
    """Yield the size of each committed batch until one finds nothing; it ends, since no session becomes due of itself."""
    while True:
        between()
        with _understood(sink), unit(started) as conn:
            rows = batch(conn, sink, as_of)
        if not rows:
            return
        yield rows


def _usable(conn: Connection, sink: SessionSink, session_id: str) -> Session:
    """Return the session that a statement did not find as it wanted it; raises where it is gone or over."""
    found = _read(conn, sink, session_id)
    if found is None:
        raise UnknownSession(session_id, sink.table)
    return found


def _read(conn: Connection, sink: SessionSink, session_id: str) -> Session | None:
    table = Relation.parse(sink.table)
    rows = fetch(conn, "upkeep/read_session", table=table, session_id=session_id, expire_after=sink.expire_after)
    if not rows:
        return None
    if rows[0].pop("is_over"):
        raise SessionExpired(session_id, rows[0]["expires_at"])
    return Session(**rows[0])


def _as_json(session_id: str, data: Mapping[str, Any]) -> str:
    try:
        return json.dumps(dict(data), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidSession(session_id, f"its data is no JSON object: {error}") from None


def _aware(session_id: str, expires_at: datetime | None) -> datetime | None:
    if expires_at is not None and expires_at.tzinfo is None:
        raise InvalidSession(session_id, f"expires_at {expires_at} names no time zone")
    return expires_at


@contextmanager
def _on(sink: SessionSink) -> Iterator[Connection]:
    """Lend a transaction for one call of the application."""
    with _understood(sink), transaction(Kind.READ) as conn:
        yield conn


@contextmanager
def _writing(session_id: str) -> Iterator[None]:
    """Say of which session a value was refused: too long, of the wrong kind, against a constraint."""
    try:
        yield
    except (psycopg.DataError, psycopg.IntegrityError) as error:
        raise InvalidSession(session_id, error.diag.message_primary or str(error)) from error


@contextmanager
def _understood(sink: SessionSink) -> Iterator[None]:
    """Turn what the server says about a table that is not as it must be into one line with the remedy."""
    remedy = f"Its columns must be: {COLUMNS}. Nothing was changed."
    try:
        yield
    except psycopg.errors.UndefinedTable as error:
        raise MissingRelation(sink.table, ", and sinks.sessions names it", f"Create it. {remedy}") from error
    except (psycopg.errors.UndefinedColumn, psycopg.errors.InvalidColumnReference) as error:
        raise UnsuitableRelation(sink.table, error.diag.message_primary or str(error), remedy) from error
    except psycopg.errors.InsufficientPrivilege as error:
        right = f"grant select, insert, update, delete on {sink.table} to that role"
        raise MissingRight(
            "the current role", "write", sink.table, error.diag.message_primary or "", f"As its owner: {right}"
        ) from error
