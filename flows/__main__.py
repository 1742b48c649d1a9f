"""`python -m flows [<flow> …]`: every flow from the shell, its parameters read from its own signature.

Belongs here: the adapter from a flow's signature to the command line, exit codes, the one readable error.
Keep out: anything a flow does. Flows are imported by name, only the one that is called.
"""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from cyclopts import App, CycloptsError
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from tasks.core.declaration import read_declaration
from tasks.core.errors import MaintenanceError
from tasks.core.settings import database_url
from tasks.core.shown import shown

FOLDER = Path(__file__).resolve().parent
#: What is no flow, since a person gives it at a terminal: where it stands, and what it does.
COMMANDS = {
    "approve": ("tasks.migration.approve", "Answer the open approval request of a migration."),
    "install_automations": ("tasks.health.automations", "Install automations.yaml in Prefect, or bring it up to date."),
}
#: Exit codes: 0 done (also deferred), 1 failed, 2 wrong call, 3 waiting for a person.
WRONG_CALL, WAITING = 2, 3


def list_flows() -> dict[str, str]:
    """Return each flow's name and the first line of its docstring, without importing any."""
    files = sorted(path for path in FOLDER.glob("*.py") if not path.name.startswith("_"))
    return {path.stem: _summary(path) for path in files}


def _summary(path: Path) -> str:
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef) and node.name == path.stem:
            return (ast.get_docstring(node) or "").split("\n", 1)[0]
    return ""


def main(arguments: list[str]) -> int:
    """Run one flow or one of COMMANDS, or list what there is; returns the exit code."""
    name, rest = (arguments[0].replace("-", "_"), arguments[1:]) if arguments else ("", [])
    flows = list_flows()
    if name in COMMANDS:
        module, _ = COMMANDS[name]
        return _guarded(lambda: _call(getattr(importlib.import_module(module), name), rest, name))
    if name in flows:
        return _guarded(lambda: _run_flow(name, rest))
    _print_list(flows)
    if name in {"", "__help", "_h"}:
        return 0
    _complain(f"There is no flow {arguments[0]}. Name one of the list.")
    return WRONG_CALL


def _print_list(flows: dict[str, str]) -> None:
    table = Table("flow", "what it does", title="python -m flows <flow> [--help]")
    for name, summary in flows.items():
        table.add_row(name, summary)
    for name, (_, summary) in COMMANDS.items():
        table.add_row(name, summary)
    Console().print(table)


def _guarded(call: Callable[[], int]) -> int:
    try:
        return call()
    except MaintenanceError as error:
        _complain(f"{type(error).__name__}: {error}")
        return error.exit_code


def _complain(line: str) -> None:
    Console(stderr=True, soft_wrap=True).print(line, markup=False, highlight=False)


def _run_flow(name: str, rest: list[str]) -> int:
    flow = getattr(importlib.import_module(f"flows.{name}"), name)
    return _call(flow, rest, name, nullcontext() if {"--help", "-h"} & set(rest) else _ready())


@contextmanager
def _ready() -> Iterator[None]:
    """Look at what every flow needs before a Prefect server is started for it."""
    database_url()
    read_declaration()
    with _prefect_api():
        yield


def _call(function: Any, rest: list[str], name: str, around: AbstractContextManager[None] | None = None) -> int:
    app = App(name=f"python -m flows {name}", version_flags=[])
    app.default(_plain(function))
    try:
        command, bound, _ = app.parse_args(rest, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        _complain(f"{name} was not started: {_reason(error)} See python -m flows {name} --help.")
        return WRONG_CALL
    with around or nullcontext():
        result: Any = command(*bound.args, **bound.kwargs)
    if result is not None:
        _print_result(result)
    return WAITING if getattr(result, "outcome", None) == "waiting" else 0


def _reason(error: CycloptsError) -> str:
    """Return what is wrong with a call in one line; pydantic's own text has four."""
    if not isinstance(error.__cause__, ValidationError):
        return str(error)
    wrong = (f"{'.'.join(map(str, e['loc']))} is {e['input']}: {e['msg']}." for e in error.__cause__.errors())
    return " ".join(wrong)


def _print_result(result: Any) -> None:
    """Print what a flow returned, a YAML document each; what was put off or waits as the sentence that says so."""
    items: list[Any] = result if isinstance(result, list) else [result]
    between = "" if all(isinstance(item, str) for item in items) else "---\n"
    sys.stdout.write(between.join(f"{_text(item)}\n" for item in items))


def _text(item: Any) -> str:
    match getattr(item, "outcome", None):
        case "deferred":
            return f"deferred: {item.subject}: {item.reason}"
        case "waiting":
            return str(item.message)
        case _:
            return item if isinstance(item, str) else shown(item).rstrip("\n")


def _plain(function: Any) -> Any:
    """Give cyclopts an ordinary function with the flow's signature and docstring."""
    import functools

    inner = getattr(function, "fn", function)

    @functools.wraps(inner)
    def command(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return command


@contextmanager
def _prefect_api() -> Iterator[None]:
    """Use the configured Prefect API; without one say so, and lend a server that ends with this command (design 13)."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    if PREFECT_API_URL.value():
        with _sent():
            yield
        return
    from tasks.core.embedded import prefect_server

    console = Console(stderr=True)
    console.print("PREFECT_API_URL is not set: starting a Prefect server for this command alone (about 20 s).")
    with prefect_server() as url, temporary_settings({PREFECT_API_URL: url}), _sent():
        yield


@contextmanager
def _sent() -> Iterator[None]:
    """Send what Prefect still holds of logs and events before the server may go and the last line is printed."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    try:
        yield
    finally:
        APILogWorker.instance().drain()
        EventsWorker.drain_all()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
