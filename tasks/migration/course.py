"""The course of a whole migration: what stands between two gates, each step skipped where the ledger calls it done (M8).

Belongs here: the order inside `migrate`, asking a person, what the flow returns.
Keep out: what the steps do (`backfill`, `compare`, `cutover`), and the gates' facts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from tasks.core.connect import Connection, Kind, database_now, transaction
from tasks.core.declaration import Declaration, Migration
from tasks.core.flowruns import flow_run_id, log, publish, stop_if_cancelled
from tasks.core.ledger import Deferred
from tasks.core.sqlfiles import fetch, run
from tasks.gates.evidence import read_state
from tasks.gates.gate import pass_gate
from tasks.gates.report import write_report
from tasks.migration.approval import (
    ApprovalRefused,
    InvalidApproval,
    Request,
    State,
    answer,
    ask,
    close,
    how_to_approve,
    read_close_reason,
    read_request,
    require_approval,
    why_invalid,
)
from tasks.migration.approval_form import Answer, ask_person, can_suspend, former_answer, given_sign_offs, was_shown
from tasks.migration.cutover import cut_over, read_migration, require_unobstructed
from tasks.migration.registry import read_registered
from tasks.migration.steps import backfill_in_tasks
from tasks.migration.verify import verify

OnProgress = Callable[[str, int, int | None], None]


class Postponed(Exception):
    """Another run holds the target; carries the Deferred that the flow returns."""

    def __init__(self, deferred: Deferred) -> None:
        super().__init__(deferred.reason)
        self.deferred = deferred


@dataclass(frozen=True)
class MigrationResult:
    """Where a migration stands after `migrate`; `lock_ms` is how long the cutover held the legacy tables."""

    migration: str
    outcome: Literal["completed", "waiting"]
    message: str
    lock_ms: int | None = None
    report: str | None = None


def is_cut_over(migration: str) -> bool:
    """Say whether the old names are views already."""
    with transaction(Kind.READ) as conn:
        known = read_registered(conn, migration)
    return known is not None and known.phase in {"cut_over", "retired"}


def copy(migration: str, declaration: Declaration, as_of: datetime) -> None:
    """Preflight gate, capture, backfill, and the gate on what was copied; Postponed where another run holds the target."""
    done = backfill_in_tasks(migration, declaration, as_of, begins_anew=True)
    if isinstance(done, Deferred):
        raise Postponed(done)
    log().info("copied %s rows, %s in quarantine", f"{done.rows_copied:,}", f"{sum(done.rows_quarantined.values()):,}")
    pass_gate(migration, "backfill", declaration)


def prove(migration: str, declaration: Declaration, on_progress: OnProgress) -> None:
    """See that every view can be made, compare every row and ask the gate: what keeps a cutover from being done is said
    before a person is asked. Raises CutoverBlocked, ViewDiffers, GateBlocked naming the rows, and Postponed where another run
    holds the target.
    """
    stop_if_cancelled()
    require_unobstructed(read_migration(migration), declaration.migration(migration))
    done = verify(migration, declaration, on_progress=on_progress, flow_run_id=flow_run_id())
    if isinstance(done, Deferred):
        raise Postponed(done)


def is_approved(migration: str, declaration: Declaration, as_of: datetime, approval: Literal["ask", "given"]) -> bool:
    """Say whether a valid approval stands; with `ask`, ask for it and suspend where this run is a deployment's.

    Raises ApprovalMissing with `given` where none stands, ApprovalRefused where a person said no.
    """
    stop_if_cancelled()
    policy = declaration.migration(migration)
    with transaction(Kind.READ) as conn:
        state = present_state(conn, migration, declaration)
        former = read_request(conn, migration)
        request = ask(conn, migration, state, allowance=policy.quarantine_allowance) if approval == "ask" else None
    if request is not None and request.decision is None and not can_suspend():
        if former is not None and former.decision == "approved":
            _say_why_again(migration, former.name, why_invalid(former, state))
        return False
    if request is not None and not was_shown(request):
        _heed_former(migration, policy)
    if request is not None and (request.decision is None or was_shown(request)):
        if not was_shown(request):
            waiting(migration, declaration, as_of)
        if not _answered(migration, policy, request):
            return is_approved(migration, declaration, as_of, approval)
    with transaction(Kind.READ) as conn:
        require_approval(conn, migration, state, policy.sign_offs)
    return True


def present_state(conn: Connection, migration: str, declaration: Declaration) -> State:
    """Return what an approval is given for, as this transaction sees it."""
    state, _ = read_state(conn, migration, declaration)
    quarantined = sum(row["rows"] for row in fetch(conn, "migration/count_quarantined", migration=migration))
    return State(state.fingerprint, state.mapping_version or "", quarantined)


def _heed_former(migration: str, policy: Migration) -> None:
    """Where this run was answered for a request that is closed by now: say why a yes does not count; a no is a no."""
    former = former_answer(policy.sign_offs)
    if former is None:
        return
    request_id, given = former
    with transaction(Kind.READ) as conn:
        reason = read_close_reason(conn, request_id)
        if given.decision == "approve":
            _say_why_again(migration, given.name, reason)
            return
        close(conn, migration, f"refused by {given.name}: {given.reason}")
    raise _refused(migration, given)


def _say_why_again(migration: str, name: str | None, reason: str | None) -> None:
    log().warning("The approval of %s by %s does not count: %s. It is asked for again.", migration, name, reason)


def _refused(migration: str, given: Answer) -> ApprovalRefused:
    return ApprovalRefused(migration, given.name, f"{database_now():%Y-%m-%d %H:%M} UTC", given.reason)


def _answered(migration: str, policy: Migration, request: Request) -> bool:
    """Suspend for a person's form and record the answer; an incomplete one closes the request, so that it is asked anew.

    Where somebody else has answered meanwhile a yes changes nothing; a no withdraws their yes, and raises ApprovalRefused.
    """
    given = ask_person(migration, policy, request)
    if given.decision == "approve" and request.decision is not None:
        return True
    with transaction(Kind.READ) as conn:
        try:
            is_first = _record(conn, migration, policy, request, given)
        except InvalidApproval as error:
            close(conn, migration, error.reason)
            return False
        if is_first or given.decision == "approve":
            return True
        close(conn, migration, f"refused by {given.name} after another answer: {given.reason}")
    raise _refused(migration, given)


def _record(conn: Connection, migration: str, policy: Migration, request: Request, given: Answer) -> bool:
    return answer(
        conn,
        request,
        migration,
        decision="approved" if given.decision == "approve" else "refused",
        name=given.name,
        reason=given.reason,
        sign_offs=given_sign_offs(given, policy.sign_offs),
        needed=policy.sign_offs,
        valid_for=policy.approval_valid,
    )


def waiting(migration: str, declaration: Declaration, as_of: datetime) -> MigrationResult:
    """Return that a person is waited for, with what that person does, and write the report that person reads."""
    message = how_to_approve(migration, declaration.migration(migration).sign_offs)
    report = _report(migration, as_of)
    form = "Press **Resume** on this run's page and fill in its form, or from a shell" if can_suspend() else "From a shell"
    command = message.removeprefix("Approve with: ")
    publish("migrate", f"{migration} waits for an approval.\n\nReport: {report}\n\n{form}:\n\n```sh\n{command}\n```")
    return MigrationResult(migration, "waiting", message, report=str(report))


def complete(migration: str, declaration: Declaration, as_of: datetime) -> MigrationResult:
    """Cut over where that is not done, ask the gate after it, and write the report; Postponed where another run holds it."""
    stop_if_cancelled()
    done = cut_over(migration, declaration, flow_run_id=flow_run_id())
    if isinstance(done, Deferred):
        raise Postponed(done)
    if not _is_retired(migration):
        pass_gate(migration, "after_cutover", declaration)
    report = _report(migration, as_of)
    with transaction(Kind.READ) as conn:
        locked_ms = run(conn, "migration/read_lock_ms", migration=migration).fetchone()
    message = f"{migration} is {done.outcome}; the legacy tables were locked for {locked_ms[0] if locked_ms else '?'} ms."
    publish("migrate", f"{message}\n\nReport: {report}")
    return MigrationResult(migration, "completed", message, lock_ms=locked_ms[0] if locked_ms else None, report=str(report))


def _is_retired(migration: str) -> bool:
    """Say whether the old tables are gone: the gate after the cutover has nothing to compare with any more."""
    with transaction(Kind.READ) as conn:
        known = read_registered(conn, migration)
    return known is not None and known.phase == "retired"


def _report(migration: str, as_of: datetime) -> Path:
    return write_report(migration, as_of)
