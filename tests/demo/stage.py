"""What the demo plays on: an embedded server, its database and roles, a Prefect server, the writer.

Belongs here: starting and stopping them under the watchdog. Keep out: what the story does with them.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg

from tasks.core.embedded import DATA, EmbeddedServer, Watchdog, watchdog
from tasks.core.progress import report
from tests.demo.legacy import create_legacy, generate
from tests.demo.statements import run

MAINTAINER, WRITER, DATABASE = "maintainer", "application", "demo"


@dataclass
class Stage:
    """Everything that runs, with the connection strings of its roles."""

    held: Watchdog
    server: EmbeddedServer
    folder: Path
    maintainer_password: str = field(default_factory=lambda: secrets.token_urlsafe(16), repr=False)
    writer_password: str = field(default_factory=lambda: secrets.token_urlsafe(16), repr=False)

    @property
    def dsn(self) -> str:
        """The role that the flows run as: it owns the database and is no superuser."""
        return self.server.dsn_for(DATABASE, MAINTAINER, self.maintainer_password)

    @property
    def ledger(self) -> Path:
        """Where the writer keeps what it committed."""
        return self.folder / "writer.ledger"

    def start_writer(self, seed: int, *, more: Sequence[str] = ()) -> None:
        """Start the application that keeps writing, as a process of its own under the watchdog."""
        environment = {**os.environ, "WRITER_DSN": self.server.dsn_for(DATABASE, WRITER, self.writer_password)}
        arguments = ["--dsn-env", "WRITER_DSN", "--ledger", str(self.ledger), "--seed", str(seed), *more]
        argv = [sys.executable, "-m", "tests.demo.writer", *arguments]
        self.held.start_process("writer", argv, environment, self.folder / "writer.log")

    def stop_writer(self) -> tuple[int, dict[str, Any]]:
        """Let the writer finish its transactions; returns its exit code and its summary."""
        code = self.held.stop("writer")
        lines = (self.folder / "writer.log").read_text(encoding="utf-8").splitlines()
        summary = next((json.loads(line) for line in reversed(lines) if line.startswith("{")), {})
        return code, summary


@contextmanager
def stage(folder: Path = DATA / "demo") -> Iterator[Stage]:
    """Start PostgreSQL with a fresh database under a watchdog; leaving the block, or dying in it, stops everything.

    What an earlier database archived goes: its files have the names that this one's will have.
    """
    with watchdog(folder) as held:
        for old in folder.glob("writer.*"):
            old.unlink()
        archive = folder / "archive"
        shutil.rmtree(archive, ignore_errors=True)
        os.environ["MAINTENANCE_ARCHIVE"] = str(archive.absolute())
        ready = Stage(held, held.start_postgres(fresh=True), folder)
        _create_database(ready)
        yield ready


def fill(ready: Stage, rows: int, seed: int, as_of: datetime) -> dict[str, int]:
    """Build the five legacy tables and fill them; returns rows by table."""
    with psycopg.connect(ready.dsn, autocommit=True) as conn:
        create_legacy(conn)
        return generate(conn, rows, seed, as_of, on_progress=_Filled(rows).advance)


class _Filled:
    """Counts generated rows over the tables."""

    def __init__(self, total: int) -> None:
        self.done, self.total = 0, total

    def advance(self, _table: str, rows: int) -> None:
        self.done += rows
        report("generate", self.done, self.total)


def _create_database(ready: Stage) -> None:
    with psycopg.connect(ready.server.dsn, autocommit=True) as conn:
        run(conn, "stage/create_maintainer", role=MAINTAINER, password=ready.maintainer_password)
        run(conn, "stage/create_database", database=DATABASE, owner=MAINTAINER)
    with psycopg.connect(ready.server.dsn_for(DATABASE), autocommit=True) as conn:
        run(conn, "legacy/roles")
        run(conn, "legacy/application_role", role=WRITER, password=ready.writer_password)
