"""What a flow returned, as a terminal shows it: YAML, which a person reads and a program too.

Belongs here: the text of any typed result, and a number with what it counts. Keep out: printing, and artifacts, whose text is each room's own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import date
from math import inf
from typing import Any

import yaml

_EMPTY = (None, "", (), [], {})


def shown(result: object) -> str:
    """Return a result as one YAML document: a mapping by field, times in ISO 8601.

    What is empty is left out, and so is a field that its dataclass keeps out of its own repr.
    """
    return yaml.dump(_plain(result), Dumper=_Readable, sort_keys=False, allow_unicode=True, width=inf)


def counted(count: int, noun: str) -> str:
    """Return a number with its noun, which takes an s in the plural: 1 row, 30 partitions."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _plain(value: object) -> Any:
    if dataclasses.is_dataclass(value):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value) if field.repr}
        return {name: _plain(held) for name, held in fields.items() if held not in _EMPTY}
    if isinstance(value, Mapping):
        return {_plain(key): _plain(held) for key, held in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(held) for held in value]
    return value if isinstance(value, bool | int | float | date | None) else str(value)


class _Readable(yaml.SafeDumper):
    """Writes text of several lines as a block, and every value where it stands."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 (the base class's signature)
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Readable.add_representer(str, _represent_text)
