"""What a failed run leaves: one row, without secrets, and one of the declared sink once nobody compares that table (A4)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tasks.core.connect import Kind, database_now, runtime, transaction
from tasks.core.declaration import Declaration, read_declaration
from tasks.core.errors import LockBusy, MissingRelation, NotDeclared, Unfinished
from tasks.core.failures import (
    Failure,
    deliver_failures,
    describe_failure,
    keep_failure,
    keep_waiting_failures,
    leave_failure,
)
from tasks.core.parameters import Safety
from tasks.core.sqlfiles import fetch
from tasks.gates.verdict import GateBlocked
from tasks.migration.cutover import cut_over
from tasks.migration.rollback import roll_back
from tasks.partitions.create import ensure_partitions
from tasks.partitions.index_build import IndexFailed
from tasks.partitions.rebuild import RebuildUnfinished
from tests.conftest import Server
from tests.ready import NAME, TARGET, consent, declaration, ready_database

SHIPPED = read_declaration()
#: As a project has it that migrates nothing.
NO_MIGRATION = SHIPPED.model_copy(update={"migrations": {}})


def failure(error: Exception | None = None, run: str = "") -> Failure:
    return describe_failure(error or MissingRelation("app.sales"), "create_partitions", run or str(uuid4()), {})


def ask(dsn: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn, autocommit=True) as conn:
        return conn.execute(query.encode()).fetchall()


IN_SINK = "select event_type, event_category, severity, status, event_data, correlation_id from unified.event_metric_events"
WAITING = "select delivered_at is null, refused from maintenance.failure"


@pytest.fixture
def store(database: str) -> Iterator[str]:
    """A database whose sink has its partitions."""
    with runtime():
        ensure_partitions(TARGET, SHIPPED, database_now())
        yield database


def test_a_failure_reaches_the_declared_sink_once(store: str) -> None:
    kept = failure(run="run-1")
    keep_failure(kept)
    keep_failure(failure(ZeroDivisionError(), run="run-1"))

    assert deliver_failures(NO_MIGRATION) == 1
    assert deliver_failures(NO_MIGRATION) == 0

    ((kind, category, severity, status, data, run),) = ask(store, IN_SINK)
    assert (kind, category, severity, status, run) == ("maintenance_flow_failed", "error", "error", "failed", "run-1")
    said = {"kind": "SCHEMA", "object": "app.sales", "message": kept.message, "flow": kept.flow, "flow_run_id": "run-1"}
    assert data == said
    assert ask(store, WAITING) == [(False, None)]


def test_without_a_sink_a_failure_is_kept_all_the_same(store: str) -> None:
    keep_failure(failure())
    assert deliver_failures(Declaration()) == 0
    assert ask(store, WAITING) == [(True, None)]


@pytest.mark.parametrize(
    ("phase", "declared", "taken"),
    [
        (None, SHIPPED, 0),
        (None, NO_MIGRATION, 1),
        ("capturing", SHIPPED, 0),
        ("capturing", NO_MIGRATION, 0),
        ("cut_over", SHIPPED, 1),
        ("retired", SHIPPED, 1),
        ("rolled_back", SHIPPED, 0),
    ],
)
def test_a_sink_under_migration_is_left_alone_until_the_cutover(
    store: str, phase: str | None, declared: Declaration, taken: int
) -> None:
    with psycopg.connect(store, autocommit=True) as conn:
        if phase:
            conn.execute("insert into maintenance.migration (name, target, phase) values (%s, %s, %s)", [NAME, TARGET, phase])
    keep_failure(failure())
    assert deliver_failures(declared) == taken
    assert len(ask(store, IN_SINK)) == taken


def test_failures_during_a_migration_upset_neither_its_comparison_nor_the_way_back(server: Server) -> None:
    with ready_database(server) as dsn, runtime():
        keep_failure(failure())
        deliver_failures(declaration())
        consent()

        cut_over(NAME, declaration())
        assert deliver_failures(declaration()) == 1
        assert len(ask(dsn, IN_SINK + " where event_type = 'maintenance_flow_failed'")) == 1

        assert (
            getattr(roll_back(NAME, declaration(), database_now(), safety=Safety(apply=True)), "outcome", None) == "rolled back"
        )
        keep_failure(failure())
        assert deliver_failures(declaration()) == 0
        carried = "select count(*) from monitoring.monitoring_events where event_type = 'maintenance_flow_failed'"
        assert ask(dsn, carried) == [(1,)]
        assert ask(dsn, IN_SINK + " where event_type = 'maintenance_flow_failed'") == []


def test_a_sink_that_refuses_hides_nothing_and_gets_its_rows_later(database: str) -> None:
    keep_failure(failure())
    assert deliver_failures(NO_MIGRATION) == 0
    ((is_waiting, refused),) = ask(database, WAITING)
    assert is_waiting
    assert "no partition of relation" in refused

    with runtime():
        ensure_partitions(TARGET, SHIPPED, database_now())
    assert deliver_failures(NO_MIGRATION) == 1
    assert ask(database, WAITING) == [(False, None)]


def test_one_row_that_is_refused_for_good_does_not_keep_back_the_next(store: str) -> None:
    with psycopg.connect(store, autocommit=True) as conn:
        keep_failure(failure(run="old"))
        conn.execute("update maintenance.failure set occurred_at = '2001-01-01'")
    assert deliver_failures(NO_MIGRATION) == 0
    keep_failure(failure(run="new"))
    assert deliver_failures(NO_MIGRATION) == 1


def test_a_message_holds_neither_a_secret_nor_a_value_of_a_row(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPABASE_SERVICE_ROLE_KEY", "very-secret-key")
    monkeypatch.setenv("REDIS_URL", "redis://:p%40ss-word@cache:6379/0")
    texts = [
        "key very-secret-key was refused",
        "cannot reach redis://:p%40ss-word@cache:6379/0 with p@ss-word",
        "postgresql://ada:other-word@db/x and host=db password=third-word user=ada and password='fourth word'",
        f"{store} is down",
    ]
    said = " ".join(failure(RuntimeError(text)).message for text in texts)
    for secret in ("very-secret-key", "p%40ss-word", "p@ss-word", "other-word", "third-word", "fourth word"):
        assert secret not in said
    password = psycopg.conninfo.conninfo_to_dict(store)["password"]
    assert str(password) not in said
    assert "is down" in said

    with psycopg.connect(store, autocommit=True) as conn:
        conn.execute("create table public.people (email text primary key)")
    with psycopg.connect(store) as conn, pytest.raises(psycopg.errors.UniqueViolation) as caught:
        conn.execute("insert into public.people values ('ada@example.org'), ('ada@example.org')")
    assert "ada@example.org" in str(caught.value)
    assert failure(caught.value).message.startswith("UniqueViolation: 23505: duplicate key value")
    assert "ada@example.org" not in failure(caught.value).message


def test_a_failure_names_what_it_was_about_by_its_error_or_else_by_the_runs_parameters() -> None:
    def about(error: Exception, **parameters: object) -> str:
        return describe_failure(error, "f", "r", parameters).object

    assert about(MissingRelation("app.sales"), table="app.other") == "app.sales"
    assert about(NotDeclared("table", "a.b", "f", ""), table="app.other") == "app.other"
    assert about(ZeroDivisionError(), migration="bills") == "bills"
    assert about(ZeroDivisionError()) == ""


def test_a_failure_that_no_database_took_waits_in_a_file(
    store: str, make_database: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAINTENANCE_OUTPUT", str(tmp_path))
    leave_failure(failure(run="down"))
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("DATABASE_URL", make_database(sets=None))
        keep_failure(failure(run="not-migrated"))
        keep_waiting_failures()
    assert sorted(file.stem for file in (tmp_path / "failures").iterdir()) == ["down", "not-migrated"]
    (tmp_path / "failures" / "torn.json").write_text("{", encoding="utf-8")

    keep_waiting_failures()

    assert sorted(ask(store, "select flow_run_id from maintenance.failure")) == [("down",), ("not-migrated",)]
    assert [file.name for file in (tmp_path / "failures").iterdir()] == ["torn.json"]


def test_a_message_quotes_neither_rows_nor_what_another_session_runs() -> None:
    quoted = "Key (email)=(ada@example.org) is duplicated."
    errors = [
        IndexFailed("app.people_key", "app.people_1", "could not create unique index", f": {quoted}"),
        GateBlocked("event_store", "integrity", "BLOCKED", f"differences: {quoted}"),
        LockBusy("app.people", "attach to", 300, "pid 7 (ada, web, active): update people set email"),
        RebuildUnfinished("app.people", quoted),
        Unfinished("rebuild_indexes", quoted),
    ]
    for error in errors:
        assert "email" in str(error)
        assert "email" not in failure(error).message
        assert "(see the run's log)" in failure(error).message


def test_of_what_another_session_runs_no_value_is_said(store: str) -> None:
    with psycopg.connect(store, autocommit=True) as conn:
        conn.execute("create table public.people (id int, email text)")
    with psycopg.connect(store) as holder, runtime():
        holder.execute("lock table public.people; update people set email = 'ada@example.org' where id = 4711")
        for query in ("core/strong_locks", "health/sessions"):
            with transaction(Kind.READ) as conn:
                found = fetch(conn, query, **({"pid": 0} if query.startswith("core") else {}))
            assert [row["query"] for row in found if row["pid"] == holder.info.backend_pid] == [
                "lock table public.people; update people set email = …"
            ]
