"""Every flow is documented, deployed, loadable, and has the signature that people script against."""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.flows import load_flow_from_entrypoint
from prefect.runtime import flow_run as runtime_of_run

from flows.__main__ import list_flows
from tasks.core.sqlfiles import ROOT

PROJECT = ROOT.parent
DEPLOYMENTS: list[dict[str, Any]] = yaml.safe_load((PROJECT / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]
FLOWS = list(list_flows())
#: The interface: name and defaults, in order.
SIGNATURES = {
    "apply_migrations": "()",
    "create_partitions": "(table=None, as_of=None)",
    "enforce_retention": "(table=None, safety=Safety(), as_of=None)",
    "restore_partition": "(table, partition)",
    "rebuild_indexes": "(table=None)",
    "coarsen_partitions": "(table=None, safety=Safety(), as_of=None)",
    "refresh_matviews": "(matview=None, force=False)",
    "expire_sessions": "(as_of=None)",
    "repair_metadata": "(table=None, safety=Safety())",
    "backfill": "(migration, workers=2)",
    "verify_integrity": "(migration)",
    "migrate": "(migration, approval='ask')",
    "cut_over": "(migration, rehearse=False)",
    "roll_back": "(migration, way='rename', safety=Safety())",
    "retire_legacy": "(migration, safety=Safety(), as_of=None)",
    "validate": "(table=None, suite=None)",
    "report_health": "()",
}
#: What a run with the form's defaults is called; a parameter without one is given its own name.
RUN_NAMES = {
    "apply_migrations": "apply migrations",
    "create_partitions": "create partitions every table",
    "enforce_retention": "plan retention every table",
    "restore_partition": "restore partition",
    "rebuild_indexes": "rebuild indexes every table",
    "coarsen_partitions": "plan coarsen every table",
    "refresh_matviews": "refresh every matview",
    "expire_sessions": "expire sessions now",
    "repair_metadata": "plan repair metadata every table",
    "backfill": "backfill migration",
    "verify_integrity": "verify migration",
    "migrate": "migrate migration",
    "cut_over": "cut over migration",
    "roll_back": "plan roll back migration by rename",
    "retire_legacy": "plan retire legacy migration",
    "validate": "validate every table",
    "report_health": "report health",
}
#: The same where something is asked for.
ASKED = {
    "enforce_retention": ({"table": "a.b", "safety": {"apply": True}, "as_of": "2025-11-01"}, "APPLY retention a.b 2025-11-01"),
    "expire_sessions": ({"as_of": "2025-11-01"}, "expire sessions 2025-11-01"),
    "cut_over": ({"migration": "bills", "rehearse": True}, "rehearse cut over bills"),
    "roll_back": ({"migration": "bills", "way": "complete", "safety": {"apply": True}}, "APPLY roll back bills by complete"),
    "retire_legacy": ({"migration": "bills", "safety": {"apply": True}}, "APPLY retire legacy bills"),
}
#: The bounds of each number on a form.
BOUNDS = {("backfill", "workers"): (1, 8), ("Safety", "at_most"): (1, 50)}


def flow(name: str) -> Any:
    return getattr(importlib.import_module(f"flows.{name}"), name)


def test_the_flows_are_the_ones_that_people_script_against() -> None:
    assert set(FLOWS) == set(SIGNATURES)


@pytest.mark.parametrize("name", FLOWS)
def test_a_flow_keeps_its_signature(name: str) -> None:
    parameters = inspect.signature(flow(name).fn).parameters.values()
    shown = ", ".join(p.name if p.default is p.empty else f"{p.name}={_default(p.default)}" for p in parameters)
    assert f"({shown})" == SIGNATURES[name]


def _default(value: object) -> str:
    return "Safety()" if type(value).__name__ == "Safety" else repr(value)


@pytest.mark.parametrize("name", FLOWS)
def test_a_flow_is_documented(name: str) -> None:
    text = inspect.getdoc(flow(name).fn) or ""
    assert len(text.split("\n\n")) >= 2, "the first line says what it does, then how and how to undo it"
    for parameter in inspect.signature(flow(name).fn).parameters:
        assert f"\n    {parameter}: " in text.partition("Args:")[2], f"Args lacks {parameter}"
    assert (PROJECT / "docs" / "flows" / f"{name}.md").is_file()


@pytest.mark.parametrize("name", FLOWS)
def test_a_description_has_whole_paragraphs(name: str) -> None:
    """Prefect's pages break it wherever it ends a line."""
    shown = flow(name).description.split("\n\n")
    assert [part for part in shown if "\n" in part and not all(line.startswith("- `") for line in part.split("\n"))] == []
    assert any(part.startswith("Undo: ") for part in shown)
    for parameter in inspect.signature(flow(name).fn).parameters:
        assert any(line.startswith(f"- `{parameter}`: ") for line in shown[-1].split("\n"))


def test_every_number_on_a_form_has_bounds_that_its_help_names() -> None:
    found: dict[tuple[str, str], tuple[int, int]] = {}
    for name in FLOWS:
        schema = flow(name).parameters
        for owner, fields in ((name, schema.properties), *((n, d["properties"]) for n, d in schema.definitions.items())):
            for field, facts in fields.items():
                numbers = [way for way in facts.get("anyOf", [facts]) if way.get("type") in {"integer", "number"}]
                for way in numbers:
                    found[owner, field] = way["minimum"], way["maximum"]
                    assert f"rom {way['minimum']} to {way['maximum']}" in facts["description"]
    assert found == BOUNDS


@pytest.mark.parametrize("name", FLOWS)
def test_a_run_is_named_by_what_it_does_and_what_it_was_given(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    parameters = inspect.signature(flow(name).fn).parameters.values()
    defaults = {p.name: p.name if p.default is p.empty else p.default for p in parameters}
    asked, shown = ASKED.get(name, (defaults, RUN_NAMES[name]))
    for given, expected in ((defaults, RUN_NAMES[name]), ({**defaults, **asked}, shown)):
        monkeypatch.setitem(runtime_of_run.FIELDS, "parameters", lambda given=given: given)
        named = flow(name).flow_run_name
        assert (named() if callable(named) else named) == expected


@pytest.mark.parametrize("name", FLOWS)
def test_whatever_fails_in_a_flow_is_kept(name: str) -> None:
    """Its body is one block under flow_runtime, so nothing can fail outside."""
    tree = ast.parse((PROJECT / "flows" / f"{name}.py").read_text(encoding="utf-8"))
    (function,) = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    _docstring, *body = function.body
    items = [item for block in body for item in getattr(block, "items", [block])]
    assert [ast.unparse(getattr(item, "context_expr", item)) for item in items] == ["flow_runtime()"]


@pytest.mark.parametrize("name", FLOWS)
def test_a_flow_has_a_deployment(name: str) -> None:
    assert f"flows/{name}.py:{name}" in {deployment["entrypoint"] for deployment in DEPLOYMENTS}


@pytest.mark.parametrize("entrypoint", sorted({d["entrypoint"] for d in DEPLOYMENTS}))
def test_an_entrypoint_loads_for_real(entrypoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PROJECT)
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert load_flow_from_entrypoint(entrypoint, use_placeholder_flow=False).name


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda d: d["entrypoint"].rpartition(":")[2] + "-" + d["name"])
def test_a_deployment_gives_parameters_that_the_flow_takes(deployment: dict[str, Any]) -> None:
    known = set(inspect.signature(flow(deployment["entrypoint"].rpartition(":")[2]).fn).parameters)
    given = set(deployment.get("parameters", {}))
    for schedule in deployment.get("schedules", []):
        given |= set(schedule.get("parameters", {}))
        assert schedule["timezone"] == "UTC"
    assert given <= known


@pytest.mark.parametrize("name", FLOWS)
def test_no_flow_file_shadows_a_module(name: str) -> None:
    assert name not in sys.stdlib_module_names
    elsewhere = [folder for folder in sys.path if Path(folder or ".").resolve() != PROJECT / "flows"]
    assert PathFinder.find_spec(name, elsewhere) is None


def test_no_deployment_removes_data_without_a_schedule_in_review() -> None:
    for deployment in DEPLOYMENTS:
        assert not deployment.get("parameters", {}).get("safety", {}).get("apply")
