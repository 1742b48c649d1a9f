"""Make the partitions that a declared table lacks, each in a transaction of its own (D3).

Belongs here: observing, planning, carrying out under lock waits, raising the span, and proving the runway.
Keep out: the rules (`plan`), the statements of one partition (`build`), and Prefect. Creation excludes only itself and the
cutover transaction, by the lock `run:create:<table>`; it shares no lock and no transaction with retention or copy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

import psycopg
from psycopg import sql

from tasks.core.connect import LOCK_BUDGET_S, Connection, Kind, transaction, with_lock_retries
from tasks.core.declaration import Declaration, Table
from tasks.core.errors import MaintenanceError, MissingRight, Permanent, Unfinished, UnsuitableRelation
from tasks.core.ledger import CREATION, Deferred, Run, enter_unit, run_exclusively
from tasks.core.names import Relation
from tasks.core.sqlfiles import fetch, run
from tasks.partitions import build
from tasks.partitions.bounds import Bounds
from tasks.partitions.catalog import each_found, list_partitions_of, or_raise, read_parent, read_parents
from tasks.partitions.default_rows import count_rows, default_of, move_rows
from tasks.partitions.indexes import IndexResult, Phase, ensure_indexes
from tasks.partitions.left_out import NOTHING, LeftOut, list_pending, read_left_out
from tasks.partitions.partition import Parent, Partition
from tasks.partitions.plan import FOREVER, Create, Wanted, covered_until, leave_open, plan_creation, require_free_names
from tasks.partitions.standing import PartitionStands, read_standing, stands

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
    #: Why ranges are left open where a former partition stands, and how it comes back.
    standing: tuple[str, ...] = ()


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
class Looked:
    """What the catalog and the ledger say of one table at one moment, as far as a plan needs it."""

    parent: Parent
    existing: list[Partition]
    registered: list[Bounds]


@dataclass(frozen=True)
class _Job:
    """One run for one table."""

    started: Run
    relation: Relation
    policy: Table
    wanted: Wanted
    #: What was known of the table before this run had its lock.
    seen: Looked | None = None

    @property
    def group(self) -> str:
        """The group of the run's lock."""
        return CREATION + str(self.relation)


OnPlan = Callable[[CreationPlan], None]


def ensure_partitions(
    table: str,
    declaration: Declaration,
    as_of: datetime,
    *,
    seen: Looked | None = None,
    on_plan: OnPlan | None = None,
    flow_run_id: str | None = None,
) -> CreationResult | Deferred:
    """Make every partition that `table` lacks up to its declared runway past `as_of`, and its declared indexes.

    What `look_at` has `seen` of it spares a look where nothing is lacking; before anything is made it is looked at anew. A
    second call plans nothing. Locks: SHARE UPDATE EXCLUSIVE on the parent for milliseconds per partition; where there is a
    default partition, SHARE ROW EXCLUSIVE on it while its rows move and ACCESS EXCLUSIVE for the attach; see
    `ensure_indexes` for indexes. Deferred where another creation of this table or its cutover runs. Raises NotDeclared,
    MissingRelation, UnsuitableRelation, MissingRight, NameTaken, InvalidName, TooManyPartitions, DefaultHoldsRows, LockBusy,
    PartitionMismatch, PartitionStands, RunwayShort; what was made before an error stays.
    """
    policy = declaration.table(table)

    def work(started: Run) -> CreationResult:
        return _ensure(_Job(started, Relation.parse(table), policy, _wanted(policy, as_of), seen), declaration, on_plan)

    overdue_after = declaration.flow(FLOW).overdue_after
    return run_exclusively(FLOW, table, work, overdue_after=overdue_after, group=CREATION + table, flow_run_id=flow_run_id)


def _ensure(job: _Job, declaration: Declaration, on_plan: OnPlan | None) -> CreationResult:
    """Indexes come first only where no partition has to be built under them: elsewhere the runway is more urgent."""
    looked = job.seen or _look(job)
    is_empty = not looked.existing
    indexes = _declared_indexes(job, declaration) if is_empty else []
    if is_empty or (job.seen and _planned(job, looked)):
        looked = _look(job)
    looked, creates, standing = _to_make(job, looked)
    if on_plan:
        on_plan(_explained(job, looked, creates, standing))
    _create_all(job, looked, creates)
    _require_none(standing)
    until = _proven_runway(job, _look(job) if creates else looked)
    indexes = indexes if is_empty else _declared_indexes(job, declaration)
    runway = None if until == FOREVER else until
    lacking = (_left_out(looked.parent, creates), list_pending(looked.existing))
    return CreationResult(str(job.relation), tuple(creates), runway, tuple(indexes), *lacking)


def _planned(job: _Job, looked: Looked) -> list[Create]:
    return plan_creation(job.relation, job.wanted, looked.existing, looked.registered)


def _to_make(job: _Job, looked: Looked) -> tuple[Looked, list[Create], list[PartitionStands]]:
    """Return what has to be made, its names free, with the rows that move into it and what it takes over from its siblings.

    Also why a range is left open where a former partition stands.
    """
    planned, default = _planned(job, looked), default_of(looked.existing)
    if not planned:
        return looked, planned, []
    with transaction(Kind.READ) as conn:
        parent = read_parent(conn, job.relation, job.policy.partitioning.by)
        planned, standing = leave_open(planned, read_standing(conn, parent, job.wanted, planned))
        names = [create.name for create in planned]
        taken = fetch(conn, "partitions/taken_names", schema=job.relation.schema, names=names)
        require_free_names(job.relation, planned, {row["name"] for row in taken})
        # Rows of a default partition refuse a new one for their range (23514): they move with it, and the plan says how many.
        creates = count_rows(conn, parent, default, planned) if default else planned
    return replace(looked, parent=parent), creates, [stands(parent, one) for one in standing]


def _require_none(standing: Sequence[PartitionStands]) -> None:
    """Fail once what else was due is made: a hole is looked at tomorrow, a runway that ends stops every writer."""
    if len(standing) == 1:
        raise standing[0]
    if standing:
        raise Unfinished(FLOW, "; ".join(str(one) for one in standing))


def _left_out(parent: Parent, creates: Sequence[Create]) -> LeftOut:
    """Nothing is left out where nothing is made."""
    if not creates:
        return NOTHING
    with transaction(Kind.READ) as conn:
        return read_left_out(conn, parent)


def _wanted(policy: Table, as_of: datetime) -> Wanted:
    cut = policy.partitioning
    return Wanted(cut.every, cut.ahead, as_of, cut.zone, policy.retention.keep if policy.retention else None)


def look_at(tables: Sequence[str], declaration: Declaration) -> dict[str, Looked | MaintenanceError]:
    """Read what plans of creation depend on, of all tables by the same few statements, or why one cannot be maintained.

    Locks: ACCESS SHARE on the catalog.
    """
    policies = {table: declaration.table(table) for table in tables}

    def read(conn: Connection, together: Sequence[str]) -> dict[str, Looked | MaintenanceError]:
        return _look_at(conn, {table: policies[table] for table in together})

    return each_found(tables, read)


def _look_at(conn: Connection, policies: Mapping[str, Table]) -> dict[str, Looked | MaintenanceError]:
    parents = read_parents(conn, {Relation.parse(table): policy.partitioning.by for table, policy in policies.items()})
    existing = list_partitions_of(conn, [parent.oid for parent in parents.values() if isinstance(parent, Parent)])
    registered: dict[str, list[Bounds]] = {table: [] for table in policies}
    for row in fetch(conn, "partitions/registered_bounds", targets=list(policies)):
        registered[row["target"]].append((row["lower"], row["upper"]))
    return {
        table: parent
        if isinstance(parent, MaintenanceError)
        else _unfitting(parent, policies[table]) or Looked(parent, existing[parent.oid], registered[table])
        for table, parent in zip(policies, parents.values(), strict=True)
    }


def _look(job: _Job) -> Looked:
    table = str(job.relation)
    with transaction(Kind.READ) as conn:
        return or_raise(_look_at(conn, {table: job.policy})[table])


def _unfitting(parent: Parent, policy: Table) -> UnsuitableRelation | None:
    """A key without time zone has no zone to be cut in, and a day cannot be cut into hours."""
    cut, where = policy.partitioning, f"{parent.key} is of type {parent.key_type}"
    if parent.key_type != "timestamptz" and cut.zone != "UTC":
        reason = f"{where} and the declared zone {cut.zone} has no meaning for it"
        return UnsuitableRelation(str(parent.relation), reason, "Declare no zone: such a key is cut at its own midnights.")
    if parent.key_type == "date" and cut.every == "hour":
        return UnsuitableRelation(str(parent.relation), f"{where}, which has no hours", "Declare day or longer.")
    return None


def _said(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _explained(job: _Job, looked: Looked, creates: Sequence[Create], standing: Sequence[PartitionStands]) -> CreationPlan:
    parent = looked.parent
    indexes = _parent_indexes(parent) if creates else []
    statements: list[sql.Composed] = []
    for create in creates[:MOST_SHOWN]:
        partition = parent.relation.sibling(create.name)
        statements += build.build_statements(parent, partition, create.lower, create.upper)
        statements += build.finish_statements(indexes, partition)
        statements += build.attach_statements(parent, partition, create.lower, create.upper)
    texts = tuple(statement.as_string(None) for statement in statements)
    lacking = (_left_out(parent, creates), list_pending(looked.existing))
    return CreationPlan(str(job.relation), job.wanted.as_of, tuple(creates), texts, *lacking, tuple(map(str, standing)))


def _parent_indexes(parent: Parent) -> list[dict[str, Any]]:
    with transaction(Kind.READ) as conn:
        return fetch(conn, "partitions/list_parent_indexes", parent=parent.oid)


def _create_all(job: _Job, looked: Looked, creates: Sequence[Create]) -> None:
    """Make them in order of time, so that the span can rise to the unbroken end after each."""
    has_span, made = bool(creates) and _has_span(job.relation), list[Bounds]()
    for create in creates:
        made.append((create.lower, create.upper))
        upper = covered_until(job.wanted.as_of, looked.existing, [*looked.registered, *made])
        is_rising = has_span and job.wanted.as_of < upper < FOREVER
        _create_one(job, looked, create, upper if is_rising else None)


def _has_span(target: Relation) -> bool:
    with transaction(Kind.READ) as conn:
        return bool(fetch(conn, "partitions/read_span", target=str(target)))


def _create_one(job: _Job, looked: Looked, create: Create, span_upper: datetime | None) -> None:
    parent, default = looked.parent, default_of(looked.existing)

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


def _proven_runway(job: _Job, looked: Looked) -> datetime:
    """Judge by a look after the last commit: success is what the catalog says."""
    wanted = job.wanted
    until = covered_until(wanted.as_of, looked.existing, looked.registered)
    if until >= wanted.until:
        return until
    pending = list_pending(looked.existing)
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
