"""What the ledger knows of a migration: its target, its sources in declared order, its capture generation.

Belongs here: frozen facts and reading them. Keep out: writing them (`prepare`, `capture`) and any rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tasks.core.connect import Connection
from tasks.core.errors import MissingRelation, UnsuitableRelation
from tasks.core.names import Relation
from tasks.core.sqlfiles import fetch
from tasks.migration.sources import SCHEMA, Column, list_columns
from tasks.partitions.catalog import read_parent
from tasks.partitions.partition import Parent


@dataclass(frozen=True)
class Source:
    """A legacy table under migration; `relation` is its declared name, `forward` and so on are functions in force."""

    id: int
    code: int
    relation: Relation
    relation_oid: int
    aside: str
    position: int
    key_column: str
    key_type: str
    time_column: str
    time_type: str
    zone: str
    forward: Relation
    backward: Relation
    owns: Relation


@dataclass(frozen=True)
class Target:
    """The table that takes the rows: its primary key is `id_column` and `time_column`; `columns` are those not generated."""

    relation: Relation
    id_column: str
    id_type: str
    time_column: str
    time_type: str
    columns: tuple[Column, ...]

    @property
    def names(self) -> str:
        """The columns as a list for INSERT, quoted."""
        return ", ".join(column.quoted for column in self.columns)

    @property
    def mapped(self) -> str:
        """The same list as columns of the mapped row `m`."""
        return self.columns_of("m")

    def columns_of(self, row: str) -> str:
        """The same list as columns of `row`."""
        return ", ".join(f"{row}.{column.quoted}" for column in self.columns)


@dataclass(frozen=True)
class Registered:
    """A migration as the ledger has it at one moment."""

    name: str
    target: Target
    phase: str
    mapping_version: str
    generation: int
    span_from: datetime
    span_to: datetime
    sources: tuple[Source, ...]

    @property
    def subject(self) -> str:
        """Whose run and work locks guard it: its target's."""
        return str(self.target.relation)

    def source(self, relation: str) -> Source:
        """Return the source of that declared name, or raise MissingRelation."""
        for source in self.sources:
            if str(source.relation) == relation:
                return source
        raise MissingRelation(relation, f" among the sources of {self.name}")


def read_registered(conn: Connection, name: str) -> Registered | None:
    """Return migration `name` as the ledger has it, None where it was never prepared."""
    rows = fetch(conn, "migration/read_migration", name=name)
    if not rows:
        return None
    row = rows[0]
    sources = tuple(_source(source) for source in fetch(conn, "migration/list_sources", migration=name))
    target = read_target(conn, read_parent(conn, Relation.parse(row["target"]), to_build=False))
    return Registered(
        name, target, row["phase"], row["mapping_version"], row["generation"], row["lower"], row["upper"], sources
    )


def _source(row: Mapping[str, Any]) -> Source:
    fields: dict[str, Any] = dict(row)
    fields["relation"] = Relation.parse(row["relation"])
    fields.update({part: Relation(SCHEMA, row[part]) for part in ("forward", "backward", "owns")})
    return Source(**fields)


def read_target(conn: Connection, parent: Parent) -> Target:
    """Return the target's columns and key; UnsuitableRelation where its primary key is not one column and the partition key."""
    name = parent.relation
    keys = fetch(conn, "migration/read_target_key", schema=name.schema, name=name.name, time=parent.key)
    if len(keys) != 1:
        reason = f"its primary key is not one column beside {parent.key}"
        raise UnsuitableRelation(str(name), reason, f"Give it the primary key (id, {parent.key}); nothing was changed.")
    generated = {row["name"] for row in fetch(conn, "migration/generated_columns", schema=name.schema, name=name.name)}
    columns = tuple(column for column in list_columns(conn, name) if column.name not in generated)
    return Target(name, keys[0]["name"], keys[0]["type"], parent.key, parent.key_type, columns)
