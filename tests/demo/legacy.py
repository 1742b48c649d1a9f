"""Build the five legacy tables and fill them with seeded rows.

Belongs here: the order of the statements, the split of the rows over the tables, what must end in quarantine.
The rows themselves are made set-wise in `sql/generate/`; odd JSON values stand in `documents.json`.
Keep out: writing while a migration runs (`writer`), anything of the new table.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import md5
from pathlib import Path
from types import MappingProxyType
from typing import Any
from uuid import UUID

import psycopg

from tests.demo.statements import names_of, run

#: Per table how many of 100 regular rows it gets.
SHARES = MappingProxyType(
    {"monitoring_events": 40, "validation_metrics": 10, "cache_metrics_monitoring": 20, "events": 25, "dlq_table": 5}
)

#: The zone of the server that wrote the validation metrics' times without zone.
VALIDATION_ZONE = "Europe/Berlin"

#: The reasons, in the words of the quarantine.
NULL_TIME = "event time is null"
INFINITE_TIME = "event time is infinite"
OUT_OF_SPAN = "event time is outside the span"
TEXT_TOO_LONG = "event_type is longer than 500 characters"
COLLISION = "collision with monitoring.monitoring_events"
RESERVED_ID = "id looks like one of maintenance's own"

#: Rows of `generate` that no span and no mapping can keep, by table and reason, whatever seed and number of rows.
#: Exact for a span that begins after 1999 and at or before `as_of - days`, and ends after `as_of + 1 day` and before 2999.
EXPECTED_QUARANTINE: Mapping[str, Mapping[str, int]] = MappingProxyType({
    "monitoring.monitoring_events": {INFINITE_TIME: 2, OUT_OF_SPAN: 6, RESERVED_ID: 2},
    "monitoring.validation_metrics": {INFINITE_TIME: 2, OUT_OF_SPAN: 6},
    "monitoring.cache_metrics_monitoring": {
        NULL_TIME: 3, INFINITE_TIME: 2, OUT_OF_SPAN: 6, COLLISION: 3, RESERVED_ID: 2,
    },
    "monitoring.events": {INFINITE_TIME: 2, OUT_OF_SPAN: 6, TEXT_TOO_LONG: 5},
    "monitoring.dlq_table": {NULL_TIME: 3, INFINITE_TIME: 2, OUT_OF_SPAN: 6},
})  # fmt: skip

#: Odd JSON values, as JSON: parsed by the server alone, so that 12.0 and 1e400 stay what they are.
DOCUMENTS = Path(__file__).with_name("documents.json")

#: Rows after which one more payload of a megabyte is added.
ROWS_PER_LARGE_PAYLOAD = 50_000
MOST_LARGE_PAYLOADS = 12

Progress = Callable[[str, int], None]


@dataclass(frozen=True)
class Load:
    """What decides every generated value."""

    rows: int
    seed: int
    as_of: datetime
    days: int
    zone: str

    @property
    def start(self) -> datetime:
        """The first generated instant."""
        return self.as_of - timedelta(days=self.days)

    @property
    def large_payloads(self) -> int:
        """How many payloads of a megabyte go with so many rows."""
        return max(1, min(MOST_LARGE_PAYLOADS, self.rows // ROWS_PER_LARGE_PAYLOAD))

    def values(self, names: Collection[str], **more: object) -> dict[str, object]:
        """Return the keywords `names` that a statement asks for."""
        known = {"start": self.start, "as_of": self.as_of, "seed": self.seed, "zone": self.zone, "large": self.large_payloads}
        return {name: value for name, value in {**known, **more}.items() if name in names}


def create_legacy(conn: psycopg.Connection[Any], *, view_writer: bool = False) -> None:
    """Create schema `monitoring` with the five empty tables, owned by the current role, in one transaction.

    `view_writer` adds production's view with an INSTEAD OF trigger, a dependant that a migration must have declared.
    """
    names = ["roles", "tables", "indexes", "record_event", "security", *(["view_writer"] if view_writer else [])]
    with conn.transaction():
        for name in names:
            run(conn, f"legacy/{name}")


def create_application_role(conn: psycopg.Connection[Any], role: str, password: str) -> None:
    """Create the login role of the application, or set its password where it exists; service_role's rights by membership."""
    with conn.transaction():
        run(conn, "legacy/application_role", role=role, password=password)


def generate(
    conn: psycopg.Connection[Any],
    rows: int,
    seed: int,
    as_of: datetime,
    days: int = 120,
    *,
    zone: str = VALIDATION_ZONE,
    chunk_rows: int = 50_000,
    on_progress: Progress | None = None,
) -> dict[str, int]:
    """Fill the five empty tables with `rows` regular rows over `[as_of - days, as_of)` and every quirk; returns rows per table.

    The same arguments give the same rows, whatever `chunk_rows`. Secondary indexes are dropped first and built at the end:
    a killed run leaves them missing. `on_progress` is told after each commit how many rows a table got.
    Raises ValueError for less than three days, which could not hold the quirks.
    """
    if days < 3:
        raise ValueError(f"days is {days}; the quirks need at least 3")
    load = Load(rows, seed, as_of, days, zone)
    split = split_rows(rows)
    _commit(conn, "legacy/drop_indexes")
    for table, regular in split.items():
        _load_regular(conn, load, table, regular, chunk_rows, on_progress)
    odd = _load_quirks(conn, load, split)
    _commit(conn, "legacy/indexes")
    _commit(conn, "generate/analyze")
    return {f"monitoring.{table}": split[table] + odd[table] for table in SHARES}


def split_rows(rows: int) -> dict[str, int]:
    """Split a number of regular rows over the tables by their shares; the first table takes what division leaves."""
    split = {table: rows * share // 100 for table, share in SHARES.items()}
    split["monitoring_events"] += rows - sum(split.values())
    return split


def shared_ids() -> list[str]:
    """Return the ids that rows of both uuid tables have: three with the same time (collisions), three with another."""
    digests = (md5(f"shared {n}".encode(), usedforsecurity=False).hexdigest() for n in range(1, 7))
    return [str(UUID(f"{digest[:12]}4{digest[13:16]}8{digest[17:]}")) for digest in digests]


def _commit(conn: psycopg.Connection[Any], name: str, **values: object) -> int:
    with conn.transaction():
        run(conn, "generate/utc")
        return run(conn, name, **values).rowcount


def _load_regular(
    conn: psycopg.Connection[Any], load: Load, table: str, total: int, chunk_rows: int, on_progress: Progress | None
) -> None:
    name = f"generate/{table}"
    microseconds = load.days * 86_400_000_000
    for first in range(1, total + 1, chunk_rows):
        last = min(first + chunk_rows - 1, total)
        chunk = {"first": first, "last": last, "total": total, "microseconds": microseconds}
        _commit(conn, name, **load.values(names_of(name), **chunk))
        if on_progress:
            on_progress(table, last - first + 1)


def _load_quirks(conn: psycopg.Connection[Any], load: Load, split: Mapping[str, int]) -> dict[str, int]:
    """Add the quirks of every table in one transaction; returns how many rows each got."""
    with conn.transaction():
        run(conn, "generate/utc")
        run(conn, "generate/prepare", documents=DOCUMENTS.read_text(), start=load.start, as_of=load.as_of)
        return {table: _add_quirks(conn, load, table, split[table]) for table in SHARES}


def _add_quirks(conn: psycopg.Connection[Any], load: Load, table: str, regular: int) -> int:
    name = f"generate/{table}_quirks"
    cursor = run(conn, name, **load.values(names_of(name), regular=regular))
    added = 0
    while True:
        added += cursor.rowcount if cursor.statusmessage and cursor.statusmessage.startswith("INSERT") else 0
        if not cursor.nextset():
            return added
