"""What a person sees while the demo runs: steps, rows, rate, time left; plain lines where there is no terminal.

Belongs here: drawing. Keep out: what is counted.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from tasks.core import progress
from tests.demo.memory import release


class Screen:
    """One console with one live display; steps that ended stay as lines above it."""

    def __init__(self) -> None:
        self.console = Console(soft_wrap=True, highlight=False)
        self.started = time.monotonic()
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[counted]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        self.live = Progress(*columns, console=self.console, transient=True)
        self.bars: dict[str, TaskID] = {}

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Draw until the block ends."""
        with self.live, progress.listening(self.advance):
            yield

    @contextmanager
    def step(self, title: str) -> Iterator[list[str]]:
        """Show `title` while the block runs; what is appended to the list stands behind it afterwards."""
        began, said = time.monotonic(), list[str]()
        bar = self.live.add_task(title, total=None, counted="")
        try:
            yield said
        finally:
            self.live.remove_task(bar)
            self._forget_bars()
            release()
        at = time.monotonic() - self.started
        self.console.print(f"{at:6.1f} s  {title:<34} {time.monotonic() - began:5.1f} s  {'; '.join(said)}", markup=False)

    def advance(self, now: progress.Progress) -> None:
        """Draw one Progress; called from any thread."""
        if now.step not in self.bars:
            self.bars[now.step] = self.live.add_task(f"  {now.step}", total=now.total, counted="")
        counted = f"{now.done:,}{f' of {now.total:,}' if now.total else ''}, {now.rate:,.0f}/s"
        self.live.update(self.bars[now.step], completed=now.done, total=now.total, counted=counted)

    def _forget_bars(self) -> None:
        for bar in self.bars.values():
            self.live.remove_task(bar)
        self.bars.clear()

    def table(self, title: str, rows: Sequence[tuple[str, str]]) -> None:
        """Print the final table."""
        table = Table(title=title, show_header=False, title_justify="left")
        table.add_column(style="bold")
        table.add_column(overflow="fold")
        for row in rows:
            table.add_row(*row)
        self.console.print(table)

    def say(self, text: str) -> None:
        """Print one line above the display."""
        self.console.print(text, markup=False)
