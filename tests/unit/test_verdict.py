"""The rules from outcomes to a verdict, and when a verdict no longer counts."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.gates.sentences import sentence
from tasks.gates.verdict import (
    GateBlocked,
    Outcome,
    State,
    Verdict,
    VerdictMissing,
    VerdictStale,
    blocked,
    bound_state,
    decide,
    name_row,
    reasons,
    require,
    stale_reason,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
STATE = State("fingerprint", "mapping", 3)
GOOD = Outcome("frame", "all is well", success=True)
CRITICAL = Outcome("frame", "it is so", success=False, severity="critical")
WARNING = replace(CRITICAL, severity="warning")
INFO = replace(CRITICAL, severity="info")
ERROR = replace(CRITICAL, severity="warning", error="no such column")

outcomes = st.builds(
    Outcome,
    frame=st.just("frame"),
    sentence=st.just("it is so"),
    success=st.booleans(),
    severity=st.sampled_from(["critical", "warning", "info"]),
    error=st.sampled_from([None, None, "raised"]),
).filter(lambda outcome: outcome.error is None or not outcome.success)


def make_verdict(status: str = "PASSED", *said: str) -> Verdict:
    return Verdict("store", "cutover", status, said, STATE, 1, "hash", NOW, NOW + timedelta(hours=1))  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("found", "status"),
    [
        ([GOOD], "PASSED"),
        ([GOOD, INFO], "PASSED"),
        ([GOOD, WARNING], "WARNED"),
        ([GOOD, WARNING, CRITICAL], "BLOCKED"),
        ([GOOD, ERROR], "ERRORED"),
        ([ERROR, CRITICAL], "BLOCKED"),
        ([], "ERRORED"),
    ],
)
def test_the_worst_that_is_known_decides(found: list[Outcome], status: str) -> None:
    assert decide(found) == status


@given(st.lists(outcomes, max_size=6))
def test_nothing_passes_that_failed_critically_or_could_not_be_judged(found: list[Outcome]) -> None:
    hopeless = not found or any(o.error or (not o.success and o.severity == "critical") for o in found)
    assert (decide(found) in {"PASSED", "WARNED"}) == (not hopeless)


@given(st.lists(outcomes, min_size=1, max_size=6), st.randoms())
def test_the_order_of_outcomes_does_not_matter(found: list[Outcome], random: object) -> None:
    shuffled = list(found)
    random.shuffle(shuffled)  # pyright: ignore[reportAttributeAccessIssue]
    assert decide(shuffled) == decide(found)


def test_a_reason_names_the_rows_and_says_how_many_more_there_are() -> None:
    rows = ({"partition": "a", "lower": None}, {"partition": "b", "lower": "2026"})
    (reason,) = reasons([replace(CRITICAL, rows=rows, unexpected=5, observed="5 of 9 rows are not so")])
    assert reason == (
        "expected that in frame, it is so; 5 of 9 rows are not so: partition=a; partition=b, lower=2026; and 3 more"
    )


def test_critical_reasons_come_first_and_errors_last() -> None:
    said = reasons([ERROR, INFO, WARNING, replace(CRITICAL, sentence="the worst"), GOOD])
    assert said[0].startswith("expected that in frame, the worst")
    assert said[-1] == "could not judge whether in frame, it is so: no such column"
    assert [reason.partition(" ")[0] for reason in said[1:3]] == ["warning:", "note:"]
    assert len(said) == 4


def test_the_error_names_what_blocks_and_leaves_warnings_in_the_verdict() -> None:
    said = reasons([WARNING, replace(CRITICAL, sentence="the worst")])
    assert "warning" not in str(blocked(make_verdict("BLOCKED", *said), "repair: nothing"))
    assert str(blocked(make_verdict("BLOCKED", *said), "repair: nothing")).startswith(
        "The gate cutover of store is BLOCKED: expected that in frame, the worst; it is not so; repair: nothing."
    )


def test_a_long_value_is_cut_and_stays_on_one_line() -> None:
    assert name_row({"text": "a\nb" + "x" * 500}).startswith("text=a bxxx")
    assert name_row({"text": "x" * 500}).endswith("… (500 characters)")


def test_a_verdict_counts_until_the_moment_it_ends() -> None:
    verdict = make_verdict()
    assert stale_reason(verdict, STATE, NOW + timedelta(minutes=59, seconds=59)) is None
    assert "it was valid until 2026-03-01 13:00:00 UTC" in str(stale_reason(verdict, STATE, NOW + timedelta(hours=1)))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (replace(STATE, fingerprint="other"), "a grant was changed"),
        (replace(STATE, mapping_version="other"), "the mapping was changed"),
        (replace(STATE, mapping_version=None), "the mapping was changed"),
        (replace(STATE, generation=4), "a capture trigger was touched"),
        (replace(STATE, is_generation_current=False), "a capture trigger was touched"),
    ],
)
def test_a_verdict_does_not_count_for_another_state(changed: State, said: str) -> None:
    with pytest.raises(VerdictStale, match=said):
        require(make_verdict(), "store", "cutover", changed, NOW)


def test_before_capture_no_generation_makes_a_verdict_stale() -> None:
    verdict = replace(make_verdict(), step="preflight", state=bound_state("preflight", STATE))
    assert stale_reason(verdict, replace(STATE, generation=9, is_generation_current=False), NOW) is None
    assert bound_state("backfill", STATE) == STATE


@pytest.mark.parametrize("status", ["PASSED", "WARNED"])
def test_a_passed_or_warned_verdict_lets_pass(status: str) -> None:
    verdict = make_verdict(status)
    assert require(verdict, "store", "cutover", STATE, NOW) is verdict


@pytest.mark.parametrize("status", ["BLOCKED", "ERRORED"])
def test_a_blocked_or_errored_verdict_is_raised_with_its_reasons(status: str) -> None:
    with pytest.raises(GateBlocked, match=f"The gate cutover of store is {status}: a row is lost"):
        require(make_verdict(status, "a row is lost"), "store", "cutover", STATE, NOW)


def test_a_blocked_verdict_stays_blocked_when_it_is_stale_too() -> None:
    with pytest.raises(GateBlocked):
        require(make_verdict("BLOCKED"), "store", "cutover", replace(STATE, fingerprint="x"), NOW + timedelta(days=1))


def test_a_gate_that_was_never_asked_lets_nothing_pass() -> None:
    with pytest.raises(VerdictMissing, match="has given no verdict"):
        require(None, "store", "cutover", STATE, NOW)


@pytest.mark.parametrize(
    ("kind", "arguments", "said"),
    [
        ("expect_table_row_count_to_be_between", {"min_value": 1}, "there is at least one row"),
        ("expect_table_row_count_to_be_between", {"max_value": 0}, "there is no row"),
        ("expect_table_row_count_to_be_between", {"max_value": 3.0}, "the number of rows is at most 3"),
        ("expect_column_values_to_be_in_set", {"column": "exists", "value_set": [True]}, "exists is true"),
        ("expect_column_values_to_be_in_set", {"column": "differing", "value_set": [0]}, "differing is 0"),
        ("expect_column_pair_values_to_be_equal", {"column_A": "a", "column_B": "b"}, "a equals b"),
        (
            "expect_column_values_to_be_between",
            {"column": "n", "min_value": 1, "max_value": 2},
            "n is at least 1 and at most 2",
        ),
        ("expect_something_else", {"column": "n", "odd": None}, "something else (column=n)"),
    ],
)
def test_an_expectation_reads_as_a_sentence(kind: str, arguments: dict[str, object], said: str) -> None:
    assert sentence(kind, arguments) == said
