"""The Prefect tasks of this room, thin: names for the run graph, retries of lost connections."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.core.declaration import Declaration
from tasks.core.flowruns import RETRY
from tasks.gates.on_demand import Validated, Validation, validate_one


@task(task_run_name="gate {asked}", cache_policy=NO_CACHE, **RETRY)
def ask_gate(asked: Validation, declaration: Declaration) -> Validated:
    """Ask one gate of one subject."""
    return validate_one(asked, declaration)
