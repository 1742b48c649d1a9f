"""Two runs at once, beside a reader in a long transaction and a writer at full speed: nobody deadlocks, no write fails, no row is lost.

The writer gives up after WRITER_LOCK: a run that queued for a lock behind the reader for longer than its own budget would show
as an error of the writer, since the reader stays for longer than that. Waits are not asserted otherwise: machines differ.
"""

# ruff: noqa: S608 (statements are put together from this file's own names)
from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tasks.core.declaration import Declaration
from tasks.core.ledger import Deferred
from tasks.core.parameters import Safety
from tasks.partitions.coarsen import CoarseningResult, coarsen
from tasks.partitions.create import CreationResult, ensure_partitions
from tasks.partitions.retire import RetentionResult, retire
from tests.retention import AS_OF, DAY, TABLE, add_partition, add_rows, make_table

#: The longest wait that a writer accepts; the reader stays for longer, maintenance waits for 300 ms at a time.
WRITER_LOCK = "2s"
READER_S = 3.0
#: Where nothing takes ACCESS EXCLUSIVE the reader needs only to be in the way.
SHORT_S = 0.8
ROWS, DAYS, OLDER_DAYS = 5, range(-15, 2), range(-75, -15)
APPLY = Safety(apply=True, at_most=50)
DEFAULT = "create table app.rest partition of app.readings default; insert into app.readings (at, sensor) select '1999-01-01Z', 'x' from generate_series(1, 9)"

Result = CreationResult | RetentionResult | CoarseningResult | Deferred
Work = Callable[[], Result]


def declare(**more: Any) -> Declaration:
    cut = {"by": "at", "every": "day", "ahead": "P10D", "coarsen": {"after": "P5D", "to": "month"}}
    table = {"why": "w", "owner": "o", "partitioning": cut, **more}
    return Declaration.model_validate({"tables": {TABLE: table}})


RETAINED = {"retention": {"keep": "P10D", "grace": "P7D", "at_most_per_run": 50}}


def creating() -> Result:
    return ensure_partitions(TABLE, declare(), AS_OF)


def retiring() -> Result:
    return retire(TABLE, declare(**RETAINED), APPLY, AS_OF)


def coarsening() -> Result:
    return coarsen(TABLE, declare(), AS_OF, APPLY)


@pytest.fixture
def dsn(make_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    made = make_database(sets=())
    monkeypatch.setenv("DATABASE_URL", made)
    monkeypatch.setenv("MAINTENANCE_ARCHIVE", str(tmp_path))
    make_table(made, DAYS, rows=ROWS)
    return made


@dataclass
class Writer:
    """Writes into days that nobody takes away, as fast as it can, until it is told to stop."""

    dsn: str
    stop: threading.Event = field(default_factory=threading.Event)
    written: int = 0
    errors: list[psycopg.Error] = field(default_factory=list[psycopg.Error])

    def write(self) -> None:
        """Insert, update and read on a connection of its own; an error is kept, and it goes on."""
        with psycopg.connect(self.dsn, autocommit=True, application_name="the application") as conn:
            conn.execute(f"set lock_timeout = '{WRITER_LOCK}'".encode())
            while not self.stop.is_set():
                instant = AS_OF + random.uniform(-4, 1.9) * DAY
                try:
                    conn.execute("insert into app.readings (at, sensor) values (%s, 'w'), (%s, 'w')", [instant, instant])
                    self.written += 2
                    conn.execute("update app.readings set value = 1 where at = %s", [instant])
                except psycopg.Error as error:
                    self.errors.append(error)


@contextmanager
def traffic(dsn: str, reader_s: float) -> Iterator[Writer]:
    """Let a writer work and a reader hold its transaction open for so long while the block runs."""
    writer = Writer(dsn)
    with ThreadPoolExecutor(1) as pool, psycopg.connect(dsn, application_name="a long report") as reader:
        reader.execute("set transaction isolation level repeatable read")
        reader.execute("select count(*) from app.readings")
        end = threading.Timer(reader_s, reader.rollback)
        end.start()
        writing = pool.submit(writer.write)
        try:
            yield writer
        finally:
            writer.stop.set()
            writing.result()
            end.join()


def at_once(dsn: str, *works: Work, reader_s: float = READER_S) -> list[Result]:
    """Run all at the same moment beside the traffic; assert that nobody noticed, and return what each did."""
    rows = everywhere(dsn)
    gate = threading.Barrier(len(works))

    def one(work: Work) -> Result:
        gate.wait()
        return work()

    with traffic(dsn, reader_s) as writer, ThreadPoolExecutor(len(works)) as pool:
        results = list(pool.map(one, works))
    assert writer.errors == []
    assert writer.written > 0
    assert everywhere(dsn) == rows + writer.written
    with psycopg.connect(dsn) as conn:
        assert conn.execute("select deadlocks from pg_stat_database where datname = current_database()").fetchone() == (0,)
    return results


def everywhere(dsn: str) -> int:
    """Count the rows of the table and of every table that was detached from it."""
    with psycopg.connect(dsn) as conn:
        tables = "select oid::regclass::text from pg_class where relnamespace = 'app'::regnamespace and relkind = 'r' and not relispartition"
        names = [TABLE, *(name for (name,) in conn.execute(tables))]
        return sum(conn.execute(f"select count(*) from {name}".encode()).fetchall()[0][0] for name in names)


def done(results: list[Result], kind: type[Any]) -> list[Any]:
    return [result for result in results if isinstance(result, kind)]


def test_two_creations_at_once(dsn: str) -> None:
    results = at_once(dsn, creating, creating, reader_s=SHORT_S)

    made = done(results, CreationResult)
    assert sum(len(result.created) for result in made) == 8
    assert {type(result) for result in results} <= {CreationResult, Deferred}
    again = creating()
    assert isinstance(again, CreationResult)
    assert again.created == ()


@pytest.mark.parametrize("default", [False, True], ids=["concurrently", "with a default partition"])
def test_two_retentions_at_once(dsn: str, *, default: bool) -> None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(DEFAULT if default else "select")

    results = at_once(dsn, retiring, retiring, reader_s=READER_S if default else SHORT_S)

    (result,) = [one for one in done(results, RetentionResult) if one.detached]
    assert len(result.detached) == len(result.archived) == 5


def add_older_days(dsn: str) -> None:
    """Give the table enough past for a whole month."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        for day in OLDER_DAYS:
            add_partition(conn, day)
            add_rows(conn, day, ROWS)


def test_two_coarsenings_at_once(dsn: str) -> None:
    add_older_days(dsn)

    results = at_once(dsn, coarsening, coarsening)

    found = [*done(results, CoarseningResult), coarsening()]
    assert sum(len(result.merged) for result in found) == len(whole_months())
    assert all(result.given_up == () for result in found)


def whole_months() -> set[str]:
    """The months that lie wholly in the table's past and ended five days ago."""
    days = [AS_OF + n * DAY for n in (*OLDER_DAYS, *DAYS)]
    begun = {f"{day:%Y%m}" for day in days if day.day == 1}
    return {month for month in begun if any(f"{d:%Y%m}" > month and d.day == 1 and d <= AS_OF - 5 * DAY for d in days)}


@pytest.mark.parametrize("default", [False, True], ids=["concurrently", "with a default partition"])
def test_creation_beside_retention(dsn: str, *, default: bool) -> None:
    """A default partition is locked by both; creation waits in steps, and gets its turn."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(DEFAULT if default else "select")

    created, kept = at_once(dsn, creating, retiring, reader_s=READER_S if default else SHORT_S)

    assert isinstance(created, CreationResult)
    assert len(created.created) == 8
    assert isinstance(kept, RetentionResult)
    assert len(kept.archived) == 5


def test_creation_goes_on_while_a_detach_waits_for_a_reader(dsn: str) -> None:
    with ThreadPoolExecutor(1) as pool, psycopg.connect(dsn, application_name="a long report") as reader:
        reader.execute("select count(*) from app.readings")
        kept = pool.submit(retiring)
        wait_for_a_pending_detach(dsn)

        result = creating()

        assert not kept.done()
        reader.rollback()
        kept.result()
    assert isinstance(result, CreationResult)
    assert len(result.created) == 8
    assert len(result.pending) == 1


def wait_for_a_pending_detach(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        for _ in range(500):
            if conn.execute("select from pg_inherits where inhdetachpending").fetchone() is not None:
                return
            time.sleep(0.02)
    pytest.fail("no detach began")


def test_creation_beside_coarsening(dsn: str) -> None:
    add_older_days(dsn)

    created, _ = at_once(dsn, creating, coarsening)

    assert isinstance(created, CreationResult)
    assert len(created.created) == 8
    assert created.runway_until == AS_OF + 10 * DAY
