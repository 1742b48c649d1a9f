"""Each fact leads to the finding that somebody on call needs, and to no other."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tasks.health.facts import (
    Finding,
    FlowFacts,
    GateFacts,
    MatviewFacts,
    MigrationFacts,
    QuarantineFacts,
    ServerFacts,
    SlotFacts,
    TableFacts,
)
from tasks.health.findings import find
from tasks.health.verdict import Unhealthy, refuse

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def table(**changed: Any) -> TableFacts:
    fields: dict[str, Any] = {
        "table": "a.b", "runway_until": NOW + 14 * DAY, "ahead": 14 * DAY, "has_default": False, "pending_detach": (),
        "due": 0, "waiting": 0,
    }  # fmt: skip
    return TableFacts(**{**fields, **changed})


def only(*facts: Any) -> Finding:
    (finding,) = find(facts, NOW)
    return finding


def test_a_table_in_order_has_no_finding() -> None:
    assert find([table()], NOW) == []


@pytest.mark.parametrize("until", [None, NOW, NOW - DAY])
def test_no_runway_is_critical_and_names_the_command(until: datetime | None) -> None:
    finding = only(table(runway_until=until))
    assert (finding.level, finding.remedy) == ("critical", "python -m flows create_partitions --table a.b")


def test_half_of_the_declared_runway_is_enough() -> None:
    assert find([table(runway_until=NOW + 7 * DAY)], NOW) == []


def test_less_than_half_of_the_declared_runway_is_critical() -> None:
    finding = only(table(runway_until=NOW + 7 * DAY - timedelta(seconds=1)))
    assert (finding.level, finding.section) == ("critical", "runway")


def test_a_pending_detach_is_critical_since_its_rows_are_invisible() -> None:
    finding = only(table(pending_detach=("a.b_p1",)))
    assert (finding.level, finding.object) == ("critical", "a.b_p1")
    assert "invisible" in finding.text


def test_retention_debt_is_a_warning_and_grace_is_not() -> None:
    assert [f.level for f in find([table(due=3, waiting=2)], NOW)] == ["warning", "info"]


def test_a_default_partition_is_a_warning() -> None:
    assert only(table(has_default=True)).level == "warning"


def test_a_view_is_stale_once_older_than_declared() -> None:
    fresh = MatviewFacts("a.v", NOW - timedelta(minutes=15), timedelta(minutes=15), None)
    stale = MatviewFacts("a.v", NOW - timedelta(minutes=16), timedelta(minutes=15), None)
    assert find([fresh], NOW) == []
    assert only(stale).section == "views"


def test_a_view_that_was_never_filled_or_failed_is_a_warning() -> None:
    assert only(MatviewFacts("a.v", None, DAY, None)).text == "has never been filled"
    assert "broken" in only(MatviewFacts("a.v", NOW, DAY, "broken")).text


@pytest.mark.parametrize(
    ("status", "levels"), [("PASSED", []), ("WARNED", ["info"]), ("BLOCKED", ["critical"]), ("ERRORED", ["critical"])]
)
def test_a_gate_counts_by_its_newest_verdict(status: str, levels: list[str]) -> None:
    assert [f.level for f in find([GateFacts("m", "integrity", status, NOW, 1)], NOW)] == levels


def test_quarantine_and_an_open_migration_are_told() -> None:
    facts = [QuarantineFacts("a.b", "event time is null", 3), MigrationFacts("m", "capturing", 10, 2)]
    assert {f.section for f in find(facts, NOW)} == {"quarantine", "migration"}


def test_the_reasons_of_a_source_are_one_finding_the_most_rows_first() -> None:
    facts = [QuarantineFacts("a.b", "few", 3), QuarantineFacts("a.b", "many", 4_000), QuarantineFacts("a.c", "few", 1)]
    assert [f.text for f in find(facts, NOW)] == [
        "4,003 rows in quarantine: many (4,000); few (3)",
        "1 rows in quarantine: few (1)",
    ]


@pytest.mark.parametrize(
    ("slot", "found"),
    [
        (SlotFacts("s", True, "reserved", 0), []),
        (SlotFacts("s", True, "extended", 11 * 2**30), [("warning", "slow-slot")]),
        (SlotFacts("s", False, "reserved", None), [("warning", "idle-slot")]),
        (SlotFacts("s", False, "reserved", 10 * 2**30), [("critical", "idle-slot")]),
        (SlotFacts("s", True, "lost", None), [("critical", "lost-slot")]),
        (SlotFacts("s", False, "unreserved", 0), [("critical", "lost-slot")]),
    ],
)
def test_a_slot_is_judged_by_its_reader_and_by_what_is_kept_for_it(slot: SlotFacts, found: list[tuple[str, str]]) -> None:
    assert [(f.level, f.rule) for f in find([slot], NOW)] == found


@pytest.mark.parametrize(
    ("status", "is_active", "is_dropped"),
    [("lost", False, True), ("lost", True, False), ("unreserved", False, False), ("unreserved", True, False)],
)
def test_only_a_lost_slot_that_nobody_reads_is_dropped(status: str, *, is_active: bool, is_dropped: bool) -> None:
    assert ("pg_drop_replication_slot('s')" in only(SlotFacts("s", is_active, status, 0)).remedy) == is_dropped


def test_connections_are_critical_only_when_hardly_one_is_left() -> None:
    assert [find([server(n)], NOW) for n in (0, 79)] == [[], []]
    assert [only(server(n)).level for n in (80, 94, 95, 100)] == ["warning", "warning", "critical", "critical"]


def server(connections: int) -> ServerFacts:
    numbers = dict.fromkeys(("database_bytes", "shared_buffers_bytes", "effective_cache_bytes", "work_mem_bytes"), 1)
    counts = dict.fromkeys(("deadlocks", "temp_bytes", "active", "idle", "idle_in_transaction", "waiting"), 0)
    return ServerFacts(
        database="d", role_name="r", version="18", sees_sessions=True, hit_ratio=None, is_vacuumed=True,
        connections=connections, connection_limit=100, **numbers, **counts,
    )  # fmt: skip


@pytest.mark.parametrize(("fail_at", "fails"), [("critical", False), ("warning", True), ("info", True), ("never", False)])
def test_the_declared_level_decides_what_fails_the_run(fail_at: Any, *, fails: bool) -> None:
    findings = find([MatviewFacts("a.v", None, DAY, None)], NOW)
    if fails:
        with pytest.raises(Unhealthy, match=r"a.v: has never been filled \(python -m flows refresh_matviews --matview a.v\)"):
            refuse(findings, fail_at)
    else:
        refuse(findings, fail_at)


def test_a_flow_without_a_success_for_too_long_is_critical() -> None:
    assert find([FlowFacts("f", "a.b", NOW - DAY, "completed", DAY)], NOW) == []
    assert only(FlowFacts("f", "a.b", NOW - 2 * DAY, "completed", DAY)).level == "critical"
    assert only(FlowFacts("f", "a.b", NOW, "abandoned", DAY)).level == "warning"


def test_the_worst_stands_first() -> None:
    levels = [f.level for f in find([table(due=1, runway_until=None, waiting=1)], NOW)]
    assert levels == ["critical", "warning", "info"]
