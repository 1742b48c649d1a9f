"""Flow: copy the legacy tables of a migration while they are written (M2)."""

from __future__ import annotations

from typing import Annotated, Any

from prefect import flow
from pydantic import Field

from tasks.core.connect import database_now
from tasks.core.declaration import read_declaration
from tasks.core.flowruns import finish_one, flow_runtime, manual, run_name
from tasks.migration.steps import backfill_in_tasks


@manual
@flow(flow_run_name=run_name("backfill", "migration", ""))
def backfill(migration: str, workers: Annotated[int, Field(ge=1, le=8)] = 2) -> Any:
    """Copy the legacy tables of a migration into its target, exactly once, while the application writes to them.

    Changes are captured first, as keys. Then each missing partition is built beside the target and attached, and what is
    live already is written from the capture log, which is drained until little is left. Rows that cannot be mapped go to
    quarantine with the reason. Interrupted at any moment, the next run goes on; a run with nothing to copy drains only, and
    one after roll_back waits until migrate begins anew.
    Undo: roll_back by way of complete; the legacy tables are only read.

    Args:
        migration: A migration from maintenance.yaml.
        workers: Sessions that copy and drain at the same time, from 1 to 8; more than cores gain nothing.
    """
    with flow_runtime():
        return finish_one(backfill_in_tasks(migration, read_declaration(), database_now(), workers=workers))
