"""`make serve`: everything to try the flows by hand, until Ctrl-C: PostgreSQL with the legacy tables, Prefect, a worker.

Belongs here: what is started, in which order, and what is said about it. Keep out: telling a story (`story`).
Nothing is migrated: that is for the person to do, in Prefect's pages. The writer keeps writing meanwhile.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from types import FrameType

from tasks.core.embedded import DATA
from tasks.core.settings import PROJECT
from tests.demo.screen import Screen
from tests.demo.stage import Stage, fill, stage

ROWS, SEED, POOL = int(os.environ.get("ROWS") or 50_000), 20251108, "maintenance"
PREFECT = (sys.executable, "-m", "prefect")
#: A person takes a while to approve, and an approval covers only so many more rows in quarantine (`quarantine_allowance`).
REFUSED_SHARE = 0.002
#: Seconds that Prefect's own commands may take.
COMMAND_WAIT_S = 300


def main() -> int:
    """Start everything, say where it is, and wait; whatever ends this process ends all of it."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stopper(stop))
    screen = Screen()
    with screen.shown(), stage(DATA / "serve") as ready:
        url = _start(screen, ready)
        screen.say(_said(url, ready))
        while not stop.wait(1.0):
            if ready.held.exit_code("worker") is not None:
                screen.say(f"The worker has ended; its log is {ready.folder / 'worker.log'}")
                return 1
    return 0


def _stopper(stop: threading.Event) -> object:
    def end(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    return end


def _start(screen: Screen, ready: Stage) -> str:
    """Fill the tables while Prefect starts; apply the migrations, deploy, and start worker and writer."""
    as_of = datetime.now(UTC)
    with ThreadPoolExecutor(1) as pool:
        api = pool.submit(ready.held.start_prefect)
        with screen.step(f"five legacy tables, {ROWS:,} rows") as said:
            said.append(f"{sum(fill(ready, ROWS, SEED, as_of).values()):,} rows with every quirk")
        with screen.step("Prefect server started"):
            url = api.result()
    environment = {**os.environ, "PREFECT_API_URL": url, "DATABASE_URL": ready.dsn, "DO_NOT_TRACK": "1"}
    # What runs leave, a failed one's pickled exception among it, lies in .data like everything else, and goes with the next start.
    environment["PREFECT_HOME"] = str(ready.folder / "prefect")
    # Whoever presses Run looks at the page and waits: the worker asks for runs more often than every 15 s.
    environment["PREFECT_WORKER_QUERY_SECONDS"] = "2"
    with screen.step("schema migrations"):
        _run([sys.executable, "-m", "flows", "apply_migrations"], environment)
    with screen.step("flows deployed"):
        _run([*PREFECT, "work-pool", "create", POOL, "--type", "process"], environment)
        _run([*PREFECT, "deploy", "--all", "--no-prompt"], environment)
    with screen.step("worker and writer started"):
        argv = [*PREFECT, "worker", "start", "--pool", POOL, "--type", "process"]
        ready.held.start_process("worker", argv, environment, ready.folder / "worker.log")
        ready.start_writer(SEED, more=("--refused-share", str(REFUSED_SHARE)))
    return url


def _run(argv: list[str], environment: Mapping[str, str]) -> None:
    """Run a command of the project to its end; what it said is shown where it fails."""
    done = subprocess.run(
        argv,
        cwd=PROJECT,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=COMMAND_WAIT_S,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{' '.join(argv[1:])} failed:\n{done.stdout.decode()}{done.stderr.decode()}")


def _said(url: str, ready: Stage) -> str:
    return (
        f"\nPrefect: {url.removesuffix('/api')}/deployments\n"
        f"The connection string of the flows' role is in {_keep_dsn(ready)}\n"
        "An application is writing to the legacy tables. Ctrl-C ends everything; the next start begins anew, `make clean` frees the disk."
    )


def _keep_dsn(ready: Stage) -> str:
    """Write the connection string where only this user reads it: it holds a password."""
    place = ready.folder / "dsn"
    place.touch(mode=0o600)
    place.write_text(ready.dsn + "\n", encoding="utf-8")
    return str(place)


if __name__ == "__main__":
    sys.exit(main())
