"""The way back called complete: what the migration made is archived and gone, what no legacy table holds is not."""

from __future__ import annotations

import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pyarrow.parquet as pq
import pytest
from psycopg.conninfo import make_conninfo

from tasks.core.connect import Kind, database_now, runtime, transaction
from tasks.core.errors import LockBusy, UnsuitableRelation
from tasks.core.ledger import Deferred, run_exclusively
from tasks.core.parameters import Safety
from tasks.migration import remove
from tasks.migration.backfill import backfill
from tasks.migration.cutover import cut_over
from tasks.migration.prepare import prepare_migration
from tasks.migration.remove import Removal
from tasks.migration.render import describe_rollback
from tasks.migration.rollback import RollbackResult, roll_back
from tasks.partitions.archive_proof import ArchiveUnavailable
from tasks.partitions.create import ensure_partitions
from tasks.partitions.drop import DropRefused
from tasks.partitions.indexes import ensure_indexes
from tasks.partitions.retire import RetentionResult, retire
from tests import conftest as shared
from tests.catalog import describe
from tests.conftest import DEBIAN_15, SHIPPED_SETS, Server
from tests.database.test_rollback import APPLY, PLACES, shown, write_under_the_new_name, writing
from tests.demo.ledger import check_against, read_ledger
from tests.demo.legacy import create_legacy, generate
from tests.ready import DAYS, NAME, ROWS, SEED, TARGET, consent, declaration, ready_database

Conn = psycopg.Connection[Any]
OWN = "maintenance.v8_id(0, 1)"


@pytest.fixture
def dsn(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A database that waits for its cutover; archives are written to the test's folder."""
    monkeypatch.setenv("MAINTENANCE_ARCHIVE", str(tmp_path / "archive"))
    with ready_database(server) as name, runtime():
        yield name


@pytest.fixture
def conn(dsn: str) -> Iterator[Conn]:
    """The maintenance role's session."""
    with psycopg.connect(dsn, autocommit=True) as session:
        yield session


def one(conn: Conn, query: str, *values: object) -> Any:
    """Return the only value of the only row."""
    ((value,),) = conn.execute(query.encode(), values or None).fetchall()
    return value


def go(*, apply: bool = True, at_most: int | None = None) -> RollbackResult:
    """Roll back completely, or plan it."""
    result = roll_back(NAME, declaration(), database_now(), way="complete", safety=Safety(apply=apply, at_most=at_most))
    assert isinstance(result, RollbackResult)
    return result


def removed(result: RollbackResult) -> Removal:
    assert result.removal is not None
    return result.removal


def write_own(conn: Conn, kind: str = "own", day: str = "now()") -> None:
    """Write a row that no source owns or adopts, under the new name."""
    conn.execute(
        "insert into unified.event_metric_events (id, event_type, event_category, source_system, event_timestamp)"  # noqa: S608
        f" values ({OWN}, '{kind}', 'error', 'maintenance', {day})".encode()
    )


def target(conn: Conn) -> dict[str, str]:
    """Return every row of the target as text, by its place."""
    query = "select id::text || event_timestamp::text, to_jsonb(u)::text from unified.event_metric_events as u"
    return dict(conn.execute(query.encode()).fetchall())


def archived(result: RollbackResult) -> set[tuple[str, Any]]:
    """Return id and time of every row in the archives, read from the files."""
    tables = [pq.read_table(path, columns=["id", "event_timestamp"]) for path in removed(result).archives]
    return {(str(row["id"]), row["event_timestamp"]) for table in tables for row in table.to_pylist()}


def schema(conn: Conn) -> list[tuple[str, str, str]]:
    """Return what pg_dump would show, the schema maintenance left aside."""
    return [row for row in describe(conn, without="maintenance") if not row[1].startswith("maintenance.")]


def dump(server: Server, conn: Conn) -> list[str]:
    """Return what pg_dump does show; nothing where it is not of the server's version."""
    tool = DEBIAN_15 / "pg_dump"
    if conn.info.server_version // 10_000 != 15 or not tool.exists():
        return []
    dsn = make_conninfo(server.superuser_dsn, dbname=conn.info.dbname)
    command = [tool, "--schema-only", "--exclude-schema=maintenance", "--dbname", dsn]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [line for line in text.splitlines() if "restrict " not in line]


@pytest.fixture
def fresh(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Conn]:
    """A session in a database with legacy tables, runway and declared indexes, where no migration was ever begun."""
    monkeypatch.setenv("MAINTENANCE_ARCHIVE", str(tmp_path / "archive"))
    name = f"test_{secrets.token_hex(5)}"
    with psycopg.connect(server.superuser_dsn, autocommit=True) as admin:
        shared._create_database(admin, name, shared._template(server, SHIPPED_SETS))
        monkeypatch.setenv("DATABASE_URL", server.dsn_for(name))
        with runtime(), psycopg.connect(server.dsn_for(name), autocommit=True) as session:
            create_legacy(session, view_writer=True)
            generate(session, ROWS, SEED, database_now(), days=DAYS)
            ensure_partitions(TARGET, declaration(), database_now())
            for phase in ("before_attach", "after_load"):
                ensure_indexes(TARGET, declaration(), phase)
            yield session
        shared._drop_database(admin, name)


def test_after_a_cutover_the_schema_is_as_before_the_migration(server: Server, fresh: Conn) -> None:
    before, dumped, made, rows = schema(fresh), dump(server, fresh), functions(fresh), shown(fresh)
    for _ in range(2):
        backfill(NAME, declaration(), database_now(), preflight=None)
    consent()
    cut_over(NAME, declaration())
    moved = target(fresh)
    assert schema(fresh) != before

    result = go()

    assert (result.outcome, removed(result).rows) == ("removed", len(moved))
    assert schema(fresh) == before
    assert dump(server, fresh) == dumped
    assert functions(fresh) == made
    assert shown(fresh) == rows
    assert target(fresh) == {}
    assert len(archived(result)) == len(moved)


def functions(conn: Conn) -> set[str]:
    """Return the functions, views, tables and sequences of the schema maintenance."""
    query = (
        "select oid::regprocedure::text from pg_proc where pronamespace = 'maintenance'::regnamespace"
        " union all select oid::regclass::text from pg_class where relnamespace = 'maintenance'::regnamespace and relkind <> 'i'"
    )
    return {name for (name,) in conn.execute(query.encode())}


def test_a_plan_says_what_would_go_and_changes_nothing(conn: Conn, tmp_path: Path) -> None:
    cut_over(NAME, declaration())
    write_own(conn)
    before, rows = describe(conn), target(conn)

    result = go(apply=False)

    found = removed(result)
    assert (result.outcome, found.rows, found.staying_rows, found.functions) == ("planned", len(rows) - 1, 1, 15)
    assert found.partitions > DAYS
    assert [row.reason for row in found.staying] == ["no source owns it"]
    assert (describe(conn), target(conn)) == (before, rows)
    assert not list(tmp_path.rglob("*.parquet"))
    text = describe_rollback(result)
    assert "would be archived, verified and taken out of the target" in text
    assert "stays: 00000000-0000-8000-8000-000000000001" in text


@pytest.mark.parametrize("phase", ["capturing", "cut_over", "rolled_back"])
def test_from_every_phase_it_leaves_nothing_and_a_second_run_has_nothing_to_do(conn: Conn, phase: str) -> None:
    rows = target(conn)
    if phase != "capturing":
        cut_over(NAME, declaration())
    if phase == "rolled_back":
        roll_back(NAME, declaration(), database_now(), safety=APPLY)

    result = go()

    assert len(archived(result)) == removed(result).rows == len(rows)
    assert target(conn) == {}
    assert one(conn, "select count(*) from pg_trigger where tgname ~ '^maintenance_'") == 0
    assert one(conn, "select count(*) from pg_proc where proname ~ '^(event_store_|capture_[0-9]|reverse_event|old_name)'") == 0
    before = describe(conn)
    for apply in (False, True):
        assert go(apply=apply).outcome == "nothing to roll back"
    assert describe(conn) == before


def test_a_yes_from_before_the_way_back_is_none_after_it_also_where_it_is_not_finished(conn: Conn) -> None:
    open_requests = "select count(*) from maintenance.approval_request where closed_at is null"
    assert one(conn, open_requests) == 1

    assert removed(go(at_most=1)).left

    assert one(conn, open_requests) == 0


def test_what_no_legacy_table_holds_stays_in_its_partition(conn: Conn) -> None:
    """One row in a partition of the runway, one in a partition that the backfill built."""
    cut_over(NAME, declaration())
    write_own(conn)
    write_own(conn, "old", "now() - interval '3 days'")
    conn.execute("alter table monitoring.monitoring_events_legacy add check (source <> 'forbidden') not valid")
    conn.execute(
        "insert into unified.event_metric_events (event_type, event_category, source_system) values ('owned', 'monitoring', 'forbidden')"
    )
    before = target(conn)

    result = go()

    after = target(conn)
    assert after.items() <= before.items()
    assert sorted(one(conn, "select array_agg(event_type) from unified.event_metric_events")) == ["old", "own", "owned"]
    assert removed(result).staying_rows == 3
    reasons = {row.reason.partition(":")[0] for row in removed(result).staying}
    assert reasons == {"no legacy table takes it", "monitoring.monitoring_events refuses it"}
    assert {key for key, _ in archived(result)} == {key[:36] for key in before.keys() - after.keys()}
    assert go().outcome == "nothing to roll back"


def test_a_row_that_its_legacy_table_has_not_is_archived_and_named(conn: Conn) -> None:
    cut_over(NAME, declaration())
    roll_back(NAME, declaration(), database_now(), safety=APPLY)
    gone = one(conn, "delete from monitoring.events where id = 21 returning maintenance.v8_id(4, id)::text")
    new = one(
        conn,
        "insert into unified.event_metric_events (event_type, event_category, source_system)"
        " values ('new', 'cache', 'x') returning id::text",
    )
    assert removed(go(apply=False)).only_here == 2

    result = go()

    assert {(row.target_key, row.reason) for row in removed(result).only_here_rows} == {
        (gone, "not in monitoring.events"),
        (new, "not in monitoring.cache_metrics_monitoring"),
    }
    assert {gone, new} <= {key for key, _ in archived(result)}
    assert target(conn) == {}
    assert "only archived: " + new in describe_rollback(result)


def test_what_quarantine_and_carry_back_hold_outlives_it(conn: Conn) -> None:
    cut_over(NAME, declaration())
    conn.execute(
        "insert into unified.event_metric_events (event_type, event_category, source_system, user_id) values ('whole', 'dlq', 'x', 'ada')"
    )
    roll_back(NAME, declaration(), database_now(), safety=APPLY)
    query = "select (select jsonb_agg(q) from maintenance.quarantine as q)::text || (select jsonb_agg(c) from maintenance.carry_back as c)::text"
    before = one(conn, query)

    go()

    assert one(conn, query) == before


def test_the_writer_never_stops_and_its_tables_hold_all_that_it_wrote(dsn: str, conn: Conn, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    with writing(dsn, ledger) as writer:
        cut_over(NAME, declaration())
        write_under_the_new_name(dsn, 3)
        new = one(conn, "select count(*) from unified.event_metric_events where event_type = 'new'")
        result = go()
        done = writer.figures.kinds.total()
        while writer.figures.kinds.total() < done + 30:
            writer.stopping.wait(0.1)

    assert writer.figures.errors == []
    assert check_against(conn, read_ledger(ledger), PLACES) == []
    assert (result.outcome, target(conn), new) == ("removed", {}, 12)


def test_before_a_cutover_the_writer_never_stops_either(dsn: str, conn: Conn, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    with writing(dsn, ledger) as writer:
        go()
        done = writer.figures.kinds.total()
        while writer.figures.kinds.total() < done + 30:
            writer.stopping.wait(0.1)

    assert writer.figures.errors == []
    assert check_against(conn, read_ledger(ledger), PLACES) == []
    assert target(conn) == {}


def test_at_most_takes_the_oldest_and_leaves_the_rest_for_the_next_run(conn: Conn) -> None:
    oldest = one(conn, "select min(event_timestamp)::date::text from unified.event_metric_events")

    first = removed(go(at_most=3))

    assert (first.partitions, first.functions) == (3, 0)
    assert one(conn, "select min(event_timestamp)::date::text > %s from unified.event_metric_events", oldest)
    second = removed(go())
    assert (second.partitions, second.left, second.functions) == (first.left, 0, 15)
    assert target(conn) == {}


def test_a_hold_keeps_its_partition_until_it_ends(conn: Conn) -> None:
    conn.execute(
        "insert into maintenance.hold (relation, lower, upper, reason, owner)"
        " values (%s, date_trunc('day', now()) - interval '2 days', date_trunc('day', now()) - interval '1 day', 'court', 'law')",
        [TARGET],
    )
    held = one(conn, "select count(*) from unified.event_metric_events where event_timestamp::date = now()::date - 2")

    result = go()

    assert [kept.partition(": ")[2] for kept in removed(result).kept] == ["on hold: court"]
    assert len(target(conn)) == held > 0
    conn.execute("delete from maintenance.hold")
    assert removed(go()).rows == held
    assert target(conn) == {}


def test_rows_of_another_migration_stay(conn: Conn) -> None:
    """Its sources' codes are its own; its reverse capture logs nothing of what goes."""
    cut_over(NAME, declaration())
    conn.execute(
        "insert into maintenance.migration (name, target, phase) values ('other', 'unified.event_metric_events', 'cut_over')"
    )
    conn.execute(
        "insert into unified.event_metric_events (id, event_type, event_category, source_system, event_timestamp)"
        " select maintenance.v8_id(9, n), 'other', 'error', 'x', now() - n * interval '1 day' from generate_series(0, 4) as n"
    )
    partitions = "select count(*) from maintenance.partition where parent_oid = 'unified.event_metric_events'::regclass"
    before = one(conn, partitions)

    go()

    assert one(conn, "select array_agg(distinct event_type)::text || count(*) from unified.event_metric_events") == "{other}5"
    assert one(conn, partitions) == before


def test_after_it_the_migration_can_be_done_anew(conn: Conn) -> None:
    rows = target(conn)
    go()

    for _ in range(2):
        backfill(NAME, declaration(), database_now(), preflight=None)
    consent()

    assert target(conn).keys() == rows.keys()
    assert cut_over(NAME, declaration()).outcome == "cut over"
    assert len(archived(go())) == len(rows)


def test_a_partition_that_somebody_reads_is_named_and_the_next_run_goes_on(
    conn: Conn, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_over(NAME, declaration())
    roll_back(NAME, declaration(), database_now(), safety=APPLY)
    monkeypatch.setattr(remove, "BUDGET_S", 0.5)
    rows = target(conn)
    with psycopg.connect(dsn, application_name="bookkeeping") as busy:
        busy.execute("select count(*) from unified.event_metric_events")

        with pytest.raises(LockBusy, match="bookkeeping"):
            go()

    assert target(conn) == rows
    monkeypatch.undo()
    assert removed(go()).rows == len(rows)


def test_without_the_functions_that_say_whose_a_row_is_it_refuses(conn: Conn) -> None:
    conn.execute("select maintenance.drop_functions(array_agg(owns)) from maintenance.source where code = 3")
    before = describe(conn)

    with pytest.raises(UnsuitableRelation, match="say whose its rows are"):
        go()

    assert describe(conn) == before


def test_another_run_on_the_target_defers_it(conn: Conn) -> None:
    del conn
    done = run_exclusively(
        "enforce_retention",
        TARGET,
        lambda _: roll_back(NAME, declaration(), database_now(), way="complete", safety=APPLY),
        overdue_after=timedelta(days=1),
        group=TARGET,
    )

    assert isinstance(done, Deferred)


def test_what_was_only_prepared_goes_too(fresh: Conn) -> None:
    made = functions(fresh)
    with transaction(Kind.DDL) as conn:
        prepare_migration(conn, NAME, declaration(), database_now())
    assert functions(fresh) != made

    result = go()

    assert (result.outcome, removed(result).functions, removed(result).partitions) == ("removed", 15, 0)
    assert functions(fresh) == made


def before_each(monkeypatch: pytest.MonkeyPatch, name: str, act: Callable[[Any], object], number: int = 1) -> None:
    """Do something just before the numbered call of a function of `remove`, with its last argument."""
    real, calls = getattr(remove, name), list[str]()

    def wrapped(*arguments: Any) -> Any:
        calls.append(name)
        if len(calls) == number:
            act(arguments[-1])
        return real(*arguments)

    monkeypatch.setattr(remove, name, wrapped)


def test_a_row_that_nobody_owns_and_that_comes_in_meanwhile_stays(conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = len(target(conn))
    before_each(monkeypatch, "_take", lambda piece: write_own(conn, day=f"'{piece.bounds[0]}'"))

    result = go()

    assert one(conn, "select string_agg(event_type, ',') from unified.event_metric_events") == "own"
    assert removed(result).rows == rows


def test_a_hold_that_is_placed_meanwhile_is_kept(conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    hold = "insert into maintenance.hold (relation, lower, upper, reason, owner) values (%s, %s, %s, 'court', 'law')"
    before_each(monkeypatch, "_take", lambda piece: conn.execute(hold, [TARGET, *piece.bounds]), number=4)

    result = go()

    assert (removed(result).left, removed(result).functions, len(target(conn)) > 0) == (1, 0, True)
    conn.execute("delete from maintenance.hold")
    assert (removed(go()).functions, target(conn)) == (15, {})


def test_a_table_that_changes_after_its_archive_is_archived_again(conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = len(target(conn))
    before_each(monkeypatch, "_drop", lambda row: conn.execute(f"delete from {row['partition']}"))  # noqa: S608

    with pytest.raises(DropRefused, match="changed after its archive was verified"):
        go()

    assert one(conn, "select count(*) from maintenance.retirement where state = 'archived'") > 1
    monkeypatch.undo()
    assert 0 < len(archived(go())) < rows
    assert one(conn, "select count(*) from maintenance.retirement where state <> 'dropped'") == 0


def test_without_the_archive_extra_nothing_is_begun(conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    cut_over(NAME, declaration())
    before = describe(conn)
    monkeypatch.setitem(sys.modules, "tasks.partitions.parquet", None)
    monkeypatch.delattr("tasks.partitions.parquet", raising=False)

    with pytest.raises(ArchiveUnavailable):
        go()

    assert describe(conn) == before


def test_what_is_gone_is_no_gap_to_retention(conn: Conn) -> None:
    """Two rows stay, with days between them; the older one's partition is past its retention one day."""
    write_own(conn, "old", "now() - interval '5 days'")
    write_own(conn, "new")
    go()

    result = retire(TARGET, declaration(), Safety(), database_now() + timedelta(days=87))

    assert isinstance(result, RetentionResult)
    assert "detach" in result.plan
    assert "Would be refused" not in result.plan
