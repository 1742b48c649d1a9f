"""A migration small enough to be read whole: two legacy tables, one target, the ledger filled by hand.

Belongs here: making it, copying and judging rows the plain way. Keep out: expectations of single tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import psycopg

from tasks.core.ledger import Deferred, run_exclusively
from tasks.core.sqlfiles import run
from tasks.migration.compare import ComparisonResult, compare

NAME = "small"
ORDERS, REFUNDS = 1, 2

COPY = """
insert into shop.moves (id, day, mood, doc, place, tags, price, span, bits, note, raw)
select f.id, f.day, f.mood, f.doc, f.place, f.tags, f.price, f.span, f.bits, f.note, f.raw
from old.orders as l cross join lateral maintenance.small_1_forward(l, '2025-03-01+00', '2025-07-01+00') as f
where f.reason is null
union all
select f.id, f.day, f.mood, f.doc, f.place, f.tags, f.price, f.span, f.bits, f.note, f.raw
from old.refunds as l cross join lateral maintenance.small_2_forward(l, '2025-03-01+00', '2025-07-01+00') as f
where f.reason is null
"""
REFUSE = """
insert into maintenance.quarantine (source_id, key, event_time, reason, legacy_row)
select 1, l.number::text, maintenance.source_instant(l.placed, 'Europe/Berlin'), f.reason, to_jsonb(l)
from old.orders as l cross join lateral maintenance.small_1_forward(l, '2025-03-01+00', '2025-07-01+00') as f
where f.reason is not null
union all
select 2, l.key::text, l.given, f.reason, to_jsonb(l)
from old.refunds as l cross join lateral maintenance.small_2_forward(l, '2025-03-01+00', '2025-07-01+00') as f
where f.reason is not null
"""


@dataclass(frozen=True)
class Small:
    """One test's database with it."""

    dsn: str

    def execute(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        """Execute one statement, or several without values, as the maintenance role."""
        with psycopg.connect(self.dsn, autocommit=True) as conn:
            run(conn, "core/session_settings")
            cursor = conn.execute(statement.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    def copy(self) -> None:
        """Copy what the mapping keeps and quarantine what it refuses."""
        self.execute(COPY)
        self.execute(REFUSE)

    def compare(self, sessions: int = 1) -> ComparisonResult:
        """Compare every row."""
        result = run_exclusively(
            "test",
            NAME,
            lambda started: compare(started, NAME, sessions=sessions, requires=None),
            overdue_after=timedelta(days=1),
            group="shop.moves",
        )
        assert not isinstance(result, Deferred)
        return result

    def kinds(self) -> dict[str, int]:
        """Return the numbers of each kind of difference."""
        return self.compare().kinds


def make_small(dsn: str) -> Small:
    """Create it in a database that has the schema maintenance; orders of every odd hour, refunds of every day."""
    small = Small(dsn)
    small.execute((Path(__file__).parent / "small.sql").read_text(encoding="utf-8"))
    small.execute(
        "insert into old.orders (number, placed, note) select n, timestamp '2025-03-28' + n * interval '20 minutes', 'note ' || n "
        "from generate_series(1, 300) as n"
    )
    small.execute(
        "insert into old.refunds select md5(n::text)::uuid, timestamptz '2025-06-01+00' + n * interval '5 hours', 'refund ' || n "
        "from generate_series(1, 100) as n"
    )
    small.copy()
    return small
