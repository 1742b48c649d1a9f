"""How far a long step has come: said in the log now and then, and to whoever listens.

Belongs here: rate, time left, the sentence. Keep out: deciding what is counted, and any drawing (a listener draws).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from tasks.core.flowruns import log

#: Seconds between two sentences of one step in the log.
LOG_EVERY_S = 10.0


@dataclass(frozen=True)
class Progress:
    """One step's state: `done` of `total` things (None where nobody knows), `rate` per second."""

    step: str
    done: int
    total: int | None
    rate: float
    left: timedelta | None

    def __str__(self) -> str:
        of = f" of {self.total:,} ({self.done / self.total:.0%})" if self.total else ""
        left = f", {self.left.total_seconds():.0f} s left" if self.left else ""
        return f"{self.step}: {self.done:,}{of}, {self.rate:,.0f}/s{left}"


@dataclass
class _Step:
    started: float = field(default_factory=time.monotonic)
    said: float = field(default_factory=time.monotonic)


_steps: dict[str, _Step] = {}
_listeners: list[Callable[[Progress], None]] = []
_guard = threading.Lock()


def ignore(*_: object) -> None:
    """Stand in for whoever is told of progress or plans where nobody listens."""


def report(step: str, done: int, total: int | None) -> None:
    """Say that `step` has done `done` of `total`; safe from any thread, cheap to call for each unit."""
    with _guard:
        known = _steps.setdefault(step, _Step())
        now = time.monotonic()
        progress = _progress(step, done, total, now - known.started)
        is_time = now - known.said >= LOG_EVERY_S
        if is_time:
            known.said = now
        if total is not None and done >= total:
            del _steps[step]
    for listener in _listeners.copy():
        listener(progress)
    if is_time:
        log().info(str(progress))


def _progress(step: str, done: int, total: int | None, elapsed_s: float) -> Progress:
    rate = done / elapsed_s if elapsed_s > 0 else 0.0
    left = timedelta(seconds=(total - done) / rate) if total is not None and rate > 0 else None
    return Progress(step, done, total, rate, left)


@contextmanager
def listening(listener: Callable[[Progress], None]) -> Iterator[None]:
    """Call `listener` with every Progress of this process while the block runs."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)
