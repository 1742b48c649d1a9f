"""Install the mapping of a legacy table: three functions and the statement of its compatibility view.

Belongs here: composing them from `sql/legacy/<mapping>/`, their names and version, refusing a table they do not fit.
The functions bear the version in their names, so a changed mapping stands beside the old one until nobody uses it.
Keep out: what the mappings say (`sql/legacy/`), when they run (copy, drain, compare, cutover).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from tasks.core.errors import MissingRelation, Permanent
from tasks.core.names import LONGEST_NAME_BYTES, Relation
from tasks.core.sqlfiles import compose, fetch, fetch_one, load, run

SCHEMA = "maintenance"
#: The files of a mapping; all four decide its version.
PARTS = ("forward", "backward", "owns", "view")
_COLUMN_READ = {"l": re.compile(r"\(l\)\.(\w+)"), "u": re.compile(r"\(u\)\.(\w+)")}


@dataclass(eq=False)
class ColumnMissing(Permanent):
    """{relation} has no column {column}, which sql/legacy/{mapping}/{part}.sql reads. Declare the mapping that fits this
    table, or correct that file; nothing was installed."""

    relation: str
    column: str
    mapping: str
    part: str


@dataclass(eq=False)
class MappingRefused(Permanent):
    """The mapping {mapping} of {source} does not fit: {reason}. Compare the columns of {relation} with
    sql/legacy/{mapping}/{part}.sql: each must be given once, by name, in its type. Nothing was installed."""

    source: str
    relation: str
    mapping: str
    part: str
    reason: str


@dataclass(eq=False)
class ZoneUnknown(Permanent):
    """{source}: this server does not know the time zone '{zone}'. Declare one that pg_timezone_names lists."""

    source: str
    zone: str


@dataclass(frozen=True)
class Column:
    """A column as the catalog has it: its name, the name quoted, its type with modifier."""

    name: str
    quoted: str
    type: str


@dataclass(frozen=True)
class Mapping:
    """The mapping of one source: where its functions are, and what they were made from."""

    name: str
    source: Relation
    target: Relation
    code: int
    zone: str
    #: Changes with the text of any of the four files, the code, the zone, and the columns of either side.
    version: str
    forward: Relation
    backward: Relation
    owns: Relation
    #: The select of the compatibility view, ready for `create view … as`.
    view: sql.Composed
    source_columns: tuple[Column, ...]
    target_columns: tuple[Column, ...]


def install_mapping(
    conn: psycopg.Connection[Any],
    migration: str,
    mapping: str,
    *,
    source: Relation,
    target: Relation,
    code: int,
    zone: str,
) -> Mapping:
    """Create what is missing of the mapping `sql/legacy/<mapping>` and return it; a second call changes nothing.

    `source` may be the legacy table or, once that is gone, the view under its name: rows of both are mapped alike.
    Takes no lock on either relation. Raises MissingRelation, ColumnMissing, MappingRefused, ZoneUnknown; then nothing
    is kept (M1, M4).
    """
    found = read_mapping(conn, migration, mapping, source=source, target=target, code=code, zone=zone)
    with conn.transaction():
        _require_zone(conn, found)
        _create_missing(conn, found)
    return found


def read_mapping(
    conn: psycopg.Connection[Any],
    migration: str,
    mapping: str,
    *,
    source: Relation,
    target: Relation,
    code: int,
    zone: str,
) -> Mapping:
    """Say what the mapping would be called and of which version it is, from its files and the catalog; reads only.

    Raises MissingRelation for an absent source or target, ColumnMissing for a column that a file reads and it lacks.
    """
    source_columns, target_columns = list_columns(conn, source), list_columns(conn, target)
    _require_columns(mapping, source, source_columns, "l", ("forward",))
    _require_columns(mapping, target, target_columns, "u", ("backward", "owns"))
    version = _version(mapping, code, zone, source_columns, target_columns)
    forward, backward, owns = (_function(migration, code, part, version) for part in PARTS[:3])
    view = compose(f"legacy/{mapping}/view", {"target": target, "backward": backward, "owns": owns})
    return Mapping(mapping, source, target, code, zone, version, forward, backward, owns, view, source_columns, target_columns)


def combined_version(mappings: Iterable[Mapping]) -> str:
    """Return the version of a migration: it changes when that of any of its mappings does, or their order."""
    return _digest([mapping.version for mapping in mappings])


def list_columns(conn: psycopg.Connection[Any], relation: Relation) -> tuple[Column, ...]:
    """Return a relation's columns in order; MissingRelation where it does not exist."""
    rows = fetch(conn, "migration/relation_columns", schema=relation.schema, name=relation.name)
    if not rows:
        raise MissingRelation(str(relation))
    return tuple(Column(**row) for row in rows)


def _require_columns(mapping: str, relation: Relation, columns: Sequence[Column], row: str, parts: Sequence[str]) -> None:
    known = {column.name for column in columns}
    for part in parts:
        for name in _COLUMN_READ[row].findall(load(f"legacy/{mapping}/{part}").text):
            if name not in known:
                raise ColumnMissing(str(relation), name, mapping, part)


def _version(mapping: str, code: int, zone: str, *columns: Sequence[Column]) -> str:
    texts = [load(f"legacy/{mapping}/{part}").text for part in PARTS]
    return _digest([*texts, code, zone, *([[c.name, c.type] for c in side] for side in columns)])


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def _function(migration: str, code: int, part: str, version: str) -> Relation:
    """Name a function; a long migration name is cut, the version still tells the functions apart."""
    ending = f"_{code}_{part}_{version[:8]}"
    start = migration.encode()[: LONGEST_NAME_BYTES - len(ending)].decode(errors="ignore")
    return Relation(SCHEMA, start + ending)


def _require_zone(conn: psycopg.Connection[Any], mapping: Mapping) -> None:
    try:
        with conn.transaction():
            run(conn, "migration/try_zone", zone=mapping.zone)
    except psycopg.errors.InvalidParameterValue as error:
        raise ZoneUnknown(str(mapping.source), mapping.zone) from error


def _create_missing(conn: psycopg.Connection[Any], mapping: Mapping) -> None:
    for part, rows, other, create in (
        (mapping.forward, mapping.source, mapping.target, _create_forward),
        (mapping.backward, mapping.target, mapping.source, _create_backward),
        (mapping.owns, mapping.target, mapping.target, _create_owns),
    ):
        if not _exists(conn, part, rows):
            with _refusal(mapping, create.__name__.removeprefix("_create_"), other):
                create(conn, mapping, f"Mapping {mapping.name} of {mapping.source}, version {mapping.version}")


def _exists(conn: psycopg.Connection[Any], function: Relation, rows: Relation) -> bool:
    names = {"schema": function.schema, "name": function.name}
    of = {"relation_schema": rows.schema, "relation_name": rows.name}
    return bool(fetch_one(conn, "migration/mapping_function_exists", **names, **of)["found"])


def retype_forward(conn: psycopg.Connection[Any], mapping: Mapping) -> None:
    """Make the forward mapping anew for rows of `mapping.source`, in place of the one that took the old table's rows."""
    run(conn, "migration/drop_functions", names=[mapping.forward.name])
    _create_forward(conn, mapping, f"Mapping {mapping.name}, version {mapping.version}, of a table that was retired")


def _create_forward(conn: psycopg.Connection[Any], mapping: Mapping, text: str) -> None:
    run(
        conn,
        "migration/create_forward",
        function=mapping.forward,
        source=mapping.source,
        columns=_typed(mapping.target_columns),
        names=_names(mapping.target_columns),
        query=_body(mapping, "forward"),
        text=text,
    )


def _create_backward(conn: psycopg.Connection[Any], mapping: Mapping, text: str) -> None:
    run(
        conn,
        "migration/create_backward",
        function=mapping.backward,
        target=mapping.target,
        columns=_typed(mapping.source_columns),
        names=_names(mapping.source_columns),
        query=_body(mapping, "backward"),
        text=text,
    )


def _create_owns(conn: psycopg.Connection[Any], mapping: Mapping, text: str) -> None:
    run(
        conn,
        "migration/create_owns",
        function=mapping.owns,
        target=mapping.target,
        query=_body(mapping, "owns"),
        text=text,
    )


def _body(mapping: Mapping, part: str) -> sql.Composed:
    """Fill in what the file asks for: a source with uuid keys needs no code, one with instants no zone."""
    name = f"legacy/{mapping.name}/{part}"
    given = {"code": mapping.code, "zone": mapping.zone}
    return compose(name, {key: given[key] for key in load(name).literals if key in given})


def _typed(columns: Sequence[Column]) -> str:
    return ", ".join(f"{column.quoted} {column.type}" for column in columns)


def _names(columns: Sequence[Column]) -> str:
    """Read the mapping's columns by name: a table whose columns stand in another order is mapped alike."""
    return ", ".join(f"m.{column.quoted}" for column in columns)


@contextmanager
def _refusal(mapping: Mapping, part: str, other: Relation) -> Iterator[None]:
    """Tell what does not fit; a missing right stays what it is."""
    try:
        yield
    except psycopg.errors.InsufficientPrivilege:
        raise
    except psycopg.ProgrammingError as error:
        reason = "; ".join(filter(None, (error.diag.message_primary, error.diag.message_detail)))
        raise MappingRefused(str(mapping.source), str(other), mapping.name, part, reason or str(error)) from error
