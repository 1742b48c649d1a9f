"""Fixtures of the tests that need Prefect's pages, its deployments and a process worker.

Belongs here: deploying once per server, one worker that a test may kill. Keep out: databases of single tests.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from tasks.core.embedded import Watchdog
from tasks.core.settings import PROJECT
from tests import conftest as shared
from tests.conftest import Server
from tests.flows.pages import Pages

PREFECT = (sys.executable, "-m", "prefect")
POOL = "maintenance"


@pytest.fixture
def pages(prefect_api: str) -> Pages:
    """Return Prefect's pages, as a person uses them."""
    return Pages(prefect_api)


@pytest.fixture(scope="session")
def deployed(prefect_api: str) -> Pages:
    """Deploy as the comment in prefect.yaml says; schedules are off, so that a test's worker runs nothing else."""
    environment = {**os.environ, "PREFECT_API_URL": prefect_api}
    for command in (("work-pool", "create", POOL, "--type", "process"), ("deploy", "--all", "--no-prompt")):
        done = subprocess.run(
            [*PREFECT, *command], cwd=PROJECT, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
    pages = Pages(prefect_api)
    for deployment in pages.deployments().values():
        pages.ask("POST", f"deployments/{deployment['id']}/pause_deployment")
    return pages


@dataclass
class Worker:
    """A process worker under the watchdog; `dsn` is the DATABASE_URL of its environment."""

    held: Watchdog
    api: str
    dsn: str
    output: Path
    pid: int = 0

    def start(self) -> None:
        """Start it in a directory that is not the project's."""
        environment = {
            **os.environ,
            "PREFECT_API_URL": self.api,
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            "DATABASE_URL": self.dsn,
            "MAINTENANCE_OUTPUT": str(self.output),
        }
        argv = [*PREFECT, "worker", "start", "--pool", POOL, "--type", "process"]
        self.pid = self.held.start_process("worker", argv, environment, self.log, cwd=self.output)

    @property
    def log(self) -> Path:
        """Where it and its runs write."""
        return self.output / "worker.log"

    def kill(self) -> None:
        """End it by SIGKILL, as a machine does that runs out of memory."""
        os.kill(self.pid, signal.SIGKILL)
        while self.held.exit_code("worker") is None:
            time.sleep(0.05)
        self.held.stop("worker")


@pytest.fixture(scope="session")
def worker(
    server: Server, deployed: Pages, the_watchdog: Watchdog, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Worker]:
    """Start a worker whose environment names an empty database of its own."""
    name = f"worker_{secrets.token_hex(5)}"
    with psycopg.connect(server.superuser_dsn, autocommit=True) as conn:
        shared._create_database(conn, name)
        started = Worker(the_watchdog, deployed.url, server.dsn_for(name), tmp_path_factory.mktemp("worker"))
        started.start()
        yield started
        the_watchdog.stop("worker")
        shared._drop_database(conn, name)
