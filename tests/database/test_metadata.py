"""Metadata outside the one shape is found, told by kind and repaired in batches without loss; nothing else is touched (D6)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import sql

from tasks.core.connect import database_now, runtime
from tasks.core.declaration import Declaration, Metadata, read_declaration
from tasks.core.errors import LockBusy, MissingRelation, MissingRight, NotDeclared, UnsuitableRelation
from tasks.core.ledger import Deferred
from tasks.core.names import Relation
from tasks.core.parameters import Safety
from tasks.core.settings import PROJECT
from tasks.core.sqlfiles import compose
from tasks.partitions.create import ensure_partitions
from tasks.upkeep import metadata
from tasks.upkeep.metadata import CheckRefused, MetadataResult, RepairRefused, repair_metadata_of
from tasks.upkeep.render import metadata_report, repaired_metadata

APPLY = Safety(apply=True)
EMPTY: dict[str, Any] = {"version": "1.0", "schema": "standard", "fields": {}}
EVENTS = "unified.event_metric_events"
NOTES = "desk.notes"
#: A value, the kind it is told by, and what becomes of it.
KINDS: list[tuple[object, str, dict[str, object]]] = [
    (None, "null", EMPTY),
    ([1], "not an object", {**EMPTY, "fields": {"value": [1]}, "wrapped": True}),
    ({}, "no part of the shape", EMPTY),
    ({"tool": "x", "wrapped": 1}, "no part of the shape", {**EMPTY, "fields": {"tool": "x", "wrapped": 1}}),
    ({"fields": {"a": 1}}, "version missing", {**EMPTY, "fields": {"a": 1}}),
    ({"schema": "standard", "a": 1}, "version missing", {**EMPTY, "fields": {"a": 1}}),
    ({**EMPTY, "version": "2.0"}, "version unknown", {**EMPTY, "fields": {**EMPTY, "version": "2.0"}}),
    ({**EMPTY, "version": None}, "version unknown", {**EMPTY, "fields": {**EMPTY, "version": None}}),
    ({"version": "1.0", "fields": {"a": 1}}, "schema missing", {**EMPTY, "fields": {"a": 1}}),
    ({**EMPTY, "schema": "other"}, "schema unknown", {**EMPTY, "fields": {**EMPTY, "schema": "other"}}),
    ({"version": "1.0", "schema": "standard"}, "fields missing", EMPTY),
    # What the plan's own validate_metadata made of metadata.
    ({"version": "1.0", "schema": "standard", "tool": "x"}, "fields missing", {**EMPTY, "fields": {"tool": "x"}}),
    ({**EMPTY, "fields": [1]}, "fields not an object", {**EMPTY, "fields": {"value": [1]}, "wrapped": True}),
    ({**EMPTY, "fields": [1], "a": 2}, "fields not an object", {**EMPTY, "fields": {**EMPTY, "fields": [1], "a": 2}}),
    ({**EMPTY, "wrapped": False}, "wrapped not true", {**EMPTY, "fields": {**EMPTY, "wrapped": False}}),
    ({**EMPTY, "legacy": 1}, "legacy not an object", {**EMPTY, "fields": {**EMPTY, "legacy": 1}}),
    (
        {**EMPTY, "fields": {"a": 1}, "b": 2, "legacy": {"c": 3}},
        "unknown keys",
        {**EMPTY, "fields": {"a": 1, "b": 2}, "legacy": {"c": 3}},
    ),
    # To merge would lose one of two values.
    ({**EMPTY, "fields": {"a": 1}, "a": 2}, "unknown keys", {**EMPTY, "fields": {**EMPTY, "fields": {"a": 1}, "a": 2}}),
    (
        {**EMPTY, "fields": {"value": 1}, "wrapped": True, "b": 2},
        "unknown keys",
        {**EMPTY, "fields": {**EMPTY, "fields": {"value": 1}, "wrapped": True, "b": 2}},
    ),
]
STANDARD: list[dict[str, object]] = [
    EMPTY,
    {**EMPTY, "fields": {"a": [1, None]}},
    {**EMPTY, "fields": {"value": 1}, "wrapped": True},
    {**EMPTY, "legacy": {"metadata": None}},
]
TWICE = {**EMPTY, "fields": {**EMPTY, "fields": {"a": 1}}}


@pytest.fixture
def conn(database: str) -> Iterator[psycopg.Connection[Any]]:
    with runtime(), psycopg.connect(database, autocommit=True) as opened:
        opened.execute(
            "create schema desk; create table desk.notes (id int primary key, version int default 1, metadata jsonb)"
        )
        yield opened


@pytest.fixture
def declaration() -> Declaration:
    return declared({NOTES: "metadata"})


def declared(columns: dict[str, str], **more: int) -> Declaration:
    held = Metadata(why="w", owner="o", columns=columns, **{"batch_rows": 3, **more})
    return read_declaration(PROJECT / "maintenance.yaml").model_copy(update={"metadata": held})


def plant(conn: psycopg.Connection[Any], *values: object, first: int = 1) -> None:
    """Insert each value as the metadata of one row."""
    for number, value in enumerate(values, first):
        given_value = None if value is None else json.dumps(value)
        conn.execute("insert into desk.notes (id, metadata) values (%s, %s)", (number, given_value))


def held(conn: psycopg.Connection[Any]) -> list[Any]:
    return [value for (value,) in conn.execute("select metadata from desk.notes order by id")]


def done(result: MetadataResult | Deferred) -> MetadataResult:
    assert isinstance(result, MetadataResult), result
    return result


def shape_check(table: str, column: str, name: str, more: str = "") -> str:
    """Return the statement that adds the shipped CHECK without reading the table."""
    return f"""
        alter table {table} add constraint {name} check ({column} @> '{{"version": "1.0", "schema": "standard", "fields": {{}}}}'
        and coalesce({column} -> 'wrapped' = 'true', true) and coalesce(jsonb_typeof({column} -> 'legacy') = 'object', true)
        and {column} - '{{version,schema,fields,wrapped,legacy}}'::text[] = '{{}}' {more}) not valid"""


# Kinds


def test_every_kind_is_told_and_repaired_without_losing_a_value(
    conn: psycopg.Connection[Any], declaration: Declaration
) -> None:
    plant(conn, *[value for value, _, _ in KINDS])
    expected: dict[str, int] = {}
    for _, kind, _ in KINDS:
        expected[kind] = expected.get(kind, 0) + 1

    result = done(repair_metadata_of(NOTES, declaration, APPLY))

    assert result.report.faults == expected
    assert (result.repaired, result.left, result.batches) == (len(KINDS), 0, 7)
    assert held(conn) == [repaired for _, _, repaired in KINDS]


def test_what_is_in_the_shape_is_no_fault_and_is_not_touched(conn: psycopg.Connection[Any], declaration: Declaration) -> None:
    plant(conn, *STANDARD)
    before = conn.execute("select ctid, metadata from desk.notes").fetchall()

    result = done(repair_metadata_of(NOTES, declaration, APPLY))

    assert (result.report.faults, result.report.kept, result.repaired) == ({}, {}, 0)
    assert conn.execute("select ctid, metadata from desk.notes").fetchall() == before


def test_a_shape_inside_the_shape_is_reported_and_never_changed(
    conn: psycopg.Connection[Any], declaration: Declaration
) -> None:
    plant(conn, TWICE)
    result = done(repair_metadata_of(NOTES, declaration, APPLY))
    assert (result.report.faults, result.report.kept, result.repaired) == ({}, {"shape in the shape": 1}, 0)
    assert held(conn) == [TWICE]
    assert "it may be meant so" in metadata_report(result.report)


_KEYS = st.sampled_from(["version", "schema", "fields", "wrapped", "legacy", "a", "value"])
_LEAVES = st.sampled_from([None, True, False, "1.0", "standard", 1, "", [], {}])
_VALUES = st.recursive(
    _LEAVES, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_KEYS, inner, max_size=5), max_leaves=12
)
_ODD = _VALUES | st.builds(lambda value: {**EMPTY, **value}, st.dictionaries(_KEYS, _VALUES, max_size=3))


def leaves(value: object) -> set[str]:
    """Name everything a value holds by its last key; what only says the shape aside."""
    if isinstance(value, dict) and value:
        return set().union(*({f"{key}:{leaf}" for leaf in ends(inner)} | leaves(inner) for key, inner in value.items()))
    if isinstance(value, list):
        return set().union(*(leaves(inner) for inner in value), set())
    return set()


def ends(value: object) -> set[str]:
    return set() if isinstance(value, dict) and value else {json.dumps(value, sort_keys=True)}


def test_any_value_is_repaired_into_the_shape_with_all_it_held_and_the_check_agrees(conn: psycopg.Connection[Any]) -> None:
    conn.execute("create table desk.probe (event_metadata jsonb)")
    conn.execute(shape_check("desk.probe", "event_metadata", "shape").encode())
    ask = "select maintenance.metadata_fault(%(v)s), maintenance.repaired_metadata(%(v)s), maintenance.metadata_fault(maintenance.repaired_metadata(%(v)s))"

    @given(_ODD)
    def check(value: object) -> None:
        row = conn.execute(ask, {"v": json.dumps(value)}).fetchone()
        assert row is not None
        fault, repaired, after = row
        assert after is None
        assert fault is not None or repaired == value
        assert leaves(value) <= leaves(repaired) | {'version:"1.0"', 'schema:"standard"', "fields:{}"} | {
            leaf for leaf in leaves(value) if leaf.startswith("fields:")
        }
        try:
            conn.execute("insert into desk.probe values (%s)", (json.dumps(value),))
            is_accepted = True
        except psycopg.errors.CheckViolation:
            is_accepted = False
        assert is_accepted == (fault is None)

    check()


# The report


def test_without_the_brakes_off_nothing_is_changed_and_everything_is_told(
    conn: psycopg.Connection[Any], declaration: Declaration
) -> None:
    plant(conn, *[{"secret": "hunter2", "n": number} for number in range(5)], None)
    shown = list[metadata.MetadataReport]()

    result = done(repair_metadata_of(NOTES, declaration, Safety(), on_report=shown.append))

    assert (result.outcome, result.left, result.repaired, shown) == ("planned", 6, 0, [result.report])
    assert held(conn)[5] is None
    assert conn.execute("select count(*) from maintenance.run").fetchone() == (0,)
    text = metadata_report(result.report)
    assert "| no part of the shape | 5 | becomes fields, as it is |" in text
    assert text.count("id=") == 4, "three examples of a kind"
    assert "| no part of the shape | id=1 | n: number, secret: string |" in text
    assert "hunter2" not in text
    assert "No CHECK holds it" in text
    assert "6 rows to be repaired" in repaired_metadata(result)


def test_a_table_without_a_key_is_shown_by_its_place(conn: psycopg.Connection[Any], declaration: Declaration) -> None:
    conn.execute("alter table desk.notes drop constraint notes_pkey")
    plant(conn, [])
    assert done(repair_metadata_of(NOTES, declaration, Safety())).report.examples[0].row == "ctid=(0,1)"


def test_every_shipped_column_is_held_by_a_check_and_has_no_fault(conn: psycopg.Connection[Any]) -> None:
    shipped = read_declaration(PROJECT / "maintenance.yaml")
    ensure_partitions(EVENTS, shipped, database_now())
    conn.execute(
        "insert into unified.event_metric_events (event_type, event_category, source_system) values ('t', 'cache', 's')"
    )
    for table in shipped.metadata_tables(None):
        report = done(repair_metadata_of(table, shipped, Safety())).report
        assert (report.faults, [check.is_valid for check in report.checks]) == ({}, [True]), table


# Repairing in batches


def test_a_second_run_plans_nothing(conn: psycopg.Connection[Any], declaration: Declaration) -> None:
    plant(conn, *[{"n": n} for n in range(7)])
    assert done(repair_metadata_of(NOTES, declaration, APPLY)).batches == 3
    second = done(repair_metadata_of(NOTES, declaration, APPLY))
    assert (second.report.rows, second.repaired, second.batches, second.left) == (0, 0, 0, 0)


def test_at_most_so_many_batches_are_repaired_and_the_rest_is_left(
    conn: psycopg.Connection[Any], declaration: Declaration
) -> None:
    plant(conn, *[{"n": n} for n in range(7)])
    result = done(repair_metadata_of(NOTES, declaration, Safety(apply=True, at_most=2)))
    assert (result.repaired, result.batches, result.left) == (6, 2, 1)
    assert done(repair_metadata_of(NOTES, declared({NOTES: "metadata"}, at_most_per_run=1), APPLY)).repaired == 1


def test_each_batch_is_committed_with_its_record(conn: psycopg.Connection[Any], declaration: Declaration) -> None:
    plant(conn, *[{"n": n} for n in range(4)], None, [])
    seen = list[tuple[int, int]]()

    def look() -> None:
        query = "select (select count(*) from maintenance.metadata_repair), (select coalesce(sum(rows_repaired), 0)::int from maintenance.metadata_repair)"
        seen.append(conn.execute(query).fetchone())  # type: ignore[arg-type]

    repair_metadata_of(NOTES, declaration, APPLY, between=look)

    assert seen == [(0, 0), (1, 3), (2, 6)]
    assert conn.execute("select part, kinds, rows_repaired from maintenance.metadata_repair order by id").fetchall() == [
        (NOTES, {"no part of the shape": 3}, 3),
        (NOTES, {"null": 1, "no part of the shape": 1, "not an object": 1}, 3),
    ]
    assert conn.execute("select outcome, detail -> 'repaired' from maintenance.run").fetchall() == [("completed", 6)]


def test_rows_far_apart_are_found_window_by_window(
    conn: psycopg.Connection[Any], declaration: Declaration, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metadata, "WINDOW_BLOCKS", 2)
    conn.execute("alter table desk.notes set (fillfactor = 10)")
    plant(conn, *[{"n": n, "pad": "x" * 300} for n in range(40)])
    assert conn.execute("select pg_relation_size('desk.notes') / 8192 > 6").fetchone() == (True,)
    result = done(repair_metadata_of(NOTES, declaration, APPLY))
    assert (result.repaired, result.left) == (40, 0)


def test_partitions_are_repaired_one_by_one_through_their_parent(conn: psycopg.Connection[Any]) -> None:
    """Triggers of the parent see the repair as any write, and each statement reads one partition alone."""
    conn.execute("""
        create table desk.log (id int, kind text, metadata jsonb, primary key (id, kind)) partition by list (kind);
        create table desk.log_odd partition of desk.log for values in ('100%', 'it''s');
        create table desk.log_rest partition of desk.log default partition by range (id);
        create table desk.log_low partition of desk.log_rest for values from (0) to (100);
        create table desk.log_high partition of desk.log_rest for values from (100) to (200);
        create table desk.seen (rows int);
        create function desk.see() returns trigger language plpgsql as
        'begin insert into desk.seen select count(*) from changed; return null; end';
        create trigger see after update on desk.log referencing new table as changed for each statement execute function desk.see();
        insert into desk.log select n, case when n % 3 = 0 then '100%' when n % 3 = 1 then 'it''s' else 'x' end, '{"n": 1}'
        from generate_series(1, 12) n;
        insert into desk.log values (150, 'y', null), (151, 'y', '{"version": "1.0", "schema": "standard", "fields": {}}');
    """)
    declaration = declared({"desk.log": "metadata"})

    result = done(repair_metadata_of("desk.log", declaration, APPLY))

    assert (result.repaired, result.left, result.report.faults) == (13, 0, {"no part of the shape": 12, "null": 1})
    assert conn.execute(
        "select part, sum(rows_repaired) from maintenance.metadata_repair group by 1 order by 1"
    ).fetchall() == [
        ("desk.log_high", 1),
        ("desk.log_low", 4),
        ("desk.log_odd", 8),
    ]
    assert conn.execute("select sum(rows) from desk.seen").fetchone() == (13,)
    assert done(repair_metadata_of("desk.log", declaration, APPLY)).repaired == 0


def test_a_batch_reads_some_blocks_of_one_partition_and_finds_its_rows_by_their_place(conn: psycopg.Connection[Any]) -> None:
    """Whatever the planner thinks of the sizes, no other partition is opened and nothing is read from end to end."""
    conn.execute("""
        create table desk.log (id int, metadata jsonb) partition by range (id);
        create table desk.log_1 partition of desk.log for values from (0) to (5);
        create table desk.log_2 partition of desk.log for values from (5) to (10);
    """)
    table = Relation.parse("desk.log")
    part = next(part for part in metadata._parts(table) if part.name == "log_2")
    names = {"table": table, "part": part.relation, "column": "metadata", "condition": part.condition}
    values = {"lower": "(0,0)", "upper": "(1024,0)", "batch_rows": 3, "part_oid": part.oid}
    query = compose("upkeep/repair_metadata", {**names, **values})

    plan = "\n".join(line for (line,) in conn.execute(sql.SQL("explain (costs off) ") + query, values))

    assert "Tid Range Scan on log_2 r" in plan
    assert "Tid Scan on log_2 t" in plan
    assert "log_1" not in plan
    assert "Seq Scan" not in plan


# Others at the same time


def test_a_row_that_is_being_written_is_left_and_nothing_waits(conn: psycopg.Connection[Any], declaration: Declaration) -> None:
    plant(conn, *[{"n": n} for n in range(3)])
    with psycopg.connect(conn.info.dsn, password=conn.info.password) as other:
        other.execute("""update desk.notes set metadata = '{"n": "newer"}' where id = 2""")
        result = done(repair_metadata_of(NOTES, declaration, APPLY))
    assert (result.repaired, result.left) == (2, 1)
    assert held(conn)[1] == {"n": "newer"}
    assert done(repair_metadata_of(NOTES, declaration, APPLY)).repaired == 1
    assert held(conn)[1] == {**EMPTY, "fields": {"n": "newer"}}


def test_a_value_that_was_changed_since_it_was_counted_is_not_overwritten_with_the_older_one(
    conn: psycopg.Connection[Any], declaration: Declaration
) -> None:
    plant(conn, {"n": 1}, {"n": 2}, {"n": 3})

    def change() -> None:
        conn.execute("""update desk.notes set metadata = '{"n": "newer"}' where id = 1 and metadata = '{"n": 1}'""")
        conn.execute("update desk.notes set metadata = %s where id = 2", (json.dumps(STANDARD[1]),))

    result = done(repair_metadata_of(NOTES, declaration, APPLY, between=change))

    assert held(conn) == [{**EMPTY, "fields": {"n": "newer"}}, STANDARD[1], {**EMPTY, "fields": {"n": 3}}]
    assert result.repaired == 2


def test_a_run_in_the_way_defers_the_other_and_a_report_waits_for_nobody(
    conn: psycopg.Connection[Any], declaration: Declaration
) -> None:
    plant(conn, {"n": 1})
    others = list[MetadataResult | Deferred]()

    def try_meanwhile() -> None:
        others.append(repair_metadata_of(NOTES, declaration, APPLY))
        others.append(repair_metadata_of(NOTES, declaration, Safety()))

    repair_metadata_of(NOTES, declaration, APPLY, between=try_meanwhile)

    assert isinstance(others[0], Deferred)
    assert done(others[1]).left == 1


def test_a_target_whose_migration_captures_changes_is_reported_and_left_to_the_drain(
    conn: psycopg.Connection[Any], declaration: Declaration
) -> None:
    plant(conn, {"n": 1})
    shown = list[metadata.MetadataReport]()
    conn.execute("insert into maintenance.migration (name, target, phase) values ('move', %s, 'capturing')", (NOTES,))

    result = repair_metadata_of(NOTES, declaration, APPLY, on_report=shown.append)

    assert isinstance(result, Deferred)
    assert result.reason == "migration move captures changes until its cutover"
    assert (shown[0].rows, held(conn)) == (1, [{"n": 1}])
    conn.execute("update maintenance.migration set phase = 'cut_over'")
    assert done(repair_metadata_of(NOTES, declaration, APPLY)).repaired == 1


def test_a_locked_table_ends_the_run_soon_and_says_who_holds_it(
    conn: psycopg.Connection[Any], declaration: Declaration, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(conn, {"n": 1})
    monkeypatch.setattr(metadata.Kind.BULK, "_value_", metadata.Kind.BULK.value._replace(lock_ms=200))
    with psycopg.connect(conn.info.dsn, password=conn.info.password, application_name="a person") as other:
        other.execute("lock table desk.notes in access exclusive mode")
        with pytest.raises(LockBusy, match="a person"):
            repair_metadata_of(NOTES, declaration, APPLY)


# What refuses


def test_a_row_that_refuses_is_named_and_the_others_are_repaired(
    conn: psycopg.Connection[Any], declaration: Declaration
) -> None:
    plant(conn, *[{"n": n} for n in range(8)])
    conn.execute("alter table desk.notes add constraint no_five check (id <> 5) not valid")

    with pytest.raises(RepairRefused, match=r"1 rows of desk\.notes could not be repaired.*id=5: .*no_five"):
        repair_metadata_of(NOTES, declaration, APPLY)

    assert [row for row in held(conn) if row.keys() != EMPTY.keys()] == [{"n": 4}]


def test_a_table_in_which_every_row_refuses_is_given_up(conn: psycopg.Connection[Any], declaration: Declaration) -> None:
    plant(conn, *[{"n": n} for n in range(50)])
    conn.execute("""
        create function desk.refuse() returns trigger language plpgsql as 'begin raise exception ''append only''; end';
        create trigger refuse before update on desk.notes for each row execute function desk.refuse();
    """)
    with pytest.raises(RepairRefused, match=r"20 rows of desk\.notes .*append only.*given up there"):
        repair_metadata_of(NOTES, declaration, APPLY)


# The CHECK


def test_a_check_that_is_not_valid_is_validated_once_no_row_is_left(
    conn: psycopg.Connection[Any], declaration: Declaration
) -> None:
    plant(conn, *[{"n": n} for n in range(4)])
    conn.execute(shape_check(NOTES, "metadata", "notes_metadata_check").encode())
    valid = "select convalidated from pg_constraint where conname = 'notes_metadata_check'"

    assert "is NOT VALID" in metadata_report(done(repair_metadata_of(NOTES, declaration, Safety())).report)
    first = done(repair_metadata_of(NOTES, declaration, Safety(apply=True, at_most=1)))
    assert (first.left, first.validated, conn.execute(valid).fetchone()) == (1, (), (False,))
    second = done(repair_metadata_of(NOTES, declaration, APPLY))

    assert (second.left, second.validated, conn.execute(valid).fetchone()) == (0, ("notes_metadata_check",), (True,))
    assert "Validated: notes_metadata_check." in repaired_metadata(second)
    assert done(repair_metadata_of(NOTES, declaration, APPLY)).validated == ()


def test_a_check_is_validated_on_every_partition(conn: psycopg.Connection[Any]) -> None:
    conn.execute("""
        create table desk.log (id int, metadata jsonb) partition by range (id);
        create table desk.log_1 partition of desk.log for values from (0) to (5);
        create table desk.log_2 partition of desk.log for values from (5) to (10);
        insert into desk.log select n, '[]' from generate_series(0, 9) n;
    """)
    conn.execute(shape_check("desk.log", "metadata", "shape").encode())
    assert done(repair_metadata_of("desk.log", declared({"desk.log": "metadata"}), APPLY)).validated == ("shape",)
    query = "select count(*) from pg_constraint where conname = 'shape' and convalidated"
    assert conn.execute(query).fetchone() == (3,)


def test_a_check_that_asks_for_more_than_the_shape_is_an_error_that_says_so(
    conn: psycopg.Connection[Any], declaration: Declaration
) -> None:
    plant(conn, EMPTY)
    conn.execute(shape_check(NOTES, "metadata", "more", "and metadata -> 'fields' ? 'tool'").encode())
    with pytest.raises(CheckRefused, match=r"more of desk\.notes could not be validated"):
        repair_metadata_of(NOTES, declaration, APPLY)


# Bad input


@pytest.mark.parametrize(
    ("table", "column", "error", "words"),
    [
        ("desk.gone", "metadata", MissingRelation, r"desk\.gone\.metadata does not exist, and metadata\.columns names it"),
        ("desk.notes", "gone", MissingRelation, r"desk\.notes\.gone does not exist"),
        ("desk.notes", "version", UnsuitableRelation, "its column version is of type integer"),
        ("desk.shown", "metadata", UnsuitableRelation, "it is no table"),
    ],
)
def test_a_wrong_declaration_is_told_in_one_line(
    conn: psycopg.Connection[Any], table: str, column: str, error: type[Exception], words: str
) -> None:
    conn.execute("create view desk.shown as select * from desk.notes")
    with pytest.raises(error, match=words):
        repair_metadata_of(table, declared({table: column}), Safety())


def test_a_table_that_is_not_declared_is_refused(declaration: Declaration) -> None:
    with pytest.raises(NotDeclared, match=r"table with metadata desk\.other is not declared .* Declared are: desk\.notes"):
        declaration.metadata_tables("desk.other")


def test_a_missing_right_names_the_grant(conn: psycopg.Connection[Any], superuser_dsn: str, declaration: Declaration) -> None:
    with psycopg.connect(superuser_dsn, autocommit=True) as owner:
        owner.execute(
            "create table public.theirs (metadata jsonb); revoke all on public.theirs from public, anon, authenticated, service_role"
        )
    with pytest.raises(MissingRight, match=r"grant select, update on public\.theirs"):
        repair_metadata_of("public.theirs", declared({"public.theirs": "metadata"}), Safety())
