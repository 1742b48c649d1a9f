"""Sessions are saved, loaded, touched, expired and purged; nothing is lost silently (D9, A2, N4)."""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tasks.core.connect import Kind, database_now, runtime, transaction
from tasks.core.declaration import Declaration, SessionSink, read_declaration
from tasks.core.errors import LockBusy, MissingRelation, MissingRight, NotDeclared, UnsuitableRelation
from tasks.core.ledger import Deferred
from tasks.core.names import Relation
from tasks.core.settings import PROJECT
from tasks.core.sqlfiles import compose
from tasks.core.sqlfiles import load as load_file
from tasks.upkeep.sessions import (
    FutureRefused,
    InvalidSession,
    SessionExpired,
    SessionsExpired,
    StaleSession,
    UnknownSession,
    delete,
    expire,
    expire_sessions,
    load,
    purge,
    save,
    touch,
)
from tests import conftest as shared
from tests.conftest import SHIPPED_SETS, Server
from tests.declarations import make_logins, second_declaration

DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def shared_dsn(server: Server) -> Iterator[str]:
    """Name a migrated database that the tests of this module share, since none of them changes more than two tables."""
    name = f"sessions_{secrets.token_hex(5)}"
    with psycopg.connect(server.superuser_dsn, autocommit=True) as admin:
        shared._create_database(admin, name, shared._template(server, SHIPPED_SETS))
        yield server.dsn_for(name)
        shared._drop_database(admin, name)


@pytest.fixture
def conn(shared_dsn: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[psycopg.Connection[Any]]:
    """A session in that database, without sessions and runs of other tests."""
    monkeypatch.setenv("DATABASE_URL", shared_dsn)
    with runtime(), psycopg.connect(shared_dsn, autocommit=True) as opened:
        opened.execute("truncate public.sessions; delete from maintenance.run")
        yield opened


@pytest.fixture
def own(database: str) -> Iterator[psycopg.Connection[Any]]:
    """A session in a database of this test's own, for it to break."""
    with runtime(), psycopg.connect(database, autocommit=True) as opened:
        yield opened


@pytest.fixture
def declaration() -> Declaration:
    return with_batches(read_declaration(PROJECT / "maintenance.yaml"), 3)


@pytest.fixture
def sink(declaration: Declaration) -> SessionSink:
    return declaration.session_sink()


def with_batches(declaration: Declaration, rows: int) -> Declaration:
    sink = declaration.session_sink().model_copy(update={"batch_rows": rows})
    return declaration.model_copy(update={"sinks": declaration.sinks.model_copy(update={"sessions": sink})})


def plant(conn: psycopg.Connection[Any], count: int, prefix: str = "s", **columns: object) -> None:
    """Insert sessions as the application might have left them."""
    names = ", ".join(columns)
    values = ", ".join(f"%({name})s" for name in columns)
    query = (
        f"insert into public.sessions (session_id, {names}) select %(prefix)s || n, {values} from generate_series(1, %(n)s) n"  # noqa: S608
    )
    conn.execute(query.encode(), {"prefix": prefix, "n": count, **columns})


def states(conn: psycopg.Connection[Any]) -> dict[str, int]:
    return dict(conn.execute("select session_state, count(*)::int from public.sessions group by 1").fetchall())


# Saving and loading


def test_what_was_saved_is_loaded(conn: psycopg.Connection[Any], sink: SessionSink) -> None:
    data = {"cart": [1, 2.5, None, {"ü": "\U0001f600"}], "deep": {"a": {"b": True}}}

    saved = save(sink, "s", data, version=0, user_id="u")

    assert load(sink, "s") == saved
    assert (saved.data, saved.version, saved.state, saved.user_id) == (data, 1, "active", "u")
    assert saved.expires_at == saved.last_activity_at + DAY


def test_each_save_has_the_next_version_and_keeps_what_it_does_not_name(
    conn: psycopg.Connection[Any], sink: SessionSink
) -> None:
    end = datetime(2100, 1, 1, tzinfo=UTC)
    first = save(sink, "s", {}, version=0, user_id="u", expires_at=end)

    second = save(sink, "s", {"n": 2}, version=first.version)

    assert (second.version, second.data, second.user_id, second.expires_at) == (2, {"n": 2}, "u", end)


def test_a_stale_save_is_an_error_that_says_so_and_changes_nothing(conn: psycopg.Connection[Any], sink: SessionSink) -> None:
    save(sink, "s", {"by": "one"}, version=0)
    save(sink, "s", {"by": "two"}, version=1)

    with pytest.raises(StaleSession, match=r"s was not saved: the save was made from version 1, and the session has version 2"):
        save(sink, "s", {"by": "three"}, version=1)

    kept = load(sink, "s")
    assert kept is not None
    assert (kept.data, kept.version) == ({"by": "two"}, 2)


def test_a_new_session_never_overwrites_one_that_exists(conn: psycopg.Connection[Any], sink: SessionSink) -> None:
    save(sink, "s", {"by": "one"}, version=0)
    with pytest.raises(StaleSession, match="version 0"):
        save(sink, "s", {"by": "two"}, version=0)


def test_a_save_over_a_session_that_is_gone_is_an_error(conn: psycopg.Connection[Any], sink: SessionSink) -> None:
    with pytest.raises(UnknownSession, match=r"no session s in public\.sessions"):
        save(sink, "s", {}, version=3)
    assert states(conn) == {}


def test_concurrent_saves_of_one_session_lose_no_update(conn: psycopg.Connection[Any], sink: SessionSink) -> None:
    save(sink, "s", {"seen": []}, version=0)

    def add(mark: int) -> int:
        stale = 0
        while True:
            held = load(sink, "s")
            assert held is not None
            try:
                save(sink, "s", {"seen": [*held.data["seen"], mark]}, version=held.version)
            except StaleSession:
                stale += 1
            else:
                return stale

    with ThreadPoolExecutor(8) as threads:
        stale = sum(threads.map(add, range(40)))

    kept = load(sink, "s")
    assert kept is not None
    assert sorted(kept.data["seen"]) == list(range(40))
    assert kept.version == 41
    assert stale, "no two saves met, so nothing was shown"


def test_a_second_writer_of_a_row_waits_and_then_is_stale(conn: psycopg.Connection[Any], sink: SessionSink) -> None:
    save(sink, "s", {}, version=0)
    with ThreadPoolExecutor(1) as threads, psycopg.connect(conn.info.dsn, password=conn.info.password) as other:
        other.execute("update public.sessions set version = 2, session_data = '{\"first\": true}'")
        late = threads.submit(save, sink, "s", {"second": True}, version=1)
        with pytest.raises(TimeoutError):
            late.result(timeout=0.3)
        other.commit()
        with pytest.raises(StaleSession):
            late.result()


@pytest.mark.parametrize(
    ("session_id", "data", "reason"),
    [
        ("", {}, "sessions_session_id_check"),
        ("x" * 256, {}, r"too long for type character varying\(255\)"),
        ("s", {"at": datetime(2026, 1, 1, tzinfo=UTC)}, "not JSON serializable"),
        ("s", {"n": math.nan}, "its data is no JSON object"),
        ("s", {"text": "a\0b"}, "unsupported Unicode"),
        ("s\0", {}, "cannot contain NUL"),
        ("s", 5, "its data is no JSON object"),
    ],
)
def test_a_session_that_cannot_be_written_is_named_with_the_reason(
    conn: psycopg.Connection[Any], sink: SessionSink, session_id: str, data: Any, reason: str
) -> None:
    with pytest.raises(InvalidSession, match=reason):
        save(sink, session_id, data, version=0)
    assert states(conn) == {}


def test_an_end_without_a_time_zone_is_refused(conn: psycopg.Connection[Any], sink: SessionSink) -> None:
    with pytest.raises(InvalidSession, match="names no time zone"):
        save(sink, "s", {}, version=0, expires_at=datetime(2100, 1, 1))


def test_a_session_that_was_never_saved_is_none(conn: psycopg.Connection[Any], sink: SessionSink) -> None:
    assert load(sink, "s") is None


def test_deleting_says_whether_there_was_one(conn: psycopg.Connection[Any], sink: SessionSink) -> None:
    save(sink, "s", {}, version=0)
    save(sink, "other", {}, version=0)
    assert (delete(sink, "s"), delete(sink, "s")) == (True, False)
    assert load(sink, "other") is not None


# Touching


def test_a_touch_counts_and_makes_no_save_stale(conn: psycopg.Connection[Any], sink: SessionSink) -> None:
    plant(conn, 1, last_activity_at=database_now() - timedelta(hours=23))

    touch(sink, "s1", duration_ms=40)
    touch(sink, "s1", duration_ms=2)

    assert conn.execute(
        "select version, request_count, total_duration_ms, last_activity_at > now() - interval '1 minute' from public.sessions"
    ).fetchone() == (1, 2, 42, True)
    assert save(sink, "s1", {}, version=1).version == 2


def test_touching_a_session_that_is_not_there_is_an_error(conn: psycopg.Connection[Any], sink: SessionSink) -> None:
    with pytest.raises(UnknownSession):
        touch(sink, "s")


@pytest.mark.parametrize("how", ["idle", "overdue", "marked"])
def test_a_session_whose_time_is_over_is_never_used_again(conn: psycopg.Connection[Any], sink: SessionSink, how: str) -> None:
    now = database_now()
    columns = {
        "idle": {"last_activity_at": now - DAY},
        "overdue": {"expires_at": now},
        "marked": {"session_state": "expired", "expires_at": now + DAY},
    }
    plant(conn, 1, **columns[how])
    uses: list[Callable[[], object]] = [
        lambda: load(sink, "s1"),
        lambda: save(sink, "s1", {"n": 1}, version=1),
        lambda: save(sink, "s1", {"n": 1}, version=0),
        lambda: touch(sink, "s1"),
    ]
    for use in uses:
        with pytest.raises(SessionExpired, match="Session s1 ended at 20"):
            use()
    assert conn.execute("select session_data, version, request_count from public.sessions").fetchone() == ({}, 1, 0)


def test_an_expired_session_can_be_deleted_and_begun_anew(conn: psycopg.Connection[Any], sink: SessionSink) -> None:
    plant(conn, 1, last_activity_at=database_now() - DAY)
    delete(sink, "s1")
    assert save(sink, "s1", {}, version=0).version == 1


# Errors of the table


@pytest.mark.parametrize(
    ("breakage", "error", "words"),
    [
        ("drop table public.sessions", MissingRelation, r"public\.sessions does not exist, and sinks\.sessions names it"),
        ("alter table public.sessions drop column session_data", UnsuitableRelation, "session_data.*Its columns must be"),
        ("alter table public.sessions rename version to rev", UnsuitableRelation, "version.*Its columns must be"),
        ("alter table public.sessions drop constraint sessions_session_id_key", UnsuitableRelation, "ON CONFLICT"),
        ("revoke all on public.sessions from maintainer, service_role", MissingRight, r"grant select.* on public\.sessions"),
    ],
)
def test_a_table_that_is_not_as_it_must_be_is_one_readable_error(
    own: psycopg.Connection[Any], sink: SessionSink, breakage: str, error: type[Exception], words: str
) -> None:
    own.execute(breakage.encode())
    with pytest.raises(error, match=words):
        save(sink, "s", {}, version=0)


def test_the_run_says_the_same_of_a_missing_column(own: psycopg.Connection[Any], declaration: Declaration) -> None:
    own.execute("alter table public.sessions drop column session_state")
    with pytest.raises(UnsuitableRelation, match=r"session_state.*Its columns must be"):
        expire_sessions(declaration, database_now())


def test_a_declaration_without_sessions_is_one_readable_error() -> None:
    with pytest.raises(NotDeclared, match="sink sessions is not declared"):
        expire_sessions(Declaration(), datetime(2026, 1, 1, tzinfo=UTC))


def test_a_save_that_waits_in_vain_names_who_held_the_row(
    conn: psycopg.Connection[Any], sink: SessionSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.upkeep.sessions.transaction", partial(transaction, lock_ms=100))
    save(sink, "s", {}, version=0)
    with psycopg.connect(conn.info.dsn, password=conn.info.password) as other:
        other.execute("lock table public.sessions")
        with pytest.raises(LockBusy, match=r"public\.sessions stayed locked"):
            save(sink, "s", {}, version=1)


# Expiring and purging


def test_the_ages_are_exact(conn: psycopg.Connection[Any], declaration: Declaration) -> None:
    now, tick = database_now(), timedelta(microseconds=1)
    plant(conn, 1, "idle", last_activity_at=now - DAY)
    plant(conn, 1, "awake", last_activity_at=now - DAY + tick)
    plant(conn, 1, "over", expires_at=now)
    plant(conn, 1, "running", expires_at=now + tick, last_activity_at=now - 10 * DAY)
    plant(conn, 1, "old", session_state="expired", expires_at=now - 30 * DAY)
    plant(conn, 1, "young", session_state="expired", expires_at=now - 30 * DAY + tick)

    result = expire_sessions(declaration, now)

    assert isinstance(result, SessionsExpired)
    assert (result.expired, result.purged) == (2, 1)
    found = conn.execute("select session_id, session_state from public.sessions order by 1").fetchall()
    assert found == [
        ("awake1", "active"), ("idle1", "expired"), ("over1", "expired"), ("running1", "active"), ("young1", "expired"),
    ]  # fmt: skip


def test_idleness_ends_a_session_when_it_was_over_not_when_the_flow_ran(
    conn: psycopg.Connection[Any], declaration: Declaration
) -> None:
    now = database_now()
    plant(conn, 1, last_activity_at=now - 3 * DAY)

    expire_sessions(declaration, now)

    assert conn.execute("select expires_at, version from public.sessions").fetchone() == (now - 2 * DAY, 2)


def test_a_session_that_was_over_for_long_is_marked_and_purged_in_one_run(
    conn: psycopg.Connection[Any], declaration: Declaration
) -> None:
    now = database_now()
    plant(conn, 1, last_activity_at=now - 31 * DAY)
    result = expire_sessions(declaration, now)
    assert isinstance(result, SessionsExpired)
    assert (result.expired, result.purged) == (1, 1)


def test_batches_are_bounded_and_each_is_committed(conn: psycopg.Connection[Any], declaration: Declaration) -> None:
    now, seen = database_now(), list[dict[str, int]]()
    plant(conn, 4, "idle", last_activity_at=now - 2 * DAY)
    plant(conn, 4, "over", expires_at=now - DAY)
    plant(conn, 4, "old", session_state="expired", expires_at=now - 40 * DAY)

    result = expire_sessions(declaration, now, on_progress=lambda *_: seen.append(states(conn)))

    assert seen == [
        {"active": 5, "expired": 7}, {"active": 2, "expired": 10}, {"expired": 12}, {"expired": 9}, {"expired": 8},
    ]  # fmt: skip
    assert result == SessionsExpired("public.sessions", now, expired=8, purged=4, batches=5)


def test_a_second_run_in_a_row_finds_nothing(conn: psycopg.Connection[Any], declaration: Declaration) -> None:
    now = database_now()
    plant(conn, 5, last_activity_at=now - 2 * DAY)
    expire_sessions(declaration, now)
    before = conn.execute("select * from public.sessions order by session_id").fetchall()

    assert expire_sessions(declaration, now) == SessionsExpired("public.sessions", now)
    assert conn.execute("select * from public.sessions order by session_id").fetchall() == before


def test_an_earlier_as_of_expires_less(conn: psycopg.Connection[Any], declaration: Declaration) -> None:
    now = database_now()
    plant(conn, 2, last_activity_at=now - 2 * DAY)
    result = expire_sessions(declaration, now - 1.5 * DAY)
    assert isinstance(result, SessionsExpired)
    assert result.expired == 0


def test_a_future_as_of_is_refused_without_the_setting(
    conn: psycopg.Connection[Any], declaration: Declaration, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(conn, 1, last_activity_at=database_now())
    later = database_now() + 2 * DAY
    with pytest.raises(FutureRefused, match="lies in the future"):
        expire_sessions(declaration, later)
    assert states(conn) == {"active": 1}
    monkeypatch.setenv("MAINTENANCE_ALLOW_FUTURE", "1")
    expire_sessions(declaration, later)
    assert states(conn) == {"expired": 1}


@pytest.mark.parametrize("action", [expire, purge])
def test_a_session_that_is_being_written_is_left_and_nothing_waits(
    conn: psycopg.Connection[Any], sink: SessionSink, action: Callable[..., int]
) -> None:
    now = database_now()
    if action is expire:
        plant(conn, 2, last_activity_at=now - 2 * DAY)
    else:
        plant(conn, 2, session_state="expired", expires_at=now - 40 * DAY)
    with psycopg.connect(conn.info.dsn, password=conn.info.password) as other:
        other.execute("update public.sessions set last_activity_at = now() where session_id = 's1'")
        with transaction(Kind.READ, lock_ms=200) as unit:
            assert action(unit, sink, now) == 1


def test_a_run_in_the_way_defers_the_other(conn: psycopg.Connection[Any], declaration: Declaration) -> None:
    others = list[object]()
    plant(conn, 1, last_activity_at=database_now() - 2 * DAY)

    def try_meanwhile() -> None:
        if not others:
            others.append(None)
            others[0] = expire_sessions(declaration, database_now())

    expire_sessions(declaration, database_now(), between=try_meanwhile)

    assert isinstance(others[0], Deferred)
    assert others[0].subject == "public.sessions"


def test_the_run_is_recorded_with_what_it_did(conn: psycopg.Connection[Any], declaration: Declaration) -> None:
    plant(conn, 2, last_activity_at=database_now() - 2 * DAY)
    expire_sessions(declaration, database_now())
    assert conn.execute(
        "select subject, outcome, detail -> 'expired', detail -> 'purged' from maintenance.run where flow = 'expire_sessions'"
    ).fetchall() == [("public.sessions", "completed", 2, 0)]


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        ("upkeep/expire_overdue_sessions", "sessions_overdue"),
        ("upkeep/expire_idle_sessions", "sessions_idle"),
        ("upkeep/purge_sessions", "sessions_expired"),
    ],
)
def test_a_batch_costs_the_same_however_many_sessions_there_are(
    conn: psycopg.Connection[Any], sink: SessionSink, statement: str, index: str
) -> None:
    """It reads its due rows from an index in order, and finds each again by its key."""
    ages = {"expire_after": sink.expire_after, "purge_after": sink.purge_after}
    values: dict[str, object] = {"as_of": database_now(), "batch_rows": 10}
    values |= {name: value for name, value in ages.items() if name in load_file(statement).params}
    query = compose(statement, {"table": Relation.parse(sink.table), **values})
    conn.execute("set enable_seqscan = off; set enable_bitmapscan = off")

    plan = "\n".join(line for (line,) in conn.execute(sql.SQL("explain ") + query, values))

    assert f"using {index}" in plan
    assert "using sessions_session_id_key" in plan
    assert "Sort" not in plan


def test_another_projects_table_is_served_by_its_declaration(
    make_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    dsn = make_database(sets=())
    make_logins(dsn)
    monkeypatch.setenv("DATABASE_URL", dsn)
    declared = second_declaration()
    sink = declared.session_sink()
    with runtime(), psycopg.connect(dsn, autocommit=True) as conn:
        assert save(sink, "clerk", {"till": 3}, version=0, user_id="c").expires_at
        touch(sink, "clerk")
        assert save(sink, "clerk", {"till": 4}, version=1).version == 2
        conn.execute("update desk.logins set last_activity_at = now() - interval '9 hours'")
        conn.execute("insert into desk.logins (session_id, session_data) select n::text, '{}' from generate_series(1, 3) n")
        conn.execute("update desk.logins set last_activity_at = now() - interval '8 days' where session_id <> 'clerk'")
        result = expire_sessions(declared, database_now())
        assert isinstance(result, SessionsExpired)
        assert (result.table, result.expired, result.purged, result.batches) == ("desk.logins", 4, 3, 4)
