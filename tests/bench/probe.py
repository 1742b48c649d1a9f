"""A reader or a writer at a fixed rate beside what is measured, in a process of its own, and its p99.

Belongs here: the schedule, the samples, percentiles of a window. Keep out: what is done meanwhile, and what it means.
A request counts from when it was due, not from when the one before it let it begin: a wait of a second is a hundred
slow requests, as it is for users, and not one.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import psycopg

from tasks.core.names import Relation
from tasks.core.settings import PROJECT
from tests.bench.common import run

Role = Literal["reader", "writer"]
ROLES: Sequence[Role] = ("reader", "writer")
#: Requests a second: enough for a p99 of one second, few enough to leave the processors to what is measured.
RATE = 100
#: An overloaded machine is behind by that much at most.
STOP_WAIT_S = 300.0


@dataclass
class Probes:
    """Both processes while they run, and after the block every request as (due, seconds it took)."""

    processes: Mapping[Role, subprocess.Popen[str]]
    samples: dict[Role, list[tuple[float, float]]] = field(default_factory=dict[Role, list[tuple[float, float]]])

    def p99(self, role: Role, window: tuple[float, float]) -> float:
        """Return the p99, in milliseconds, of what was due within the window; of the nearest requests where none was."""
        begin, end = window
        taken = [took for due, took in self.samples[role] if begin <= due <= end]
        return 1000 * percentile(taken or [took for _, took in self.samples[role][-1:]], 0.99)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that is no less than `share` of all."""
    ordered = sorted(values)
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


@contextmanager
def probing(dsn: str, table: str) -> Iterator[Probes]:
    """Read from and write to `table` as long as the block runs; the samples are there after it.

    Raises RuntimeError with what a probe wrote to stderr where it failed.
    """
    processes: dict[Role, subprocess.Popen[str]] = {role: _start(role, dsn, table) for role in ROLES}
    probes = Probes(processes)
    try:
        for process in processes.values():
            assert process.stdout is not None
            process.stdout.readline()
        yield probes
        for role, process in processes.items():
            probes.samples[role] = _stop(role, process)
    finally:
        for process in processes.values():
            process.kill()
            process.communicate()


def _start(role: Role, dsn: str, table: str) -> subprocess.Popen[str]:
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    command = [sys.executable, "-m", __name__, role, table]
    return subprocess.Popen(command, text=True, cwd=PROJECT, env={**os.environ, "PROBE_DSN": dsn}, **pipes)


def _stop(role: Role, process: subprocess.Popen[str]) -> list[tuple[float, float]]:
    said, complaint = process.communicate("", timeout=STOP_WAIT_S)
    if process.returncode != 0:
        raise RuntimeError(f"the {role} failed:\n{complaint}")
    return [(due, took) for due, took in json.loads(said)]


def now() -> float:
    """Return the clock that every process of this machine shares."""
    return time.monotonic()


def main(role: Role, table: str) -> None:
    """Ask at the fixed rate; once stdin is closed, only what was due by then is still asked. Say every sample at the end."""
    samples: list[tuple[float, float]] = []
    with psycopg.connect(os.environ["PROBE_DSN"], autocommit=True, prepare_threshold=None) as conn:
        ask = _question(conn, role, Relation.parse(table))
        ask()
        print("ready", flush=True)
        due, until = now(), float("inf")
        while due < until:
            until = min(until, _end(due))
            ask()
            samples.append((due, now() - due))
            due += 1 / RATE
    print(json.dumps(samples))


def _question(conn: psycopg.Connection[Any], role: Role, table: Relation) -> Callable[[], object]:
    def read() -> object:
        upper = datetime.now(UTC)
        return run(conn, "partitions/read", parent=table, lower=upper - timedelta(hours=1), upper=upper).fetchall()

    return read if role == "reader" else lambda: run(conn, "partitions/write", parent=table)


def _end(due: float) -> float:
    """Wait until the next request is due; return the present where stdin is closed, after which nothing new is due."""
    is_closed = bool(select.select([sys.stdin], [], [], max(0.0, due - now()))[0])
    return now() if is_closed else float("inf")


if __name__ == "__main__":
    main("reader" if sys.argv[1] == "reader" else "writer", sys.argv[2])
