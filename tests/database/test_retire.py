"""The old tables go once their time has passed, archived and verified; the views under their names go on."""

# ruff: noqa: S608 (statements are put together from the names of the demo's tables)
from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pyarrow.parquet as pq
import pytest

from tasks.core.connect import database_now, runtime
from tasks.core.declaration import Declaration
from tasks.core.parameters import Safety
from tasks.health.report import read_health
from tasks.migration import retire
from tasks.migration.backfill import BackfillResult, backfill
from tasks.migration.cutover import cut_over
from tasks.migration.retire import RetireRefused, RetireResult, StillWritten, describe_retirement, retire_legacy
from tasks.migration.rollback import AlreadyRetired, roll_back
from tasks.partitions.drop import DropRefused
from tests.catalog import describe
from tests.conftest import Server
from tests.demo.tables import TABLES
from tests.ready import NAME, declaration, ready_database

Conn = psycopg.Connection[Any]
LATER = timedelta(days=31)


@pytest.fixture
def conn(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Conn]:
    """The maintenance role's session after the cutover; runs as of the future are allowed."""
    monkeypatch.setenv("MAINTENANCE_ARCHIVE", str(tmp_path))
    monkeypatch.setenv("MAINTENANCE_ALLOW_FUTURE", "1")
    with ready_database(server) as dsn, runtime():
        cut_over(NAME, declaration())
        with psycopg.connect(dsn, autocommit=True) as session:
            yield session


def run(*, apply: bool = True, as_of: datetime | None = None, declared: Declaration | None = None) -> RetireResult:
    when = as_of or database_now() + LATER
    result = retire_legacy(NAME, declared or declaration(), safety=Safety(apply=apply), as_of=when)
    assert isinstance(result, RetireResult)
    return result


def declared(**changes: object) -> Declaration:
    """Return the declaration with other rules for retiring."""
    whole = declaration()
    return whole.model_copy(update={"migrations": {NAME: whole.migrations[NAME].model_copy(update=changes)}})


def tables(conn: Conn) -> set[str]:
    return {name for (name,) in conn.execute("select relname from pg_class where relkind = 'r' and relname like '%\\_legacy'")}


def one(conn: Conn, query: str) -> Any:
    ((value,),) = conn.execute(query.encode()).fetchall()
    return value


def shown(conn: Conn) -> dict[str, list[Any]]:
    """Return what each old name shows."""
    query = "select to_jsonb(t)::text as row from monitoring.{} as t order by 1"
    return {table.name: conn.execute(query.format(table.name).encode()).fetchall() for table in TABLES}


def test_before_the_window_it_waits_and_says_until_when(conn: Conn) -> None:
    before = describe(conn)

    result = run(as_of=database_now() + timedelta(days=29))

    assert (result.outcome, "30 days after its cutover" in result.message) == ("waiting", True)
    assert describe(conn) == before


def test_without_apply_it_changes_nothing(conn: Conn, tmp_path: Path) -> None:
    before = describe(conn)

    assert run(apply=False).outcome == "planned"

    assert describe(conn) == before
    assert not list(tmp_path.rglob("*.parquet"))


def test_the_tables_go_archived_row_for_row_and_the_views_show_what_they_showed(conn: Conn) -> None:
    conn.execute("insert into monitoring.events (type, data, timestamp, created_at) values ('carried', '{}', now(), now())")
    conn.execute(
        "insert into monitoring.events (type, data, timestamp, created_at) values ('refused', '{}', 'infinity', now())"
    )
    backfill(NAME, declaration(), database_now(), preflight=None)
    before, held = shown(conn), {name: one(conn, f"select count(*) from monitoring.{name}") for name in tables(conn)}

    result = run(declared=declared(old_names_stay=True))

    assert result.outcome == "retired"
    assert tables(conn) == set()
    assert shown(conn) == before
    files = {table.aside: pq.read_table(table.archive) for table in result.tables}
    assert {name: file.num_rows for name, file in files.items()} == {**held, "events_legacy": held["events_legacy"] + 1}
    assert {"carried", "refused"} <= set(files["events_legacy"]["type"].to_pylist())
    assert one(conn, "select phase from maintenance.migration") == "retired"


def test_a_view_is_held_against_the_grants_that_its_table_had_once_that_is_gone(conn: Conn) -> None:
    conn.execute("grant usage on schema monitoring to authenticated")
    before = exposed_views()
    run(declared=declared(old_names_stay=True))

    assert exposed_views() == before == set()
    conn.execute("grant select on monitoring.events to public")
    assert exposed_views() == {"monitoring.events"}


def exposed_views() -> set[str]:
    """Return the old names that the health report calls exposed."""
    found = read_health(declaration(), database_now()).findings
    return {f.object for f in found if f.rule == "exposed-view" and f.object.startswith("monitoring.")}


@pytest.mark.parametrize("name", [table.name for table in TABLES])
def test_an_old_name_takes_every_kind_of_write_after_its_table_is_gone(conn: Conn, name: str) -> None:
    """A session that wrote before goes on too: its cached plans must not hold the type that went."""
    copy = f"insert into monitoring.{name} select (jsonb_populate_record(s, jsonb_build_object('id', null))).* from monitoring.{name} s"
    conn.execute(f"{copy} order by id limit 1".encode())
    run(declared=declared(old_names_stay=True))
    count = one(conn, f"select count(*) from monitoring.{name}")

    conn.execute(f"{copy} order by id limit 2".encode())
    assert one(conn, f"select count(*) from monitoring.{name}") == count + 2
    time = next(table.time for table in TABLES if table.name == name)
    newest = f"(select id from monitoring.{name} order by {time} desc nulls last, id limit 1)"
    assert conn.execute(f"update monitoring.{name} set {time} = {time} where id = {newest}".encode()).rowcount == 1
    assert conn.execute(f"delete from monitoring.{name} where id = {newest}".encode()).rowcount == 1
    assert one(conn, f"select count(*) from monitoring.{name}") == count + 1


def test_while_an_old_name_is_still_written_it_is_refused_until_a_person_says_that_this_may_go_on(conn: Conn) -> None:
    conn.execute("insert into monitoring.events (type, data, timestamp, created_at) values ('a', '{}', now(), now())")

    with pytest.raises(StillWritten, match=r"1 write came through monitoring\.events, the last seen at"):
        run()

    assert len(tables(conn)) == len(TABLES)
    assert run(declared=declared(old_names_stay=True)).outcome == "retired"


def test_an_old_name_that_fell_silent_is_no_obstacle_a_week_after_that_was_seen(conn: Conn) -> None:
    conn.execute("insert into monitoring.events (type, data, timestamp, created_at) values ('a', '{}', now(), now())")
    start = database_now() + LATER
    assert "would be refused" in run(apply=False, as_of=start).message

    assert "would be refused" in run(apply=False, as_of=start + timedelta(days=6)).message
    assert run(as_of=start + timedelta(days=7, minutes=1)).outcome == "retired"


def test_a_look_into_the_future_puts_nothing_off(conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MAINTENANCE_ALLOW_FUTURE")
    conn.execute("insert into monitoring.events (type, data, timestamp, created_at) values ('a', '{}', now(), now())")

    assert run(apply=False).outcome == "planned"

    noted = "select max(grew_at) <= clock_timestamp() from maintenance.old_name_watch"
    assert one(conn, noted), "the week of quiet counts from what was seen"


def test_a_second_run_has_nothing_to_do_and_nothing_goes_back(conn: Conn) -> None:
    run()
    before = describe(conn)

    assert run().outcome == "already retired"
    done = backfill(NAME, declaration(), database_now(), preflight=None)
    assert isinstance(done, BackfillResult)
    with pytest.raises(AlreadyRetired, match=r"maintenance\.retirement"):
        roll_back(NAME, declaration(), database_now(), safety=Safety(apply=True))

    assert describe(conn) == before


def test_changes_of_the_target_are_logged_no_more(conn: Conn) -> None:
    run()

    conn.execute(
        "insert into unified.event_metric_events (event_type, event_category, source_system, event_timestamp)"
        " values ('n', 'monitoring', 'n', now())"
    )

    assert one(conn, "select count(*) from maintenance.reverse_capture") == 0
    assert one(conn, "select count(*) from pg_trigger where tgname like 'maintenance\\_reverse%'") == 0


def test_a_table_changed_after_its_archive_stays_and_so_do_all(conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    real = retire._archive

    def archive_then_change(job: Any) -> Any:
        proven = real(job)
        conn.execute("delete from monitoring.dlq_table_legacy where id = (select min(id) from monitoring.dlq_table_legacy)")
        return proven

    monkeypatch.setattr(retire, "_archive", archive_then_change)
    with pytest.raises(DropRefused, match="changed after its archive was verified"):
        run()
    assert len(tables(conn)) == len(TABLES)

    monkeypatch.setattr(retire, "_archive", real)
    result = run()

    assert result.outcome == "retired"
    archived = {table.aside: table for table in result.tables}["dlq_table_legacy"]
    assert archived.archive is not None
    assert pq.read_table(archived.archive).num_rows == archived.rows


def test_what_depends_on_an_old_table_is_named_and_nothing_goes(conn: Conn) -> None:
    conn.execute("create view public.reader as select id from monitoring.dlq_table_legacy")

    with pytest.raises(RetireRefused, match=r"public\.reader"):
        run()

    assert len(tables(conn)) == len(TABLES)
    assert one(conn, "select phase from maintenance.migration") == "cut_over"


def test_before_the_cutover_it_waits(server: Server) -> None:
    with ready_database(server), runtime():
        result = run()

    assert (result.outcome, "phase is capturing" in result.message) == ("waiting", True)


def test_the_text_names_each_table(conn: Conn) -> None:
    text = describe_retirement(run(apply=False))

    assert all(str(table.relation) in text for table in TABLES)
