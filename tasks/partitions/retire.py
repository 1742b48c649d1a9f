"""Carry retention out: pass by pass from due to dropped (D4).

Belongs here: the order of a run, its intents and their gate, the drop, the result.
Keep out: what is due and why (`retention_plan`), detaching (`detach`), files and their proof (`archive`), Prefect.
A run that dies leaves a record of what it began; the next one believes the catalog and goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from tasks.core.connect import Connection, Kind, transaction
from tasks.core.declaration import Declaration
from tasks.core.declaration import Table as DeclaredTable
from tasks.core.errors import LockBusy, MaintenanceError, Permanent, Unfinished, UnsuitableRelation
from tasks.core.ledger import Deferred, Run, run_exclusively, unit
from tasks.core.names import Relation
from tasks.core.parameters import Safety
from tasks.core.settings import settings
from tasks.core.sqlfiles import fetch, run
from tasks.partitions.archive import (
    Archived,
    ArchiveUnit,
    Failed,
    archive_bundle,
    bundle,
)
from tasks.partitions.detach import (
    Detaching,
    DetachPending,
    DetachRefused,
    detach_partition,
    detach_session,
    finalize_detach,
)
from tasks.partitions.drop import Dropping, drop_partition
from tasks.partitions.retention_anomalies import require_no_anomaly, require_not_future
from tasks.partitions.retention_facts import Observed, observe
from tasks.partitions.retention_plan import (
    Archive,
    Debt,
    Detach,
    Drop,
    Finalize,
    Policy,
    RetentionPlan,
    Step,
    plan_retention,
    without,
)
from tasks.partitions.retention_text import text_of

FLOW = "enforce_retention"
#: Archives run side by side in threads: the work is the server's and Arrow's.
WORKERS = 2

Gate = Callable[[Connection, RetentionPlan], None]
OnPlan = Callable[[RetentionPlan], None]
Progress = Callable[[str, int, int | None], None]
ArchiveAll = Callable[[Run, list[list[ArchiveUnit]], datetime], Iterable[list[Archived | Failed]]]


@dataclass(eq=False)
class DetachedEarly(Permanent):
    """{partition} was being detached from {parent} before its time; that was finished, because it blocked every other detach.
    Bring it back with: alter table {parent} attach partition {partition} for values from ('{lower}') to ('{upper}')"""

    partition: str
    parent: str
    lower: str
    upper: str


@dataclass(frozen=True)
class RetentionResult:
    """What a run did to one table, or would do; `lines` is the plan as it was shown."""

    table: str
    applied: bool
    lines: tuple[str, ...]
    detached: tuple[str, ...] = ()
    archived: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    debt: tuple[Debt, ...] = ()
    archive_bytes: int = 0
    rows_archived: int = 0
    outcome: str = "completed"


@dataclass
class _Work:
    """One applied run of one table, from pass to pass."""

    started: Run
    table: Relation
    declared: DeclaredTable
    policy: Policy
    as_of: datetime
    gate: Gate | None
    on_plan: OnPlan
    on_progress: Progress
    archive_all: ArchiveAll
    is_checked: bool = False
    shown: list[RetentionPlan] = field(default_factory=list[RetentionPlan])
    begun: set[str] = field(default_factory=set[str])
    detached: list[str] = field(default_factory=list[str])
    archived: list[Archived] = field(default_factory=list[Archived])
    dropped: list[str] = field(default_factory=list[str])
    failed: list[Failed] = field(default_factory=list[Failed])

    def fail(self, step: Step, error: MaintenanceError) -> None:
        """Leave this partition out of what follows in this run."""
        self.failed.append(Failed(step.partition.name, error))


def retire(  # noqa: PLR0917 (the two hooks after as_of are the ones that callers always give)
    table: str,
    declaration: Declaration,
    safety: Safety,
    as_of: datetime,
    require_gate: Gate | None = None,
    on_progress: Progress | None = None,
    *,
    on_plan: OnPlan | None = None,
    archive_all: ArchiveAll | None = None,
    flow_run_id: str | None = None,
) -> RetentionResult | Deferred:
    """Remove what has outlived a table's retention, or only say so where `safety.apply` is off.

    `require_gate` is asked in each transaction that records the intent to remove something, `on_plan` gets each plan with
    removals that were not shown yet, before any of them; `archive_all` spreads the archives (threads of this process by
    default). Returns Deferred while another run holds the table or a migration into it captures. Locks: see the
    statements' headers. Raises NotDeclared, UnsuitableRelation, PartitionGap, RetentionShortened, ClockJumped,
    FutureRefused, and the one error, or Unfinished naming all, where something due could not be done (D4).
    """
    declared = declaration.table(table)
    policy = _policy(table, declared, safety)
    show = on_plan or _ignore
    if not safety.apply:
        return _only_plan(Relation.parse(table), declared, policy, as_of, show)

    def work(started: Run) -> RetentionResult | Deferred:
        progress = on_progress or _ignore
        spread = archive_all or archive_in_threads
        return _apply(_Work(started, Relation.parse(table), declared, policy, as_of, require_gate, show, progress, spread))

    overdue_after = declaration.flow(FLOW).overdue_after
    return run_exclusively(FLOW, table, work, overdue_after=overdue_after, flow_run_id=flow_run_id)


def _ignore(*_: object) -> None:
    """Listen to nothing."""


def _policy(table: str, declared: DeclaredTable, safety: Safety) -> Policy:
    kept = declared.retention
    if kept is None:
        raise UnsuitableRelation(table, "it declares no retention", "Declare one, or leave this table out.")
    at_most = safety.at_most or kept.at_most_per_run
    return Policy(kept.keep, kept.grace, at_most, kept.archive == "parquet", kept.then == "drop")


def _only_plan(table: Relation, declared: DeclaredTable, policy: Policy, as_of: datetime, on_plan: OnPlan) -> RetentionResult:
    with transaction(Kind.READ) as conn:
        seen = observe(conn, table, declared.partitioning)
    plan = plan_retention(str(table), seen.candidates, policy, seen.holds, as_of)
    on_plan(plan)
    lines = [*text_of(plan).split("\n"), *_refusal(plan, seen, declared)]
    return RetentionResult(str(table), applied=False, lines=tuple(lines), debt=plan.debt)


def _refusal(plan: RetentionPlan, seen: Observed, declared: DeclaredTable) -> list[str]:
    """Say below a plan that is only shown why it would be refused."""
    try:
        _require_no_anomaly(plan, seen, declared)
    except Permanent as error:
        return ["", f"Would be refused: {error}"]
    return []


def _require_no_anomaly(plan: RetentionPlan, seen: Observed, declared: DeclaredTable) -> None:
    facts: dict[str, Any] = {"now": seen.now, "last": seen.last, "newest_rows": seen.newest_rows}
    require_no_anomaly(plan, seen.candidates, seen.retired, **facts, ahead=declared.partitioning.ahead)


def _apply(work: _Work) -> RetentionResult | Deferred:
    """Pass over the table until no step is left: one pass detaches, the next archives, and without grace a third drops."""
    with transaction(Kind.READ) as conn:
        under_way = fetch(conn, "partitions/migration_under_way", target=str(work.table))
    if under_way:
        return Deferred(FLOW, str(work.table), f"migration {under_way[0]['name']} captures changes until its cutover")
    seen, plan = _look(work)
    require_not_future(str(work.table), work.as_of, seen.now, is_allowed=settings().maintenance_allow_future)
    _show(work, plan)
    while plan.steps or not work.is_checked:
        _carry_out(work, seen, plan)
        before = plan.steps
        seen, plan = _look(work)
        if plan.steps and plan.steps == before:
            raise Unfinished(flow=FLOW, failures=f"{work.table}: nothing changed by {len(before)} steps; look at the log")
    if work.failed:
        raise _failure(work.failed)
    return _result(work, plan)


def _look(work: _Work) -> tuple[Observed, RetentionPlan]:
    """Believe the catalog, look at everything again, and plan what is left, without what has failed in this run."""
    with unit(work.started) as conn:
        seen = observe(conn, work.table, work.declared.partitioning)
        memory = {"parent": str(work.table), "parent_oid": seen.parent.oid, "as_of": work.as_of}
        if fetch(conn, "partitions/believe_catalog", **memory):
            seen = observe(conn, work.table, work.declared.partitioning)
    begun = frozenset(work.begun)
    plan = plan_retention(str(work.table), seen.candidates, work.policy, seen.holds, work.as_of, begun=begun)
    return seen, without(plan, (failed.partition for failed in work.failed), drops=not work.failed)


def _show(work: _Work, plan: RetentionPlan) -> None:
    """Show the first plan, and each later one that removes something else."""
    if not work.shown or (plan.removals and plan.fingerprint not in {p.fingerprint for p in work.shown}):
        work.shown.append(plan)
        work.on_plan(plan)


def _carry_out(work: _Work, seen: Observed, plan: RetentionPlan) -> None:
    """Finish interrupted detaches first: they wedge the table. Whatever else is planned waits for the next look."""
    finalize = [step for step in plan.steps if isinstance(step, Finalize)]
    if finalize:
        _finalize(work, seen, finalize)
        return
    if not work.is_checked:
        _require_no_anomaly(plan, seen, work.declared)
    _show(work, plan)
    _record_intents(work, seen, plan)
    _detach(work, seen, [step for step in plan.steps if isinstance(step, Detach)])
    _archive(work, [step for step in plan.steps if isinstance(step, Archive)])
    for step in plan.steps:
        if isinstance(step, Drop) and not work.failed:
            _drop(work, seen, plan, step)


def _detaching(work: _Work, seen: Observed) -> Detaching:
    return Detaching(work.started, seen.parent, work.as_of)


def _finalize(work: _Work, seen: Observed, steps: Sequence[Finalize]) -> None:
    with unit(work.started) as conn:
        for step in steps:
            if step.is_due:
                _record_due(conn, work, seen, step, "detaching")
    with detach_session(work.started) as conn:
        for step in steps:
            finalize_detach(conn, _detaching(work, seen), Relation.parse(step.partition.name))
    early = next((step.partition for step in steps if not step.is_due), None)
    if early is not None:
        raise DetachedEarly(early.name, str(work.table), str(early.lower), str(early.upper))


def _record_intents(work: _Work, seen: Observed, plan: RetentionPlan) -> None:
    """Write down what will be removed before any of it is, in a transaction in which the gate stands open."""
    with unit(work.started) as conn:
        if not work.is_checked:
            run(conn, "partitions/record_retention", relation=str(work.table), keep=work.policy.keep, as_of=work.as_of)
            work.is_checked = True
        if not plan.removals:
            return
        if work.gate is not None:
            work.gate(conn, plan)
        run(conn, "partitions/withdraw_due", parent=str(work.table))
        for step in plan.removals:
            work.begun.add(step.partition.name)
            if isinstance(step, Detach):
                _record_due(conn, work, seen, step, "due")


def _record_due(conn: Connection, work: _Work, seen: Observed, step: Detach | Finalize, state: str) -> None:
    partition = step.partition
    bounds = {"lower": partition.lower, "upper": partition.upper, "partition_oid": seen.oids[partition.name]}
    memory = {"state": state, "reason": step.reason, "run_id": work.started.id, "as_of": work.as_of}
    run(conn, "partitions/record_due", parent=str(work.table), partition=partition.name, **bounds, **memory)


def _detach(work: _Work, seen: Observed, steps: Sequence[Detach]) -> None:
    """Detach one after the other, the oldest first: the server allows one concurrent detach of a parent at a time."""
    if not steps:
        return
    with detach_session(work.started) as conn:
        for number, step in enumerate(steps, 1):
            name = step.partition.name
            try:
                if detach_partition(conn, _detaching(work, seen), Relation.parse(name), seen.oids[name]):
                    work.detached.append(name)
            except (DetachPending, DetachRefused, LockBusy) as error:
                work.fail(step, error)
                if not isinstance(error, DetachRefused):
                    return
            work.on_progress("detach", number, len(steps))


def _archive(work: _Work, steps: Sequence[Archive]) -> None:
    if not steps:
        return
    wanted = {step.partition.name for step in steps}
    with transaction(Kind.READ) as conn:
        rows = fetch(conn, "partitions/list_unarchived", parent=str(work.table))
    key = work.declared.partitioning.by
    units = [ArchiveUnit(key=key, **row) for row in rows if row["partition"] in wanted]
    done = 0
    for outcomes in work.archive_all(work.started, bundle(units), work.as_of):
        work.archived += [one for one in outcomes if isinstance(one, Archived)]
        work.failed += [one for one in outcomes if isinstance(one, Failed)]
        done += len(outcomes)
        work.on_progress("archive", done, len(units))


def archive_in_threads(
    started: Run, bundles: Sequence[Sequence[ArchiveUnit]], as_of: datetime
) -> Iterable[list[Archived | Failed]]:
    """Archive bundles side by side in threads of this process, each over a session of its own."""
    with ThreadPoolExecutor(WORKERS) as pool:
        yield from pool.map(partial(archive_bundle, started, as_of=as_of), bundles)


def _drop(work: _Work, seen: Observed, plan: RetentionPlan, step: Drop) -> None:
    def gate(conn: Connection) -> None:
        if work.gate is not None:
            work.gate(conn, plan)

    name = step.partition.name
    retirement_id = seen.retirements[name]
    if retirement_id is None:
        return
    try:
        drop_partition(Dropping(work.started, work.table, work.policy, work.as_of, gate), step, retirement_id)
    except MaintenanceError as error:
        work.fail(step, error)
        return
    work.dropped.append(name)
    work.on_progress("drop", len(work.dropped), None)


def _failure(failed: Sequence[Failed]) -> MaintenanceError:
    if len(failed) == 1:
        return failed[0].error
    return Unfinished(flow=FLOW, failures="; ".join(str(one.error) for one in failed))


def _result(work: _Work, last: RetentionPlan) -> RetentionResult:
    return RetentionResult(
        table=str(work.table),
        applied=True,
        lines=tuple(text_of(work.shown[0]).split("\n")),
        detached=tuple(work.detached),
        archived=tuple(one.partition for one in work.archived),
        dropped=tuple(work.dropped),
        debt=last.debt,
        archive_bytes=sum(one.size_bytes for one in work.archived),
        rows_archived=sum(one.rows for one in work.archived),
    )
