"""Flow: archive and drop the legacy tables of a finished migration (M5)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from prefect import flow

from tasks.core.connect import as_of_or_now
from tasks.core.declaration import read_declaration
from tasks.core.flowruns import finish_one, flow_run_id, flow_runtime, manual, publish, run_name
from tasks.core.ledger import Deferred
from tasks.core.parameters import Safety
from tasks.migration.retire import describe_retirement
from tasks.migration.retire import retire_legacy as retire_legacy_now


@manual
@flow(flow_run_name=run_name("retire legacy", "migration", ""))
def retire_legacy(
    migration: str,
    safety: Safety = Safety(),  # noqa: B008 (frozen; the form's default)
    as_of: datetime | None = None,
) -> Any:
    """Archive, verify and drop the old tables of a migration, once the declared time since its cutover has passed.

    Ends as waiting before that, and fails while the old names are still written, unless the declaration says that this
    may go on. What the tables lack of the present state is carried to them first; each archive is verified from its file
    and compared with the locked table before the drop. The views under the old names stay and take writes as before.
    Undo: none by roll_back; the Parquet files hold every row, loaded by copy into a table of the manifest's columns.

    Args:
        migration: A migration from maintenance.yaml.
        safety: Brakes. The default publishes the plan and changes nothing. The tables go together, so at_most has no part in it.
        as_of: Decide as if it were this instant, in UTC where it names no zone. Empty means the database's now().
    """
    with flow_runtime():
        facts: dict[str, Any] = {"safety": safety, "as_of": as_of_or_now(as_of), "flow_run_id": flow_run_id()}
        result = retire_legacy_now(migration, read_declaration(), **facts)
        if not isinstance(result, Deferred):
            publish("retire-legacy-plan", describe_retirement(result))
        return finish_one(result)
