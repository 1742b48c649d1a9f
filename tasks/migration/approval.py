"""A person's approval of a cutover, as a row in the database (design 9).

Belongs here: asking for it, recording the answer however it came, and what makes an answer valid no longer.
Keep out: the Prefect form (`approval_form`), the gates (`tasks.gates`) and the cutover itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from tasks.core.connect import Connection
from tasks.core.errors import Permanent
from tasks.core.shown import counted
from tasks.core.sqlfiles import fetch, run


@dataclass(eq=False)
class ApprovalMissing(Permanent):
    """The cutover of {migration} has no valid approval: {reason}. {remedy}"""

    migration: str
    reason: str
    remedy: str


@dataclass(eq=False)
class ApprovalRefused(Permanent):
    """The cutover of {migration} was refused by {name} on {given_at}: {reason}. Nothing was changed. Run migrate again to ask
    anew."""

    migration: str
    name: str
    given_at: str
    reason: str


@dataclass(eq=False)
class InvalidApproval(Permanent):
    """The approval of {migration} cannot be recorded: {reason}."""

    migration: str
    reason: str


@dataclass(frozen=True)
class State:
    """What a person approves; an approval holds for this and no other (design 9)."""

    fingerprint: str
    mapping_version: str
    quarantined_rows: int


@dataclass(frozen=True)
class Request:
    """An open request, with the answer where one was given."""

    id: UUID
    state: State
    requested_at: datetime
    decision: Literal["approved", "refused"] | None
    name: str | None
    reason: str | None
    sign_offs: tuple[str, ...]
    valid_until: datetime | None
    given_at: datetime | None
    is_expired: bool


def read_request(conn: Connection, migration: str) -> Request | None:
    """Return the newest open request of `migration`, answered or not; None where nobody was asked."""
    rows = fetch(conn, "migration/open_approval_request", migration=migration)
    return _request(rows[0]) if rows else None


def _request(row: dict[str, Any]) -> Request:
    state = State(row["fingerprint"], row["mapping_version"], row["quarantined_rows"])
    answer = (row["decision"], row["name"], row["reason"], tuple(row["sign_offs"] or ()), row["valid_until"], row["given_at"])
    return Request(row["id"], state, row["requested_at"], *answer, bool(row["is_expired"]))


def ask(conn: Connection, migration: str, state: State, *, allowance: int = 0) -> Request:
    """Return the open request that holds for `state`, closing one that was asked for another or has run out.

    A new request covers `allowance` rows in quarantine more than there are: the application goes on meanwhile.
    """
    request = read_request(conn, migration)
    why_not = "nobody was asked" if request is None else why_invalid(request, state)
    if request is not None and why_not is None:
        return request
    run(conn, "migration/close_approval_requests", migration=migration, reason=why_not)
    run(
        conn,
        "migration/insert_approval_request",
        migration=migration,
        quarantined_rows=state.quarantined_rows + allowance,
        fingerprint=state.fingerprint,
        mapping_version=state.mapping_version,
    )
    return read_open(conn, migration)


def why_invalid(request: Request, state: State) -> str | None:
    """Say why an answer to `request` would not hold for `state`; None where it would. Fewer quarantined rows are fine."""
    if request.state.fingerprint != state.fingerprint:
        return "the schema changed since it was asked for"
    if request.state.mapping_version != state.mapping_version:
        return "the mapping changed since it was asked for"
    if state.quarantined_rows > request.state.quarantined_rows:
        more = state.quarantined_rows - request.state.quarantined_rows
        return f"quarantine holds {counted(more, 'more row')} than when it was asked for"
    if request.is_expired:
        return "it has expired"
    if request.decision == "refused":
        return f"it was refused by {request.name}"
    return None


def answer(
    conn: Connection,
    request: Request,
    migration: str,
    *,
    decision: Literal["approved", "refused"],
    name: str,
    reason: str,
    sign_offs: Sequence[str] = (),
    needed: Sequence[str] = (),
    valid_for: timedelta = timedelta(days=1),
) -> bool:
    """Record a person's answer; True where it was the first. InvalidApproval for no name, no reason or a missing sign-off."""
    if not name.strip() or not reason.strip():
        raise InvalidApproval(migration=migration, reason="a name and a reason are needed")
    missing = [sign_off for sign_off in needed if sign_off not in sign_offs]
    if decision == "approved" and missing:
        raise InvalidApproval(migration=migration, reason=f"the sign-offs {', '.join(missing)} are missing")
    given = run(
        conn,
        "migration/insert_approval",
        request_id=request.id,
        decision=decision,
        name=name.strip(),
        reason=reason.strip(),
        sign_offs=list(sign_offs),
        valid_for=valid_for,
    )
    return given.rowcount == 1


def require_approval(conn: Connection, migration: str, state: State, needed: Sequence[str]) -> Request:
    """Return the approval that holds for `state`; called inside the transaction that it allows.

    Raises ApprovalMissing (nobody asked, not answered, expired, another state, a sign-off missing) or ApprovalRefused.
    """
    remedy = f"Run migrate for {migration} to ask for it."
    request = read_request(conn, migration)
    if request is None:
        raise ApprovalMissing(migration=migration, reason="nobody was asked", remedy=remedy)
    if request.decision is None:
        raise ApprovalMissing(
            migration=migration, reason="the request is not answered", remedy=how_to_approve(migration, needed)
        )
    if request.decision == "refused":
        given_at = f"{request.given_at:%Y-%m-%d %H:%M} UTC"
        raise ApprovalRefused(migration=migration, name=request.name or "", given_at=given_at, reason=request.reason or "")
    why_not = why_invalid(request, state)
    missing = [sign_off for sign_off in needed if sign_off not in request.sign_offs]
    if why_not or missing:
        reason = why_not or f"the sign-offs {', '.join(missing)} are missing"
        raise ApprovalMissing(migration=migration, reason=reason, remedy=remedy)
    return request


def how_to_approve(migration: str, needed: Sequence[str]) -> str:
    """Return the command that gives the approval from a shell."""
    sign_offs = "".join(f" --sign-offs {sign_off}" for sign_off in needed)
    return f"Approve with: python -m flows approve {migration} --name NAME --reason REASON{sign_offs}"


def close(conn: Connection, migration: str, reason: str) -> None:
    """Close the open request: what it was asked for has been done."""
    run(conn, "migration/close_approval_requests", migration=migration, reason=reason)


def read_close_reason(conn: Connection, request_id: str) -> str:
    """Return why a request is closed; of one that is open or unknown, that it is not the one that is asked now."""
    rows = fetch(conn, "migration/read_close_reason", request_id=request_id)
    return (rows[0]["close_reason"] if rows else None) or "another request is asked now"


def read_open(conn: Connection, migration: str) -> Request:
    """Return the open request, or raise ApprovalMissing where nobody was asked."""
    request = read_request(conn, migration)
    if request is None:
        remedy = f"Run migrate for {migration} to ask for it."
        raise ApprovalMissing(migration=migration, reason="nobody was asked", remedy=remedy)
    return request
