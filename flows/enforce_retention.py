"""Flow: remove partitions that have outlived their retention (D4)."""

from __future__ import annotations

from datetime import datetime
from functools import partial

from prefect import flow

from tasks.core.connect import as_of_or_now
from tasks.core.declaration import read_declaration
from tasks.core.flowruns import each, each_of, finish, flow_runtime, manual
from tasks.core.ledger import Deferred
from tasks.core.parameters import Safety
from tasks.partitions.retire import RetentionResult
from tasks.partitions.steps import enforce_retention_of, plan_retention_of, retention_run_name


@manual
@flow(flow_run_name=retention_run_name)
def enforce_retention(
    table: str | None = None,
    safety: Safety = Safety(),  # noqa: B008 (frozen; the form shows it)
    as_of: datetime | None = None,
) -> list[RetentionResult | Deferred]:
    """Remove the partitions whose every row is past its table's retention.

    Each is detached, archived to Parquet and verified from that file, and dropped only after its grace period and only
    while its archive still holds exactly what the table does. Judged by the upper bound alone. A gap, a retention cut by
    more than half or a clock that jumped removes nothing; legal holds are rows of maintenance.hold.
    Undo: run restore_partition, while it waits or once it is dropped.

    Args:
        table: A table from maintenance.yaml, as schema.name. Empty means every one that declares a retention.
        safety: Brakes. The default publishes the plan and changes nothing.
        as_of: Decide as if it were this instant, in UTC where it names no zone. Empty means the database's now().
    """
    with flow_runtime():
        declaration = read_declaration()
        names = [name for name in declaration.table_names(table) if table or declaration.table(name).retention]
        moment = as_of_or_now(as_of)
        if safety.apply:
            results = each("enforce_retention", names, partial(enforce_retention_of, safety=safety, as_of=moment))
        else:
            results = each_of("enforce_retention", plan_retention_of(names, safety, moment))
        return finish(results, "a retention")
