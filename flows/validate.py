"""Flow: judge declared tables by their suites, on demand (M8)."""

from __future__ import annotations

from functools import partial

from prefect import flow

from tasks.core.declaration import read_declaration
from tasks.core.flowruns import each, flow_runtime, manual, publish, run_name
from tasks.gates.on_demand import Validated, plan_validation, render
from tasks.gates.steps import ask_gate


@manual
@flow(flow_run_name=run_name("validate", "table", "every table"))
def validate(table: str | None = None, suite: str | None = None) -> list[Validated]:
    """Judge declared tables by their suites and keep the verdicts.

    Facts of one read-only snapshot are collected and judged by Great Expectations; nothing but the ledger is written.
    Without a suite: `schema` for every table, `matviews` for every view, and the project's own suites. One failure does
    not stop the others; the run ends failed and names the expectations and the rows.
    Undo: none needed.

    Args:
        table: A table from maintenance.yaml, as schema.name. Empty means every declared one.
        suite: One suite, such as schema, matviews, custom, or preflight and integrity of the migrations into the table.
    """
    with flow_runtime():
        declaration = read_declaration()
        asked = plan_validation(declaration, table, suite)
        results = each("validate", asked, partial(ask_gate, declaration=declaration))
        publish("validate", render(results))
        return results
