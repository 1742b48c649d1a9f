"""Make the partitions that a declared table lacks, each in a transaction of its own (D3).

Belongs here: observing, planning, carrying out under lock waits, raising the span, and proving the runway.
Keep out: the rules (`plan`), the statements of one partition (`build`), and Prefect. Creation excludes only itself and the
cutover transaction, by the lock `run:create:<table>`; it shares no lock and no transaction with retention or copy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import psycopg
from psycopg import sql

from tasks.core.connect import LOCK_BUDGET_S, Connection, Kind, transaction, with_lock_retries
from tasks.core.declaration import Declaration, Table
from tasks.core.errors import MissingRight, Permanent, UnsuitableRelation
from tasks.core.ledger import CREATION, Deferred, Run, enter_unit, run_exclusively
from tasks.core.names import Relation
from tasks.core.sqlfiles import fetch, run
from tasks.partitions import build
from tasks.partitions.bounds import Bounds
from tasks.partitions.catalog import list_partitions, read_parent
from tasks.partitions.default_rows import count_rows, default_of, move_rows
from tasks.partitions.indexes import IndexResult, Phase, ensure_indexes
from tasks.partitions.left_out import NOTHING, LeftOut, list_pending, read_left_out
from tasks.partitions.partition import Parent, Partition
from tasks.partitions.plan import FOREVER, Create, Wanted, covered_until, plan_creation

FLOW = "create_partitions"
#: More than these are made alike and not shown: an artifact is read by a person.
MOST_SHOWN = 40
#: Refusals that another attempt meets again; a statement_timeout means that a default partition is too large to be scanned.
_REFUSED = (
    psycopg.ProgrammingError,
    psycopg.IntegrityError,
    psycopg.DataError,
    psycopg.NotSupportedError,
    psycopg.errors.QueryCanceled,
)
#: Units of a copy hold the span FOR SHARE for up to a minute each, so a rising one is waited for longer.
SPAN_BUDGET_S = 90.0
#: One wait for it, before any lock on the parent is held.
SPAN_LOCK_MS = 5_000


@dataclass(eq=False)
class RunwayShort(Permanent):
    """{table} has partitions without a break until {until} only, and {wanted} is declared: {reason}."""

    table: str
    until: str
    wanted: str
    reason: str


@dataclass(eq=False)
class CreationFailed(Permanent):
    """{partition} could not be created: {reason}. The partitions before it stay."""

    partition: str
    reason: str


@dataclass(frozen=True)
class CreationPlan:
    """What will be made for one table, before anything is, and the SQL for the first MOST_SHOWN."""

    table: str
    as_of: datetime
    creates: tuple[Create, ...]
    statements: tuple[str, ...]
    #: What the new ones will lack that their siblings have.
    left_out: LeftOut = NOTHING
    #: Partitions whose detach was interrupted: their rows are hidden, and creation leaves them alone.
    pending: tuple[str, ...] = ()


@dataclass(frozen=True)
class CreationResult:
    """What was made for one table; `runway_until` is the unbroken end of its partitions, None where it is open.

    `left_out` is what the new ones lack that their siblings have, empty where none was made; `pending` are partitions whose
    detach was interrupted, which enforce_retention finishes.
    """

    table: str
    created: tuple[Create, ...]
    runway_until: datetime | None
    indexes: tuple[IndexResult, ...] = ()
    left_out: LeftOut = NOTHING
    pending: tuple[str, ...] = ()
    outcome: Literal["completed"] = "completed"


@dataclass(frozen=True)
class _Job:
    """One run for one table."""

    started: Run
    relation: Relation
    policy: Table
    wanted: Wanted

    @property
    def group(self) -> str:
        """The group of the run's lock."""
        return CREATION + str(self.relation)


@dataclass(frozen=True)
class _Observed:
    parent: Parent
    existing: list[Partition]
    registered: list[Bounds]
    taken: frozenset[str]


OnPlan = Callable[[CreationPlan], None]


def ensure_partitions(
    table: str,
    declaration: Declaration,
    as_of: datetime,
    *,
    on_plan: OnPlan | None = None,
    flow_run_id: str | None = None,
) -> CreationResult | Deferred:
    """Make every partition that `table` lacks up to its declared runway past `as_of`, and its declared indexes.

    A second call plans nothing. Locks: SHARE UPDATE EXCLUSIVE on the parent for milliseconds per partition; where there is a
    default partition, SHARE ROW EXCLUSIVE on it while its rows move and ACCESS EXCLUSIVE for the attach; see
    `ensure_indexes` for indexes. Deferred where another creation of this table or its cutover runs. Raises NotDeclared,
    MissingRelation, UnsuitableRelation, MissingRight, NameTaken, InvalidName, TooManyPartitions, DefaultHoldsRows, LockBusy,
    PartitionMismatch, RunwayShort; what was made before an error stays.
    """
    policy = declaration.table(table)

    def work(started: Run) -> CreationResult:
        return _ensure(_Job(started, Relation.parse(table), policy, _wanted(policy, as_of)), declaration, on_plan)

    overdue_after = declaration.flow(FLOW).overdue_after
    return run_exclusively(FLOW, table, work, overdue_after=overdue_after, group=CREATION + table, flow_run_id=flow_run_id)


def _ensure(job: _Job, declaration: Declaration, on_plan: OnPlan | None) -> CreationResult:
    """Indexes come first only where no partition has to be built under them: elsewhere the runway is more urgent."""
    is_empty = not _observe(job).existing
    indexes = _declared_indexes(job, declaration) if is_empty else []
    observed = _observe(job)
    planned = plan_creation(job.relation, job.wanted, observed.existing, observed.registered, observed.taken)
    creates = _with_default_rows(observed, planned)
    if on_plan:
        on_plan(_explained(job, observed, creates))
    _create_all(job, observed, creates)
    until = _proven_runway(job)
    indexes = indexes if is_empty else _declared_indexes(job, declaration)
    runway = None if until == FOREVER else until
    lacking = (_left_out(observed.parent, creates), list_pending(observed.existing))
    return CreationResult(str(job.relation), tuple(creates), runway, tuple(indexes), *lacking)


def _left_out(parent: Parent, creates: Sequence[Create]) -> LeftOut:
    """Nothing is left out where nothing is made."""
    if not creates:
        return NOTHING
    with transaction(Kind.READ) as conn:
        return read_left_out(conn, parent)


def _wanted(policy: Table, as_of: datetime) -> Wanted:
    cut = policy.partitioning
    return Wanted(cut.every, cut.ahead, as_of, cut.zone, policy.retention.keep if policy.retention else None)


def _observe(job: _Job) -> _Observed:
    relation = job.relation
    with transaction(Kind.READ) as conn:
        parent = read_parent(conn, relation, job.policy.partitioning.by)
        _require_fitting(parent, job.policy)
        registered = fetch(conn, "partitions/registered_bounds", target=str(relation))
        names = fetch(conn, "partitions/taken_names", schema=relation.schema, prefix=f"{relation.name}_p")
        bounds = [(row["lower"], row["upper"]) for row in registered]
        return _Observed(parent, list_partitions(conn, relation), bounds, frozenset(row["name"] for row in names))


def _require_fitting(parent: Parent, policy: Table) -> None:
    """A key without time zone has no zone to be cut in, and a day cannot be cut into hours."""
    cut, where = policy.partitioning, f"{parent.key} is of type {parent.key_type}"
    if parent.key_type != "timestamptz" and cut.zone != "UTC":
        remedy = "Declare no zone: such a key is cut at its own midnights."
        raise UnsuitableRelation(
            str(parent.relation), f"{where} and the declared zone {cut.zone} has no meaning for it", remedy
        )
    if parent.key_type == "date" and cut.every == "hour":
        raise UnsuitableRelation(str(parent.relation), f"{where}, which has no hours", "Declare day or longer.")


def _with_default_rows(observed: _Observed, creates: Sequence[Create]) -> list[Create]:
    """Rows of a default partition refuse a new one for their range (23514): they move with it, and the plan says how many."""
    default = default_of(observed.existing)
    if default is None or not creates:
        return list(creates)
    with transaction(Kind.READ) as conn:
        return count_rows(conn, observed.parent, default, creates)


def _said(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _explained(job: _Job, observed: _Observed, creates: Sequence[Create]) -> CreationPlan:
    parent = observed.parent
    with transaction(Kind.READ) as conn:
        indexes = fetch(conn, "partitions/list_parent_indexes", parent=parent.oid)
    statements: list[sql.Composed] = []
    for create in creates[:MOST_SHOWN]:
        partition = parent.relation.sibling(create.name)
        statements += build.build_statements(parent, partition, create.lower, create.upper)
        statements += build.finish_statements(indexes, partition)
        statements += build.attach_statements(parent, partition, create.lower, create.upper)
    texts = tuple(statement.as_string(None) for statement in statements)
    lacking = (_left_out(parent, creates), list_pending(observed.existing))
    return CreationPlan(str(job.relation), job.wanted.as_of, tuple(creates), texts, *lacking)


def _create_all(job: _Job, observed: _Observed, creates: Sequence[Create]) -> None:
    """Make them in order of time, so that the span can rise to the unbroken end after each."""
    has_span, made = bool(creates) and _has_span(job.relation), list[Bounds]()
    for create in creates:
        made.append((create.lower, create.upper))
        upper = covered_until(job.wanted.as_of, observed.existing, [*observed.registered, *made])
        is_rising = has_span and job.wanted.as_of < upper < FOREVER
        _create_one(job, observed, create, upper if is_rising else None)


def _has_span(target: Relation) -> bool:
    with transaction(Kind.READ) as conn:
        return bool(fetch(conn, "partitions/read_span", target=str(target)))


def _create_one(job: _Job, observed: _Observed, create: Create, span_upper: datetime | None) -> None:
    parent, default = observed.parent, default_of(observed.existing)

    def attempt(conn: Connection) -> None:
        enter_unit(conn, job.started, group=job.group)
        former = _lock_span(conn, job.relation, span_upper) if span_upper else None
        partition = build.build_partition(conn, parent, create.name, create.lower, create.upper)
        if default is not None and default.is_leaf:
            move_rows(conn, parent, default.relation, partition, create)
        build.finish_partition(conn, parent, partition)
        build.attach_partition(conn, parent, partition, create.lower, create.upper)
        if former and span_upper:
            _raise_span(conn, job.relation, former, span_upper)

    budget_s = SPAN_BUDGET_S if span_upper else LOCK_BUDGET_S
    with _explained_errors(parent, create):
        with_lock_retries(parent.relation, f"attach {create.name} to", attempt, budget_s=budget_s)


def _raise_span(conn: Connection, target: Relation, lower: datetime, upper: datetime) -> None:
    """Rows that waited in quarantine for this range are judged anew by the next drain."""
    run(conn, "partitions/raise_span_end", target=str(target), upper=upper)
    run(conn, "partitions/queue_quarantined", target=str(target), lower=lower, upper=upper)


def _lock_span(conn: Connection, target: Relation, upper: datetime) -> datetime | None:
    """Wait for the units that read the span before any other lock is held: nobody waits behind us meanwhile."""
    run(conn, "core/timeouts", **Kind.DDL.value._replace(lock_ms=SPAN_LOCK_MS)._asdict(), is_local=True)
    rows = fetch(conn, "partitions/lock_span", target=str(target), upper=upper)
    run(conn, "core/timeouts", **Kind.DDL.value._asdict(), is_local=True)
    return rows[0]["upper"] if rows else None


@contextmanager
def _explained_errors(parent: Parent, create: Create) -> Iterator[None]:
    """Name the object where the server refuses; a lost connection or a busy lock passes for those who retry it."""
    partition = str(parent.relation.sibling(create.name))
    try:
        yield
    except psycopg.errors.InsufficientPrivilege as error:
        remedy = (
            f"Grant CREATE on schema {parent.relation.schema} to the flows' role and to {parent.owner}, and membership in it."
        )
        raise MissingRight("the current role", "create", partition, error.diag.message_primary or "", remedy) from error
    except _REFUSED as error:
        raise CreationFailed(partition, error.diag.message_primary or str(error)) from error


def _proven_runway(job: _Job) -> datetime:
    """Look again, after the last commit: success is what the catalog says."""
    observed, wanted = _observe(job), job.wanted
    until = covered_until(wanted.as_of, observed.existing, observed.registered)
    if until >= wanted.until:
        return until
    pending = list_pending(observed.existing)
    finalize = f"the detach of {', '.join(pending)} is pending and has to be finalized"
    reason = finalize if pending else "a partition is missing after it"
    raise RunwayShort(str(job.relation), _said(until), _said(wanted.until), reason)


def _declared_indexes(job: _Job, declaration: Declaration) -> list[IndexResult]:
    table = str(job.relation)
    phases: list[Phase] = ["before_attach", "after_load"] if is_loaded(table, declaration) else ["before_attach"]
    return [result for phase in phases for result in ensure_indexes(table, declaration, phase)]


def is_loaded(table: str, declaration: Declaration) -> bool:
    """Indexes that wait for the load are the migration's to build, until each migration into the table was cut over."""
    names = [name for name, migration in declaration.migrations.items() if migration.target == table]
    if not names:
        return True
    with transaction(Kind.READ) as conn:
        return len(fetch(conn, "partitions/finished_migrations", names=names)) == len(names)
