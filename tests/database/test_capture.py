"""Capture logs which keys changed and the time they had, for every writer, and counts a generation when it was touched."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from tasks.core.connect import Kind, transaction
from tasks.core.errors import LockBusy
from tasks.migration import capture
from tasks.migration.capture import capture_on, check_generation, read_generation, remove_capture
from tasks.migration.prepare import prepare_migration
from tasks.migration.registry import Registered
from tests.migrating import AS_OF, NAME, Scene, scene

__all__ = ["scene"]


@pytest.fixture
def captured(scene: Scene) -> Registered:
    """Capture on, with three bills that were there before."""
    scene.add((1, "2025-02-01", 100), (2, "2025-02-02", 100), (3, None, 100))
    return turn_on(scene)


def turn_on(scene: Scene) -> Registered:
    with transaction(Kind.DDL) as conn:
        migration = prepare_migration(conn, NAME, scene.declaration, AS_OF)
    capture_on(migration)
    return migration


@pytest.fixture
def conn(scene: Scene, captured: Registered) -> Iterator[psycopg.Connection[Any]]:
    assert captured.name == NAME
    with scene.connect() as opened:
        yield opened


def log(conn: psycopg.Connection[Any]) -> list[tuple[str, str | None]]:
    return conn.execute("select key, old_time::date::text from maintenance.capture order by seq").fetchall()


def test_what_was_there_before_is_not_logged(conn: psycopg.Connection[Any]) -> None:
    assert log(conn) == []


def test_an_insert_logs_its_keys_without_a_time(conn: psycopg.Connection[Any]) -> None:
    conn.execute("insert into shop.bills (bill_no, cents, issued) values (7, 1, '2025-03-01'), (8, 1, null)")
    assert log(conn) == [("7", None), ("8", None)]


def test_an_update_logs_the_time_that_the_row_had(conn: psycopg.Connection[Any]) -> None:
    conn.execute("update shop.bills set issued = '2025-05-05' where bill_no = 1")
    assert log(conn) == [("1", "2025-02-01")]


def test_an_update_of_a_row_without_time_logs_its_key(conn: psycopg.Connection[Any]) -> None:
    conn.execute("update shop.bills set cents = 2 where bill_no = 3")
    assert log(conn) == [("3", None)]


def test_an_update_of_the_key_logs_both_keys(conn: psycopg.Connection[Any]) -> None:
    conn.execute("update shop.bills set bill_no = 9 where bill_no = 1")
    assert log(conn) == [("1", "2025-02-01"), ("9", None)]


def test_swapped_keys_are_both_logged_with_their_old_times(conn: psycopg.Connection[Any]) -> None:
    conn.execute("alter table shop.bills drop constraint bills_pkey, add primary key (bill_no) deferrable")
    conn.execute("update shop.bills set bill_no = 3 - bill_no where bill_no in (1, 2)")
    assert sorted(log(conn)) == [("1", "2025-02-01"), ("2", "2025-02-02")]


def test_a_delete_logs_the_time_that_the_row_had(conn: psycopg.Connection[Any]) -> None:
    conn.execute("delete from shop.bills where bill_no in (1, 3)")
    assert sorted(log(conn)) == [("1", "2025-02-01"), ("3", None)]


def test_a_statement_that_touches_no_row_logs_nothing(conn: psycopg.Connection[Any]) -> None:
    conn.execute("update shop.bills set cents = 0 where bill_no = 99")
    conn.execute("delete from shop.bills where bill_no = 99")
    assert log(conn) == []


def test_a_rollback_takes_its_entries_along(conn: psycopg.Connection[Any]) -> None:
    with conn.transaction(force_rollback=True):
        conn.execute("delete from shop.bills")
        assert len(log(conn)) == 3
    assert log(conn) == []


def test_on_conflict_merge_and_copy_are_logged(conn: psycopg.Connection[Any]) -> None:
    conn.execute(
        "insert into shop.bills (bill_no, cents) values (1, 5), (7, 5) on conflict (bill_no) do update set cents = excluded.cents"
    )
    conn.execute("merge into shop.bills b using (values (2)) v (n) on b.bill_no = v.n when matched then delete")
    with conn.cursor().copy("copy shop.bills (bill_no, cents, issued) from stdin") as copy:
        copy.write_row((11, 1, "2025-04-04"))
    assert sorted(log(conn)) == [("1", "2025-02-01"), ("11", None), ("2", "2025-02-02"), ("7", None)]


def test_a_cascading_delete_is_logged(conn: psycopg.Connection[Any]) -> None:
    conn.execute("create table shop.accounts (customer varchar(80) primary key)")
    conn.execute("insert into shop.accounts values ('Ada')")
    conn.execute("alter table shop.bills add foreign key (customer) references shop.accounts on delete cascade")
    conn.execute("delete from shop.accounts")
    assert len(log(conn)) == 3


def test_a_role_without_any_right_on_maintenance_is_captured(scene: Scene, captured: Registered, superuser: Any) -> None:
    assert captured.sources[0].id
    with superuser() as conn:
        conn.execute("grant usage on schema shop to service_member")
        conn.execute("grant all on shop.bills to service_member")
        conn.execute("set role service_member")
        conn.execute("delete from shop.bills where bill_no = 1")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute("select from maintenance.capture")
    assert scene.queue() == [("1", "2025-02-01")]


def test_a_session_in_the_replica_role_is_captured(scene: Scene, captured: Registered, superuser: Any) -> None:
    assert captured.sources[0].id
    with superuser() as conn:
        conn.execute("set session_replication_role = replica")
        conn.execute("delete from shop.bills where bill_no = 1")
    assert scene.queue() == [("1", "2025-02-01")]


@pytest.fixture
def superuser(server: Any, scene: Scene) -> Any:
    name = psycopg.conninfo.conninfo_to_dict(scene.dsn)["dbname"]
    return lambda: psycopg.connect(make_conninfo(server.superuser_dsn, dbname=str(name)), autocommit=True)


def test_nobody_but_the_owner_may_execute_the_trigger_function(conn: psycopg.Connection[Any], captured: Registered) -> None:
    name = f"maintenance.capture_{captured.sources[0].id}()"
    roles = ("anon", "authenticated", "service_role", "authenticator")
    granted = [role for role in roles if _may_execute(conn, role, name)]
    assert granted == []


def _may_execute(conn: psycopg.Connection[Any], role: str, name: str) -> bool:
    row = conn.execute("select has_function_privilege(%s, %s, 'execute')", (role, name)).fetchone()
    return bool(row and row[0])


def test_truncate_is_refused_with_the_remedy(conn: psycopg.Connection[Any]) -> None:
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match=r"TRUNCATE of shop\.bills is refused") as refused:
        conn.execute("truncate shop.bills")
    assert "DELETE FROM shop.bills" in (refused.value.diag.message_hint or "")
    assert conn.execute("select count(*) from shop.bills").fetchone() == (3,)


def test_times_that_no_instant_can_hold_do_not_stop_the_writer(conn: psycopg.Connection[Any]) -> None:
    for day in ("infinity", "-infinity", "5874897-12-31", "4713-01-01 BC"):
        conn.execute("update shop.bills set issued = %s where bill_no = 1", (day,))
    conn.execute("delete from shop.bills where bill_no = 1")
    assert [key for (key, _) in log_keys(conn)] == ["1"] * 5


def log_keys(conn: psycopg.Connection[Any]) -> list[tuple[str, bool]]:
    return conn.execute("select key, old_time is null from maintenance.capture order by seq").fetchall()


@pytest.mark.parametrize(
    ("zone", "local", "instant"),
    [
        ("Europe/Berlin", "2025-02-01 10:00", "2025-02-01 09:00:00+00"),
        ("Europe/Berlin", "2025-03-30 02:30", "2025-03-30 01:30:00+00"),
        ("UTC", "294276-12-31 23:59", "294276-12-31 23:59:00+00"),
        ("America/New_York", "294276-12-31 23:59", "294276-12-31 23:59:00+00"),
    ],
)
def test_a_local_time_is_logged_as_the_instant_of_its_zone(scene: Scene, zone: str, local: str, instant: str) -> None:
    query = "select maintenance.source_instant(%s::timestamp, %s)::text"
    assert scene.one(query, local, zone) == instant


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Australia/Lord_Howe", "Pacific/Apia", "America/Havana"])
def test_a_range_of_local_times_misses_none_whose_instant_lies_in_it(scene: Scene, zone: str) -> None:
    """Every half hour of two years, against bounds at every six hours: the widened range holds it wherever the instant does."""
    query = """
    select count(*) from generate_series('2011-01-01'::timestamp, '2012-12-31', '30 minutes') as t (local)
    cross join lateral (select maintenance.source_instant(t.local, %(zone)s) as instant) i
    cross join lateral (select date_bin('6 hours', i.instant, '2000-01-01') as lower) b
    where t.local < maintenance.first_time(b.lower, %(zone)s, t.local)
       or t.local >= maintenance.past_time(b.lower + interval '6 hours', %(zone)s, t.local)
       or t.local::date < maintenance.first_time(date_bin('1 day', maintenance.source_instant(t.local::date, %(zone)s), '2000-01-01'),
          %(zone)s, t.local::date)
    """
    with scene.connect() as conn:
        assert conn.execute(query.encode(), {"zone": zone}).fetchone() == (0,)


def test_a_plain_zone_widens_nothing(scene: Scene) -> None:
    query = (
        "select maintenance.first_time(%s, 'UTC', null::timestamp)::text, maintenance.past_time(%s, 'UTC', null::date)::text"
    )
    assert scene.execute(query, AS_OF, AS_OF) == [("2025-06-15 12:00:00", "2025-06-16")]


def test_a_second_installation_touches_nothing(scene: Scene, captured: Registered) -> None:
    before = scene.one("select array_agg(oid order by tgname)::text from pg_trigger where tgrelid = 'shop.bills'::regclass")
    assert capture_on(captured) == []
    assert (
        scene.one("select array_agg(oid order by tgname)::text from pg_trigger where tgrelid = 'shop.bills'::regclass")
        == before
    )


def test_installing_waits_for_open_writers_of_that_table_and_names_them(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "CAPTURE_BUDGET_S", 0.5)
    with scene.connect(autocommit=False) as writer:
        writer.execute("insert into shop.bills (bill_no, cents) values (1, 1)")
        with pytest.raises(LockBusy, match=r"shop\.bills stayed locked .*insert into shop\.bills"):
            turn_on(scene)
        writer.rollback()
    assert scene.one("select count(*) from pg_trigger where tgrelid = 'shop.bills'::regclass") == 0


def test_installing_waits_for_no_reader(scene: Scene) -> None:
    with scene.connect(autocommit=False) as reader:
        reader.execute("set transaction isolation level repeatable read")
        reader.execute("select * from shop.bills")
        assert turn_on(scene).name == NAME


@pytest.mark.parametrize(
    "touch",
    [
        "alter table shop.bills disable trigger maintenance_capture_update",
        "alter table shop.bills enable trigger maintenance_capture_update",
        "alter table shop.bills disable trigger all; alter table shop.bills enable always trigger maintenance_capture_update",
        "drop trigger maintenance_capture_delete on shop.bills",
        "drop trigger maintenance_capture_truncate on shop.bills",
        "alter trigger maintenance_capture_insert on shop.bills rename to another",
    ],
)
def test_a_touched_trigger_raises_the_generation_once_and_is_put_right(scene: Scene, captured: Registered, touch: str) -> None:
    first = look(captured).number
    scene.execute(touch)
    with transaction(Kind.READ) as conn:
        seen = read_generation(conn, NAME)
    assert (seen.is_current, seen.number) == (False, first)
    assert look(captured).number == look(captured).number == first + 1
    assert capture_on(captured) == ["shop.bills"]
    after = look(captured)
    assert (after.number, after.is_current, after.faults) == (first + 2, True, ())


def look(captured: Registered) -> capture.Generation:
    with transaction(Kind.READ) as conn:
        return check_generation(conn, captured.name)


def test_a_fault_is_named(scene: Scene, captured: Registered) -> None:
    scene.execute("alter table shop.bills disable trigger maintenance_capture_update")
    assert look(captured).faults == ("shop.bills (maintenance_capture_update)",)


def test_a_changed_trigger_function_is_a_fault(scene: Scene, captured: Registered) -> None:
    first = look(captured).number
    name = sql.Identifier("maintenance", f"capture_{captured.sources[0].id}")
    with scene.connect() as conn:
        body = "create or replace function {}() returns trigger language plpgsql as 'begin return null; end'"
        conn.execute(sql.SQL(body).format(name))
    assert look(captured).number == first + 1
    assert len(look(captured).faults) == 3


def test_what_is_not_touched_keeps_its_generation(scene: Scene, captured: Registered) -> None:
    first = look(captured).number
    for statement in (
        "create index on shop.bills (customer)",
        "vacuum full shop.bills",
        "alter table shop.bills add more text",
    ):
        scene.execute(statement)
    assert look(captured).number == first


def test_removing_leaves_no_trace(scene: Scene, captured: Registered) -> None:
    with transaction(Kind.DDL) as conn:
        remove_capture(conn, captured.sources[0])
    assert scene.one("select count(*) from pg_trigger where tgrelid = 'shop.bills'::regclass") == 0
    assert scene.one("select count(*) from pg_proc where proname like 'capture\\_%' and prorettype = 'trigger'::regtype") == 0
