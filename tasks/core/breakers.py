"""A breaker per dependency: what is down is asked again after a while, not at every call (A8).

Belongs here: when a breaker opens, its probe, its state for the health report, kept where other processes see it.
Keep out: connecting itself, and which failure counts as the dependency being down (`classify`).
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import psycopg
from circuitbreaker import CircuitBreaker

from tasks.core.classify import classify
from tasks.core.errors import ErrorKind, Retryable
from tasks.core.settings import without_secrets
from tasks.core.sqlfiles import fetch, run

#: Kinds of failure that say that the dependency is down; a refusal of any other kind says that it is there.
DOWN = frozenset({ErrorKind.NETWORK, ErrorKind.QUOTA})
#: So many failures in a row open a breaker.
FAILURES = 5
#: How long it stays open. Prefect's last try comes about a minute after the first failure and so meets a probe.
PAUSE_S = 15


class Dependency(StrEnum):
    """What maintenance needs and does not run itself."""

    DATABASE = "database"
    STORAGE = "storage"
    REDIS = "redis"


@dataclass(eq=False)
class BreakerOpen(Retryable):
    """{dependency} has failed {failures} times in a row and is left alone for another {seconds} s. Last: {reason}"""

    dependency: str
    failures: int
    seconds: int
    reason: str

    failure = ErrorKind.NETWORK


@dataclass(frozen=True)
class BreakerState:
    """One breaker for the health report: closed, open or half_open; `since` is when it was seen to take this state, `seen_by` the process that saw it."""

    dependency: str
    address: str
    state: str
    failures: int
    since: datetime | None
    reason: str
    seen_by: str


class Breaker(CircuitBreaker):
    """The library's breaker, with one probe at a time, and with the reason and instant of its last change."""

    def __init__(self, dependency: Dependency, address: str) -> None:
        super().__init__(FAILURES, PAUSE_S, _is_down, dependency)
        self.dependency, self.address = dependency, address
        self.since: datetime | None = None
        self.reason = ""
        self.probing = threading.Lock()
        self.kept: BreakerState | None = None

    def describe(self) -> BreakerState:
        """Return the state as it is now."""
        seen_by = f"{socket.gethostname()}:{os.getpid()}"
        return BreakerState(self.dependency, self.address, self.state, self.failure_count, self.since, self.reason, seen_by)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Count the block's failure or success, and note when the breaker opens or closes."""
        was_closed = self.closed
        try:
            with self:
                yield
        except Exception as error:
            self.reason = without_secrets(str(error)) if _is_down(type(error), error) else ""
            raise
        finally:
            if self.closed != was_closed:
                self.since = datetime.now(UTC)


def _is_down(_kind: type[BaseException], error: BaseException) -> bool:
    return classify(error) in DOWN


_breakers: dict[tuple[Dependency, str], Breaker] = {}


def breaker_of(dependency: Dependency, address: str) -> Breaker:
    """Return this process's breaker of what runs at `address` (host and port; never a secret)."""
    return _breakers.setdefault((dependency, address), Breaker(dependency, address))


@contextmanager
def guarded(dependency: Dependency, address: str) -> Iterator[None]:
    """Let the block ask `dependency`; raises BreakerOpen at once while it is left alone.

    After the pause one caller asks as a probe while the others are still refused: its success closes the breaker, its
    failure opens it for another pause. Only failures of the kinds NETWORK and QUOTA count (A8).
    """
    breaker = breaker_of(dependency, address)
    require_closed(dependency, address)
    is_probe = not breaker.closed
    if is_probe and not breaker.probing.acquire(blocking=False):
        raise _refusal(breaker)
    try:
        with breaker.watched():
            yield
    finally:
        if is_probe:
            breaker.probing.release()


def note_success(dependency: Dependency, address: str) -> None:
    """Count an answer that came by a connection which was open already: failures are in a row no longer."""
    breaker = breaker_of(dependency, address)
    if breaker.failure_count:
        with breaker.watched():
            pass


def require_closed(dependency: Dependency, address: str) -> None:
    """Raise BreakerOpen while `dependency` is left alone: for calls that would only wait for somebody else's connection."""
    breaker = breaker_of(dependency, address)
    if breaker.opened:
        raise _refusal(breaker)


def _refusal(breaker: Breaker) -> BreakerOpen:
    where, seconds = f"{breaker.dependency} at {breaker.address}", max(1, breaker.open_remaining)
    return BreakerOpen(where, breaker.failure_count, seconds, breaker.reason)


def list_breakers() -> list[BreakerState]:
    """Return the state of every breaker of this process."""
    return [breaker.describe() for breaker in list(_breakers.values())]


def keep_breakers(conn: psycopg.Connection[Any]) -> None:
    """Write what has changed since the last call to maintenance.breaker, where other processes see it (A8).

    Called when a flow run ends: while the database itself is down nothing can be written, and its breaker's story is told
    once it is back.
    """
    for breaker in list(_breakers.values()):
        state = breaker.describe()
        if state != breaker.kept:
            run(conn, "core/record_breaker", **asdict(state))
            breaker.kept = state


def read_breakers(conn: psycopg.Connection[Any]) -> list[BreakerState]:
    """Return every breaker that any process has told of, this process's own as they are now (A8)."""
    mine = {(state.dependency, state.address): state for state in list_breakers()}
    for row in fetch(conn, "core/list_breakers"):
        told = BreakerState(**row)
        state = mine.setdefault((told.dependency, told.address), told)
        if state.since is None and state.state == told.state:
            mine[told.dependency, told.address] = replace(state, since=told.since)
    return [mine[key] for key in sorted(mine)]
