"""The way back keeps everything that was written since the cutover, under either name."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from tasks.core.connect import database_now, runtime
from tasks.core.declaration import Declaration
from tasks.core.errors import LockBusy, MissingRelation, UnsuitableRelation
from tasks.core.ledger import Deferred, run_exclusively
from tasks.core.parameters import Safety
from tasks.core.sqlfiles import trusted
from tasks.gates.evidence import collect
from tasks.migration import cutover, reverse, rollback
from tasks.migration.backfill import BackfillResult, backfill
from tasks.migration.cutover import cut_over, read_migration
from tasks.migration.reverse import Carried, CarriedAmiss, carry_back, count_waiting
from tasks.migration.rollback import CarryBehind, RollbackResult, roll_back
from tasks.migration.steps import carry_back_from
from tasks.migration.views import DependantStays
from tasks.partitions.retire import RetentionResult, retire
from tests.catalog import describe
from tests.conftest import Server
from tests.demo.ledger import Span, check_against, read_ledger
from tests.demo.legacy import VALIDATION_ZONE
from tests.demo.tables import TABLES
from tests.demo.writer import Settings, Writer
from tests.ready import DAYS, NAME, TARGET, consent, declaration, ready_database

Conn = psycopg.Connection[Any]
APPLY = Safety(apply=True)
PLACES = {str(table.relation): table.relation for table in TABLES}


@pytest.fixture
def dsn(server: Server) -> Iterator[str]:
    """A database that waits for its cutover."""
    with ready_database(server) as name, runtime():
        yield name


@pytest.fixture
def conn(dsn: str) -> Iterator[Conn]:
    """The maintenance role's session after the cutover."""
    cut_over(NAME, declaration())
    with psycopg.connect(dsn, autocommit=True) as session:
        yield session


def one(conn: Conn, query: str, *values: object) -> Any:
    """Return the only value of the only row."""
    ((value,),) = conn.execute(query, values or None).fetchall()  # pyright: ignore[reportArgumentType]
    return value


def back() -> RollbackResult:
    """Roll back, and say what was done."""
    result = roll_back(NAME, declaration(), database_now(), safety=APPLY)
    assert isinstance(result, RollbackResult)
    assert result.outcome == "rolled back"
    return result


def carry() -> Any:
    """Carry back as the scheduled backfill does, without rolling back."""
    policy = declaration().migration(NAME)
    return run_exclusively(
        "backfill",
        NAME,
        lambda run: carry_back(run, read_migration(NAME), policy),
        overdue_after=timedelta(days=1),
        group=TARGET,
    )


def application(dsn: str) -> str:
    """Return the connection string of the application, whose rights are service_role's by membership."""
    return make_conninfo(dsn, options="-c role=service_member")


@contextmanager
def writing(dsn: str, ledger: Path, operations: int | None = None) -> Iterator[Writer]:
    """Let the application write while the block runs, or until it has done `operations`."""
    settings = Settings(
        dsn=application(dsn), ledger=ledger, seed=3, rate=150.0, connections=2, max_operations=operations, as_of=None, days=DAYS,
        zone=VALIDATION_ZONE, refused_share=0.05, sample=60, open_for=0.5, open_every=1.0,
    )  # fmt: skip
    writer = Writer(settings)
    thread = threading.Thread(target=writer.run)
    thread.start()
    try:
        yield writer
    finally:
        if operations is None:
            writer.stop()
        thread.join()


def write_under_the_new_name(dsn: str, rounds: int) -> None:
    """Insert, change, move and delete rows of every category in the target."""
    with psycopg.connect(application(dsn), autocommit=True) as session:
        for number in range(rounds):
            session.execute(
                "insert into unified.event_metric_events (event_type, event_category, source_system, event_timestamp, user_id)"
                " select 'new', category, 'new', now() - make_interval(hours => %s), 'ada'"
                " from unnest(array['monitoring', 'error', 'validation', 'cache', 'dlq']) as c (category)",
                [number % 48],
            )
        session.execute("update unified.event_metric_events set priority = 5 where event_type = 'new' and priority = 0")
        session.execute(
            "update unified.event_metric_events set event_timestamp = event_timestamp - interval '1 day'"
            " where id in (select id from unified.event_metric_events where event_type = 'new' order by id limit %s)",
            [rounds],
        )
        session.execute(
            "delete from unified.event_metric_events where id in (select id from unified.event_metric_events where event_type = 'new' order by id limit %s)",
            [rounds],
        )


def shown(conn: Conn, suffix: str = "") -> dict[str, set[str]]:
    """Return every row under each old name as text."""
    rows = {}
    for table in TABLES:
        query = sql.SQL("select to_jsonb(t)::text from {} as t").format(sql.Identifier("monitoring", table.name + suffix))
        rows[table.name] = {row for (row,) in conn.execute(query)}
    return rows


def test_writes_under_both_names_are_all_there_after_the_way_back(dsn: str, tmp_path: Path, *, full_loops: bool) -> None:
    rounds = 500 if full_loops else 10
    ledger = tmp_path / "ledger"
    with psycopg.connect(dsn, autocommit=True) as conn:
        with writing(dsn, ledger, 10_000 if full_loops else 300) as writer:
            cut_over(NAME, declaration())
            write_under_the_new_name(dsn, rounds)
        assert writer.figures.errors == []
        ((lower, upper),) = conn.execute("select lower, upper from maintenance.span").fetchall()
        assert check_against(conn, read_ledger(ledger), PLACES, Span(lower, upper)) == []
        before = shown(conn)
        new = one(conn, "select count(*) from unified.event_metric_events where event_type = 'new'")

        result = back()

        assert check_against(conn, read_ledger(ledger), PLACES) == []
        after = shown(conn)
        for name, rows in before.items():
            assert rows <= after[name]
        found = one(
            conn,
            "select (select count(*) from monitoring.monitoring_events where event_type = 'new')"
            " + (select count(*) from monitoring.validation_metrics where event_type = 'new')"
            " + (select count(*) from monitoring.cache_metrics_monitoring as m"
            " join maintenance.carry_back as c on c.source_id = 3 and c.target_key = m.id::text)"
            " + (select count(*) from monitoring.dlq_table as m"
            " join maintenance.carry_back as c on c.source_id = 5 and c.legacy_key = m.id::text)",
        )
        assert found == new == 5 * rounds - rounds
        assert result.refused_rows == 0


def test_the_application_never_stops_through_cutover_and_way_back(dsn: str, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    with psycopg.connect(dsn, autocommit=True) as conn:
        with writing(dsn, ledger) as writer:
            cut_over(NAME, declaration())
            write_under_the_new_name(dsn, 3)
            result = back()
            consumed = writer.figures.kinds.total()
            while writer.figures.kinds.total() < consumed + 30:
                writer.stopping.wait(0.1)

        assert writer.figures.errors == []
        assert check_against(conn, read_ledger(ledger), PLACES) == []
    assert result.lock_ms < 10_000


def test_everything_stands_as_before_the_cutover(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("insert into maintenance.setting values ('USE_UNIFIED_SCHEMA', 'shadow')")
        conn.execute("alter table monitoring.validation_metrics enable always trigger set_updated_at")
        conn.execute("select maintenance.remove_capture(id) from maintenance.source")
        before = describe(conn)
        conn.execute("select maintenance.install_capture(id) from maintenance.source")
        backfill(NAME, declaration(), database_now(), preflight=None)
        consent()
        cut_over(NAME, declaration())
        assert describe(conn) != before

        back()

        assert describe(conn) == before
        assert one(conn, "select value from maintenance.setting") == "shadow"
        assert conn.execute("select phase, trigger_state from maintenance.migration").fetchall() == [("rolled_back", None)]
        assert conn.execute("select count(*) from maintenance.reverse_capture").fetchall() == [(0,)]


def test_a_scheduled_backfill_does_not_begin_anew_what_a_person_took_back(conn: Conn) -> None:
    back()
    before = describe(conn)

    waits = backfill(NAME, declaration(), database_now(), preflight=None, begins_anew=False)

    assert isinstance(waits, BackfillResult)
    assert waits.outcome == "waiting"
    assert waits.message == "event_store was rolled back and stays so: run migrate to begin it anew."
    assert describe(conn) == before
    assert one(conn, "select phase from maintenance.migration") == "rolled_back"


def test_a_dry_run_says_what_it_would_do_and_changes_nothing(conn: Conn) -> None:
    conn.execute("insert into monitoring.dlq_table (original_payload, created_at) values ('1', null), ('2', now())")
    before = describe(conn)

    result = roll_back(NAME, declaration(), database_now())

    assert isinstance(result, RollbackResult)
    assert (result.outcome, result.waiting, result.restored) == ("planned", 1, 1)
    assert result.writes["monitoring.dlq_table"] == 2
    assert result.dependants == ("public.monitoring_events_view",)
    assert describe(conn) == before
    assert count_waiting(NAME) == 1


def test_a_second_way_back_has_nothing_to_do(conn: Conn) -> None:
    back()
    before = describe(conn)

    result = roll_back(NAME, declaration(), database_now(), safety=APPLY)

    assert isinstance(result, RollbackResult)
    assert result.outcome == "nothing to roll back"
    assert describe(conn) == before


def test_a_refused_row_returns_exactly_as_it_was_written(conn: Conn) -> None:
    """JSON null is a payload; a NULL beside it is none."""
    inserted = conn.execute(
        "insert into monitoring.dlq_table (original_payload, failure_reason, created_at, status) values ('null', 'odd \\u0000', null, null)"
        " returning to_jsonb(dlq_table)::text"
    ).fetchall()
    cached = conn.execute(
        "insert into monitoring.cache_metrics_monitoring (cache_key, operation_type, implementation_type, timestamp, metadata)"
        " values ('a', 'hit', 'new', 'infinity', 'null'), ('b', 'hit', 'new', '-infinity', null)"
        " returning id, metadata is null, timestamp::text"
    ).fetchall()

    assert back().restored == 3

    assert inserted[0][0] in shown(conn)["dlq_table"]
    assert one(
        conn,
        "select original_payload = 'null'::jsonb from monitoring.dlq_table where created_at is null and failure_reason like 'odd%'",
    )
    for key, is_null, when in cached:
        found = conn.execute(
            "select metadata is null, timestamp::text from monitoring.cache_metrics_monitoring where id = %s", [key]
        ).fetchall()
        assert found == [(is_null, when)]


def test_a_row_that_was_refused_later_takes_its_last_values_back(conn: Conn) -> None:
    conn.execute("update monitoring.events set type = 'moved out', timestamp = '1999-01-01' where id = 3")

    back()

    assert conn.execute("select type, timestamp = '1999-01-01' from monitoring.events where id = 3").fetchall() == [
        ("moved out", True)
    ]


def test_what_a_table_cannot_hold_is_kept_whole(conn: Conn) -> None:
    conn.execute(
        "insert into unified.event_metric_events (event_type, event_category, source_system, user_id, event_data)"
        " values (repeat('x', 300), 'error', 'new', 'ada', 'null')"
    )

    back()

    row = conn.execute("select source_id, reason, target_row from maintenance.carry_back").fetchall()
    assert [(source_id, reason) for source_id, reason, _ in row] == [(1, None)]
    assert (row[0][2]["event_category"], row[0][2]["event_data"], len(row[0][2]["event_type"])) == ("error", None, 300)
    assert one(conn, "select length(event_type) from monitoring.monitoring_events where event_type like 'xxx%'") == 50
    assert one(conn, "select count(*) from unified.event_metric_events where event_type like 'xxx%'") == 0


def test_a_row_that_no_table_takes_stays_and_is_named(conn: Conn) -> None:
    """Code 0 is for rows of maintenance itself: nobody owns or adopts them."""
    conn.execute(
        "insert into unified.event_metric_events (id, event_type, event_category, source_system)"
        " values (maintenance.v8_id(0, 1), 'own', 'error', 'maintenance')"
    )

    result = back()

    assert result.refused_rows == 1
    assert [(row.target_key, row.reason) for row in result.refused] == [
        ("00000000-0000-8000-8000-000000000001", "no legacy table takes it")
    ]
    assert one(conn, "select count(*) from unified.event_metric_events where event_type = 'own'") == 1


def test_a_row_that_breaks_a_legacy_check_is_refused_alone(conn: Conn) -> None:
    conn.execute("alter table monitoring.monitoring_events_legacy add check (source <> 'forbidden') not valid")
    conn.execute(
        "insert into unified.event_metric_events (event_type, event_category, source_system)"
        " select 'many', 'monitoring', case n when 33 then 'forbidden' else 'fine' end from generate_series(1, 100) as n"
    )

    result = back()

    assert [row.reason.partition(": ")[0] for row in result.refused] == ["monitoring.monitoring_events refuses it"]
    assert one(conn, "select count(*) from monitoring.monitoring_events where event_type = 'many'") == 99


def test_a_row_that_is_too_long_for_a_legacy_index_is_refused_alone(conn: Conn) -> None:
    conn.execute("create index on monitoring.monitoring_events_legacy ((data ->> 'long'))")
    conn.execute(
        "insert into unified.event_metric_events (event_type, event_category, source_system, event_data) select 'many', 'monitoring',"
        " 's', jsonb_build_object('long', (select string_agg(md5(random()::text), '') from generate_series(1, n)))"
        " from unnest(array[1, 1000]) as n"
    )

    result = back()

    assert ["refuses it: index row" in row.reason for row in result.refused] == [True]
    assert one(conn, "select count(*) from monitoring.monitoring_events where event_type = 'many'") == 1


def test_of_two_rows_with_one_id_the_first_carried_keeps_its_key_while_it_lives(conn: Conn) -> None:
    """Under the new name an id may repeat with another time; a legacy table's key may not."""
    first = "insert into monitoring.monitoring_events (event_type, timestamp, source, data) values ('first', now(), 'x', '{}') returning id"
    held = "select event_type from monitoring.monitoring_events_legacy where id = %s"
    key = one(conn, first)
    carry()
    conn.execute(
        "insert into unified.event_metric_events (id, event_type, event_category, source_system, event_timestamp)"
        " values (%s, 'second', 'monitoring', 'x', now() - interval '1 hour')",
        [key],
    )
    carry()
    assert conn.execute(held, [key]).fetchall() == [("first",)]
    assert one(conn, "select reason from maintenance.carry_back") == "its key in the legacy table belongs to another row"

    conn.execute("delete from unified.event_metric_events where id = %s and event_type = 'first'", [key])
    result = back()

    assert conn.execute(held.replace("_legacy", ""), [key]).fetchall() == [("second",)]
    assert result.refused_rows == 0


def test_of_two_rows_with_one_id_carried_together_the_earlier_is_written(conn: Conn) -> None:
    key = one(conn, "select gen_random_uuid()")
    for number, name in enumerate(("earlier", "later")):
        conn.execute(
            "insert into unified.event_metric_events (id, event_type, event_category, source_system, event_timestamp)"
            " values (%s, %s, 'monitoring', 'x', now() - interval '1 hour' + make_interval(mins => %s))",
            [key, name, number],
        )

    result = back()

    assert conn.execute("select event_type from monitoring.monitoring_events where id = %s", [key]).fetchall() == [("earlier",)]
    assert result.refused_rows == 1


def test_changes_are_carried_back_while_the_cutover_stands(conn: Conn) -> None:
    conn.execute("update monitoring.events set data = '{\"seen\": 1}' where id = 5")
    conn.execute("delete from monitoring.events where id = 6")
    conn.execute("update monitoring.events set id = 424242 where id = 7")
    assert count_waiting(NAME) > 0

    carry()

    assert count_waiting(NAME) == 0
    assert one(conn, "select data from monitoring.events_legacy where id = 5") == {"seen": 1}
    assert one(conn, "select count(*) from monitoring.events_legacy where id in (6, 7)") == 0
    assert one(conn, "select count(*) from monitoring.events_legacy where id = 424242") == 1


def test_a_scheduled_backfill_carries_back_after_the_cutover(conn: Conn) -> None:
    conn.execute("update monitoring.events set data = '{\"seen\": 1}' where id = 5")

    result = backfill(NAME, declaration(), database_now(), preflight=None)

    assert (getattr(result, "outcome", None), getattr(result, "keys_drained", None)) == ("cut over", 1)
    assert one(conn, "select data from monitoring.events_legacy where id = 5") == {"seen": 1}


def keys_of_a_busy_week(conn: Conn) -> int:
    """Let changes wait of rows that are gone again, many more than one round of batches takes."""
    logged = "insert into maintenance.reverse_capture (migration, key, event_time) select %s, gen_random_uuid(), now()"
    return conn.execute(f"{logged} from generate_series(1, 230)".encode(), (NAME,)).rowcount


def test_however_much_waits_is_carried_before_anybody_has_to_stand_still(conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    """Formerly a hundred batches were, and the rest while everything was locked."""
    keys = keys_of_a_busy_week(conn)
    monkeypatch.setattr(reverse, "carry_batch", partial(reverse.carry_batch, limit=2))
    monkeypatch.setattr(reverse, "BATCH_KEYS", 2)
    locked = rollback._lock
    left: list[int] = []

    def lock(session: Conn, job: Any) -> None:
        left.append(count_waiting(NAME))
        locked(session, job)

    monkeypatch.setattr(rollback, "_lock", lock)

    assert back().carried == keys
    assert left == [0]


def test_a_way_back_with_too_much_left_is_refused_before_it_locks(conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    """The application writes faster than it is carried."""
    keys = keys_of_a_busy_week(conn)
    monkeypatch.setattr(rollback, "carry_nearly_all", lambda *_: Carried())
    monkeypatch.setattr(rollback, "MOST_LEFT", 100)

    with pytest.raises(CarryBehind, match=rf"{keys} changes of unified\.event_metric_events wait to be carried back"):
        back()

    assert one(conn, "select phase from maintenance.migration where name = %s", NAME) == "cut_over"
    assert count_waiting(NAME) == keys


def test_a_retired_partition_deletes_nothing_in_the_legacy_tables(conn: Conn) -> None:
    """The row was changed, then its partition was detached before the change was carried back."""
    partition = one(conn, "select relation_oid::regclass::text from maintenance.partition order by lower limit 1 offset 3")
    ((held,),) = conn.execute(sql.SQL("select count(*) from {}").format(trusted(partition))).fetchall()
    assert held > 0
    before = {name: len(rows) for name, rows in shown(conn, "_legacy").items()}
    conn.execute("update unified.event_metric_events set priority = 3 where event_timestamp < now() - interval '2 days'")
    conn.execute(sql.SQL("alter table unified.event_metric_events detach partition {}").format(trusted(partition)))

    carry()

    assert {name: len(rows) for name, rows in shown(conn, "_legacy").items()} == before


def test_a_change_that_its_partition_took_along_is_carried_back_from_there(conn: Conn) -> None:
    """A transaction that was open when the partition left had changed it: DETACH waits for it, the log is read later."""
    key, at = conn.execute(
        "select id, timestamp from monitoring.events where isfinite(timestamp) order by timestamp limit 1"
    ).fetchone() or (0, None)
    gone = one(conn, "select max(id) from monitoring.events where timestamp::date = %s::date and id <> %s", at, key)
    carry()
    conn.execute("update monitoring.events set data = '{\"last\": true}' where id = %s", (key,))
    conn.execute("delete from monitoring.events where id = %s", (gone,))
    partition, oid, lower, upper = conn.execute(
        "select p.schema || '.' || p.name, p.relation_oid, p.lower, p.upper from maintenance.partition as p"
        " where p.parent_oid = 'unified.event_metric_events'::regclass and p.lower <= %s and %s < p.upper",
        (at, at),
    ).fetchone() or ("", 0, None, None)
    conn.execute(
        "insert into maintenance.retirement (parent, partition, partition_oid, lower, upper, state, reason, due_at)"
        " values (%s, %s, %s, %s, %s, 'detached', 'a test', now())",
        (TARGET, partition, oid, lower, upper),
    )
    conn.execute(sql.SQL("alter table unified.event_metric_events detach partition {}").format(trusted(partition)))

    carry()

    assert one(conn, "select data ->> 'last' from monitoring.events_legacy where id = %s", key) == "true"
    assert one(conn, "select count(*) from monitoring.events_legacy where id = %s", gone) == 0
    assert one(conn, "select count(*) from maintenance.reverse_capture") == 0


def test_maintenances_own_moves_are_not_logged_and_an_applications_are(conn: Conn, superuser: Conn, dsn: str) -> None:
    move = "update unified.event_metric_events set priority = 4 where id = maintenance.v8_id(4, 9)"
    with conn.transaction():
        conn.execute("set local maintenance.carrying = 'on'")
        conn.execute(move)
    assert count_waiting(NAME) == 0

    superuser.execute("create role outsider login password 'x' in role service_role")
    try:
        with psycopg.connect(make_conninfo(dsn, user="outsider", password="x")) as outside:
            outside.execute("set maintenance.carrying = 'on'")
            outside.execute(move.replace("maintenance.v8_id(4, 9)", "'00000004-0000-8000-8000-000000000009'"))
    finally:
        superuser.execute("drop role outsider")
    assert count_waiting(NAME) == 1


@pytest.fixture
def superuser(server: Server, conn: Conn) -> Iterator[Conn]:
    """A superuser's session in the same database."""
    with psycopg.connect(server.superuser_dsn, dbname=conn.info.dbname, autocommit=True) as session:
        yield session


def test_a_loser_returns_when_its_winner_goes(conn: Conn) -> None:
    ((key, when),) = conn.execute(
        "select id, timestamp from monitoring.monitoring_events where isfinite(timestamp) limit 1"
    ).fetchall()
    conn.execute(
        "insert into monitoring.cache_metrics_monitoring (id, cache_key, operation_type, implementation_type, timestamp)"
        " values (%s, 'loser', 'hit', 'new', %s)",
        [key, when],
    )
    conn.execute("delete from monitoring.monitoring_events where id = %s", [key])

    carry()
    carry()

    assert one(conn, "select cache_key from monitoring.cache_metrics_monitoring where id = %s", key) == "loser"
    assert one(conn, "select count(*) from maintenance.quarantine where legacy_row ->> 'cache_key' = 'loser'") == 0


def test_a_busy_view_is_named_and_nothing_is_changed(conn: Conn, dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollback, "BUDGET_S", 1.0)
    before = describe(conn)
    with psycopg.connect(dsn, application_name="bookkeeping") as busy:
        busy.execute("select count(*) from monitoring.dlq_table")

        with pytest.raises(LockBusy, match="bookkeeping"):
            roll_back(NAME, declaration(), database_now(), safety=APPLY)

    assert describe(conn) == before
    back()


def test_a_materialized_view_on_an_old_name_is_named(conn: Conn) -> None:
    conn.execute("create materialized view public.kept as select id from monitoring.events")
    before = describe(conn)

    with pytest.raises(DependantStays, match=r"public\.kept"):
        roll_back(NAME, declaration(), database_now(), safety=APPLY)

    assert describe(conn) == before


def test_a_view_made_on_an_old_name_reads_the_table_again(conn: Conn) -> None:
    conn.execute("create view public.reader with (security_invoker = true) as select id, type from monitoring.events")
    conn.execute("grant select on public.reader to authenticated")
    before = [row for row in describe(conn) if row[1] == "reader"]

    back()

    assert [row for row in describe(conn) if row[1] == "reader"] == before
    assert one(conn, "select count(*) = (select count(*) from monitoring.events) from public.reader")


def test_a_table_aside_that_was_renamed_is_not_put_back(conn: Conn) -> None:
    conn.execute("alter table monitoring.events_legacy rename to events_older")

    with pytest.raises(UnsuitableRelation, match="no longer called events_legacy"):
        roll_back(NAME, declaration(), database_now(), safety=APPLY)


def test_rows_that_do_not_arrive_end_the_carrying(conn: Conn, superuser: Conn) -> None:
    """Somebody has made a trigger on the table aside that swallows rows."""
    conn.execute("create function public.swallow() returns trigger language plpgsql as 'begin return null; end'")
    conn.execute(
        "create trigger swallow before insert on monitoring.events_legacy for each row execute function public.swallow()"
    )
    conn.execute("insert into monitoring.events (type, data, timestamp, created_at) values ('lost', '{}', now(), now())")

    with pytest.raises(CarriedAmiss, match=r"monitoring\.events"):
        carry()

    assert count_waiting(NAME) == 1


def test_a_migration_that_was_never_prepared_is_named(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("truncate maintenance.migration cascade")

    with pytest.raises(MissingRelation, match="migration event_store"):
        roll_back(NAME, declaration(), database_now())


def test_another_run_on_the_target_defers_the_way_back(conn: Conn) -> None:
    del conn
    done = run_exclusively(
        "enforce_retention",
        TARGET,
        lambda _: roll_back(NAME, declaration(), database_now(), safety=APPLY),
        overdue_after=timedelta(days=1),
        group=TARGET,
    )

    assert isinstance(done, Deferred)


def test_after_the_way_back_the_migration_starts_anew_and_can_be_cut_over_again(conn: Conn) -> None:
    conn.execute("insert into monitoring.events (type, data, timestamp, created_at) values ('between', '{}', now(), now())")
    conn.execute(
        "insert into unified.event_metric_events (event_type, event_category, source_system) values ('new', 'dlq', 'x')"
    )
    back()
    conn.execute("delete from monitoring.events where id = 21")

    again()

    assert one(conn, "select count(*) from monitoring.events where type = 'between'") == 1
    assert one(conn, "select count(*) from monitoring.events where id = 21") == 0
    assert one(conn, "select relkind::text from pg_class where oid = 'monitoring.events'::regclass") == "v"


def test_it_starts_anew_though_retention_has_taken_partitions_since_the_cutover(
    conn: Conn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that waits for its end still holds the rows of before, which are no rows of the target; its unit is nobody's to do."""
    monkeypatch.setattr(cutover, "_drain_down", lambda _: None)
    taken = retire(
        TARGET, kept_shortly(), APPLY, database_now(), carry_back=lambda run: carry_back_from(TARGET, kept_shortly(), run)
    )
    assert isinstance(taken, RetentionResult)
    assert taken.detached
    back()
    for _ in range(2):
        backfill(NAME, declaration(), database_now(), preflight=None)
    assert all(unit["is_done"] for unit in collect(NAME, "backfill", declaration()).frames["units"].rows)
    consent()
    old = conn.execute(
        "update monitoring.events set data = '{}' where timestamp < (select lower from maintenance.span)"
        " and timestamp >= (select min(lower) from maintenance.retirement)"
    )
    assert old.rowcount > 0

    cut_over(NAME, declaration())

    assert one(conn, "select relkind::text from pg_class where oid = 'monitoring.events'::regclass") == "v"


def kept_shortly() -> Declaration:
    """The declaration with three days of retention, no gate and no archive."""
    shipped = declaration()
    table = shipped.tables[TARGET]
    assert table.retention is not None
    kept = table.retention.model_copy(update={"keep": timedelta(days=3), "archive": "none"})
    table = table.model_copy(update={"retention": kept, "gates": ()})
    return shipped.model_copy(update={"tables": {**shipped.tables, TARGET: table}})


def again() -> None:
    """Migrate once more, up to the cutover."""
    for _ in range(2):
        backfill(NAME, declaration(), database_now(), preflight=None)
    consent()
    cut_over(NAME, declaration())


def test_what_was_kept_whole_returns_when_the_migration_does(conn: Conn) -> None:
    row = conn.execute(
        "insert into unified.event_metric_events (event_type, event_category, source_system, user_id, event_data, priority)"
        " values ('whole', 'dlq', 'x', 'ada', '{\"payload\": null, \"more\": 1}', 3) returning to_jsonb(event_metric_events)::text"
    ).fetchall()
    back()

    again()

    assert (
        conn.execute("select to_jsonb(u)::text from unified.event_metric_events as u where event_type = 'whole'").fetchall()
        == row
    )
    conn.execute("update unified.event_metric_events set priority = 4 where event_type = 'whole'")
    back()
    assert (
        one(
            conn,
            "select count(*) from monitoring.dlq_table where original_payload = 'null'::jsonb and created_at > now() - interval '1 hour'",
        )
        == 1
    )


def test_what_was_kept_whole_gives_way_to_a_legacy_row_that_changed(conn: Conn) -> None:
    conn.execute(
        "insert into unified.event_metric_events (event_type, event_category, source_system, user_id) values ('whole', 'dlq', 'x', 'ada')"
    )
    back()
    key = one(
        conn,
        "update monitoring.dlq_table set failure_reason = 'changed' where id = (select max(id) from monitoring.dlq_table) returning id",
    )

    again()

    assert one(conn, "select count(*) from unified.event_metric_events where event_type = 'whole'") == 0
    assert one(conn, "select failure_reason from monitoring.dlq_table where id = %s", key) == "changed"
    conn.execute("update monitoring.dlq_table set failure_reason = 'again' where id = %s", [key])
    assert back().refused_rows == 0
    assert one(conn, "select failure_reason from monitoring.dlq_table where id = %s", key) == "again"
