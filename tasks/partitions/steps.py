"""The room's Prefect tasks: thin, named by what they touch, retried where a connection was lost.

Belongs here: the task around a plain function, and publishing what it shows. Keep out: everything else.
"""

from __future__ import annotations

from datetime import datetime

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.core.declaration import read_declaration
from tasks.core.flowruns import RETRY, flow_run_id, publish
from tasks.core.ledger import Deferred
from tasks.partitions.create import CreationPlan, CreationResult, ensure_partitions
from tasks.partitions.creation_text import creation_plan


@task(task_run_name="create partitions {table}", cache_policy=NO_CACHE, **RETRY)
def create_partitions_of(table: str, as_of: datetime) -> CreationResult | Deferred:
    """Make what one declared table lacks; its plan is published before anything is made."""
    return ensure_partitions(table, read_declaration(), as_of, on_plan=_publish_plan, flow_run_id=flow_run_id())


def _publish_plan(plan: CreationPlan) -> None:
    publish("create-partitions-plan", creation_plan(plan), title=plan.table)
