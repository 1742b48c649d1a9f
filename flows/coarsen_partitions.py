"""Flow: merge closed partitions into longer ones (D2)."""

from __future__ import annotations

from datetime import datetime
from functools import partial

from prefect import flow

from tasks.core.connect import as_of_or_now
from tasks.core.declaration import read_declaration
from tasks.core.flowruns import each, each_of, finish, flow_runtime, manual, run_name
from tasks.core.ledger import Deferred
from tasks.core.parameters import Safety
from tasks.partitions.coarsen import CoarseningResult
from tasks.partitions.steps import coarsen_partitions_of, plan_merges_of


@manual
@flow(flow_run_name=run_name("coarsen", "table", "every table"))
def coarsen_partitions(
    table: str | None = None,
    safety: Safety = Safety(),  # noqa: B008 (frozen; the form shows it)
    as_of: datetime | None = None,
) -> list[CoarseningResult | Deferred]:
    """Merge partitions that ended long ago into one per month, or whatever length is declared.

    The long one is built beside the table from partitions that are watched meanwhile, compared by count and hash, and
    exchanged for them in one short transaction: readers see every row once at any moment. A range that is written to
    stays as it is. Fewer partitions mean fewer locks and shorter plans.
    Undo: none; the rows are the same, and retention takes the longer partition once its upper bound is old enough.

    Args:
        table: A table from maintenance.yaml, as schema.name. Empty means every one that declares partitioning.coarsen.
        safety: Brakes. The default publishes the plan and changes nothing.
        as_of: Decide as if it were this instant, in UTC where it names no zone. Empty means the database's now().
    """
    with flow_runtime():
        declaration = read_declaration()
        names = [name for name in declaration.table_names(table) if table or declaration.table(name).partitioning.coarsen]
        moment = as_of_or_now(as_of)
        if safety.apply:
            results = each("coarsen_partitions", names, partial(coarsen_partitions_of, safety=safety, as_of=moment))
        else:
            results = each_of("coarsen_partitions", plan_merges_of(names, safety, moment))
        return finish(results, "partitioning.coarsen")
