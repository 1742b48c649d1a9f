"""Flow: report the indexes of every partition, and build what is missing or invalid (D5)."""

from __future__ import annotations

from functools import partial

from prefect import flow

from tasks.core.connect import database_now
from tasks.core.declaration import read_declaration
from tasks.core.flowruns import each, finish, flow_runtime, manual, run_name
from tasks.core.ledger import Deferred
from tasks.partitions.rebuild import RebuildResult
from tasks.partitions.steps import rebuild_indexes_on


@manual
@flow(flow_run_name=run_name("rebuild indexes", "table", "every table"))
def rebuild_indexes(table: str | None = None) -> list[RebuildResult | Deferred]:
    """Build the indexes that a table or one of its partitions lacks or has invalid, while it is read and written.

    Reports what is missing, invalid, left over from an interrupted build, duplicate, redundant or unused. Missing and
    invalid ones are built concurrently and attached, invalid left-overs removed; a valid index is never dropped, unused
    or not. One index's or table's failure does not stop the others. A second run in a row has nothing to do.
    Undo: drop the index that was built; the declaration builds it again unless it says `off`.

    Args:
        table: A table from maintenance.yaml, as schema.name. Empty means every declared one.
    """
    with flow_runtime():
        names, as_of = read_declaration().table_names(table), database_now()
        return finish(each("rebuild_indexes", names, partial(rebuild_indexes_on, as_of=as_of)))
