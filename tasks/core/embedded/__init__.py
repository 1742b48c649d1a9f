"""Servers of our own for the demo, the tests and `make serve`: PostgreSQL and Prefect under one watchdog (design 12).

Belongs here: the one way in, `with watchdog(directory) as held: held.start_postgres(...)`.
Keep out: any way to reach this without MAINTENANCE_EMBEDDED (`settings`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tasks.core.embedded.owner import EmbeddedRefused, Owner, own_directory, remove, remove_below
from tasks.core.embedded.postgres import Cluster, EmbeddedServer, bundled_binaries, free_port
from tasks.core.embedded.prefect_api import PrefectServer
from tasks.core.settings import PROJECT

__all__ = [
    "DATA",
    "EmbeddedRefused",
    "EmbeddedServer",
    "Watchdog",
    "bundled_binaries",
    "free_port",
    "own_directory",
    "prefect_server",
    "remove",
    "remove_below",
    "watchdog",
]

DATA = PROJECT / ".data"


class Watchdog(Owner):
    """Holds one directory; everything started through it ends with this process."""

    def start_postgres(
        self,
        name: str = "postgres",
        *,
        binaries: Path | None = None,
        settings: Mapping[str, str] | None = None,
        fresh: bool = False,
        durable: bool = True,
    ) -> EmbeddedServer:
        """Start the cluster `name` of this directory, made by initdb where it is absent or `fresh`.

        `durable=False` turns fsync off and stops the server without a checkpoint: for tests.
        Raises EmbeddedRefused with the remedy; nothing keeps running then.
        """
        cluster = Cluster(self, name, binaries or bundled_binaries(self.directory), durable=durable)
        return cluster.start(settings or {}, fresh=fresh)

    def start_prefect(self, name: str = "prefect", *, fresh: bool = True, cache: Path = DATA / "cache") -> str:
        """Start a Prefect server on sqlite with a home of its own in this directory; return its API URL.

        A migrated database is kept in `cache` and copied, which saves most of the start.
        Raises EmbeddedRefused where it does not answer in time.
        """
        return PrefectServer(self, name, cache).start(fresh=fresh)


@contextmanager
def watchdog(directory: Path) -> Iterator[Watchdog]:
    """Hold `directory` with a watchdog of its own; leaving the block stops everything that was started in it.

    An earlier watchdog of the same directory is waited for, and what it left is ended, before this returns.
    """
    directory = directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    held = Watchdog(directory)
    try:
        yield held
    finally:
        held.close()


@contextmanager
def prefect_server(root: Path = DATA / "flows") -> Iterator[str]:
    """Lend a Prefect server to this process alone and return its API URL; it and its runs are gone afterwards."""
    directory = own_directory(root)
    with watchdog(directory) as held:
        yield held.start_prefect()
    remove(directory)
