"""The memory of this process and of everything below it, as the kernel accounts for it.

Belongs here: the peak of the sum of PSS over our Python processes. Keep out: judging it.
"""

from __future__ import annotations

import ctypes
import gc
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

EVERY_S = 0.5


def release() -> None:
    """Give back to the system what the last step has left: one process runs here what a worker's many would."""
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


class Peak:
    """The highest sum seen, in bytes; 0 where the kernel tells nothing (other systems than Linux)."""

    def __init__(self) -> None:
        self.bytes = 0

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Look twice a second while the block runs, at this process and every Python process that it started."""
        stop = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(stop,), daemon=True)
        watcher.start()
        try:
            yield
        finally:
            stop.set()
            watcher.join()

    def _watch(self, stop: threading.Event) -> None:
        while not stop.wait(EVERY_S):
            self.bytes = max(self.bytes, sum(_pss(process) for process in _family()))


def _family() -> list[Path]:
    """Return this process and its descendants that run Python; the watchdog's children are its own."""
    parents: dict[int, list[int]] = {}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError):
            parent = int((process / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])
            parents.setdefault(parent, []).append(int(process.name))
    found, todo = list[Path](), [os.getpid()]
    while todo:
        pid = todo.pop()
        todo += parents.get(pid, [])
        with suppress(OSError):
            if "python" in (Path("/proc") / str(pid) / "exe").readlink().name:
                found.append(Path("/proc") / str(pid))
    return found


def _pss(process: Path) -> int:
    with suppress(OSError):
        for line in (process / "smaps_rollup").read_text(encoding="utf-8").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0
