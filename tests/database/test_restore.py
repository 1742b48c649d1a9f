"""A partition comes back as it was, from waiting or from its archive, or says why not (D4)."""

# ruff: noqa: S608 (statements are put together from this file's own names)
from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tasks.core.ledger import Deferred
from tasks.core.parameters import Safety
from tasks.partitions import restored_file
from tasks.partitions.build import PartitionMismatch
from tasks.partitions.restore import Restored, restore
from tasks.partitions.restored_file import RestoreRefused
from tasks.partitions.retire import retire
from tests.database.test_archive import TYPES, make_types, types_declared
from tests.retention import AS_OF, DAY, GRACE, TABLE, apply, attached, declare, make_empty, make_table, name_of, names, states

LATER = AS_OF + GRACE + DAY
OLDEST = name_of(-15)


@pytest.fixture
def dsn(make_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    return make_empty(make_database, monkeypatch, tmp_path)


@pytest.fixture
def conn(dsn: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(dsn, autocommit=True) as opened:
        opened.execute("set timezone = 'UTC'")
        yield opened


@pytest.fixture
def waiting(dsn: str, conn: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """The two oldest partitions wait, archived."""
    make_table(dsn)
    conn.execute("create index sensors on app.readings (sensor)")
    apply(at_most=2)
    return conn


@pytest.fixture
def dropped(waiting: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """The two oldest partitions are dropped; what they held is in `app.kept`."""
    waiting.execute(f"create table app.kept as select * from {OLDEST}")
    apply(as_of=LATER, at_most=2)
    assert list(states(waiting).values())[:2] == ["dropped"] * 2
    return waiting


def bring_back(partition: str = OLDEST, as_of: Any = AS_OF, **options: Any) -> Restored:
    result = restore(TABLE, partition, declare(), as_of, **options)
    assert isinstance(result, Restored), result
    return result


def rows_in(conn: psycopg.Connection[Any], relation: str) -> int:
    ((rows,),) = conn.execute(f"select count(*) from {relation}".encode()).fetchall()
    return rows


def path_of_archive(conn: psycopg.Connection[Any]) -> Path:
    ((path,),) = conn.execute(
        "select archive from maintenance.retirement where partition = %s order by id limit 1", (OLDEST,)
    ).fetchall()
    return Path(path)


def checks_of(conn: psycopg.Connection[Any], relation: str) -> list[Any]:
    return conn.execute(
        "select conname from pg_constraint where contype = 'c' and conrelid = %s::regclass", (relation,)
    ).fetchall()


# From waiting.


def test_a_waiting_partition_is_attached_again_and_held(waiting: psycopg.Connection[Any]) -> None:
    result = bring_back()

    assert (result.came_from, result.lower, result.held_until) == ("waiting", AS_OF - 15 * DAY, AS_OF + 30 * DAY)
    assert OLDEST in attached(waiting)
    assert rows_in(waiting, f"app.readings where at < '{AS_OF - 14 * DAY:%Y-%m-%d}'") == 3
    assert waiting.execute("select lower, upper, owner, until from maintenance.hold").fetchall() == [
        (AS_OF - 15 * DAY, AS_OF - 14 * DAY, "o", AS_OF + 30 * DAY)
    ]
    assert states(waiting)[OLDEST] == "returned"
    assert checks_of(waiting, OLDEST) == []


def test_it_is_not_retired_again_before_its_hold_ends(waiting: psycopg.Connection[Any]) -> None:
    policy = declare(hold_restored="P5D", grace="P90D")
    result = restore(TABLE, OLDEST, policy, AS_OF)
    assert isinstance(result, Restored)
    held_until = AS_OF + 5 * DAY
    assert result.held_until == held_until

    early = apply(policy, as_of=held_until - timedelta(microseconds=1), at_most=1)
    assert f"{OLDEST}: on hold: restored by run" in early.plan
    assert early.detached == names((-13,))
    assert apply(policy, as_of=held_until, at_most=1).detached == (OLDEST,)


def test_attaching_needs_no_scan(waiting: psycopg.Connection[Any]) -> None:
    """The server says so in a message of level DEBUG1 on the session that attaches."""
    said: list[str] = []
    from tasks.partitions import restore as restoring

    attach = restoring.attach_partition

    def listen(conn: psycopg.Connection[Any], *arguments: Any) -> None:
        conn.add_notice_handler(lambda notice: said.append(notice.message_primary or ""))
        conn.execute("set local client_min_messages = debug1")
        attach(conn, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(restoring, "attach_partition", listen)
        bring_back()

    assert any("is implied by existing constraints" in text for text in said), said
    assert not [text for text in said if text.startswith("verifying table")]


def test_an_attached_partition_is_left_as_it_is(waiting: psycopg.Connection[Any]) -> None:
    assert bring_back(name_of(-13)).came_from == "attached"
    bring_back()
    assert bring_back().came_from == "attached"
    assert waiting.execute("select count(*) from maintenance.hold").fetchone() == (1,)


def test_a_name_without_a_schema_is_a_sibling_of_the_table(waiting: psycopg.Connection[Any]) -> None:
    assert bring_back(OLDEST.partition(".")[2]).partition == OLDEST


def test_the_detach_that_another_tool_left_pending_is_finished_and_taken_back(dsn: str, conn: psycopg.Connection[Any]) -> None:
    make_table(dsn)
    with psycopg.connect(dsn) as reader, psycopg.connect(dsn, autocommit=True) as other:
        reader.execute("select count(*) from app.readings")
        other.execute("set statement_timeout = '200ms'")
        with pytest.raises(psycopg.errors.QueryCanceled):
            other.execute(f"alter table app.readings detach partition {name_of(-3)} concurrently".encode())
    assert rows_in(conn, TABLE) == 42

    assert bring_back(name_of(-3)).came_from == "waiting"

    assert rows_in(conn, TABLE) == 45
    assert checks_of(conn, name_of(-3)) == []


def test_columns_and_indexes_that_the_table_got_meanwhile_are_added(waiting: psycopg.Connection[Any]) -> None:
    waiting.execute("alter table app.readings add column unit text not null default 'K', add column note text")
    waiting.execute("alter table app.readings add column twice numeric generated always as (value * 2) stored")
    waiting.execute("create index notes on app.readings (note)")

    bring_back()

    assert waiting.execute(f"select distinct unit, note, twice = value * 2 from {OLDEST}".encode()).fetchall() == [
        ("K", None, True)
    ]
    index = "select count(*) from pg_index where indrelid = %s::regclass and indisvalid"
    assert waiting.execute(index, (OLDEST,)).fetchone() == (3,)


def test_a_check_that_the_table_got_meanwhile_is_added(waiting: psycopg.Connection[Any]) -> None:
    waiting.execute("alter table app.readings add constraint warm check (value > -1000) not valid")

    bring_back()

    check = "select convalidated from pg_constraint where conrelid = %s::regclass and conname = 'warm'"
    assert waiting.execute(check, (OLDEST,)).fetchall() == [(True,)]


def test_a_row_that_a_new_check_refuses_keeps_the_partition_waiting(waiting: psycopg.Connection[Any]) -> None:
    waiting.execute("alter table app.readings add constraint cold check (value < -1000) not valid")

    with pytest.raises(RestoreRefused, match="cold"):
        bring_back()

    assert OLDEST not in attached(waiting)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (
            "alter table app.readings add column zone text not null default 'x'; alter table app.readings alter column zone drop default",
            "zone is new, not null",
        ),
        ("alter table app.readings drop column value", "value is not there any more"),
        ("alter table app.readings alter column value type double precision", "value is double precision there now"),
    ],
)
@pytest.mark.parametrize("state", ["waiting", "dropped"])
def test_columns_that_cannot_be_reconciled_are_named(
    request: pytest.FixtureRequest, dsn: str, state: str, change: str, named: str
) -> None:
    conn: psycopg.Connection[Any] = request.getfixturevalue(state)
    conn.execute(change.encode())

    with pytest.raises(RestoreRefused, match=f"{OLDEST} is not restored to {TABLE}: columns changed since: .*{named}"):
        bring_back()

    assert OLDEST not in attached(conn)


def test_a_waiting_table_that_was_opened_to_others_is_not_attached(waiting: psycopg.Connection[Any]) -> None:
    waiting.execute(f"grant select on {OLDEST} to public".encode())
    waiting.execute("alter table app.readings enable row level security")
    with pytest.raises(PartitionMismatch, match="it is open to public"):
        bring_back()
    assert states(waiting)[OLDEST] == "archived"


def test_a_row_outside_its_bounds_is_found_before_the_table_is_locked(waiting: psycopg.Connection[Any]) -> None:
    ((left_behind,),) = checks_of(waiting, OLDEST)
    waiting.execute(f"alter table {OLDEST} drop constraint {left_behind}".encode())
    waiting.execute(f"insert into {OLDEST} (id, at, sensor) values (-1, '2001-01-01', 'late')".encode())
    with pytest.raises(RestoreRefused, match="maintenance_bounds"):
        bring_back()


# From the archive.


def test_a_dropped_partition_is_rebuilt_from_its_archive(dropped: psycopg.Connection[Any]) -> None:
    result = bring_back(as_of=LATER)

    assert (result.came_from, result.rows) == ("archive", 3)
    both = f"(select * from {OLDEST} except all table app.kept) union all (table app.kept except all select * from {OLDEST})"
    assert dropped.execute(both.encode()).fetchall() == []
    assert OLDEST in attached(dropped)
    assert checks_of(dropped, OLDEST) == []
    assert dropped.execute(
        "select state, note from maintenance.retirement where partition = %s order by id", (OLDEST,)
    ).fetchall() == [
        ("dropped", "restored from its archive by run 3"),
        ("returned", "restored by run 3"),
    ]
    assert apply(as_of=LATER, at_most=1).detached == names((-13,))


def test_one_that_lived_in_another_schema_than_its_table_is_rebuilt_there(dsn: str, conn: psycopg.Connection[Any]) -> None:
    make_table(dsn)
    conn.execute("create schema elsewhere")
    conn.execute(f"alter table {OLDEST} set schema elsewhere")
    moved = OLDEST.replace("app.", "elsewhere.")
    assert apply(at_most=1).detached == (moved,)
    assert apply(as_of=LATER, at_most=1).dropped == (moved,)

    result = bring_back(moved, as_of=LATER)

    assert (result.partition, result.came_from, result.rows) == (moved, "archive", 3)
    assert moved in attached(conn)
    assert conn.execute("select to_regclass(%s)", (OLDEST,)).fetchone() == (None,)


def test_it_is_closed_owned_and_indexed_as_its_siblings(dropped: psycopg.Connection[Any]) -> None:
    dropped.execute("alter table app.readings enable row level security")
    bring_back(as_of=LATER)
    facts = (
        "select relrowsecurity, relowner, coalesce(array_length(relacl, 1), 0) <= 1,"
        " (select count(*) from pg_index i join pg_inherits h on h.inhrelid = i.indexrelid where i.indrelid = c.oid)"
        " from pg_class c where oid = %s::regclass"
    )
    ((rls, owner, is_closed, indexes),) = dropped.execute(facts, (OLDEST,)).fetchall()
    ((_, owner_of_sibling, _, _),) = dropped.execute(facts, (name_of(-3),)).fetchall()
    assert (rls, owner == owner_of_sibling, is_closed, indexes) == (True, True, True, 2)


def test_a_restored_partition_is_retired_again_into_a_file_of_its_own(dropped: psycopg.Connection[Any]) -> None:
    first = path_of_archive(dropped).read_bytes()
    bring_back(as_of=LATER)
    dropped.execute(f"update {OLDEST} set value = 99".encode())
    dropped.execute("delete from maintenance.hold")

    assert apply(as_of=LATER, at_most=1).archived == (OLDEST,)

    assert path_of_archive(dropped).read_bytes() == first
    ((second,),) = dropped.execute("select archive from maintenance.retirement order by id desc limit 1").fetchall()
    assert Path(second).name == "part-1.parquet"


def test_columns_that_the_table_got_meanwhile_take_their_default(dropped: psycopg.Connection[Any]) -> None:
    dropped.execute("alter table app.readings add column unit text not null default 'K'")
    dropped.execute("alter table app.readings add column twice numeric generated always as (value * 2) stored")
    assert bring_back(as_of=LATER).rows == 3
    assert dropped.execute(f"select distinct unit, twice = value * 2 from {OLDEST}".encode()).fetchall() == [("K", True)]


def test_a_file_that_is_missing_or_changed_is_refused_and_its_return_mends_it(dropped: psycopg.Connection[Any]) -> None:
    path = path_of_archive(dropped)
    content = path.read_bytes()

    path.write_bytes(content[:-10] + bytes([content[-10] ^ 1]) + content[-9:])
    with pytest.raises(RestoreRefused, match="was changed since it was verified"):
        bring_back()
    path.unlink()
    with pytest.raises(RestoreRefused, match=r"is not there.*Put the verified file back"):
        bring_back()

    assert dropped.execute("select to_regclass(%s)", (OLDEST,)).fetchone() == (None,)
    path.write_bytes(content)
    assert bring_back().rows == 3


def change_manifest(conn: psycopg.Connection[Any], **changes: Any) -> None:
    conn.execute(
        "update maintenance.retirement set manifest = manifest || %s where partition = %s", (json.dumps(changes), OLDEST)
    )


def test_content_that_is_not_what_was_archived_is_refused(dropped: psycopg.Connection[Any]) -> None:
    change_manifest(dropped, content_hash="1")
    with pytest.raises(RestoreRefused, match="does not give back what was archived: content hash"):
        bring_back()
    change_manifest(dropped, rows=4)
    with pytest.raises(RestoreRefused, match="3 rows instead of 4"):
        bring_back()
    assert dropped.execute("select to_regclass(%s)", (OLDEST,)).fetchone() == (None,)


def test_an_archive_of_before_numbers_were_hashed_by_their_text_comes_back(dropped: psycopg.Connection[Any]) -> None:
    hashed = 'hash_record_extended(row(id, at, sensor collate "C", value), 0)'
    ((by_value,),) = dropped.execute(f"select sum(hashtextextended({hashed}::text, 0)::numeric)::text from app.kept").fetchall()
    change_manifest(dropped, content_hash=by_value)
    with pytest.raises(RestoreRefused, match="content hash"):
        bring_back()
    change_manifest(dropped, format=1)
    assert bring_back().rows == 3


def test_an_archive_of_another_major_version_is_judged_by_its_other_figures(dropped: psycopg.Connection[Any]) -> None:
    change_manifest(dropped, content_hash="1", server_version_num=dropped.info.server_version - 10_000)
    assert bring_back().rows == 3


def test_another_majors_figures_still_count(dropped: psycopg.Connection[Any]) -> None:
    ((columns,),) = dropped.execute(
        "select manifest -> 'columns' from maintenance.retirement where partition = %s", (OLDEST,)
    ).fetchall()
    columns[3]["highest"] = "1000"
    change_manifest(dropped, columns=columns, content_hash="1", server_version_num=dropped.info.server_version - 10_000)
    with pytest.raises(RestoreRefused, match="column value"):
        bring_back()


def test_too_little_disk_is_said_before_anything_is_made(
    dropped: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restored_file, "free_bytes", lambda _: 1000)
    with pytest.raises(RestoreRefused, match=r"has 1000 bytes free and it may take \d+\. Free space"):
        bring_back()
    assert dropped.execute("select to_regclass(%s)", (OLDEST,)).fetchone() == (None,)


def test_every_type_comes_back_through_archive_and_restoring(dsn: str, conn: psycopg.Connection[Any]) -> None:
    make_types(conn)
    conn.execute("create table types.kept as select * from types.old")
    declared = types_declared()
    retire("types.everything", declared, Safety(apply=True), AS_OF)
    retire("types.everything", declared, Safety(apply=True), AS_OF + GRACE + DAY)
    assert conn.execute("select to_regclass('types.old')").fetchone() == (None,)

    result = restore("types.everything", "types.old", declared, AS_OF)

    assert isinstance(result, Restored)
    assert (result.came_from, result.rows) == ("archive", sum(len(values) + 1 for values in TYPES.values()))
    for one, other in (("old", "kept"), ("kept", "old")):
        left = f"select r::text from types.{one} r except all select r::text from types.{other} r"
        assert conn.execute(left.encode()).fetchall() == []
    places = {kind: f'"c{n} %"' for n, kind in enumerate(TYPES)}
    bits = f"select float4send({places['real']}), float8send({places['double precision']}) from types.{{}} order by 1, 2"
    assert conn.execute(bits.format("old").encode()).fetchall() == conn.execute(bits.format("kept").encode()).fetchall()


# What speaks against it.


def test_a_partition_that_nobody_knows_is_refused(waiting: psycopg.Connection[Any]) -> None:
    with pytest.raises(RestoreRefused, match=r"app\.p20010101 .*neither a partition nor one that retention knows"):
        bring_back("app.p20010101")


def test_one_that_was_dropped_without_an_archive_is_refused(waiting: psycopg.Connection[Any]) -> None:
    waiting.execute(f"drop table {OLDEST}".encode())
    waiting.execute("update maintenance.retirement set manifest = null, archive = null where partition = %s", (OLDEST,))
    with pytest.raises(RestoreRefused, match="was never archived"):
        bring_back()


def test_one_whose_table_somebody_dropped_is_rebuilt_from_its_archive(waiting: psycopg.Connection[Any]) -> None:
    waiting.execute(f"drop table {OLDEST}".encode())
    assert bring_back().came_from == "archive"


@pytest.mark.parametrize("state", ["waiting", "dropped"])
def test_bounds_that_another_partition_covers_now_are_refused(request: pytest.FixtureRequest, dsn: str, state: str) -> None:
    conn: psycopg.Connection[Any] = request.getfixturevalue(state)
    bounds = f"from ('{(AS_OF - 16 * DAY).isoformat()}') to ('{(AS_OF - 14 * DAY).isoformat()}')"
    conn.execute(f"create table app.wide partition of app.readings for values {bounds}".encode())
    with pytest.raises(RestoreRefused, match=r"app\.wide covers \["):
        bring_back()


def test_a_name_that_something_else_has_taken_is_refused(dropped: psycopg.Connection[Any]) -> None:
    dropped.execute(f"create view {OLDEST} as select 1 as one".encode())
    with pytest.raises(RestoreRefused, match="already exists"):
        bring_back()


def test_a_waiting_table_under_another_name_is_named(waiting: psycopg.Connection[Any]) -> None:
    waiting.execute(f"alter table {OLDEST} rename to precious".encode())
    with pytest.raises(RestoreRefused, match=r"its table is called app\.precious now"):
        bring_back()


def test_while_a_migration_captures_nothing_is_restored(waiting: psycopg.Connection[Any]) -> None:
    waiting.execute("insert into maintenance.migration (name, target, phase) values ('move', %s, 'capturing')", (TABLE,))
    with pytest.raises(RestoreRefused, match=r"migration move captures changes.*Run again after its cutover"):
        bring_back()


def test_a_busy_table_is_waited_for_and_then_named(waiting: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers and writers do not stand in the way; another change of the table does."""
    with psycopg.connect(waiting.info.dsn, password=waiting.info.password, application_name="a report") as reader:
        reader.execute("select count(*) from app.readings")
        assert bring_back().came_from == "waiting"


def test_of_two_runs_at_once_one_is_deferred(dropped: psycopg.Connection[Any]) -> None:
    results: list[Restored | Deferred] = []
    both = [threading.Thread(target=lambda: results.append(restore(TABLE, OLDEST, declare(), LATER))) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert {type(result).__name__ for result in results} <= {"Restored", "Deferred"}
    assert [r.came_from for r in results if isinstance(r, Restored)][:1] == ["archive"]
    assert dropped.execute("select count(*) from maintenance.hold").fetchone() == (1,)
    assert rows_in(dropped, OLDEST) == 3


def test_after_a_cutover_a_restored_partition_lies_before_the_span(waiting: psycopg.Connection[Any]) -> None:
    span = "insert into maintenance.span (target, lower, upper) values (%s, %s, %s)"
    waiting.execute(span, (TABLE, AS_OF - 13 * DAY, AS_OF + 3 * DAY))
    bring_back()
    apply(at_most=1)
    assert OLDEST in attached(waiting)
    assert waiting.execute("select lower from maintenance.span").fetchone() == (AS_OF - 12 * DAY,)
