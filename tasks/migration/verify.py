"""Prove that every row of a migration is on both sides: drain, compare, ask the gate; queue what differs for repair (M7, M8).

Belongs here: the order of these under one run lock, what follows from a difference.
Keep out: comparing (`compare`), applying (`drain`), judging (the gate).

A difference that the course of things explains (a collision whose winner has gone) is repaired and proven again. Any other
is repaired too, but the gate blocks in that run and names the rows: a fault must never look as if it had not been there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from tasks.core.connect import Connection, Kind, transaction
from tasks.core.declaration import Declaration
from tasks.core.errors import MissingRelation
from tasks.core.flowruns import log
from tasks.core.ledger import Deferred, Run, run_exclusively, unit
from tasks.core.sqlfiles import run
from tasks.gates.gate import judge, pass_gate
from tasks.gates.store import require_verdict
from tasks.gates.verdict import GateBlocked, Verdict, VerdictMissing, VerdictStale, blocked
from tasks.migration.backfill import current, drain
from tasks.migration.capture import enqueue_range
from tasks.migration.compare import ComparisonResult, compare
from tasks.migration.registry import Registered, read_registered

FLOW = "verify_integrity"
#: Kinds of difference that the course of things explains.
EXPLAINED = frozenset({"released"})

OnProgress = Callable[[str, int, int | None], None]


@dataclass(frozen=True)
class Repaired:
    """What a repair queued, and whether a second look at those units found them equal."""

    queued: int
    kinds: dict[str, int]
    is_mended: bool | None = None

    def __str__(self) -> str:
        kinds = ", ".join(f"{rows:,} {kind}" for kind, rows in sorted(self.kinds.items()))
        outcome = {True: "they are equal now", False: "they still differ", None: "not looked at again"}[self.is_mended]
        return f"{kinds}: {self.queued:,} keys were queued and drained, {outcome}"


@dataclass(frozen=True)
class IntegrityResult:
    """What was compared and what the gate said."""

    migration: str
    rows_compared: int = 0
    quarantined: int = 0
    in_flight: int = 0
    comparison_id: int | None = None
    seconds: float = 0.0
    status: str | None = None
    reasons: tuple[str, ...] = field(default=(), repr=False)
    repaired: Repaired | None = None
    outcome: Literal["completed", "cut over"] = "completed"


def verify(
    migration: str,
    declaration: Declaration,
    *,
    sessions: int = 2,
    on_progress: OnProgress | None = None,
    flow_run_id: str | None = None,
) -> IntegrityResult | Deferred:
    """Compare every row of both sides in one snapshot and ask the gate `integrity`; returns what it said.

    Drains first, so that little is in flight. Differing keys are queued and drained once, then looked at again. After the
    cutover nothing is done. Locks: ACCESS SHARE on both sides; what the drain takes. Deferred where another run works on
    the target. Raises GateBlocked naming expectation and rows (also where the repair has worked: the next run is clean),
    NotDeclared, MissingRelation (nothing was copied), LockBusy, RunLost.
    """
    target = declaration.migration(migration).target

    def work(started: Run) -> IntegrityResult:
        with transaction(Kind.READ) as conn:
            known = read_registered(conn, migration)
        if known is None:
            raise MissingRelation(f"migration {migration}", " in the ledger", f"Run backfill {migration} first.")
        if known.phase in ("cut_over", "retired"):
            return IntegrityResult(migration, outcome="cut over")
        return _Proof(started, migration, declaration, sessions, on_progress).run()

    overdue_after = declaration.flow(FLOW).overdue_after
    return run_exclusively(FLOW, migration, work, overdue_after=overdue_after, group=target, flow_run_id=flow_run_id)


@dataclass(frozen=True)
class _Proof:
    started: Run
    migration: str
    declaration: Declaration
    sessions: int
    on_progress: OnProgress | None

    def run(self) -> IntegrityResult:
        begun = time.monotonic()
        registered = self._drain()
        self._require_backfill()
        found = self._compare()
        if found.is_clean:
            return self._result(found, pass_gate(self.migration, "integrity", self.declaration), begun)
        repaired = repair(self.started, registered, found.comparison_id)
        self._drain()
        if set(found.kinds) <= EXPLAINED:
            found = self._compare()
            verdict = pass_gate(self.migration, "integrity", self.declaration)
            return self._result(found, verdict, begun, Repaired(repaired, dict(found.kinds), is_mended=found.is_clean))
        verdict = judge(self.migration, "integrity", self.declaration)
        raise blocked(verdict, f"repair: {Repaired(repaired, found.kinds, self._look_again(found))}")

    def _drain(self) -> Registered:
        registered = current(self.migration)
        drain(self.started, registered, workers=self.sessions, on_progress=self.on_progress)
        return registered

    def _require_backfill(self) -> None:
        try:
            with transaction(Kind.READ) as conn:
                require_verdict(conn, self.migration, "backfill", self.declaration)
        except (VerdictMissing, VerdictStale, GateBlocked):
            pass_gate(self.migration, "backfill", self.declaration)

    def _compare(self) -> ComparisonResult:
        found = compare(self.started, self.migration, sessions=self.sessions, on_progress=self._tell)
        log().info(
            "compared %s rows of %s in %.1f s: %s differ",
            f"{found.rows_compared:,}",
            self.migration,
            found.seconds,
            found.differing,
        )
        return found

    def _tell(self, done: int, total: int) -> None:
        if self.on_progress:
            self.on_progress(f"compare {self.migration}", done, total)

    def _look_again(self, found: ComparisonResult) -> bool:
        """Compare the units that differed once more; what it finds is reported and is no evidence."""
        again = compare(self.started, self.migration, sessions=self.sessions, only=found.differing_units)
        return again.is_clean

    def _result(
        self, found: ComparisonResult, verdict: Verdict, begun: float, repaired: Repaired | None = None
    ) -> IntegrityResult:
        return IntegrityResult(
            self.migration,
            rows_compared=found.rows_compared,
            quarantined=found.quarantined,
            in_flight=found.in_flight,
            comparison_id=found.comparison_id,
            seconds=round(time.monotonic() - begun, 3),
            status=verdict.status,
            reasons=verdict.reasons,
            repaired=repaired,
        )


def describe(result: IntegrityResult) -> str:
    """Return the result as text for the log and the artifact."""
    if result.outcome == "cut over":
        return f"{result.migration} is cut over; there is nothing to compare."
    compared = f"{result.migration}: {result.rows_compared:,} legacy rows compared in {result.seconds:,.1f} s"
    left_out = f"{result.quarantined:,} in quarantine, {result.in_flight:,} in flight"
    lines = [f"{compared}, gate {result.status}; {left_out}.", *(f"- {reason}" for reason in result.reasons)]
    if result.repaired is not None:
        lines.append(f"- repaired: {result.repaired}")
    return "\n".join(lines)


def repair(started: Run, migration: Registered, comparison_id: int) -> int:
    """Queue what a comparison found different for the drain, which judges each key anew; return how many entries that made.

    The named keys where every differing row was named, else every key of the units that differ. Target rows that no source
    owns stay: no drain may touch them.
    """
    with unit(started, group=migration.subject) as conn:
        return _queue(conn, migration, comparison_id)


def _queue(conn: Connection, migration: Registered, comparison_id: int) -> int:
    queued = run(conn, "migration/enqueue_differences", comparison_id=comparison_id).rowcount
    sources = {source.id: source for source in migration.sources}
    for row in run(conn, "migration/unnamed_differences", comparison_id=comparison_id).fetchall():
        source_id, lower, upper = row
        queued += enqueue_range(conn, migration.target, sources[source_id], lower, upper)
    return queued
