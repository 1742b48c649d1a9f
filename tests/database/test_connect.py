"""Connections: readable refusals, one pool, bounded lock waits that name the blocker, poolers recognised."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tasks.core import connect
from tasks.core.classify import is_retryable
from tasks.core.connect import Kind, database_now, open_connection, require_session, runtime, transaction, with_lock_retries
from tasks.core.errors import (
    AccessRefused,
    CannotConnect,
    LockBusy,
    NoDatabase,
    PoolerRefused,
    ServerTooOld,
)
from tasks.core.sqlfiles import run

PGBOUNCER = shutil.which("pgbouncer", path=os.environ.get("PATH", "") + ":/usr/sbin")


def test_no_database_url_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)

    with pytest.raises(NoDatabase, match=r"DATABASE_URL is not set\. Set it to a direct or session-mode connection"):
        database_now()


def test_an_unreachable_server_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://maintainer:s3cret@127.0.0.1:1/nowhere")

    with pytest.raises(CannotConnect, match=r"127\.0\.0\.1:1/nowhere: Connection refused\. Check that the server") as caught:
        database_now()

    assert "s3cret" not in str(caught.value)


def test_a_wrong_password_is_refused_and_never_printed(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", make_conninfo(database, password="w7ongpass"))

    with pytest.raises(AccessRefused, match="refused the login of maintainer") as caught:
        database_now()

    assert "w7ongpass" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_an_older_server_is_refused(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connect, "OLDEST_VERSION_NUM", 990000)

    with pytest.raises(ServerTooOld, match="maintenance needs 15 or newer"):
        open_connection(Kind.READ, dsn=database)


def test_every_session_is_in_utc_and_refuses_filtered_reads(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as conn:
        conn.execute("alter role current_user set timezone = 'Europe/Berlin'")
    try:
        with runtime(), transaction(Kind.READ) as conn:
            shown = [conn.execute("show " + name).fetchone() for name in ("timezone", "row_security", "search_path")]
    finally:
        with psycopg.connect(database, autocommit=True) as conn:
            conn.execute("alter role current_user reset timezone")
    assert shown == [("UTC",), ("off",), ("pg_catalog",)]


def test_one_process_has_one_pool_however_deep_it_is_asked_for(database: str) -> None:
    with runtime() as outer, runtime() as inner, transaction(Kind.READ):
        assert outer is inner
        assert outer.pool is inner.pool
    assert outer.pool.closed


def test_the_pool_outlives_an_inner_user(database: str) -> None:
    with runtime() as outer:
        with runtime():
            pass
        assert not outer.pool.closed


def test_a_transaction_that_fails_leaves_nothing(database: str) -> None:
    def half() -> None:
        with transaction(Kind.READ) as conn:
            conn.execute("create table public.half_done (id integer)")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half()
    with transaction(Kind.READ) as conn:
        assert conn.execute("select to_regclass('public.half_done')").fetchone() == (None,)


def test_timeouts_are_local_to_their_transaction(database: str) -> None:
    with runtime() as current:
        with transaction(Kind.DDL) as used:
            assert used.execute("show lock_timeout").fetchone() == ("300ms",)
        with current.pool.connection() as one, current.pool.connection() as other:
            assert used in (one, other)
            assert used.execute("show lock_timeout").fetchone() == ("0",)


@pytest.fixture
def locked_table(database: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database, application_name="nightly report") as holder:
        holder.execute("create table public.wanted (id integer)")
        holder.commit()
        holder.execute("lock table public.wanted in access exclusive mode")
        yield holder


def drop_column(conn: psycopg.Connection) -> None:
    conn.execute("alter table public.wanted add column more integer")


def test_a_lock_that_stays_taken_ends_by_naming_who_holds_it(locked_table: psycopg.Connection) -> None:
    began = time.monotonic()

    with pytest.raises(LockBusy) as caught:
        with_lock_retries("public.wanted", "add a column", drop_column, budget_s=1)

    assert time.monotonic() - began < 4
    assert f"pid {locked_table.info.backend_pid}" in caught.value.holders
    assert "nightly report" in caught.value.holders
    assert "lock table public.wanted" in caught.value.holders
    with transaction(Kind.READ) as conn:
        kept = conn.execute("select relation, granted, holders -> 0 ->> 'pid' from maintenance.lock_wait").fetchall()
    assert kept == [("public.wanted", False, str(locked_table.info.backend_pid))]


def test_a_wait_that_nobody_watched_names_who_holds_a_strong_lock(locked_table: psycopg.Connection) -> None:
    with pytest.raises(LockBusy) as caught, transaction(Kind.READ, lock_ms=100) as conn:
        conn.execute("select from public.wanted")

    assert caught.value.relation == "public.wanted"
    assert f"pid {locked_table.info.backend_pid}" in caught.value.holders
    assert "nightly report" in caught.value.holders
    assert not is_retryable(caught.value), "locks are waited for near the connection, not by Prefect too"


def test_a_lock_that_comes_free_is_taken_at_a_later_attempt(locked_table: psycopg.Connection) -> None:
    timer = threading.Timer(0.8, locked_table.rollback)
    timer.start()

    with_lock_retries("public.wanted", "add a column", drop_column, budget_s=10)

    timer.join()
    with transaction(Kind.READ) as conn:
        assert conn.execute("select granted from maintenance.lock_wait").fetchall() == [(True,)]


def test_a_waiting_attempt_lets_readers_through_between_its_tries(locked_table: psycopg.Connection, database: str) -> None:
    """A lock_timeout above a few hundred milliseconds would queue every reader behind the waiting DDL."""
    locked_table.rollback()
    locked_table.execute("select count(*) from public.wanted")
    waits: list[float] = []

    def read() -> None:
        with psycopg.connect(database, autocommit=True) as reader:
            for _ in range(15):
                began = time.monotonic()
                reader.execute("select count(*) from public.wanted")
                waits.append(time.monotonic() - began)
                time.sleep(0.05)

    reading = threading.Thread(target=read)
    reading.start()
    with pytest.raises(LockBusy):
        with_lock_retries("public.wanted", "add a column", drop_column, budget_s=1)
    reading.join()
    assert max(waits) < 0.6


@pytest.fixture
def pooler(database: str, tmp_path: Path) -> Iterator[str]:
    """Start a real PgBouncer in transaction mode in front of the database."""
    if PGBOUNCER is None:
        pytest.skip("pgbouncer is not installed")
    parts = conninfo_to_dict(database)
    with socket.create_server(("127.0.0.1", 0)) as chosen:
        port = chosen.getsockname()[1]
    (tmp_path / "users").write_text(f'"{parts["user"]}" "{parts["password"]}"\n', encoding="utf-8")
    (tmp_path / "bouncer.ini").write_text(
        f"[databases]\n* = host={parts['host']} port={parts['port']}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
        f"listen_port = {port}\nauth_type = scram-sha-256\nauth_file = {tmp_path}/users\npool_mode = transaction\n"
        f"unix_socket_dir =\nlogfile = {tmp_path}/log\nignore_startup_parameters = extra_float_digits\n",
        encoding="utf-8",
    )
    process = subprocess.Popen(
        [PGBOUNCER, "-q", str(tmp_path / "bouncer.ini")], stderr=subprocess.DEVNULL, **_unprivileged(tmp_path)
    )
    dsn = make_conninfo(database, port=port)
    try:
        _wait_for(dsn)
        yield dsn
    finally:
        process.kill()
        process.wait()


def _unprivileged(folder: Path) -> dict[str, int]:
    """PgBouncer refuses to run as root: give its folder to somebody else and let him in."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    for path in (folder, *folder.iterdir()):
        os.chown(path, nobody.pw_uid, nobody.pw_gid)
    for parent in list(folder.parents)[:3]:
        parent.chmod(parent.stat().st_mode | 0o011)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid}


def _wait_for(dsn: str) -> None:
    for _ in range(100):
        try:
            psycopg.connect(dsn, connect_timeout=2).close()
        except psycopg.OperationalError:
            time.sleep(0.05)
        else:
            return
    pytest.fail("pgbouncer did not start")


def test_a_transaction_mode_pooler_is_recognised_by_its_behaviour(pooler: str) -> None:
    with closing(open_connection(Kind.READ, dsn=pooler)) as conn, pytest.raises(PoolerRefused, match="session mode"):
        require_session(conn)


def test_a_direct_connection_is_no_pooler(database: str) -> None:
    with closing(open_connection(Kind.READ, dsn=database)) as conn:
        require_session(conn)
        run(conn, "core/backend_pid")
