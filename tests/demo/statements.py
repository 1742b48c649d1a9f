"""Run the statements of `tests/demo/sql/` by name.

Belongs here: the same contract as `tasks.core.sqlfiles`, over the demo's own folder.
Keep out: any statement of its own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from tasks.core.sqlfiles import InvalidSqlFile, Statement, identifier, load, trusted

ROOT = Path(__file__).parent / "sql"


def run(conn: psycopg.Connection[Any], name: str, **values: object) -> psycopg.Cursor[Any]:
    """Execute `tests/demo/sql/<name>.sql` with the keywords its header names; raises InvalidSqlFile on any other keyword."""
    return run_from(ROOT, conn, name, **values)


def run_from(root: Path, conn: psycopg.Connection[Any], name: str, /, **values: object) -> psycopg.Cursor[Any]:
    """Do the same with `<root>/<name>.sql`: for the other folders below tests/ that keep statements."""
    statement = load(name, root)
    if values.keys() != statement.placeholders:
        reason = f"it takes {sorted(statement.placeholders)} and was given {sorted(values)}"
        raise InvalidSqlFile(name=f"../tests/{root.parent.name}/sql/{name}", reason=reason)
    query = trusted(statement.text).format(**_composed(statement, values))
    bound = {key: values[key] for key in statement.params}
    return conn.execute(query, bound) if bound else conn.execute(query)


def names_of(name: str) -> frozenset[str]:
    """Return the keywords that `tests/demo/sql/<name>.sql` takes."""
    return load(name, ROOT).placeholders


def _composed(statement: Statement, values: dict[str, object]) -> dict[str, sql.Composable]:
    names = {key: identifier(values[key]) for key in statement.identifiers}
    return {**names, **{key: sql.Literal(values[key]) for key in statement.literals}}
