"""Declarations beside the shipped one: the engine serves them with the same code.

`second` has another schema, other names, a key of type date and months; `make_second` creates its table in a database.
Its `migration.yaml` adds a legacy table, which `make_bills` creates; the mapping lies beside it.
"""

from __future__ import annotations

from pathlib import Path

import psycopg

from tasks.core.declaration import Declaration, read_declaration

SECOND = Path(__file__).resolve().parent / "second"
#: Set MAINTENANCE_FILE to it: the mapping is looked for beside the declaration in force.
SECOND_MIGRATION = SECOND / "migration.yaml"


def second_declaration() -> Declaration:
    """Return the declaration of `second`."""
    return read_declaration(SECOND / "maintenance.yaml")


def make_second(dsn: str) -> None:
    """Create the tables that `second` declares; the database has the schema maintenance already."""
    _execute(dsn, "schema.sql")


def make_bills(dsn: str) -> None:
    """Create the legacy table that is migrated into the table of `second`."""
    _execute(dsn, "legacy.sql")


def make_logins(dsn: str) -> None:
    """Create the table of sessions that `second` declares."""
    _execute(dsn, "sessions.sql")


def _execute(dsn: str, name: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute((SECOND / name).read_bytes())
