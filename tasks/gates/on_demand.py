"""Validate declared tables, migrations and materialized views when somebody asks (M8).

Belongs here: which gates can be asked without a flow that brings a plan, a project's own suites, what `validate` returns.
Keep out: asking (`gate`) and expectations.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tasks.core.declaration import Declaration
from tasks.core.errors import Permanent
from tasks.gates.gate import pass_gate
from tasks.gates.suites import require_sound

#: Asked of a table, of a migration, of a view. Retention's and the cutover's need what only their flows know.
OF_TABLE, OF_MIGRATION, OF_MATVIEW = ("schema",), ("preflight", "backfill", "integrity", "after_cutover"), ("matviews",)
CUSTOM = "custom"
#: What is asked where no suite is named: what holds at any time.
STANDING = (*OF_TABLE, *OF_MATVIEW, CUSTOM)


@dataclass(eq=False)
class UnknownSuite(Permanent):
    """There is no suite {suite} to validate on demand. Name one of: {known}. Those of retention and cutover are asked by their
    flows, which know the plan."""

    suite: str
    known: str


@dataclass(eq=False)
class NothingToValidate(Permanent):
    """The suite {suite} has nothing to judge{of}: {reason}. Nothing was validated."""

    suite: str
    of: str
    reason: str


@dataclass(frozen=True)
class Validation:
    """One gate asked of one subject."""

    subject: str
    suite: str

    def __str__(self) -> str:
        return f"{self.suite} of {self.subject}"


@dataclass(frozen=True)
class Validated:
    """What a gate said that lets pass; one that does not is raised."""

    subject: str
    suite: str
    status: str
    reasons: tuple[str, ...]
    data_docs: str | None


def plan_validation(declaration: Declaration, table: str | None, suite: str | None) -> list[Validation]:
    """Return what is asked: the standing suites of a declared table or of all, or the one named.

    A migration's suites are asked only by name. Raises NotDeclared, UnknownSuite, NothingToValidate.
    """
    tables = declaration.table_names(table)
    wanted = STANDING if suite is None else (suite,)
    asked = [Validation(name, step) for step in OF_TABLE for name in tables]
    asked += [Validation(n, step) for step in OF_MIGRATION for n, m in declaration.migrations.items() if m.target in tables]
    asked += [Validation(name, step) for step in OF_MATVIEW if table is None for name in declaration.matviews]
    asked += [Validation(name, CUSTOM) for name in tables if name in own_suites()]
    if suite is not None and suite not in (*OF_TABLE, *OF_MIGRATION, *OF_MATVIEW, CUSTOM):
        raise UnknownSuite(suite, ", ".join((*OF_TABLE, *OF_MIGRATION, *OF_MATVIEW, CUSTOM)))
    chosen = [one for one in asked if one.suite in wanted]
    if suite is not None and not chosen:
        raise NothingToValidate(suite, f" of {table}" if table else "", _why_nothing(suite, table))
    return chosen


def _why_nothing(suite: str, table: str | None) -> str:
    if suite in OF_MATVIEW:
        return "it is asked of all materialized views, without a table" if table else "no materialized view is declared"
    if suite in OF_MIGRATION:
        return "no migration into it is declared" if table else "no migration is declared"
    return "expectations/custom.py has no suite for it" if table else "expectations/custom.py has none"


def own_suites() -> Mapping[str, Mapping[str, Any]]:
    """Return a project's own suites by table and frame, from expectations/custom.py."""
    tables: Mapping[str, Mapping[str, Any]] = importlib.import_module("expectations.custom").TABLES
    return tables


def validate_one(asked: Validation, declaration: Declaration) -> Validated:
    """Ask one gate; raises GateBlocked naming what failed, InvalidSuite where a project's own suite cannot be trusted."""
    suites = own_suites()[asked.subject] if asked.suite == CUSTOM else None
    for name, suite in (suites or {}).items():
        require_sound(CUSTOM, name, suite)
    verdict = pass_gate(asked.subject, asked.suite, declaration, suites=suites)
    return Validated(asked.subject, asked.suite, verdict.status, verdict.reasons, verdict.data_docs)


def render(results: list[Validated]) -> str:
    """Return the results as a Markdown table, each reason below it."""
    head = ["| suite | of | verdict | Data Docs |", "|---|---|---|---|"]
    rows = [f"| {r.suite} | {r.subject} | {r.status} | {r.data_docs or ''} |" for r in results]
    said = [f"- {r.suite} of {r.subject}: {reason}" for r in results for reason in r.reasons]
    return "\n".join([*head, *rows, *([""] if said else []), *said])
