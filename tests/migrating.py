"""A migration of one small legacy table, and what must be true of it at rest, said without the project's mapping.

Belongs here: the scene (declaration `second` with its bills), running backfill and drain on it, the independent comparison.
Keep out: expectations of single tests.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import psycopg
import pytest
from psycopg import sql

from tasks.core.connect import Kind, runtime, transaction
from tasks.core.declaration import Declaration, read_declaration
from tasks.core.ledger import Deferred, Run, run_exclusively
from tasks.core.names import Relation
from tasks.core.sqlfiles import run
from tasks.migration.backfill import BackfillResult, attached_bounds, backfill, current
from tasks.migration.copy import Work
from tasks.migration.drain import Batch, drain_batch
from tasks.migration.registry import Registered
from tasks.partitions.catalog import read_parent
from tasks.partitions.create import ensure_partitions
from tests import conftest as shared
from tests.conftest import Server
from tests.declarations import SECOND_MIGRATION, make_bills, make_second

T = TypeVar("T")

NAME, TABLE, LEGACY = "bills", "accounts.invoices", "shop.bills"
AS_OF = datetime(2025, 6, 15, 12, tzinfo=UTC)

#: What the invoices must be, written by hand: no function of the project is called.
EXPECTED = """
select bill_no::bigint, issued, customer::text, round(cents / 100.0, 2)::numeric(12, 2), 'EUR', due, paid, remark, cents
from shop.bills where issued >= '2025-01-01' and issued < '2025-09-01' and cents >= 0
"""
FOUND = """
select number, issued_on, customer, amount, currency, due_on, paid_on, note, amount_in_cents from accounts.invoices
"""
REFUSED = """
select bill_no::text, case
    when issued is null then 'issued is null' when not isfinite(issued) then 'issued is infinite'
    when issued < '2025-01-01' or issued >= '2025-09-01' then 'issued is outside the span' else 'amount is negative'
end, to_jsonb(bills)
from shop.bills where (issued >= '2025-01-01' and issued < '2025-09-01' and cents >= 0) is not true
"""
QUARANTINED = "select key, reason, legacy_row from maintenance.quarantine"


def difference(conn: psycopg.Connection[Any], first: str, second: str) -> list[tuple[Any, ...]]:
    """Return what is in one and not the other, doubles counted; rows of `first` come with `-`, of `second` with `+`."""
    both = (("-", f"{first} except all {second}"), ("+", f"{second} except all {first}"))
    return [(sign, *row) for sign, query in both for row in conn.execute(query.encode()).fetchall()]


@dataclass(frozen=True)
class Scene:
    """One test's database with the bills and their declaration."""

    dsn: str
    declaration: Declaration

    def connect(self, *, autocommit: bool = True) -> psycopg.Connection[Any]:
        """Open a session; closed by `with`."""
        conn = psycopg.connect(self.dsn, autocommit=True)
        run(conn, "core/session_settings")
        conn.autocommit = autocommit
        return conn

    def execute(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Execute a statement in a session of its own and return its rows."""
        with self.connect() as conn:
            cursor = conn.execute(statement.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    def one(self, statement: str, *values: object) -> Any:
        """Return the one value of a statement."""
        return self.execute(statement, *values)[0][0]

    def add(self, *rows: tuple[object, ...]) -> None:
        """Insert bills: (bill_no, issued, cents) or with a customer before them."""
        with self.connect() as conn, conn.cursor() as cursor:
            for row in rows:
                number, customer, issued, cents = row if len(row) == 4 else (row[0], "Ada", *row[1:])
                cursor.execute(
                    "insert into shop.bills (bill_no, customer, issued, cents) values (%s, %s, %s, %s)",
                    (number, customer, issued, cents),
                )

    def backfill(self, workers: int = 1, declared: Declaration | None = None, **hooks: Any) -> BackfillResult:
        """Run the backfill, which no other run must hold up; the gate before it has tests of its own."""
        result = backfill(NAME, declared or self.declaration, AS_OF, workers=workers, **{"preflight": None, **hooks})
        assert not isinstance(result, Deferred), result
        return result

    def alone(self, work: Callable[[Run], T]) -> T:
        """Do `work` while holding the run lock of the target."""
        result = run_exclusively("test", NAME, work, overdue_after=timedelta(days=1), group=TABLE)
        assert not isinstance(result, Deferred), result
        return result

    def work(self, started: Run) -> Work:
        """Return what units share, with the migration as it is now."""
        with transaction(Kind.READ) as conn:
            parent = read_parent(conn, Relation.parse(TABLE))
        return Work(started, current(NAME), parent)

    def registered(self) -> Registered:
        """Return the migration as it is now."""
        return current(NAME)

    def drain(self, limit: int = 5_000) -> Batch:
        """Apply one batch of the bills' log."""
        migration, attached = current(NAME), attached_bounds(Relation.parse(TABLE))
        with transaction(Kind.BULK) as conn:
            return drain_batch(conn, migration, migration.sources[0], attached, limit=limit)

    def queue(self) -> list[tuple[str, str | None]]:
        """Return key and old day of each entry of the log, in order."""
        return self.execute("select key, old_time::date::text from maintenance.capture order by seq")

    def quarantine(self) -> dict[str, str]:
        """Return the reason of each quarantined key."""
        return {key: reason for key, reason, _ in self.execute(QUARANTINED)}

    def numbers(self) -> list[int]:
        """Return the numbers of the invoices."""
        return [number for (number,) in self.execute("select number from accounts.invoices order by number")]

    def assert_exact(self) -> None:
        """At rest every bill is once in the target as it should be, or once in quarantine with its reason; nothing else is."""
        with self.connect() as conn:
            for first, second in ((EXPECTED, FOUND), (REFUSED, QUARANTINED)):
                found = difference(conn, first, second)
                assert not found, found


def bills_template(server: Server) -> str:
    """Return the database with invoices, bills and the runway, made once per server and session."""
    key = ("bills",)
    if key not in server.templates:
        name = f"bills_{secrets.token_hex(4)}"
        dsn = server.dsn_for(name)
        with psycopg.connect(server.superuser_dsn, autocommit=True) as conn, pytest.MonkeyPatch.context() as patch:
            shared._create_database(conn, name, shared._template(server, ()))
            server.templates[key] = name
            _point_at(dsn, patch)
            make_second(dsn)
            make_bills(dsn)
            with runtime():
                ensure_partitions(TABLE, read_declaration(), AS_OF)
            conn.execute(sql.SQL("alter database {} with is_template true").format(sql.Identifier(name)))
    return server.templates[key]


def _point_at(dsn: str, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("DATABASE_URL", dsn)
    patch.setenv("MAINTENANCE_FILE", str(SECOND_MIGRATION))


@pytest.fixture
def scene(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """Lend a scene with one pool for the whole test; the environment names its database and declaration."""
    name, template = f"test_{secrets.token_hex(5)}", bills_template(server)
    with psycopg.connect(server.superuser_dsn, autocommit=True) as conn:
        shared._create_database(conn, name, template)
        _point_at(server.dsn_for(name), monkeypatch)
        with runtime():
            yield Scene(server.dsn_for(name), read_declaration())
        shared._drop_database(conn, name)
