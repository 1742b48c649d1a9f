"""Flow: report metadata outside the standard shape, and repair it when told (D6)."""

from __future__ import annotations

from functools import partial

from prefect import flow

from tasks.core.declaration import read_declaration
from tasks.core.flowruns import each, finish, flow_runtime, manual, run_name
from tasks.core.ledger import Deferred
from tasks.core.parameters import Safety
from tasks.upkeep.metadata import MetadataResult
from tasks.upkeep.steps import repair_metadata_in


@manual
@flow(flow_run_name=run_name("repair metadata", "table", "every table"))
def repair_metadata(table: str | None = None, safety: Safety = Safety()) -> list[MetadataResult | Deferred]:  # noqa: B008 (frozen)
    """Report the rows whose metadata is outside the standard shape, and why; with the brakes off, repair them.

    Repaired in batches, each committed with its record; nothing that a value held is lost, and what is within the shape is
    never touched. A CHECK on the column that is NOT VALID is validated once no row is left. One table's failure does not stop
    the others. A second run in a row plans nothing.
    Undo: none needed; what a row held stands in fields.

    Args:
        table: A table under metadata.columns in maintenance.yaml, as schema.name. Empty means every one.
        safety: Brakes. The default publishes what was found and changes nothing; `at_most` counts batches of a table.
    """
    with flow_runtime():
        names = read_declaration().metadata_tables(table)
        return finish(each("repair_metadata", names, partial(repair_metadata_in, safety=safety)))
