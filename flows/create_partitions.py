"""Flow: make partitions ahead of time and fill gaps (D2, D3, D5, D8)."""

from __future__ import annotations

from datetime import datetime

from prefect import flow
from prefect.utilities.annotations import quote

from tasks.core.connect import as_of_or_now
from tasks.core.declaration import read_declaration
from tasks.core.flowruns import each, finish, flow_runtime, manual, run_name
from tasks.core.ledger import Deferred
from tasks.partitions.create import CreationResult
from tasks.partitions.steps import create_partitions_of, look_at_tables


@manual
@flow(flow_run_name=run_name("create partitions", "table", "every table"))
def create_partitions(table: str | None = None, as_of: datetime | None = None) -> list[CreationResult | Deferred]:
    """Make the partitions that a table lacks up to its declared runway, and fill gaps between existing ones.

    Each partition is built beside its parent with the parent's indexes, closed to every role but the owner, and attached
    without a scan, in a transaction of its own: readers and writers go on. Declared indexes that are missing are built
    concurrently. One table's failure does not stop the others. A second run in a row plans nothing.
    Undo: detach and drop a new partition while it is empty; the next run makes it again.

    Args:
        table: A table from maintenance.yaml, as schema.name. Empty means every declared one.
        as_of: Decide as if it were this instant, in UTC where it names no zone. Empty means the database's now().
    """
    with flow_runtime():
        names = read_declaration().table_names(table)
        moment, seen = as_of_or_now(as_of), look_at_tables(names)
        # Quoted, or Prefect looks through every partition for results that are to come, 10 ms a table.
        return finish(each("create_partitions", names, lambda name: create_partitions_of(name, moment, quote(seen[name]))))
