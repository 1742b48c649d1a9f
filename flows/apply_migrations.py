"""Flow: bring the database's schema up to date (M1)."""

from __future__ import annotations

from prefect import flow

from tasks.core.declaration import read_declaration
from tasks.core.flowruns import flow_runtime, manual, publish
from tasks.core.migrations import apply


@manual
@flow(flow_run_name="apply migrations")
def apply_migrations() -> list[str]:
    """Apply the numbered SQL migrations that this database has not seen yet.

    Each file runs once, in a transaction of its own, under a small lock_timeout with retries; its checksum is kept,
    and an applied file that was changed afterwards is an error. Returns the names applied; a second run applies none.
    Undo: write a new migration; nothing here removes what an earlier one made.
    """
    with flow_runtime():
        applied = apply(read_declaration().schema_sets)
        publish("apply-migrations", "\n".join(f"- {name}" for name in applied) or "Nothing was due.")
        return applied
