"""A mapping is installed once per version, and a table it does not fit is refused by name."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import sql

from tasks.core.errors import MissingRelation
from tasks.core.names import LONGEST_NAME_BYTES, Relation
from tasks.core.sqlfiles import InvalidSqlFile, identifier
from tasks.migration.sources import (
    ColumnMissing,
    Mapping,
    MappingRefused,
    ZoneUnknown,
    combined_version,
    install_mapping,
    read_mapping,
)
from tests.database.mapping import SPAN, TARGET, Store


@pytest.fixture
def conn(store: Store) -> psycopg.Connection:
    return store.conn


def install(conn: psycopg.Connection, table: str = "events", **changed: object) -> Mapping:
    given = {"source": Relation("monitoring", table), "target": TARGET, "code": 4, "zone": "UTC", **changed}
    migration, mapping = str(given.pop("migration", "event_store")), str(given.pop("mapping", table))
    return install_mapping(conn, migration, mapping, **given)  # pyright: ignore[reportArgumentType]


def forward(conn: psycopg.Connection, mapping: Mapping) -> list[tuple[str, str]]:
    query = sql.SQL("select f.event_type, f.created_at::date::text from {} as l cross join lateral {}(l, %s, %s) as f")
    return conn.execute(query.format(identifier(mapping.source), identifier(mapping.forward)), SPAN).fetchall()


def functions(conn: psycopg.Connection) -> int:
    query = "select count(*) from pg_proc where pronamespace = 'maintenance'::regnamespace"
    return (conn.execute(query).fetchone() or (0,))[0]


def test_a_second_installation_changes_nothing(conn: psycopg.Connection) -> None:
    first, before = install(conn), functions(conn)
    assert install(conn) == first
    assert functions(conn) == before


def test_reading_creates_nothing_and_names_the_same_functions(conn: psycopg.Connection) -> None:
    before = functions(conn)
    read = read_mapping(conn, "other", "events", source=Relation("monitoring", "events"), target=TARGET, code=9, zone="UTC")
    assert functions(conn) == before
    assert install(conn, migration="other", code=9) == read


@pytest.mark.parametrize("changed", [{"code": 6}, {"zone": "Europe/Berlin"}])
def test_the_version_changes_with_code_and_zone(conn: psycopg.Connection, changed: dict[str, object]) -> None:
    assert install(conn, **changed).version != install(conn).version


def test_the_version_changes_with_the_columns_of_either_side(conn: psycopg.Connection) -> None:
    conn.execute(
        "create table monitoring.wider (like monitoring.dlq_table);"
        "alter table monitoring.wider alter column status type varchar(30);"
        "create table unified.wider (like unified.event_metric_events);"
        "alter table unified.wider alter column priority type bigint"
    )
    given = {"mapping": "dlq_table", "code": 5}
    changed = [{}, {"source": Relation("monitoring", "wider")}, {"target": Relation("unified", "wider")}]
    assert len({install(conn, "dlq_table", **given, **one).version for one in changed}) == 3


def test_the_version_of_a_migration_changes_with_each_mapping_and_their_order(conn: psycopg.Connection) -> None:
    one, two, other = install(conn), install(conn, "dlq_table", code=5), install(conn, "dlq_table", code=6)
    assert len({combined_version(pair) for pair in ((one, two), (two, one), (one, other))}) == 3


def test_a_long_migration_name_is_cut_in_its_functions_alone(conn: psycopg.Connection) -> None:
    names = install(conn, migration="é" * 31, code=65535)
    for function in (names.forward, names.backward, names.owns):
        assert len(function.name.encode()) <= LONGEST_NAME_BYTES
        assert function.name.endswith(names.version[:8])


def test_columns_in_another_order_are_mapped_by_name(conn: psycopg.Connection) -> None:
    conn.execute(
        "create table monitoring.shuffled (created_at timestamptz, timestamp timestamptz, type text, data jsonb, id bigint);"
        "insert into monitoring.shuffled values ('2025-02-02', '2025-02-01', 'tool', '{}', 7)"
    )
    mapping = install(conn, source=Relation("monitoring", "shuffled"))
    assert forward(conn, mapping) == [("tool", "2025-02-02")]


def test_rows_of_a_view_under_the_old_name_are_mapped_alike(conn: psycopg.Connection) -> None:
    conn.execute("create view monitoring.events_view as select * from monitoring.events")
    view = install(conn, source=Relation("monitoring", "events_view"))
    assert (view.version, view.forward) == (install(conn).version, install(conn).forward)
    assert forward(conn, view) == []


def test_a_renamed_table_keeps_its_functions(conn: psycopg.Connection) -> None:
    install(conn)
    before = functions(conn)
    conn.execute("alter table monitoring.events rename to events_legacy")
    install(conn, source=Relation("monitoring", "events_legacy"))
    assert functions(conn) == before


def test_a_missing_legacy_column_is_named(conn: psycopg.Connection) -> None:
    conn.execute("create table monitoring.short as select id, type, data, created_at from monitoring.events")
    before = functions(conn)
    with pytest.raises(ColumnMissing, match=r"monitoring\.short has no column timestamp, which sql/legacy/events/forward\.sql"):
        install(conn, source=Relation("monitoring", "short"))
    assert functions(conn) == before


def test_a_missing_target_column_is_named(conn: psycopg.Connection) -> None:
    conn.execute(
        "create table unified.short as select id, event_type, event_data, event_timestamp from unified.event_metric_events"
    )
    with pytest.raises(ColumnMissing, match=r"unified\.short has no column created_at, which sql/legacy/events/backward\.sql"):
        install(conn, target=Relation("unified", "short"))


def test_a_legacy_column_that_no_mapping_gives_back_is_refused(conn: psycopg.Connection) -> None:
    conn.execute("create table monitoring.wide as select *, 1 as extra from monitoring.events")
    before = functions(conn)
    with pytest.raises(MappingRefused, match=r"events of monitoring\.wide does not fit: column m\.extra does not exist"):
        install(conn, source=Relation("monitoring", "wide"))
    assert functions(conn) == before


def test_a_legacy_column_of_another_type_is_refused(conn: psycopg.Connection) -> None:
    conn.execute("create table monitoring.odd as select id, type, data::text, timestamp, created_at from monitoring.events")
    with pytest.raises(MappingRefused, match=r"events of monitoring\.odd does not fit.*sql/legacy/events/forward\.sql"):
        install(conn, source=Relation("monitoring", "odd"))


def test_a_target_column_of_another_type_is_refused(conn: psycopg.Connection) -> None:
    conn.execute(
        "create table unified.odd as select * from unified.event_metric_events;"
        "alter table unified.odd drop column priority; alter table unified.odd add column priority boolean"
    )
    with pytest.raises(MappingRefused, match=r"return type mismatch.*Compare the columns of unified\.odd"):
        install(conn, target=Relation("unified", "odd"))


def test_an_unknown_zone_is_refused(conn: psycopg.Connection) -> None:
    with pytest.raises(ZoneUnknown, match=r"monitoring\.events: this server does not know the time zone 'Europe/Atlantis'"):
        install(conn, zone="Europe/Atlantis")


def test_an_absent_table_or_mapping_is_named(conn: psycopg.Connection) -> None:
    with pytest.raises(MissingRelation, match=r"monitoring\.nothing does not exist"):
        install(conn, source=Relation("monitoring", "nothing"))
    with pytest.raises(InvalidSqlFile, match=r"sql/legacy/nothing/forward\.sql: there is no such file"):
        install(conn, mapping="nothing")


def test_a_missing_right_stays_what_it_is(conn: psycopg.Connection) -> None:
    conn.execute("set local role service_role")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        install(conn, migration="other")
