"""What the documents say exists: flows and their parameters, pages and headings, tests, make targets; and the reference is fresh."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from cyclopts import App, CycloptsError

from flows.__main__ import COMMANDS, _plain, list_flows
from tasks.core.connect import Kind
from tasks.core.declaration import Declaration
from tasks.core.sqlfiles import ROOT
from tests.reference import PAGE, describe

PROJECT = ROOT.parent
PAGES = sorted([*(PROJECT / "docs").rglob("*.md"), *PROJECT.glob("*.md")])
COMMAND = re.compile(r"python -m flows((?: +[^\s`#\]()]+)*)")
LINK = re.compile(r"\]\((?!https?:)([^)\s]*)\)")
#: A path of somebody's machine says nothing to a reader; these are the ones that every system has, or stand for one's own.
ABSOLUTE = re.compile(r"(?<![\w.>)<*/:-])/(?!(?:etc|srv|usr|var/lib|path/to|report_)\b)[a-z_]+/[\w./-]*")


def named(path: Path) -> str:
    return str(path.relative_to(PROJECT))


def commands() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        for found in COMMAND.finditer(page.read_text(encoding="utf-8")):
            yield named(page), found[1].strip()


def test_the_reference_of_the_declaration_is_fresh() -> None:
    assert PAGE.read_text(encoding="utf-8") == describe(Declaration.model_json_schema()), (
        "run: make reference (python -m tests.reference)"
    )


def test_every_key_of_the_declaration_is_explained() -> None:
    assert not re.findall(r"^\| `(\w+)` .*\|  \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize(("page", "command"), [*dict.fromkeys(commands())])
def test_a_command_of_a_page_is_one_that_can_be_called(page: str, command: str) -> None:
    name, *rest = shlex.split(re.sub(r"<[\w. ]+>", "some.thing", command)) or [""]
    if not name or name in ("[some.thing", "some.thing"):
        return
    module = COMMANDS[name][0] if name in COMMANDS else f"flows.{name}"
    assert name in COMMANDS or name in list_flows(), page
    if {"--help", "-h"} & set(rest):
        return
    app = App(version_flags=[])
    app.default(_plain(getattr(importlib.import_module(module), name)))
    try:
        app.parse_args(rest, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        pytest.fail(f"{page}: python -m flows {command}: {error}")


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_a_link_leads_somewhere(page: Path) -> None:
    lost = [link for link in LINK.findall(without_code(page)) if not leads_somewhere(page, link)]
    assert not lost


def without_code(page: Path) -> str:
    return re.sub(r"^(`{3,}).*?^\1$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def leads_somewhere(page: Path, link: str) -> bool:
    path, _, heading = link.partition("#")
    there = (page.parent / path).resolve() if path else page
    if not there.exists() or not there.is_relative_to(PROJECT):
        return False
    return not heading or heading in headings(there)


def headings(page: Path) -> set[str]:
    """Return the anchors that GitHub makes of a page's headings."""
    titles = re.findall(r"^#+ (.+)$", without_code(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_test_that_a_page_names_exists() -> None:
    known = {
        node.name
        for path in (PROJECT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
    }
    said = {(named(page), name) for page in PAGES for name in re.findall(r"`(test_\w+)`", page.read_text(encoding="utf-8"))}
    assert not [(page, name) for page, name in said if name not in known]


def test_the_security_audit_names_a_test_for_each_claim() -> None:
    text = (PROJECT / "docs" / "security-audit.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith(("| role |", "| what |"))]
    assert len(rows) > 20
    assert not [row for row in rows if not re.search(r"`test_\w+`", row)]


def test_every_make_target_that_a_page_names_exists() -> None:
    known = set(re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    said = {name for page in PAGES for name in re.findall(r"`make ([a-z-]+)", page.read_text(encoding="utf-8"))}
    assert said <= known


def test_every_file_that_a_page_names_exists() -> None:
    """A path in code, from the project's root; `<…>` and `*` stand for any name."""
    said = {
        (named(page), path)
        for page in PAGES
        for path in re.findall(
            r"`((?:docs|expectations|flows|sql|tasks|tests|\.ci)/[\w./*<>{},-]+)`", page.read_text(encoding="utf-8")
        )
    }
    assert not [(page, path) for page, path in said if path not in MADE_BY_OTHERS and not is_there(path)]


#: What a project that adopts this writes itself.
MADE_BY_OTHERS = {"sql/evidence/custom/<frame>.sql", "sql/legacy/bills/"}


def is_there(path: str) -> bool:
    pattern = re.sub(r"<[^>]+>", "*", path)
    parts = re.fullmatch(r"(.*)\{([^}]+)\}(.*)", pattern)
    options = [f"{parts[1]}{name}{parts[3]}" for name in parts[2].split(",")] if parts else [pattern]
    return all(any(PROJECT.glob(option.rstrip("/"))) for option in options)


def test_no_page_names_a_path_of_somebodys_machine() -> None:
    found = [(named(page), path) for page in PAGES for path in ABSOLUTE.findall(page.read_text(encoding="utf-8"))]
    assert not found


def test_the_timeouts_of_the_checklist_are_those_of_the_code() -> None:
    text = (PROJECT / "docs" / "production-checklist.md").read_text(encoding="utf-8")
    said = {
        row[0]: tuple(map(spoken_ms, row[1:]))
        for row in re.findall(r"^\| `([A-Z]+)` \|.*\| (.+) \| (.+) \| (.+) \|$", text, re.MULTILINE)
    }
    assert said == {kind.name: tuple(kind.value) for kind in Kind}


def spoken_ms(text: str) -> int:
    if text == "none":
        return 0
    number, unit = text.split()
    return int(number) * {"ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000}[unit]


def test_the_example_of_the_guide_is_the_one_that_is_tested() -> None:
    text = (PROJECT / "docs" / "migration-guide.md").read_text(encoding="utf-8")
    files = [
        path.read_text(encoding="utf-8")
        for path in (PROJECT / "tests" / "declarations" / "second").rglob("*.*")
        if path.is_file()
    ]
    shown = re.findall(r"^```(?:sql|yaml)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(shown) == 7
    assert not [block for block in shown if not any(block.strip() in file for file in files)]
