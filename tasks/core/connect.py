"""Connections: one pool per process, timeouts by kind of work, lock waits that name the blocker.

Belongs here: opening (under the server's breaker), classifying a refusal to connect, recognising a transaction-mode pooler, retrying lock waits.
Keep out: statements of a room, the run lock (`ledger`), and any password in a message.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import Any, NamedTuple, Self, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg_pool import ConnectionPool
from tenacity import RetryError, Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from tasks.core.breakers import Dependency, guarded, note_success, require_closed
from tasks.core.errors import AccessRefused, CannotConnect, LockBusy, PoolerRefused, ServerTooOld
from tasks.core.settings import database_url
from tasks.core.sqlfiles import fetch, fetch_one, run

T = TypeVar("T")
C = TypeVar("C", bound="_Guarded")
Connection = psycopg.Connection[Any]

OLDEST_VERSION_NUM = 150000
POOL_SIZE = 10
BOUNDS: dict[str, Any] = {"connect_timeout": 10, "keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}


class Timeouts(NamedTuple):
    """Milliseconds; 0 means no limit by the server (the run itself is bounded)."""

    lock_ms: int
    statement_ms: int
    idle_ms: int


class Kind(Enum):
    """Kinds of work and how long each may wait (design 11)."""

    DDL = Timeouts(300, 60_000, 60_000)
    #: DETACH CONCURRENTLY and CREATE INDEX CONCURRENTLY: a timeout leaves a pending detach that hides rows.
    CONCURRENT = Timeouts(1_800_000, 7_200_000, 60_000)
    BULK = Timeouts(5_000, 3_600_000, 300_000)
    SNAPSHOT = Timeouts(5_000, 0, 0)
    READ = Timeouts(5_000, 300_000, 60_000)
    #: A refresh waits little for its lock and may then compute for long.
    REFRESH = Timeouts(1_000, 3_600_000, 60_000)
    #: Waiting for a dead run's last units before planning (design 3).
    HANDOVER = Timeouts(120_000, 180_000, 60_000)


@dataclass(frozen=True)
class Server:
    """Where a connection string points, without its password."""

    text: str
    user: str


def describe_server(dsn: str) -> Server:
    """Return host, port and database for messages; never the password."""
    parts = conninfo_to_dict(dsn)
    where = f"{parts.get('host', 'localhost')}:{parts.get('port', 5432)}/{parts.get('dbname', '')}"
    return Server(where, str(parts.get("user", "")))


def open_connection(kind: Kind, *, purpose: str = "maintenance", dsn: str | None = None) -> Connection:
    """Open a connection of its own in autocommit, its timeouts set for `kind`; the caller closes it.

    Raises CannotConnect, BreakerOpen, AccessRefused, ServerTooOld or NoDatabase. Needed for CONCURRENTLY, for the coordinating
    session and for an exported snapshot; everything short uses `transaction`.
    """
    dsn = dsn or database_url()
    conn = _connect(make_conninfo(dsn, application_name=f"maintenance {purpose}"))
    try:
        _configure(conn)
        _set_timeouts(conn, kind, is_local=False)
    except BaseException:
        conn.close()
        raise
    return conn


class _Guarded(psycopg.Connection[Any]):
    """A connection that is opened under the breaker of its server, by hand or by the pool (A8)."""

    @classmethod
    def connect(cls, conninfo: str = "", **more: Any) -> Self:  # pyright: ignore[reportIncompatibleMethodOverride] (fewer words)
        """Connect, or raise BreakerOpen while the server is left alone."""
        with guarded(Dependency.DATABASE, _address(conninfo)):
            return super().connect(conninfo, **more)


def _address(dsn: str) -> str:
    parts = conninfo_to_dict(dsn)
    return f"{parts.get('host', 'localhost')}:{parts.get('port', 5432)}"


def _connect(dsn: str) -> Connection:
    server = describe_server(dsn)
    try:
        conn: Connection = _Guarded.connect(bounded(dsn), autocommit=True, prepare_threshold=None)
    except psycopg.OperationalError as error:
        raise _refusal(server, str(error)) from None
    if conn.info.server_version < OLDEST_VERSION_NUM:
        version = conn.info.parameter_status("server_version") or str(conn.info.server_version)
        conn.close()
        raise ServerTooOld(server=server.text, version=version)
    return conn


def bounded(dsn: str) -> str:
    """Return `dsn` with a limit on connecting and TCP keepalives, where it states none itself (design 11)."""
    given: dict[str, Any] = dict(conninfo_to_dict(dsn))
    return make_conninfo("", **{**BOUNDS, **given})


def _refusal(server: Server, text: str) -> CannotConnect | AccessRefused:
    """Tell a refused login from an unreachable server; libpq gives no SQLSTATE for either."""
    reason = [line for line in text.strip().split("\n") if not line.startswith("\t")][-1]  # without libpq's own advice
    if any(words in text for words in ("authentication failed", "pg_hba.conf", "does not exist", "no password supplied")):
        return AccessRefused(server=server.text, user=server.user, reason=reason.rpartition("FATAL: ")[2].strip())
    return CannotConnect(server=server.text, reason=reason.rpartition("failed: ")[2].strip())


def _configure(conn: Connection) -> None:
    run(conn, "core/session_settings")


def _set_timeouts(conn: Connection, kind: Kind, *, is_local: bool) -> None:
    run(conn, "core/timeouts", **kind.value._asdict(), is_local=is_local)


@dataclass
class Runtime:
    """What one flow run opens once and closes once: the pool, and in `extras` what has a close(): the cache, a client (A1, N9)."""

    dsn: str
    pool: ConnectionPool[Connection]
    users: int = 0
    run_id: int | None = None
    extras: dict[str, Any] = field(default_factory=dict[str, Any])


_guard = threading.RLock()
_runtime: Runtime | None = None


@contextmanager
def runtime() -> Iterator[Runtime]:
    """Open the process's one Runtime, or join the one that is open; the outermost user closes it."""
    global _runtime  # noqa: PLW0603 (one per process is the rule: A1, N9)
    with _guard:
        current = _runtime
        if current is None or current.dsn != database_url():
            current = _runtime = _open_runtime(database_url())
        current.users += 1
    try:
        yield current
    finally:
        with _guard:
            current.users -= 1
            if current.users == 0:
                for extra in current.extras.values():
                    extra.close()
                current.pool.close()
                if _runtime is current:
                    _runtime = None


def _open_runtime(dsn: str) -> Runtime:
    """Connect once by hand first: the pool would hide the reason behind its own timeout."""
    open_connection(Kind.READ, dsn=dsn).close()
    arguments = {"prepare_threshold": None, "application_name": "maintenance", "autocommit": True}
    pool: ConnectionPool[Connection] = ConnectionPool(
        bounded(dsn),
        connection_class=_Guarded,
        min_size=1,
        max_size=POOL_SIZE,
        kwargs=arguments,
        configure=_configure,
        open=False,
        timeout=60,
        max_idle=120,
    )
    pool.open()
    return Runtime(dsn, pool)


@contextmanager
def transaction(kind: Kind, *, lock_ms: int | None = None) -> Iterator[Connection]:
    """Lend a pooled connection inside one transaction, its timeouts local to it; commits on leaving, rolls back on error.

    Raises LockBusy where a lock was waited for in vain, naming who holds strong locks now; `with_lock_retries` looks
    while it waits, and waits again.
    """
    limits = kind.value if lock_ms is None else kind.value._replace(lock_ms=lock_ms)
    pid = 0
    try:
        with _transaction(limits) as conn:
            pid = conn.info.backend_pid
            yield conn
    except psycopg.errors.LockNotAvailable:
        raise _who_holds(pid, "use it", limits.lock_ms) from None


def _who_holds(pid: int, action: str, waited_ms: int) -> LockBusy:
    """Return the error that names who holds strong locks now, other than the session `pid`."""
    with _transaction(Kind.READ.value) as conn:
        holders = fetch(conn, "core/strong_locks", pid=pid)
    relations = ", ".join(sorted({holder["relations"] for holder in holders})) or "A table"
    return LockBusy(relations, action, waited_ms, _describe(holders))


@contextmanager
def _transaction(limits: Timeouts) -> Iterator[Connection]:
    with runtime() as current:
        _require_answering(current)
        with current.pool.connection() as conn, conn.transaction():
            run(conn, "core/timeouts", **limits._asdict(), is_local=True)
            note_success(Dependency.DATABASE, _address(current.dsn))
            yield conn


def _require_answering(current: Runtime) -> None:
    """Raise BreakerOpen where the pool has nothing to lend and would wait a minute for a server that is left alone."""
    if not current.pool.get_stats().get("pool_available", 0):
        require_closed(Dependency.DATABASE, _address(current.dsn))


def database_now() -> datetime:
    """Return the database's clock as an aware datetime; flows read it once, where as_of is None."""
    with transaction(Kind.READ) as conn:
        return fetch_one(conn, "core/database_now")["now"]


@contextmanager
def snapshot(purpose: str) -> Iterator[Connection]:
    """Lend a connection of its own inside one read-only transaction that sees a single snapshot.

    Raises LockBusy naming who holds strong locks where a table could not even be looked at.
    """
    with open_connection(Kind.READ, purpose=purpose) as conn:
        conn.isolation_level, conn.read_only = psycopg.IsolationLevel.REPEATABLE_READ, True
        try:
            with conn.transaction():
                yield conn
        except psycopg.errors.LockNotAvailable:
            raise _who_holds(conn.info.backend_pid, "look at it", Kind.READ.value.lock_ms) from None


def as_of_or_now(as_of: datetime | None) -> datetime:
    """Return a flow's `as_of`, read as UTC where it names no zone, or the database's clock where it is None."""
    if as_of is None:
        return database_now()
    return as_of if as_of.tzinfo else as_of.replace(tzinfo=UTC)


def require_session(conn: Connection) -> None:
    """Raise PoolerRefused where `conn` is behind a transaction-mode pooler, recognised by its behaviour (design 11).

    While a second connection holds a transaction open, a pooled first one is served by another backend.
    """
    first = _pid(conn)
    with open_connection(Kind.READ, dsn=_dsn_of(conn)) as other, other.transaction():
        _pid(other)
        second = _pid(conn)
    if first != second:
        raise PoolerRefused(server=describe_server(_dsn_of(conn)).text, first=first, second=second)


def _dsn_of(conn: Connection) -> str:
    return make_conninfo(conn.info.dsn, password=conn.info.password or None)


def _pid(conn: Connection) -> int:
    return int(fetch_one(conn, "core/backend_pid")["pid"])


#: First wait for a lock; later ones grow with jitter until the budget is spent.
LOCK_BUDGET_S = 20.0
#: autovacuum gives way only after deadlock_timeout (1 s by default), so one attempt waits a little longer.
AUTOVACUUM_LOCK_MS = 1_200


def with_lock_retries(
    relation: object,
    action: str,
    attempt: Callable[[Connection], T],
    *,
    kind: Kind = Kind.DDL,
    budget_s: float = LOCK_BUDGET_S,
) -> T:
    """Run `attempt` in a transaction under a small lock_timeout, again with jitter while the lock is busy.

    Raises LockBusy naming the sessions that held the lock once `budget_s` is spent; each failed wait is kept in
    maintenance.lock_wait. Never raises lock_timeout beyond `kind`'s, except one attempt behind an autovacuum worker.
    """
    watch = _LockWatch(str(relation), action)
    policy = Retrying(
        retry=retry_if_exception_type((psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)),
        wait=wait_random_exponential(multiplier=0.05, max=2.0),
        stop=stop_after_delay(budget_s),
    )
    try:
        result = policy(_one_attempt, attempt, kind, watch)
    except RetryError:
        watch.record(granted=False)
        raise watch.busy() from None
    watch.record(granted=True)
    return result


def _one_attempt(attempt: Callable[[Connection], T], kind: Kind, watch: _LockWatch) -> T:
    limits = kind.value._replace(lock_ms=watch.next_lock_ms(kind))
    with _transaction(limits) as conn, watch.watching(conn):
        return attempt(conn)


@contextmanager
def naming_holders(conn: Connection, relation: object, action: str) -> Iterator[None]:
    """Let a long wait that cannot be repeated, such as DETACH CONCURRENTLY's, end in LockBusy naming who held the lock.

    For a statement outside a transaction on a connection of its own; the wait is kept in maintenance.lock_wait.
    """
    watch = _LockWatch(str(relation), action)
    try:
        with watch.watching(conn):
            yield
    except (psycopg.errors.LockNotAvailable, psycopg.errors.QueryCanceled, psycopg.errors.DeadlockDetected):
        watch.record(granted=False)
        raise watch.busy() from None
    watch.record(granted=True)


class _LockWatch:
    """Looks from a second session at who blocks the first while it waits."""

    def __init__(self, relation: str, action: str) -> None:
        self.relation, self.action = relation, action
        self.started = time.monotonic()
        self.holders: list[dict[str, Any]] = []
        self.is_behind_autovacuum = False

    def next_lock_ms(self, kind: Kind) -> int:
        wait_longer = self.is_behind_autovacuum
        self.is_behind_autovacuum = False
        return max(kind.value.lock_ms, AUTOVACUUM_LOCK_MS) if wait_longer else kind.value.lock_ms

    @contextmanager
    def watching(self, conn: Connection) -> Iterator[None]:
        stop = threading.Event()
        watcher = threading.Thread(target=self._look, args=(conn.info.backend_pid, stop), daemon=True)
        watcher.start()
        try:
            yield
        finally:
            stop.set()
            watcher.join()

    def _look(self, pid: int, stop: threading.Event) -> None:
        while not stop.wait(0.1):
            with transaction(Kind.READ) as conn:
                holders = fetch(conn, "core/blockers", pid=pid)
            if holders:
                self.holders = holders
                self.is_behind_autovacuum = any(holder["backend_type"] == "autovacuum worker" for holder in holders)

    def busy(self) -> LockBusy:
        waited = round((time.monotonic() - self.started) * 1000)
        return LockBusy(self.relation, self.action, waited, _describe(self.holders))

    def record(self, *, granted: bool) -> None:
        """Keep the wait where there was one; the ledger may not exist before the first migration."""
        if not self.holders and granted:
            return
        with transaction(Kind.READ) as conn:
            run(
                conn,
                "core/record_lock_wait",
                run_id=_runtime.run_id if _runtime else None,
                relation=self.relation,
                action=self.action,
                waited_ms=round((time.monotonic() - self.started) * 1000),
                granted=granted,
                holders=json.dumps(self.holders, default=str),
            )


def _describe(holders: list[dict[str, Any]]) -> str:
    said = "; ".join(
        f"pid {h['pid']} ({h['usename']}, {h['application_name'] or h['backend_type']}, {h['state']}, "
        f"transaction open for {h['open_for_s']} s): {h['query']}"
        for h in holders
    )
    return said or "a session that had gone when we looked"
