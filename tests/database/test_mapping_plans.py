"""The planner sees through the mappings, and the compatibility views read, prune and lock like the old tables (M4)."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise

import psycopg
import pytest
from psycopg import sql

from tasks.core.sqlfiles import identifier, run, trusted
from tests.database import mapping
from tests.database.mapping import SOURCES, SPAN, TARGET, Store

TIMED = {
    "monitoring_events": "timestamp",
    "cache_metrics_monitoring": "timestamp",
    "events": "timestamp",
    "dlq_table": "created_at",
}
KEYED = [table for table, (code, _) in SOURCES.items() if code in {2, 4, 5}]
DAYS = ["2025-06-01", "2025-06-02", "2025-06-03", "2025-06-04"]


def plan(conn: psycopg.Connection, query: sql.Composed) -> str:
    rows = conn.execute(sql.SQL("explain (verbose, costs off) {}").format(query))
    return "\n".join(line for (line,) in rows)


def forward(store: Store, table: str, columns: str) -> sql.Composed:
    found = store.mappings[table]
    return sql.SQL("select {} from {} as l cross join lateral {}(l, {}, {}) as f").format(
        trusted(columns),
        identifier(found.source),
        identifier(found.forward),
        *map(sql.Literal, SPAN),
    )


@pytest.mark.parametrize("table", SOURCES)
def test_forward_becomes_one_scan_of_the_legacy_table(store: Store, table: str) -> None:
    found = plan(store.conn, forward(store, table, "f.*"))
    nodes = [line for line in found.split("\n") if re.match(r"\s*(->|\w)", line) and "Output:" not in line]
    assert nodes == [f"Seq Scan on monitoring.{table} l"]
    assert "maintenance." not in found
    # A whole row would be built for each row read, with every value that is stored out of line.
    assert "l.*" not in found


@pytest.mark.parametrize("table", SOURCES)
def test_only_what_is_asked_for_is_computed(store: Store, table: str) -> None:
    assert "jsonb" not in plan(store.conn, forward(store, table, "f.reason, f.id, f.event_timestamp"))


@pytest.mark.parametrize("table", SOURCES)
def test_the_reason_can_be_a_condition_without_the_rest(store: Store, table: str) -> None:
    query = forward(store, table, "f.id") + sql.SQL(" where f.reason is null")
    assert "jsonb" not in plan(store.conn, query)


def days(conn: psycopg.Connection) -> None:
    """Replace the one partition by a few days, filled so that a scan of everything would not pay."""
    conn.execute("drop table unified.every_time")
    for lower, upper in pairwise(DAYS):
        name = sql.Identifier("unified", "p" + lower.replace("-", ""))
        conn.execute(
            sql.SQL("create table {} partition of unified.event_metric_events for values from ({}) to ({})").format(
                name, sql.Literal(lower + "+00"), sql.Literal(upper + "+00")
            )
        )
    conn.execute(
        "insert into unified.event_metric_events (id, event_type, event_category, source_system, event_timestamp)"
        " select case n % 10 when 1 then maintenance.v8_id(2, n) when 2 then maintenance.v8_id(4, n)"
        "  when 3 then maintenance.v8_id(5, n) else gen_random_uuid() end,"
        " 'cache_hit', (array['cache', 'validation', 'monitoring', 'dlq'])[1 + case when n % 10 < 4 then n % 10 else 0 end], 's',"
        " timestamptz '2025-06-01+00' + n * interval '1 minute' from generate_series(1, 4300) as n"
    )
    conn.execute("analyze unified.event_metric_events")


def create_view(store: Store, table: str) -> sql.Identifier:
    """Put the compatibility view beside the legacy table."""
    name = sql.Identifier("monitoring", f"{table}_view")
    store.conn.execute(sql.SQL("create view {} as {}").format(name, store.mappings[table].view))
    return name


@pytest.mark.parametrize("table", KEYED)
def test_owns_of_a_bigint_source_reads_the_primary_key(store: Store, table: str) -> None:
    days(store.conn)
    query = sql.SQL("select u.event_data from {} as u where {}(u)").format(
        identifier(TARGET), identifier(store.mappings[table].owns)
    )
    found = plan(store.conn, query)
    code = f"{SOURCES[table][0]:08}"
    assert found.count(f"Index Cond: ((u_1.id >= '{code}-0000-8000-8000-000000000000'") == 1
    assert "Seq Scan" not in found


@pytest.mark.parametrize("table", ["monitoring_events", "cache_metrics_monitoring"])
def test_owns_of_a_uuid_source_is_inlined(store: Store, table: str) -> None:
    query = sql.SQL("select u.id from {} as u where {}(u)").format(identifier(TARGET), identifier(store.mappings[table].owns))
    found = plan(store.conn, query)
    assert "event_category" in found
    assert "maintenance." not in found


@pytest.mark.parametrize("table", TIMED)
def test_a_bound_on_the_old_time_column_prunes(store: Store, table: str) -> None:
    days(store.conn)
    view = create_view(store, table)
    found = plan(
        store.conn, sql.SQL("select * from {} where {} >= '2025-06-03 12:00+00'").format(view, sql.Identifier(TIMED[table]))
    )
    assert "unified.p20250603" in found
    assert "unified.p20250601" not in found
    assert "unified.p20250602" not in found
    assert "maintenance." not in found


@pytest.mark.parametrize("table", SOURCES)
def test_a_view_has_the_old_columns_in_order_and_type(store: Store, table: str) -> None:
    create_view(store, table)
    query = (
        "select attname, format_type(atttypid, atttypmod) from pg_attribute"
        " where attrelid = %s::regclass and attnum > 0 and not attisdropped order by attnum"
    )
    old = store.conn.execute(query, [f"monitoring.{table}"]).fetchall()
    assert store.conn.execute(query, [f"monitoring.{table}_view"]).fetchall() == old


@pytest.mark.parametrize("table", SOURCES)
def test_a_view_shows_the_rows_of_its_source_alone(store: Store, table: str) -> None:
    days(store.conn)
    view = create_view(store, table)
    (shown,) = store.conn.execute(sql.SQL("select count(*) from {}").format(view)).fetchone() or (0,)
    assert shown == {"monitoring_events": 0, "cache_metrics_monitoring": 3010}.get(table, 430)


@pytest.mark.parametrize("table", SOURCES)
@pytest.mark.parametrize("role", ["service_role", "authenticated"])
def test_an_api_role_reads_a_view_without_rights_on_the_schema_maintenance(store: Store, table: str, role: str) -> None:
    view = create_view(store, table)
    store.conn.execute(sql.SQL("grant select on {} to {}").format(view, sql.Identifier(role)))
    store.conn.execute(sql.SQL("set local role {}").format(sql.Identifier(role)))
    store.conn.execute(sql.SQL("select * from {}").format(view))
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        store.conn.execute("select maintenance.v8_id(1, 1)")


@pytest.mark.parametrize("table", KEYED)
def test_one_index_on_the_key_serves_lookups_by_every_old_bigint_id(store: Store, table: str) -> None:
    days(store.conn)
    view = create_view(store, table)
    store.conn.execute(
        "create index on unified.event_metric_events (maintenance.v8_key(id))"
        " where id between '00000001-0000-8000-8000-000000000000' and '0000ffff-0000-8000-bfff-ffffffffffff'"
    )
    store.conn.execute("analyze unified.event_metric_events")
    found = plan(store.conn, sql.SQL("select * from {} where id = 3").format(view))
    assert found.count("_v8_key_idx on") == found.count("Index Cond") == len(DAYS) - 1


def test_two_workers_take_different_rows_through_the_view(make_database: Callable[..., str]) -> None:
    dsn = make_database()
    mappings = mapping.prepare(dsn)
    take = "select id from monitoring.dlq_view where status = 'pending' order by created_at limit 1 for update skip locked"
    with psycopg.connect(dsn) as one, psycopg.connect(dsn) as two:
        one.execute(sql.SQL("create view monitoring.dlq_view as {}").format(mappings["dlq_table"].view))
        one.execute(
            "insert into unified.event_metric_events (id, event_type, event_category, source_system, event_timestamp)"
            " select maintenance.v8_id(5, n), 'dead_letter', 'dlq', 'supabase', timestamptz '2025-06-01+00' + n * interval '1 hour'"
            " from generate_series(1, 3) as n"
        )
        one.commit()
        taken = [conn.execute(take).fetchone() for conn in (one, two, one, two)]
    assert taken == [(1,), (2,), (1,), (2,)]


def test_the_same_rows_map_alike_under_any_session_settings_of_a_client(store: Store) -> None:
    run(store.conn, "core/session_settings")
    store.put(
        "dlq_table",
        [{"id": "1", "original_payload": "{}", "created_at": "2025-06-01 00:00+00", "last_retry_at": "2025-06-02 00:00+00"}],
    )
    store.load("dlq_table")
    before = store.backward("dlq_table")
    store.conn.execute("set local datestyle = 'SQL, DMY'")
    assert len(store.backward("dlq_table")) == len(before)
    store.conn.execute("set local timezone = 'Asia/Kathmandu'")
    (row,) = store.conn.execute(
        sql.SQL("select b.last_retry_at = '2025-06-02 00:00+00' from {} as u, {}(u) as b").format(
            identifier(TARGET), identifier(store.mappings["dlq_table"].backward)
        )
    ).fetchall()
    assert row == (True,)
