"""Find what is wrong with a declared table's indexes, and put right what can be: concurrently, partition by partition (D5).

Belongs here: observing, publishing the findings, carrying out what is due, and proving it from the catalog afterwards.
Keep out: the rules (`index_findings`), the acts on one partition (`index_build`), and Prefect. A valid index is never dropped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from tasks.core.connect import Connection, Kind, open_connection, transaction
from tasks.core.declaration import Declaration, Index, Table
from tasks.core.errors import LockBusy, MissingRight, Permanent, RunLost, UnsuitableRelation
from tasks.core.ledger import RUN, WORK, Deferred, Run, run_exclusively
from tasks.core.names import Relation
from tasks.core.sqlfiles import fetch, fetch_one
from tasks.partitions import index_build
from tasks.partitions.catalog import read_parent
from tasks.partitions.create import is_loaded
from tasks.partitions.index_build import IndexFailed, OnProgress, Target, Work
from tasks.partitions.index_findings import Finding, IndexFact, Observed, Place, Wanted, find
from tasks.partitions.indexes import BUILDING, InvalidIndex, as_the_server_writes, create_on_parent
from tasks.partitions.partition import Parent

FLOW = "rebuild_indexes"
#: One index that fails so does not keep the others from being built.
_FAILURES = (IndexFailed, InvalidIndex, UnsuitableRelation, MissingRight, LockBusy)


@dataclass(eq=False)
class RebuildUnfinished(Permanent):
    """The indexes of {table} could not all be put right: {failures}. What was built stays; run again once the causes are gone."""

    quoting = "failures"
    table: str
    failures: str


@dataclass(frozen=True)
class IndexReport:
    """What was found on one table, before anything was done."""

    table: str
    as_of: datetime
    partitions: int
    findings: tuple[Finding, ...]

    @property
    def counts(self) -> dict[str, int]:
        """How many findings of each kind there are."""
        return dict(Counter(finding.kind for finding in self.findings))


@dataclass(frozen=True)
class RebuildResult:
    """What was found and what was done for one table; `built` are names of partitions' indexes, attached or rebuilt ones too."""

    table: str
    found: dict[str, int]
    findings: tuple[Finding, ...]
    created: tuple[str, ...] = ()
    built: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    #: Every index of the table is valid on every partition, as the catalog says at the end.
    is_complete: bool = True
    outcome: Literal["nothing due", "rebuilt", "left alone"] = "nothing due"


OnReport = Callable[[IndexReport], None]


@dataclass
class _Job:
    """One run for one table, and what it has done so far."""

    parent: Parent
    declared: dict[str, Index]
    wanted: tuple[Wanted, ...]
    as_of: datetime
    created: list[str] = field(default_factory=list[str])
    built: list[str] = field(default_factory=list[str])
    dropped: list[str] = field(default_factory=list[str])
    failures: dict[str, str] = field(default_factory=dict[str, str])


def rebuild_indexes_of(
    table: str,
    declaration: Declaration,
    as_of: datetime,
    *,
    on_report: OnReport | None = None,
    on_progress: OnProgress | None = None,
    flow_run_id: str | None = None,
) -> RebuildResult | Deferred:
    """Report the indexes of a declared table, and build what is missing or invalid while it is read and written.

    A second call has nothing to do. Locks: as `ensure_indexes`; SHARE UPDATE EXCLUSIVE on a partition to remove what an
    interrupted build left, never a valid index. Deferred where another session builds indexes of the table. Raises
    NotDeclared, MissingRelation, UnsuitableRelation, MissingRight, LockBusy, RebuildUnfinished naming what could not be done.
    """
    policy = declaration.table(table)

    def work(started: Run) -> RebuildResult:
        job = _job(table, policy, declaration, as_of)
        return _rebuild(job, started, on_report, on_progress)

    overdue_after = declaration.flow(FLOW).overdue_after
    return run_exclusively(FLOW, table, work, overdue_after=overdue_after, group=BUILDING + table, flow_run_id=flow_run_id)


def _job(table: str, policy: Table, declaration: Declaration, as_of: datetime) -> _Job:
    with transaction(Kind.READ) as conn:
        parent = read_parent(conn, Relation.parse(table), policy.partitioning.by)
    phases = {"before_attach", "after_load"} if is_loaded(table, declaration) else {"before_attach"}
    due = {name: index for name, index in policy.indexes.items() if index.build in phases}
    job = _Job(parent, due, (), as_of)
    wanted: list[Wanted] = []
    for name, index in due.items():
        with _isolated(job, name):
            wanted += [Wanted(*pair) for pair in as_the_server_writes(parent, {name: index}).items()]
    job.wanted = tuple(wanted)
    return job


def _rebuild(job: _Job, started: Run, on_report: OnReport | None, on_progress: OnProgress | None) -> RebuildResult:
    observed = _observe(job)
    findings = find(observed, job.as_of)
    report = IndexReport(str(job.parent.relation), job.as_of, len(observed.places), tuple(findings))
    if on_report:
        on_report(report)
    due = [finding for finding in findings if finding.is_due]
    if due:
        with _session(started) as conn:
            alone = frozenset(place.relation for place in observed.places if place.left_alone)
            _carry_out(job, Work(conn, job.parent, on_progress, left_alone=alone), due)
    return _proven(job, report)


@contextmanager
def _session(started: Run) -> Iterator[Connection]:
    """Open the connection for CONCURRENTLY; it holds `work` of the run, so that a later run waits for a dead one's last build."""
    group = BUILDING + started.subject
    with open_connection(Kind.CONCURRENT, purpose=f"{started.flow} {started.subject}") as conn:
        state = fetch_one(conn, "partitions/hold_work", work=WORK + group, run=RUN + group, pid=started.pid)
        if not state["taken"]:
            raise LockBusy(WORK + group, "build indexes", 0, "a new run that takes over")
        if not state["run_is_alive"]:
            raise RunLost(run_id=started.id, subject=started.subject)
        yield conn


def _observe(job: _Job) -> Observed:
    with transaction(Kind.READ) as conn:
        places = fetch(conn, "partitions/list_indexed_relations", parent=job.parent.oid)
        rows = fetch(conn, "partitions/list_indexes", parent=job.parent.oid)
        since = fetch_one(conn, "partitions/statistics_since")["since"]
    known = tuple(Place(Relation(row["schema"], row["name"]), row["is_leaf"], row["left_alone"]) for row in places)
    return Observed(job.parent.relation, known, tuple(_fact(row) for row in rows), job.wanted, since)


def _fact(row: dict[str, Any]) -> IndexFact:
    relation = Relation(row.pop("table_schema"), row.pop("table_name"))
    shape: dict[str, Any] = {name: row[name] and tuple(row[name]) for name in ("key_columns", "included")}
    return IndexFact(relation=relation, **{**row, **shape})


def _carry_out(job: _Job, work: Work, findings: list[Finding]) -> None:
    """Remove rests first, then what is invalid, then what the table lacks, last what its partitions lack."""
    for finding in findings:
        relation, index = Relation.parse(finding.relation), Relation.parse(finding.relation).sibling(finding.index)
        match finding.act:
            case "drop":
                with _isolated(job, str(index)):
                    if index_build.remove_invalid(work.conn, relation, index):
                        job.dropped.append(str(index))
            case "rebuild":
                with _isolated(job, str(index)):
                    index_build.rebuild(work.conn, relation, index)
                    job.built.append(str(index))
            case "create":
                with _isolated(job, str(index)):
                    create_on_parent(job.parent, finding.index, job.declared[finding.index])
                    job.created.append(str(index))
            case "correct":
                job.failures[str(index)] = finding.reason
            case "build" | "attach" | "none":
                pass
    _complete_all(job, work)


@contextmanager
def _isolated(job: _Job, index: str) -> Iterator[None]:
    try:
        yield
    except _FAILURES as error:
        job.failures[index] = str(error)


def _complete_all(job: _Job, work: Work) -> None:
    observed = _observe(job)
    lacking = {finding.index for finding in find(observed, job.as_of) if finding.act in ("build", "attach")}
    for target in index_build.read_targets(job.parent):
        if target.relation.name in lacking:
            with _isolated(job, str(target.relation)):
                _complete(job, work, target)


def _complete(job: _Job, work: Work, target: Target) -> None:
    before = _parts(job, target)
    try:
        index_build.validate(work, target, [part.index for part in before if part.is_valid])
        index_build.complete(work, target)
    finally:
        had = {part.index for part in before}
        job.built += [str(part.index) for part in _parts(job, target) if part.index not in had]


def _parts(job: _Job, target: Target) -> list[IndexFact]:
    return [fact for fact in _observe(job).indexes if fact.parent_oid == target.oid]


def _proven(job: _Job, report: IndexReport) -> RebuildResult:
    """Look again: success is what the catalog says. Raises RebuildUnfinished where something is still due, or had failed."""
    observed = _observe(job)
    for finding in find(observed, job.as_of):
        subject = f"{Relation.parse(finding.relation).schema}.{finding.index}"
        if finding.is_due and not _is_explained(job, finding):
            job.failures.setdefault(subject, f"{finding.kind} on {finding.relation}: {finding.reason}")
    if job.failures:
        raise RebuildUnfinished(report.table, "; ".join(f"{name}: {reason}" for name, reason in job.failures.items()))
    done = (tuple(job.created), tuple(job.built), tuple(job.dropped))
    is_complete = all(fact.is_valid for fact in observed.indexes if fact.is_on_parent)
    alone = "left alone" if report.counts.get("left alone") else "nothing due"
    outcome: Any = "rebuilt" if any(done) else alone
    return RebuildResult(report.table, report.counts, report.findings, *done, is_complete, outcome)


def _is_explained(job: _Job, finding: Finding) -> bool:
    """A failure is named once: by its own reason, not also by each partition that lacks the index for it."""
    return any(name.endswith(f".{finding.index}") for name in job.failures)
