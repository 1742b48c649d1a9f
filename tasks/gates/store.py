"""Verdicts as rows: keeping them, and asking for one inside the transaction of the step it guards (M8).

Belongs here: reading and writing maintenance.verdict, the present state that a verdict is held against.
Keep out: the rules (`verdict`) and collecting evidence.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta

from tasks.core.connect import Connection, Kind, transaction
from tasks.core.declaration import Declaration, read_declaration
from tasks.core.sqlfiles import fetch, fetch_one
from tasks.gates.evidence import Evidence, read_state
from tasks.gates.verdict import Outcome, State, Verdict, bound_state, decide, reasons, require


def require_verdict(conn: Connection, subject: str, step: str, declaration: Declaration | None = None) -> Verdict:
    """Return the verdict that lets `step` of `subject` pass, as the caller's transaction sees it.

    `subject` is a migration, a table, or a table and the hash of a plan. Reads only; takes no lock on a table. Raises
    VerdictMissing where the gate was never asked, GateBlocked naming the expectation and the rows, VerdictStale where it
    expired by the server's clock or the schema, the mapping or the capture generation changed since (M8).
    """
    state, now = read_state(conn, subject, declaration or read_declaration())
    return require(newest_verdict(conn, subject, step), subject, step, state, now)


def newest_verdict(conn: Connection, subject: str, step: str) -> Verdict | None:
    """Return the newest verdict of a gate, None where it was never asked."""
    rows = fetch(conn, "evidence/newest_verdict", subject=subject, step=step)
    if not rows:
        return None
    row = rows[0]
    state = State(row.pop("fingerprint"), row.pop("mapping_version"), row.pop("generation"))
    return Verdict(subject=subject, step=step, state=state, reasons=tuple(row.pop("reasons")), **row)


def keep_verdict(evidence: Evidence, outcomes: Sequence[Outcome], valid_for: timedelta, data_docs: str | None) -> Verdict:
    """Decide from the outcomes, keep the verdict bound to the evidence's state, and return it."""
    status, said, state = decide(outcomes), reasons(outcomes), bound_state(evidence.step, evidence.state)
    with transaction(Kind.READ) as conn:
        row = fetch_one(
            conn,
            "evidence/insert_verdict",
            subject=evidence.subject,
            step=evidence.step,
            status=status,
            evidence_id=evidence.id,
            evidence_hash=evidence.hash,
            fingerprint=state.fingerprint,
            mapping_version=state.mapping_version,
            generation=state.generation,
            reasons=json.dumps(said),
            data_docs=data_docs,
            valid_for=valid_for,
        )
    return Verdict(
        subject=evidence.subject,
        step=evidence.step,
        status=status,
        reasons=said,
        state=state,
        evidence_id=evidence.id,
        evidence_hash=evidence.hash,
        data_docs=data_docs,
        outcomes=tuple(outcomes),
        **row,
    )
