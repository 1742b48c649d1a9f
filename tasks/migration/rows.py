"""Write the mapped rows of given legacy keys, and find the one row that fails.

Belongs here: what copy and drain share: the arguments of their statements, writing by keys, halving until a defect is found.
Keep out: which keys (`drain`, `copy`), and collisions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import psycopg

from tasks.core.connect import Connection
from tasks.core.errors import Permanent
from tasks.core.names import Relation
from tasks.core.sqlfiles import fetch_one
from tasks.migration.registry import Source, Target
from tasks.partitions.bounds import Bounds

T = TypeVar("T")
#: Keys as a list, or as the text of an array where the server made it and this process need not look inside.
Keys = list[str] | str


@dataclass(eq=False)
class MappingDefect(Permanent):
    """The row {key} of {source} cannot be written to {target}: {reason}. The mapping gave no reason to refuse it, so it has a
    defect: correct sql/legacy/ and run again. Nothing of this unit was kept."""

    source: str
    key: str
    target: str
    reason: str


@dataclass(frozen=True)
class Place:
    """Where the statements of one unit work: a connection, one source, its target, the attached bounds, the span."""

    conn: Connection
    target: Target
    source: Source
    attached: Sequence[Bounds]
    span: Bounds

    @property
    def target_names(self) -> dict[str, object]:
        """The identifiers of the target."""
        return {"target": self.target.relation, "id": self.target.id_column, "time": self.target.time_column}

    @property
    def legacy_names(self) -> dict[str, object]:
        """The identifiers of the source's table and key."""
        return {"legacy": self.source.relation, "key": self.source.key_column}

    @property
    def spanned(self) -> dict[str, object]:
        """The bounds that `forward` takes."""
        return {"span_from": self.span[0], "span_to": self.span[1]}

    @property
    def covered(self) -> str:
        """The attached bounds as the text of a tstzmultirange."""
        return "{" + ",".join(f"[{lower.isoformat()},{upper.isoformat()})" for lower, upper in self.attached) + "}"


@dataclass(frozen=True)
class Written:
    """How many rows were written and refused, and the keys of accepted rows whose place another row holds."""

    written: int = 0
    refused: int = 0
    unwritten: Sequence[str] = ()


def write_rows(place: Place, keys: Keys, *, into: Relation | None = None) -> Written:
    """Map the legacy rows of `keys` as they are now into the target (or the standalone partition `into`) or quarantine.

    Raises MappingDefect naming the row that the target refuses although the mapping accepts it.
    """

    def attempt(some: Keys) -> Written:
        return Written(**fetch_one(place.conn, "migration/write_rows", **_arguments(place, some, into)))

    return explained(place, keys, attempt)


def _arguments(place: Place, keys: Keys, into: Relation | None) -> dict[str, object]:
    source = place.source
    names = {**place.target_names, **place.legacy_names, "legacy_time": source.time_column, "forward": source.forward}
    texts = {"key_type": source.key_type, "columns": place.target.names, "mapped": place.target.mapped}
    values = {**place.spanned, "source_id": source.id, "zone": source.zone, "attached": place.covered, "keys": keys}
    return {**names, **texts, **values, "target": into or place.target.relation}


def explained(place: Place, keys: Keys, attempt: Callable[[Keys], T]) -> T:
    """Return `attempt(keys)`; where a row makes it fail, halve the keys until that row is found and raise MappingDefect."""
    try:
        with place.conn.transaction():
            return attempt(keys)
    except psycopg.Error as error:
        if not is_about_a_row(error):
            raise
        listed = fetch_one(place.conn, "migration/list_of_keys", keys=keys)["keys"]
        raise find_defect(place, listed, attempt, error) from error


def is_about_a_row(error: psycopg.Error) -> bool:
    """Say whether a row's content can have caused it: not a lock, a deadlock, a time limit or a lost connection."""
    return not isinstance(error, psycopg.OperationalError) or isinstance(error, psycopg.errors.ProgramLimitExceeded)


def find_defect(place: Place, keys: list[str], attempt: Callable[[Keys], object], error: psycopg.Error) -> MappingDefect:
    """Halve `keys`, each try rolled back, until one row is left that fails; `error` is told where none fails alone."""
    while len(keys) > 1:
        half = len(keys) // 2
        first = _failure(place.conn, keys[:half], attempt)
        keys, error = (keys[:half], first) if first else (keys[half:], error)
    alone = _failure(place.conn, keys, attempt) if keys else None
    key = keys[0] if alone else "(no single one fails alone)"
    return MappingDefect(str(place.source.relation), key, str(place.target.relation), _reason(alone or error))


def _failure(conn: Connection, keys: list[str], attempt: Callable[[Keys], object]) -> psycopg.Error | None:
    try:
        with conn.transaction(force_rollback=True):
            attempt(keys)
    except psycopg.Error as error:
        if not is_about_a_row(error):
            raise
        return error
    return None


def _reason(error: psycopg.Error) -> str:
    """The server's sentence without the row, which its detail would print whole."""
    fields: dict[str, Any] = {"column": error.diag.column_name, "constraint": error.diag.constraint_name}
    named = ", ".join(f"{name} {value}" for name, value in fields.items() if value)
    sentence = error.diag.message_primary or str(error)
    return f"{sentence} ({named})" if named else sentence
