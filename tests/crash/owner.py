"""A process that owns a watchdog and says on standard output how far it is, for the tests to kill it there.

Run as `python -m tests.crash.owner DIRECTORY [busy] [fork] [stubborn] [prefect]`. Keep out: assertions.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

import psycopg

from tasks.core.embedded import EmbeddedServer, Watchdog, watchdog

FOREVER_S = 600


def main(directory: Path, wishes: list[str]) -> None:
    """Start what `wishes` name, say "ready" and wait for the end."""
    say("started")
    with watchdog(directory) as held:
        say("held")
        server = held.start_postgres(durable=False)
        say("serving")
        if "busy" in wishes:
            _keep_busy(server)
        if "fork" in wishes:
            _fork_a_child_that_keeps_the_pipe()
        if "prefect" in wishes:
            held.start_prefect()
        _start_a_plain_process(held, directory, ignores_sigterm="stubborn" in wishes)
        say("ready")
        time.sleep(FOREVER_S)


def say(word: str) -> None:
    """Write a word to the tests at once."""
    os.write(1, word.encode() + b"\n")


def _keep_busy(server: EmbeddedServer) -> None:
    """Let one backend compute and another sleep, neither of which looks at signals of its client."""
    for statement in ("select count(*) from generate_series(1, 2000000000)", "select pg_sleep(600)"):
        conn = psycopg.connect(server.dsn, autocommit=True)
        threading.Thread(target=conn.execute, args=(statement,), daemon=True).start()
    time.sleep(0.3)


def _fork_a_child_that_keeps_the_pipe() -> None:
    if os.fork() == 0:
        time.sleep(5)
        os._exit(0)


def _start_a_plain_process(held: Watchdog, directory: Path, *, ignores_sigterm: bool) -> None:
    ignore = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" if ignores_sigterm else ""
    argv = [sys.executable, "-c", f"{ignore} print('up', flush=True); import time; time.sleep({FOREVER_S})"]
    log = directory / "plain.log"
    held.start_process("plain", argv, {"BELONGS_TO": str(directory)}, log, grace_s=1)
    while not log.stat().st_size:
        time.sleep(0.01)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
