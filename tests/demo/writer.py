"""The application: a process that keeps writing to the legacy tables and accounts for every commit.

    python -m tests.demo.writer --dsn-env NAME --ledger PATH --seed N [--rate 140] [--connections 2] [--max-operations N]

Belongs here: connections, pace, retries of 40001 (nothing else is retried), what is counted and where it can be read.
A small JSON file beside the ledger, `<ledger>.status`, is replaced each second and says what the last line will say.
SIGTERM and SIGINT let each transaction finish. Exit code 1 where any error other than a retried 40001 was seen.
Keep out: what is written (`operations`), and the ledger's format (`ledger`).
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import psycopg
from psycopg.errors import SerializationFailure
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, wait_random

from tests.demo.ledger import Change, LedgerFile
from tests.demo.legacy import VALIDATION_ZONE, shared_ids
from tests.demo.operations import Keys, Mix, Operation, Session, insert
from tests.demo.statements import run
from tests.demo.tables import LETTERS, TABLES, Table

SHARED_LETTERS = 4
MOST_TRIES = 20
MOST_ERRORS_KEPT = 20
STATUS_EVERY_S = 1.0
#: How far a thread that was held up may hurry to catch up.
MOST_ARREARS_S = 2.0


@dataclass
class Figures:
    """What has happened so far, shared by the threads."""

    started: float = field(default_factory=time.monotonic)
    kinds: Counter[str] = field(default_factory=Counter[str])
    rolled_back: int = 0
    retries: int = 0
    missed: int = 0
    error_count: int = 0
    errors: list[str] = field(default_factory=list)
    longest: dict[str, tuple[float, str]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def timed(self, statement: str) -> Iterator[None]:
        """Keep the longest time that a statement took, with the moment at which it began."""
        began, clock = datetime.now(UTC), time.monotonic()
        try:
            yield
        finally:
            took_ms = (time.monotonic() - clock) * 1000
            with self.lock:
                if took_ms > self.longest.get(statement, (-1.0, ""))[0]:
                    self.longest[statement] = (round(took_ms, 1), began.isoformat())

    def count(self, operation: Operation, missed: int) -> None:
        """Count a finished operation."""
        with self.lock:
            self.kinds[operation.kind] += 1
            self.rolled_back += operation.rolls_back
            self.missed += missed

    def count_retry(self, _: RetryCallState) -> None:
        """Count a 40001 that is tried again."""
        with self.lock:
            self.retries += 1

    def fail(self, kind: str, error: BaseException) -> None:
        """Count an error and print it; only the first ones are kept."""
        text = f"{datetime.now(UTC).isoformat()} {kind}: {getattr(error, 'sqlstate', None) or type(error).__name__}: {error}"
        sys.stderr.write(text + "\n")
        with self.lock:
            self.error_count += 1
            self.errors = [*self.errors, text][:MOST_ERRORS_KEPT]

    def summary(self) -> dict[str, Any]:
        """Return everything as JSON takes it."""
        with self.lock:
            elapsed, operations = time.monotonic() - self.started, self.kinds.total()
            longest = {name: {"ms": ms, "at": at} for name, (ms, at) in sorted(self.longest.items())}
            slowest = max(longest, key=lambda name: longest[name]["ms"], default=None)
            return {
                "at": datetime.now(UTC).isoformat(),
                "elapsed_s": round(elapsed, 2),
                "operations": operations,
                "per_second": round(operations / max(elapsed, 0.001), 1),
                "kinds": dict(self.kinds.most_common()),
                "rolled_back": self.rolled_back,
                "retries": self.retries,
                "missed": self.missed,
                "error_count": self.error_count,
                "errors": list(self.errors),
                "longest_wait": {"statement": slowest, **longest[slowest]} if slowest else None,
                "longest_wait_by_statement": longest,
            }


@dataclass
class Connection:
    """One session of the application: runs operations one by one, each with its account."""

    conn: psycopg.Connection[Any]
    ledger: LedgerFile
    figures: Figures
    stopping: threading.Event
    keys: Keys = field(default_factory=Keys)
    _changes: list[Change] = field(default_factory=list)
    _missed: list[tuple[str, str]] = field(default_factory=list)

    def run(self, name: str, **values: object) -> list[tuple[Any, ...]]:
        """Execute a statement of `sql/writer/`, timed, and return its rows."""
        relation = values.get("relation")
        with self.figures.timed(f"{name} {relation}" if relation else name):
            return run(self.conn, f"writer/{name}", **values).fetchall()

    def record(self, changes: Iterable[Change]) -> None:
        """Note what the transaction has done to rows."""
        self._changes.extend(changes)

    def miss(self, table: Table, keys: Iterable[str]) -> None:
        """Note rows that the statement did not find; they are left alone from now on."""
        self._missed.extend((str(table.relation), key) for key in keys)

    def wait(self, seconds: float) -> None:
        """Stay idle inside the transaction, unless the writer stops."""
        self.stopping.wait(seconds)

    def perform(self, operation: Operation) -> None:
        """Run an operation to its end; 40001 is tried again, any other error is counted and the writer goes on."""
        policy = Retrying(
            retry=retry_if_exception_type(SerializationFailure),
            stop=stop_after_attempt(MOST_TRIES),
            wait=wait_random(0, 0.05),
            before_sleep=self.figures.count_retry,
            reraise=True,
        )
        try:
            policy(self._attempt, operation)
        except psycopg.Error as error:
            self.figures.fail(operation.kind, error)

    def _attempt(self, operation: Operation) -> None:
        self._changes, self._missed = [], []
        try:
            operation.body(self)
            self._end(operation)
        finally:
            if not self.conn.closed:
                self.conn.rollback()
        missed = [] if operation.rolls_back else self._missed
        for table, key in missed:
            self.keys.forget(table, key)
        self.figures.count(operation, len(missed))

    def _end(self, operation: Operation) -> None:
        """Commit between intent and outcome; where the connection is lost in between, the intent stays in doubt."""
        if operation.rolls_back:
            return
        n = self.ledger.intend(operation.kind, self._changes)
        try:
            with self.figures.timed("commit"):
                self.conn.commit()
        except psycopg.Error as error:
            if error.sqlstate and not self.conn.closed:
                self.ledger.settle(n, "failed")
            raise
        self.ledger.settle(n, "committed")
        self.keys.apply(self._changes)


def insert_shared_letter(session: Session) -> None:
    """Insert a dead letter that every connection will count retries on."""
    insert(session, LETTERS, "dlq_table_insert", data='{"shared": true}')


@dataclass(frozen=True)
class Settings:
    """What the command line says."""

    dsn: str
    ledger: Path
    seed: int
    rate: float
    connections: int
    max_operations: int | None
    as_of: datetime | None
    days: int
    zone: str
    refused_share: float
    sample: int
    open_for: float
    open_every: float


class Writer:
    """All connections of the application and what they share."""

    def __init__(self, settings: Settings) -> None:
        """Connect, and learn which rows there are. Raises psycopg.Error where that fails."""
        self.settings = settings
        self.stopping = threading.Event()
        self.figures = Figures()
        self.ledger = LedgerFile(settings.ledger, settings.zone)
        # The last one keeps transactions open; the others hold the rate.
        self.connections = [self._connect() for _ in range(settings.connections + 1)]
        self.upper = settings.as_of or self._now
        self.lower = self.upper - timedelta(days=settings.days - 1)
        self.shared = self._insert_shared_letters()
        self._deal_rows()

    def _connect(self) -> Connection:
        conn = psycopg.connect(self.settings.dsn, application_name="legacy application")
        self._now = run(conn, "writer/session", zone=self.settings.zone).fetchall()[0][1].astimezone(UTC)
        conn.commit()
        return Connection(conn, self.ledger, self.figures, self.stopping)

    def _insert_shared_letters(self) -> list[str]:
        first = self.connections[0]
        for _ in range(SHARED_LETTERS):
            first.perform(Operation("insert shared", insert_shared_letter))
        shared = first.keys.choose(Random(0), LETTERS, SHARED_LETTERS)
        for key in shared:
            first.keys.forget(str(LETTERS.relation), key)
        return shared

    def _deal_rows(self) -> None:
        """Read a sample of the rows that are there, note it in the ledger, and give each row to one connection."""
        first = self.connections[0]
        values = {"seed": self.settings.seed, "most": self.settings.sample, "except": [*shared_ids(), *self.shared]}
        for table in TABLES:
            rows = run(first.conn, "writer/sample", relation=table.relation, **values).fetchall()
            first.conn.rollback()
            self.ledger.note_found(Change(str(table.relation), None, key, row) for key, row in rows)
            for n, (key, _) in enumerate(rows):
                self.connections[n % len(self.connections)].keys.add(str(table.relation), key)

    def mix(self, number: int) -> Mix:
        """Return the operations of one connection."""
        rng = Random(f"{self.settings.seed} {number}")
        keys = self.connections[number].keys
        return Mix(rng, keys, self.lower, self.upper, self.settings.refused_share, self.shared)

    def work(self, number: int) -> None:
        """Perform operations at this connection's share of the rate until the writer stops or the connection is lost."""
        connection, mix = self.connections[number], self.mix(number)
        interval = self.settings.connections / self.settings.rate
        due = time.monotonic()
        while not connection.conn.closed and not self.is_done():
            connection.perform(mix.next())
            due = max(due + interval, time.monotonic() - MOST_ARREARS_S)
            self.stopping.wait(max(0.0, due - time.monotonic()))

    def keep_open(self) -> None:
        """Perform a transaction that stays open, again and again."""
        connection, mix = self.connections[-1], self.mix(len(self.connections) - 1)
        while not connection.conn.closed and not self.stopping.is_set():
            connection.perform(mix.stay_open(self.settings.open_for))
            self.stopping.wait(self.settings.open_every)

    def run(self) -> int:
        """Write until told to stop; returns the exit code."""
        self.figures.started = time.monotonic()
        threads = [threading.Thread(target=self.work, args=(n,)) for n in range(self.settings.connections)]
        threads.append(threading.Thread(target=self.keep_open))
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads[:-1]):
            threads[0].join(STATUS_EVERY_S)
            self.publish(is_running=True)
        self.stopping.set()
        for thread in threads:
            thread.join()
        return self.close()

    def stop(self, *_: object) -> None:
        """Let every transaction finish, then end; a signal handler."""
        self.stopping.set()

    def is_done(self) -> bool:
        """Say whether the writer was stopped or has performed as many operations as it was to."""
        most = self.settings.max_operations
        return self.stopping.is_set() or (most is not None and self.figures.kinds.total() >= most)

    def publish(self, *, is_running: bool) -> dict[str, Any]:
        """Replace the status file; returns what it says."""
        status = {"is_running": is_running, **self.figures.summary()}
        path = self.settings.ledger.with_name(self.settings.ledger.name + ".status")
        fresh = path.with_name(path.name + ".new")
        fresh.write_text(json.dumps(status, indent=1) + "\n")
        fresh.replace(path)
        return status

    def close(self) -> int:
        """Write the summary to ledger, status and standard output, and disconnect; returns the exit code."""
        summary = self.publish(is_running=False)
        self.ledger.note("summary", **summary)
        self.ledger.close()
        for connection in self.connections:
            connection.conn.close()
        sys.stdout.write(json.dumps(summary) + "\n")
        return 1 if summary["error_count"] else 0


def read_settings(arguments: list[str]) -> Settings:
    """Read the command line; exits with a message where it is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.demo.writer", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--dsn-env", required=True, metavar="NAME", help="environment variable with the connection string")
    parser.add_argument("--ledger", required=True, type=Path, help="file to append to")
    parser.add_argument("--seed", required=True, type=int)
    parser.add_argument("--rate", type=float, default=140.0, help="operations a second, all connections together")
    parser.add_argument("--connections", type=int, default=2, help="beside the one that keeps transactions open")
    parser.add_argument("--max-operations", type=int, help="stop after about so many")
    parser.add_argument("--as-of", type=datetime.fromisoformat, help="end of the days written to; default: the server's now()")
    parser.add_argument("--days", type=int, default=120, help="how far back event times are moved")
    parser.add_argument("--zone", default=VALIDATION_ZONE, help="zone of the sessions, so of times without zone")
    parser.add_argument("--refused-share", type=float, default=0.05, help="share of event times that the new table refuses")
    parser.add_argument("--sample", type=int, default=600, help="rows a table that are there already and get changed")
    parser.add_argument("--open-for", type=float, default=5.0, help="seconds that a transaction is kept open")
    parser.add_argument("--open-every", type=float, default=10.0, help="seconds between two of them")
    given = vars(parser.parse_args(arguments))
    name = given.pop("dsn_env")
    if not os.environ.get(name):
        parser.error(f"the environment variable {name} is not set; give it the application's connection string")
    return Settings(dsn=os.environ[name], **given)


def main(arguments: list[str]) -> int:
    """Run the writer until a signal or the limit; returns the exit code."""
    writer = Writer(read_settings(arguments))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, writer.stop)
    return writer.run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
