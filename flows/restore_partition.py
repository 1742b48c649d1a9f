"""Flow: bring an archived or detached partition back (D4)."""

from __future__ import annotations

from prefect import flow

from tasks.core.connect import database_now
from tasks.core.flowruns import finish_one, flow_runtime, manual, run_name
from tasks.core.ledger import Deferred
from tasks.partitions.restore import Restored
from tasks.partitions.steps import restore_partition_of


@manual
@flow(flow_run_name=run_name("restore", "partition", "a partition"))
def restore_partition(table: str, partition: str) -> Restored | Deferred:
    """Attach a partition again that retention has detached or dropped.

    One that waits is attached without a scan; one that was dropped is rebuilt from its Parquet file and compared with
    its manifest first. Closed, owned and indexed as its siblings are. A hold keeps it from being retired again at once
    (`retention.hold_restored`, 30 days by default). A partition that is attached already is left as it is.
    Undo: delete the hold from maintenance.hold; the next enforce_retention takes the partition again.

    Args:
        table: A table from maintenance.yaml, as schema.name.
        partition: The partition's name, with or without its schema.
    """
    with flow_runtime():
        return finish_one(restore_partition_of(table, partition, database_now()))
