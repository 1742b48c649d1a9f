"""The event store's schema holds its rows to the lists, the one metadata shape and the rights that the plan only describes."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest
from psycopg import sql

from tasks.core.migrations import apply
from tasks.core.sqlfiles import ROOT, trusted
from tests.conftest import SHIPPED_SETS
from tests.database.mapping import Store

MATVIEWS = ["mv_recent_events", "mv_error_summary", "mv_performance_metrics"]
API_ROLES = ["anon", "authenticated", "service_role"]
EMPTY = '{"version": "1.0", "schema": "standard", "fields": {}}'


@pytest.fixture
def conn(store: Store) -> psycopg.Connection:
    return store.conn


def insert(conn: psycopg.Connection, **values: object) -> None:
    given = {"event_type": "t", "event_category": "cache", "source_system": "s", **values}
    query = sql.SQL("insert into unified.event_metric_events ({}) values ({})").format(
        sql.SQL(", ").join(map(sql.Identifier, given)), sql.SQL(", ").join(map(sql.Placeholder, given))
    )
    conn.execute(query, given)


def test_a_row_needs_only_type_category_and_source(conn: psycopg.Connection) -> None:
    insert(conn)
    row = conn.execute(
        "select event_metadata::text, severity, status, priority, retry_count, max_retries from unified.event_metric_events"
    ).fetchone()
    assert row == ('{"fields": {}, "schema": "standard", "version": "1.0"}', "info", "pending", 0, 0, 3)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("event_category", "audit"),
        ("event_category", ""),
        ("event_category", "Cache"),
        ("severity", "fatal"),
        ("status", "retrying"),
    ],
)
def test_a_value_outside_its_list_is_refused(conn: psycopg.Connection, column: str, value: str) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        insert(conn, **{column: value})


@pytest.mark.parametrize(
    "shape",
    [
        EMPTY,
        EMPTY.replace("{}", '{"wrapped": false, "legacy": 1, "fields": []}'),
        EMPTY[:-1] + ', "wrapped": true}',
        EMPTY[:-1] + ', "legacy": {}}',
        EMPTY[:-1] + ', "wrapped": true, "legacy": {"created_at": null}}',
    ],
)
def test_metadata_of_the_one_shape_is_taken(conn: psycopg.Connection, shape: str) -> None:
    insert(conn, event_metadata=shape)


@pytest.mark.parametrize(
    "shape",
    [
        "{}",
        "[]",
        "null",
        '"text"',
        EMPTY.replace("1.0", "1"),
        EMPTY.replace('"1.0"', "1.0"),
        EMPTY.replace('"1.0"', "null"),
        EMPTY.replace("standard", "other"),
        EMPTY.replace("{}", "[]"),
        EMPTY.replace("{}", "null"),
        '{"schema": "standard", "fields": {}}',
        '{"version": "1.0", "fields": {}}',
        '{"version": "1.0", "schema": "standard"}',
        EMPTY[:-1] + ', "wrapped": false}',
        EMPTY[:-1] + ', "wrapped": null}',
        EMPTY[:-1] + ', "legacy": null}',
        EMPTY[:-1] + ', "legacy": []}',
        EMPTY[:-1] + ', "extra": 1}',
        "[" + EMPTY + "]",
    ],
)
def test_metadata_of_any_other_shape_is_refused(conn: psycopg.Connection, shape: str) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match="standard_metadata_shape"):
        insert(conn, event_metadata=shape)


@pytest.mark.parametrize(
    ("change", "keep", "year"),
    [
        ("status = 'failed'", "", None),
        ("status = 'failed', updated_at = '2001-01-01+00'", "", 2001),
        ("status = 'failed'", "on", 2000),
        ("status = 'failed', updated_at = '2001-01-01+00'", "on", 2001),
        ("status = 'failed'", "off", None),
    ],
)
def test_updated_at_follows_a_change_unless_the_statement_says_otherwise(
    conn: psycopg.Connection, change: str, keep: str, year: int | None
) -> None:
    insert(conn, updated_at="2000-01-01+00")
    conn.execute("select set_config('maintenance.keep_updated_at', %s, true)", [keep])
    conn.execute(trusted(f"update unified.event_metric_events set {change}"))  # noqa: S608 (from the list above)
    query = "select updated_at = now(), extract(year from updated_at)::int from unified.event_metric_events"
    is_now, found = conn.execute(query).fetchone() or (None, None)
    assert is_now if year is None else found == year


def test_every_object_says_what_it_is(conn: psycopg.Connection) -> None:
    silent = conn.execute(
        "select c.relname, a.attname from pg_class c left join pg_attribute a on a.attrelid = c.oid and a.attnum > 0"
        " where c.relnamespace = 'unified'::regnamespace and c.relkind in ('p', 'm')"
        " and (obj_description(c.oid, 'pg_class') is null or col_description(c.oid, a.attnum) is null)"
        " union all select proname, null from pg_proc where pronamespace = 'unified'::regnamespace"
        " and obj_description(oid, 'pg_proc') is null"
    ).fetchall()
    assert silent == []


def rights(conn: psycopg.Connection, relation: str) -> set[tuple[str, str]]:
    query = (
        "select r, p from unnest(%s::text[]) r, unnest(array['select', 'insert', 'update', 'delete', 'truncate', 'trigger']) p"
        " where has_table_privilege(r, %s, p)"
    )
    return set(conn.execute(query, [API_ROLES, relation]).fetchall())


@pytest.mark.parametrize("name", ["event_metric_events", *MATVIEWS])
def test_no_api_role_has_a_right_before_the_cutover(conn: psycopg.Connection, name: str) -> None:
    assert rights(conn, f"unified.{name}") == set()


@pytest.fixture
def granted(conn: psycopg.Connection) -> psycopg.Connection:
    """Grant what a cutover grants, and let policies apply as they do for an application."""
    insert(conn)
    conn.execute("set local row_security = on")
    conn.execute("grant usage on schema unified to authenticated, service_role, anon")
    conn.execute("grant select, insert, update, delete on unified.event_metric_events to service_role")
    conn.execute("grant select on unified.event_metric_events to authenticated, anon")
    return conn


@pytest.mark.parametrize(("role", "rows"), [("service_role", 1), ("service_member", 1), ("authenticated", 1), ("anon", 0)])
def test_policies_name_their_roles(granted: psycopg.Connection, role: str, rows: int) -> None:
    granted.execute(sql.SQL("set local role {}").format(sql.Identifier(role)))
    assert granted.execute("select count(*) from unified.event_metric_events").fetchone() == (rows,)


def test_a_service_role_without_bypassrls_may_write(granted: psycopg.Connection) -> None:
    granted.execute("set local role service_member")
    insert(granted)
    assert granted.execute("update unified.event_metric_events set priority = 5").rowcount == 2
    assert granted.execute("delete from unified.event_metric_events").rowcount == 2


def test_an_authenticated_user_sees_no_row_to_change_even_with_the_grant(granted: psycopg.Connection) -> None:
    granted.execute("grant insert, update, delete on unified.event_metric_events to authenticated")
    granted.execute("set local role authenticated")
    assert granted.execute("delete from unified.event_metric_events").rowcount == 0
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
        insert(granted)


@pytest.mark.parametrize("name", MATVIEWS)
def test_a_view_is_refreshed_concurrently_whatever_the_length_of_its_names(conn: psycopg.Connection, name: str) -> None:
    long = "".join(chr(0x1F300 + n) for n in range(500))
    insert(conn, event_type=long, source_system=long[::-1], severity="error", status="failed", duration_ms=5)
    insert(conn, event_type=long, source_system=long[::-1], severity="error", status="success", duration_ms=7)
    insert(conn, severity="critical", event_timestamp="2001-01-01+00")
    view = sql.Identifier("unified", name)
    conn.execute(sql.SQL("refresh materialized view {}").format(view))
    conn.execute(sql.SQL("refresh materialized view concurrently {}").format(view))
    (count,) = conn.execute(sql.SQL("select count(*) from {}").format(view)).fetchone() or (None,)
    assert count == 1


def test_the_error_summary_counts_by_status(conn: psycopg.Connection) -> None:
    for status in ("failed", "failed", "success", "retry"):
        insert(conn, severity="critical", status=status, retry_count=2)
    insert(conn, severity="info", status="failed")
    conn.execute("refresh materialized view unified.mv_error_summary")
    row = conn.execute(
        "select total_errors, failed_count, resolved_count, avg_retries::int from unified.mv_error_summary"
    ).fetchone()
    assert row == (4, 2, 1, 2)


def test_what_supabase_already_has_is_left_alone(make_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    dsn = make_database(sets=None)
    monkeypatch.setenv("DATABASE_URL", dsn)
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(
            "create schema auth; create function auth.role() returns text language sql as $$ select 'theirs' $$;"
            "create function auth.uid() returns uuid language sql as $$ select null::uuid $$"
        )
        apply(SHIPPED_SETS)
        assert conn.execute("select auth.role()").fetchone() == ("theirs",)
        assert conn.execute("select auth.jwt()").fetchone() == (None,)


def test_claims_are_read_as_postgrest_sets_them(conn: psycopg.Connection) -> None:
    assert conn.execute("select auth.role(), auth.uid()").fetchone() == (None, None)
    user = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
    conn.execute("select set_config('request.jwt.claims', %s, true)", [f'{{"role": "authenticated", "sub": "{user}"}}'])
    assert conn.execute("select auth.role(), auth.uid()::text, auth.jwt() ->> 'sub'").fetchone() == (
        "authenticated",
        user,
        user,
    )


def test_a_role_that_may_not_be_created_is_named_with_the_remedy(conn: psycopg.Connection) -> None:
    text = (ROOT / "migrations/event_store/0001_supabase_roles.sql").read_text().replace("('service_role',", "('absent_role',")
    with pytest.raises(
        psycopg.errors.InsufficientPrivilege, match="role absent_role is missing and maintainer may not"
    ) as error:
        conn.execute(trusted(text))
    assert error.value.diag.message_hint == "As a superuser run: create role absent_role nologin noinherit bypassrls"
