"""Flow: the whole migration, gate by gate (M8)."""

from __future__ import annotations

from typing import Any, Literal

from prefect import flow

from tasks.core.connect import database_now
from tasks.core.declaration import read_declaration
from tasks.core.flowruns import finish_one, flow_runtime, manual, run_name
from tasks.core.progress import report
from tasks.migration.course import Postponed, complete, copy, is_approved, is_cut_over, prove, waiting


@manual
@flow(flow_run_name=run_name("migrate", "migration", ""))
def migrate(migration: str, approval: Literal["ask", "given"] = "ask") -> Any:
    """Take a declared migration from wherever it stands to its cutover, gate by gate.

    Preflight gate, capture on, backfill, gate, every row compared, gate, a person's approval, gate, cutover, gate. A
    failed gate stops it and names the expectation and the rows. Started again after any crash, it goes on where the
    ledger says. As a deployment it suspends for the approval form; elsewhere it ends as waiting and prints the command
    that approves. Undo: before the cutover nothing of the application has changed; after it, run roll_back.

    Args:
        migration: A migration from maintenance.yaml.
        approval: ask: ask a person and wait. given: fail where no valid approval stands.
    """
    with flow_runtime():
        declaration, as_of = read_declaration(), database_now()
        declaration.migration(migration)
        try:
            if not is_cut_over(migration):
                copy(migration, declaration, as_of)
                prove(migration, declaration, report)
                if not is_approved(migration, declaration, as_of, approval):
                    return finish_one(waiting(migration, declaration, as_of))
            return finish_one(complete(migration, declaration, as_of))
        except Postponed as postponed:
            return finish_one(postponed.deferred)
