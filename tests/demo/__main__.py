"""`make demo`: the whole migration of a live event store on an embedded PostgreSQL, in about two minutes.

Belongs here: starting and ending the stage, the writer's account, the exit code.
Keep out: anything that a user's own run would not do too (`story`).
"""

from __future__ import annotations

import importlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from types import FrameType
from typing import Any

from tests.demo.quiet import ENVIRONMENT  # isort: skip (sets it before Prefect is imported)
from tests.demo.memory import Peak
from tests.demo.screen import Screen
from tests.demo.stage import Stage, fill, stage

ROWS, SEED = int(os.environ.get("ROWS") or 200_000), 20251108
MISSING = (
    "Not shown here: restore_partition, coarsen_partitions, rebuild_indexes, repair_metadata, expire_sessions, retire_legacy, and "
    "the way back called complete."
)


def main() -> int:
    """Play the story; returns 0 only where every step succeeded and the writer saw no error."""
    signal.signal(signal.SIGTERM, _end)
    os.environ.update(ENVIRONMENT)
    screen, peak = Screen(), Peak()
    with ExitStack() as stack:
        stack.enter_context(screen.shown())
        with screen.step("PostgreSQL started") as said:
            ready = stack.enter_context(stage())
            said.append(ready.server.version)
        os.environ["DATABASE_URL"] = ready.dsn
        stack.enter_context(peak.measured())
        rows, problems = play(screen, ready)
        report = _report()
    screen.table("What happened", [*rows, ("memory", f"{peak.bytes / 2**20:.0f} MB at most, every Python process")])
    screen.say(f"Report: {report}\n{MISSING}")
    for problem in problems:
        screen.say(f"Problem: {problem}")
    return 1 if problems else 0


def _end(_number: int, _frame: FrameType | None) -> None:
    sys.exit(143)


def play(screen: Screen, ready: Stage) -> tuple[list[tuple[str, str]], list[str]]:
    """Fill the legacy tables while Prefect starts and Great Expectations loads, then tell the story beside the writer."""
    as_of = datetime.now(UTC)
    with ThreadPoolExecutor(2) as pool:
        api = pool.submit(ready.held.start_prefect)
        loading = pool.submit(_load_slow_libraries)
        with screen.step(f"five legacy tables, {ROWS:,} rows") as said:
            said.append(f"{sum(fill(ready, ROWS, SEED, as_of).values()):,} rows with every quirk")
        ready.start_writer(SEED)
        with screen.step("Prefect server started"):
            url = api.result()
            loading.result()
    with _prefect(url):
        from tests.demo.story import tell, written

        rows = tell(screen, ready, as_of)
        with screen.step("the application's own account") as said:
            lines, problems = written(ready)
            said.append(problems[0] if problems else "equal to what its ledger says")
    return [*rows, *lines], problems


def _load_slow_libraries() -> None:
    """Import in a thread what takes seconds, while the server fills the tables."""
    for name in ("pandas", "expectations.phrases"):
        importlib.import_module(name)


@contextmanager
def _prefect(url: str) -> Iterator[None]:
    from prefect.settings import PREFECT_API_URL, PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    # A heartbeat costs a second per flow; here the watchdog ends everything anyway.
    updates: dict[Any, Any] = {PREFECT_API_URL: url, PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}
    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    with temporary_settings(updates):
        yield


def _report() -> str:
    from tasks.core.connect import database_now
    from tasks.gates.report import write_report
    from tests.demo.story import MIGRATION

    return str(write_report(MIGRATION, database_now()))


if __name__ == "__main__":
    threading.current_thread().name = "demo"
    sys.exit(main())
