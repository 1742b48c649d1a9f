"""The room's Prefect tasks: thin, named by what they touch, retried where a connection was lost.

Belongs here: the task around a plain function. Keep out: everything else.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.core.declaration import read_declaration
from tasks.core.flowruns import RETRY, flow_run_id, log, publish, stop_if_cancelled
from tasks.core.ledger import Deferred
from tasks.core.parameters import Safety
from tasks.core.progress import report
from tasks.upkeep.metadata import MetadataReport, MetadataResult, repair_metadata_of
from tasks.upkeep.render import metadata_report, repaired_metadata
from tasks.upkeep.sessions import SessionsExpired, expire_sessions


@task(task_run_name="expire sessions", cache_policy=NO_CACHE, **RETRY)
def expire_sessions_as_of(as_of: datetime) -> SessionsExpired | Deferred:
    """Mark and purge the declared sessions; a cancelled run stops between two batches."""
    declaration = read_declaration()
    return expire_sessions(declaration, as_of, on_progress=report, between=stop_if_cancelled, flow_run_id=flow_run_id())


@task(task_run_name="repair metadata {table}", cache_policy=NO_CACHE, **RETRY)
def repair_metadata_in(table: str, safety: Safety) -> MetadataResult | Deferred:
    """Repair one declared column, or only report it; what was found is published first, then what became of it."""
    hooks: dict[str, Any] = {"on_progress": report, "between": stop_if_cancelled, "flow_run_id": flow_run_id()}
    result = repair_metadata_of(table, read_declaration(), safety, on_report=_publish_faults, **hooks)
    if isinstance(result, MetadataResult):
        log().info(repaired_metadata(result))
    return result


def _publish_faults(found: MetadataReport) -> None:
    publish("repair-metadata-report", metadata_report(found), title=found.table)
