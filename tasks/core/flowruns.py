"""What every flow shares with Prefect: its runtime, what a failed run leaves, results, artifacts, run names, retries.

Belongs here: turning Deferred and failures into the state a person sees, publishing artifacts, looking at the run's own
state between units (design 13).
Keep out: rules and statements. Everything here also works without a Prefect run, for plain calls in tests.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import psycopg
from prefect import Flow, get_run_logger
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.context import FlowRunContext, TaskRunContext
from prefect.runtime import flow_run
from prefect.states import Cancelled as CancelledState
from prefect.states import Completed

from tasks.core.breakers import keep_breakers
from tasks.core.classify import is_retryable
from tasks.core.connect import Kind, Runtime, runtime, transaction
from tasks.core.declaration import read_declaration
from tasks.core.errors import MaintenanceError, Permanent, Unfinished
from tasks.core.failures import (
    Failure,
    deliver_failures,
    describe_failure,
    keep_failure,
    keep_waiting_failures,
    leave_failure,
)
from tasks.core.ledger import Deferred

F = TypeVar("F", bound=Flow[..., Any])
N = TypeVar("N")
R = TypeVar("R")


class Cancelled(Permanent):
    """This flow run was cancelled in Prefect; the unit in work was finished, the rest stays due."""


class _OneLine(logging.Filter):
    """Lets our own errors appear as the one line that they are: a traceback says nothing that the line does not."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep every record; in one that reports an error of ours put its message for its repr and traceback."""
        caught = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
        for error in (caught, *(record.args if isinstance(record.args, tuple) else ())):
            if isinstance(error, MaintenanceError):
                said, line = record.getMessage(), f"{type(error).__name__}: {error}"
                record.msg = said.replace(repr(error), line) if repr(error) in said else line
                record.args, record.exc_info = None, None
                break
        return True


for _name in ("prefect.flow_runs", "prefect.task_runs"):
    logging.getLogger(_name).addFilter(_OneLine())


def _retry_condition(_task: object, _run: object, state: State[Any]) -> bool:
    error = state.result(raise_on_failure=False)
    return isinstance(error, BaseException) and is_retryable(error)


#: For every task that touches the database: lost connections are Prefect's to retry, lock waits are `connect`'s.
RETRY: dict[str, Any] = {
    "retries": 3,
    "retry_delay_seconds": [2, 10, 60],
    "retry_jitter_factor": 0.5,
    "retry_condition_fn": _retry_condition,
}


@contextmanager
def flow_runtime() -> Iterator[Runtime]:
    """Open the runtime of a flow run; a run that fails in this block leaves one row in the declared sink (A4).

    The whole body of every flow stands in it. The run's own error goes on unchanged, whatever becomes of that row. A run
    that was killed leaves none: the ledger calls it abandoned.
    """
    is_open = False
    try:
        with runtime() as current:
            is_open = True
            with _keeping():
                yield current
            _settle()
    except Exception as error:
        if not is_open:
            _keep(error, leave_failure)
        raise


@contextmanager
def _keeping() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        _keep(error, keep_failure)
        _settle()
        raise


def _keep(error: Exception, keep: Callable[[Failure], None]) -> None:
    context = FlowRunContext.get()
    if isinstance(error, Cancelled) or context is None or context.flow_run is None or context.flow is None:
        return
    flow, parameters = context.flow.name.replace("-", "_"), context.parameters or {}
    keep(describe_failure(error, flow, str(context.flow_run.id), parameters))


def _settle() -> None:
    """Hand on what this and earlier runs have left: failures and the state of breakers. Never raises."""
    keep_waiting_failures()
    with suppress(MaintenanceError):
        deliver_failures(read_declaration())
    with suppress(MaintenanceError, psycopg.Error), transaction(Kind.READ) as conn:
        keep_breakers(conn)


def log() -> logging.Logger | logging.LoggerAdapter[logging.Logger]:
    """Return the flow run's logger, or an ordinary one outside a run."""
    return get_run_logger() if is_in_run() else logging.getLogger("maintenance")


def is_in_run() -> bool:
    """Say whether this code runs inside a Prefect flow or task run."""
    return FlowRunContext.get() is not None or TaskRunContext.get() is not None


def run_name(verb: str, parameter: str, every: str) -> Callable[[], str]:
    """Return a run-name function: `verb` and the flow's `parameter`, or `every` where it is empty.

    A flow with a `safety` parameter says `plan` or `APPLY` before the verb, one with `rehearse` that it rehearses, and one with
    ways which one: a glance at the list shows what was real.
    """

    def name() -> str:
        parameters: dict[str, Any] = flow_run.parameters or {}
        way = f" by {parameters['way']}" if "way" in parameters else ""
        return f"{_earnest(parameters)}{verb} {parameters.get(parameter) or every}{way}"

    return name


def _earnest(parameters: dict[str, Any]) -> str:
    safety: Any = parameters.get("safety")
    if safety is None:
        return "rehearse " if parameters.get("rehearse") else ""
    return "APPLY " if (safety.get("apply") if isinstance(safety, dict) else safety.apply) else "plan "


def manual(made: F) -> F:
    """Let the description of a flow, which is its docstring, read on Prefect's pages, where every end of a line breaks it."""
    text, _, args = (made.description or "").partition("\n\nArgs:\n")
    paragraphs = [" ".join(part.split()) for part in re.split(r"\n\n|(?=\bUndo: )", text)]
    parameters = [" ".join(part.split()) for part in re.split(r"^ {4}(?=\w)", args, flags=re.MULTILINE) if part]
    listed = ["\n".join("- `{}`:{}".format(*part.split(":", 1)) for part in parameters)] if parameters else []
    made.description = "\n\n".join([*paragraphs, *listed])
    return made


def flow_run_id() -> str | None:
    """Return the id of the current flow run for the ledger, None outside one."""
    context = FlowRunContext.get()
    return str(context.flow_run.id) if context is not None and context.flow_run is not None else None


def publish(key: str, markdown: str, *, title: str | None = None) -> None:
    """Log `markdown` and keep it as the artifact `key` (fixed keys, so that the UI shows their history)."""
    log().info(markdown)
    if FlowRunContext.get() is not None:
        create_markdown_artifact(markdown, key=key, description=title)


def publish_table(key: str, rows: list[dict[str, Any]], *, title: str | None = None) -> None:
    """Keep rows as the table artifact `key`; nothing outside a flow run, where the log has said it."""
    if FlowRunContext.get() is not None:
        create_table_artifact(rows, key=key, description=title)


def each(flow: str, names: Iterable[N], work: Callable[[N], R]) -> list[R]:
    """Do `work` for each name, one failure not stopping the others; raises Unfinished naming every failure.

    A single name's own error is raised as it is; Cancelled stops at once.
    """
    chosen, results, failures = list(names), list[R](), list[tuple[N, MaintenanceError]]()
    for name in chosen:
        stop_if_cancelled()
        try:
            results.append(work(name))
        except Cancelled:
            raise
        except MaintenanceError as error:
            log().error("%s: %s", name, error)
            failures.append((name, error))
    _raise_all(flow, failures, len(chosen))
    return results


def each_of(flow: str, done: Mapping[str, R | MaintenanceError]) -> list[R]:
    """Return what was done for all names at once; raises as `each` where an error stands in the place of a result."""
    failures = [(name, one) for name, one in done.items() if isinstance(one, MaintenanceError)]
    for name, error in failures:
        log().error("%s: %s", name, error)
    _raise_all(flow, failures, len(done))
    return [one for one in done.values() if not isinstance(one, MaintenanceError)]


def _raise_all(flow: str, failures: Sequence[tuple[object, MaintenanceError]], of: int) -> None:
    if len(failures) == 1 and of == 1:
        raise failures[0][1]
    if failures:
        raise Unfinished(flow=flow, failures="; ".join(f"{name}: {error}" for name, error in failures))


def finish(results: list[R], declares: str = "") -> Any:
    """Return `results`; where every one is Deferred, a Completed state named Deferred that carries them.

    Where there is none because nothing has the declaration's key `declares`, the state says so.
    """
    if not results and declares and is_in_run():
        return Completed(message=f"Nothing to do: maintenance.yaml gives no table {declares}.", data=results)
    deferred = [result for result in results if isinstance(result, Deferred)]
    if deferred and len(deferred) == len(results) and is_in_run():
        message = "; ".join(f"deferred: {d.subject}: {d.reason}" for d in deferred)
        return Completed(name="Deferred", message=message, data=results)
    return results


def finish_one(result: object) -> Any:
    """Return one result; a Deferred or a waiting one as a Completed state of that name, so that the run list shows it."""
    if not is_in_run():
        return result
    if isinstance(result, Deferred):
        return Completed(name="Deferred", message=f"deferred: {result.subject}: {result.reason}", data=result)
    if getattr(result, "outcome", None) == "waiting":
        return Completed(name="Waiting", message=getattr(result, "message", "waiting"), data=result)
    return result


def stop_if_cancelled() -> None:
    """Raise Cancelled where Prefect wants this flow run to stop; called between units, asks the API (design 13).

    A process worker ends the process itself; elsewhere Prefect would leave the run as Cancelling for good.
    """
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return
    with get_client(sync_client=True) as client:
        state = client.read_flow_run(context.flow_run.id).state
    if state is not None and (state.is_cancelling() or state.is_cancelled()):
        hooks = context.flow.on_cancellation_hooks if context.flow is not None else []
        if _end_as_cancelled not in hooks:
            hooks.append(_end_as_cancelled)
        raise Cancelled


def _end_as_cancelled(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Turn Cancelling into Cancelled: a hook, which the engine calls where it and no worker settles the run's end."""
    del flow, state
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(flow_run.id, CancelledState(message=str(Cancelled())))
