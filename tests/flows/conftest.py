"""Fixtures of the tests that need Prefect's pages, its deployments and a process worker.

Belongs here: deploying once per server, one worker that a test may kill, a small migration that is due.
Keep out: what single tests break.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tasks.core.connect import database_now, runtime
from tasks.core.declaration import read_declaration
from tasks.core.embedded import Watchdog
from tasks.core.settings import PROJECT
from tasks.partitions.create import ensure_partitions
from tests import conftest as shared
from tests.conftest import Server
from tests.declarations import SECOND, make_bills, make_second
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
    pages.pause(*pages.deployments())
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
        """Start it in a directory that is not the project's; what the test that does so declares is not the worker's."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("MAINTENANCE_")}
        environment = {
            **inherited,
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


#: A migration with two sign-offs, over months that end today.
BILLS_DECLARED = """span_from: P100D
    sign_offs: [dba, rollback_plan]
    grants: {authenticated: [select], service_role: [select, insert, update, delete]}"""
BILLS = "insert into shop.bills (customer, issued, cents) select 'c' || n, current_date - n, n from generate_series(1, 60) n"
#: Before the cutover no role of the application has a right on the target.
BILLS_CLOSED = "revoke all on accounts.invoices from authenticated, service_role"


@dataclass(frozen=True)
class Bills:
    """A database with bills to migrate, and the environment in which runs find it; set for this process too."""

    dsn: str
    env: dict[str, str]
    declaration: Path

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        with psycopg.connect(self.dsn) as conn:
            return conn.execute(query.encode()).fetchall()

    def change(self, statement: str) -> None:
        """Write as the application does."""
        with psycopg.connect(self.dsn, autocommit=True) as conn:
            conn.execute(statement.encode())

    def kind(self) -> str:
        """Return what stands under the old name: r for the table, v for the view."""
        return self.ask("select relkind::text from pg_class where oid = 'shop.bills'::regclass")[0][0]


@pytest.fixture
def bills(make_database: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bills:
    """Return a database with the second declaration's table, its runway and 60 bills, nothing of which is migrated."""
    shutil.copytree(SECOND, tmp_path / "second")
    file = tmp_path / "second" / "migration.yaml"
    declared = file.read_text(encoding="utf-8").replace("span_from: 2025-01-01T00:00:00Z", BILLS_DECLARED)
    file.write_text(declared, encoding="utf-8")
    dsn = make_database(sets=())
    env = {"DATABASE_URL": dsn, "MAINTENANCE_FILE": str(file), "MAINTENANCE_OUTPUT": str(tmp_path)}
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    make_second(dsn)
    make_bills(dsn)
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(BILLS_CLOSED)
        conn.execute(BILLS)
    with runtime():
        ensure_partitions("accounts.invoices", read_declaration(), database_now())
    return Bills(dsn, env, file)


@pytest.fixture
def declare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Return a function that puts a declaration in force in which one piece of the shipped one stands otherwise."""

    def put(old: str, new: str) -> None:
        shipped = (PROJECT / "maintenance.yaml").read_text(encoding="utf-8")
        assert old in shipped
        (tmp_path / "maintenance.yaml").write_text(shipped.replace(old, new), encoding="utf-8")
        monkeypatch.setenv("MAINTENANCE_FILE", str(tmp_path / "maintenance.yaml"))

    return put
