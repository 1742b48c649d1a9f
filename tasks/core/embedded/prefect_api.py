"""A Prefect server on sqlite with a home of its own, started from a copy of a migrated database.

Belongs here: its environment, waiting for its health, the copy.
Keep out: what clients of it set (PREFECT_API_URL, heartbeats).
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
import time
import urllib.error
import urllib.request
from contextlib import closing
from importlib.metadata import version as installed_version
from pathlib import Path

from tasks.core.embedded.owner import EmbeddedRefused, Owner, last_line
from tasks.core.embedded.postgres import free_port

START_WAIT_S = 120.0
NOT_INHERITED = ("PREFECT_", "DATABASE_", "SUPABASE_", "REDIS_", "PG")


class PrefectServer:
    """The server `name` of the owner's directory; `cache` keeps the migrated database by Prefect's version."""

    def __init__(self, owner: Owner, name: str, cache: Path) -> None:
        self.owner, self.name = owner, name
        self.home = owner.directory / name
        self.database = self.home / "prefect.db"
        self.template = cache / f"prefect-{installed_version('prefect')}.sqlite"
        self.log = owner.directory / f"{name}.log"

    def start(self, *, fresh: bool) -> str:
        """Start it and return its API URL once it answers; EmbeddedRefused with the reason."""
        if fresh:
            shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir(parents=True, exist_ok=True)
        is_new = not self.database.exists()
        if is_new and self.template.exists():
            shutil.copyfile(self.template, self.database)
        url = f"http://127.0.0.1:{self._launch()}/api"
        if is_new and not self.template.exists():
            self._keep_template()
        return url

    def _launch(self) -> int:
        port = free_port()
        # The server itself, not `prefect server start`: that one starts it as a child, which would outlive a kill.
        argv = [sys.executable, "-m", "uvicorn", "--factory", "prefect.server.api.server:create_app"]
        argv += ["--host", "127.0.0.1", "--port", str(port), "--timeout-keep-alive", "5", "--log-level", "warning"]
        self.owner.start_process(self.name, argv, self._env(port), self.log)
        deadline = time.monotonic() + START_WAIT_S
        while not _answers(f"http://127.0.0.1:{port}/api/health"):
            if self.owner.exit_code(self.name) is not None or time.monotonic() > deadline:
                reason = f"it did not answer within {START_WAIT_S:g} s: {last_line(self.log)}"
                raise EmbeddedRefused("The Prefect server", str(self.owner.directory), reason, f"The whole log is {self.log}.")
            time.sleep(0.1)
        return port

    def _env(self, port: int) -> dict[str, str]:
        """No settings of the user's Prefect, no secrets of the maintained database."""
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(NOT_INHERITED)}
        return {
            **inherited,
            "PREFECT_HOME": str(self.home),
            "PREFECT_API_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{self.database}",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
            # Its pages ask the API there; by default they would ask port 4200.
            "PREFECT_UI_API_URL": f"http://127.0.0.1:{port}/api",
            "DO_NOT_TRACK": "1",
            # As `prefect server start` does: one application per process, so it keeps no second copy of its routes.
            "PREFECT__SERVER_FINAL": "1",
        }

    def _keep_template(self) -> None:
        """Copy the migrated database through sqlite's own backup, which sees a consistent state while it is used."""
        self.template.parent.mkdir(parents=True, exist_ok=True)
        partial = self.template.with_suffix(f".{os.getpid()}.part")
        with closing(sqlite3.connect(self.database)) as source, closing(sqlite3.connect(partial)) as copy:
            source.backup(copy)
        partial.replace(self.template)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:  # noqa: S310 (our own http://127.0.0.1)
            return response.status == 200
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False
