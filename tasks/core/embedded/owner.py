"""The owner's end of the watchdog: every request is answered by the watchdog process before it returns.

Belongs here: starting the watchdog process, the pipe, closing it, removing a directory that nobody holds.
Keep out: what is started (`postgres`, `prefect_api`).
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import selectors
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tasks.core.embedded.process import Order, lock, started_at
from tasks.core.errors import Permanent
from tasks.core.settings import PROJECT

#: Longest wait for an answer: an earlier watchdog of the same directory may still be stopping its servers.
ANSWER_WAIT_S = 60.0
#: How long a process may take to end after SIGTERM: long enough for a transaction of five seconds.
GRACE_S = 8.0
#: Where root puts the data of a directory that an unprivileged user cannot enter.
OUTSIDE = Path("/var/tmp")  # noqa: S108 (entered only after its owner was checked)


@dataclass(eq=False)
class EmbeddedRefused(Permanent):
    """{what} could not be started in {directory}: {reason}. {remedy}"""

    what: str
    directory: str
    reason: str
    remedy: str


class Owner:
    """One watchdog process and the pipe to it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._one_at_a_time = threading.Lock()
        program = Path(__file__).with_name("process.py")
        with (directory / "watchdog.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(program), str(directory), str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                cwd="/",
            )
        try:
            self._read_answer()
        except BaseException:
            self.close()
            raise

    def start(self, order: Order) -> int:
        """Start a process under the watchdog and return its pid."""
        return int(self._ask("start", **asdict(order))["pid"])

    def start_process(
        self,
        name: str,
        argv: Sequence[str],
        env: Mapping[str, str],
        log: Path,
        *,
        cwd: Path = PROJECT,
        grace_s: float = GRACE_S,
    ) -> int:
        """Start a process that SIGTERM ends within `grace_s`; children of its own must end with it. Return its pid."""
        return self.start(Order(name, argv, dict(env), str(log), str(cwd), ((signal.SIGTERM, grace_s),)))

    def exit_code(self, name: str) -> int | None:
        """Return how `name` ended, None while it runs."""
        return self._ask("status", name=name)["code"]

    def stop(self, name: str) -> int:
        """Stop one process in its own manner and return its exit code."""
        return int(self._ask("stop", name=name)["code"])

    def close(self) -> None:
        """Close the pipe and wait until the watchdog has stopped everything."""
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()
        try:
            self.process.wait(timeout=ANSWER_WAIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _ask(self, what: str, **request: object) -> dict[str, Any]:
        with self._one_at_a_time:
            try:
                os.write(_descriptor(self.process.stdin), json.dumps({"do": what, **request}).encode() + b"\n")
            except BrokenPipeError:
                raise self._gone() from None
            return self._read_answer()

    def _read_answer(self) -> dict[str, Any]:
        """Read one line of JSON; an error in it is raised as EmbeddedRefused."""
        answer, deadline = b"", time.monotonic() + ANSWER_WAIT_S
        with selectors.DefaultSelector() as selector:
            selector.register(_descriptor(self.process.stdout), selectors.EVENT_READ)
            while not answer.endswith(b"\n"):
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise self._refused(f"its watchdog did not answer within {ANSWER_WAIT_S:g} s", "Start again.")
                chunk = os.read(_descriptor(self.process.stdout), 65536)
                if not chunk:
                    raise self._gone()
                answer += chunk
        decoded: dict[str, Any] = json.loads(answer)
        if "error" in decoded:
            raise self._refused(decoded["error"], "End the other one, or use another directory.")
        return decoded

    def _gone(self) -> EmbeddedRefused:
        reason = "its watchdog has ended, and everything it had started with it"
        return self._refused(reason, f"See {self.directory}/watchdog.log and start again.")

    def _refused(self, reason: str, remedy: str) -> EmbeddedRefused:
        return EmbeddedRefused("A process", str(self.directory), reason, remedy)


def _descriptor(stream: Any) -> int:
    return int(stream.fileno())


def last_line(log: Path) -> str:
    """Return the last line of a log for a message."""
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() if log.exists() else []
    return lines[-1] if lines else "it said nothing"


def outside_place(directory: Path) -> Path:
    """Return where root puts the data of `directory` when an unprivileged user cannot enter that."""
    return OUTSIDE / f"postgres-maintenance-{hashlib.sha256(str(directory.resolve()).encode()).hexdigest()[:12]}"


def own_directory(root: Path) -> Path:
    """Name a new directory of this process below `root`; those of processes that have ended are removed on the way."""
    root.mkdir(parents=True, exist_ok=True)
    for path in root.glob("[0-9]*-*"):
        if started_at(int(path.name.partition("-")[0])) is None:
            remove(path)
    return root / f"{os.getpid()}-{secrets.token_hex(4)}"


def remove(directory: Path) -> bool:
    """Delete `directory` and the data that root kept outside it; False and nothing done where a watchdog holds it."""
    if not directory.is_dir():
        return True
    held = lock(directory, 0)
    if held is None:
        return False
    try:
        shutil.rmtree(outside_place(directory), ignore_errors=True)
        shutil.rmtree(directory)
    finally:
        os.close(held)
    return True


def remove_below(directory: Path) -> list[Path]:
    """Remove every watchdog's directory below `directory` that is not held; return those that are."""
    places = sorted({path.parent for path in directory.rglob("watchdog.lock")})
    return [place for place in places if not remove(place)]
