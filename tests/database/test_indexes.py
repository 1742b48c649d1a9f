"""Declared indexes: none built on the parent, each partition built concurrently, attached, found again and repaired (D5)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from tasks.core.declaration import Declaration
from tasks.core.errors import LockBusy, NotDeclared, UnsuitableRelation
from tasks.core.sqlfiles import run
from tasks.partitions import index_build, indexes
from tasks.partitions.create import CreationResult, ensure_partitions
from tasks.partitions.index_build import IndexFailed
from tasks.partitions.indexes import IndexDiffers, IndexResult, InvalidIndex, ensure_indexes

AS_OF = datetime(2025, 8, 10, 15, tzinfo=UTC)
SCHEMA = """
create schema app;
create table app.readings (
    id bigint not null, at timestamptz not null, kind text not null, note text, value integer, primary key (id, at)
) partition by range (at);
"""
FILLED = """
create table app.readings_a partition of app.readings for values from ('2025-08-09Z') to ('2025-08-10Z');
create table app.readings_b partition of app.readings for values from ('2025-08-10Z') to ('2025-08-11Z');
insert into app.readings select i, '2025-08-09Z'::timestamptz + i * interval '1 minute', 'k' || i % 7, 'n' || i, i
from generate_series(1, 2000) i;
"""
BY_KIND: dict[str, Any] = {"columns": "kind, at desc", "why": "w"}
DECLARED: dict[str, Any] = {
    "readings_kind": BY_KIND,
    "readings_time": {"columns": "at", "using": "brin", "options": {"pages_per_range": 16}, "why": "w"},
    "readings_large": {"columns": "value", "where": "value > 1000 and kind in ('k1', 'k2')", "why": "w"},
    "readings_note": {
        "columns": "to_tsvector('english', note)",
        "using": "gin",
        "build": "after_load",
        "why": "w",
    },
    "readings_off": {"columns": "note", "build": "off", "why": "w"},
}


def declare(declared: dict[str, Any] | None = None) -> Declaration:
    table = {
        "why": "w",
        "owner": "o",
        "partitioning": {"by": "at", "every": "day", "ahead": "P1D"},
        "indexes": DECLARED if declared is None else declared,
    }
    return Declaration.model_validate({"tables": {"app.readings": table}})


@pytest.fixture
def dsn(make_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> str:
    made = make_database(sets=())
    monkeypatch.setenv("DATABASE_URL", made)
    return made


@pytest.fixture
def empty(dsn: str) -> Iterator[psycopg.Connection]:
    """A parent without partitions."""
    with psycopg.connect(dsn, autocommit=True, application_name="the application") as conn:
        conn.execute(SCHEMA)
        yield conn


@pytest.fixture
def app(empty: psycopg.Connection) -> psycopg.Connection:
    """A parent with two partitions that hold rows."""
    empty.execute(FILLED)
    return empty


def ensure(declared: dict[str, Any] | None = None, **more: Any) -> list[tuple[str, str, int]]:
    found = ensure_indexes("app.readings", declare(declared), more.pop("phase", "before_attach"), **more)
    return [(result.index, result.outcome, result.built) for result in found]


def validity(conn: psycopg.Connection, table: str) -> dict[str, bool]:
    rows = conn.execute(
        "select x.relname, i.indisvalid from pg_index i join pg_class x on x.oid = i.indexrelid where i.indrelid = %s::regclass",
        [f"app.{table}"],
    )
    return dict(rows.fetchall())


def invalid(conn: psycopg.Connection) -> list[str]:
    rows = conn.execute("select indexrelid::regclass::text from pg_index where not indisvalid order by 1")
    return [name for (name,) in rows]


def interrupt_a_build(conn: psycopg.Connection, dsn: str, statement: str) -> None:
    """Leave an invalid index behind, as a CREATE INDEX CONCURRENTLY does that is cancelled while it waits for a writer."""
    with psycopg.connect(dsn, autocommit=True) as writer, writer.transaction():
        writer.execute("update app.readings set note = note where id = 1")
        conn.execute("set statement_timeout = '300ms'")
        with pytest.raises(psycopg.errors.QueryCanceled):
            conn.execute(statement)
        conn.execute("reset statement_timeout")


def test_on_a_parent_without_partitions_every_declared_index_is_valid_at_once(empty: psycopg.Connection) -> None:
    assert ensure() == [("readings_kind", "created", 0), ("readings_time", "created", 0), ("readings_large", "created", 0)]
    assert validity(empty, "readings") == {
        "readings_pkey": True,
        "readings_kind": True,
        "readings_time": True,
        "readings_large": True,
    }


def test_on_a_filled_table_each_partition_is_built_and_attached_and_the_parent_ends_valid(app: psycopg.Connection) -> None:
    assert ensure() == [("readings_kind", "created", 2), ("readings_time", "created", 2), ("readings_large", "created", 2)]

    assert invalid(app) == []
    assert [len(validity(app, name)) for name in ("readings", "readings_a", "readings_b")] == [4, 4, 4]
    attached = app.execute("select count(*) from pg_inherits h join pg_index i on i.indexrelid = h.inhrelid").fetchone()
    assert attached == (8,)


def test_a_second_run_builds_nothing(app: psycopg.Connection) -> None:
    ensure()
    before = app.execute("select array_agg(oid order by oid) from pg_class where relkind in ('i', 'I')").fetchone()

    assert ensure() == [("readings_kind", "present", 0), ("readings_time", "present", 0), ("readings_large", "present", 0)]

    assert app.execute("select array_agg(oid order by oid) from pg_class where relkind in ('i', 'I')").fetchone() == before


def test_each_phase_builds_its_own_and_off_is_never_built(app: psycopg.Connection) -> None:
    assert ensure(phase="after_load") == [("readings_note", "created", 2)]
    assert "readings_note" in validity(app, "readings")
    ensure()
    assert "readings_off" not in validity(app, "readings")


def test_the_definition_is_the_declared_one(app: psycopg.Connection) -> None:
    ensure()
    ensure(phase="after_load")

    rows = app.execute(
        "select indexdef from pg_indexes where tablename = 'readings' and indexname <> 'readings_pkey' order by 1"
    )
    assert [row[0].partition(" USING ")[2] for row in rows] == [
        "btree (kind, at DESC)",
        "btree (value) WHERE ((value > 1000) AND (kind = ANY (ARRAY['k1'::text, 'k2'::text])))",
        "gin (to_tsvector('english'::regconfig, note))",
        "brin (at) WITH (pages_per_range='16')",
    ]


@pytest.mark.parametrize(
    "where", ["kind in ('k1', 'k''2')", "kind not in ('a,b', 'k2') and kind in ('k1', 'k3')", "kind::varchar(3) in ('k1')"]
)
def test_a_predicate_over_a_varchar_is_built_attached_and_found_again(app: psycopg.Connection, where: str) -> None:
    app.execute("alter table app.readings alter column kind type varchar(50)")
    declared = {"readings_some": {"columns": "at desc", "where": where, "why": "w"}}

    assert ensure(declared) == [("readings_some", "created", 2)]
    assert ensure(declared) == [("readings_some", "present", 0)]
    unattached = "select count(*) from pg_index where indrelid = 'app.readings_a'::regclass and not indisvalid"
    assert app.execute(unattached.encode()).fetchall() == [(0,)]


def test_writers_go_on_while_an_index_is_built(app: psycopg.Connection, dsn: str) -> None:
    stop, written, errors = threading.Event(), [0], list[Exception]()

    def write() -> None:
        with psycopg.connect(dsn, autocommit=True) as conn:
            conn.execute("set lock_timeout = '1s'")
            while not stop.is_set():
                try:
                    conn.execute(
                        "insert into app.readings values (%s, '2025-08-10 12:00Z', 'w', 'n', 1)", [10_000 + written[0]]
                    )
                except psycopg.Error as error:
                    errors.append(error)
                written[0] += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        ensure()
    finally:
        stop.set()
        writer.join()
    assert not errors
    assert written[0] > 0
    app.execute("set enable_seqscan = off")
    assert app.execute("select count(*) from app.readings where kind = 'w'").fetchone() == (written[0],)


def test_an_index_left_invalid_is_removed_and_built_again(app: psycopg.Connection, dsn: str) -> None:
    interrupt_a_build(app, dsn, "create index concurrently left_over on app.readings_a (kind, at desc)")
    assert invalid(app) == ["app.left_over"]

    assert ensure({"readings_kind": BY_KIND}) == [("readings_kind", "created", 2)]

    assert invalid(app) == []
    assert "left_over" not in validity(app, "readings_a")


def test_a_run_that_was_interrupted_is_completed_by_the_next(app: psycopg.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed after building on the second partition and before attaching there: what was built is kept."""
    whole, attached = index_build.attach, list[str]()

    def die_at_the_second(target: Any, partition: Any, candidate: Any) -> None:
        attached.append(candidate["name"])
        if len(attached) == 2:
            raise KeyboardInterrupt
        whole(target, partition, candidate)

    monkeypatch.setattr(index_build, "attach", die_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        ensure({"readings_kind": BY_KIND})
    assert invalid(app) == ["app.readings_kind"]
    monkeypatch.setattr(index_build, "attach", whole)
    built = app.execute("select 'app.readings_b_kind_at_idx'::regclass::oid").fetchone()

    assert ensure({"readings_kind": BY_KIND}) == [("readings_kind", "completed", 1)]

    assert invalid(app) == []
    assert app.execute("select 'app.readings_b_kind_at_idx'::regclass::oid").fetchone() == built


def test_a_partition_made_meanwhile_has_the_index_already(app: psycopg.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    def create_only(*_: object) -> int:
        return 0

    monkeypatch.setattr(indexes, "complete", create_only)
    ensure({"readings_kind": BY_KIND})
    monkeypatch.undo()
    monkeypatch.setenv("DATABASE_URL", app.info.dsn + f" password={app.info.password}")

    result = ensure_partitions("app.readings", declare({"readings_kind": BY_KIND}), AS_OF)

    assert isinstance(result, CreationResult)
    assert [c.name for c in result.created] == ["readings_p20250811"]
    assert result.indexes == (IndexResult("app.readings", "readings_kind", "completed", 2),)
    assert invalid(app) == []
    assert len(validity(app, "readings_p20250811")) == 2


def test_creation_makes_the_runway_before_it_builds_on_filled_partitions(
    app: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> int:
        raise IndexFailed("i", "p", "the disk is full")

    monkeypatch.setattr(indexes, "complete", fail)

    with pytest.raises(IndexFailed):
        ensure_partitions("app.readings", declare(), AS_OF)

    assert app.execute("select to_regclass('app.readings_p20250811') is not null").fetchone() == (True,)


def test_a_definition_that_differs_from_the_declared_one_is_named_with_both(app: psycopg.Connection) -> None:
    app.execute("create index readings_kind on app.readings (kind)")

    with pytest.raises(IndexDiffers, match=r"is 'USING btree \(kind\)' but is declared as 'USING btree \(kind, at DESC\)'"):
        ensure({"readings_kind": BY_KIND})


def test_an_equal_index_under_another_name_is_not_built_twice(app: psycopg.Connection) -> None:
    app.execute("create index adopted on app.readings (kind, at desc)")

    assert ensure({"readings_kind": BY_KIND}) == [("readings_kind", "present", 0)]
    assert "readings_kind" not in validity(app, "readings")


@pytest.mark.parametrize(
    ("index", "reason"),
    [
        ({"columns": "nothing"}, 'column "nothing" does not exist'),
        ({"columns": "kind, now()"}, "functions in index expression must be marked IMMUTABLE"),
        ({"columns": "kind", "using": "brin", "options": {"fillfactor": 10}}, 'unrecognized parameter "fillfactor"'),
        ({"columns": "kind desc desc"}, "syntax error"),
    ],
)
def test_an_index_that_cannot_be_built_as_declared_is_named(
    empty: psycopg.Connection, index: dict[str, Any], reason: str
) -> None:
    with pytest.raises(InvalidIndex, match=f"The index bad of app.readings cannot be built as declared: {reason}"):
        ensure({"bad": {**index, "why": "w"}})

    assert validity(empty, "readings") == {"readings_pkey": True}
    assert empty.execute("select count(*) from pg_class where relname like 'index_probe%'").fetchone() == (0,)


def test_a_name_that_another_relation_has_is_said(empty: psycopg.Connection) -> None:
    empty.execute("create table app.readings_kind ()")

    with pytest.raises(InvalidIndex, match="its schema has another relation called readings_kind"):
        ensure({"readings_kind": BY_KIND})


def test_only_one_session_builds_indexes_of_a_table(app: psycopg.Connection) -> None:
    run(app, "core/try_lock", subject="run:index:app.readings")

    with pytest.raises(LockBusy, match=r"wanted to build indexes on\. Held by: pid \d+ \(the application\)"):
        ensure()

    assert validity(app, "readings") == {"readings_pkey": True}


def test_an_index_that_another_session_is_building_is_left_to_it(app: psycopg.Connection, dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as writer, writer.transaction():
        writer.execute("update app.readings_a set note = note where id = 1")
        builder = threading.Thread(
            target=app.execute, args=("create index concurrently theirs on app.readings_a (kind, at desc)",)
        )
        builder.start()
        try:
            while writer.execute("select count(*) from pg_stat_progress_create_index").fetchone() == (0,):
                writer.execute("select pg_sleep(0.05), pg_stat_clear_snapshot()")
            with pytest.raises(LockBusy, match=r"pid \d+, which is building the same index"):
                ensure({"readings_kind": BY_KIND})
        finally:
            writer.execute("rollback")
            builder.join()
    assert ensure({"readings_kind": BY_KIND}) == [("readings_kind", "completed", 2)]
    assert "theirs" in validity(app, "readings_a")


def test_a_partition_that_is_partitioned_itself_is_named(app: psycopg.Connection) -> None:
    app.execute(
        "create table app.sub partition of app.readings for values from ('2025-01-01Z') to ('2025-02-01Z') partition by list (id)"
    )

    with pytest.raises(UnsuitableRelation, match=r"its partition app\.sub is partitioned itself or foreign"):
        ensure({"readings_kind": BY_KIND})


def test_progress_is_said_for_each_partition(app: psycopg.Connection) -> None:
    said: list[tuple[str, int, int | None]] = []

    ensure({"readings_kind": BY_KIND}, on_progress=lambda *step: said.append(step))

    assert said == [("index readings_kind", 1, 2), ("index readings_kind", 2, 2)]


def test_indexes_of_an_undeclared_table_are_refused(empty: psycopg.Connection) -> None:
    with pytest.raises(NotDeclared, match=r"app\.other"):
        ensure_indexes("app.other", declare(), "before_attach")


def test_an_index_for_after_the_load_waits_for_the_cutover_of_its_migration(empty: psycopg.Connection) -> None:
    source = {"code": 1, "mapping": "m", "time": "at", "aside": "x"}
    migration = {"why": "w", "owner": "o", "target": "app.readings", "span_from": "P1D", "sources": {"l.t": source}}
    declared = declare().model_dump() | {"migrations": {"m": migration}}
    declaration = Declaration.model_validate(declared)

    before = ensure_partitions("app.readings", declaration, AS_OF)
    empty.execute("insert into maintenance.migration (name, target, phase) values ('m', 'app.readings', 'cut_over')")
    after = ensure_partitions("app.readings", declaration, AS_OF)

    assert isinstance(before, CreationResult)
    assert isinstance(after, CreationResult)
    assert "readings_note" not in {result.index for result in before.indexes}
    assert "readings_note" in {result.index for result in after.indexes}


def test_a_table_that_only_maintenance_writes_gets_its_index_by_plain_builds(empty: psycopg.Connection) -> None:
    empty.execute(FILLED)

    (result,) = ensure_indexes("app.readings", declare(), "after_load", is_quiet=True)

    assert (result.outcome, result.built) == ("created", 2)
    assert empty.execute("select count(*) from pg_index where not indisvalid").fetchone() == (0,)
    (again,) = ensure_indexes("app.readings", declare(), "after_load", is_quiet=True)
    assert again.outcome == "present"


def test_a_plain_build_that_was_interrupted_is_finished(empty: psycopg.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    empty.execute(FILLED)
    monkeypatch.setattr(index_build, "attach_built", lambda *_: None)
    with pytest.raises(IndexFailed):
        ensure_indexes("app.readings", declare(), "after_load", is_quiet=True)
    monkeypatch.undo()
    monkeypatch.setenv("DATABASE_URL", f"{empty.info.dsn} password={empty.info.password}")

    (result,) = ensure_indexes("app.readings", declare(), "after_load", is_quiet=True)

    assert result.outcome == "completed"
    assert empty.execute("select count(*) from pg_index where not indisvalid").fetchone() == (0,)
