"""What every benchmark needs: turns, a process for each, ratios and medians, the table and its JSON.

Belongs here: nothing that knows what is measured. Keep out: contenders, and what the figures mean.
"""

from __future__ import annotations

import json
import operator
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import psycopg
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from tasks.core.settings import PROJECT, settings
from tests.demo.statements import run_from

ROOT = Path(__file__).parent / "sql"
#: Settings of a server that is measured: durable, and nothing at work beside the turn.
SETTINGS: Mapping[str, str] = {
    "shared_buffers": "2GB",
    "wal_level": "replica",
    "fsync": "on",
    "synchronous_commit": "on",
    "max_wal_size": "16GB",
    "checkpoint_timeout": "1h",
    "autovacuum": "off",
}
#: More rivals than these share a column: a terminal is narrow.
MOST_COLUMNS = 3
_COMPARE = {">=": operator.ge, "<=": operator.le, "<": operator.lt}


def run(conn: psycopg.Connection[Any], name: str, /, **values: object) -> psycopg.Cursor[Any]:
    """Execute `tests/bench/sql/<name>.sql` with the keywords its header names."""
    return run_from(ROOT, conn, name, **values)


def turns(names: Sequence[str], rounds: int) -> Iterator[tuple[int, str]]:
    """Yield (round, name) so that every name has one turn a round, each round beginning with the next name.

    What changes while a machine is measured then falls on every contender alike.
    """
    for number in range(rounds):
        first = number % len(names)
        yield from ((number, name) for name in (*names[first:], *names[:first]))


def median_ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the median of the ratios of each round, whose turns were taken close together."""
    return median(a / b for a, b in zip(ours, theirs, strict=True))


@dataclass(frozen=True)
class Goal:
    """What a figure is to be: `than` is one of >=, <= and <."""

    than: str
    value: float

    def is_met(self, figure: float) -> bool:
        """Say whether `figure` reaches it."""
        return bool(_COMPARE[self.than](figure, self.value))

    def __str__(self) -> str:
        return f"{self.than} {self.value:g}"


@dataclass(frozen=True)
class Figure:
    """One line of the table; `goal` and `met` are None where nothing is promised."""

    figure: str
    unit: str
    ours: float
    rivals: Mapping[str, float]
    goal: str | None = None
    met: bool | None = None


def judged(figure: str, unit: str, ours: float, rivals: Mapping[str, float], goal: Goal | None = None) -> Figure:
    """Return the line with its goal judged on the figure as it is shown."""
    shown = float(f"{ours:.3g}")
    others = {name: float(f"{value:.3g}") for name, value in rivals.items()}
    return Figure(figure, unit, shown, others, str(goal) if goal else None, goal.is_met(shown) if goal else None)


def print_table(console: Console, title: str, figures: Sequence[Figure]) -> None:
    """Print figure, ours, each rival, goal, and whether it is met; more than three rivals share one column."""
    rivals = list(dict.fromkeys(name for figure in figures for name in figure.rivals))
    is_shared = len(rivals) > MOST_COLUMNS
    table = Table("figure", title=title, title_justify="left", show_lines=is_shared)
    for name in ("ours", *(["rivals"] if is_shared else rivals), "goal"):
        table.add_column(name, justify="right")
    table.add_column("")
    for figure in figures:
        others = [_shared(figure)] if is_shared else [_shown(figure.rivals.get(name)) for name in rivals]
        verdict = {None: "", True: "met", False: "missed"}[figure.met]
        label = f"{figure.figure} ({figure.unit})" if figure.unit else figure.figure
        table.add_row(label, _shown(figure.ours), *others, figure.goal or "", verdict)
    console.print(table)


def _shared(figure: Figure) -> str:
    return "\n".join(f"{name} {_shown(value)}" for name, value in figure.rivals.items())


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"


def write_json(name: str, figures: Sequence[Figure], output: Path | None = None) -> Path:
    """Write the figures as a list of objects to `bench/<name>.json` below build/ (or `output`); returns the path."""
    path = (output or settings().maintenance_output / "bench") / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([asdict(figure) for figure in figures], indent=2) + "\n", encoding="utf-8")
    return path


class Drawn(Progress):
    """One live line: the turn that is taken, its rows, its time."""

    def __init__(self, console: Console) -> None:
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[counted]}"))
        super().__init__(*columns, TimeElapsedColumn(), console=console, transient=True)
        self.line, self.step = self.add_task("PostgreSQL", total=None, counted=""), ""

    def tell(self, step: str, done: int, total: int | None) -> None:
        """Draw; a new step begins a new line, and without a terminal is printed."""
        if step != self.step:
            self.step = step
            self.remove_task(self.line)
            self.line = self.add_task(step, total=total, counted="")
            if not self.console.is_terminal:
                self.console.print(step)
        self.update(self.line, completed=done, total=total, counted=f"{done:,}" if done else "")


def say(**fields: object) -> None:
    """Tell the process that started this one, in a line of JSON; one write, so that lines of two threads do not mix."""
    print(json.dumps(fields) + "\n", end="", flush=True)


def in_process(
    module: str, arguments: Sequence[str], environment: Mapping[str, str], on_line: Callable[[dict[str, Any]], None]
) -> dict[str, Any]:
    """Run `python -m module` to its end and return the last line it said; every earlier one is given to `on_line`.

    A process of its own has a memory of its own. Raises RuntimeError with what it wrote to stderr where it fails.
    """
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=PROJECT, env={**os.environ, **environment}
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        said: dict[str, Any] = {}
        for line in process.stdout:
            said = json.loads(line)
            on_line(said)
        complaint = process.stderr.read()
    if process.returncode != 0:
        raise RuntimeError(f"{module} {' '.join(arguments)} ended with {process.returncode}:\n{complaint}")
    return said


def peak_memory() -> int:
    """Return the most bytes of memory that this process has ever held at once, as the kernel knows it; 0 elsewhere."""
    status = Path("/proc/self/status")
    lines = status.read_text(encoding="utf-8").splitlines() if status.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)
