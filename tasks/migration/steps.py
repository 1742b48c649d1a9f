"""The room's Prefect tasks: thin, named by what they touch, retried where a connection was lost.

Belongs here: the task around a plain function, and publishing what it shows. Keep out: everything else.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectFuture, as_completed

from tasks.core.connect import Kind, transaction
from tasks.core.declaration import Declaration
from tasks.core.flowruns import RETRY, flow_run_id, publish, stop_if_cancelled
from tasks.core.ledger import Deferred, Run
from tasks.core.progress import report
from tasks.migration.backfill import BackfillResult, Bundle, OnProgress, backfill, copy_bundle
from tasks.migration.backfill_text import backfill_plan, backfill_result
from tasks.migration.copy import UnitResult
from tasks.migration.plan import BackfillPlan
from tasks.migration.registry import read_registered
from tasks.migration.reverse import BATCH_KEYS, carry_back, count_waiting


def backfill_in_tasks(
    migration: str, declaration: Declaration, as_of: datetime, *, workers: int = 2, begins_anew: bool = False
) -> BackfillResult | Deferred:
    """Backfill `migration` with its bundles of units as task runs; plan and result are published.

    After a way back it waits, but where it `begins_anew`.
    """
    result = backfill(
        migration,
        declaration,
        as_of,
        workers=workers,
        on_progress=report,
        on_plan=partial(_publish_plan, migration),
        map_bundles=_in_tasks,
        begins_anew=begins_anew,
        flow_run_id=flow_run_id(),
    )
    if isinstance(result, BackfillResult):
        publish("backfill", backfill_result(result), title=migration)
    return result


def carry_back_from(target: str, declaration: Declaration, started: Run) -> None:
    """Carry what has changed in `target` since a cutover back to the old tables, for the run that holds the target's lock.

    Only what is in the log now: an application that goes on writing would keep it from ever being empty.
    """
    for name, policy in declaration.migrations.items():
        with transaction(Kind.READ) as conn:
            known = read_registered(conn, name) if policy.target == target else None
        if known is not None and known.phase == "cut_over":
            carry_back(started, known, policy, most_batches=count_waiting(name) // BATCH_KEYS + 1)


def _publish_plan(migration: str, plan: BackfillPlan) -> None:
    publish("backfill-plan", backfill_plan(migration, plan), title=migration)


def _in_tasks(
    started: Run, name: str, bundles: Sequence[Bundle], workers: int, on_progress: OnProgress | None
) -> list[list[UnitResult]]:
    """Map bundles over task runs, `workers` at a time: the flow's task runner decides where they run."""
    del on_progress
    done: list[list[UnitResult]] = []
    running: list[PrefectFuture[list[UnitResult]]] = []
    for bundle in bundles:
        if len(running) == workers:
            done.append(_first_of(running).result())
        label = f"{bundle[0]} and {len(bundle) - 1} more" if bundle[1:] else str(bundle[0])
        running.append(copy_units.submit(started, name, bundle, label))
    return [*done, *(future.result() for future in running)]


def _first_of(running: list[PrefectFuture[list[UnitResult]]]) -> PrefectFuture[list[UnitResult]]:
    """Wait until one has ended and take it out of the list."""
    first = next(iter(as_completed(running)))
    running.remove(first)
    return first


@task(task_run_name="copy {label}", cache_policy=NO_CACHE, **RETRY)
def copy_units(started: Run, name: str, units: Bundle, label: str) -> list[UnitResult]:
    """Do the units of one bundle; what the ledger calls done is skipped, so a retry goes on where it stopped."""
    del label
    return copy_bundle(started, name, units, report, between=stop_if_cancelled)
