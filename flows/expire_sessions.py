"""Flow: mark sessions whose time is over and purge those that have been over for long (D9, N4)."""

from __future__ import annotations

from datetime import datetime

from prefect import flow

from tasks.core.connect import as_of_or_now
from tasks.core.declaration import read_declaration
from tasks.core.flowruns import finish_one, flow_runtime, manual, publish, run_name
from tasks.core.ledger import Deferred
from tasks.upkeep.render import expired_sessions
from tasks.upkeep.sessions import SessionsExpired
from tasks.upkeep.steps import expire_sessions_as_of


@manual
@flow(flow_run_name=run_name("expire sessions", "as_of", "now"))
def expire_sessions(as_of: datetime | None = None) -> SessionsExpired | Deferred:
    """Mark sessions whose time is over as expired, and delete those that have been expired for long enough.

    The ages stand in maintenance.yaml (sinks.sessions). Worked through in batches, each committed on its own; a session
    that is being written is left for the next run. A second run in a row finds nothing.
    Undo: none for a deleted session but the database's backup; expired ones stay readable until they are purged.

    Args:
        as_of: Decide as if it were this instant, in UTC where it names no zone. Empty means the database's now().
    """
    with flow_runtime():
        read_declaration().session_sink()
        result = expire_sessions_as_of(as_of_or_now(as_of))
        if isinstance(result, SessionsExpired):
            publish("expire-sessions", expired_sessions(result))
        return finish_one(result)
