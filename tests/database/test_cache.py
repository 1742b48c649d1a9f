"""The cache in Redis and in one process: namespaces, times to live, invalidation, and nothing that breaks without it (A3, N6)."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from tasks.core.breakers import FAILURES, list_breakers
from tasks.core.connect import database_now, runtime
from tasks.core.declaration import CacheTimes, Declaration
from tasks.core.errors import InvalidSetting
from tasks.upkeep.cache import NAMESPACES, Cache, cache_of
from tasks.upkeep.cache_stores import ProcessStore, RedisStore
from tasks.upkeep.matview_rows import MOST_ROWS, read_cache_stats, read_matview_cached, renewing
from tasks.upkeep.matviews import refresh

REDIS = shutil.which("redis-server")
VIEW = {"why": "w", "owner": "o", "refresh_every": "PT5M", "stale_after": "PT15M"}
DECLARED = Declaration.model_validate({"matviews": {"app.daily": VIEW, "app.empty": VIEW}})


@dataclass
class Redis:
    """A redis-server of this test's own, at one port."""

    folder: Path
    port: int
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Return what REDIS_URL holds."""
        return f"redis://:s3cretword@127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--requirepass", "s3cretword"]
        self.running.append(subprocess.Popen([str(REDIS), *options, "--dir", str(self.folder)], stdout=subprocess.DEVNULL))
        for _ in range(200):
            try:
                with redis.Redis.from_url(self.url) as client:
                    client.ping()
            except redis.ConnectionError:
                time.sleep(0.05)
            else:
                return
        pytest.fail("redis-server did not start")

    def stop(self) -> None:
        """Kill it."""
        while self.running:
            process = self.running.pop()
            process.kill()
            process.wait()


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[Redis]:
    if REDIS is None:
        pytest.skip("redis-server is not installed")
    with socket.create_server(("127.0.0.1", 0)) as chosen:
        port = chosen.getsockname()[1]
    server = Redis(tmp_path, port)
    server.start()
    yield server
    server.stop()


@pytest.fixture(params=["process", "redis"])
def cache(request: pytest.FixtureRequest) -> Iterator[Cache]:
    store = ProcessStore() if request.param == "process" else RedisStore(request.getfixturevalue("redis_server").url)
    made = Cache(store, CacheTimes(), "test")
    yield made
    made.close()


def test_a_value_is_found_in_its_namespace_alone(cache: Cache) -> None:
    for namespace in NAMESPACES:
        cache.set(namespace, "k", {"of": namespace, "list": [1, None, "ä"]})
    assert [cache.get(namespace, "k") for namespace in NAMESPACES] == [{"of": n, "list": [1, None, "ä"]} for n in NAMESPACES]
    assert cache.get("evt", "generation") is None


def test_a_value_ends_with_its_time(cache: Cache) -> None:
    cache.set("evt", "short", 1, ttl=timedelta(milliseconds=30))
    cache.set("evt", "long", 2)
    time.sleep(0.1)
    assert (cache.get("evt", "short"), cache.get("evt", "long")) == (None, 2)


def test_one_key_is_forgotten_and_the_others_stay(cache: Cache) -> None:
    cache.warm("evt", {"a": 1, "b": 2})
    cache.invalidate("evt", "a")
    assert (cache.get("evt", "a"), cache.get("evt", "b")) == (None, 2)


def test_a_namespace_is_forgotten_whole_and_the_others_stay(cache: Cache) -> None:
    cache.warm("evt", {str(number): number for number in range(100)})
    cache.set("sess", "a", 1)
    cache.invalidate_namespace("evt")
    assert {cache.get("evt", str(number)) for number in range(100)} == {None}
    assert cache.get("sess", "a") == 1


def test_a_namespace_is_forgotten_by_one_write_however_many_values_it_holds() -> None:
    class Counting(ProcessStore):
        writes = 0

        def write(self, name: str, text: str, seconds: float | None) -> None:
            Counting.writes += 1
            super().write(name, text, seconds)

    cache = Cache(Counting(), CacheTimes(), "test")
    cache.warm("evt", {str(number): number for number in range(1000)})
    Counting.writes = 0
    cache.invalidate_namespace("evt")
    assert Counting.writes == 1


def test_what_was_computed_while_the_namespace_was_emptied_is_not_used_again(cache: Cache) -> None:
    def compute() -> str:
        cache.invalidate_namespace("evt")
        return "old"

    assert cache.read_through("evt", "k", compute) == "old"
    assert cache.read_through("evt", "k", lambda: "new") == "new"
    assert cache.read_through("evt", "k", lambda: "never asked") == "new"


def test_hits_and_misses_are_counted_by_namespace(cache: Cache) -> None:
    assert cache.stats().hit_rate is None
    for _ in range(4):
        cache.read_through("evt", "k", lambda: 1)
    stats = cache.stats()
    assert (stats.hits["evt"], stats.misses["evt"], stats.hits["sess"], stats.hit_rate) == (3, 1, 0, 0.75)
    assert stats.is_up


def test_a_redis_that_stops_slows_and_breaks_nothing(redis_server: Redis) -> None:
    cache = Cache(RedisStore(redis_server.url), CacheTimes(), "test")
    cache.set("evt", "k", "old")
    cache.set("sess", "k", "kept")
    redis_server.stop()
    for _ in range(FAILURES + 1):
        assert cache.read_through("evt", "k", lambda: "computed") == "computed"
    cache.set("evt", "k", 1)
    cache.invalidate("evt", "k")
    cache.invalidate_namespace("evt")
    assert not cache.stats().is_up
    assert [(found.dependency, found.state) for found in list_breakers()] == [("redis", "open")]
    cache.close()


def test_an_invalidation_that_redis_missed_is_made_up_before_its_values_are_used(redis_server: Redis) -> None:
    cache = Cache(RedisStore(redis_server.url), CacheTimes(), "test")
    cache.set("evt", "k", "old")
    paused = redis_server.running[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RedisStore, "write", lambda *_: (_ for _ in ()).throw(OSError("down")))
        cache.invalidate_namespace("evt")
        assert cache.get("evt", "k") is None
    assert paused.poll() is None
    assert cache.get("evt", "k") is None
    cache.close()


def test_something_else_under_the_same_name_is_a_miss(redis_server: Redis) -> None:
    cache = Cache(RedisStore(redis_server.url), CacheTimes(), "test")
    with redis.Redis.from_url(redis_server.url) as client:
        client.set("test:evt:of:k", "no JSON")
        client.lpush("test:sess:of:k", "a list")
    assert cache.get("evt", "k") is None
    assert cache.get("sess", "k") is None
    cache.set("sess", "k", 1)
    cache.close()


def test_a_wrong_password_breaks_nothing(redis_server: Redis) -> None:
    cache = Cache(RedisStore(redis_server.url.replace("s3cretword", "w7ong")), CacheTimes(), "test")
    assert cache.read_through("evt", "k", lambda: 1) == 1
    assert not cache.stats().is_up
    cache.close()


@pytest.fixture
def app(make_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> Iterator[psycopg.Connection[Any]]:
    dsn = make_database(sets=())
    monkeypatch.setenv("DATABASE_URL", dsn)
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("create schema app; create table app.sales (n integer)")
        conn.execute("create materialized view app.daily as select n from app.sales with no data")
        conn.execute("create unique index on app.daily (n)")
        conn.execute("create materialized view app.empty as select 1 as n with no data; create unique index on app.empty (n)")
        yield conn


def refresh_daily() -> None:
    with runtime() as current, renewing(current, DECLARED) as note:
        note(refresh("app.daily", DECLARED, database_now(), force=True))


@pytest.mark.parametrize("kind", ["process", "redis"])
def test_a_refresh_renews_what_the_report_reads_and_more_than_four_of_five_reads_are_hits(
    app: psycopg.Connection[Any], kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "redis":
        monkeypatch.setenv("REDIS_URL", request.getfixturevalue("redis_server").url)
    for number in range(3):
        app.execute("insert into app.sales values (%s)", [number])
        refresh_daily()
        for _ in range(5):
            rows = read_matview_cached("app.daily", DECLARED)
            assert sorted(row["n"] for row in rows.rows) == list(range(number + 1))
            assert rows.is_complete
    stats = read_cache_stats(DECLARED)
    print(f"\n{stats.kind}: hit rate {stats.hit_rate:.0%} (goal 80%)")  # noqa: T201 (a figure to read)
    assert stats.hit_rate is not None
    assert stats.hit_rate > 0.8


def test_a_refresh_that_fails_for_one_view_renews_the_others(app: psycopg.Connection[Any]) -> None:
    refresh_daily()
    app.execute("insert into app.sales values (7)")
    with pytest.raises(ZeroDivisionError), runtime() as current, renewing(current, DECLARED) as note:  # noqa: PT012
        note(refresh("app.daily", DECLARED, database_now(), force=True))
        raise ZeroDivisionError
    assert read_matview_cached("app.daily", DECLARED).rows == [{"n": 7}]


def test_a_view_with_many_rows_is_cut(app: psycopg.Connection[Any]) -> None:
    app.execute("insert into app.sales select generate_series(1, %s)", [MOST_ROWS + 1])
    refresh_daily()
    found = read_matview_cached("app.daily", DECLARED)
    assert (len(found.rows), found.is_complete) == (MOST_ROWS, False)


def test_a_redis_url_that_cannot_be_read_is_named_without_its_password(
    app: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", "http://:s3cretword@cache")
    with runtime() as current, pytest.raises(InvalidSetting, match="REDIS_URL is refused") as caught:
        cache_of(current, DECLARED)
    assert "s3cretword" not in str(caught.value)
