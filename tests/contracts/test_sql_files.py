"""Every statement below sql/ is well formed, called with the keywords it declares, and used."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from tasks.core import sqlfiles
from tasks.core.sqlfiles import ROOT

PROJECT = ROOT.parent
#: Not called by name: migrations are applied verbatim, mappings are installed as functions.
APART = ("migrations/", "legacy/")
CALLS = {"run", "fetch", "fetch_one", "compose"}


def names() -> list[str]:
    files = (path.relative_to(ROOT).with_suffix("").as_posix() for path in ROOT.rglob("*.sql"))
    return sorted(name for name in files if not name.startswith(APART))


@dataclass(frozen=True)
class Call:
    place: str
    name: str
    keywords: frozenset[str]
    is_open: bool


def calls() -> list[Call]:
    sources = [path for folder in ("tasks", "flows") for path in (PROJECT / folder).rglob("*.py")]
    return [call for path in sources for call in _calls_in(path)]


def _calls_in(path: Path) -> Iterator[Call]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call) or _callee(node) not in CALLS:
            continue
        texts = [a.value for a in node.args[:2] if isinstance(a, ast.Constant) and isinstance(a.value, str)]
        if texts and "/" in texts[0]:
            given = frozenset(k.arg for k in node.keywords if k.arg)
            is_open = any(k.arg is None for k in node.keywords) or _callee(node) == "compose"
            yield Call(f"{path.relative_to(PROJECT)}:{node.lineno}", texts[0], given, is_open)


def _callee(node: ast.Call) -> str:
    return node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")


@pytest.mark.parametrize("name", names())
def test_a_statement_declares_the_placeholders_it_uses(name: str) -> None:
    assert sqlfiles.load(name).summary


def test_every_call_names_a_file_and_its_keywords() -> None:
    wrong = []
    for call in calls():
        declared = sqlfiles.load(call.name).placeholders
        missing, unknown = declared - call.keywords, call.keywords - declared
        if unknown or (missing and not call.is_open):
            wrong.append(f"{call.place} calls {call.name}: missing {sorted(missing)}, unknown {sorted(unknown)}")
    assert not wrong, "\n".join(wrong)


def test_every_statement_is_used() -> None:
    text = "\n".join(p.read_text(encoding="utf-8") for folder in ("tasks", "flows") for p in (PROJECT / folder).rglob("*.py"))
    unused = [name for name in names() if f'"{name}"' not in text and f'"{Path(name).name}"' not in text]
    assert not unused


def test_every_query_without_identifiers_prepares_on_the_migrated_schema(database: str) -> None:
    faults: list[str] = []
    with psycopg.connect(database, autocommit=True) as conn:
        # What carrying back makes for itself before it calls the statements that read it.
        conn.execute("create temporary table maintenance_carried (key text, at timestamptz, u unified.event_metric_events)")
        for name in names():
            statement = sqlfiles.load(name)
            if statement.placeholders == statement.params and _is_preparable(statement.text):
                faults += _fault(conn, name, statement)
    assert not faults, "\n".join(faults)


def _is_preparable(text: str) -> bool:
    return text.split(None, 1)[0].lower() in {"select", "insert", "update", "delete", "with", "values"}


def _fault(conn: psycopg.Connection[object], name: str, statement: sqlfiles.Statement) -> list[str]:
    order = sorted(statement.params)
    text = re.sub(r"%\((\w+)\)s", lambda match: f"${order.index(match[1]) + 1}", statement.text)
    text = text.replace("%%", "%") if order else text
    try:
        conn.execute(sqlfiles.trusted("prepare contract as " + text.replace("{{", "{").replace("}}", "}")))
        conn.execute("deallocate contract")
    except psycopg.Error as error:
        return [f"{name}: {error}"]
    return []


def test_a_header_that_differs_from_its_statement_is_refused() -> None:
    with pytest.raises(sqlfiles.InvalidSqlFile, match="braces used"):
        sqlfiles.parse("x", "-- Do it.\n-- identifiers: a\nselect 1 from {b}")
