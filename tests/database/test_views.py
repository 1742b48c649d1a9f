"""Old code reads and writes the views under the old names as it did the tables."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg import errors, sql
from psycopg.conninfo import make_conninfo

from tasks.core.connect import runtime
from tasks.core.sqlfiles import trusted
from tasks.migration.cutover import cut_over
from tests.conftest import Server
from tests.ready import NAME, TARGET, consent, declaration, ready_database

Conn = psycopg.Connection[Any]
ROLES = ("anon", "authenticated", "service_role", "service_member")

#: One row that each table takes, its key given by the database.
INSERTS = {
    "monitoring_events": "(event_type, timestamp, source, data) values ('probe', now(), 'test', '{}')",
    "validation_metrics": (
        "(event_type, total_events, passed_events, failed_events, pass_rate, avg_validation_time_ms, total_errors, total_warnings,"
        " flush_timestamp, created_at, updated_at) values ('probe', 1, 1, 0, 100, 1.5, 0, 0, now(), now(), now())"
    ),
    "cache_metrics_monitoring": "(cache_key, operation_type, implementation_type) values ('probe', 'hit', 'new')",
    "events": "(type, data, timestamp, created_at) values ('probe', '{}', now(), now())",
    "dlq_table": "(original_payload) values ('{\"probe\": true}')",
}
#: A column of each table that an update may set to itself.
COLUMNS = {
    "monitoring_events": "data", "validation_metrics": "total_errors", "cache_metrics_monitoring": "cache_key",
    "events": "data", "dlq_table": "retry_count",
}  # fmt: skip


PROBES: dict[str, LiteralString] = {
    "select": "select from {relation} limit 1",
    "insert": "insert into {relation} {insert}",
    "update": "update {relation} set {column} = {column}",
    "delete": "delete from {relation}",
}


@pytest.fixture
def waiting(server: Server) -> Iterator[str]:
    """A database of this test's own that waits for its cutover."""
    with ready_database(server) as name, runtime():
        yield name


@pytest.fixture(scope="module")
def dsn(server: Server) -> Iterator[str]:
    """A database after the cutover, shared: each test writes rows of its own."""
    with ready_database(server) as name, runtime():
        cut_over(NAME, declaration())
        yield name


@pytest.fixture
def conn(dsn: str) -> Iterator[Conn]:
    """The maintenance role's session after the cutover."""
    with psycopg.connect(dsn, autocommit=True) as session:
        yield session


@pytest.fixture
def app(dsn: str) -> Iterator[Conn]:
    """The application's session after the cutover: service_role's rights, without BYPASSRLS."""
    with session_as(dsn, "service_member") as session:
        yield session


@contextmanager
def session_as(dsn: str, role: str) -> Iterator[Conn]:
    with psycopg.connect(dsn, autocommit=True) as session:
        session.execute(sql.SQL("set role {}").format(sql.Identifier(role)))
        yield session


def one(conn: Conn, query: str, *values: object) -> Any:
    """Return the only value of the only row."""
    ((value,),) = conn.execute(query, values or None).fetchall()  # pyright: ignore[reportArgumentType]
    return value


def attempt(conn: Conn, statement: sql.Composed) -> str:
    """Return what a statement does, and undo it: how many rows, or the SQLSTATE."""
    try:
        with conn.transaction(force_rollback=True):
            cursor = conn.execute(statement)
            return "rows" if cursor.rowcount else "no rows"
    except psycopg.Error as error:
        return str(error.sqlstate)


def probe(dsn: str, relations: dict[str, tuple[str, str]]) -> dict[tuple[str, str, str], str]:
    """Try every operation on every relation as every role."""
    found: dict[tuple[str, str, str], str] = {}
    for role in ROLES:
        with session_as(dsn, role) as session:
            for relation, (insert, column) in relations.items():
                parts = {"relation": trusted(relation), "insert": trusted(insert), "column": trusted(column)}
                statements = {name: sql.SQL(text).format(**parts) for name, text in PROBES.items()}
                found |= {(role, relation, name): attempt(session, text) for name, text in statements.items()}
    return found


def test_roles_may_do_under_old_names_what_they_could_do_before(waiting: str) -> None:
    old = {f"monitoring.{name}": (insert, COLUMNS[name]) for name, insert in INSERTS.items()}
    with psycopg.connect(waiting, autocommit=True) as conn:
        conn.execute("grant usage on schema monitoring to anon")
        conn.execute("grant select, insert, update on monitoring.events to anon")
        conn.execute("revoke delete on monitoring.dlq_table from service_role")
        conn.execute("revoke all on monitoring.dlq_table from authenticated")
        conn.execute("grant select (id, status) on monitoring.dlq_table to authenticated")
    before = probe(waiting, old)
    consent()

    cut_over(NAME, declaration())

    assert probe(waiting, old) == before
    assert {before[role, "monitoring.events", "update"] for role in ROLES} == {"rows", "no rows"}
    assert before["anon", "monitoring.events", "select"] == "no rows"
    assert before["authenticated", "monitoring.events", "insert"] == "42501"


def test_roles_get_under_the_new_name_what_is_declared_and_on_partitions_nothing(waiting: str) -> None:
    with psycopg.connect(waiting, autocommit=True) as conn:
        partition = one(conn, "select relation_oid::regclass::text from maintenance.partition order by lower desc limit 1")
    insert = "(event_type, event_category, source_system) values ('probe', 'monitoring', 'test')"
    new = dict.fromkeys((TARGET, partition), (insert, "priority")) | {"unified.mv_recent_events": (insert, "event_type")}
    before = probe(waiting, new)
    assert set(before.values()) == {"42501"}

    cut_over(NAME, declaration())

    after = {key: found for key, found in probe(waiting, new).items() if found != "42501"}
    allowed = {("authenticated", TARGET, "select"): "rows"}
    for role in ("service_role", "service_member"):
        allowed |= {(role, TARGET, name): "rows" for name in ("select", "insert", "update", "delete")}
    assert after == allowed


@pytest.mark.parametrize("table", INSERTS)
def test_an_insert_returns_its_key_and_its_defaults(app: Conn, table: str) -> None:
    relation = sql.Identifier("monitoring", table)
    cursor = app.execute(sql.SQL("insert into {} {} returning *").format(relation, trusted(INSERTS[table])))
    columns = [column.name for column in cursor.description or ()]
    row = dict(zip(columns, cursor.fetchone() or (), strict=True))

    assert row["id"] is not None
    found = app.execute(sql.SQL("select * from {} where id = %s").format(relation), [row["id"]]).fetchall()
    assert found == [tuple(row.values())]
    expected = {"dlq_table": {"retry_count": 0, "max_retries": 5}, "monitoring_events": {"metadata": {}}}.get(table, {})
    assert {name: row[name] for name in expected} == expected


def test_default_in_an_update_is_the_tables_default(app: Conn) -> None:
    key = one(app, "insert into monitoring.dlq_table (original_payload, retry_count) values ('1', 4) returning id")

    assert one(app, "update monitoring.dlq_table set retry_count = default where id = %s returning retry_count", key) == 0


def test_new_keys_come_from_the_same_sequence(conn: Conn) -> None:
    before = one(conn, "select last_value from monitoring.events_id_seq")

    key = one(conn, "insert into monitoring.events " + INSERTS["events"] + " returning id")

    assert key == before + 1
    assert one(conn, "select lastval()") == key


def test_a_broken_check_is_the_legacy_tables_own(app: Conn) -> None:
    with pytest.raises(errors.CheckViolation) as broken:
        app.execute("insert into monitoring.dlq_table (original_payload, retry_count) values ('{}', 9)")
    assert (broken.value.diag.constraint_name, broken.value.diag.table_name) == ("dlq_table_check", "dlq_table")

    with pytest.raises(errors.CheckViolation) as broken:
        app.execute("update monitoring.cache_metrics_monitoring set operation_type = 'guess'")
    assert broken.value.diag.constraint_name == "cache_metrics_monitoring_operation_type_check"


def test_a_missing_value_is_the_legacy_columns_own(app: Conn) -> None:
    with pytest.raises(errors.NotNullViolation) as broken:
        app.execute("insert into monitoring.events (type, timestamp, created_at) values ('x', now(), now())")
    assert (broken.value.diag.column_name, broken.value.diag.table_name) == ("data", "events")


def test_a_text_too_long_for_its_column_is_refused_as_before(app: Conn) -> None:
    with pytest.raises(errors.StringDataRightTruncation):
        app.execute("update monitoring.monitoring_events set event_type = repeat('x', 51)")


def test_an_explicit_id_that_is_there_is_a_duplicate_as_before(app: Conn) -> None:
    key = one(
        app,
        "insert into monitoring.events (id, type, data, timestamp, created_at) values (777777, 'x', '{}', now(), now()) returning id",
    )

    with pytest.raises(errors.UniqueViolation, match="already exists") as broken:
        app.execute(
            "insert into monitoring.events (id, type, data, timestamp, created_at) values (777777, 'x', '{}', '2020-01-01', now())"
        )
    assert (key, broken.value.diag.constraint_name) == (777777, "events_pkey")
    with pytest.raises(errors.UniqueViolation):
        app.execute("update monitoring.events set id = 777777 where id = 5")


def test_an_id_that_waits_in_quarantine_is_a_duplicate_too(app: Conn) -> None:
    app.execute(
        "insert into monitoring.events (id, type, data, timestamp, created_at) values (888888, 'x', '{}', 'infinity', now())"
    )

    with pytest.raises(errors.UniqueViolation):
        app.execute(
            "insert into monitoring.events (id, type, data, timestamp, created_at) values (888888, 'x', '{}', now(), now())"
        )


def test_two_sessions_with_one_explicit_id_take_turns(app: Conn, dsn: str) -> None:
    insert = "insert into monitoring.events (id, type, data, timestamp, created_at) values (999999, %s, '{}', %s, now())"
    outcome: list[str] = []

    def second() -> None:
        with session_as(dsn, "service_member") as session:
            try:
                session.execute(insert, ["second", "2020-01-01"])
                outcome.append("done")
            except psycopg.Error as error:
                outcome.append(str(error.sqlstate))

    with app.transaction():
        app.execute(insert, ["first", one(app, "select now()")])
        other = threading.Thread(target=second)
        other.start()
        other.join(0.5)
        assert outcome == []
    other.join()

    assert outcome == ["23505"]
    assert one(app, "select count(*) from monitoring.events where id = 999999") == 1


def test_a_row_that_the_mapping_refuses_goes_to_quarantine_and_the_statement_succeeds(app: Conn, conn: Conn) -> None:
    key = one(app, "insert into monitoring.dlq_table (original_payload, created_at) values ('null', null) returning id")

    assert one(app, "select count(*) from monitoring.dlq_table where id = %s", key) == 0
    kept = conn.execute(
        "select reason, target_key, legacy_row from maintenance.quarantine where key = %s", [str(key)]
    ).fetchall()
    assert [(reason, target_key) for reason, target_key, _ in kept] == [("event time is null", None)]
    assert kept[0][2]["original_payload"] is None
    assert "failure_reason" in kept[0][2]


def test_an_update_that_the_mapping_refuses_moves_the_row_to_quarantine(app: Conn, conn: Conn) -> None:
    cursor = app.execute("update monitoring.events set timestamp = '1999-01-01' where id = 7")

    assert cursor.rowcount == 1
    assert one(app, "select count(*) from monitoring.events where id = 7") == 0
    assert one(conn, "select reason from maintenance.quarantine where key = '7' and legacy_row ? 'type'") == (
        "event time is outside the span"
    )


def test_a_place_that_another_source_holds_is_a_collision(app: Conn, conn: Conn) -> None:
    ((key, when),) = app.execute(
        "select id, timestamp from monitoring.monitoring_events where isfinite(timestamp) limit 1"
    ).fetchall()

    app.execute(
        "insert into monitoring.cache_metrics_monitoring (id, cache_key, operation_type, implementation_type, timestamp)"
        " values (%s, 'copied', 'hit', 'new', %s)",
        [key, when],
    )

    assert one(app, "select count(*) from monitoring.cache_metrics_monitoring where id = %s", key) == 0
    found = conn.execute(
        "select reason, target_key from maintenance.quarantine where key = %s and legacy_row ->> 'cache_key' = 'copied'",
        [str(key)],
    ).fetchall()
    assert found == [("collision with monitoring.monitoring_events", str(key))]


def test_no_increment_is_lost_between_two_sessions(app: Conn, dsn: str) -> None:
    key = one(app, "insert into monitoring.dlq_table (original_payload, max_retries) values ('{}', 1000) returning id")
    retried: list[int] = []

    def count(times: int) -> None:
        with session_as(dsn, "service_member") as session:
            done = 0
            while done < times:
                try:
                    session.execute("update monitoring.dlq_table set retry_count = retry_count + 1 where id = %s", [key])
                    done += 1
                except errors.SerializationFailure:
                    retried.append(1)

    workers = [threading.Thread(target=count, args=(25,)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert one(app, "select retry_count from monitoring.dlq_table where id = %s", key) == 75
    assert retried


def test_a_row_that_is_gone_is_told_from_one_that_was_never_there(app: Conn, dsn: str) -> None:
    key = one(app, "insert into monitoring.dlq_table (original_payload) values ('{}') returning id")
    seen: list[str] = []

    def delete() -> None:
        with session_as(dsn, "service_member") as session:
            seen.append(attempt(session, sql.SQL("delete from monitoring.dlq_table where id = {}").format(key)))

    with app.transaction():
        app.execute("delete from monitoring.dlq_table where id = %s", [key])
        other = threading.Thread(target=delete)
        other.start()
        other.join(0.5)
    other.join()

    assert seen == ["40001"]
    assert app.execute("delete from monitoring.dlq_table where id = %s", [key]).rowcount == 0


def test_workers_skip_rows_that_others_hold(app: Conn, dsn: str) -> None:
    take = "select id from monitoring.dlq_table where status = 'pending' order by id limit 3 for update skip locked"
    with app.transaction(), session_as(dsn, "service_member") as other, other.transaction():
        mine, theirs = app.execute(take).fetchall(), other.execute(take).fetchall()

        assert len(mine) == len(theirs) == 3
        assert not set(mine) & set(theirs)
        app.execute("update monitoring.dlq_table set status = 'recovered', recovered_at = now() where id = %s", mine[0])


def test_a_client_with_odd_settings_writes_the_same_rows(conn: Conn, dsn: str) -> None:
    insert = (
        "insert into monitoring.validation_metrics (event_type, total_events, passed_events, failed_events, pass_rate,"
        " avg_validation_time_ms, total_errors, total_warnings, flush_timestamp, created_at, updated_at)"
        " values (%s, 1, 1, 0, 0.1::float8 + 0.2::float8, 'NaN', 0, 0, timestamp '2026-01-02 03:04:05', now(), now()) returning id"
    )
    retry = (
        "update monitoring.dlq_table set last_retry_at = timestamptz '2026-01-02 03:04:05.678+00', failure_reason = 'same'"
        " where id = %s returning last_retry_at = timestamptz '2026-01-02 03:04:05.678+00'"
    )
    oddities = "-c TimeZone=Pacific/Chatham -c DateStyle=SQL,DMY -c extra_float_digits=-5 -c IntervalStyle=iso_8601"
    with (
        psycopg.connect(dsn, autocommit=True) as plain,
        psycopg.connect(make_conninfo(dsn, options=oddities), autocommit=True) as odd,
    ):
        letters = [
            one(session, "insert into monitoring.dlq_table (original_payload) values ('{}') returning id")
            for session in (plain, odd)
        ]
        metrics = [one(session, insert, "odd") for session in (plain, odd)]
        for session, key in zip((odd, plain), letters, strict=True):
            assert one(session, retry, key)
            assert session.execute("update monitoring.dlq_table set status = 'failed' where id = %s", [key]).rowcount == 1

    query = "select event_data ->> 'last_retry_at', event_metrics - 'x' from unified.event_metric_events where id = maintenance.v8_id(%s, %s)"
    assert conn.execute(query, [5, letters[0]]).fetchall() == conn.execute(query, [5, letters[1]]).fetchall()
    assert conn.execute(query, [2, metrics[0]]).fetchall() == conn.execute(query, [2, metrics[1]]).fetchall()


def test_a_prepared_statement_from_before_goes_on(waiting: str) -> None:
    with psycopg.connect(waiting, autocommit=True) as session:
        for kind in ("read", "write"):
            statement = {
                "read": "prepare read (bigint) as select * from monitoring.events where id = $1",
                "write": "prepare write (bigint) as update monitoring.events set data = '{\"again\": 1}' where id = $1",
            }[kind]
            session.execute(statement)  # pyright: ignore[reportArgumentType]
        before = session.execute("execute read (9)").fetchall()
        session.execute("execute write (8)")

        cut_over(NAME, declaration())

        assert session.execute("execute read (9)").fetchall() == before
        assert session.execute("execute write (8)").rowcount == 1
        assert one(session, "select data from monitoring.events where id = 8") == {"again": 1}


def test_functions_and_dependants_that_name_the_table_go_on(app: Conn) -> None:
    key = one(app, "select monitoring.record_event('called', '{\"a\": 1}')")
    assert one(app, "select type from monitoring.events where id = %s", key) == "called"

    app.execute(
        "insert into public.monitoring_events_view (event_type, timestamp, source, data) values ('seen', now(), 'x', '{}')"
    )
    assert one(app, "select count(*) from public.monitoring_events_view where event_type = 'seen'") == 1


def test_a_before_trigger_of_the_table_fires_on_the_view(app: Conn) -> None:
    key = one(app, "insert into monitoring.validation_metrics " + INSERTS["validation_metrics"] + " returning id")
    stale = "update monitoring.validation_metrics set updated_at = '2020-01-01', total_errors = 1 where id = %s returning updated_at > '2026-01-01'"

    assert one(app, stale, key)
    assert one(app, "select updated_at > '2026-01-01' from monitoring.validation_metrics where id = %s", key)


def test_an_update_keeps_what_only_the_new_name_could_write(app: Conn, conn: Conn) -> None:
    key = one(
        app,
        "insert into unified.event_metric_events (event_type, event_category, source_system, priority, user_id, event_metrics)"
        " values ('new', 'monitoring', 'x', 7, 'ada', '{\"n\": 1}') returning id",
    )

    app.execute("update monitoring.monitoring_events set source = 'y' where id = %s", [key])

    found = conn.execute(
        "select source_system, priority, user_id, event_metrics from unified.event_metric_events where id = %s", [key]
    ).fetchall()
    assert found == [("y", 7, "ada", {"n": 1})]


def test_an_update_leaves_updated_at_as_the_mapping_says(app: Conn, conn: Conn) -> None:
    before = one(conn, "select updated_at from unified.event_metric_events where id = maintenance.v8_id(4, 9)")

    with app.transaction():
        app.execute("update monitoring.events set data = '{\"touched\": 1}' where id = 9")
        app.execute("update unified.event_metric_events set priority = 3 where event_type = 'nobody'")

    assert one(conn, "select updated_at from unified.event_metric_events where id = maintenance.v8_id(4, 9)") == before


def test_updated_at_under_the_new_name_moves_also_after_a_write_through_an_old_one(app: Conn, conn: Conn) -> None:
    with app.transaction():
        app.execute("update monitoring.events set data = '{\"touched\": 1}' where id = 9")
        app.execute("update unified.event_metric_events set priority = 3 where id = '00000004-0000-8000-8000-000000000009'")

    assert one(
        conn,
        "select updated_at > now() - interval '1 minute' from unified.event_metric_events where id = maintenance.v8_id(4, 9)",
    )


def test_a_row_moves_with_its_time_and_its_key(app: Conn, conn: Conn) -> None:
    app.execute("update monitoring.events set timestamp = timestamp - interval '1 day', id = 123456789 where id = 11")

    assert app.execute(
        "select count(*) filter (where id = 11), count(*) filter (where id = 123456789) from monitoring.events"
    ).fetchall() == [(0, 1)]
    assert (
        one(
            conn,
            "select count(*) from unified.event_metric_events where id in (maintenance.v8_id(4, 11), maintenance.v8_id(4, 123456789))",
        )
        == 1
    )


def test_copy_into_a_view_works(app: Conn) -> None:
    now = one(app, "select now()")
    with app.cursor() as cursor, cursor.copy("copy monitoring.events (type, data, timestamp, created_at) from stdin") as stream:
        for _ in range(3):
            stream.write_row(["copied", "{}", now, now])

    assert one(app, "select count(distinct id) from monitoring.events where type = 'copied'") == 3


def test_truncate_fails_under_both_names(conn: Conn) -> None:
    with pytest.raises(errors.WrongObjectType):
        conn.execute("truncate monitoring.events")
    with pytest.raises(errors.FeatureNotSupported, match="carried back"):
        conn.execute("truncate unified.event_metric_events")


def test_writes_through_old_names_are_counted(app: Conn, conn: Conn) -> None:
    counted = "select last_value from maintenance.old_name_4_writes"
    key, before = one(app, f"insert into monitoring.events {INSERTS['events']} returning id"), one(conn, counted)

    app.execute("update monitoring.events set data = '{}' where id = %s", [key])
    app.execute("delete from monitoring.events where id = %s", [key])

    assert one(conn, counted) == before + 2


def test_nobody_may_call_the_views_functions(conn: Conn, dsn: str) -> None:
    closed = (
        "select count(*) from pg_proc p cross join unnest(%s::text[]) as r (name)"
        " where p.proname like 'old\\_name\\_%%' and has_function_privilege(r.name, p.oid, 'execute')"
    )
    assert one(conn, closed, list(ROLES)) == 0
    assert one(conn, "select count(*) from pg_proc where proname like 'old\\_name\\_%' and prosecdef") == 15
