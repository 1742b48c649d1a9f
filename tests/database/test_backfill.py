"""The backfill copies every row exactly once, whatever happens meanwhile and whenever it is interrupted (M2)."""

from __future__ import annotations

import re
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from tasks.core.connect import Kind, transaction
from tasks.core.declaration import Declaration
from tasks.core.disk import free_bytes
from tasks.core.errors import MissingRelation, NotDeclared, UnsuitableRelation
from tasks.core.ledger import Deferred, run_exclusively
from tasks.gates.evidence import collect
from tasks.health.report import read_health
from tasks.migration import copy
from tasks.migration.backfill import BackfillResult, backfill, copy_bundle, in_threads
from tasks.migration.backfill_text import backfill_plan, backfill_result
from tasks.migration.capture import CaptureChanged, capture_on
from tasks.migration.copy import UnitFailed, register_units
from tasks.migration.plan import BackfillPlan, Cut, Due, TooLittleDisk
from tasks.migration.prepare import prepare_migration
from tasks.migration.rows import MappingDefect
from tasks.migration.sources import ColumnMissing
from tasks.partitions.create import ensure_partitions
from tests.migrating import AS_OF, LEGACY, NAME, TABLE, Scene, scene

__all__ = ["scene"]

STATE = "select coalesce(sum(rows_copied), 0)::int, count(*) filter (where state = 'done')::int from maintenance.unit"


@pytest.fixture
def full(scene: Scene) -> Scene:
    """Bills of every kind over all months: 400 that fit, and some that do not."""
    scene.execute(
        """
        insert into shop.bills (bill_no, customer, cents, issued, due, paid, remark)
        select n, 'customer ' || n %% 7, n * 13 %% 1000, '2025-01-01'::date + n * 243 / 400, case n %% 3 when 0 then '2025-12-31'::date end,
            case n %% 5 when 0 then '2025-06-01'::date end, repeat('x', n %% 50)
        from generate_series(0, 399) n
    """.replace("%%", "%")
    )
    scene.add((1001, None, 1), (1002, "infinity", 1), (1003, "-infinity", 1), (1004, "2024-12-31", 1), (1005, "2025-09-01", 1))
    scene.add((1006, "2025-03-03", -1), (1007, "2025-07-07", -1), (1008, "2025-01-01", 0), (1009, "2025-08-31", 0))
    return scene


def cut(scene: Scene) -> Cut:
    policy = scene.declaration.table(TABLE).partitioning
    return Cut(scene.registered().target.relation, policy.every, policy.zone)


def test_every_bill_is_copied_once_or_refused_with_its_reason(full: Scene) -> None:
    result = full.backfill(workers=2)
    full.assert_exact()
    assert result.rows_quarantined == {
        "issued is outside the span": 2, "amount is negative": 2, "issued is infinite": 2, "issued is null": 1
    }  # fmt: skip
    assert (result.units_left, result.queue_left) == (0, 0)
    assert result.rows_copied + result.keys_drained == 409 - 1  # the negative bill of March is refused while March is loaded


def test_the_months_are_partitions_like_those_made_ahead(full: Scene) -> None:
    full.backfill()
    shape = """
    select count(*)::int, count(distinct (relrowsecurity, relowner))::int,
        count(distinct (select array_agg(maintenance.index_definition(indexrelid) order by 1) from pg_index where indrelid = c.oid))::int
    from pg_inherits join pg_class c on c.oid = inhrelid where inhparent = 'accounts.invoices'::regclass
    """
    assert full.execute(shape) == [(8, 1, 1)]
    assert (
        full.one("select count(*)::int from pg_constraint where conrelid::regclass::text like 'accounts.%' and contype = 'c'")
        > 0
    )


def test_the_indexes_that_wait_for_the_load_are_there_in_the_end(full: Scene) -> None:
    full.backfill()
    assert full.one("select indisvalid from pg_index where indexrelid = 'accounts.invoices_note'::regclass")


def test_a_second_run_has_nothing_to_do(full: Scene) -> None:
    full.backfill()
    before = full.execute("select xmin::text, number from accounts.invoices order by number")
    again = full.backfill()
    assert (again.rows_copied, again.units_done, again.keys_drained) == (0, 0, 0)
    assert full.execute("select xmin::text, number from accounts.invoices order by number") == before


def test_a_later_run_carries_what_changed_since(full: Scene) -> None:
    full.backfill()
    full.execute("update shop.bills set issued = issued + 40 where bill_no %s 3 = 0".replace("%s", "%"))
    full.execute("delete from shop.bills where bill_no % 7 = 0")
    assert full.backfill().keys_drained > 0
    full.assert_exact()


def test_two_runs_at_once_one_defers(full: Scene) -> None:
    def work(_: Any) -> BackfillResult | Deferred:
        return backfill(NAME, full.declaration, AS_OF, preflight=None)

    found = run_exclusively("test", NAME, work, overdue_after=timedelta(days=1), group=TABLE)
    assert isinstance(found, Deferred)
    assert "held by" in found.reason
    assert full.numbers() == []


def test_two_processes_at_once_end_with_every_row_once(full: Scene) -> None:
    results: list[object] = []

    def work() -> None:
        results.append(backfill(NAME, full.declaration, AS_OF, preflight=None))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(type(result).__name__ for result in results) in (["BackfillResult", "Deferred"], ["BackfillResult"] * 2)
    full.assert_exact()


def test_creation_leaves_registered_bounds_alone(full: Scene) -> None:
    built: list[str] = []

    def map_bundles(started: Any, name: str, bundles: Any, workers: int, on_progress: Any) -> Any:
        ensure_partitions(TABLE, full.declaration, AS_OF)
        built.extend(
            full.one("select array_agg(relname) from pg_class where relname like 'invoices\\_p2025%' and relkind = 'r'")
        )
        return in_threads(started, name, bundles, workers, on_progress)

    full.backfill(map_bundles=map_bundles)
    assert sorted(built) == ["invoices_p202506", "invoices_p202507", "invoices_p202508"]
    full.assert_exact()


def test_a_row_that_moves_between_months_that_are_loaded_is_in_one_of_them(full: Scene) -> None:
    """Both ways across a load: from a loaded month to one not yet loaded, and from that one back."""

    def work(started: Any) -> None:
        session = full.work(started)
        units = {due.partition: due for due in register_units(started, session.migration, cut(full)).due if due.partition}
        copy._build(session, units["invoices_p202501"])
        full.execute("update shop.bills set issued = '2025-02-02' where bill_no = 1008")
        full.execute(
            "update shop.bills set issued = '2025-01-09' where bill_no = (select bill_no from shop.bills where issued = '2025-02-20' limit 1)"
        )
        copy._build(session, units["invoices_p202502"])
        full.execute("update shop.bills set issued = '2025-01-31' where bill_no = 1008")
        full.execute("update shop.bills set issued = null where bill_no = 3")
        full.execute("delete from shop.bills where bill_no = 4")
        copy._attach(session, units["invoices_p202502"])
        full.drain()
        copy._attach(session, units["invoices_p202501"])

    with transaction(Kind.DDL) as conn:
        migration = prepare(conn, full)
    capture_on(migration)
    full.alone(work)
    full.backfill()
    full.assert_exact()


def prepare(conn: Any, scene: Scene) -> Any:
    from tasks.migration.prepare import prepare_migration

    return prepare_migration(conn, NAME, scene.declaration, AS_OF)


def interrupted(scene: Scene, after: str) -> None:
    """Run until every month is loaded and the first attached, or not: then the process is gone."""

    class Killed(BaseException):
        """What no handler of ours catches."""

    def map_bundles(started: Any, name: str, bundles: Any, _workers: int, _on_progress: Any) -> Any:
        if after == "registered":
            raise Killed
        session = scene.work(started)
        for due in (due for bundle in bundles for due in bundle if due.act == "build"):
            copy._build(session, due)
            if after == "attached":
                copy._attach(session, due)
        assert name == NAME
        raise Killed

    with pytest.raises(Killed):
        scene.backfill(map_bundles=map_bundles)


@pytest.mark.parametrize("after", ["registered", "loaded", "attached"])
def test_an_interrupted_run_goes_on(full: Scene, after: str) -> None:
    interrupted(full, after)
    full.execute("update shop.bills set issued = issued + 30, cents = cents + 1 where bill_no < 200")
    result = full.backfill()
    full.assert_exact()
    assert result.rows_copied == (
        0 if after != "registered" else full.one("select sum(rows_copied)::int from maintenance.unit")
    )


def test_what_was_loaded_before_the_target_got_a_check_is_attached_with_it(full: Scene) -> None:
    interrupted(full, "loaded")
    full.execute("alter table accounts.invoices add constraint dated check (issued_on is not null)")
    assert full.backfill().rows_copied == 0
    full.assert_exact()


def test_what_was_loaded_before_a_trigger_was_off_is_built_again(full: Scene) -> None:
    interrupted(full, "loaded")
    full.execute("alter table shop.bills disable trigger all")
    full.execute("update shop.bills set issued = issued + 30 where bill_no < 200")
    full.execute("delete from shop.bills where bill_no = 1006")
    full.execute("alter table shop.bills enable always trigger maintenance_capture_update")
    result = full.backfill()
    full.assert_exact()
    assert result.rows_copied > 0


def test_what_was_attached_before_a_trigger_was_off_is_queued_again(full: Scene) -> None:
    full.backfill()
    full.execute("alter table shop.bills disable trigger all")
    for change in (
        "update shop.bills set issued = issued + 30 where bill_no < 100",
        "update shop.bills set bill_no = bill_no + 5000 where bill_no between 100 and 150",
        "update shop.bills set cents = 77 where bill_no = 1006",
        "update shop.bills set cents = -77 where bill_no between 160 and 170",
        "update shop.bills set issued = null where bill_no between 171 and 175",
        "update shop.bills set issued = '2025-02-02' where bill_no = 1001",
        "delete from shop.bills where bill_no between 200 and 220 or bill_no = 1007 or bill_no = 1003",
    ):
        full.execute(change)
    assert full.backfill().units_done == 9
    full.assert_exact()


def test_a_truncated_table_is_found_by_its_generation(full: Scene) -> None:
    full.backfill()
    full.execute("alter table shop.bills disable trigger maintenance_capture_truncate")
    full.execute("truncate shop.bills")
    full.backfill()
    full.assert_exact()
    assert (full.numbers(), full.quarantine()) == ([], {})


@pytest.mark.parametrize("act", ["build", "queue"])
def test_a_unit_stops_where_a_trigger_was_touched_meanwhile(full: Scene, act: str) -> None:
    def map_bundles(started: Any, name: str, bundles: Any, workers: int, on_progress: Any) -> Any:
        full.execute("alter table shop.bills disable trigger maintenance_capture_update")
        chosen = [tuple(due for bundle in bundles for due in bundle if due.act == act)]
        return in_threads(started, name, chosen, workers, on_progress)

    with pytest.raises(CaptureChanged, match="capture trigger of bills"):
        full.backfill(map_bundles=map_bundles)
    assert full.execute(STATE) == [(0, 0)]
    full.backfill()
    full.assert_exact()


def test_a_bundle_that_is_repeated_skips_what_is_done(full: Scene) -> None:
    """As a task does after a lost connection."""
    outcomes: list[str] = []

    def map_bundles(started: Any, name: str, bundles: Any, workers: int, on_progress: Any) -> Any:
        first = in_threads(started, name, bundles, workers, on_progress)
        again = in_threads(started, name, bundles, workers, on_progress)
        outcomes.extend(result.outcome for results in again for result in results)
        return first

    full.backfill(map_bundles=map_bundles)
    assert outcomes == ["skipped"] * 9
    full.assert_exact()


def test_a_changed_mapping_has_everything_done_again(full: Scene) -> None:
    full.backfill()
    assert full.backfill(declared=declared(full, zone="Etc/UTC")).units_done == 9
    full.assert_exact()


def test_what_was_done_again_does_not_count_as_left_over_for_the_gate(full: Scene) -> None:
    full.backfill()
    again = declared(full, zone="Etc/UTC")
    with transaction(Kind.DDL) as conn:
        prepare_migration(conn, NAME, again, AS_OF)
    assert not any(unit["is_done"] for unit in units_of(again))

    full.backfill(declared=again)

    assert [unit["is_done"] for unit in units_of(again)] == [True] * 9
    assert open_units(again) == 0


def test_what_lies_outside_the_span_by_now_does_not_count_as_left_over_for_the_gate(full: Scene) -> None:
    """Retention takes partitions after a cutover and moves the span; the way back leaves their units, and nobody does them again."""
    full.backfill()
    full.execute("update maintenance.span set lower = '2025-08-01'")
    again = declared(full, zone="Etc/UTC")

    full.backfill(declared=again)

    units = units_of(again)
    assert [unit["is_done"] for unit in units] == [True] * len(units)
    assert 0 < len(units) < 9
    assert open_units(again) == 0


def open_units(declaration: Declaration) -> int:
    """Return how many units the health report calls open."""
    (text,) = (f.text for f in read_health(declaration, AS_OF).findings if f.rule == "migrating")
    (said,) = re.findall(r"(\d+) units? open", text)
    return int(said)


def units_of(declaration: Declaration) -> list[dict[str, Any]]:
    """Return the frame that the gate `backfill` judges, a row per unit."""
    return [dict(row) for row in collect(NAME, "backfill", declaration).frames["units"].rows]


def test_a_gap_between_partitions_is_filled(full: Scene) -> None:
    """As the way back called complete leaves one behind a partition that is on hold."""
    full.execute(f"create table accounts.held partition of {TABLE} for values from ('2025-01-01') to ('2025-02-01')")
    full.execute("alter table accounts.held enable row level security")
    gaps = """
        select lower from (
            select lower, lag(upper) over (order by lower) as reached from maintenance.partition where parent_oid = %s::regclass
        ) as p where reached < lower
    """
    assert len(full.execute(gaps, TABLE)) == 1

    full.backfill()

    full.assert_exact()
    assert not full.execute(gaps, TABLE)


def test_a_registered_month_that_somebody_else_made_is_withdrawn(full: Scene) -> None:
    interrupted(full, "registered")
    full.execute(
        "create table accounts.by_hand partition of accounts.invoices for values from ('2025-02-01') to ('2025-04-01')"
    )
    full.backfill()
    full.assert_exact()
    assert (
        full.one("select count(*)::int from maintenance.unit where partition in ('invoices_p202502', 'invoices_p202503')") == 0
    )


def test_a_loaded_month_that_is_not_wanted_any_more_is_dropped(full: Scene) -> None:
    interrupted(full, "loaded")
    full.execute(
        "create table accounts.by_hand partition of accounts.invoices for values from ('2025-02-01') to ('2025-04-01')"
    )
    full.backfill()
    full.assert_exact()
    assert full.one("select to_regclass('accounts.invoices_p202502')") is None


def test_a_foreign_table_in_the_place_of_a_partition_is_named(full: Scene) -> None:
    full.execute("create table accounts.invoices_p202502 (a integer)")
    with pytest.raises(
        UnitFailed, match=r"aside 2025-02-01 00:00 to 2025-03-01 00:00 of bills .*invoices_p202502.* already exists"
    ):
        full.backfill()
    full.execute("drop table accounts.invoices_p202502")
    full.backfill()
    full.assert_exact()


@pytest.mark.parametrize("day", ["2025-02-02", "2025-07-07"])
def test_a_row_that_the_mapping_overlooks_stops_the_run_and_is_named(full: Scene, day: str) -> None:
    full.add((500, None, day, 1))
    with pytest.raises(MappingDefect, match=r"The row 500 of shop\.bills cannot be written .*column customer"):
        full.backfill()
    full.execute("update shop.bills set customer = 'Eve' where bill_no = 500")
    full.backfill()
    full.assert_exact()


def test_readers_and_writers_go_on_while_a_month_is_loaded(full: Scene) -> None:
    def map_bundles(started: Any, name: str, bundles: Any, workers: int, on_progress: Any) -> Any:
        with full.connect(autocommit=False) as conn:
            conn.execute("update shop.bills set remark = 'in the middle' where bill_no = 1")
            conn.execute("select count(*) from accounts.invoices")
            result = in_threads(started, name, bundles, workers, on_progress)
            conn.commit()
            return result

    full.backfill(map_bundles=map_bundles)
    full.assert_exact()


def test_a_writer_at_full_speed_ends_in_no_difference(full: Scene, full_loops: bool) -> None:  # noqa: FBT001 (a fixture)
    from tests.database.test_drain import write

    for _ in range(5 if full_loops else 1):
        stop = threading.Event()
        writers = [threading.Thread(target=write, args=(full, seed, stop)) for seed in range(2)]
        for writer in writers:
            writer.start()
        try:
            full.backfill(workers=2)
        finally:
            stop.set()
            for writer in writers:
                writer.join()
        full.backfill()
        full.assert_exact()
        full.execute("alter table shop.bills disable trigger maintenance_capture_update")


def test_progress_tells_rows_and_their_estimated_total(full: Scene) -> None:
    full.execute("analyze shop.bills")
    told: list[tuple[str, int, int | None]] = []
    full.backfill(on_progress=lambda *step: told.append(step))
    copied = [(done, total) for step, done, total in told if step == "copy bills"]
    assert copied[-1] == (full.one("select sum(rows_copied + rows_quarantined)::int from maintenance.unit"), 409)
    assert ("drain bills", 155, None) in told or any(step == "drain bills" for step, _, _ in told)


def test_the_plan_says_what_is_done_and_why(full: Scene) -> None:
    plans: list[BackfillPlan] = []
    full.backfill(on_plan=plans.append)
    full.backfill(on_plan=plans.append)
    texts = [backfill_plan(NAME, plan) for plan in plans]
    assert "5 to build aside, 3 to queue live, 1 to queue residue" in texts[0]
    assert "| aside 2025-01-01 00:00 to 2025-02-01 00:00 | invoices_p202501 | not loaded yet |" in texts[0]
    assert "Every unit is done (9)" in texts[1]


def test_the_result_says_what_is_in_quarantine(full: Scene) -> None:
    text = backfill_result(full.backfill())
    assert "2 rows in quarantine: amount is negative" in text


def test_after_the_cutover_nothing_is_done(full: Scene) -> None:
    full.backfill()
    full.execute("update maintenance.migration set phase = 'cut_over'")
    result = full.backfill()
    assert result == BackfillResult(NAME, outcome="cut over")
    assert "cut over" in backfill_result(result)


def declared(scene: Scene, **changed: object) -> Declaration:
    """Return the declaration with the source's fields changed."""
    migration = scene.declaration.migrations[NAME]
    source = migration.sources[LEGACY].model_copy(update=changed)
    other = migration.model_copy(update={"sources": {LEGACY: source}})
    return scene.declaration.model_copy(update={"migrations": {NAME: other}})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("alter table shop.bills drop constraint bills_pkey", "it has no primary key, so a changed row cannot be named"),
        (
            "alter table shop.bills drop constraint bills_pkey, add primary key (bill_no, cents)",
            "its primary key has 2 columns",
        ),
        (
            "alter table shop.bills alter bill_no drop identity; alter table shop.bills alter bill_no type numeric",
            "its primary key is of type numeric",
        ),
        (
            "alter table shop.bills alter bill_no drop identity; alter table shop.bills alter bill_no type text",
            "its primary key of type text cannot become an id of type bigint",
        ),
        ("alter table shop.bills set unlogged", "it is not logged"),
        ("create table shop.more () inherits (shop.bills)", "other tables inherit from it"),
        ("alter table shop.bills alter issued type text", "its time column issued is of type text"),
        ("alter table shop.bills rename issued to day", "it has no column issued, which is declared as its time"),
        ("alter table shop.bills rename to old; create view shop.bills as select * from shop.old", "it is a view"),
    ],
)
def test_a_table_that_cannot_be_migrated_is_refused_with_the_reason(full: Scene, change: str, reason: str) -> None:
    full.execute(change)
    with pytest.raises(UnsuitableRelation, match=rf"shop\.bills cannot be maintained: {reason}.*Nothing was changed"):
        full.backfill()
    assert_untouched(full)


def assert_untouched(scene: Scene) -> None:
    """Neither the ledger nor either side has changed."""
    assert scene.one("select count(*)::int from maintenance.migration") == 0
    assert scene.one("select count(*)::int from pg_trigger where tgname like 'maintenance%'") == 0
    assert scene.numbers() == []


def test_a_missing_table_is_named(full: Scene) -> None:
    full.execute("drop table shop.bills")
    with pytest.raises(MissingRelation, match=r"shop\.bills does not exist"):
        full.backfill()
    assert_untouched(full)


def test_a_missing_column_is_named_with_the_file_that_reads_it(full: Scene) -> None:
    full.execute("alter table shop.bills drop column remark")
    with pytest.raises(ColumnMissing, match=r"shop\.bills has no column remark, which sql/legacy/bills/forward\.sql reads"):
        full.backfill()
    assert_untouched(full)


def test_a_target_without_runway_is_refused(full: Scene) -> None:
    full.execute("drop table accounts.invoices_p202506, accounts.invoices_p202507, accounts.invoices_p202508")
    with pytest.raises(UnsuitableRelation, match=r"it has no partition after 2025-01-01.*Run create_partitions first"):
        full.backfill()
    assert_untouched(full)


def test_an_undeclared_migration_is_refused(full: Scene) -> None:
    with pytest.raises(NotDeclared, match="migration nothing is not declared"):
        backfill("nothing", full.declaration, AS_OF)


def test_too_little_disk_changes_nothing(full: Scene) -> None:
    with pytest.raises(TooLittleDisk, match=r"The backfill of bills needs about 1 MB for accounts\.invoices and 0 MB are free"):
        full.backfill(measure_free=lambda _: 1000)
    assert_untouched(full)


def test_disk_is_looked_at_before_the_first_copy_only(full: Scene) -> None:
    full.backfill(measure_free=lambda _: 10**9)
    full.backfill(measure_free=lambda _: 1000)


def test_free_disk_is_known_on_this_machine(scene: Scene) -> None:
    with transaction(Kind.READ) as conn:
        assert (free_bytes(conn) or 0) > 0


def test_a_changed_code_is_refused_while_the_source_is_registered(full: Scene) -> None:
    full.backfill()
    with pytest.raises(UnsuitableRelation, match=r"shop\.bills .* registered with code 1 and declared with code 2"):
        full.backfill(declared=declared(full, code=2))


def test_a_source_that_is_no_longer_declared_is_refused(full: Scene) -> None:
    full.backfill()
    full.execute("create table shop.others (like shop.bills including all)")
    migration = full.declaration.migrations[NAME]
    other = migration.model_copy(update={"sources": {"shop.others": migration.sources[LEGACY]}})
    with pytest.raises(UnsuitableRelation, match=r"shop\.bills .* registered with code 1 and no longer declared"):
        full.backfill(declared=full.declaration.model_copy(update={"migrations": {NAME: other}}))


def test_a_span_that_is_a_duration_begins_with_a_whole_month(full: Scene) -> None:
    migration = full.declaration.migrations[NAME].model_copy(update={"span_from": timedelta(days=100)})
    full.backfill(declared=full.declaration.model_copy(update={"migrations": {NAME: migration}}))
    assert full.execute("select lower, upper from maintenance.span") == [
        (datetime(2025, 3, 1, tzinfo=UTC), datetime(2025, 9, 1, tzinfo=UTC))
    ]


def test_a_wider_runway_takes_rows_out_of_quarantine(full: Scene) -> None:
    full.backfill()
    assert full.quarantine()["1005"] == "issued is outside the span"
    ensure_partitions(TABLE, full.declaration, AS_OF + timedelta(days=31))
    full.backfill()
    assert "1005" not in full.quarantine()
    assert 1005 in full.numbers()


def test_units_of_a_run_that_lost_its_lock_do_nothing(full: Scene) -> None:
    from tasks.core.errors import RunLost

    full.backfill()
    full.execute("alter table shop.bills disable trigger maintenance_capture_update")
    lost: list[Any] = []
    full.alone(lost.append)
    due = Due("live", "queue", datetime(2025, 6, 1, tzinfo=UTC), datetime(2025, 7, 1, tzinfo=UTC), None, "r")
    with pytest.raises(RunLost):
        copy_bundle(lost[0], NAME, (due,))


def test_a_session_of_another_zone_sees_the_same(full: Scene) -> None:
    name = psycopg.conninfo.conninfo_to_dict(full.dsn)["dbname"]
    full.execute(f"alter database {name} set timezone = 'Pacific/Apia'")
    full.backfill()
    full.assert_exact()
