"""What retention decides, from facts alone: by the upper bound, the oldest first, nothing young, nothing held (D4)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.names import Relation
from tasks.core.sqlfiles import ROOT, compose
from tasks.partitions.retention_anomalies import (
    ClockJumped,
    FutureRefused,
    LastRun,
    PartitionGap,
    RetentionShortened,
    require_no_anomaly,
    require_no_gap,
    require_not_future,
)
from tasks.partitions.retention_plan import (
    Archive,
    Candidate,
    Detach,
    Drop,
    Finalize,
    Hold,
    Keep,
    Policy,
    RetentionPlan,
    State,
    decide,
    plan_retention,
    without,
)
from tasks.partitions.retention_text import text_of

AS_OF = datetime(2025, 11, 1, tzinfo=UTC)
DAY = timedelta(days=1)
KEEP = timedelta(days=90)
POLICY = Policy(KEEP, grace=timedelta(days=7), at_most=50)
RESOLUTION = timedelta(microseconds=1)
TABLE = "app.readings"


def partition(upper: Any, **facts: Any) -> Candidate:
    lower = upper - DAY if upper else None
    return Candidate(f"app.p{upper:%Y%m%dt%H%M%S%f}" if upper else "app.p", **{"lower": lower, "upper": upper, **facts})


def days(count: int, newest: datetime = AS_OF + DAY) -> list[Candidate]:
    return [partition(newest - n * DAY) for n in range(count)][::-1]


def plan(candidates: list[Candidate], policy: Policy = POLICY, as_of: datetime = AS_OF, **facts: Any) -> RetentionPlan:
    return plan_retention(TABLE, candidates, policy, facts.pop("holds", ()), as_of, **facts)


def choice(candidate: Candidate, policy: Policy = POLICY, as_of: datetime = AS_OF, **facts: Any) -> Any:
    return decide(candidate, policy, **{"hold": None, **facts}, as_of=as_of)


# Due: by the upper bound, which is exclusive.


def test_a_partition_that_ends_exactly_at_the_oldest_kept_instant_goes() -> None:
    assert isinstance(choice(partition(AS_OF - KEEP)), Detach)


def test_a_partition_whose_newest_row_is_exactly_90_days_old_is_kept() -> None:
    assert isinstance(choice(partition(AS_OF - KEEP + RESOLUTION)), Keep)


def test_a_lower_bound_alone_makes_nothing_due() -> None:
    year = partition(AS_OF, lower=AS_OF - 365 * DAY)
    assert isinstance(choice(year), Keep)


def test_a_partition_without_an_upper_bound_never_goes() -> None:
    assert isinstance(choice(partition(None)), Keep)


def test_a_default_partition_never_goes() -> None:
    assert isinstance(choice(partition(None, is_default=True)), Keep)


def test_a_partition_without_a_lower_bound_goes_like_any_other() -> None:
    assert isinstance(choice(partition(AS_OF - KEEP, lower=None)), Detach)


def test_the_only_partition_never_goes() -> None:
    assert plan([partition(AS_OF - 2 * KEEP)]).steps == ()


def test_the_newest_partition_never_goes_however_old_it_is() -> None:
    old = days(3, newest=AS_OF - 2 * KEEP)
    assert [step.partition for step in plan(old).steps] == old[:2]


def test_a_detached_partition_does_not_count_as_the_newest() -> None:
    kept, gone = partition(AS_OF - 2 * KEEP), partition(AS_OF - KEEP, state="archived", since=AS_OF)
    assert plan([kept, gone]).steps == ()


# Holds.


def test_a_hold_that_overlaps_keeps_a_partition() -> None:
    end = AS_OF - KEEP
    held = plan([partition(end), partition(AS_OF)], holds=[Hold(end - RESOLUTION, None, "case 7")])
    assert held.steps == ()
    assert "case 7" in held.kept[0].reason


def test_a_hold_that_only_touches_a_partition_does_not_keep_it() -> None:
    due = partition(AS_OF - KEEP)
    assert plan([due, partition(AS_OF)], holds=[Hold(due.upper, None, "after"), Hold(None, due.lower, "before")]).steps


def test_a_hold_without_bounds_keeps_the_whole_table() -> None:
    assert plan(days(120), holds=[Hold(None, None, "audit")]).steps == ()


def test_a_hold_ends_at_its_until() -> None:
    hold = Hold(None, None, "audit", until=AS_OF)
    assert plan(days(120), holds=[hold]).steps
    assert not plan(days(120), holds=[hold], as_of=AS_OF - RESOLUTION).steps


def test_a_hold_keeps_a_detached_partition_from_being_dropped_but_not_from_being_archived() -> None:
    hold = Hold(None, None, "audit")
    waiting = partition(AS_OF - KEEP, state="archived", since=AS_OF - 30 * DAY)
    assert isinstance(choice(waiting, hold=hold), Keep)
    assert isinstance(choice(replace(waiting, state="detached"), hold=hold), Archive)


# From detached to dropped.


def test_a_detached_partition_is_archived_next() -> None:
    states: tuple[State, ...] = ("detached", "archiving")
    for state in states:
        assert isinstance(choice(partition(AS_OF - KEEP, state=state, since=AS_OF)), Archive)


def test_an_archived_partition_waits_until_its_grace_period_has_ended() -> None:
    waiting = partition(AS_OF - 2 * KEEP, state="archived", since=AS_OF - POLICY.grace)
    assert isinstance(choice(waiting), Drop)
    assert isinstance(choice(waiting, as_of=AS_OF - RESOLUTION), Keep)


def test_without_a_declared_archive_the_grace_period_begins_with_the_detach() -> None:
    bare = replace(POLICY, is_archived=False)
    detached = partition(AS_OF - 2 * KEEP, state="detached", since=AS_OF - POLICY.grace)
    assert isinstance(choice(detached, bare), Drop)
    assert isinstance(choice(detached, bare, as_of=AS_OF - RESOLUTION), Keep)


def test_a_declaration_that_keeps_what_was_detached_drops_nothing() -> None:
    archived = partition(AS_OF - 2 * KEEP, state="archived", since=AS_OF - 300 * DAY)
    assert isinstance(choice(archived, replace(POLICY, is_dropped=False)), Keep)


def test_a_retention_that_was_lengthened_keeps_what_was_detached_under_the_shorter_one() -> None:
    archived = partition(AS_OF - KEEP, state="archived", since=AS_OF - 30 * DAY)
    assert isinstance(choice(archived, replace(POLICY, keep=KEEP + DAY)), Keep)


def test_a_pending_detach_is_finished_whether_it_was_due_or_not() -> None:
    due, early = choice(partition(AS_OF - KEEP, state="pending")), choice(partition(AS_OF, state="pending"))
    assert isinstance(due, Finalize)
    assert due.is_due
    assert isinstance(early, Finalize)
    assert not early.is_due


def test_what_stands_in_the_way_is_debt_and_no_step() -> None:
    due = partition(AS_OF - KEEP, obstacle="changes in it are still to be carried back")
    found = plan([due, partition(AS_OF)])
    assert found.steps == ()
    assert [debt.reason for debt in found.debt] == [due.obstacle]


# The brake.


def test_at_most_takes_the_oldest_and_reports_the_rest_as_debt() -> None:
    found = plan(days(100), replace(POLICY, at_most=3))
    assert [step.partition.upper for step in found.steps] == [AS_OF - n * DAY for n in (98, 97, 96)]
    assert [debt.upper for debt in found.debt] == [AS_OF - n * DAY for n in range(95, 89, -1)]


def test_a_drop_takes_its_place_before_a_younger_detach() -> None:
    archived = [replace(one, state="archived", since=AS_OF - 7 * DAY) for one in days(2, newest=AS_OF - 100 * DAY)]
    found = plan([*archived, *days(100)], replace(POLICY, at_most=2))
    assert [type(step) for step in found.steps] == [Drop, Drop]
    assert len(found.debt) == 9


def test_archives_and_finished_detaches_take_no_place() -> None:
    begun = [partition(AS_OF - 200 * DAY, state="pending"), partition(AS_OF - 199 * DAY, state="detached", since=AS_OF)]
    found = plan([*begun, *days(100)], replace(POLICY, at_most=1))
    assert [type(step) for step in found.steps] == [Finalize, Archive, Detach]


def test_a_partition_that_this_run_detached_needs_no_second_place_to_be_dropped() -> None:
    first, second = days(2, newest=AS_OF - 100 * DAY)
    gone = replace(first, state="archived", since=AS_OF)
    none = replace(POLICY, at_most=1, grace=timedelta(0))
    found = plan([gone, second, partition(AS_OF)], none, begun=frozenset({gone.name}))
    assert [type(step) for step in found.steps] == [Drop]
    assert [debt.partition for debt in found.debt] == [second.name]


def test_after_a_failure_its_partition_and_every_drop_are_left_out() -> None:
    archived = partition(AS_OF - 200 * DAY, state="archived", since=AS_OF - 30 * DAY)
    found = plan([archived, *days(93)])
    left = without(found, [found.steps[1].partition.name], (Drop,))
    assert left.steps == found.steps[2:]


# Anomalies.


def anomaly(candidates: list[Candidate], policy: Policy = POLICY, as_of: datetime = AS_OF, **facts: Any) -> None:
    known: dict[str, Any] = {"now": as_of, "last": None, "newest_rows": (as_of - DAY, as_of + DAY), "ahead": 14 * DAY, **facts}
    retired = known.pop("retired", ())
    require_no_anomaly(plan(candidates, policy, as_of), candidates, retired, **known)


def test_a_healthy_table_is_no_anomaly() -> None:
    anomaly(days(120))


def test_a_gap_is_named() -> None:
    candidates = days(120)
    del candidates[40]
    with pytest.raises(PartitionGap, match="2025-08-14 00:00:00") as error:
        anomaly(candidates)
    assert error.value.upper - error.value.lower == DAY


def test_a_gap_that_creation_does_not_fill_is_no_anomaly() -> None:
    """Past its retention nobody misses it, past the runway nobody needs it yet; each would block removals for ever."""
    old = days(120)
    del old[5]
    anomaly(old)
    anomaly([*days(140, AS_OF + 20 * DAY), partition(AS_OF + 40 * DAY)])


def test_a_gap_at_the_edge_of_the_retention_or_of_the_runway_is_one() -> None:
    first_kept = next(n for n, one in enumerate(days(120)) if one.lower == AS_OF - KEEP)
    edge, runway = days(120), [*days(120), partition(AS_OF + 14 * DAY), partition(AS_OF + 20 * DAY)]
    del edge[first_kept]
    with pytest.raises(PartitionGap):
        anomaly(edge)
    with pytest.raises(PartitionGap):
        anomaly(runway)


def test_what_retention_itself_has_removed_is_no_gap() -> None:
    held, *rest = days(120)
    anomaly([held, *rest[10:]], retired=[(one.lower, one.upper) for one in rest[:10]])
    anomaly([held, *(replace(one, state="archived", since=AS_OF) for one in rest[:10]), *rest[10:]])


def test_a_gap_is_no_anomaly_while_nothing_would_go() -> None:
    candidates = days(30)
    del candidates[5]
    anomaly(candidates)


def test_a_table_without_partitions_has_no_gap() -> None:
    require_no_gap(TABLE, [], [])


def test_a_retention_cut_to_less_than_half_is_refused_until_somebody_accepts_it() -> None:
    last = LastRun(KEEP, AS_OF - DAY, AS_OF - DAY)
    anomaly(days(120), replace(POLICY, keep=KEEP / 2), last=last)
    shorter = replace(POLICY, keep=KEEP / 2 - RESOLUTION)
    with pytest.raises(RetentionShortened, match=r"accepts = 'shortened' where relation = 'app\.readings'"):
        anomaly(days(120), shorter, last=last)
    anomaly(days(120), shorter, last=replace(last, accepts="shortened"))


def test_a_clock_that_went_back_is_refused() -> None:
    last = LastRun(KEEP, AS_OF, AS_OF)
    with pytest.raises(ClockJumped, match="before the last run"):
        anomaly(days(120), as_of=AS_OF - RESOLUTION, last=last)
    anomaly(days(120), as_of=AS_OF - RESOLUTION, last=replace(last, accepts="clock"))


def test_a_last_run_as_of_the_future_does_not_block_the_next_one_of_today() -> None:
    anomaly(days(120), last=LastRun(KEEP, as_of=AS_OF + 7 * DAY, ran_at=AS_OF - DAY))


def test_a_clock_that_went_ahead_is_recognised_by_all_rows_being_past_their_retention() -> None:
    newest = (AS_OF - KEEP - DAY, AS_OF - KEEP)
    with pytest.raises(ClockJumped, match="all of its rows are past"):
        anomaly(days(120), newest_rows=newest)
    anomaly(days(120), newest_rows=(newest[0] + RESOLUTION, newest[1] + RESOLUTION))


def test_a_clock_that_went_back_is_recognised_by_rows_later_than_the_runway() -> None:
    beyond = (AS_OF + 14 * DAY + RESOLUTION, AS_OF + 16 * DAY)
    with pytest.raises(ClockJumped, match="later than its runway"):
        anomaly(days(120), newest_rows=beyond)
    anomaly(days(120), newest_rows=(beyond[0] - RESOLUTION, beyond[1]))


def test_an_empty_table_says_nothing_about_the_clock() -> None:
    anomaly(days(120), newest_rows=None)


def test_the_future_is_refused_unless_a_setting_allows_it() -> None:
    require_not_future(TABLE, AS_OF, AS_OF, is_allowed=False)
    require_not_future(TABLE, AS_OF + 7 * DAY, AS_OF, is_allowed=True)
    with pytest.raises(FutureRefused, match="MAINTENANCE_ALLOW_FUTURE=1"):
        require_not_future(TABLE, AS_OF + 7 * DAY, AS_OF, is_allowed=False)


# The text and what the gate sees.


def test_the_text_names_every_step_its_reason_and_the_debt() -> None:
    text = text_of(plan(days(93), replace(POLICY, at_most=1)), ["alter table a"])
    assert "| detach | app.p20250802t000000000000 | 2025-08-02 | every row is older than 2025-08-03 |" in text
    assert "Due and left for later: 1." in text
    assert text.endswith("```sql\nalter table a;\n```")


def test_the_page_of_the_flow_shows_the_text_as_it_is() -> None:
    """One string in the log, the artifact and the documentation."""
    table = Relation("unified", "event_metric_events")
    made = [replace(one, name=f"{table}_p{one.lower:%Y%m%d}") for one in days(93)]
    found = plan_retention(str(table), made, replace(POLICY, at_most=1), (), AS_OF)
    values = {"parent": table, "partition": Relation.parse(found.steps[0].partition.name)}
    text = text_of(found, [compose("partitions/detach_concurrently", values).as_string()])
    assert text in (ROOT.parent / "docs" / "flows" / "enforce_retention.md").read_text(encoding="utf-8")


def test_the_text_of_an_empty_plan_says_so() -> None:
    assert "Nothing to do: 30 partitions kept." in text_of(plan(days(30)), [])


def test_the_gate_is_told_each_removal_and_its_subject_changes_with_them() -> None:
    one, two = plan(days(92)), plan(days(93))
    assert [row["deed"] for row in one.evidence()] == ["detach"]
    assert not any(row["is_held"] or row["is_newest"] for row in two.evidence())
    assert one.subject != two.subject
    assert one.subject.startswith(f"{TABLE} ")


# Properties.

#: One choice for an instant, not seven: no calendar stands between the choice and the value.
FIRST, SECONDS = datetime(2000, 1, 1, tzinfo=UTC), 40 * 365 * 86_400
INSTANTS = st.integers(0, SECONDS).map(lambda seconds: FIRST + timedelta(seconds=seconds))
STATES: st.SearchStrategy[State] = st.sampled_from(("attached", "pending", "detached", "archiving", "archived"))
POLICIES = st.builds(
    Policy,
    keep=st.timedeltas(timedelta(0), timedelta(days=400)),
    grace=st.timedeltas(timedelta(0), timedelta(days=30)),
    at_most=st.integers(1, 50),
    is_archived=st.booleans(),
    is_dropped=st.booleans(),
)


@st.composite
def tables(draw: st.DrawFn) -> list[Candidate]:
    """Touching partitions in any state; the newest is attached, as it is while anything is written."""
    bounds = sorted(draw(st.sets(INSTANTS, min_size=2, max_size=12)))
    pieces = list(pairwise(bounds))
    made = [Candidate(f"app.p{n}", lower, upper, draw(STATES), since=draw(INSTANTS)) for n, (lower, upper) in enumerate(pieces)]
    return [*made[:-1], replace(made[-1], state="attached")]


HOLDS = st.lists(st.builds(Hold, st.none() | INSTANTS, st.none() | INSTANTS, st.just("held"), st.none() | INSTANTS), max_size=3)


@given(tables(), POLICIES, HOLDS, INSTANTS)
def test_nothing_younger_than_keep_is_ever_removed(
    candidates: list[Candidate], policy: Policy, holds: list[Hold], as_of: datetime
) -> None:
    for step in plan(candidates, policy, as_of, holds=holds).removals:
        assert step.partition.upper is not None
        assert step.partition.upper + policy.keep <= as_of


@given(tables(), POLICIES, HOLDS, INSTANTS)
def test_nothing_held_is_ever_removed(candidates: list[Candidate], policy: Policy, holds: list[Hold], as_of: datetime) -> None:
    for step in plan(candidates, policy, as_of, holds=holds).removals:
        for hold in holds:
            if hold.until is None or hold.until > as_of:
                ends_before = hold.upper is not None and hold.upper <= (step.partition.lower or as_of)
                begins_after = hold.lower is not None and hold.lower >= (step.partition.upper or as_of)
                assert ends_before or begins_after


@given(tables(), POLICIES, INSTANTS)
def test_removals_are_the_oldest_and_no_more_than_allowed(candidates: list[Candidate], policy: Policy, as_of: datetime) -> None:
    found = plan(candidates, policy, as_of)
    uppers: list[Any] = [step.partition.upper for step in found.removals]
    assert uppers == sorted(uppers)
    assert len(uppers) <= policy.at_most
    assert all(debt.upper is None or not uppers or debt.upper >= uppers[-1] for debt in found.debt)


def carried_out(candidates: list[Candidate], found: RetentionPlan, as_of: datetime) -> list[Candidate]:
    """What a table looks like after a pass; a dropped partition is gone, an early detach is nobody's any more."""
    after: dict[str, Candidate | None] = {one.name: one for one in candidates}
    for step in found.steps:
        one = step.partition
        match step:
            case Detach():
                after[one.name] = replace(one, state="detached", since=as_of)
            case Finalize(is_due=is_due):
                after[one.name] = replace(one, state="detached", since=as_of) if is_due else None
            case Archive():
                after[one.name] = replace(one, state="archived", since=as_of)
            case Drop():
                after[one.name] = None
    return [one for one in after.values() if one is not None]


@given(tables(), POLICIES, HOLDS, INSTANTS)
def test_a_run_ends_and_a_second_one_in_a_row_plans_nothing(
    candidates: list[Candidate], policy: Policy, holds: list[Hold], as_of: datetime
) -> None:
    begun: set[str] = set()
    found = plan(candidates, policy, as_of, holds=holds)
    for _ in range(5):
        found = plan(candidates, policy, as_of, holds=holds, begun=frozenset(begun))
        begun |= {step.partition.name for step in found.removals}
        candidates = carried_out(candidates, found, as_of)
    assert not found.steps
    assert bool(plan(candidates, policy, as_of, holds=holds).steps) == bool(found.debt)
    assert len(begun) <= policy.at_most
