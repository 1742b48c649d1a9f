"""Flow: compare every row of a migration on both sides (M7)."""

from __future__ import annotations

from prefect import flow

from tasks.core.declaration import read_declaration
from tasks.core.flowruns import finish, flow_run_id, flow_runtime, manual, publish, run_name
from tasks.core.ledger import Deferred
from tasks.core.progress import report
from tasks.migration.verify import IntegrityResult, describe, verify


@manual
@flow(flow_run_name=run_name("verify", "migration", ""))
def verify_integrity(migration: str) -> list[IntegrityResult | Deferred]:
    """Compare every row of a migration on both sides in one snapshot, and ask the gate.

    What waits in the capture log is drained first; what is still in flight is left out on both sides, so writers cause no
    false alarm. Rows that differ are named, queued and drained once; unless a collision explains them the gate blocks
    all the same, and only the next clean run passes.
    Undo: none needed; the legacy tables are only read.

    Args:
        migration: A migration from maintenance.yaml.
    """
    with flow_runtime():
        result = verify(migration, read_declaration(), on_progress=report, flow_run_id=flow_run_id())
        if isinstance(result, IntegrityResult):
            publish("verify-integrity", describe(result))
        return finish([result])
