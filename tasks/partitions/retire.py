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
from typing import Any, TypeVar

from tasks.core.connect import Connection, Kind, transaction
from tasks.core.declaration import Declaration
from tasks.core.declaration import Table as DeclaredTable
from tasks.core.errors import LockBusy, MaintenanceError, Permanent, Retryable, Unfinished, UnsuitableRelation
from tasks.core.ledger import Deferred, Run, run_exclusively, unit
from tasks.core.names import Relation
from tasks.core.parameters import Safety
from tasks.core.progress import ignore
from tasks.core.settings import settings
from tasks.core.shown import counted
from tasks.core.sqlfiles import compose, fetch, run
from tasks.partitions.archive import (
    Archived,
    ArchiveUnit,
    Failed,
    archive_bundle,
    bundle,
)
from tasks.partitions.catalog import each_planned, or_raise
from tasks.partitions.detach import (
    Detaching,
    DetachPending,
    DetachRefused,
    detach_partition,
    detach_session,
    finalize_detach,
)
from tasks.partitions.drop import Dropping, PutOnHold, drop_partition
from tasks.partitions.retention_anomalies import require_no_anomaly, require_not_future
from tasks.partitions.retention_facts import Asked, Observed, Undelivered, observe, observe_all
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
from tasks.partitions.uploads import require_destination

FLOW = "enforce_retention"
#: How often what came in meanwhile is carried back before a partition is given up for this run.
MOST_CARRIES = 5
#: Archives run side by side in threads: the work is the server's and Arrow's.
WORKERS = 2

S = TypeVar("S", bound=Step)
Gate = Callable[[Connection, RetentionPlan], None]
OnPlan = Callable[[RetentionPlan, str], None]
Progress = Callable[[str, int, int | None], None]
CarryBack = Callable[[Run], None]
ArchiveAll = Callable[[Run, list[list[ArchiveUnit]], datetime], Iterable[list[Archived | Failed]]]


@dataclass(eq=False)
class ChangesWaiting(Retryable):
    """{partition} stays attached to {parent}, and so does every younger one: {reason}. Run backfill, then this flow again."""

    partition: str
    parent: str
    reason: str


@dataclass(eq=False)
class DetachedEarly(Permanent):
    """{partition} was being detached from {parent} before its time; that was finished, because it blocked every other detach.
    While it stands beside the table create_partitions fills its range only where it is empty and of another name.
    Bring it back with: alter table {parent} attach partition {partition} for values from ('{lower}') to ('{upper}')"""

    partition: str
    parent: str
    lower: str
    upper: str


@dataclass(frozen=True)
class RetentionResult:
    """What a run did to one table, or would do; `plan` is its text as it was shown."""

    table: str
    applied: bool
    plan: str
    detached: tuple[str, ...] = ()
    archived: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    debt: tuple[Debt, ...] = ()
    #: What would have gone but for a legal hold, one that was placed during the run too.
    held: tuple[Debt, ...] = ()
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
    carry_back: CarryBack
    is_checked: bool = False
    #: The plan in force: shown, judged where there is a gate, and covering every removal that follows.
    plan: RetentionPlan | None = None
    text: str = ""
    #: What this run, or an earlier try of the same flow run, has begun to remove.
    begun: set[str] = field(default_factory=set[str])
    detached: list[str] = field(default_factory=list[str])
    archived: list[Archived] = field(default_factory=list[Archived])
    dropped: list[str] = field(default_factory=list[str])
    failed: list[Failed] = field(default_factory=list[Failed])

    @property
    def barred(self) -> tuple[type[Step], ...]:
        """After any failure nothing is dropped; after a lock that was not granted nothing more is detached either."""
        is_locked = any(isinstance(failed.error, DetachPending | LockBusy | ChangesWaiting) for failed in self.failed)
        return (Drop, Detach) if is_locked else (Drop,) if self.failed else ()

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
    carry_back: CarryBack | None = None,
    flow_run_id: str | None = None,
) -> RetentionResult | Deferred:
    """Remove what has outlived a table's retention, or only say so where `safety.apply` is off.

    `require_gate` is asked in each transaction that records the intent to remove something; `on_plan` gets the plan and
    its text, and each later plan with removals that were not shown yet, before any of them; `archive_all` spreads the
    archives (threads of this process by default). `carry_back` brings what changed in the table since a cutover to the
    old tables; a partition with changes that are not carried back stays, and so does every younger one. Returns Deferred
    while another run holds the table or a migration into it captures. Locks: see the statements' headers. Raises
    NotDeclared, UnsuitableRelation, PartitionGap, RetentionShortened, ClockJumped, FutureRefused, what `require_destination`
    raises, and the one error, or Unfinished naming all, where something due could not be done (D4).
    """
    declared = declaration.table(table)
    policy = or_raise(_policy(table, declared, safety))
    show = on_plan or ignore
    if not safety.apply:
        return or_raise(plan_removals([table], declaration, safety, as_of, on_plan=show)[table])

    def work(started: Run) -> RetentionResult | Deferred:
        progress = on_progress or ignore
        spread = archive_all or archive_in_threads
        facts = (started, Relation.parse(table), declared, policy, as_of)
        return _apply(_Work(*facts, require_gate, show, progress, spread, carry_back or ignore))

    overdue_after = declaration.flow(FLOW).overdue_after
    return run_exclusively(FLOW, table, work, overdue_after=overdue_after, flow_run_id=flow_run_id)


def _policy(table: str, declared: DeclaredTable, safety: Safety) -> Policy | UnsuitableRelation:
    kept = declared.retention
    if kept is None:
        return UnsuitableRelation(table, "it declares no retention", "Declare one, or leave this table out.")
    at_most = safety.at_most or kept.at_most_per_run
    return Policy(kept.keep, kept.grace, at_most, kept.archive == "parquet", kept.then == "drop")


def plan_removals(
    tables: Sequence[str], declaration: Declaration, safety: Safety, as_of: datetime, *, on_plan: OnPlan | None = None
) -> dict[str, RetentionResult | MaintenanceError]:
    """Say of each table what `retire` would remove, all of them read by the same few statements; nothing is changed.

    `on_plan` gets each plan and its text; a table without one has the error that `retire` would raise.
    Locks: see `observe_all`.
    """
    declared = {table: declaration.table(table) for table in tables}

    def read(conn: Connection, together: Sequence[str]) -> dict[str, Observed | MaintenanceError]:
        asked = {Relation.parse(table): _asked(declared[table], as_of) for table in together}
        return dict(zip(together, observe_all(conn, asked).values(), strict=True))

    def plan(table: str, seen: Observed, policy: Policy) -> RetentionResult:
        planned = plan_retention(table, seen.candidates, policy, seen.holds, as_of)
        text = text_of(planned, statements_of(planned, seen)) + _refusal(planned, seen, declared[table])
        (on_plan or ignore)(planned, text)
        return RetentionResult(table, applied=False, plan=text, debt=planned.debt, held=planned.held_back)

    return each_planned({table: _policy(table, declared[table], safety) for table in tables}, read, plan)


def _asked(declared: DeclaredTable, as_of: datetime) -> Asked:
    kept = declared.retention
    undelivered = Undelivered(kept.keep_where, as_of - kept.keep) if kept and kept.keep_where else None
    return Asked(declared.partitioning.by, undelivered)


def statements_of(plan: RetentionPlan, seen: Observed) -> list[str]:
    """Return the SQL that the plan's steps run on the server, for whoever reads it."""
    detach = "partitions/detach_plainly" if seen.parent.has_default else "partitions/detach_concurrently"
    return [_statement(step, seen.parent.relation, detach) for step in plan.steps if not isinstance(step, Archive)]


def _statement(step: Finalize | Detach | Drop, parent: Relation, detach: str) -> str:
    partition = Relation.parse(step.partition.name)
    if isinstance(step, Drop):
        return compose("partitions/drop_partition", {"partition": partition}).as_string()
    name = detach if isinstance(step, Detach) else "partitions/detach_finalize"
    return compose(name, {"parent": parent, "partition": partition}).as_string()


def _refusal(plan: RetentionPlan, seen: Observed, declared: DeclaredTable) -> str:
    """Say below a plan that is only shown why it would be refused."""
    try:
        _require_no_anomaly(plan, seen, declared)
    except Permanent as error:
        return f"\n\nWould be refused: {error}"
    return ""


def _require_no_anomaly(plan: RetentionPlan, seen: Observed, declared: DeclaredTable) -> None:
    facts: dict[str, Any] = {"now": seen.now, "last": seen.last, "newest_rows": seen.newest_rows}
    require_no_anomaly(plan, seen.candidates, seen.retired, **facts, ahead=declared.partitioning.ahead)


def _apply(work: _Work) -> RetentionResult | Deferred:
    """Pass over the table until no step is left: one pass detaches, the next archives, and without grace a third drops."""
    with transaction(Kind.READ) as conn:
        under_way = fetch(conn, "partitions/migration_under_way", target=str(work.table))
        begun = fetch(conn, "partitions/list_begun", run_id=work.started.id, parent=str(work.table))
    if under_way:
        return Deferred(FLOW, str(work.table), f"migration {under_way[0]['name']} captures changes until its cutover")
    work.begun |= {row["partition"] for row in begun}
    work.carry_back(work.started)
    seen, plan = _look(work)
    require_not_future(str(work.table), work.as_of, seen.now, is_allowed=settings().maintenance_allow_future)
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
    asked = _asked(work.declared, work.as_of)
    with unit(work.started) as conn:
        seen = observe(conn, work.table, asked)
        memory = {"parent": str(work.table), "parent_oid": seen.parent.oid, "as_of": work.as_of}
        if fetch(conn, "partitions/believe_catalog", **memory):
            seen = observe(conn, work.table, asked)
    begun = frozenset(work.begun)
    plan = plan_retention(str(work.table), seen.candidates, work.policy, seen.holds, work.as_of, begun=begun)
    return seen, without(plan, (failed.partition for failed in work.failed), work.barred)


def _show(work: _Work, seen: Observed, plan: RetentionPlan) -> None:
    """Show the first plan, and each later one that removes something else; it is the plan in force from then on."""
    if work.plan is None or not work.plan.covers(plan):
        text = text_of(plan, statements_of(plan, seen))
        work.plan, work.text = plan, work.text or text
        work.on_plan(plan, text)


def _carry_out(work: _Work, seen: Observed, plan: RetentionPlan) -> None:
    """Finish interrupted detaches first, which wedge the table, and drop last, once nothing else has failed.

    What waits for another is done after the next look.
    """
    finalize = _of(plan, Finalize)
    if finalize:
        _show(work, seen, plan)
        _finalize(work, seen, finalize)
        return
    if not work.is_checked:
        _require_no_anomaly(plan, seen, work.declared)
    _show(work, seen, plan)
    detach, archive = _of(plan, Detach), _of(plan, Archive)
    if detach and work.policy.is_archived:
        require_destination()
    _record_intents(work, seen, plan)
    _detach(work, seen, detach)
    _archive(work, archive)
    if detach or archive:
        return
    for step in _of(plan, Drop):
        if not work.failed:
            _drop(work, seen, step)


def _of(plan: RetentionPlan, kind: type[S]) -> list[S]:
    return [step for step in plan.steps if isinstance(step, kind)]


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
        _ask_gate(conn, work)
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
                _detach_one(conn, work, seen, name)
            except (DetachPending, DetachRefused, LockBusy, ChangesWaiting) as error:
                work.fail(step, error)
            if Detach in work.barred:
                return
            work.on_progress("detach", number, len(steps))


def _detach_one(conn: Connection, work: _Work, seen: Observed, name: str) -> None:
    """Detach one partition; changes in it that came in meanwhile are carried back first, a bounded number of times."""
    for _ in range(MOST_CARRIES):
        if detach_partition(conn, _detaching(work, seen), Relation.parse(name), seen.oids[name]):
            work.detached.append(name)
            return
        work.carry_back(work.started)
    reason = "changes in it are still to be carried back to the old tables"
    raise ChangesWaiting(name, str(work.table), reason)


def _archive(work: _Work, steps: Sequence[Archive]) -> None:
    if not steps:
        return
    wanted = {step.partition.name for step in steps}
    with transaction(Kind.READ) as conn:
        rows = fetch(conn, "partitions/list_unarchived", parent=str(work.table))
    key = work.declared.partitioning.by
    units = [ArchiveUnit(key=key, **row) for row in rows if row["partition"] in wanted]
    found: dict[str, Archived | Failed] = {}
    for outcomes in work.archive_all(work.started, bundle(units), work.as_of):
        found |= {one.partition: one for one in outcomes}
        work.on_progress("archive", len(found), len(units))
    ordered = [found[one.partition] for one in units]
    work.archived += [one for one in ordered if isinstance(one, Archived)]
    work.failed += [one for one in ordered if isinstance(one, Failed)]


def archive_in_threads(
    started: Run, bundles: Sequence[Sequence[ArchiveUnit]], as_of: datetime
) -> Iterable[list[Archived | Failed]]:
    """Archive bundles side by side in threads of this process, each over a session of its own."""
    with ThreadPoolExecutor(WORKERS) as pool:
        yield from pool.map(partial(archive_bundle, started, as_of=as_of), bundles)


def _ask_gate(conn: Connection, work: _Work) -> None:
    """Ask inside the transaction of whoever calls; the one place where a removal needs the gate's verdict."""
    if work.gate is not None and work.plan is not None:
        work.gate(conn, work.plan)


def _drop(work: _Work, seen: Observed, step: Drop) -> None:
    name = step.partition.name
    retirement_id = seen.retirements[name]
    if retirement_id is None:
        return
    try:
        gate = partial(_ask_gate, work=work)
        drop_partition(Dropping(work.started, work.table, work.as_of, gate), step, retirement_id)
    except PutOnHold:
        return  # no failure: the next look keeps it and says why
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
        plan=work.text,
        detached=tuple(work.detached),
        archived=tuple(one.partition for one in work.archived),
        dropped=tuple(work.dropped),
        debt=last.debt,
        held=last.held_back,
        archive_bytes=sum(one.size_bytes for one in work.archived),
        rows_archived=sum(one.rows for one in work.archived),
    )


def describe_removal(result: RetentionResult) -> str:
    """Return what an applied run did to one table as Markdown; what it left is named in its plan."""
    size = (
        f" ({counted(result.rows_archived, 'row')}, {counted(result.archive_bytes, 'byte')}, verified from the files)"
        if result.archived
        else ""
    )
    done = {"detached": result.detached, "archived": result.archived, "dropped": result.dropped}
    counts = ", ".join(f"{len(names)} {what}{size if what == 'archived' else ''}" for what, names in done.items())
    said: dict[tuple[str, ...], list[str]] = {}
    for what, names in done.items():
        said.setdefault(names, []).append(what)
    names = [f"- {' and '.join(whats)}: {', '.join(names)}" for names, whats in said.items() if names]
    left = f" {len(result.debt)} due and left for later." if result.debt else ""
    held = [f"- stays: {one.partition}: {one.reason}" for one in result.held]
    return "\n".join([f"{result.table}: {counts}.{left}", "", *names, *held]).rstrip()
