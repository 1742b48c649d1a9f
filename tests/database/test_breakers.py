"""A dependency that is down is left alone for a while, then probed once; what it says in refusal keeps it in use (A8)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import httpx
import psycopg
import pytest
import storage3
from psycopg.conninfo import make_conninfo

from tasks.core import breakers
from tasks.core.breakers import (
    FAILURES,
    BreakerOpen,
    Dependency,
    guarded,
    keep_breakers,
    list_breakers,
    read_breakers,
)
from tasks.core.classify import is_retryable
from tasks.core.connect import Kind, database_now, open_connection, runtime, transaction
from tasks.core.embedded import Watchdog, bundled_binaries
from tasks.core.errors import AccessRefused, CannotConnect, MaintenanceError
from tests.conftest import DATA
from tests.http_double import http_double


@pytest.fixture(autouse=True)
def long_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let none of them come to its probe by itself."""
    monkeypatch.setattr(breakers, "PAUSE_S", 3600)


def let_the_pause_pass() -> None:
    """Put the opening of every breaker back by its pause: no test waits, and none depends on how fast this machine is."""
    for breaker in breakers._breakers.values():
        breaker._opened -= 3600


def ask(exactly: type[Exception], call: Callable[[], object] = database_now) -> None:
    with pytest.raises(MaintenanceError) as caught:
        call()
    assert type(caught.value) is exactly, caught.value


def state() -> tuple[str, int]:
    (only,) = list_breakers()
    return only.state, only.failures


def connect_and_close() -> None:
    open_connection(Kind.READ).close()


@pytest.fixture
def own_server(the_watchdog: Watchdog, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Start a server of this test's own, to be stopped by its name; yields what starts it again at the same port."""
    kept = the_watchdog.start_postgres("breaker", binaries=bundled_binaries(DATA), durable=False)
    monkeypatch.setenv("DATABASE_URL", kept.dsn)
    monkeypatch.setattr("tasks.core.embedded.postgres.free_port", lambda: kept.port)
    yield lambda: the_watchdog.start_postgres("breaker", binaries=bundled_binaries(DATA), durable=False) and None
    the_watchdog.stop("breaker")


def test_a_server_that_stops_opens_its_breaker_and_a_probe_closes_it_once_it_is_back(
    own_server: Callable[[], None], the_watchdog: Watchdog
) -> None:
    connect_and_close()
    assert state() == ("closed", 0)
    the_watchdog.stop("breaker")
    for failed in range(1, FAILURES):
        ask(CannotConnect, connect_and_close)
        assert state() == ("closed", failed)
    ask(CannotConnect, connect_and_close)
    assert state() == ("open", FAILURES)

    ask(BreakerOpen)
    ask(BreakerOpen, connect_and_close)

    let_the_pause_pass()
    assert state()[0] == "half_open"
    ask(CannotConnect, connect_and_close)
    assert state() == ("open", FAILURES + 1)
    own_server()
    ask(BreakerOpen, connect_and_close)
    let_the_pause_pass()
    database_now()
    assert state() == ("closed", 0)


def test_a_pool_whose_server_has_gone_is_not_waited_for(own_server: Callable[[], None], the_watchdog: Watchdog) -> None:
    with runtime() as current:
        database_now()
        the_watchdog.stop("breaker")
        with pytest.raises(psycopg.OperationalError):
            database_now()
        for _ in range(FAILURES):
            with pytest.raises(MaintenanceError):
                connect_and_close()
        current.pool.check()
        ask(BreakerOpen)
        own_server()
        let_the_pause_pass()
        database_now()
    assert state() == ("closed", 0)


def test_a_refused_login_is_an_answer_and_opens_nothing(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", make_conninfo(database, password="w7ongpass"))
    for _ in range(FAILURES + 1):
        ask(AccessRefused)
    assert state() == ("closed", 0)


def test_a_success_in_between_breaks_the_row() -> None:
    for _ in range(2):
        for _ in range(FAILURES - 1):
            with pytest.raises(ConnectionError), guarded(Dependency.REDIS, "a:1"):
                raise ConnectionError
        with guarded(Dependency.REDIS, "a:1"):
            pass
    assert state() == ("closed", 0)


def test_one_caller_probes_while_the_others_are_refused() -> None:
    fail(Dependency.REDIS, "a:1")
    let_the_pause_pass()
    with guarded(Dependency.REDIS, "a:1"):
        others: list[str] = []

        def other() -> None:
            try:
                with guarded(Dependency.REDIS, "a:1"):
                    others.append("asked")
            except BreakerOpen:
                others.append("refused")

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert others == ["refused"]
    with guarded(Dependency.REDIS, "a:1"):
        pass


def fail(dependency: Dependency, address: str) -> None:
    for _ in range(FAILURES):
        with pytest.raises(ConnectionError), guarded(dependency, address):
            raise ConnectionError("redis://user:s3cretword@a:1 does not answer")


def test_one_servers_breaker_is_not_anothers() -> None:
    fail(Dependency.REDIS, "a:1")
    with guarded(Dependency.REDIS, "b:1"):
        pass
    with pytest.raises(
        BreakerOpen, match=r"redis at a:1 has failed 5 times in a row and is left alone for another \d+ s"
    ) as caught:
        guarded(Dependency.REDIS, "a:1").__enter__()
    assert is_retryable(caught.value)
    assert "s3cretword" not in str(caught.value)


def test_storage_that_is_overloaded_opens_its_breaker_and_a_refusal_does_not() -> None:
    with http_double() as double, httpx.Client() as http:
        bucket = storage3.SyncStorageClient(f"{double.url}/", {}, http_client=http).from_("archives")

        def upload() -> None:
            with guarded(Dependency.STORAGE, double.url):
                bucket.upload("a.parquet", b"x")

        for status, error, closed in ((400, "Duplicate", "closed"), (503, "SlowDown", "open")):
            double.says(status, {"statusCode": str(status), "error": error, "message": error})
            for _ in range(FAILURES):
                with pytest.raises(storage3.exceptions.StorageApiError):
                    upload()
            assert state()[0] == closed
        asked = double.asked
        ask(BreakerOpen, upload)
        assert double.asked == asked


def test_another_process_sees_what_one_has_told(database: str) -> None:
    fail(Dependency.STORAGE, "s:443")
    with transaction(Kind.READ) as conn:
        keep_breakers(conn)
    breakers._breakers.clear()  # as another process has it
    with transaction(Kind.READ) as conn:
        (told,) = [found for found in read_breakers(conn) if found.dependency == "storage"]
    assert (told.address, told.state, told.failures) == ("s:443", "open", FAILURES)
    assert told.since is not None
    assert "s3cretword" not in told.reason

    with guarded(Dependency.STORAGE, "s:443"), transaction(Kind.READ) as conn:
        pass
    with transaction(Kind.READ) as conn:
        keep_breakers(conn)
        (told,) = [found for found in read_breakers(conn) if found.dependency == "storage"]
    assert (told.state, told.failures) == ("closed", 0)
