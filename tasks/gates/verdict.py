"""From what expectations found to a verdict, and when a verdict no longer counts (M8).

Belongs here: the rules over plain outcomes: which block, which warn, what the reasons say, what makes a verdict stale.
Keep out: Great Expectations, the database, clocks, logging. A caller that needs "now" passes it in. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from tasks.core.errors import Permanent

Status = Literal["PASSED", "WARNED", "BLOCKED", "ERRORED"]
Severity = Literal["critical", "warning", "info"]
Row = Mapping[str, Any]

#: Rows that a reason names; the true number is always said.
MOST_ROWS = 20
#: A value longer than this is cut in a reason.
LONGEST_VALUE = 120


@dataclass(frozen=True)
class Outcome:
    """What one expectation found in one frame. `error` is set where it could not be judged at all."""

    frame: str
    sentence: str
    success: bool
    severity: Severity = "critical"
    notes: str = ""
    observed: str = ""
    unexpected: int = 0
    rows: tuple[Row, ...] = ()
    error: str | None = None


@dataclass(frozen=True)
class State:
    """What a verdict is bound to, as it is at one moment."""

    fingerprint: str
    mapping_version: str | None = None
    generation: int | None = None
    #: False where a capture trigger was touched since the generation was counted.
    is_generation_current: bool = True


@dataclass(frozen=True)
class Verdict:
    """One gate's answer for one subject. `reasons` are sentences, the failed ones first."""

    subject: str
    step: str
    status: Status
    reasons: tuple[str, ...]
    state: State
    evidence_id: int
    evidence_hash: str
    decided_at: datetime
    valid_until: datetime
    id: int = 0
    data_docs: str | None = None
    outcomes: tuple[Outcome, ...] = field(default=(), repr=False, compare=False)

    @property
    def lets_pass(self) -> bool:
        """Say whether the step that this gate guards may run."""
        return self.status in ("PASSED", "WARNED")


@dataclass(eq=False)
class GateBlocked(Permanent):
    """The gate {step} of {subject} is {status}: {reasons}. What it guards was not started; mend the cause and run the flow again."""

    quoting = "reasons"
    subject: str
    step: str
    status: str
    reasons: str


@dataclass(eq=False)
class VerdictMissing(Permanent):
    """The gate {step} of {subject} has given no verdict, so what it guards was not started. Run the flow, which asks the gate
    first."""

    subject: str
    step: str


@dataclass(eq=False)
class VerdictStale(Permanent):
    """The verdict of the gate {step} of {subject} no longer counts: {reason}. Run the flow again, which asks the gate anew;
    nothing was changed."""

    subject: str
    step: str
    reason: str


def decide(outcomes: Sequence[Outcome]) -> Status:
    """Return the verdict: a critical failure blocks, what could not be judged errs, a warning warns.

    A failure that was seen counts before an error: it is known, and mending it comes first. No outcome at all is an error.
    """
    failed = {outcome.severity for outcome in outcomes if not outcome.success and outcome.error is None}
    if "critical" in failed:
        return "BLOCKED"
    if not outcomes or any(outcome.error is not None for outcome in outcomes):
        return "ERRORED"
    return "WARNED" if "warning" in failed else "PASSED"


def reasons(outcomes: Iterable[Outcome]) -> tuple[str, ...]:
    """Return a sentence for each outcome that is not a success: failures by severity, then what could not be judged."""
    order = {"critical": 0, "warning": 1, "info": 2}
    failed = [outcome for outcome in outcomes if not outcome.success]
    return tuple(_reason(o) for o in sorted(failed, key=lambda o: (o.error is not None, order[o.severity])))


#: What a reason that does not block begins with.
_BESIDE = {"critical": "", "warning": "warning: ", "info": "note: "}


def _reason(outcome: Outcome) -> str:
    expected = f"in {outcome.frame}, {outcome.sentence}"
    if outcome.error is not None:
        return f"could not judge whether {expected}: {outcome.error}"
    said = f"{_BESIDE[outcome.severity]}expected that {expected}; {outcome.observed or 'it is not so'}"
    if not outcome.rows:
        return said
    more = outcome.unexpected - len(outcome.rows)
    return f"{said}: {'; '.join(name_row(row) for row in outcome.rows)}{f'; and {more:,} more' if more > 0 else ''}"


def name_row(row: Row) -> str:
    """Return a row as `column=value` pairs, absent values left out and long ones cut, on one line."""
    return ", ".join(f"{name}={_cut(value)}" for name, value in row.items() if value is not None)


def _cut(value: object) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}… ({len(text):,} characters)"


def bound_state(step: str, state: State) -> State:
    """Return the state that a verdict is bound to: before capture there is no generation that could change under it."""
    return replace(state, generation=None) if step == "preflight" else state


def stale_reason(verdict: Verdict, now_state: State, now: datetime) -> str | None:
    """Return why a verdict no longer counts for the present state, or None where it still does."""
    then = verdict.state
    if now >= verdict.valid_until:
        return f"it was valid until {verdict.valid_until:%Y-%m-%d %H:%M:%S} UTC"
    if then.fingerprint != now_state.fingerprint:
        return "a source, the target, an index, a policy or a grant was changed since"
    if then.mapping_version != now_state.mapping_version:
        return "the mapping was changed since"
    if then.generation is not None and (then.generation != now_state.generation or not now_state.is_generation_current):
        return "a capture trigger was touched since"
    return None


def blocked(verdict: Verdict, *more: str) -> GateBlocked:
    """Return the error that names what blocks; warnings beside it stay in the verdict."""
    hard = [reason for reason in verdict.reasons if not reason.startswith(tuple(filter(None, _BESIDE.values())))]
    return GateBlocked(verdict.subject, verdict.step, verdict.status, "; ".join((*(hard or verdict.reasons), *more)))


def require(verdict: Verdict | None, subject: str, step: str, now_state: State, now: datetime) -> Verdict:
    """Return the verdict that lets the step pass; raises VerdictMissing, VerdictStale or GateBlocked."""
    if verdict is None:
        raise VerdictMissing(subject, step)
    if not verdict.lets_pass:
        raise blocked(verdict)
    reason = stale_reason(verdict, now_state, now)
    if reason is not None:
        raise VerdictStale(subject, step, reason)
    return verdict
