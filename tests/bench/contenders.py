"""The ways to load five tables into one that the benchmark of the backfill compares; one process takes one turn.

Belongs here: what each contender prepares, which is not measured, and what it then does, which is.
Keep out: servers, databases, rounds and figures (`backfill`).
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Literal

import psycopg

from tasks.core import sqlfiles
from tasks.core.connect import Kind, runtime, transaction
from tasks.core.declaration import Declaration, read_declaration
from tasks.core.ledger import Deferred
from tasks.core.names import Relation
from tasks.migration.backfill import backfill
from tasks.migration.prepare import prepare_migration
from tasks.migration.registry import Registered
from tasks.partitions.build import finish_partition
from tasks.partitions.catalog import read_parent
from tasks.partitions.create import ensure_partitions
from tests.bench.common import in_process, peak_memory, run, say
from tests.demo.legacy import shared_ids

MIGRATION, TABLE = "event_store", "unified.event_metric_events"
#: Generated rows end at this instant, so that every run measures the same rows.
AS_OF = datetime(2025, 11, 8, 12, tzinfo=UTC)
#: Rows of one key range.
RANGE_ROWS = 10_000

Indexes = Literal["narrow", "plan"]
#: What is built before a partition is attached, beside the primary key; every other index of the declaration is off.
BUILT: Mapping[Indexes, frozenset[str]] = MappingProxyType({
    "narrow": frozenset({"time", "type_time", "errors", "session"}),
    "plan": frozenset({"time_desc", "type_time", "category_time", "source_time", "severity_time", "text"}),
})  # fmt: skip


@dataclass(frozen=True)
class Contender:
    """`prepare(days)` makes everything that exists before the first row is loaded and returns what loads them."""

    title: str
    target: Relation
    prepare: Callable[[int], Callable[[], object]]


def declared(days: int, indexes: Indexes) -> Declaration:
    """Return the shipped declaration over `days`, with the indexes of one of the two sets."""
    shipped = read_declaration(sqlfiles.ROOT.parent / "maintenance.yaml")
    table, migration = shipped.tables[TABLE], shipped.migrations[MIGRATION]
    built = {f"event_metric_events_{name}" for name in BUILT[indexes]}
    if missing := built - table.indexes.keys():
        raise KeyError(f"not declared: {sorted(missing)}")
    chosen = {
        name: index.model_copy(update={"build": "before_attach" if name in built else "off"})
        for name, index in table.indexes.items()
    }
    spanned = migration.model_copy(update={"span_from": timedelta(days=days)})
    tables = {TABLE: table.model_copy(update={"indexes": chosen})}
    return shipped.model_copy(update={"tables": tables, "migrations": {MIGRATION: spanned}})


def ours(workers: int, indexes: Indexes) -> Contender:
    """Load as the product does: ledger, capture triggers, quarantine and collision check included."""

    def prepare(days: int) -> Callable[[], object]:
        declaration = declared(days, indexes)
        ensure_partitions(TABLE, declaration, AS_OF)

        def load() -> None:
            # The gate in front of the capture is not the copy: Great Expectations alone takes seconds and 250 MB.
            result = backfill(MIGRATION, declaration, AS_OF, workers=workers, on_progress=_progress, preflight=None)
            if isinstance(result, Deferred) or result.units_left:
                raise RuntimeError(f"the backfill is not complete: {result}")

        return load

    return Contender(f"ours, {workers} worker{'s' if workers > 1 else ''}, {indexes}", Relation.parse(TABLE), prepare)


def _progress(_step: str, done: int, total: int | None) -> None:
    say(done=done, total=total)


def by_the_plan() -> Contender:
    """Load with the plan's own statement, trigger and indexes into daily partitions that exist already."""
    target = Relation("plan", "event_metric_events")

    def prepare(days: int) -> Callable[[], object]:
        lower, upper = _span(days)
        with closing(_connect()) as conn:
            run(conn, "plan/schema")
            run(conn, "add_partitions", parent=str(target), lower=lower, upper=upper)
        zone = declared(days, "plan").migrations[MIGRATION].sources["monitoring.validation_metrics"].zone
        return lambda: _load_by_the_plan(lower=lower, upper=upper, zone=zone, doubled=shared_ids())

    return Contender("the plan", target, prepare)


def _load_by_the_plan(**values: object) -> None:
    with closing(_connect()) as conn:
        run(conn, "plan/load", **values)


def by_key_ranges() -> Contender:
    """Load through the parent in key ranges, a transaction each, with the product's mapping and the narrow indexes."""

    def prepare(days: int) -> Callable[[], object]:
        migration = _prepared(days)
        with closing(_connect()) as conn:
            run(conn, "add_partitions", parent=TABLE, lower=migration.span_from, upper=migration.span_to)
        return lambda: _load_by_key_ranges(migration)

    return Contender("key ranges", Relation.parse(TABLE), prepare)


def _load_by_key_ranges(migration: Registered) -> None:
    span = {"span_from": migration.span_from, "span_to": migration.span_to}
    with closing(_connect()) as conn:
        for source in migration.sources:
            names = {"target": migration.target.relation, "source": source.relation, "forward": source.forward}
            after: str | None = None
            for (until,) in run(conn, "ranges/bounds", source=source.relation, rows=RANGE_ROWS).fetchall():
                run(conn, "ranges/load", **names, **span, after=after, until=until)
                after = until


def _span(days: int) -> tuple[datetime, datetime]:
    """Whole days around the generated rows, those a little ahead of the clock included."""
    midnight = AS_OF.replace(hour=0)
    return midnight - timedelta(days=days), midnight + timedelta(days=2)


def _connect() -> psycopg.Connection[Any]:
    """Open a plain session of the maintenance role, each statement a transaction of its own."""
    return psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)


def limit() -> Contender:
    """Load two halves in two sessions, each one statement and then its indexes: what the server can do and nothing else."""
    target = Relation("bench_limit", "event_metric_events")

    def prepare(days: int) -> Callable[[], object]:
        migration = _prepared(days)
        first = migration.sources[0]
        with closing(_connect()) as conn:
            run(conn, "limit/schema", source=first.relation, forward=first.forward)
        middle = migration.span_from + timedelta(days=(days + 1) // 2)
        halves = {"earlier": (migration.span_from, middle), "later": (middle, migration.span_to)}

        def load() -> None:
            with ThreadPoolExecutor() as pool:
                loads = [pool.submit(_load_half, migration, target, *half) for half in halves.items()]
                for one in loads:
                    one.result()

        return load

    return Contender("two bare sessions", target, prepare)


def _load_half(migration: Registered, parent: Relation, name: str, bounds: tuple[datetime, datetime]) -> None:
    half = parent.sibling(name)
    sources = {f"source_{number}": source.relation for number, source in enumerate(migration.sources, 1)}
    forwards = {f"forward_{number}": source.forward for number, source in enumerate(migration.sources, 1)}
    span = {"span_from": migration.span_from, "span_to": migration.span_to, "lower": bounds[0], "upper": bounds[1]}
    with transaction(Kind.BULK) as conn:
        sqlfiles.run(conn, "migration/copy_settings")
        run(conn, "limit/load", half=half, **sources, **forwards, **span, doubled=shared_ids())
        finish_partition(conn, read_parent(conn, migration.target.relation), half)
        run(conn, "limit/join", half=half, parent=parent)


def _prepared(days: int) -> Registered:
    """Partitions ahead and the mapping's functions, with the narrow indexes, as the backfill finds them."""
    declaration = declared(days, "narrow")
    ensure_partitions(TABLE, declaration, AS_OF)
    with transaction(Kind.DDL) as conn:
        return prepare_migration(conn, MIGRATION, declaration, AS_OF)


CONTENDERS: Mapping[str, Contender] = MappingProxyType({
    "plan": by_the_plan(),
    "ours_2_narrow": ours(2, "narrow"),
    "ours_2_plan": ours(2, "plan"),
    "ours_1_narrow": ours(1, "narrow"),
    "key_ranges": by_key_ranges(),
    "limit": limit(),
})  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """One turn: seconds and bytes of WAL of the load alone, what it left on disk, the client's peak of memory."""

    seconds: float
    wal_bytes: int
    rows: int
    disk_bytes: int
    memory_bytes: int

    @property
    def rows_per_s(self) -> float:
        """Rows loaded per second."""
        return self.rows / self.seconds

    @property
    def wal_per_row(self) -> float:
        """Bytes of WAL per row loaded."""
        return self.wal_bytes / self.rows

    @property
    def disk_per_row(self) -> float:
        """Bytes on disk per row loaded, indexes included."""
        return self.disk_bytes / self.rows


def take_turn(name: str, dsn: str, days: int, on_line: Callable[[dict[str, Any]], None]) -> Measured:
    """Let one contender load into the database `dsn` in a process of its own; raises RuntimeError where it fails."""
    return Measured(**in_process(__name__, [name, str(days)], {"DATABASE_URL": dsn}, on_line))


def main(name: str, days: int) -> None:
    """Prepare, load, and say what was measured."""
    contender = CONTENDERS[name]
    with runtime(), closing(_connect()) as conn:
        load = contender.prepare(days)
        run(conn, "checkpoint")
        say(start=True)
        wal, begun = _wal_bytes(conn), time.monotonic()
        load()
        seconds, written = time.monotonic() - begun, _wal_bytes(conn) - wal
        memory = peak_memory()
        loaded = run(conn, "loaded", target=contender.target, name=str(contender.target)).fetchone()
        assert loaded is not None
        say(seconds=seconds, wal_bytes=written, rows=loaded[0], disk_bytes=loaded[1], memory_bytes=memory)


def _wal_bytes(conn: psycopg.Connection[Any]) -> int:
    row = run(conn, "wal_position").fetchone()
    assert row is not None
    return row[0]


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
