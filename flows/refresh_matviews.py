"""Flow: refresh the declared materialized views (D7)."""

from __future__ import annotations

from prefect import flow

from tasks.core.connect import database_now
from tasks.core.declaration import read_declaration
from tasks.core.flowruns import each, flow_runtime, manual, publish, run_name
from tasks.upkeep.matview_rows import renewing
from tasks.upkeep.matviews import Refreshed, in_order, refresh
from tasks.upkeep.render import refreshed_table


@manual
@flow(flow_run_name=run_name("refresh", "matview", "every matview"))
def refresh_matviews(matview: str | None = None, force: bool = False) -> list[Refreshed]:  # noqa: FBT001, FBT002 (a form's field)
    """Refresh the materialized views that are due, in order of dependency.

    A filled view is refreshed CONCURRENTLY and stays readable; an unfilled one is filled for the first time. One
    view's failure does not stop the others; the run then ends failed and names it. Cost and age are recorded. What the
    cache held of events is forgotten, and the views' rows are put there anew.
    Undo: none needed; a failed refresh keeps the former content.

    Args:
        matview: A view from maintenance.yaml, as schema.name. Empty means every declared one.
        force: Refresh also what is not due yet.
    """
    with flow_runtime() as current:
        declaration, as_of = read_declaration(), database_now()
        names = list(declaration.matviews) if matview is None else [matview]
        if matview is not None:
            declaration.matview(matview)
        ordered = in_order(names, declaration)
        with renewing(current, declaration) as note:
            results = each("refresh_matviews", ordered, lambda name: note(refresh(name, declaration, as_of, force=force)))
        publish("refresh-matviews", refreshed_table(results))
        return results
