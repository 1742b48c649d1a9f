"""`python -m tests.reference`: the reference of the declaration, docs/declaration.md, from the models' JSON schema.

Belongs here: turning the schema into tables. Keep out: any sentence about a key, which stands in `tasks/core/declaration.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tasks.core.declaration import Declaration

Schema = Mapping[str, Any]

PAGE = Path(__file__).resolve().parents[1] / "docs" / "declaration.md"
INTRODUCTION = """# The declaration

`maintenance.yaml` says what is maintained, how and why; `MAINTENANCE_FILE` names another file. It is read strictly: an unknown
or doubled key, a missing one and a wrong value are refused with their place and the reason, before anything is done.
Durations are ISO 8601 in weeks, days, hours, minutes and seconds (`P90D`, `PT15M`): months and years have no fixed length.
Relations are written `schema.name`. An editor that knows `maintenance.schema.json` completes the file.

This page is made from the models in `tasks/core/declaration.py` by `make reference`; change it there.
"""


def describe(schema: Schema) -> str:
    """Return the whole page for the JSON schema of the declaration."""
    sections = [_section("The file", schema), *(_section(name, schema["$defs"][name]) for name in _in_order(schema))]
    return "\n".join([INTRODUCTION, *sections])


def _in_order(schema: Schema) -> list[str]:
    """Name the models in the order in which the file mentions them, each once."""
    found: list[str] = []
    _follow(schema, schema["$defs"], found)
    return found


def _follow(node: Any, models: Schema, found: list[str]) -> None:
    for name in _mentioned({key: part for key, part in node.items() if key != "$defs"}):
        if name not in found:
            found.append(name)
            _follow(models[name], models, found)


def _mentioned(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"].rpartition("/")[2]
        for part in node.values():
            yield from _mentioned(part)
    elif isinstance(node, list):
        for part in node:
            yield from _mentioned(part)


def _section(title: str, schema: Schema) -> str:
    rows = [_row(name, field, name in schema.get("required", ())) for name, field in schema["properties"].items()]
    head = [f"## {title}", "", schema.get("description", ""), "", "| key | value | default | |", "|---|---|---|---|"]
    return "\n".join([*head, *rows, ""])


def _row(name: str, field: Schema, is_required: bool) -> str:  # noqa: FBT001 (one call)
    default = "required" if is_required else _default(field)
    return f"| `{name}` | {_kind(field)} | {default} | {_cell(field.get('description', ''))} |"


def _default(field: Schema) -> str:
    value = field.get("default")
    if value in (None, {}, [], ()):
        return "none"
    return f"`{value}`" if isinstance(value, str) else f"`{json.dumps(value)}`"


def _kind(field: Schema) -> str:
    """Say in words what may stand there."""
    if "anyOf" in field:
        return " or ".join(_kind(part) for part in field["anyOf"] if part.get("type") != "null")
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    return _composed(field) or _WORDS.get(field.get("format", field.get("type", "")), "text")


_WORDS = {"duration": "duration", "date-time": "instant", "boolean": "`true`, `false`"}


def _composed(field: Schema) -> str | None:
    match field.get("type"):
        case "array":
            return f"list of {_kind(_items(field))}"
        case "object":
            return f"by name: {_kind(_values(field))}"
        case "integer":
            return f"number{_limits(field)}"
        case _:
            return None


def _items(field: Schema) -> Schema:
    return field.get("items", {})


def _values(field: Schema) -> Schema:
    given = field.get("additionalProperties") or next(iter(field.get("patternProperties", {}).values()), {})
    return given if isinstance(given, dict) else {}


def _limits(field: Schema) -> str:
    least, most = field.get("minimum"), field.get("maximum")
    if least is None:
        return ""
    return f", {least} to {most}" if most is not None else f", at least {least}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    PAGE.write_text(describe(Declaration.model_json_schema()), encoding="utf-8")
