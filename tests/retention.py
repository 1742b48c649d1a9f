"""A table of readings by day around today, and short ways to retire it; what the tests of retention share.

Keep out: expectations, and anything that one test alone needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tasks.core.declaration import Declaration
from tasks.core.ledger import Deferred
from tasks.core.parameters import Safety
from tasks.partitions.retire import RetentionResult, retire

TABLE = "app.readings"
DAY = timedelta(days=1)
#: Today's first instant: a test that runs past midnight keeps its own day.
AS_OF = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
KEEP, GRACE = timedelta(days=10), timedelta(days=7)
SCHEMA = """
create schema app;
create table app.readings (
    id bigint generated always as identity,
    at timestamptz not null,
    sensor text not null,
    value numeric,
    primary key (id, at)
) partition by range (at);
"""
#: Five partitions are due as of AS_OF, the newest of them ends exactly KEEP before it.
DAYS = range(-15, 3)


def make_empty(make_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """Return a database without tables, in force for this process; archives go below `tmp_path`, and days to come are allowed."""
    made = make_database(sets=())
    settings = {"DATABASE_URL": made, "MAINTENANCE_ARCHIVE": str(tmp_path / "archive"), "MAINTENANCE_ALLOW_FUTURE": "1"}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    return made


def declare(**retention: Any) -> Declaration:
    """Return a declaration of the table with ten days of retention, seven of grace, twenty at most."""
    policy = {"keep": "P10D", "grace": "P7D", "at_most_per_run": 20, **retention}
    partitioning = {"by": "at", "every": "day", "ahead": "P3D"}
    table = {"why": "w", "owner": "o", "partitioning": partitioning, "retention": policy}
    return Declaration.model_validate({"tables": {TABLE: table}})


def name_of(day: int) -> str:
    """Return the partition's name for the day so many days from today."""
    return f"app.p{AS_OF + day * DAY:%Y%m%d}"


def make_table(dsn: str, days: Iterable[int] = DAYS, rows: int = 3) -> None:
    """Create the table with a partition for each of `days`, `rows` rows in every one that has begun."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("set timezone = 'UTC'")
        conn.execute(SCHEMA)
        for day in days:
            add_partition(conn, day)
            if day < 0:
                add_rows(conn, day, rows)


def add_partition(conn: psycopg.Connection, day: int) -> None:
    """Attach an empty partition for one day."""
    lower = sql.Literal(AS_OF + day * DAY), sql.Literal(AS_OF + (day + 1) * DAY)
    name = sql.Identifier(*name_of(day).split("."))
    conn.execute(sql.SQL("create table {} partition of app.readings for values from ({}) to ({})").format(name, *lower))


def add_rows(conn: psycopg.Connection, day: int, rows: int = 3) -> None:
    """Write rows of one day through the table itself."""
    conn.execute(
        "insert into app.readings (at, sensor, value)"
        " select %s::timestamptz + n * interval '1 second', 'sensor ' || n %% 7, n / 8.0 from generate_series(1, %s) n",
        (AS_OF + day * DAY, rows),
    )


def plan(declaration: Declaration | None = None, as_of: datetime = AS_OF, **options: Any) -> RetentionResult:
    """Plan without applying."""
    result = retire(TABLE, declaration or declare(), Safety(), as_of, **options)
    assert isinstance(result, RetentionResult)
    return result


def apply(
    declaration: Declaration | None = None, as_of: datetime = AS_OF, at_most: int | None = None, **options: Any
) -> RetentionResult:
    """Apply, and expect that it was not deferred."""
    result = retire(TABLE, declaration or declare(), Safety(apply=True, at_most=at_most), as_of, **options)
    assert not isinstance(result, Deferred), result
    return result


def names(days: Iterable[int]) -> tuple[str, ...]:
    """Return the names of several days' partitions."""
    return tuple(name_of(day) for day in days)


def attached(conn: psycopg.Connection) -> list[str]:
    """Return the attached partitions, pending ones left out, by name."""
    query = "select schema || '.' || name from maintenance.partition where not is_pending_detach order by 1"
    return [name for (name,) in conn.execute(query)]


def states(conn: psycopg.Connection) -> dict[str, str]:
    """Return the state of each retirement by partition, the last one where there are several."""
    return dict(conn.execute("select partition, state from maintenance.retirement order by id").fetchall())
