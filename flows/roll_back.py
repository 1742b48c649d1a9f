"""Flow: put the legacy tables back under their names, with everything written since the cutover (M6)."""

from __future__ import annotations

from typing import Any, Literal

from prefect import flow

from tasks.core.connect import database_now
from tasks.core.declaration import read_declaration
from tasks.core.flowruns import finish_one, flow_run_id, flow_runtime, manual, publish, run_name
from tasks.core.ledger import Deferred
from tasks.core.parameters import Safety
from tasks.core.progress import report
from tasks.migration.render import describe_rollback
from tasks.migration.rollback import roll_back as roll_back_now


@manual
@flow(flow_run_name=run_name("roll back", "migration", ""))
def roll_back(
    migration: str,
    way: Literal["rename", "toggle", "complete"] = "rename",
    safety: Safety = Safety(),  # noqa: B008 (frozen; the form's default)
) -> Any:
    """Give the legacy tables their names again, with everything that was written under either name since the cutover.

    Changes are carried back while the application goes on; the rest in one short transaction, in which views, triggers and
    rights of the cutover go and those from before return. Rows that no legacy table takes stay in the target and are
    listed. Without apply it says what it would do. Undo: run migrate again; the copy starts anew.

    Args:
        migration: A migration from maintenance.yaml.
        way: rename: put the tables back. toggle: turn the settings row off and leave all else. complete: rename where that is
            still to be done, then archive, verify and take out of the target what the migration brought, at any phase.
        safety: Brakes. The default publishes the plan and changes nothing. at_most counts the partitions that complete takes.
    """
    with flow_runtime():
        facts: dict[str, Any] = {"on_progress": report, "flow_run_id": flow_run_id()}
        result = roll_back_now(migration, read_declaration(), database_now(), way=way, safety=safety, **facts)
        if not isinstance(result, Deferred):
            publish("roll-back-plan", describe_rollback(result))
        return finish_one(result)
