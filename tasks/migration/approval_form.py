"""The form in which Prefect asks a person to approve a cutover (design 9).

Belongs here: the form's fields, made from the declared sign-offs, and reading an answer.
Keep out: what makes an approval valid (`approval`) and the suspension itself (`flows/migrate.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext
from prefect.flow_runs import suspend_flow_run
from prefect.input import RunInput, keyset_from_paused_state
from prefect.states import Suspended
from pydantic import Field, create_model

from tasks.core.declaration import Migration
from tasks.core.shown import counted
from tasks.migration.approval import Request


class Answer(RunInput):
    """What a person decides about a cutover."""

    decision: Literal["approve", "refuse"] = Field(title="Decision", description="Refuse ends the run; nothing is changed.")
    name: str = Field(min_length=1, max_length=200, title="Your name")
    reason: str = Field(min_length=1, max_length=2000, title="Reason")


def form(sign_offs: Sequence[str]) -> type[Answer]:
    """Return the form with one checkbox per declared sign-off."""
    fields: dict[str, Any] = {
        name: (bool, Field(default=False, title=f"Sign-off: {name.replace('_', ' ')}", description="Needed to approve."))
        for name in sign_offs
    }
    return create_model("ApprovalForm", __base__=Answer, **fields)


def can_suspend() -> bool:
    """Say whether this is the top flow of a deployment's run: only that can be suspended and started again."""
    context = FlowRunContext.get()
    run = context.flow_run if context is not None else None
    return run is not None and run.deployment_id is not None and run.parent_task_run_id is None


def was_shown(request: Request) -> bool:
    """Say whether this run was suspended for `request` before and was resumed by its form."""
    run = _this_run()
    return run is not None and str(request.id) in (run.empirical_policy.pause_keys or ())


def former_answer(sign_offs: Sequence[str]) -> tuple[str, Answer] | None:
    """Return the id of the request that this run's newest answered form was for, and the answer; None where there is none."""
    run = _this_run()
    shown = (run.empirical_policy.pause_keys or ()) if run is not None else ()
    if run is None or not shown:
        return None
    keys = {keyset_from_paused_state(Suspended(pause_key=key))["response"]: key for key in shown}
    with get_client(sync_client=True) as client:
        stored = client.filter_flow_run_input(run.id, key_prefix="suspended-", limit=200, exclude_keys=set())
    answers = [entry for entry in stored if entry.key in keys]
    if not answers:
        return None
    newest = max(answers, key=lambda entry: entry.created or datetime.min.replace(tzinfo=UTC))
    return keys[newest.key], form(sign_offs).model_validate(newest.decoded_value)


def _this_run() -> FlowRun | None:
    """Return the flow run as the API has it now."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return None
    with get_client(sync_client=True) as client:
        return client.read_flow_run(context.flow_run.id)


def ask_person(migration: str, policy: Migration, request: Request) -> Answer:
    """Suspend this run until the form of `request` is answered; started again by it, return the answer.

    The key is the request's id: written before suspending and found again after the resume, so that each request gets
    an answer of its own.
    """
    description = (
        f"**Cutover of {migration}** to `{policy.target}`. Every gate so far let it pass, every row was compared. "
        f"This covers at most {counted(request.state.quarantined_rows, 'row')} in quarantine. Refusing changes nothing."
    )
    asked = form(policy.sign_offs).with_initial_data(description=description)
    timeout = int(policy.approval_valid.total_seconds())
    if not was_shown(request):
        _forget_form(str(request.id))
    return suspend_flow_run(wait_for_input=asked, timeout=timeout, key=str(request.id))


def _forget_form(key: str) -> None:
    """Delete what this run showed before a person cancelled and retried it: Prefect would refuse to show it again."""
    run = _this_run()
    if run is None:
        return
    with get_client(sync_client=True) as client:
        for stored in client.filter_flow_run_input(run.id, key_prefix=f"suspended-{key}", limit=10, exclude_keys=set()):
            client.delete_flow_run_input(run.id, stored.key)


def given_sign_offs(answer: Answer, sign_offs: Sequence[str]) -> tuple[str, ...]:
    """Return the sign-offs whose box was ticked."""
    return tuple(name for name in sign_offs if getattr(answer, name))
