"""Every row of both sides is compared in one snapshot: what differs is named, what is in flight is not."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from tasks.core.connect import runtime
from tasks.core.errors import MissingRelation
from tasks.core.ledger import run_exclusively
from tasks.core.names import Relation
from tasks.gates.gate import pass_gate
from tasks.gates.verdict import VerdictMissing
from tasks.migration import compare as comparing
from tasks.migration.backfill import current, drain
from tasks.migration.compare import ComparisonResult, compare
from tasks.migration.compare_unit import BUNDLE_ROWS, Unit, bundle, cut
from tasks.migration.verify import repair
from tasks.partitions.partition import Partition
from tests.database.copied import NAME, Copied
from tests.database.small import ORDERS, REFUNDS, REFUSE, Small, make_small


@pytest.fixture
def small(make_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Small]:
    dsn = make_database(sets=())
    monkeypatch.setenv("DATABASE_URL", dsn)
    with runtime():
        yield make_small(dsn)


def named(result: ComparisonResult) -> list[tuple[Any, ...]]:
    """Return kind, source and key of what was named, in order."""
    return sorted((row["kind"], row["source_id"], row["key"]) for row in result.differences)


def test_equal_sides_are_clean_and_every_legacy_row_is_counted(small: Small) -> None:
    result = small.compare()
    assert result.is_clean
    assert (result.legacy_rows, result.rows_compared, result.quarantined, result.in_flight) == (400, 400, 0, 0)
    assert result.units == 5  # three partitions, the gap before June, the residue


def test_each_source_and_unit_has_its_sides_in_the_ledger(small: Small) -> None:
    small.compare()
    days = small.execute(
        "select source_id, lower::date::text, legacy_kept, unified_rows, legacy_hash = unified_hash, legacy_hash <> '0' "
        "from maintenance.comparison_day order by source_id, lower"
    )
    assert [day for day in days if day[2]] == [
        (ORDERS, "2025-03-01", 293, 293, True, True),
        (ORDERS, "2025-04-01", 7, 7, True, True),
        (REFUNDS, "2025-06-01", 100, 100, True, True),
    ]
    assert len(days) == 10


CELLS = {
    "mood": "mood = 'sad'",
    "a json value": """doc = '{"a": 2}'""",
    "a json key": """doc = '{"b": 1}'""",
    "a point": "place = '(1,2.0000001)'",
    "an array's order": "tags = '{y,x}'",
    "an array's element": "tags = '{x,null}'",
    "a number's last digit": "price = 1.51",
    "a number made null": "price = null",
    "a range": "span = '[2025-01-01,2025-02-01]'",
    "bits": "bits = '1010'",
    "a text made empty": "note = ''",
    "a text made null": "note = null",
    "a text's last blank": "note = note || ' '",
}


@pytest.mark.parametrize("what", CELLS)
def test_one_changed_cell_of_any_type_is_named_with_both_values(small: Small, what: str) -> None:
    small.execute("update shop.moves set {} where id = maintenance.v8_id(1, 7)".replace("{}", CELLS[what]))
    result = small.compare()
    assert result.kinds == {"unequal": 1}
    assert named(result) == [("unequal", ORDERS, "7")]
    (row,) = result.differences
    expected, found = json.loads(row["expected"]), json.loads(row["found"])
    assert [column for column in expected if expected[column] != found[column]] == [CELLS[what].partition(" ")[0]]


def test_json_that_differs_in_blanks_alone_is_equal(small: Small) -> None:
    small.execute("""update shop.moves set doc = '{ "a" :1 }' where id = maintenance.v8_id(1, 7)""")
    assert small.compare().is_clean


def test_a_lost_an_extra_and_a_doubled_row_are_told_apart(small: Small) -> None:
    small.execute("delete from shop.moves where id = maintenance.v8_id(1, 7)")
    small.execute("insert into shop.moves (id, day) values (maintenance.v8_id(1, 9999), '2025-04-02')")
    small.execute(
        "insert into shop.moves select id, day + 30, mood, doc, place, tags, price, span, bits, note, raw from shop.moves "
        "where id = maintenance.v8_id(1, 8)"
    )
    assert named(small.compare()) == [("doubled", ORDERS, "8"), ("extra", ORDERS, "9999"), ("missing", ORDERS, "7")]


def test_two_rows_that_swapped_their_contents_are_both_named(small: Small) -> None:
    small.execute(
        "update shop.moves as u set note = case u.note when 'note 7' then 'note 8' else 'note 7' end "
        "where u.note in ('note 7', 'note 8')"
    )
    assert named(small.compare()) == [("unequal", ORDERS, "7"), ("unequal", ORDERS, "8")]


def test_a_row_that_nobody_owns_is_named_and_one_of_maintenance_is_not(small: Small) -> None:
    small.execute("insert into shop.moves (id, day, mood) values (gen_random_uuid(), '2025-04-02', 'glad')")
    small.execute("insert into shop.moves (id, day, mood) values (maintenance.v8_id(0, 5), '2025-04-02', 'glad')")
    result = small.compare()
    assert result.kinds == {"unowned": 1}
    assert result.differences[0]["source_id"] is None


def test_a_row_that_moved_to_another_unit_is_missing_there_and_extra_here(small: Small) -> None:
    small.execute("update shop.moves set day = '2025-06-05' where id = maintenance.v8_id(1, 7)")
    assert named(small.compare()) == [("extra", ORDERS, "7"), ("missing", ORDERS, "7")]


def test_sums_that_differ_without_a_row_that_does_are_never_silent(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    small.execute("update shop.moves set note = 'x' where id = maintenance.v8_id(1, 7)")
    monkeypatch.setattr("tasks.migration.compare_unit._differing_rows", lambda *_: [])
    result = small.compare()
    assert result.kinds == {"unnamed": 1}
    assert not result.is_clean


# What is in flight.


def test_a_key_in_the_log_is_left_out_on_both_sides(small: Small) -> None:
    small.execute("update old.orders set note = 'late' where number = 7")
    small.execute("delete from old.orders where number = 8")
    small.execute("insert into old.orders (number, placed, note) values (301, '2025-04-01', 'late')")
    small.execute("insert into old.orders (number, placed, note) values (302, null, 'late')")
    assert small.kinds() == {"unequal": 1, "extra": 1, "missing": 1, "unquarantined": 1}
    small.execute("insert into maintenance.capture (source_id, key) select 1, unnest(array['7', '8', '301', '302'])")
    result = small.compare()
    assert result.is_clean
    assert (result.in_flight, result.legacy_rows, result.rows_compared) == (4, 401, 398)


def test_a_key_in_the_log_of_another_source_hides_nothing(small: Small) -> None:
    small.execute("update shop.moves set note = 'x' where id = maintenance.v8_id(1, 7)")
    small.execute("insert into maintenance.capture (source_id, key) values (2, '7')")
    assert small.kinds() == {"unequal": 1}


def test_a_quarantined_key_in_the_log_is_left_alone(small: Small) -> None:
    small.execute("insert into maintenance.quarantine (source_id, key, reason, legacy_row) values (1, '7', 'old', '{}')")
    assert small.kinds() == {"stale": 1}
    small.execute("insert into maintenance.capture (source_id, key) values (1, '7')")
    assert small.compare().is_clean


# Quarantine.


def refused(small: Small) -> Small:
    """Add a row of each reason, quarantined as a copy would."""
    small.execute("insert into old.orders (number, placed) values (401, null), (402, 'infinity'), (403, '1999-01-01')")
    small.execute("insert into old.orders (number, placed, note) values (404, '2025-04-01', 'refuse me')")
    small.execute("insert into old.refunds values (md5('r')::uuid, '2030-01-01', 'x')")
    small.execute(REFUSE)
    return small


def test_refused_rows_that_stand_in_quarantine_are_part_of_the_account(small: Small) -> None:
    result = refused(small).compare()
    assert result.is_clean
    assert (result.quarantined, result.legacy_rows) == (5, 405)
    ((refused_rows, residue),) = small.execute(
        "select sum(refused)::int, sum(refused) filter (where lower is null)::int from maintenance.comparison_day"
    )
    assert (refused_rows, residue) == (5, 4)


@pytest.mark.parametrize(
    ("fault", "kinds"),
    [
        ("delete from maintenance.quarantine where key = '401'", {"unquarantined": 1}),
        ("delete from maintenance.quarantine where key = '404'", {"unquarantined": 1}),
        ("update maintenance.quarantine set reason = 'another' where key = '402'", {"unquarantined": 1, "stale": 1}),
        (
            "update maintenance.quarantine set legacy_row = legacy_row || '{\"note\": \"x\"}' where key = '403'",
            {"unquarantined": 1, "stale": 1},
        ),
        ("update old.orders set note = 'fine' where number = 404", {"missing": 1, "stale": 1}),
        ("delete from old.orders where number = 404", {"stale": 1}),
        ("update old.orders set placed = '1998-01-01' where number = 403", {"unquarantined": 1, "stale": 1}),
    ],
)
def test_what_is_wrong_with_a_quarantined_row_is_named(small: Small, fault: str, kinds: dict[str, int]) -> None:
    refused(small).execute(fault)
    assert small.kinds() == kinds


def collided(small: Small) -> Small:
    """Let a refund lose its place to another source's row, quarantined as a drain would."""
    small.execute("insert into old.refunds values (maintenance.v8_id(1, 7), '2025-03-28 02:20', 'loser')")
    small.execute(
        "insert into maintenance.quarantine (source_id, key, event_time, target_key, reason, legacy_row) "
        "select 2, l.key::text, l.given, l.key::text, 'collision with old.orders', to_jsonb(l) from old.refunds as l where l.note = 'loser'"
    )
    return small


def test_a_collision_is_no_difference_while_its_winner_stands(small: Small) -> None:
    result = collided(small).compare()
    assert result.is_clean
    assert small.execute("select sum(collided)::int from maintenance.comparison_day") == [(1,)]


def test_a_loser_whose_winner_has_gone_is_released(small: Small) -> None:
    collided(small).execute("delete from old.orders where number = 7")
    small.execute("delete from shop.moves where id = maintenance.v8_id(1, 7)")
    assert small.kinds() == {"released": 1}


def test_a_loser_that_is_not_in_quarantine_is_missing(small: Small) -> None:
    collided(small).execute("delete from maintenance.quarantine")
    assert small.kinds() == {"missing": 1}


# Units, zones, limits.


def test_rows_where_no_partition_is_are_missing(small: Small) -> None:
    small.execute("insert into old.orders (number, placed) values (501, '2025-05-15')")
    result = small.compare()
    assert named(result) == [("missing", ORDERS, "501")]
    assert result.differences[0]["lower"] == datetime(2025, 5, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "local",
    ["2025-03-30 01:59:59.999999", "2025-03-30 02:30", "2025-03-30 03:00", "2025-04-01 01:59:59.999999", "2025-04-01 02:00"],
)
def test_a_local_time_near_a_change_of_clocks_is_compared_in_one_unit(small: Small, local: str) -> None:
    small.execute("insert into old.orders (number, placed, note) values (502, %s, 'odd')", local)
    assert small.kinds() == {"missing": 1}
    small.execute("delete from old.orders where number <> 502; delete from shop.moves; delete from old.refunds")
    small.copy()
    assert small.compare().is_clean
    small.execute("delete from shop.moves")
    assert named(small.compare()) == [("missing", ORDERS, "502")]


def test_only_the_first_rows_are_kept_and_all_are_counted(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing, "KEPT", 5)
    small.execute("update shop.moves set note = 'x'")
    result = small.compare()
    assert result.differing == 400
    assert small.execute("select count(*)::int from maintenance.comparison_difference")[0][0] in range(5, 16)


def test_a_huge_row_is_kept_cut(small: Small) -> None:
    small.execute("""update old.orders set doc = json_build_object('big', repeat('x', 1000000)) where number = 7""")
    (row,) = small.compare().differences
    assert len(row["expected"]) < 3_000
    assert "1000012 characters" in json.loads(row["expected"])["doc"] or "characters)" in row["expected"]


def test_parallel_sessions_see_one_snapshot(small: Small) -> None:
    wide = small.compare(sessions=3)
    assert (wide.sessions, wide.legacy_rows, wide.kinds) == (3, 400, {})


def test_a_write_between_two_sessions_is_seen_by_none(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    work = comparing._work

    def written_meanwhile(*arguments: Any) -> None:
        small.execute("update shop.moves set note = 'later'")
        small.execute("delete from old.refunds")
        work(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(comparing, "_work", written_meanwhile)
        assert small.compare(sessions=2).is_clean
    assert small.kinds() == {"unequal": 300, "extra": 100}


def test_a_comparison_changes_nothing_but_the_ledger(small: Small) -> None:
    before = small.execute("select * from (select md5(string_agg(u::text, '' order by u.id)) from shop.moves as u) as a")
    small.compare()
    assert (
        small.execute("select * from (select md5(string_agg(u::text, '' order by u.id)) from shop.moves as u) as a") == before
    )


def test_row_level_security_is_an_error_and_never_a_smaller_result(small: Small) -> None:
    small.execute("alter table old.orders enable row level security")
    small.execute("alter table old.orders force row level security")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        small.compare()


def test_progress_tells_how_many_units_are_done_and_may_stop_it(small: Small) -> None:
    told: list[tuple[int, int]] = []

    def stop(done: int, total: int) -> None:
        told.append((done, total))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_exclusively(
            "test",
            "small",
            lambda run: compare(run, "small", requires=None, on_progress=stop),
            overdue_after=timedelta(days=1),
            group="shop.moves",
        )
    assert told[0][0] == 1
    assert small.execute("select count(*)::int from maintenance.comparison") == [(0,)]


def test_a_source_that_was_dropped_is_named(small: Small) -> None:
    small.execute("drop table old.refunds cascade")
    with pytest.raises(MissingRelation, match=r"old\.refunds"):
        small.compare()


def test_a_comparison_asks_for_the_gate_of_the_backfill(copied: Copied) -> None:
    with pytest.raises(VerdictMissing, match="gate backfill"):
        copied.alone(lambda run: compare(run, NAME))
    pass_gate(NAME, "backfill", copied.declaration)
    assert copied.alone(lambda run: compare(run, NAME)).is_clean


def test_units_tile_the_line_and_small_ones_share_a_statement() -> None:
    def at(day: int) -> datetime:
        return datetime(2025, 1, day, tzinfo=UTC)

    partitions = [Partition(Relation("a", f"p{d}"), at(d), at(d + 1)) for d in (5, 1, 2)]
    partitions += [Partition(Relation("a", "gone"), at(9), at(10), is_pending_detach=True)]
    units = cut(partitions)
    assert units == (Unit(at(1), at(2)), Unit(at(2), at(3)), Unit(at(3), at(5)), Unit(at(5), at(6)), Unit(None, None))
    assert bundle(units, {at(1): 10, at(2): 10, at(5): 10}) == [units[:4], units[4:]]
    assert bundle(units, {at(1): BUNDLE_ROWS, at(2): 10, at(5): 10}) == [units[:1], units[1:4], units[4:]]
    assert bundle(units, {at(1): None, at(2): None, at(5): 1}) == [units[:1], units[1:2], units[2:4], units[4:]]
    assert bundle((units[0], units[3]), {}) == [units[:1], units[3:4]]


# Beside writers.


def test_writers_that_are_captured_cause_no_false_alarm(copied: Copied, *, full_loops: bool) -> None:
    stop = threading.Event()

    def write() -> None:
        with copied.connect() as conn:
            turn = 0
            while not stop.is_set():
                turn += 1
                conn.execute(
                    "insert into monitoring.events (type, data, timestamp, created_at) values ('w', '{}', now(), now())"
                )
                conn.execute("update monitoring.dlq_table set failure_reason = 'turn' where id %% 7 = %s", [turn % 7])
                conn.execute(
                    "update monitoring.monitoring_events set timestamp = timestamp + interval '3 hours' where source = 'api'"
                )
                conn.execute("delete from monitoring.events where type = 'w' and id %% 3 = %s", [turn % 3])
                time.sleep(0.005)

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        try:
            for turn in range(100 if full_loops else 8):
                result = copied.alone(lambda run, turn=turn: _drained(run, turn))
                assert result.is_clean, result.differences[:3]
        finally:
            stop.set()
        writing.result()
    assert copied.execute("select count(*) > 0 from maintenance.capture") == [(True,)]
    pass_gate(NAME, "integrity", copied.declaration)


def _drained(run: Any, turn: int) -> ComparisonResult:
    """Drain on every second turn alone, so that the log is long on the others."""
    with runtime():
        if turn % 2:
            drain(run, current(NAME), rounds=1)
        return compare(run, NAME, sessions=1 + turn % 2, requires=None)


def test_what_differs_is_mended_by_the_drain_however_much_was_named(copied: Copied, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing, "KEPT", 2)
    copied.execute("update unified.event_metric_events set priority = 99")
    copied.execute("delete from unified.event_metric_events where event_category = 'dlq'")

    def mend(run: Any) -> ComparisonResult:
        with runtime():
            found = compare(run, NAME, requires=None)
            assert found.differing > 100
            repair(run, current(NAME), found.comparison_id)
            drain(run, current(NAME))
            return compare(run, NAME, requires=None)

    assert copied.alone(mend).is_clean
