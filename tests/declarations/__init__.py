"""Declarations beside the shipped one: the engine serves them with the same code.

`second` has another schema, other names, a key of type date and months; `make_second` creates its table in a database.
"""

from __future__ import annotations

from pathlib import Path

import psycopg

from tasks.core.declaration import Declaration, read_declaration

SECOND = Path(__file__).resolve().parent / "second"


def second_declaration() -> Declaration:
    """Return the declaration of `second`."""
    return read_declaration(SECOND / "maintenance.yaml")


def make_second(dsn: str) -> None:
    """Create the tables that `second` declares; the database has the schema maintenance already."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute((SECOND / "schema.sql").read_bytes())
