"""What the tests of the mappings share: a database with legacy tables, target and installed mappings, and rows as text.

Belongs here: putting rows in and reading them back as the server's own text, which loses nothing.
Keep out: expectations; each test writes its own down.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import psycopg
from psycopg import sql

from tasks.core.names import Relation
from tasks.core.sqlfiles import identifier, run, trusted
from tasks.migration.sources import Column, Mapping, install_mapping
from tests.demo.legacy import create_legacy

TARGET = Relation("unified", "event_metric_events")
ZONE = "Europe/Berlin"
#: Table, code and zone, in the declaration's order.
SOURCES = MappingProxyType(
    {
        "monitoring_events": (1, "UTC"),
        "validation_metrics": (2, ZONE),
        "cache_metrics_monitoring": (3, "UTC"),
        "events": (4, "UTC"),
        "dlq_table": (5, "UTC"),
    }
)
SPAN = ("2025-01-01 00:00:00+00", "2026-01-01 00:00:00+00")
#: Everything that is finite.
WIDEST = ("-infinity", "infinity")

Row = dict[str, str | None]


def prepare(dsn: str) -> dict[str, Mapping]:
    """Create the legacy tables, one partition for every time there is, and the mappings."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        run(conn, "core/session_settings")
        create_legacy(conn)
        conn.execute(
            "create table unified.every_time partition of unified.event_metric_events for values from (minvalue) to (maxvalue)"
        )
        return install_all(conn)


def install_all(conn: psycopg.Connection) -> dict[str, Mapping]:
    """Install or find the mappings of the five tables."""
    return {
        table: install_mapping(
            conn, "event_store", table, source=Relation("monitoring", table), target=TARGET, code=code, zone=zone
        )
        for table, (code, zone) in SOURCES.items()
    }


@dataclass
class Store:
    """One transaction on the prepared database; whoever opened it rolls it back."""

    conn: psycopg.Connection
    mappings: dict[str, Mapping]

    def put(self, table: str, rows: Iterable[Row]) -> None:
        """Insert rows into a legacy table; every row has the same columns."""
        copy(self.conn, Relation("monitoring", table), list(rows))

    def put_unified(self, rows: Iterable[Row]) -> None:
        """Insert rows under the new name; every row has the same columns."""
        copy(self.conn, TARGET, list(rows))

    def forward(self, table: str, span: tuple[str, str] = SPAN) -> list[Row]:
        """Map every row of a legacy table, the refused ones too."""
        mapping = self.mappings[table]
        columns = [sql.SQL("f.reason"), *(_text("f", name) for name in names(mapping.target_columns))]
        query = sql.SQL("select {columns} from {source} as l cross join lateral {forward}(l, {lower}, {upper}) as f").format(
            columns=sql.SQL(", ").join(columns), **self._sides(mapping, span)
        )
        return self._rows(query, ["reason", *names(mapping.target_columns)])

    def load(self, table: str, span: tuple[str, str] = SPAN) -> int:
        """Copy what maps into the target, past every CHECK; returns how many rows."""
        mapping = self.mappings[table]
        given = names(mapping.target_columns)
        query = sql.SQL(
            "insert into {target} ({into}) select {columns} from {source} as l"
            " cross join lateral {forward}(l, {lower}, {upper}) as f where f.reason is null"
        ).format(
            into=sql.SQL(", ").join(map(sql.Identifier, given)),
            columns=sql.SQL(", ").join(sql.Identifier("f", name) for name in given),
            **self._sides(mapping, span),
        )
        return self.conn.execute(query).rowcount

    def backward(self, table: str) -> list[Row]:
        """Map back what the source owns."""
        mapping = self.mappings[table]
        query = sql.SQL("select {columns} from {target} as u cross join lateral {backward}(u) as b where {owns}(u)").format(
            columns=sql.SQL(", ").join(_text("b", name) for name in names(mapping.source_columns)), **self._sides(mapping)
        )
        return self._rows(query, names(mapping.source_columns))

    def carry_back(self, table: str) -> int:
        """Insert every unified row, owned or not, into a legacy table; returns how many."""
        query = sql.SQL("insert into {source} select b.* from {target} as u cross join lateral {backward}(u) as b")
        return self.conn.execute(query.format(**self._sides(self.mappings[table]))).rowcount

    def owners(self) -> list[int]:
        """Count the sources that own each unified row."""
        owns = [sql.SQL("{}(u)::integer").format(identifier(mapping.owns)) for mapping in self.mappings.values()]
        query = sql.SQL("select {} from {} as u").format(sql.SQL(" + ").join(owns), identifier(TARGET))
        return [count for (count,) in self.conn.execute(query)]

    def legacy(self, table: str) -> list[Row]:
        """Read a legacy table as it stands."""
        columns = names(self.mappings[table].source_columns)
        query = sql.SQL("select {} from {} as l").format(
            sql.SQL(", ").join(_text("l", name) for name in columns), identifier(Relation("monitoring", table))
        )
        return self._rows(query, columns)

    def unified(self) -> list[Row]:
        """Read the target as it stands."""
        columns = names(self.mappings["events"].target_columns)
        query = sql.SQL("select {} from {} as u").format(
            sql.SQL(", ").join(_text("u", name) for name in columns), identifier(TARGET)
        )
        return self._rows(query, columns)

    def same(self, kind: str, text: str | None) -> str | None:
        """Write a value as the server writes it: two texts of one value become one."""
        query = sql.SQL("select ({}::{})::text").format(sql.Literal(text), trusted(kind))
        row = self.conn.execute(query).fetchone()
        return row[0] if row else None

    def local(self, instant: str) -> str | None:
        """Return the local time of an instant in the zone of the validation metrics."""
        row = self.conn.execute("select (%s::timestamptz at time zone %s)::text", [instant, ZONE]).fetchone()
        return row[0] if row else None

    def _sides(self, mapping: Mapping, span: tuple[str, str] = SPAN) -> dict[str, sql.Composable]:
        parts = ("source", "target", "forward", "backward", "owns")
        bounds = {"lower": sql.Literal(span[0]), "upper": sql.Literal(span[1])}
        return {**{part: identifier(getattr(mapping, part)) for part in parts}, **bounds}

    def _rows(self, query: sql.Composed, columns: Sequence[str]) -> list[Row]:
        return [dict(zip(columns, row, strict=True)) for row in self.conn.execute(query)]


def names(columns: Iterable[Column]) -> list[str]:
    """Return the names of columns."""
    return [column.name for column in columns]


def copy(conn: psycopg.Connection, relation: Relation, rows: Sequence[Row]) -> None:
    """Insert rows of text by COPY."""
    if not rows:
        return
    columns = sql.SQL(", ").join(map(sql.Identifier, rows[0]))
    with (
        conn.cursor() as cursor,
        cursor.copy(sql.SQL("copy {} ({}) from stdin").format(identifier(relation), columns)) as stream,
    ):
        for row in rows:
            stream.write_row(list(row.values()))


def _text(alias: str, column: str) -> sql.Composed:
    return sql.SQL("{}::text").format(sql.Identifier(alias, column))
