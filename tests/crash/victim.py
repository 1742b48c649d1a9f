"""A run in a process of its own that dies at a function named on the command line: `module function before|during|after n`.

Belongs here: the process. Keep out: expectations (`test_backfill_kill`, `test_index_kill`). Without a point it runs to its end.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
from typing import Any


def main(arguments: list[str]) -> None:
    """Patch the function, say that it begins, and run what WHAT names."""
    what, *point = arguments
    if point:
        arm(*point)
    sys.stdout.write("begun\n")
    sys.stdout.flush()
    _run(what)
    sys.stdout.write("ended\n")


def arm(module: str, name: str, when: str, number: str) -> None:
    """Let the `number`th call of the function kill this process, before it does anything, within half a second, or after it."""
    home = importlib.import_module(f"tasks.{module}")
    real = getattr(home, name)
    left = int(number)

    def armed(*args: Any, **kwargs: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0 and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        if left == 0 and when == "during":
            threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGKILL)).start()
        result = real(*args, **kwargs)
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(home, name, armed)


def _run(what: str) -> None:
    if what == "indexes":
        _rebuild_indexes()
    else:
        _backfill(what)


def _rebuild_indexes() -> None:
    from tasks.core.connect import database_now
    from tasks.core.declaration import read_declaration
    from tasks.partitions.rebuild import rebuild_indexes_of

    declaration = read_declaration()
    for table in declaration.tables:
        rebuild_indexes_of(table, declaration, database_now())


def _backfill(what: str) -> None:
    from tasks.core.connect import database_now
    from tasks.core.declaration import read_declaration
    from tasks.migration.backfill import backfill

    dsn = os.environ["DATABASE_URL"]
    from tests import migrating, ready  # their fixtures take DATABASE_URL away

    os.environ["DATABASE_URL"] = dsn
    if what == "bills":
        backfill(migrating.NAME, read_declaration(), migrating.AS_OF, workers=1, preflight=None)
    else:
        backfill(ready.NAME, ready.declaration(), database_now(), workers=2, preflight=None)


if __name__ == "__main__":
    main(sys.argv[1:])
