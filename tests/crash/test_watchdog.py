"""However the owner of embedded servers ends, and whenever: no process of its stays, and the next start is clean."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from tasks.core.embedded import DATA, remove, watchdog
from tasks.core.embedded.owner import outside_place
from tasks.core.embedded.postgres import unprivileged_user
from tasks.core.embedded.process import started_at
from tasks.core.settings import PROJECT
from tests.conftest import new_directory

pytestmark = [pytest.mark.crash, pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="reads /proc")]

#: Fast shutdown, immediate shutdown and the polls between them; usually it takes a tenth of this.
GONE_WITHIN_S = 15.0
ENDS = {"SIGKILL": signal.SIGKILL, "SIGTERM": signal.SIGTERM, "Ctrl-C": signal.SIGINT}

StartOwner = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def directory() -> Iterator[Path]:
    path = new_directory()
    yield path
    assert wait_until_nothing_of(path), f"left behind: {processes_of(path)}"
    assert remove(path)


@pytest.fixture
def start_owner(directory: Path) -> Iterator[StartOwner]:
    """Return a way to start an owner of `directory` and wait until it says a word."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*wishes: str, until: str = "ready") -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.crash.owner", str(directory), *wishes]
        process = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, start_new_session=True)
        started.append(process)
        assert process.stdout is not None
        for line in process.stdout:
            if line.decode().strip() == until:
                return process
        raise AssertionError(f"the owner ended with {process.wait()} before it said {until}")

    yield start
    for process in started:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def processes_of(directory: Path) -> dict[int, str]:
    """Return the processes whose command, directory or environment names `directory`, zombies left out."""
    needles = [str(directory).encode(), str(outside_place(directory)).encode()]
    found: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with suppress(OSError):
            command = (entry / "cmdline").read_bytes()
            seen = b" ".join((command, str((entry / "cwd").readlink()).encode(), (entry / "environ").read_bytes()))
            if any(needle in seen for needle in needles):
                found[int(entry.name)] = command.replace(b"\0", b" ").decode(errors="replace")
    return found


def wait_until_nothing_of(directory: Path) -> bool:
    deadline = time.monotonic() + GONE_WITHIN_S
    while processes_of(directory):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def data_of(directory: Path) -> Path:
    """Return where the cluster lies: not in `directory` where its user may not enter that."""
    outside = outside_place(directory)
    return (outside if outside.exists() else directory) / "postgres"


def wait_for_initdb(directory: Path) -> None:
    deadline = time.monotonic() + GONE_WITHIN_S
    while not (data_of(directory).with_suffix(".part") / "base").exists():
        assert time.monotonic() < deadline, "initdb was not seen at work"
        time.sleep(0.001)


def starts_cleanly(directory: Path) -> bool:
    with watchdog(directory) as held, psycopg.connect(held.start_postgres(durable=False).dsn) as conn:
        return conn.execute("select 1").fetchone() == (1,)


def the_watchdog_of(directory: Path) -> int:
    (pid,) = [pid for pid, command in processes_of(directory).items() if "process.py" in command]
    return pid


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("moment", ["held", "serving", "ready"])
def test_nothing_stays_when_the_owner_ends(start_owner: StartOwner, directory: Path, end: str, moment: str) -> None:
    owner = start_owner(until=moment)

    owner.send_signal(ENDS[end])

    owner.wait(timeout=GONE_WITHIN_S)
    assert wait_until_nothing_of(directory)
    assert starts_cleanly(directory)


@pytest.mark.parametrize("end", ENDS)
def test_nothing_stays_when_the_owner_ends_during_initdb(start_owner: StartOwner, directory: Path, end: str) -> None:
    owner = start_owner(until="held")
    wait_for_initdb(directory)

    owner.send_signal(ENDS[end])

    owner.wait(timeout=GONE_WITHIN_S)
    assert wait_until_nothing_of(directory)
    assert not data_of(directory).exists(), "half a cluster stands where a whole one belongs"
    assert starts_cleanly(directory)


def test_nothing_stays_when_the_owner_is_killed_at_random_moments(
    start_owner: StartOwner, directory: Path, *, full_loops: bool
) -> None:
    for _ in range(20 if full_loops else 4):
        owner = start_owner(until="started")
        time.sleep(random.uniform(0, 1.0))

        owner.kill()

        assert wait_until_nothing_of(directory)
    assert starts_cleanly(directory)


def test_backends_that_compute_end_with_the_owner(start_owner: StartOwner, directory: Path) -> None:
    owner = start_owner("busy")

    owner.kill()

    assert wait_until_nothing_of(directory)


def test_a_process_that_ignores_sigterm_ends_too(start_owner: StartOwner, directory: Path) -> None:
    owner = start_owner("stubborn")

    owner.kill()

    assert wait_until_nothing_of(directory)


def test_a_forked_child_that_keeps_the_pipe_open_does_not_keep_the_servers(start_owner: StartOwner, directory: Path) -> None:
    owner = start_owner("fork")
    watchdog_pid = the_watchdog_of(directory)

    owner.kill()
    owner.wait()

    deadline = time.monotonic() + 4  # the child lives for five seconds
    while watchdog_pid in processes_of(directory) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert watchdog_pid not in processes_of(directory)


@pytest.mark.parametrize("wishes", [(), ("busy",)], ids=["idle", "busy"])
def test_nothing_stays_when_the_watchdog_itself_is_killed(
    start_owner: StartOwner, directory: Path, wishes: tuple[str, ...]
) -> None:
    owner = start_owner(*wishes)

    os.kill(the_watchdog_of(directory), signal.SIGKILL)

    deadline = time.monotonic() + GONE_WITHIN_S
    while set(processes_of(directory)) != {owner.pid} and time.monotonic() < deadline:
        time.sleep(0.05)
    assert set(processes_of(directory)) == {owner.pid}
    owner.kill()
    owner.wait()
    assert starts_cleanly(directory)


def test_nothing_stays_when_the_watchdog_is_killed_during_initdb(start_owner: StartOwner, directory: Path) -> None:
    owner = start_owner(until="held")
    wait_for_initdb(directory)

    os.kill(the_watchdog_of(directory), signal.SIGKILL)

    assert owner.wait(timeout=GONE_WITHIN_S) == 1
    assert wait_until_nothing_of(directory)
    assert starts_cleanly(directory)


def test_an_asked_watchdog_stops_everything(start_owner: StartOwner, directory: Path) -> None:
    owner = start_owner()

    os.kill(the_watchdog_of(directory), signal.SIGTERM)

    owner.kill()
    owner.wait()
    assert wait_until_nothing_of(directory)


@pytest.mark.slow
@pytest.mark.xdist_group("flow")
def test_a_prefect_server_ends_with_its_owner(start_owner: StartOwner, directory: Path) -> None:
    owner = start_owner("prefect")
    assert any("create_app" in command for command in processes_of(directory).values())

    owner.kill()

    assert wait_until_nothing_of(directory)


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    """Return a process in a session of its own, of the user that servers run as."""
    uid, gid = unprivileged_user(DATA) or (None, None)
    groups = None if uid is None else list[int]()
    process = subprocess.Popen(["sleep", "600"], cwd="/", start_new_session=True, user=uid, group=gid, extra_groups=groups)
    yield process
    process.kill()
    process.wait()


def test_what_a_killed_watchdog_could_not_end_is_ended_by_the_next_start(
    directory: Path, bystander: subprocess.Popen[bytes]
) -> None:
    """Without a parent-death signal, as on other systems than Linux: pid and start time are on record."""
    directory.mkdir(parents=True)
    record = [{"pid": bystander.pid, "since": started_at(bystander.pid)}]
    (directory / "processes.json").write_text(json.dumps(record))

    with watchdog(directory):
        assert bystander.wait(timeout=GONE_WITHIN_S) < 0


def test_a_process_that_merely_has_the_recorded_pid_is_spared(directory: Path, bystander: subprocess.Popen[bytes]) -> None:
    directory.mkdir(parents=True)
    (directory / "processes.json").write_text(json.dumps([{"pid": bystander.pid, "since": "1"}]))

    assert starts_cleanly(directory)
    assert bystander.poll() is None


def test_a_stale_pid_file_with_the_pid_of_another_process_does_not_block(
    directory: Path, bystander: subprocess.Popen[bytes]
) -> None:
    assert starts_cleanly(directory)
    stale = data_of(directory) / "postmaster.pid"
    stale.write_text(f"{bystander.pid}\n{stale.parent}\n1700000000\n5432\n\n127.0.0.1\n  1 1\nready   \n")

    assert starts_cleanly(directory)
    assert bystander.poll() is None


def test_a_second_owner_waits_until_the_first_has_stopped(start_owner: StartOwner, directory: Path) -> None:
    start_owner().kill()

    assert starts_cleanly(directory)
