"""The drain writes each captured key's row as it is now, once, wherever it was before (M2, design 5)."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tasks.core.connect import Kind, runtime, transaction
from tasks.core.ledger import run_exclusively
from tasks.core.names import Relation
from tasks.core.sqlfiles import run
from tasks.migration import drain as drain_module
from tasks.migration.backfill import attached_bounds, current, drain
from tasks.migration.capture import capture_on, enqueue_keys, enqueue_range, enqueue_residue
from tasks.migration.drain import drain_batch, drain_source
from tasks.migration.prepare import prepare_migration
from tasks.migration.registry import Registered
from tasks.migration.rows import MappingDefect
from tests.conftest import Server
from tests.migrating import AS_OF, NAME, TABLE, Scene, scene
from tests.ready import ready_database

__all__ = ["scene"]


@pytest.fixture
def done(scene: Scene) -> Scene:
    """A finished backfill of four bills: January, June, without a time, negative."""
    scene.add((1, "2025-01-05", 100), (2, "2025-06-05", 200), (3, None, 300), (4, "2025-02-04", -1))
    scene.backfill()
    scene.assert_exact()
    return scene


@pytest.fixture
def early(scene: Scene) -> Scene:
    """Capture on and nothing copied: June to August are attached, January to May are not."""
    with transaction(Kind.DDL) as conn:
        migration = prepare_migration(conn, NAME, scene.declaration, AS_OF)
    capture_on(migration)
    return scene


@pytest.mark.parametrize(
    "change",
    [
        "insert into shop.bills (bill_no, customer, cents, issued) values (10, 'Eve', 1, '2025-03-01')",
        "update shop.bills set remark = 'changed', paid = '2025-07-01' where bill_no = 1",
        "update shop.bills set issued = '2025-07-07' where bill_no = 1",
        "update shop.bills set issued = null where bill_no = 1",
        "update shop.bills set issued = '2031-01-01' where bill_no = 1",
        "update shop.bills set issued = 'infinity' where bill_no = 2",
        "update shop.bills set issued = '2025-05-31' where bill_no = 3",
        "update shop.bills set cents = 5 where bill_no = 4",
        "update shop.bills set cents = -5 where bill_no = 1",
        "update shop.bills set bill_no = 77 where bill_no = 1",
        "update shop.bills set bill_no = 77, issued = '2025-04-01' where bill_no = 3",
        "update shop.bills set bill_no = bill_no + 100",
        "delete from shop.bills where bill_no in (1, 3)",
        "delete from shop.bills",
        "begin; update shop.bills set issued = '2025-08-01' where bill_no = 1; rollback",
    ],
)
def test_one_change_is_carried_over(done: Scene, change: str) -> None:
    done.execute(change)
    done.drain()
    done.assert_exact()
    assert done.queue() == []


def test_a_row_that_went_through_many_days_ends_on_the_last_one(done: Scene) -> None:
    for day in ("2025-02-01", "2025-06-05", "2025-01-05", "2025-03-03"):
        done.execute("update shop.bills set issued = %s where bill_no = 1", day)
    done.drain()
    done.assert_exact()
    assert done.queue() == []


@pytest.mark.parametrize(
    ("change", "locked"),
    [
        ("delete from shop.bills where bill_no = 2", {6, 7, 8}),
        ("update shop.bills set remark = 'x' where bill_no = 3", set[int]()),
    ],
)
def test_a_batch_locks_no_partition_before_the_times_of_its_keys(done: Scene, change: str, locked: set[int]) -> None:
    done.execute(change)
    migration = done.registered()
    with transaction(Kind.BULK) as conn:
        drain_batch(conn, migration, migration.sources[0], attached_bounds(Relation.parse(TABLE)))
        months = conn.execute("""
            select extract(month from p.lower)::int from pg_locks l join maintenance.partition p on p.relation_oid = l.relation
            where l.pid = pg_backend_pid() and l.mode = 'RowExclusiveLock' and p.parent_oid = 'accounts.invoices'::regclass
        """)
        assert {month for (month,) in months} == locked
    done.assert_exact()


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_small_batches_come_to_the_same_end(done: Scene, limit: int) -> None:
    for day in ("2025-02-01", "2025-07-05", None, "2025-03-03"):
        done.execute("update shop.bills set issued = %s where bill_no in (1, 2)", day)
    done.execute("update shop.bills set bill_no = 50 where bill_no = 2")
    for _ in range(30):
        assert done.drain(limit).taken <= limit
        if not done.queue():
            break
    assert done.queue() == []
    done.assert_exact()


def test_draining_the_same_keys_again_changes_nothing(done: Scene) -> None:
    migration = done.registered()
    with transaction(Kind.READ) as conn:
        assert enqueue_keys(conn, migration.sources[0], ["1", "2", "3", "4", "999"]) == 5
    before = done.execute("select * from accounts.invoices order by number")
    done.drain()
    assert done.execute("select * from accounts.invoices order by number") == before
    done.assert_exact()


def test_a_change_that_is_not_committed_comes_later(done: Scene) -> None:
    with done.connect(autocommit=False) as writer:
        writer.execute("update shop.bills set issued = '2025-07-07' where bill_no = 1")
        done.execute("update shop.bills set cents = 7 where bill_no = 2")
        assert done.drain().taken == 1
        writer.commit()
    assert done.drain().taken == 1
    done.assert_exact()


def test_an_entry_waits_until_the_partition_of_its_row_is_attached(early: Scene) -> None:
    early.add((1, "2025-03-03", 1), (2, "2025-07-07", 2))
    batch = early.drain()
    assert (batch.looked_at, batch.taken) == (2, 1)
    assert (early.numbers(), early.queue()) == ([2], [("1", None)])


def test_an_entry_waits_until_the_partition_of_its_old_time_is_attached(early: Scene) -> None:
    """Otherwise a load that still sees the row there would bring it back after the entry has gone."""
    early.add((1, "2025-03-03", 1))
    early.execute("delete from maintenance.capture")
    early.execute("update shop.bills set issued = '2025-07-07' where bill_no = 1")
    assert early.drain().taken == 0
    assert early.queue() == [("1", "2025-03-03")]


def test_a_row_without_a_place_does_not_wait(early: Scene) -> None:
    early.add((1, None, 1), (2, "2019-01-01", 2), (3, "-infinity", 3))
    assert early.drain().taken == 3
    assert sorted(early.quarantine()) == ["1", "2", "3"]


def test_waiting_entries_hold_up_nothing_behind_them(early: Scene) -> None:
    early.add(*((number, "2025-03-03", 1) for number in range(1, 6)), (9, "2025-07-07", 1))
    migration, attached = early.registered(), attached_bounds(Relation.parse(TABLE))

    def work(started: Any) -> int:
        after, taken = 0, 0
        while True:
            with transaction(Kind.BULK) as conn:
                batch = drain_batch(conn, migration, migration.sources[0], attached, after=after, limit=2)
            taken += batch.taken
            if batch.last_seq is None:
                return taken
            assert started.id
            after = batch.last_seq

    assert early.alone(work) == 1
    assert early.numbers() == [9]


def test_waiting_rows_are_copied_with_the_rest_in_the_end(early: Scene) -> None:
    early.add((1, "2025-03-03", 1), (2, "2025-07-07", 2), (3, "2025-05-05", -3))
    early.execute("update shop.bills set issued = '2025-04-04' where bill_no = 1")
    early.drain()
    early.backfill()
    early.assert_exact()


def test_a_second_session_leaves_a_source_that_is_being_drained(done: Scene) -> None:
    done.execute("update shop.bills set cents = 7 where bill_no = 1")
    with done.connect(autocommit=False) as other:
        other.execute("select pg_advisory_xact_lock(hashtextextended('drain:bills:1', 0))")
        attached = attached_bounds(Relation.parse(TABLE))
        assert done.alone(lambda started: drain_source(started, current(NAME), current(NAME).sources[0], attached)) is None
    assert len(done.queue()) == 1


def test_a_killed_drain_leaves_the_log_as_it_was(done: Scene) -> None:
    done.execute("update shop.bills set issued = '2025-07-07' where bill_no = 1")
    migration, attached = done.registered(), attached_bounds(Relation.parse(TABLE))
    with transaction(Kind.BULK) as conn, conn.transaction(force_rollback=True):
        assert drain_batch(conn, migration, migration.sources[0], attached).taken == 1
    assert done.queue() == [("1", "2025-01-05")]
    done.drain()
    done.assert_exact()


def test_queueing_a_range_repairs_whatever_happened_to_the_target(done: Scene) -> None:
    done.execute("delete from accounts.invoices where number = 1")
    done.execute("update accounts.invoices set amount = 1000000 where number = 2")
    done.execute("insert into accounts.invoices (number, issued_on, customer, amount) values (99, '2025-01-09', 'nobody', 1)")
    done.execute("insert into accounts.invoices (number, issued_on, customer, amount) values (1, '2025-04-01', 'twice', 1)")
    done.execute("update maintenance.quarantine set reason = 'wrong' where key = '4'")
    done.execute("delete from maintenance.quarantine where key = '3'")
    migration = done.registered()
    with transaction(Kind.READ) as conn:
        enqueue_range(conn, migration.target, migration.sources[0], migration.span_from, migration.span_to)
        enqueue_residue(conn, migration, migration.sources[0])
    done.drain()
    done.assert_exact()


def test_queueing_a_range_takes_only_its_keys(done: Scene) -> None:
    migration = done.registered()
    lower = migration.span_from
    with transaction(Kind.READ) as conn:
        assert enqueue_range(conn, migration.target, migration.sources[0], lower, lower + timedelta(days=31)) == 1
        assert enqueue_range(conn, migration.target, migration.sources[0], lower + timedelta(days=31), migration.span_to) == 3
    assert sorted({key for key, _ in done.queue()}) == ["1", "2", "4"]


def test_a_row_of_nobody_stays_in_the_target(done: Scene) -> None:
    done.execute(
        "insert into accounts.invoices (number, issued_on, customer, amount) values (3000000000, '2025-01-09', 'by hand', 1)"
    )
    migration = done.registered()
    with transaction(Kind.READ) as conn:
        enqueue_range(conn, migration.target, migration.sources[0], migration.span_from, migration.span_to)
    done.drain()
    assert 3_000_000_000 in done.numbers()


def test_a_row_that_the_mapping_overlooks_stops_the_drain_and_is_named(done: Scene) -> None:
    done.add(*((number, "Ada", "2025-03-03", 1) for number in range(10, 30)))
    done.add((30, None, "2025-03-03", 1), (31, "Ada", "2025-03-03", 1))
    expected = (
        r"The row 30 of shop\.bills cannot be written to accounts\.invoices: null value in column \"customer\".*column customer"
    )
    with pytest.raises(MappingDefect, match=expected):
        done.drain()
    assert len(done.queue()) == 22
    done.execute("update shop.bills set customer = 'Eve' where bill_no = 30")
    done.drain()
    done.assert_exact()


def test_writers_at_full_speed_leave_nothing_behind(done: Scene, full_loops: bool) -> None:  # noqa: FBT001 (a fixture)
    stop = threading.Event()
    writers = [threading.Thread(target=write, args=(done, seed, stop)) for seed in range(3)]
    for writer in writers:
        writer.start()
    try:
        for _ in range(100 if full_loops else 15):
            done.drain(limit=50)
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    while done.drain().taken:
        pass
    done.assert_exact()
    assert done.queue() == []


def write(scene: Scene, seed: int, stop: threading.Event) -> None:
    """Insert, update, move in time and key, delete, roll back, each in a transaction of its own on this thread's keys."""
    query = """
    do $$
    declare n int := %s * 1000 + 100 + floor(random() * 40)::int; day date := '2024-12-20'::date + floor(random() * 260)::int;
    begin
        case floor(random() * 7)::int
            when 0, 1 then insert into shop.bills (bill_no, customer, cents, issued) values (n, 'w', floor(random() * 50) - 2, day)
                on conflict (bill_no) do update set cents = excluded.cents;
            when 2 then update shop.bills set issued = day where bill_no = n;
            when 3 then update shop.bills set bill_no = n + 100 where bill_no = n and not exists (select from shop.bills where bill_no = n + 100);
            when 4 then update shop.bills set issued = nullif(day, '2025-01-01'), remark = random()::text where bill_no between n and n + 3;
            when 5 then delete from shop.bills where bill_no in (n, n + 100);
            else update shop.bills set issued = case when random() < 0.5 then date 'infinity' end where bill_no = n;
        end case;
        if random() < 0.1 then raise exception 'rolled back'; end if;
    exception when raise_exception then null;
    end $$
    """
    with scene.connect() as conn:
        while not stop.is_set():
            conn.execute(query.replace("%s", str(seed)).encode())


MONITORING, CACHE, EVENTS = "monitoring.monitoring_events", "monitoring.cache_metrics_monitoring", "monitoring.events"


class Store:
    """The five shipped tables after their backfill."""

    def __init__(self, conn: psycopg.Connection[Any]) -> None:
        self.conn = conn
        run(conn, "core/session_settings")

    def monitoring(self, key: UUID, at: str = "now", word: str = "first") -> None:
        self.conn.execute(
            "insert into monitoring.monitoring_events (id, event_type, timestamp, source, data) values (%s, %s, %s, 's', '{}')",
            (key, word, at),
        )

    def cache(self, key: UUID, at: str = "now") -> None:
        self.conn.execute(
            "insert into monitoring.cache_metrics_monitoring (id, cache_key, operation_type, implementation_type, timestamp) "
            "values (%s, 'k', 'hit', 'new', %s)",
            (key, at),
        )

    def drain(self, *relations: str) -> None:
        """Drain the named sources in this order, or all of them until nothing is left."""
        migration, attached = current("event_store"), attached_bounds(Relation("unified", "event_metric_events"))
        for relation in relations:
            with transaction(Kind.BULK) as conn:
                drain_batch(conn, migration, migration.source(relation), attached)
        if not relations:
            while self._drain_all(migration):
                pass

    @staticmethod
    def _drain_all(migration: Registered) -> Any:
        def work(started: Any) -> int:
            return drain(started, migration)

        subject = "unified.event_metric_events"
        return run_exclusively("test", "event_store", work, overdue_after=timedelta(days=1), group=subject)

    def categories(self, key: UUID) -> list[str]:
        rows = self.conn.execute("select event_category from unified.event_metric_events where id = %s order by 1", (key,))
        return [category for (category,) in rows]

    def quarantined(self, key: UUID) -> list[str]:
        query = "select s.relation || ': ' || q.reason from maintenance.quarantine q join maintenance.source s on s.id = q.source_id"
        return [text for (text,) in self.conn.execute(f"{query} where q.key = %s order by 1", (str(key),))]


@pytest.fixture
def store(server: Server) -> Iterator[Store]:
    with ready_database(server) as dsn, runtime(), psycopg.connect(dsn, autocommit=True) as conn:
        yield Store(conn)


LOSES = [f"{CACHE}: collision with {MONITORING}"]


@pytest.mark.parametrize("order", [(MONITORING, CACHE), (CACHE, MONITORING)])
def test_the_first_source_in_declared_order_keeps_the_place_whoever_comes_first(store: Store, order: tuple[str, str]) -> None:
    key, at = uuid4(), str(store.conn.execute("select now()").fetchall()[0][0])
    insert = {MONITORING: store.monitoring, CACHE: store.cache}
    for relation in order:
        insert[relation](key, at)
        store.drain(relation)
    store.drain()
    assert (store.categories(key), store.quarantined(key)) == (["monitoring"], LOSES)


@pytest.mark.parametrize(
    "leave",
    [
        "delete from monitoring.monitoring_events where id = %(key)s",
        "update monitoring.monitoring_events set timestamp = timestamp - interval '1 day' where id = %(key)s",
        "update monitoring.monitoring_events set timestamp = 'infinity' where id = %(key)s",
        "update monitoring.monitoring_events set id = gen_random_uuid() where id = %(key)s",
    ],
)
def test_the_loser_returns_when_the_winner_leaves_its_place(store: Store, leave: str) -> None:
    key, at = collide(store)
    store.conn.execute(leave.encode(), {"key": key})
    store.drain()
    assert "cache" in store.categories(key)
    assert LOSES[0] not in store.quarantined(key)
    assert store.conn.execute(
        "select count(*) from unified.event_metric_events where id = %s and event_timestamp = %s", (key, at)
    ).fetchone() == (1,)


def collide(store: Store) -> tuple[UUID, str]:
    key, at = uuid4(), str(store.conn.execute("select now()").fetchall()[0][0])
    store.monitoring(key, at)
    store.cache(key, at)
    store.drain()
    assert (store.categories(key), store.quarantined(key)) == (["monitoring"], LOSES)
    return key, at


def test_a_winner_that_only_changes_keeps_its_place(store: Store) -> None:
    key, _ = collide(store)
    store.conn.execute("update monitoring.monitoring_events set event_type = 'changed' where id = %s", (key,))
    store.drain()
    assert (store.categories(key), store.quarantined(key)) == (["monitoring"], LOSES)


def test_a_loser_that_moves_away_is_free(store: Store) -> None:
    key, _ = collide(store)
    store.conn.execute(
        "update monitoring.cache_metrics_monitoring set timestamp = timestamp - interval '1 day' where id = %s", (key,)
    )
    store.drain()
    assert (store.categories(key), store.quarantined(key)) == (["cache", "monitoring"], [])


def test_a_loser_that_is_deleted_leaves_quarantine(store: Store) -> None:
    key, _ = collide(store)
    store.conn.execute("delete from monitoring.cache_metrics_monitoring where id = %s", (key,))
    store.drain()
    assert (store.categories(key), store.quarantined(key)) == (["monitoring"], [])


def test_the_same_id_at_another_time_is_no_collision(store: Store) -> None:
    key = uuid4()
    store.monitoring(key, "now")
    store.cache(key, "yesterday")
    store.drain()
    assert (store.categories(key), store.quarantined(key)) == (["cache", "monitoring"], [])


def test_deleting_a_row_leaves_another_sources_row_of_that_id_alone(store: Store) -> None:
    key, _ = collide(store)
    store.conn.execute("delete from monitoring.cache_metrics_monitoring where id = %s", (key,))
    store.drain(CACHE)
    assert store.categories(key) == ["monitoring"]


def test_an_id_that_looks_like_ours_touches_no_row_of_the_source_it_imitates(store: Store) -> None:
    number, at = store.conn.execute(
        "select id, timestamp from monitoring.events where timestamp > now() - interval '1 day' limit 1"
    ).fetchall()[0]
    forged = store.conn.execute("select maintenance.v8_id(4, %s)", (number,)).fetchall()[0][0]
    store.monitoring(forged, str(at))
    store.drain()
    store.conn.execute("delete from monitoring.monitoring_events where id = %s", (forged,))
    store.drain()
    assert store.categories(forged) == ["monitoring"]
    assert store.quarantined(forged) == []


def test_a_key_past_what_an_id_can_hold_touches_no_other_row(store: Store) -> None:
    """-2^63 + n would give the id of n, if its sign were only overwritten."""
    number, at = store.conn.execute(
        "select id, timestamp from monitoring.events where timestamp > now() - interval '1 day' limit 1"
    ).fetchall()[0]
    imitation = -(2**63) + number
    values = (imitation, "x", "{}", at, at)
    store.conn.execute(
        "insert into monitoring.events (id, type, data, timestamp, created_at) values (%s, %s, %s, %s, %s)", values
    )
    store.drain()
    store.conn.execute("delete from monitoring.events where id = %s", (imitation,))
    store.drain()
    row = store.conn.execute(
        "select count(*) from unified.event_metric_events where id = maintenance.v8_id(4, %s)", (number,)
    ).fetchone()
    assert row == (1,)


def test_two_sources_drained_at_once_settle_the_same_places(store: Store) -> None:
    """Each waits for the other's row and then judges again: whoever is first, one holds the place and one is in quarantine."""
    at = str(store.conn.execute("select now()").fetchall()[0][0])
    keys = [uuid4() for _ in range(200)]
    for round_ in range(3):
        for key in keys:
            if round_ == 0:
                store.monitoring(key, at)
                store.cache(key, at)
        store.conn.execute("update monitoring.monitoring_events set event_type = 'again' where id = any(%s)", (keys,))
        store.conn.execute("update monitoring.cache_metrics_monitoring set cache_key = 'again' where id = any(%s)", (keys,))
        threads = [threading.Thread(target=store.drain, args=(relation,)) for relation in (MONITORING, CACHE)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    store.drain()
    assert {tuple(store.categories(key)) for key in keys} == {("monitoring",)}
    assert {tuple(store.quarantined(key)) for key in keys} == {tuple(LOSES)}


def test_a_winner_that_is_leaving_is_waited_for(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes after the loser found it and before the loser is in quarantine, where its own drain would have looked for it."""
    key, at = uuid4(), str(store.conn.execute("select now()").fetchall()[0][0])
    store.monitoring(key, at)
    store.drain()
    store.cache(key, at)
    store.conn.execute("delete from monitoring.monitoring_events where id = %s", (key,))
    migration, attached = current("event_store"), attached_bounds(Relation("unified", "event_metric_events"))
    has_deleted, lose = threading.Event(), drain_module._lose

    def leave() -> None:
        with transaction(Kind.BULK) as conn:
            drain_batch(conn, migration, migration.source(MONITORING), attached)
            has_deleted.set()
            time.sleep(0.7)

    leaving = threading.Thread(target=leave)

    def interrupted(*arguments: Any) -> list[str]:
        if not has_deleted.is_set():
            leaving.start()
            assert has_deleted.wait(10)
        return lose(*arguments)

    monkeypatch.setattr(drain_module, "_lose", interrupted)
    store.drain(CACHE)
    leaving.join()
    monkeypatch.undo()
    store.drain()
    assert (store.categories(key), store.quarantined(key)) == (["cache"], [])
