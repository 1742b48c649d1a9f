"""A process that saves sessions over connections of its own and says on standard output what was acknowledged.

Run as `python -m tests.crash.saver NAME THREADS SAVES`. Keep out: expectations (`test_sessions_kill`).
"""

from __future__ import annotations

import os
import sys
import threading

from tasks.core.connect import Kind, runtime, transaction
from tasks.core.declaration import Declaration, SessionSink, read_declaration
from tasks.upkeep.sessions import StaleSession, load, save

#: So few that two threads often meet in one.
SESSIONS = 15


def main(name: str, threads: int, saves: int) -> None:
    """Open one connection per thread, say "ready", then save; each line after that is `session version mark`."""
    sink = read_declaration().session_sink()
    barrier = threading.Barrier(threads + 1)
    with runtime():
        workers = [threading.Thread(target=_work, args=(sink, f"{name}.{n}", saves, barrier)) for n in range(threads)]
        for worker in workers:
            worker.start()
        barrier.wait()
        _say("ready")
        sys.stdin.readline()
        barrier.wait()
        for worker in workers:
            worker.join()


def _work(sink: SessionSink, name: str, saves: int, barrier: threading.Barrier) -> None:
    with transaction(Kind.READ):
        barrier.wait()
    barrier.wait()
    for number in range(saves):
        session_id = f"s{(hash(name) + number) % SESSIONS}"
        _say(f"{session_id} {_add(sink, session_id, f'{name}.{number}')} {name}.{number}")


def _add(sink: SessionSink, session_id: str, mark: str) -> int:
    """Append `mark` to what the session holds, again where somebody was faster; return the version that holds it."""
    while True:
        held = load(sink, session_id)
        marks = held.data["marks"] if held else []
        try:
            return save(sink, session_id, {"marks": [*marks, mark]}, version=held.version if held else 0).version
        except StaleSession:
            continue


def _say(line: str) -> None:
    os.write(1, line.encode() + b"\n")


def declaration() -> Declaration:
    """Return the shipped declaration with batches of three; here, since a test module takes DATABASE_URL away."""
    shipped = read_declaration()
    sink = shipped.session_sink().model_copy(update={"batch_rows": 3})
    return shipped.model_copy(update={"sinks": shipped.sinks.model_copy(update={"sessions": sink})})


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
