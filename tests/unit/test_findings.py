"""Each fact leads to the finding that somebody on call needs, and to no other."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tasks.health.facts import Finding, FlowFacts, GateFacts, MatviewFacts, MigrationFacts, QuarantineFacts, TableFacts
from tasks.health.findings import find

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


def test_a_flow_without_a_success_for_too_long_is_critical() -> None:
    assert find([FlowFacts("f", "a.b", NOW - DAY, "completed", DAY)], NOW) == []
    assert only(FlowFacts("f", "a.b", NOW - 2 * DAY, "completed", DAY)).level == "critical"
    assert only(FlowFacts("f", "a.b", NOW, "abandoned", DAY)).level == "warning"


def test_the_worst_stands_first() -> None:
    levels = [f.level for f in find([table(due=1, runway_until=None, waiting=1)], NOW)]
    assert levels == ["critical", "warning", "info"]
