"""The declaration: strict, its JSON schema fresh, and the engine free of its names."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tasks.core.declaration import Declaration, read_declaration
from tasks.core.errors import InvalidDeclaration, NotDeclared
from tasks.core.sqlfiles import ROOT

PROJECT = ROOT.parent


def test_the_json_schema_is_fresh() -> None:
    written = json.loads((PROJECT / "maintenance.schema.json").read_text(encoding="utf-8"))
    assert written == Declaration.model_json_schema(), "run: make schema"


def test_the_shipped_declaration_is_valid() -> None:
    assert read_declaration(PROJECT / "maintenance.yaml").tables


def test_the_engine_knows_no_name_of_the_event_store() -> None:
    declared = read_declaration(PROJECT / "maintenance.yaml")
    relations = [*declared.tables, *declared.matviews, *(s for m in declared.migrations.values() for s in m.sources)]
    words = {name.partition(".")[2] for name in relations} - {"events"} | {"event_store", *relations}
    # Of a sink the whole name only: its last part may be an ordinary word.
    words |= {sink.table for sink in (declared.sinks.sessions,) if sink}
    words |= set(declared.metadata.columns if declared.metadata else ())
    pattern = re.compile(r"\b(" + "|".join(re.escape(word) for word in sorted(words)) + r")\b")
    folders = ("tasks", "flows", "expectations")
    files = [path for folder in folders for path in (PROJECT / folder).rglob("*.py")]
    files += [p for p in (PROJECT / "sql").rglob("*.sql") if not re.search(r"sql/(legacy|migrations/(?!maintenance))", str(p))]
    found = [f"{path.relative_to(PROJECT)}: {match[0]}" for path in files if (match := pattern.search(path.read_text("utf-8")))]
    assert not found


TABLE = "tables: {a.b: {why: w, owner: o, partitioning: {by: at, every: day, ahead: P1D%s}}}"

SINK = "sinks: {sessions: {why: w, owner: o, table: a.b, expire_after: %s, purge_after: P30D%s}}"


@pytest.mark.parametrize(
    ("text", "where", "reason"),
    [
        (TABLE % ", evry: day", "tables.a.b.partitioning.evry", "there is no such key"),
        ("tables: {}\ntables: {}", "line 2", "the key 'tables' stands twice"),
        (TABLE.replace("P1D", "90 days") % "", "tables.a.b.partitioning.ahead", "a duration is written in ISO 8601"),
        (TABLE.replace("P1D", "P3M") % "", "tables.a.b.partitioning.ahead", "a duration is written in ISO 8601"),
        (TABLE % ", zone: Mars/Base", "tables.a.b.partitioning.zone", "not a time zone"),
        (TABLE.replace("a.b", "ab") % "", "tables.ab", "not of the form schema.name"),
        (TABLE.replace("every: day", "every: fortnight") % "", "tables.a.b.partitioning.every", "Input should be"),
        (TABLE.replace("why: w", "why: w, gates: [retentoin]") % "", "tables.a.b.gates.0", "Input should be"),
        (SINK % ("P0D", ""), "sinks.sessions", "expire_after is no time at all"),
        (SINK % ("P1D", ", batch_rows: 0"), "sinks.sessions.batch_rows", "greater than or equal to 1"),
        (SINK.replace("sinks: {", "sinks: {mails: {}, ") % ("P1D", ""), "sinks.mails", "there is no such key"),
        ("- a list", "the top level", "dictionary"),
        ("tables: [", "line 1", ""),
    ],
)
def test_a_wrong_declaration_names_file_place_and_reason(tmp_path: Path, text: str, where: str, reason: str) -> None:
    file = tmp_path / "maintenance.yaml"
    file.write_text(text, encoding="utf-8")

    with pytest.raises(InvalidDeclaration) as caught:
        read_declaration(file)

    assert caught.value.file == str(file)
    assert caught.value.where.startswith(where)
    assert reason in caught.value.reason


def test_a_missing_declaration_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(InvalidDeclaration, match="MAINTENANCE_FILE"):
        read_declaration(tmp_path / "absent.yaml")


def test_an_undeclared_table_is_named_with_those_that_are_declared() -> None:
    with pytest.raises(NotDeclared, match=r"Declared are: .*Declare it there"):
        read_declaration(PROJECT / "maintenance.yaml").table("no.such")
