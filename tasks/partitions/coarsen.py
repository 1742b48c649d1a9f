"""Merge closed, unchanged partitions into one longer partition; readers see every row once at any moment.

Belongs here: the states of one merge, each committed with its record: members watched by triggers, the copy built aside and
compared, frozen, swapped in one short transaction, the members dropped. Keep out: what is due (`coarsen_plan`), Prefect.
A run that dies leaves the state that the next one goes on from. PostgreSQL 19's own MERGE PARTITIONS holds ACCESS EXCLUSIVE
for the whole of it; here that lock is held for the exchange of names alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from tasks.core.connect import Connection, Kind, open_connection, transaction, with_lock_retries
from tasks.core.declaration import Declaration, Partitioning
from tasks.core.errors import LockBusy, MaintenanceError, Permanent, Unfinished, UnsuitableRelation
from tasks.core.ledger import Deferred, Run, enter_unit, run_exclusively, unit
from tasks.core.names import Relation
from tasks.core.parameters import Safety
from tasks.core.progress import ignore
from tasks.core.sqlfiles import fetch, fetch_one, run, trusted
from tasks.partitions.bounds import Bounds
from tasks.partitions.build import attach_partition, build_partition, finish_partition, list_lacking_checks
from tasks.partitions.catalog import each_planned, or_raise, read_parent
from tasks.partitions.coarsen_plan import Coarsening, CoarseningPlan, Merge, plan_coarsening
from tasks.partitions.figures import list_columns, read_figures
from tasks.partitions.partition import Parent
from tasks.partitions.plan import Create, NameTaken, require_free_names
from tasks.partitions.retention_facts import Listed, list_all

FLOW = "coarsen_partitions"
WATCHES = ("maintenance_coarsening", "maintenance_coarsening_truncate")
#: A snapshot older than the copy is waited for so long; the next run goes on where it is still open.
FREEZE_TRIES, FREEZE_PAUSE_S = 5, 1.0

OnPlan = Callable[[CoarseningPlan], None]
#: What is known of a table, and by partition why it cannot be replaced.
_Observed = tuple[Listed, Mapping[str, str]]


@dataclass(eq=False)
class CopyDiffers(Permanent):
    """{partition} does not hold what the partitions of {table} hold that it was to replace: {what}. It was rolled back; nothing
    was changed."""

    partition: str
    table: str
    what: str


@dataclass(eq=False)
class MembersGone(Permanent):
    """The merge of {table} into {partition} cannot go on: {what}. Look at maintenance.coarsening, put the tables back or set
    its state to abandoned; nothing was changed."""

    partition: str
    table: str
    what: str


@dataclass(eq=False)
class MembersWritten(Permanent):
    """{members} of {table} are not dropped: a row of theirs was changed after {partition} had taken their place, and it lacks that
    change. In one transaction lock them, carry over to {table} what differs (select * from each of them except select * from
    {partition} shows what was added) and delete from maintenance.coarsening_change where coarsening_id = {id}; the next run drops
    them."""

    members: str
    table: str
    partition: str
    id: int


@dataclass(frozen=True)
class CoarseningResult:
    """What a run did to one table, or would do. `given_up` were changed meanwhile, `waiting` are copied and wait for a
    snapshot that is older than their copy; both are taken up again by a later run."""

    table: str
    applied: bool
    merged: tuple[str, ...] = ()
    dropped: int = 0
    given_up: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    debt: int = 0
    outcome: str = "completed"


@dataclass(frozen=True)
class _Job:
    """One run for one table."""

    started: Run
    table: Relation
    parent: Parent


@dataclass(frozen=True)
class _Begun:
    """One merge as the ledger has it."""

    id: int
    lower: datetime
    upper: datetime
    partition: str
    members: Sequence[str]
    state: str

    @property
    def bounds(self) -> Bounds:
        return self.lower, self.upper


class _Changed(Exception):
    """The copy is not what has to be attached: its argument says why."""


WRITTEN, INCOMPLETE = "a row was changed meanwhile", "the table has got another index or CHECK meanwhile"
DETACHED = "a partition was detached meanwhile"


def coarsen(
    table: str,
    declaration: Declaration,
    as_of: datetime,
    safety: Safety,
    *,
    on_plan: OnPlan | None = None,
    flow_run_id: str | None = None,
) -> CoarseningResult | Deferred:
    """Merge what the declaration calls old enough, or only say so where `safety.apply` is off.

    Locks: SHARE ROW EXCLUSIVE on each member for a moment (its writers are waited for), then ACCESS EXCLUSIVE on the parent
    and the members for the exchange, each under a small lock_timeout. Deferred while another run holds the table or a
    migration into it captures. Raises NotDeclared, UnsuitableRelation, CopyDiffers, LockBusy, MembersGone, MembersWritten,
    NameTaken, Unfinished.
    """
    policy = or_raise(_policy(declaration, table, safety))
    cut = declaration.table(table).partitioning
    show = on_plan or ignore
    if not safety.apply:
        return or_raise(plan_merges([table], declaration, as_of, safety, on_plan=show)[table])
    overdue_after = declaration.flow(FLOW).overdue_after
    work = partial(_apply, table=Relation.parse(table), cut=cut, policy=policy, as_of=as_of, on_plan=show)
    return run_exclusively(FLOW, table, work, overdue_after=overdue_after, flow_run_id=flow_run_id)


def _policy(declaration: Declaration, table: str, safety: Safety) -> Coarsening | UnsuitableRelation:
    declared = declaration.table(table)
    asked, keep = declared.partitioning.coarsen, declared.retention.keep if declared.retention else None
    if asked is None:
        return UnsuitableRelation(table, "it declares no coarsening", "Declare partitioning.coarsen, or leave this table out.")
    return Coarsening(asked.after, asked.to, declared.partitioning.zone, safety.at_most or asked.at_most_per_run, keep)


def plan_merges(
    tables: Sequence[str], declaration: Declaration, as_of: datetime, safety: Safety, *, on_plan: OnPlan | None = None
) -> dict[str, CoarseningResult | MaintenanceError]:
    """Say of each table what `coarsen` would merge, all of them read by the same few statements; nothing is changed.

    `on_plan` gets each plan; a table without one has the error that `coarsen` would raise. Locks: ACCESS SHARE on the catalog.
    """
    columns = {table: declaration.table(table).partitioning.by for table in tables}

    def read(conn: Connection, together: Sequence[str]) -> dict[str, _Observed | MaintenanceError]:
        return _observe(conn, {table: columns[table] for table in together})

    def plan(table: str, seen: _Observed, policy: Coarsening) -> CoarseningResult:
        planned = _plan(seen, Relation.parse(table), policy, as_of)
        (on_plan or ignore)(planned)
        return CoarseningResult(table, applied=False, debt=len(planned.merges) + len(planned.debt))

    return each_planned({table: _policy(declaration, table, safety) for table in tables}, read, plan)


def _observe(conn: Connection, columns: Mapping[str, str]) -> dict[str, _Observed | MaintenanceError]:
    """Read what plans of tables depend on, given the declared column of each."""
    found = list_all(conn, {Relation.parse(table): by for table, by in columns.items()})
    parents = {str(table): seen.parent.oid for table, seen in found.items() if isinstance(seen, Listed)}
    rows = fetch(conn, "partitions/coarsening_obstacles", parents=list(parents), parent_oids=list(parents.values()))
    reasons = {row["oid"]: row["reason"] for row in rows}
    return {str(table): (seen, _by_name(seen, reasons)) if isinstance(seen, Listed) else seen for table, seen in found.items()}


def _by_name(seen: Listed, reasons: Mapping[int, str]) -> dict[str, str]:
    return {name: reasons[oid] for name, oid in seen.oids.items() if oid in reasons}


def _plan(observed: _Observed, table: Relation, policy: Coarsening, as_of: datetime) -> CoarseningPlan:
    seen, obstacles = observed
    return plan_coarsening(table, seen.candidates, seen.holds, obstacles, policy=policy, as_of=as_of)


def _apply(
    started: Run, *, table: Relation, cut: Partitioning, policy: Coarsening, as_of: datetime, on_plan: OnPlan
) -> CoarseningResult | Deferred:
    with transaction(Kind.READ) as conn:
        under_way = fetch(conn, "partitions/migration_under_way", target=str(table))
        parent = read_parent(conn, table, cut.by)
    if under_way:
        return Deferred(FLOW, str(table), f"migration {under_way[0]['name']} captures changes until its cutover")
    job = _Job(started, table, parent)
    ends, errors = list[tuple[str, str, int]](), list[MaintenanceError]()
    for begun in _unfinished(table):
        with _kept(errors):
            ends.append(_carry_on(job, begun))
    with transaction(Kind.READ) as conn:
        observed = or_raise(_observe(conn, {str(table): cut.by})[str(table)])
    plan = _plan(observed, table, policy, as_of)
    on_plan(plan)
    for merge in plan.merges:
        with _kept(errors):
            ends.append(_carry_on(job, _watch(job, merge, observed[0])))
    return _result(str(table), ends, len(plan.debt), errors)


@contextmanager
def _kept(errors: list[MaintenanceError]) -> Iterator[None]:
    """Keep what one merge fails with until the others have been taken up."""
    try:
        yield
    except (CopyDiffers, LockBusy, MembersGone, MembersWritten, NameTaken) as error:
        errors.append(error)


def _result(
    table: str, ends: Sequence[tuple[str, str, int]], debt: int, errors: Sequence[MaintenanceError]
) -> CoarseningResult:
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise Unfinished(FLOW, "; ".join(str(error) for error in errors))
    named = {state: tuple(name for name, end, _ in ends if end == state) for state in ("done", "abandoned", "built")}
    dropped = sum(count for _, _, count in ends)
    return CoarseningResult(
        table,
        applied=True,
        merged=named["done"],
        dropped=dropped,
        given_up=named["abandoned"],
        waiting=named["built"],
        debt=debt,
    )


def _unfinished(table: Relation) -> list[_Begun]:
    with transaction(Kind.READ) as conn:
        return [_Begun(**row) for row in fetch(conn, "partitions/list_coarsenings", parent=str(table))]


def _carry_on(job: _Job, begun: _Begun) -> tuple[str, str, int]:
    """Take one merge from its state as far as it goes; return its partition, its state, and how many members were dropped."""
    try:
        if begun.state == "watched":
            _build(job, begun)
        if begun.state in ("watched", "built"):
            if not _freeze(job, begun):
                return begun.partition, "built", 0
            _swap(job, begun)
    except _Changed as changed:
        _abandon(job, begun, str(changed))
        return begun.partition, "abandoned", 0
    return begun.partition, "done", _drop_members(job, begun)


def _watch(job: _Job, merge: Merge, seen: Listed) -> _Begun:
    """Record the intent and watch the members: whoever writes to one from here on is seen."""
    partition = str(job.table.sibling(merge.name))

    def attempt(conn: Connection) -> int:
        enter_unit(conn, job.started)
        taken = fetch(conn, "partitions/taken_names", schema=job.table.schema, names=[merge.name])
        wanted = Create(merge.lower, merge.upper, merge.name, merge.reason)
        require_free_names(job.table, [wanted], {row["name"] for row in taken})
        facts = {"parent": str(job.table), "lower": merge.lower, "upper": merge.upper, "partition": partition}
        members, oids = list(merge.members), [seen.oids[name] for name in merge.members]
        row = fetch_one(conn, "partitions/record_watched", **facts, members=members, oids=oids, run_id=job.started.id)
        for member in merge.members:
            _watch_one(conn, Relation.parse(member), row["id"])
        return row["id"]

    number = with_lock_retries(job.table, f"watch what becomes {merge.name} of", attempt)
    return _Begun(number, merge.lower, merge.upper, partition, merge.members, "watched")


def _watch_one(conn: Connection, member: Relation, number: int) -> None:
    run(conn, "partitions/watch_rows", partition=member, coarsening=str(number))
    run(conn, "partitions/watch_truncate", partition=member, coarsening=str(number))
    for trigger in WATCHES:
        run(conn, "partitions/watch_always", partition=member, trigger=trigger)


def _build(job: _Job, begun: _Begun) -> None:
    """Copy every member, index the copy, and compare what both hold: one transaction."""
    with unit(job.started) as conn:
        _require_members(conn, job, begun)
        partition = build_partition(conn, job.parent, Relation.parse(begun.partition).name, *begun.bounds)
        columns = fetch_one(conn, "partitions/insertable_columns", schema=partition.schema, name=partition.name)["columns"]
        for member in begun.members:
            names = {"member": Relation.parse(member), "partition": partition, "columns": trusted(columns)}
            run(conn, "partitions/copy_member", **names)
        finish_partition(conn, job.parent, partition)
        oid = fetch_one(conn, "partitions/oid_of", schema=partition.schema, name=partition.name)["oid"]
        rows, content_hash = _require_equal(conn, job, begun, partition, oid)
        run(conn, "partitions/record_built", id=begun.id, partition_oid=oid, rows=rows, content_hash=content_hash)


def _facts(conn: Connection, job: _Job, begun: _Begun) -> dict[str, Any]:
    return fetch_one(conn, "partitions/coarsening_facts", id=begun.id, parent_oid=job.parent.oid)


def _is_standalone(conn: Connection, relation: Relation) -> bool:
    return bool(fetch_one(conn, "partitions/is_standalone", schema=relation.schema, name=relation.name)["found"])


def _require_members(conn: Connection, job: _Job, begun: _Begun) -> dict[str, Any]:
    """Return the facts; MembersGone where a member is not the table that was recorded."""
    facts = _facts(conn, job, begun)
    missing = sorted(set(begun.members) - set(facts["present"]))
    if missing:
        raise MembersGone(begun.partition, str(job.table), f"{', '.join(missing)} is gone or another table now")
    return facts


def _require_equal(conn: Connection, job: _Job, begun: _Begun, partition: Relation, oid: int) -> tuple[int, str]:
    """Compare rows and hash of the copy with those of its members together; a member that changed is no difference."""
    columns = list_columns(conn, oid)
    copy = read_figures(conn, partition, columns)
    members = [read_figures(conn, Relation.parse(member), columns) for member in begun.members]
    expected = sum(member.rows for member in members), str(sum(int(member.content_hash) for member in members))
    if (copy.rows, copy.content_hash) == expected:
        return expected
    if _facts(conn, job, begun)["is_changed"]:
        raise _Changed(WRITTEN)
    what = f"{copy.rows} rows instead of {expected[0]}" if copy.rows != expected[0] else "content hash"
    raise CopyDiffers(begun.partition, str(job.table), what)


def _freeze(job: _Job, begun: _Begun) -> bool:
    """Freeze the copy, so that a snapshot taken before it was made sees its rows; False while such a snapshot is open."""
    with open_connection(Kind.CONCURRENT, purpose=f"{FLOW} {job.table}") as conn:
        for attempt in range(FREEZE_TRIES):
            facts = _require_members(conn, job, begun)
            if facts["is_changed"]:
                raise _Changed(WRITTEN)
            if not facts["is_there"]:
                raise MembersGone(begun.partition, str(job.table), f"{begun.partition} is gone")
            if facts["is_frozen"]:
                return True
            if attempt:
                time.sleep(FREEZE_PAUSE_S)
            run(conn, "partitions/freeze_partition", partition=Relation.parse(begun.partition))
        return bool(_facts(conn, job, begun)["is_frozen"])


def _swap(job: _Job, begun: _Begun) -> None:
    """Exchange the members for the copy: nobody reads or writes the table meanwhile, and nothing was changed since the copy."""
    partition = Relation.parse(begun.partition)

    def attempt(conn: Connection) -> None:
        enter_unit(conn, job.started)
        run(conn, "partitions/lock_parent", parent=job.table)
        if not _require_members(conn, job, begun)["is_attached"]:
            raise _Changed(DETACHED)
        for member in begun.members:
            run(conn, "partitions/detach_plainly", parent=job.table, partition=Relation.parse(member))
        facts = _require_members(conn, job, begun)
        if facts["is_changed"]:
            raise _Changed(WRITTEN)
        if not facts["is_indexed"] or list_lacking_checks(conn, job.parent, partition):
            raise _Changed(INCOMPLETE)
        attach_partition(conn, job.parent, partition, *begun.bounds)
        run(conn, "partitions/record_coarsening", id=begun.id, state="swapped", reason=None)

    with_lock_retries(job.table, f"swap {partition.name} into", attempt)


def _drop_members(job: _Job, begun: _Begun) -> int:
    """Drop the members, whose rows the attached copy holds; each is the table that was copied, and a partition of nothing.

    Raises MembersWritten, and leaves those that still stand, once a row of any was changed after the exchange.
    """
    dropped = 0
    for member in begun.members:
        dropped += with_lock_retries(member, "drop", lambda conn, name=member: _drop_one(conn, job, begun, name))
    with unit(job.started) as conn:
        run(conn, "partitions/record_coarsening", id=begun.id, state="done", reason=None)
    return dropped


def _drop_one(conn: Connection, job: _Job, begun: _Begun, member: str) -> int:
    """Drop one member; whoever waited to write to it by its name has done so once it is locked, and the watch has noted it."""
    enter_unit(conn, job.started)
    relation = Relation.parse(member)
    is_ours = member in _facts(conn, job, begun)["present"]
    if not is_ours or not _is_standalone(conn, relation):
        return 0
    run(conn, "partitions/lock_partition", partition=relation)
    facts = _facts(conn, job, begun)
    if facts["is_changed"]:
        raise MembersWritten(_span(facts["present"]), str(job.table), begun.partition, begun.id)
    run(conn, "partitions/drop_partition", partition=relation)
    return 1


def _span(names: Sequence[str]) -> str:
    """Say which tables, oldest first: the watch notes that one of them was changed, not which."""
    return names[0] if len(names) == 1 else f"{names[0]} to {names[-1]} ({len(names)} tables)"


def _abandon(job: _Job, begun: _Begun, reason: str) -> None:
    """Give a merge up: the copy goes, the members stay and are watched no more."""
    partition = Relation.parse(begun.partition)

    def attempt(conn: Connection) -> None:
        enter_unit(conn, job.started)
        facts = _facts(conn, job, begun)
        if facts["is_there"] and _is_standalone(conn, partition):
            run(conn, "partitions/drop_partition", partition=partition)
        for member in facts["present"]:
            for trigger in WATCHES:
                run(conn, "partitions/unwatch", partition=Relation.parse(member), trigger=trigger)
        run(conn, "partitions/record_coarsening", id=begun.id, state="abandoned", reason=reason)

    with_lock_retries(job.table, f"give up {partition.name} of", attempt)
