"""The room's Prefect tasks: thin, named by what they touch, retried where a connection was lost.

Belongs here: the task around a plain function. Keep out: everything else.
"""

from __future__ import annotations

from datetime import datetime

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.core.declaration import read_declaration
from tasks.core.flowruns import RETRY, flow_run_id, stop_if_cancelled
from tasks.core.ledger import Deferred
from tasks.core.progress import report
from tasks.upkeep.sessions import SessionsExpired, expire_sessions


@task(task_run_name="expire sessions", cache_policy=NO_CACHE, **RETRY)
def expire_sessions_as_of(as_of: datetime) -> SessionsExpired | Deferred:
    """Mark and purge the declared sessions; a cancelled run stops between two batches."""
    declaration = read_declaration()
    return expire_sessions(declaration, as_of, on_progress=report, between=stop_if_cancelled, flow_run_id=flow_run_id())
