"""Real failures and their kinds: a server's SQLSTATEs, answers over HTTP, sockets, and text where nothing else is said (A4)."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import httpx
import postgrest
import psycopg
import psycopg_pool
import pytest
import storage3
from postgrest.exceptions import APIError
from psycopg.conninfo import make_conninfo
from storage3.exceptions import StorageApiError

from tasks.core.classify import classify, is_retryable
from tasks.core.errors import (
    AccessRefused,
    CannotConnect,
    ErrorKind,
    LockBusy,
    MissingRelation,
    RunLost,
    Unfinished,
)
from tests.http_double import Double, http_double

#: What each statement is refused with, and the kind of that.
STATEMENTS = [
    ("select 1 from public.no_such", "42P01", "SCHEMA"),
    ("select no_such from pg_class", "42703", "SCHEMA"),
    ("select public.no_such()", "42883", "SCHEMA"),
    ("selct 1", "42601", "SCHEMA"),
    ("create table public.owned (id integer)", "42P07", "SCHEMA"),
    ("create table no_such.t (id integer)", "3F000", "SCHEMA"),
    ("alter database no_such rename to other", "3D000", "SCHEMA"),
    ("execute no_such", "26000", "SCHEMA"),
    ("close no_such", "34000", "SCHEMA"),
    ("drop table public.owned", "2BP01", "SCHEMA"),
    ("select n from (values (1)) as v (n) group by n for update", "0A000", "SCHEMA"),
    ("select currval('public.fresh')", "55000", "SCHEMA"),
    ("create role no_right superuser", "42501", "AUTH"),
    ("set role postgres", "42501", "AUTH"),
    ("copy public.owned to '/tmp/refused'", "42501", "AUTH"),
    ("select 1 / 0", "22012", "DATA"),
    ("select 'x'::integer", "22P02", "DATA"),
    ("select 99999999999::integer", "22003", "DATA"),
    ("select 'abc'::varchar(2), repeat('x', 3)::date", "22007", "DATA"),
    ("select '2026-02-31'::date", "22008", "DATA"),
    ("insert into public.short values ('abc')", "22001", "DATA"),
    ("select '{'::jsonb", "22P02", "DATA"),
    ("insert into public.owned values (null, 1)", "23502", "DATA"),
    ("insert into public.owned values (1, 1), (1, 1)", "23505", "DATA"),
    ("insert into public.owned values (2, -1)", "23514", "DATA"),
    ("insert into public.child values (9)", "23503", "DATA"),
    ("select (select n from generate_series(1, 2) as n)", "21000", "DATA"),
    ("insert into public.narrow values (5, 5)", "44000", "DATA"),
    ("set local statement_timeout = 20; select pg_sleep(5)", "57014", "TIMEOUT"),
    ("do $$ begin raise exception 'for a reason of its own'; end $$", "P0001", "UNKNOWN"),
    ("set transaction read only; create table public.never (id integer)", "25006", "UNKNOWN"),
]
SCHEMA = """
create table public.owned (id integer primary key, amount integer check (amount > 0));
create table public.child (owned_id integer references public.owned);
create view public.narrow as select id, amount from public.owned where amount < 3 with check option;
create table public.short (text varchar(2));
create sequence public.fresh;
"""


@pytest.fixture
def conn(database: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database) as opened:
        opened.execute(SCHEMA)
        opened.commit()
        yield opened
        opened.rollback()


def refusal(call: Callable[[], object]) -> Exception:
    """Return what `call` raises."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 (which one it is, is what the test asks)
        call()
    return caught.value


def test_the_samples_are_at_least_47() -> None:
    assert len(STATEMENTS) + len(SESSIONS) + len(LOGINS) + len(STORAGE) + len(REST) + len(TEXTS) + len(OURS) >= 47


def test_a_refused_statement_is_of_the_kind_of_its_sqlstate(conn: psycopg.Connection) -> None:
    wrong = []
    for statement, sqlstate, kind in STATEMENTS:
        error = refusal(lambda statement=statement: conn.execute(statement.encode()))
        conn.rollback()
        found = (getattr(error, "sqlstate", None), classify(error), is_retryable(error))
        wrong += [(statement, *found)] if found != (sqlstate, kind, False) else []
    assert not wrong


def test_what_follows_a_failure_in_the_same_transaction_says_nothing_of_its_own(conn: psycopg.Connection) -> None:
    refusal(lambda: conn.execute("select 1 / 0"))
    error = refusal(lambda: conn.execute("select 1"))
    assert (error.sqlstate, classify(error)) == ("25P02", ErrorKind.UNKNOWN)


class Sessions:
    """Failures that take a second session; each returns the error."""

    def __init__(self, dsn: str, superuser: str) -> None:
        self.dsn, self.superuser = dsn, superuser

    def terminated(self) -> Exception:
        """A session ended by an administrator."""
        with psycopg.connect(self.dsn) as victim, psycopg.connect(self.dsn, autocommit=True) as killer:
            killer.execute("select pg_terminate_backend(%s, 5000)", [victim.info.backend_pid])
            return refusal(lambda: victim.execute("select 1"))

    def gone(self) -> Exception:
        """The second statement after that finds no session at all."""
        with psycopg.connect(self.dsn) as victim, psycopg.connect(self.dsn, autocommit=True) as killer:
            killer.execute("select pg_terminate_backend(%s, 5000)", [victim.info.backend_pid])
            refusal(lambda: victim.execute("select 1"))
            return refusal(lambda: victim.execute("select 1"))

    def locked(self) -> Exception:
        """A lock waited for in vain."""
        with psycopg.connect(self.dsn) as holder, psycopg.connect(self.dsn) as other:
            holder.execute("lock table public.owned")
            other.execute("set lock_timeout = 20")
            return refusal(lambda: other.execute("select 1 from public.owned"))

    def serialized(self) -> Exception:
        """A row changed since the snapshot."""
        with psycopg.connect(self.dsn) as first, psycopg.connect(self.dsn) as second:
            for conn in (first, second):
                conn.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
                conn.execute("select 1 from public.counter")
            first.execute("update public.counter set n = n + 1")
            first.commit()
            return refusal(lambda: second.execute("update public.counter set n = n + 1"))

    def deadlocked(self) -> Exception:
        """The one that looks first is the one that gives way."""
        with psycopg.connect(self.superuser) as first, psycopg.connect(self.superuser) as second:
            first.execute("set deadlock_timeout = '1min'")
            second.execute("set deadlock_timeout = 20")
            first.execute("lock table public.owned")
            second.execute("lock table public.short")
            waiting = threading.Thread(target=first.execute, args=("lock table public.short",))
            waiting.start()
            waits = "select wait_event_type = 'Lock' from pg_stat_activity where pid = %s"
            while second.execute(waits, [first.info.backend_pid]).fetchone() != (True,):
                second.execute("select pg_stat_clear_snapshot()")
            error = refusal(lambda: second.execute("lock table public.owned"))
            second.rollback()
            waiting.join()
            return error

    def idle_too_long(self) -> Exception:
        """A transaction that did nothing for too long."""
        with psycopg.connect(self.dsn) as conn:
            conn.execute("set idle_in_transaction_session_timeout = 30")
            threading.Event().wait(0.3)
            return refusal(lambda: conn.execute("select 1"))

    def nothing_large(self) -> Exception:
        """A large object that is not there."""
        with psycopg.connect(self.dsn) as conn:
            return refusal(lambda: conn.execute("select pg_catalog.lo_get(1)"))


SESSIONS: list[tuple[Callable[[Sessions], Exception], set[str | None], str, bool]] = [
    (Sessions.terminated, {"57P01"}, "NETWORK", True),
    (Sessions.gone, {None}, "NETWORK", True),
    (Sessions.locked, {"55P03"}, "LOCK", False),
    (Sessions.serialized, {"40001"}, "CONFLICT", True),
    (Sessions.deadlocked, {"40P01"}, "CONFLICT", True),
    (Sessions.idle_too_long, {"25P03"}, "TIMEOUT", False),
    (Sessions.nothing_large, {"42704"}, "SCHEMA", False),
]


def test_a_failure_between_sessions_is_of_the_kind_of_its_sqlstate(
    conn: psycopg.Connection, database: str, superuser_dsn: str
) -> None:
    conn.execute("create table public.counter (n integer); insert into public.counter values (0)")
    conn.commit()
    wrong = []
    for provoke, sqlstates, kind, is_curable in SESSIONS:
        error = provoke(Sessions(database, superuser_dsn))
        found = (getattr(error, "sqlstate", None), classify(error), is_retryable(error))
        wrong += [(provoke.__name__, *found)] if found[0] not in sqlstates or found[1:] != (kind, is_curable) else []
    assert not wrong


@contextmanager
def crowded_role(superuser: str) -> Iterator[str]:
    """Lend a role that may have one session, which it has."""
    with psycopg.connect(superuser, autocommit=True) as conn:
        conn.execute("create role crowded login password 'x' connection limit 1")
        try:
            dsn = make_conninfo(superuser, user="crowded", password="x")
            with psycopg.connect(dsn):
                yield dsn
        finally:
            conn.execute("drop role crowded")


#: Refused at the door, where libpq gives text alone: changed keywords and the kind.
LOGINS: list[tuple[dict[str, Any], str]] = [
    ({"password": "w7ong"}, "AUTH"),
    ({"user": "no_such_role"}, "AUTH"),
    ({"dbname": "no_such_database"}, "SCHEMA"),
    ({"port": 1}, "NETWORK"),
    ({"host": "no-such-host.invalid"}, "NETWORK"),
]


def test_a_refused_login_is_told_by_its_text(database: str) -> None:
    for changed, kind in LOGINS:
        error = refusal(lambda changed=changed: psycopg.connect(make_conninfo(database, **changed)))
        assert (classify(error), is_retryable(error)) == (kind, kind == "NETWORK"), (changed, error)


def test_too_many_sessions_are_a_quota_and_worth_another_try(superuser_dsn: str) -> None:
    with crowded_role(superuser_dsn) as dsn:
        error = refusal(lambda: psycopg.connect(dsn))
    assert (classify(error), is_retryable(error)) == (ErrorKind.QUOTA, True), error


def test_a_pool_that_got_no_session_in_time_is_the_networks() -> None:
    with psycopg_pool.ConnectionPool("host=127.0.0.1 port=1", open=False, min_size=0, max_size=1) as pool:
        pool.open()
        error = refusal(lambda: pool.getconn(timeout=0.1))
    assert (classify(error), is_retryable(error)) == (ErrorKind.NETWORK, True)


@pytest.fixture
def double() -> Iterator[Double]:
    with http_double() as served:
        yield served


def storage_body(status: int, error: str, message: str, code: str | None = None) -> dict[str, Any]:
    return {"statusCode": str(status), "error": error, "message": message, **({"code": code} if code else {})}


#: Answers of Supabase Storage: the status of HTTP, the body, the kind. It answers 400 and says the real status in the body.
STORAGE = [
    (400, storage_body(404, "Bucket not found", "Bucket not found", "NoSuchBucket"), "SCHEMA"),
    (400, storage_body(409, "Duplicate", "The resource already exists", "KeyAlreadyExists"), "DATA"),
    (400, storage_body(413, "Payload too large", "The object exceeded the maximum allowed size", "EntityTooLarge"), "DATA"),
    (400, storage_body(403, "Unauthorized", "new row violates row-level security policy", "AccessDenied"), "AUTH"),
    (400, storage_body(403, "Unauthorized", "Invalid Compact JWS", "AccessDenied"), "AUTH"),
    (400, storage_body(403, "Unauthorized", '"exp" claim timestamp check failed', "AccessDenied"), "AUTH"),
    (400, storage_body(400, "InvalidKey", "Invalid key: a%b", "InvalidKey"), "DATA"),
    (429, storage_body(429, "too_many_connections", "Too many connections issued to the database", "SlowDown"), "QUOTA"),
    (544, storage_body(544, "DatabaseTimeout", "The connection to the database timed out", "DatabaseTimeout"), "NETWORK"),
    (500, storage_body(500, "Internal", "Internal Server Error", "InternalError"), "UNKNOWN"),
    (503, "<html>upstream connect error</html>", "NETWORK"),
]


def test_an_answer_of_storage_is_of_the_kind_of_its_status(double: Double) -> None:
    with httpx.Client(base_url=double.url) as http:
        bucket = storage3.SyncStorageClient(f"{double.url}/", {}, http_client=http).from_("archives")
        for status, body, kind in STORAGE:
            double.says(status, body)
            error = refusal(lambda: bucket.upload("a.parquet", b"x"))
            assert isinstance(error, StorageApiError)
            assert (classify(error), is_retryable(error)) == (kind, kind in {"NETWORK", "QUOTA"}), (body, error)


def rest_body(code: str, message: str) -> dict[str, Any]:
    return {"code": code, "message": message, "details": None, "hint": None}


#: Answers of PostgREST: a SQLSTATE of the database behind it, its own codes, and a gateway's page.
REST = [
    (404, rest_body("42P01", 'relation "public.no_such" does not exist'), "SCHEMA"),
    (403, rest_body("42501", "permission denied for table t"), "AUTH"),
    (409, rest_body("23505", "duplicate key value violates unique constraint"), "DATA"),
    (500, rest_body("57014", "canceling statement due to statement timeout"), "TIMEOUT"),
    (500, rest_body("53300", "sorry, too many clients already"), "QUOTA"),
    (500, rest_body("40001", "could not serialize access due to concurrent update"), "CONFLICT"),
    (504, rest_body("PGRST003", "Timed out acquiring connection from connection pool."), "NETWORK"),
    (406, rest_body("PGRST116", "Cannot coerce the result to a single JSON object"), "DATA"),
    (404, rest_body("PGRST205", "Could not find the table 'public.t' in the schema cache"), "SCHEMA"),
    (401, rest_body("PGRST301", "JWT expired"), "AUTH"),
    (429, "slow down", "QUOTA"),
    (502, "<html>Bad Gateway</html>", "NETWORK"),
    (540, "<html>Project paused</html>", "QUOTA"),
]


def test_an_answer_of_postgrest_is_of_the_kind_of_its_code(double: Double) -> None:
    with httpx.Client(base_url=double.url) as http:
        client = postgrest.SyncPostgrestClient(double.url, http_client=http)
        for status, body, kind in REST:
            double.says(status, body)
            error = refusal(lambda: client.from_("t").insert({"a": 1}).execute())
            assert isinstance(error, APIError)
            assert classify(error) == kind, (body, error)
            assert is_retryable(error) == (kind in {"NETWORK", "QUOTA", "CONFLICT"})


def test_a_plain_answer_of_http_is_of_the_kind_of_its_status(double: Double) -> None:
    for status, kind in ((401, "AUTH"), (402, "QUOTA"), (404, "SCHEMA"), (500, "UNKNOWN"), (503, "NETWORK")):
        double.says(status, {})
        assert classify(refusal(httpx.get(double.url).raise_for_status)) == kind


def test_a_dropped_conversation_is_the_networks(double: Double) -> None:
    double.status = 0
    with socket.create_server(("127.0.0.1", 0)) as silent:
        quiet = f"http://127.0.0.1:{silent.getsockname()[1]}"
        errors = [
            refusal(lambda: httpx.get(double.url)),
            refusal(lambda: httpx.get("http://127.0.0.1:1")),
            refusal(lambda: httpx.get("http://no-such-host.invalid")),
            refusal(lambda: httpx.get(quiet, timeout=0.1)),
        ]
    assert [type(error).__name__ for error in errors[:2]] == ["RemoteProtocolError", "ConnectError"]
    assert [(classify(error), is_retryable(error)) for error in errors] == [(ErrorKind.NETWORK, True)] * 4


def reset() -> None:
    """Let the other side reset the connection while this one reads."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as mine:
        theirs, _ = server.accept()
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        theirs.close()
        mine.recv(1)


def silence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname(), timeout=0.05) as mine:
        mine.recv(1)


def test_an_error_of_a_socket_is_the_networks() -> None:
    calls = (
        lambda: socket.create_connection(("127.0.0.1", 1)),
        lambda: socket.create_connection(("no-such-host.invalid", 80)),
        reset,
        silence,
    )
    errors = [refusal(call) for call in calls]
    assert [type(error).__name__ for error in errors] == [
        "ConnectionRefusedError",
        "gaierror",
        "ConnectionResetError",
        "TimeoutError",
    ]
    assert [(classify(error), is_retryable(error)) for error in errors] == [(ErrorKind.NETWORK, True)] * 4


def test_a_full_disk_is_a_quota() -> None:
    with open("/dev/full", "wb", buffering=0) as full:  # noqa: PTH123 (a device)
        assert classify(refusal(lambda: full.write(b"x"))) is ErrorKind.QUOTA


#: Nothing but words.
TEXTS = [
    ("Rate limit exceeded", "QUOTA"),
    ("MaxClientsInSessionMode: max clients reached", "QUOTA"),
    ("FATAL: the database system is starting up", "NETWORK"),
    ("Connection reset by peer", "NETWORK"),
    ("Tenant or user not found", "AUTH"),
    ("Invalid API key", "AUTH"),
    ('relation "x" does not exist', "SCHEMA"),
    ("it broke", "UNKNOWN"),
]


class Speechless(Exception):
    """Only words."""


@pytest.mark.parametrize(("text", "kind"), TEXTS)
def test_text_decides_last(text: str, kind: str) -> None:
    assert classify(Speechless(text)) == kind


def test_text_never_overrides_a_code() -> None:
    class Refused(Exception):
        sqlstate: ClassVar[str] = "23505"

    assert classify(Refused("connection refused by a trigger")) is ErrorKind.DATA


#: Errors of ours, whether Prefect tries them again.
OURS: list[tuple[Exception, tuple[str, bool]]] = [
    (CannotConnect("s", "Connection refused"), ("NETWORK", True)),
    (CannotConnect("s", "FATAL: sorry, too many clients already"), ("QUOTA", True)),
    (AccessRefused("s", "u", 'password authentication failed for user "u"'), ("AUTH", False)),
    (AccessRefused("s", "u", 'database "x" does not exist'), ("SCHEMA", False)),
    (LockBusy("r", "a", 1, "h"), ("LOCK", False)),
    (MissingRelation("a.b"), ("SCHEMA", False)),
    (RunLost(1, "a.b"), ("CONFLICT", False)),
    (Unfinished("f", "x: broken"), ("RULE", False)),
]


@pytest.mark.parametrize(("error", "expected"), OURS)
def test_an_error_of_ours_says_itself_what_it_is(error: Exception, expected: tuple[str, bool]) -> None:
    assert (classify(error), is_retryable(error)) == expected


def test_an_error_of_ours_is_of_the_kind_of_what_caused_it(conn: psycopg.Connection) -> None:
    error = Unfinished("f", "x: broken")
    error.__cause__ = refusal(lambda: conn.execute("select 1 / 0"))
    assert classify(error) is ErrorKind.DATA
