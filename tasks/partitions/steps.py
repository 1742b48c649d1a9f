"""The room's Prefect tasks: thin, named by what they touch, retried where a connection was lost.

Belongs here: the task around a plain function, and publishing what it shows. Keep out: everything else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from prefect import task, unmapped
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run

from tasks.core.connect import Connection
from tasks.core.declaration import Declaration, read_declaration
from tasks.core.errors import MaintenanceError
from tasks.core.flowruns import RETRY, flow_run_id, publish, run_name, stop_if_cancelled
from tasks.core.ledger import Deferred, Run
from tasks.core.parameters import Safety
from tasks.core.progress import report
from tasks.gates.gate import pass_gate
from tasks.gates.store import require_verdict
from tasks.migration.steps import carry_back_from
from tasks.partitions.archive import Archived, ArchiveUnit, Failed, archive_bundle
from tasks.partitions.coarsen import CoarseningResult, coarsen, plan_merges
from tasks.partitions.coarsen_plan import CoarseningPlan
from tasks.partitions.coarsening_text import coarsening_plan, coarsening_result
from tasks.partitions.create import CreationPlan, CreationResult, Looked, ensure_partitions, look_at
from tasks.partitions.creation_text import creation_plan
from tasks.partitions.rebuild import IndexReport, RebuildResult, rebuild_indexes_of
from tasks.partitions.rebuild_text import index_report, rebuilt_indexes
from tasks.partitions.restoration_text import restored_text
from tasks.partitions.restore import Restored, restore
from tasks.partitions.retention_plan import RetentionPlan
from tasks.partitions.retire import RetentionResult, describe_removal, plan_removals, retire


@task(task_run_name="look at the tables", cache_policy=NO_CACHE, **RETRY)
def look_at_tables(tables: Sequence[str]) -> dict[str, Looked | MaintenanceError]:
    """Read what is known of all tables before partitions are made: by the same few statements for one as for a hundred."""
    return look_at(tables, read_declaration())


@task(task_run_name="create partitions {table}", cache_policy=NO_CACHE, **RETRY)
def create_partitions_of(table: str, as_of: datetime, seen: Any) -> CreationResult | Deferred:
    """Make what one declared table lacks; its plan is published before anything is made.

    A table of which something wrong was `seen` is looked at anew, by its own run, whose failure is then recorded.
    """
    hooks: dict[str, Any] = {"on_plan": _publish_plan, "flow_run_id": flow_run_id()}
    return ensure_partitions(table, read_declaration(), as_of, seen=seen if isinstance(seen, Looked) else None, **hooks)


def _publish_plan(plan: CreationPlan) -> None:
    publish("create-partitions-plan", creation_plan(plan), title=plan.table)


@task(task_run_name="rebuild indexes {table}", cache_policy=NO_CACHE, **RETRY)
def rebuild_indexes_on(table: str, as_of: datetime) -> RebuildResult | Deferred:
    """Put the indexes of one declared table right; what was found is published before anything is done, and what was done."""
    hooks: dict[str, Any] = {"on_report": _publish_report, "on_progress": _progress(), "flow_run_id": flow_run_id()}
    result = rebuild_indexes_of(table, read_declaration(), as_of, **hooks)
    if isinstance(result, RebuildResult) and result.outcome == "rebuilt":
        publish("rebuild-indexes", rebuilt_indexes(result), title=table)
    return result


def _publish_report(report: IndexReport) -> None:
    publish("rebuild-indexes-report", index_report(report), title=report.table)


@task(task_run_name="plan merges", cache_policy=NO_CACHE, **RETRY)
def plan_merges_of(tables: Sequence[str], safety: Safety, as_of: datetime) -> dict[str, Any]:
    """Publish the plan of each declared table, all of them read together; nothing is changed."""
    return plan_merges(tables, read_declaration(), as_of, safety, on_plan=_publish_merges)


@task(task_run_name="coarsen partitions {table}", cache_policy=NO_CACHE, **RETRY)
def coarsen_partitions_of(table: str, safety: Safety, as_of: datetime) -> CoarseningResult | Deferred:
    """Merge what one declared table has closed long ago."""
    hooks: dict[str, Any] = {"on_plan": _publish_merges, "flow_run_id": flow_run_id()}
    result = coarsen(table, read_declaration(), as_of, safety, **hooks)
    if isinstance(result, CoarseningResult):
        publish("coarsen-partitions", coarsening_result(result), title=table)
    return result


def _publish_merges(plan: CoarseningPlan) -> None:
    publish("coarsen-partitions-plan", coarsening_plan(plan), title=plan.table)


def retention_run_name() -> str:
    """Name a run of enforce_retention: a glance at the list shows what was real, and as of when where that was asked."""
    as_of = (flow_run.parameters or {}).get("as_of")
    return run_name("retention", "table", "every table")() + (f" {str(as_of)[:10]}" if as_of else "")


@task(task_run_name="plan retention", cache_policy=NO_CACHE, **RETRY)
def plan_retention_of(tables: Sequence[str], safety: Safety, as_of: datetime) -> dict[str, Any]:
    """Publish the plan of each declared table, all of them read together; nothing is changed."""
    return plan_removals(tables, read_declaration(), safety, as_of, on_plan=_publish_removals)


def _publish_removals(plan: RetentionPlan, text: str) -> None:
    publish("enforce-retention-plan", text, title=plan.table)


@task(task_run_name="enforce retention {table}", cache_policy=NO_CACHE, **RETRY)
def enforce_retention_of(table: str, safety: Safety, as_of: datetime) -> RetentionResult | Deferred:
    """Remove what has outlived one table's retention, through its gate where one is declared."""
    declaration = read_declaration()
    is_gated = "retention" in declaration.table(table).gates

    def show(plan: RetentionPlan, text: str) -> None:
        _publish_removals(plan, text)
        if is_gated and plan.removals:
            _pass_gate(plan, declaration)

    def require_gate(conn: Connection, plan: RetentionPlan) -> None:
        require_verdict(conn, plan.subject, "retention", declaration)

    def carry_back(started: Run) -> None:
        carry_back_from(table, declaration, started)

    hooks: dict[str, Any] = {
        "on_plan": show,
        "archive_all": _archive_all,
        "carry_back": carry_back,
        "flow_run_id": flow_run_id(),
    }
    result = retire(table, declaration, safety, as_of, require_gate if is_gated else None, _progress(), **hooks)
    if isinstance(result, RetentionResult) and result.applied:
        publish("enforce-retention", describe_removal(result), title=table)
    return result


@task(task_run_name="restore {partition}", cache_policy=NO_CACHE, **RETRY)
def restore_partition_of(table: str, partition: str, as_of: datetime) -> Restored | Deferred:
    """Attach one partition again, from waiting or from its archive; what became of it is published."""
    hooks: dict[str, Any] = {"on_progress": _progress(), "flow_run_id": flow_run_id()}
    result = restore(table, partition, read_declaration(), as_of, **hooks)
    if isinstance(result, Restored):
        publish("restore-partition", restored_text(result), title=table)
    return result


def _pass_gate(plan: RetentionPlan, declaration: Declaration) -> None:
    facts = {"given": {"plan": plan.evidence()}, "parameters": {"at_most": plan.policy.at_most}, "as_of": plan.as_of}
    pass_gate(plan.subject, "retention", declaration, **facts)


def _progress() -> Callable[[str, int, int | None], None]:
    """Report each step, and look about once a second whether Prefect wants the run to stop (design 13)."""
    asked = time.monotonic()

    def progress(step: str, done: int, total: int | None) -> None:
        nonlocal asked
        report(step, done, total)
        if time.monotonic() - asked > 1:
            asked = time.monotonic()
            stop_if_cancelled()

    return progress


def _archive_all(started: Run, bundles: Sequence[Sequence[ArchiveUnit]], as_of: datetime) -> Iterable[list[Archived | Failed]]:
    labels = [f"{units[0].partition} and {len(units) - 1} more" if units[1:] else units[0].partition for units in bundles]
    for future in archive_partitions.map(unmapped(started), bundles, unmapped(as_of), labels):
        yield future.result()


@task(task_run_name="archive {label}", cache_policy=NO_CACHE, **RETRY)
def archive_partitions(started: Run, units: Sequence[ArchiveUnit], as_of: datetime, label: str) -> list[Archived | Failed]:
    """Archive and verify the partitions of one bundle; what is archived already is left as it is."""
    del label
    return archive_bundle(started, units, as_of)
