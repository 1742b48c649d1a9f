"""Flow: put views on the target under the old names (M3, M4, N7)."""

from __future__ import annotations

from typing import Any

from prefect import flow

from tasks.core.declaration import read_declaration
from tasks.core.flowruns import finish_one, flow_run_id, flow_runtime, manual, publish, run_name
from tasks.core.ledger import Deferred
from tasks.migration.cutover import cut_over as cut_over_now
from tasks.migration.render import describe_cutover


@manual
@flow(flow_run_name=run_name("cut over", "migration", ""))
def cut_over(migration: str, rehearse: bool = False) -> Any:  # noqa: FBT001, FBT002 (a form's field)
    """Make views under the old names, on the target, and put the legacy tables aside, in one short transaction.

    Needs a valid approval and a verdict of the gate cutover, which is asked where it is missing. The rest of the capture
    log is applied and compared while the legacy tables are locked, for milliseconds; an attempt that does not get its
    locks within 300 ms is given up and tried again. From the same transaction on, changes of the target are logged and
    carried back. A second run says that it is done already. Undo: run roll_back.

    Args:
        migration: A migration from maintenance.yaml.
        rehearse: Run the whole transaction, roll it back, and report its lock time and what is missing.
    """
    with flow_runtime():
        result = cut_over_now(migration, read_declaration(), rehearse=rehearse, flow_run_id=flow_run_id())
        if not isinstance(result, Deferred):
            publish("cut-over", describe_cutover(result))
        return finish_one(result)
