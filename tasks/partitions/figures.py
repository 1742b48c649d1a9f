"""What is known of a table's content: rows, hash, and each column's figures; equal on both sides of an archive (D4).

Belongs here: reading columns and figures, comparing two of them, writing them as JSON.
Keep out: files (`parquet`) and states (`archive`, `retire`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from psycopg import sql

from tasks.core.connect import Connection
from tasks.core.names import Relation
from tasks.core.sqlfiles import fetch, run, trusted

#: Of a manifest. Format 1 hashed numeric by its value.
FORMAT = 2


@dataclass(frozen=True)
class Column:
    """A column and, as SQL from the server, how it is exported, hashed and described (`archive_columns.sql`).

    `reads_back` says that its type is known to read every text that it writes.
    """

    name: str
    type: str
    kind: str
    export: str
    finite: str
    beyond: str | None
    element: str
    hash: str
    figures: str
    reads_back: bool


@dataclass(frozen=True)
class ColumnFigures:
    """A column's figures; `scales` is the sum of a numeric's, `beyond` counts times that Parquet's readers cannot hold."""

    name: str
    type: str
    nulls: int
    lowest: str | None
    highest: str | None
    scales: str | None
    beyond: int


@dataclass(frozen=True)
class Figures:
    """A table's content in numbers. The hash is comparable within one major version of the server only (§4.8)."""

    rows: int
    content_hash: str
    columns: tuple[ColumnFigures, ...]

    def as_json(self) -> dict[str, Any]:
        """Return them as they stand in a manifest."""
        return asdict(self)


def from_json(manifest: Mapping[str, Any]) -> Figures:
    """Read the figures of a manifest."""
    columns = tuple(ColumnFigures(**column) for column in manifest["columns"])
    return Figures(manifest["rows"], manifest["content_hash"], columns)


def list_columns(conn: Connection, oid: int, of: Mapping[str, Any] | None = None) -> list[Column]:
    """Return the columns of a table in order, hashed as the manifest `of` has them; without one, as a new one will."""
    by_value = of is not None and of.get("format", 1) < FORMAT
    return [Column(**row) for row in fetch(conn, "partitions/archive_columns", oid=oid, by_value=by_value)]


def read_figures(conn: Connection, relation: Relation, columns: Sequence[Column]) -> Figures:
    """Count, hash and describe a table's rows by one scan. Locks: ACCESS SHARE."""
    parts = {"elements": joined(c.element for c in columns), "figures": joined(c.figures for c in columns)}
    row: Any = run(conn, "partitions/read_figures", relation=relation, **parts).fetchone()
    found = [_column_figures(c, row[0], values) for c, values in zip(columns, row[2:], strict=True)]
    return Figures(row[0], row[1], tuple(found))


def _column_figures(column: Column, rows: int, values: Sequence[str | None]) -> ColumnFigures:
    present, lowest, highest, scales, beyond = values
    return ColumnFigures(column.name, column.type, rows - int(present or 0), lowest, highest, scales, int(beyond or 0))


def joined(parts: Iterator[str]) -> sql.Composed:
    """Join SQL that the server made, such as a list of expressions."""
    return sql.SQL(", ").join([trusted(part) for part in parts])


def differences(expected: Figures, found: Figures, *, is_same_major: bool = True) -> list[str]:
    """Name what differs, in words; empty where both are the same. Across major versions the hash is left out."""
    named = [] if expected.rows == found.rows else [f"{found.rows} rows instead of {expected.rows}"]
    named += [f"column {a.name}" for a, b in zip(expected.columns, found.columns, strict=False) if a != b]
    if len(expected.columns) != len(found.columns):
        named.append(f"{len(found.columns)} columns instead of {len(expected.columns)}")
    if is_same_major and not named and expected.content_hash != found.content_hash:
        named.append("content hash")
    return named


def differing_columns(conn: Connection, one: Relation, other: Relation, columns: Sequence[Column]) -> list[str]:
    """Name the columns whose hashes differ between two tables; read only once a difference is known."""
    hashes = joined(column.hash for column in columns)
    first, second = (run(conn, "partitions/read_column_hashes", relation=r, hashes=hashes).fetchone() for r in (one, other))
    return [c.name for c, a, b in zip(columns, first or (), second or (), strict=True) if a != b]


def read_sources(conn: Connection, parent: Relation, relation: Relation, oid: int, columns: Sequence[Column]) -> dict[str, Any]:
    """Return rows and hash per source of the migration whose target `parent` is, with its mapping version; else nothing."""
    sources = fetch(conn, "partitions/archive_sources", parent=str(parent), oid=oid)
    if not sources:
        return {}
    owners = sql.SQL(" ").join([trusted(source["branch"]) for source in sources])
    elements = joined(column.element for column in columns)
    found = fetch(conn, "partitions/read_source_figures", relation=relation, owners=owners, elements=elements)
    names = {source["code"]: source["relation"] for source in sources}
    rows = [{"relation": names.get(row["code"]), "rows": row.pop("row_count"), **row} for row in found]
    return {"migration": sources[0]["migration"], "mapping_version": sources[0]["mapping_version"], "sources": rows}
