"""Names of relations, as values.

Belongs here: parsing and printing `schema.name`, and the 63-byte limit of PostgreSQL's identifiers.
Keep out: the driver (quoting is `sqlfiles`' work) and any look-up in a catalog. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

from tasks.core.errors import InvalidName

#: NAMEDATALEN - 1: PostgreSQL cuts longer identifiers silently (manual 4.1.1).
LONGEST_NAME_BYTES = 63


@dataclass(frozen=True, order=True)
class Relation:
    """A table, view, index or function by schema and name; both exact, never quoted."""

    schema: str
    name: str

    @classmethod
    def parse(cls, text: str) -> Relation:
        """Read `schema.name`; a name without a schema or with a second dot raises InvalidName."""
        schema, dot, name = text.partition(".")
        if not (schema and dot and name) or "." in name:
            raise InvalidName(name=text, reason="it is not of the form schema.name")
        return cls(require_name(schema), require_name(name))

    def sibling(self, name: str) -> Relation:
        """Return the relation called `name` in the same schema; InvalidName past 63 bytes."""
        return Relation(self.schema, require_name(name))

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


def require_name(name: str) -> str:
    """Return `name` unchanged, or raise InvalidName where PostgreSQL would cut or refuse it."""
    size = len(name.encode())
    if not name or "\0" in name:
        raise InvalidName(name=name, reason="it is empty or holds a zero byte")
    if size > LONGEST_NAME_BYTES:
        raise InvalidName(name=name, reason=f"it has {size} bytes and PostgreSQL keeps {LONGEST_NAME_BYTES}")
    return name
