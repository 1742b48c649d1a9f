"""Run the statements of `sql/` by name.

Belongs here: finding a file, checking its header against its placeholders, composing identifiers safely.
A file's first comment line says what it does; `identifiers:`, `literals:`, `fragments:`, `params:` declare its
placeholders; `transaction: none` marks a statement that refuses to run in a transaction.
Keep out: any statement of its own, timeouts, retries.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from string import Formatter
from typing import Any, LiteralString, cast

import psycopg
from psycopg import pq, sql

from tasks.core.errors import Permanent
from tasks.core.names import Relation
from tasks.core.settings import settings

ROOT = Path(__file__).resolve().parents[2] / "sql"
_KINDS = ("identifiers", "literals", "fragments", "params")
_FIELD = re.compile(r"^--\s*(identifiers|literals|fragments|params|locks|transaction)\s*:\s*(.*)$")


@dataclass(eq=False)
class InvalidSqlFile(Permanent):
    """sql/{name}.sql: {reason}."""

    name: str
    reason: str


@dataclass(frozen=True)
class Statement:
    """One file of `sql/`: its text and what its header declares."""

    name: str
    text: str
    summary: str
    locks: str
    transaction: str
    identifiers: frozenset[str]
    literals: frozenset[str]
    fragments: frozenset[str]
    params: frozenset[str]

    @property
    def placeholders(self) -> frozenset[str]:
        """Every keyword that a caller must give."""
        return self.identifiers | self.literals | self.fragments | self.params


def load(name: str, root: Path | None = None) -> Statement:
    """Read `sql/<name>.sql`; raises InvalidSqlFile where header and placeholders differ (design 2).

    Mappings (`legacy/…`) belong to a declaration and are looked for beside it first: another project has its own.
    """
    return _load(name, root or _root_of(name))


def is_there(name: str) -> bool:
    """Say whether there is a file of this name: a part of a mapping that may be left out."""
    return (_root_of(name) / f"{name}.sql").is_file()


def _root_of(name: str) -> Path:
    if name.startswith("legacy/"):
        beside = settings().maintenance_file.resolve().parent / "sql"
        if (beside / f"{name}.sql").is_file():
            return beside
    return ROOT


@cache
def _load(name: str, root: Path) -> Statement:
    path = root / f"{name}.sql"
    if not path.is_file():
        raise InvalidSqlFile(name=name, reason="there is no such file")
    return parse(name, path.read_text(encoding="utf-8"))


def parse(name: str, text: str) -> Statement:
    """Parse a statement's text; raises InvalidSqlFile where header and placeholders differ."""
    header, body = _split(text)
    declared = {kind: _names(header, kind) for kind in _KINDS}
    braces = declared["identifiers"] | declared["literals"] | declared["fragments"]
    _require_equal(name, "braces", {field for _, field, _, _ in Formatter().parse(body) if field is not None}, braces)
    if declared["params"]:
        _require_equal(name, "params", set(re.findall(r"(?<!%)%\((\w+)\)s", body)), declared["params"])
    first = text.split("\n", 1)[0]
    if not first.startswith("-- ") or _FIELD.match(first):
        raise InvalidSqlFile(name=name, reason="its first line does not say in a comment what it does")
    fields = {field: value for field, value in header if field in ("locks", "transaction")}
    return Statement(name, body.strip(), first[3:], fields.get("locks", ""), fields.get("transaction", ""), **declared)


def _split(text: str) -> tuple[list[tuple[str, str]], str]:
    """Separate the header's fields from the statement; comments before the statement belong to the header."""
    lines = text.split("\n")
    start = next((i for i, line in enumerate(lines) if line.strip() and not line.startswith("--")), len(lines))
    matches = (_FIELD.match(line) for line in lines[:start])
    return [(match[1], match[2]) for match in matches if match], "\n".join(lines[start:])


def _names(header: list[tuple[str, str]], kind: str) -> frozenset[str]:
    values = (value for field, value in header if field == kind)
    return frozenset(name.strip() for value in values for name in value.split(",") if name.strip())


def _require_equal(name: str, what: str, used: Collection[str], declared: Collection[str]) -> None:
    if set(used) != set(declared):
        reason = f"{what} used {sorted(used)} but its header declares {sorted(declared)}"
        raise InvalidSqlFile(name=name, reason=reason)


def compose(name: str, values: Mapping[str, object]) -> sql.Composed:
    """Return the statement with identifiers, literals and fragments filled in; params stay to be bound.

    Raises InvalidSqlFile where `values` lacks a placeholder or holds a keyword that the file does not know.
    """
    statement = load(name)
    _require_equal(name, "keywords given", set(values), statement.placeholders)
    parts = {key: _part(statement, key, value) for key, value in values.items() if key not in statement.params}
    return trusted(statement.text).format(**parts)


def _part(statement: Statement, key: str, value: object) -> sql.Composable:
    if key in statement.identifiers:
        return identifier(value)
    if key in statement.fragments:
        return value if isinstance(value, sql.Composable) else trusted(str(value))
    return sql.Literal(value)


def identifier(value: object) -> sql.Identifier:
    """Quote a Relation as schema and name, any other string as one name."""
    if isinstance(value, Relation):
        return sql.Identifier(value.schema, value.name)
    return sql.Identifier(str(value))


def trusted(text: str) -> sql.SQL:
    """Accept SQL text from our own files, the declaration or the server's catalog functions.

    The one cast: these sources are reviewed like code, so they count as defined in the code itself.
    """
    return sql.SQL(cast(LiteralString, text))


def run(conn: psycopg.Connection[Any], name: str, /, **values: object) -> psycopg.Cursor[Any]:
    """Execute `sql/<name>.sql` with the keywords its header names; returns the cursor.

    Raises InvalidSqlFile for a `transaction: none` statement inside a transaction, and whatever the server raises.
    """
    statement = load(name)
    if statement.transaction == "none" and not _is_outside_transaction(conn):
        raise InvalidSqlFile(name=name, reason="it refuses a transaction and was called inside one")
    bound = {key: value for key, value in values.items() if key in statement.params}
    query = compose(name, values)
    return conn.execute(query, bound) if statement.params else conn.execute(query)


def run_all(conn: psycopg.Connection[Any], statements: Sequence[sql.Composed]) -> None:
    """Execute composed statements without params in one round trip, in order; the first that fails ends it."""
    if statements:
        conn.execute(sql.SQL(";\n").join(statements))


def fetch(conn: psycopg.Connection[Any], name: str, /, **values: object) -> list[dict[str, Any]]:
    """Run a reading statement and return its rows, each a dict by column name."""
    return _rows(run(conn, name, **values))


def fetch_together(
    conn: psycopg.Connection[Any], asked: Sequence[tuple[str, Mapping[str, object]]]
) -> list[list[dict[str, Any]]]:
    """Run several reading statements, each with its keywords, in one round trip; returns the rows of each in order."""
    with conn.pipeline():
        cursors = [run(conn, name, **values) for name, values in asked]
        return [_rows(cursor) for cursor in cursors]


def _rows(cursor: psycopg.Cursor[Any]) -> list[dict[str, Any]]:
    rows = cursor.fetchall()
    columns = [column.name for column in cursor.description or ()]
    return [dict(zip(columns, row, strict=True)) for row in rows]


def fetch_one(conn: psycopg.Connection[Any], name: str, /, **values: object) -> dict[str, Any]:
    """Run a statement that returns exactly one row; anything else raises InvalidSqlFile."""
    rows = fetch(conn, name, **values)
    if len(rows) != 1:
        raise InvalidSqlFile(name=name, reason=f"it returned {len(rows)} rows where one was expected")
    return rows[0]


def _is_outside_transaction(conn: psycopg.Connection[Any]) -> bool:
    return conn.autocommit and conn.info.transaction_status == pq.TransactionStatus.IDLE
