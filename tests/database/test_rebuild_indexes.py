"""rebuild_indexes: each finding planted and reported, what is due built while the table is written, the rest left alone (D5)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg import sql

from tasks.core.connect import Kind, Timeouts
from tasks.core.declaration import Declaration
from tasks.core.errors import LockBusy, NotDeclared
from tasks.core.ledger import Deferred
from tasks.core.sqlfiles import run
from tasks.partitions import index_build
from tasks.partitions.index_findings import Finding
from tasks.partitions.indexes import ensure_indexes
from tasks.partitions.rebuild import IndexReport, RebuildResult, RebuildUnfinished, rebuild_indexes_of
from tasks.partitions.rebuild_text import index_report

AS_OF = datetime(2026, 11, 24, tzinfo=UTC)
TABLE = "app.readings"
SCHEMA = """
create schema app;
create table app.readings (
    id bigint not null, at timestamptz not null, kind text not null, note text, primary key (id, at)
) partition by range (at);
create table app.readings_a partition of app.readings for values from ('2025-08-09Z') to ('2025-08-10Z');
create table app.readings_b partition of app.readings for values from ('2025-08-10Z') to ('2025-08-11Z');
create table app.readings_c partition of app.readings for values from ('2025-08-11Z') to ('2025-08-12Z');
insert into app.readings select i, '2025-08-09Z'::timestamptz + i * interval '2 minutes', 'k' || i % 7, 'n' || i
from generate_series(1, 2000) i;
create index readings_kind on app.readings (kind, at desc);
"""
BY_KIND: dict[str, Any] = {"readings_kind": {"columns": "kind, at desc", "why": "w"}}
LACKING = """
select c.relname, x.relname from pg_index i
join pg_class x on x.oid = i.indexrelid
cross join (select inhrelid from pg_inherits where inhparent = 'app.readings'::regclass) p
join pg_class c on c.oid = p.inhrelid
where i.indrelid = 'app.readings'::regclass and not exists (
    select from pg_inherits h join pg_index o on o.indexrelid = h.inhrelid
    where h.inhparent = i.indexrelid and o.indrelid = p.inhrelid and o.indisvalid
)
order by 1, 2
"""


def declare(indexes: dict[str, Any] | None = None, **more: Any) -> Declaration:
    table = {
        "why": "w",
        "owner": "o",
        "partitioning": {"by": "at", "every": "day", "ahead": "P1D"},
        "indexes": BY_KIND if indexes is None else indexes,
    }
    return Declaration.model_validate({"tables": {TABLE: table}, **more})


@pytest.fixture
def dsn(make_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> str:
    made = make_database(sets=())
    monkeypatch.setenv("DATABASE_URL", made)
    return made


@pytest.fixture
def app(dsn: str) -> Iterator[psycopg.Connection]:
    """A table whose three partitions hold rows and have every index."""
    with psycopg.connect(dsn, autocommit=True, application_name="the application") as conn:
        conn.execute(SCHEMA)
        yield conn


def rebuild(indexes: dict[str, Any] | None = None, **hooks: Any) -> RebuildResult:
    result = rebuild_indexes_of(TABLE, declare(indexes), AS_OF, **hooks)
    assert isinstance(result, RebuildResult)
    return result


def findings(result: RebuildResult, *kinds: str) -> list[tuple[str, str, str]]:
    return [(f.kind, f.relation, f.index) for f in result.findings if not kinds or f.kind in kinds]


def invalid(conn: psycopg.Connection) -> list[str]:
    return [name for (name,) in conn.execute("select indexrelid::regclass::text from pg_index where not indisvalid order by 1")]


def indexes_of(conn: psycopg.Connection) -> set[int]:
    return {
        oid
        for (oid,) in conn.execute(
            "select oid from pg_class where relkind in ('i', 'I') and relnamespace = 'app'::regnamespace"
        )
    }


def require_healthy(conn: psycopg.Connection) -> None:
    assert invalid(conn) == []
    assert conn.execute(LACKING).fetchall() == []


def require_nothing_due(indexes: dict[str, Any] | None = None) -> None:
    again = rebuild(indexes)
    assert (again.outcome, again.created, again.built, again.dropped) == ("nothing due", (), (), ())
    assert [finding for finding in again.findings if finding.is_due] == []


def interrupt(conn: psycopg.Connection, dsn: str, statement: LiteralString, row: LiteralString = "id = 1") -> None:
    """Let a concurrent build be cancelled while it waits for a writer, which leaves an invalid index behind."""
    with psycopg.connect(dsn, autocommit=True) as writer, writer.transaction():
        writer.execute(sql.SQL("update app.readings set note = note where {}").format(sql.SQL(row)))
        conn.execute("set statement_timeout = '300ms'")
        with pytest.raises(psycopg.errors.QueryCanceled):
            conn.execute(statement)
        conn.execute("reset statement_timeout")


@contextmanager
def writing(dsn: str, statement: LiteralString = "update app.readings set note = note where id = 1") -> Iterator[None]:
    """Hold a transaction open that has written."""
    with psycopg.connect(dsn, autocommit=True, application_name="a slow writer") as writer, writer.transaction():
        writer.execute(statement)
        yield


def test_a_healthy_table_has_nothing_due_and_nothing_is_touched(app: psycopg.Connection) -> None:
    before = indexes_of(app)

    result = rebuild()

    assert (result.outcome, result.is_complete) == ("nothing due", True)
    assert findings(result) == [("unused", TABLE, "readings_kind")]
    assert indexes_of(app) == before


def test_an_index_that_one_partition_lacks_is_reported_built_and_attached(app: psycopg.Connection) -> None:
    app.execute("create index readings_note on only app.readings (note)")
    for part in ("a", "b"):
        app.execute(
            sql.SQL("create index {} on app.{} (note)").format(sql.Identifier(f"n_{part}"), sql.Identifier(f"readings_{part}"))
        )
    app.execute("alter index app.readings_note attach partition app.n_a")
    before = indexes_of(app)

    result = rebuild()

    assert findings(result, "missing", "invalid") == [
        ("missing", "app.readings_b", "readings_note"),
        ("missing", "app.readings_c", "readings_note"),
        ("invalid", TABLE, "readings_note"),
    ]
    assert result.found["missing"] == 2
    assert result.built == ("app.n_b", "app.readings_c_note_idx")
    assert (result.outcome, result.is_complete) == ("rebuilt", True)
    assert before < indexes_of(app)
    require_healthy(app)
    require_nothing_due()


def test_a_declared_index_is_created_on_the_table_and_built_on_each_partition(app: psycopg.Connection) -> None:
    declared = {**BY_KIND, "readings_note": {"columns": "note", "build": "after_load", "why": "w"}}

    result = rebuild(declared)

    assert findings(result, "missing") == [("missing", TABLE, "readings_note")]
    assert (result.created, len(result.built)) == (("app.readings_note",), 3)
    require_healthy(app)
    require_nothing_due(declared)


def test_an_index_that_is_declared_off_is_neither_built_nor_missed(app: psycopg.Connection) -> None:
    assert rebuild({"readings_note": {"columns": "note", "build": "off", "why": "w"}}).outcome == "nothing due"


def test_a_key_of_the_table_that_partitions_lack_is_built_and_attached(app: psycopg.Connection) -> None:
    app.execute("alter table only app.readings add constraint readings_once unique (id, kind, at)")
    app.execute("alter table app.readings_b add constraint own_key unique (id, kind, at)")

    result = rebuild()

    assert len(result.built) == 3
    assert "app.own_key" in result.built
    keys = "select count(*) from pg_constraint where contype = 'u' and conparentid <> 0"
    assert app.execute(keys).fetchone() == (3,)
    require_healthy(app)
    require_nothing_due()


def test_an_interrupted_build_of_a_table_s_index_is_removed_and_built(app: psycopg.Connection, dsn: str) -> None:
    app.execute("create index readings_note on only app.readings (note)")
    interrupt(app, dsn, "create index concurrently half on app.readings_a (note)")

    result = rebuild()

    assert findings(result, "left over") == [("left over", "app.readings_a", "half")]
    assert result.dropped == ("app.half",)
    assert len(result.built) == 3
    require_healthy(app)
    require_nothing_due()


@pytest.mark.parametrize("name", ["readings_a_kind_at_idx_ccnew", "readings_a_kind_at_idx_ccnew1"])
def test_what_an_interrupted_reindex_left_is_reported_and_removed(app: psycopg.Connection, dsn: str, name: str) -> None:
    interrupt(app, dsn, "reindex index concurrently app.readings_a_kind_at_idx")
    if name.endswith("1"):
        interrupt(app, dsn, "reindex index concurrently app.readings_a_kind_at_idx")
    assert f"app.{name}" in invalid(app)

    result = rebuild()

    assert ("left over", "app.readings_a", name) in findings(result)
    assert f"app.{name}" in result.dropped
    require_healthy(app)
    require_nothing_due()


def test_an_old_copy_that_a_reindex_could_not_drop_is_removed(app: psycopg.Connection, dsn: str) -> None:
    """A reader in an open transaction keeps REINDEX CONCURRENTLY from dropping the old copy after the swap."""
    with psycopg.connect(dsn, autocommit=True) as reader, reader.transaction():
        reader.execute("select count(*) from app.readings_a")
        reindex = threading.Thread(target=swallow, args=(app, "reindex index concurrently app.readings_a_kind_at_idx"))
        reindex.start()
        with psycopg.connect(dsn, autocommit=True) as other:
            while "app.readings_a_kind_at_idx_ccold" not in invalid(other):
                other.execute("select pg_sleep(0.02)")
            other.execute("select pg_cancel_backend(%s)", [app.info.backend_pid])
        reindex.join()
    assert invalid(app) == ["app.readings_a_kind_at_idx_ccold"]

    result = rebuild()

    assert result.dropped == ("app.readings_a_kind_at_idx_ccold",)
    require_healthy(app)
    require_nothing_due()


def swallow(conn: psycopg.Connection, statement: LiteralString) -> None:
    try:
        conn.execute(statement)
    except psycopg.errors.QueryCanceled:
        return


def test_an_invalid_unique_index_whose_rows_refuse_it_stays_and_the_run_names_them(app: psycopg.Connection) -> None:
    with pytest.raises(psycopg.errors.UniqueViolation):
        app.execute("create unique index concurrently one_each on app.readings_a (kind)")
    assert invalid(app) == ["app.one_each"]

    with pytest.raises(
        RebuildUnfinished,
        match=r"app\.one_each: The index app\.one_each could not be built.*Key \(kind\)=\(k\d\) is duplicated",
    ):
        rebuild()

    assert invalid(app) == ["app.one_each"], "a copy that the failed attempt made is removed, what a person built is not"


def test_an_invalid_index_of_a_partition_alone_is_built_again_under_its_name(app: psycopg.Connection, dsn: str) -> None:
    interrupt(app, dsn, "create index concurrently own on app.readings_a (note)")

    result = rebuild()

    assert findings(result, "invalid") == [("invalid", "app.readings_a", "own")]
    assert result.built == ("app.own",)
    require_healthy(app)
    require_nothing_due()


def test_an_attached_invalid_index_is_built_again_and_the_table_s_ends_valid(app: psycopg.Connection, dsn: str) -> None:
    app.execute("create index readings_note on only app.readings (note)")
    interrupt(app, dsn, "create index concurrently n_a on app.readings_a (note)")
    app.execute("alter index app.readings_note attach partition app.n_a")
    app.execute("create index n_b on app.readings_b (note)")
    app.execute("create index n_c on app.readings_c (note)")
    app.execute("alter index app.readings_note attach partition app.n_b")
    app.execute("alter index app.readings_note attach partition app.n_c")
    assert invalid(app) == ["app.n_a", "app.readings_note"]

    result = rebuild()

    assert ("invalid", "app.readings_a", "n_a") in findings(result)
    assert result.built == ("app.n_a",)
    require_healthy(app)
    require_nothing_due()


def test_a_table_s_index_that_was_never_marked_valid_is(app: psycopg.Connection, dsn: str) -> None:
    """The leaf was attached invalid and rebuilt by hand: nothing told the table's index."""
    app.execute("create index readings_note on only app.readings (note)")
    interrupt(app, dsn, "create index concurrently n_a on app.readings_a (note)")
    for part in ("b", "c"):
        app.execute(
            sql.SQL("create index {} on app.{} (note)").format(sql.Identifier(f"n_{part}"), sql.Identifier(f"readings_{part}"))
        )
    for part in ("a", "b", "c"):
        app.execute(sql.SQL("alter index app.readings_note attach partition app.{}").format(sql.Identifier(f"n_{part}")))
    app.execute("reindex index concurrently app.n_a")
    assert invalid(app) == ["app.readings_note"]

    result = rebuild()

    assert findings(result, "invalid") == [("invalid", TABLE, "readings_note")]
    require_healthy(app)
    require_nothing_due()


def test_duplicate_and_redundant_indexes_are_reported_and_stay(app: psycopg.Connection) -> None:
    app.execute("create index twice on app.readings (kind, at desc)")
    app.execute("create index narrow on app.readings (kind)")
    app.execute("create index narrow_of_some on app.readings (kind) where kind > 'k'")
    app.execute("create index other_order on app.readings (kind desc)")
    app.execute("create index on_one on app.readings_b (kind, at desc)")
    before = indexes_of(app)

    result = rebuild()

    assert findings(result, "duplicate", "redundant") == [
        ("duplicate", TABLE, "twice"),
        ("duplicate", "app.readings_b", "on_one"),
        ("redundant", TABLE, "narrow"),
    ]
    assert indexes_of(app) == before


def test_an_index_is_unused_until_a_partition_s_is_scanned_and_stays(app: psycopg.Connection) -> None:
    app.execute("create index readings_note on app.readings (note)")
    before = indexes_of(app)
    (unused,) = [f for f in rebuild().findings if f.index == "readings_note"]
    assert (unused.kind, unused.act) == ("unused", "none")
    assert unused.reason.startswith("no scan on any of 3 partitions since the statistics began")

    app.execute("set enable_seqscan = off")
    app.execute("select from app.readings where note = 'n7' and at < '2025-08-10Z'")
    app.execute("select pg_stat_force_next_flush()")
    app.execute("select 1")
    assert [f for f in rebuild().findings if f.index == "readings_note"] == []
    assert indexes_of(app) == before


def test_unused_says_how_old_the_statistics_are(app: psycopg.Connection, server: Any, dsn: str) -> None:
    name = psycopg.conninfo.conninfo_to_dict(dsn)["dbname"]
    with psycopg.connect(psycopg.conninfo.make_conninfo(server.superuser_dsn, dbname=name), autocommit=True) as root:
        root.execute("select pg_stat_reset()")

    (unused,) = rebuild().findings

    assert f" since {datetime.now(UTC):%Y-%m-%d}" in unused.reason
    assert "days of statistics" in unused.reason


def test_a_partition_on_its_way_out_is_left_alone_with_the_reason(app: psycopg.Connection) -> None:
    app.execute("create index readings_note on only app.readings (note)")
    app.execute(
        "insert into maintenance.retirement (parent, partition, partition_oid, state, reason, due_at) "
        "values ('app.readings', 'app.readings_a', 'app.readings_a'::regclass, 'detaching', 'old', now())"
    )

    result = rebuild()

    assert findings(result, "left alone") == [("left alone", "app.readings_a", "readings_note")]
    assert [f.reason for f in result.findings if f.kind == "left alone"] == ["retention is taking it out (detaching)"]
    assert (len(result.built), result.is_complete) == (2, False)
    assert app.execute("select count(*) from pg_index where indrelid = 'app.readings_a'::regclass").fetchone() == (2,)
    again = rebuild()
    assert (again.outcome, again.built) == ("left alone", ())


def test_a_partition_whose_detach_is_pending_is_left_alone(app: psycopg.Connection, dsn: str) -> None:
    app.execute("create index readings_note on only app.readings (note)")
    with psycopg.connect(dsn, autocommit=True) as reader, reader.transaction():
        reader.execute("select count(*) from app.readings")
        app.execute("set lock_timeout = '300ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            app.execute("alter table app.readings detach partition app.readings_a concurrently")

    result = rebuild()

    assert [f.reason for f in result.findings if f.kind == "left alone"] == [
        "its detach is pending; enforce_retention finishes it"
    ]
    assert len(result.built) == 2
    assert app.execute("select inhdetachpending from pg_inherits where inhrelid = 'app.readings_a'::regclass").fetchone() == (
        True,
    )


def test_a_partition_that_retention_takes_out_meanwhile_is_no_failure(
    app: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.execute("create index readings_note on only app.readings (note)")
    whole = index_build.attach

    def attach(target: Any, partition: Any, candidate: Any) -> None:
        if partition.name == "readings_a":
            app.execute("alter table app.readings detach partition app.readings_a")
        whole(target, partition, candidate)

    monkeypatch.setattr(index_build, "attach", attach)

    assert len(rebuild().built) == 2
    require_healthy(app)


def test_an_index_that_differs_fails_by_name_and_the_others_are_built(app: psycopg.Connection) -> None:
    app.execute("create index readings_note on only app.readings (note)")

    with pytest.raises(RebuildUnfinished, match=r"app\.readings_kind: it is 'USING btree \(kind, at DESC\)' and declared as"):
        rebuild({"readings_kind": {"columns": "kind", "why": "w"}})

    require_healthy(app)


def test_a_declaration_that_cannot_be_built_fails_by_name_and_the_others_are_built(app: psycopg.Connection) -> None:
    with pytest.raises(
        RebuildUnfinished, match=r'bad: The index bad of app\.readings cannot .*column "nothing" does not exist'
    ):
        rebuild({"bad": {"columns": "nothing", "why": "w"}, "readings_note": {"columns": "note", "why": "w"}})

    assert app.execute("select indisvalid from pg_index where indexrelid = 'app.readings_note'::regclass").fetchone() == (True,)


def test_a_build_that_waits_too_long_names_who_is_in_the_way(
    app: psycopg.Connection, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Kind.CONCURRENT, "_value_", Timeouts(500, 60_000, 60_000))
    app.execute("create index readings_note on only app.readings (note)")

    with (
        writing(dsn),
        pytest.raises(RebuildUnfinished, match=r"Held by: pid \d+ \(maintainer, a slow writer, idle in transaction"),
    ):
        rebuild()

    assert rebuild().outcome == "rebuilt"
    require_healthy(app)


def test_two_runs_at_once_are_safe_and_the_second_says_who_is_at_work(app: psycopg.Connection, dsn: str) -> None:
    app.execute("create index readings_note on only app.readings (note)")
    said = threading.Event()
    first: list[RebuildResult] = []
    with writing(dsn):
        runner = threading.Thread(target=lambda: first.append(rebuild(on_report=lambda _: said.set())))
        runner.start()
        assert said.wait(20)
        second = rebuild_indexes_of(TABLE, declare(), AS_OF)
        with pytest.raises(LockBusy, match="build indexes on"):
            ensure_indexes(TABLE, declare({"x": {"columns": "note, id", "why": "w"}}), "before_attach")
    runner.join()

    assert isinstance(second, Deferred)
    assert "of rebuild_indexes since" in second.reason
    assert len(first[0].built) == 3
    require_healthy(app)


def test_a_build_that_waits_for_a_writer_keeps_no_other_writer_waiting(app: psycopg.Connection, dsn: str) -> None:
    app.execute("create index readings_note on only app.readings (note)")
    app.execute("set lock_timeout = '300ms'")
    waiting = (
        "select count(*) from pg_stat_activity where application_name like 'maintenance rebuild%' and wait_event_type = 'Lock'"
    )
    with writing(dsn):
        runner = threading.Thread(target=rebuild)
        runner.start()
        while app.execute(waiting).fetchone() == (0,):
            app.execute("select pg_sleep(0.05)")
        app.execute("insert into app.readings values (9000, '2025-08-09 12:00Z', 'k', 'n')")
        app.execute("update app.readings set note = 'm' where id = 2")
        app.execute("delete from app.readings where id = 3")
    runner.join()

    require_healthy(app)


def test_a_creation_that_builds_indexes_defers_the_run(app: psycopg.Connection) -> None:
    run(app, "core/try_lock", subject="run:index:app.readings")

    result = rebuild_indexes_of(TABLE, declare(), AS_OF)

    assert isinstance(result, Deferred)
    assert "the application" in result.reason


def test_an_index_that_somebody_is_building_is_not_taken_for_a_left_over(app: psycopg.Connection, dsn: str) -> None:
    with writing(dsn):
        builder = threading.Thread(
            target=app.execute, args=("create index concurrently theirs on app.readings_a (kind, at desc)",)
        )
        builder.start()
        with psycopg.connect(dsn, autocommit=True) as other:
            while other.execute("select count(*) from pg_stat_progress_create_index").fetchone() == (0,):
                other.execute("select pg_sleep(0.05)")
        result = rebuild()
    builder.join()

    assert findings(result, "left alone", "left over") == [("left alone", "app.readings_a", "theirs")]
    assert invalid(app) == []


def test_a_build_whose_progress_is_hidden_is_still_not_dropped(app: psycopg.Connection, dsn: str) -> None:
    """Another role's progress is not shown to everybody: the table's lock tells, and a valid index is never dropped."""
    with psycopg.connect(dsn, autocommit=True) as conn, writing(dsn):
        builder = threading.Thread(
            target=app.execute, args=("create index concurrently theirs on app.readings_a (kind, at desc)",)
        )
        builder.start()
        while "app.theirs" not in invalid(conn):
            conn.execute("select pg_sleep(0.05)")
        relation = index_build.Relation("app", "readings_a")
        with pytest.raises(LockBusy, match="the application"):
            index_build.remove_invalid(conn, relation, relation.sibling("theirs"), budget_s=1)
    builder.join()

    with psycopg.connect(dsn, autocommit=True) as conn:
        assert not index_build.remove_invalid(conn, relation, relation.sibling("theirs"))
    assert app.execute("select indisvalid from pg_index where indexrelid = 'app.theirs'::regclass").fetchone() == (True,)


def test_the_report_says_each_finding_once_with_what_is_done(app: psycopg.Connection) -> None:
    app.execute("create index readings_note on only app.readings (note)")
    said: list[IndexReport] = []

    rebuild(on_report=said.append)

    everywhere = "app.readings_a, app.readings_b, app.readings_c"
    assert index_report(said[0]).split("\n") == [
        "### app.readings: indexes on 3 partitions",
        "",
        "| finding | index | on | why | what is done |",
        "|---|---|---|---|---|",
        f"| missing | readings_note | {everywhere} | the table has it and this partition has not | built concurrently and attached |",
        "| invalid | readings_note | app.readings | 3 of 3 partitions lack it, on 0 it is invalid | attached |",
        next(
            line
            for line in index_report(said[0]).split("\n")
            if line.startswith("| unused | readings_kind | app.readings | no scan")
        ),
    ]


def test_what_the_catalog_does_not_show_at_the_end_is_not_done(
    app: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.execute("create index readings_note on only app.readings (note)")
    monkeypatch.setattr(index_build, "complete", lambda *_: 0)

    with pytest.raises(RebuildUnfinished, match=r"app\.readings_note: missing on app\.readings_a: the table has it"):
        rebuild()


def test_an_index_that_waits_for_the_load_is_not_missed_before_the_cutover(app: psycopg.Connection) -> None:
    source = {"code": 1, "mapping": "m", "time": "at", "aside": "x"}
    migration = {"why": "w", "owner": "o", "target": TABLE, "span_from": "P1D", "sources": {"l.t": source}}
    declared = {**BY_KIND, "readings_note": {"columns": "note", "build": "after_load", "why": "w"}}
    declaration = declare(declared, migrations={"m": migration})

    before = rebuild_indexes_of(TABLE, declaration, AS_OF)
    app.execute("insert into maintenance.migration (name, target, phase) values ('m', 'app.readings', 'cut_over')")
    after = rebuild_indexes_of(TABLE, declaration, AS_OF)

    assert isinstance(before, RebuildResult)
    assert isinstance(after, RebuildResult)
    assert (before.outcome, after.created) == ("nothing due", ("app.readings_note",))


def test_an_undeclared_table_is_refused() -> None:
    with pytest.raises(NotDeclared, match=r"app\.other"):
        rebuild_indexes_of("app.other", declare(), AS_OF)


def test_a_finding_is_due_only_where_something_is_done() -> None:
    assert not Finding("unused", TABLE, "i", "r").is_due
    assert Finding("missing", TABLE, "i", "r", "build").is_due
