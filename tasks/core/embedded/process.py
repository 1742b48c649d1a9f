"""The process that holds a pipe from its owner and stops everything it started when that pipe closes (design 12).

Belongs here: the process itself, standard library only, so that it starts at once and needs nothing of ours. It is run by
path in a session of its own; requests are lines of JSON on its standard input, answers lines on its standard output.
Keep out: what is started and why (`postgres`, `prefect_api`), and any import of ours.

Nothing outlives its owner: the owner's end by Ctrl-C, SIGTERM, SIGKILL or a crash closes the pipe; the watchdog's own death
reaches each child as its parent-death signal (Linux). What even so stayed is ended by the next start on the directory.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: How often the watchdog looks whether its owner has changed: a forked child of the owner may hold the pipe open.
OWNER_POLL_S = 0.5
#: How long a start waits for an earlier watchdog on the same directory to finish stopping.
LOCK_WAIT_S = 30.0
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Order:
    """A process to start; `stop` are pairs of a signal and the seconds it is given before the next, the last is SIGKILL."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    #: Appended to.
    log: str
    cwd: str
    stop: Sequence[tuple[int, float]]
    #: uid and gid where it is not to run as we do.
    user: tuple[int, int] | None = None
    #: What reaches it when the watchdog itself dies.
    death_signal: int = signal.SIGKILL


@dataclass
class Child:
    """A process that this watchdog started."""

    name: str
    process: subprocess.Popen[bytes]
    stop: Sequence[tuple[int, float]]
    deadline: float = 0.0
    pending: list[tuple[int, float]] = field(default_factory=list[tuple[int, float]])


class Guard:
    """Starts, stops and remembers children; one per directory, held by a file lock."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.children: dict[str, Child] = {}
        self.started: list[dict[str, Any]] = []

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Do what one line of the owner asks; errors travel back as text."""
        try:
            return getattr(self, f"_{request.pop('do')}")(**request)
        except (OSError, ValueError, KeyError, subprocess.SubprocessError) as error:
            return {"error": f"{type(error).__name__}: {error}"}

    def _start(self, **order: Any) -> dict[str, Any]:
        return {"pid": self.start(Order(**order))}

    def start(self, order: Order) -> int:
        """Start what `order` says and return its pid; ValueError where a process of that name runs."""
        if order.name in self.children and self.children[order.name].process.poll() is None:
            raise ValueError(f"{order.name} runs already")
        uid, gid = order.user or (None, None)
        with Path(order.log).open("ab") as output:
            process = subprocess.Popen(
                order.argv,
                env=order.env,
                cwd=order.cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=uid,
                group=gid,
                extra_groups=[] if order.user else None,
                # One thread here, and it must come after setuid, which clears the signal.
                preexec_fn=_die_with(os.getpid(), order.death_signal),  # noqa: PLW1509
            )
        self.children[order.name] = Child(order.name, process, order.stop)
        self._remember(process.pid)
        return process.pid

    def _status(self, name: str) -> dict[str, Any]:
        return {"code": self.children[name].process.poll()}

    def _stop(self, name: str) -> dict[str, Any]:
        child = self.children[name]
        self._end([child])
        del self.children[name]
        return {"code": child.process.returncode}

    def _remember(self, pid: int) -> None:
        """Keep pid and start time, so that the next start recognises exactly this process."""
        self.started.append({"pid": pid, "since": started_at(pid)})
        partial = self.directory / "processes.json.part"
        partial.write_text(json.dumps(self.started), encoding="utf-8")
        partial.replace(self.directory / "processes.json")

    def end_all(self) -> None:
        """Stop every child, all at once, each by its own escalation."""
        self._end(list(self.children.values()))
        (self.directory / "processes.json").unlink(missing_ok=True)

    def _end(self, children: list[Child]) -> None:
        for child in children:
            child.pending, child.deadline = [*child.stop, (signal.SIGKILL, 10.0)], 0.0
        alive = children
        while alive := [child for child in alive if child.process.poll() is None]:
            for child in alive:
                if child.pending and time.monotonic() >= child.deadline:
                    number, seconds = child.pending.pop(0)
                    child.deadline = time.monotonic() + seconds
                    _signal_group(child.process.pid, number)
            time.sleep(0.01)
        for child in children:
            _signal_group(child.process.pid, signal.SIGKILL)


def _signal_group(pid: int, number: int) -> None:
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        return


def _die_with(parent: int, number: int) -> Callable[[], None] | None:
    """Return what a new child runs before exec, so that it gets signal `number` when `parent` dies (Linux only)."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None, use_errno=True)

    def ask_the_kernel() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return ask_the_kernel


def started_at(pid: int) -> str | None:
    """Return when process `pid` started, as the system writes it; None when there is none."""
    stat = Path(f"/proc/{pid}/stat")
    if stat.exists():
        try:
            after_name = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            return None
        return None if after_name[0] == "Z" else after_name[19]
    ps = shutil.which("ps")
    if ps is None or Path("/proc/self/stat").exists():
        return None
    shown = subprocess.run([ps, "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return shown.stdout.strip() or None


def end_leftovers(directory: Path) -> None:
    """End the processes that an earlier watchdog of this directory left, recognised by pid and start time."""
    record = directory / "processes.json"
    if not record.exists():
        return
    try:
        entries = json.loads(record.read_text(encoding="utf-8"))
    except ValueError:
        entries = []
    for number, seconds in ((signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)):
        alive = [e["pid"] for e in entries if e["since"] is not None and started_at(e["pid"]) == e["since"]]
        for pid in alive:
            _signal_group(pid, number)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and any(started_at(pid) for pid in alive):
            time.sleep(0.02)
    record.unlink()


def lock(directory: Path, wait_s: float) -> int | None:
    """Lock `directory` for this process and return the lock's descriptor; None where another one holds it."""
    handle = os.open(directory / "watchdog.lock", os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                os.close(handle)
                return None
            time.sleep(0.05)
        else:
            return handle


def serve(guard: Guard, owner: int) -> None:
    """Answer requests until the pipe closes, the owner changes or a signal asks to stop."""
    stopping: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda received, _frame: stopping.append(received))
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    selector = selectors.DefaultSelector()
    selector.register(0, selectors.EVENT_READ)
    buffer = b""
    while not stopping and os.getppid() == owner:
        if not selector.select(OWNER_POLL_S):
            continue
        chunk = os.read(0, 65536)
        if not chunk:
            return
        *lines, buffer = (buffer + chunk).split(b"\n")
        for line in lines:
            _reply(guard.answer(json.loads(line)))


def _reply(answer: dict[str, Any]) -> None:
    try:
        os.write(1, json.dumps(answer).encode() + b"\n")
    except BrokenPipeError:
        return


def main(directory: Path, owner: int) -> int:
    """Hold `directory` until the owner is gone; 1 where another watchdog holds it."""
    handle = lock(directory, LOCK_WAIT_S)
    if handle is None:
        _reply({"error": "another process uses it"})
        return 1
    end_leftovers(directory)
    guard = Guard(directory)
    _reply({"ready": os.getpid()})
    try:
        serve(guard, owner)
    finally:
        guard.end_all()
        os.close(handle)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
