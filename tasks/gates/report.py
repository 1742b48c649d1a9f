"""The report of a migration: one self-contained HTML file (M8).

Belongs here: reading what happened, the decision in one word, cutting long values, writing the file.
Keep out: judging (the verdicts are rows) and drawing (`plots`); nothing here changes the database.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tasks.core.connect import Connection, Kind, transaction
from tasks.core.errors import MissingRelation
from tasks.core.settings import settings
from tasks.core.sqlfiles import fetch
from tasks.gates import plots

#: Holds page.html.j2, the frame and style of every page.
TEMPLATES = Path(__file__).parent
LONGEST_VALUE = 400
MOST_ROWS = 200
EXAMPLES = 3
TONES = {"PASSED": "good", "WARNED": "warn", "BLOCKED": "bad", "ERRORED": "bad"}

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Decision:
    """Go, wait or back, and why; `tone` is the colour."""

    word: Literal["Go", "Wait", "Back", "Done"]
    reason: str
    tone: Literal["good", "warn", "bad"]


def decide(head: Mapping[str, Any], verdicts: Sequence[Mapping[str, Any]]) -> Decision:
    """Say in one word what the evidence allows: a blocked gate after cutover means back, before it wait."""
    failed = " and ".join(f"gate {v['step']} {v['status']}" for v in verdicts if v["status"] in {"BLOCKED", "ERRORED"})
    if head["phase"] == "cut_over":
        return _after(head, failed)
    if failed:
        return Decision("Wait", f"{failed}. Nothing of the application has changed.", "bad")
    if head["phase"] == "rolled_back":
        return Decision("Wait", "Rolled back: the legacy tables are in use again.", "warn")
    if head["decision"] == "approved":
        return Decision("Go", f"Approved by {head['approved_by']}; the cutover may run.", "good")
    is_proven = any(v["step"] == "integrity" for v in verdicts)
    reason = "Every gate so far let it pass; it waits for a person's approval." if is_proven else "It is not proven yet."
    return Decision("Wait", reason, "warn")


def _after(head: Mapping[str, Any], failed: str) -> Decision:
    if failed:
        return Decision("Back", f"Cut over, and then: {failed}.", "bad")
    return Decision("Done", f"{head['target']} is in use; every gate let it pass.", "good")


def write_report(migration: str, as_of: datetime, folder: Path | None = None) -> Path:
    """Write the report of `migration` and return its path; MissingRelation where it was never started.

    The file holds everything it shows; only the Data Docs are linked, relative to it.
    """
    path = (folder or settings().maintenance_output / "reports") / f"{migration}.html"
    with transaction(Kind.READ) as conn:
        shown = _read(conn, migration, path.parent)
    text = render(shown, as_of)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
    return path


def render(shown: Mapping[str, Any], as_of: datetime) -> str:
    """Fill the template; every value is escaped."""
    loader = FileSystemLoader(TEMPLATES)
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    head = shown["head"]
    subtitle = f"Report of {as_of:%Y-%m-%d %H:%M} UTC; the migration is {head['phase'].replace('_', ' ')}"
    return environment.get_template("report.html.j2").render(title=f"Migration {head['name']}", subtitle=subtitle, **shown)


def _read(conn: Connection, migration: str, folder: Path) -> dict[str, Any]:
    heads = fetch(conn, "evidence/report_migration", migration=migration)
    if not heads:
        raise MissingRelation(f"migration {migration}", " in the ledger", f"Run migrate {migration} first.")
    head, verdicts = heads[0], fetch(conn, "evidence/report_verdicts", subject=migration)
    comparison = head["comparison_id"]
    days = fetch(conn, "evidence/report_days", comparison_id=comparison)
    units = fetch(conn, "evidence/report_units", migration=migration)
    return {
        "head": head,
        "decision": decide(head, verdicts),
        "verdicts": [_verdict(verdict, folder) for verdict in verdicts],
        "sources": _by_source(days),
        "days": days,
        "differences": _cut(fetch(conn, "evidence/report_differences", comparison_id=comparison, at_most=MOST_ROWS)),
        "quarantine": _cut(fetch(conn, "evidence/report_quarantine", migration=migration, examples=EXAMPLES)),
        "runs": fetch(conn, "evidence/report_runs", migration=migration, target=head["target"], at_most=50),
        "lock_waits": [_wait(row) for row in fetch(conn, "evidence/report_lock_waits", at_most=50)],
        "plots": {"days": plots.days(days), "throughput": plots.throughput(units)},
        "way_back": way_back(head),
    }


def _verdict(verdict: dict[str, Any], folder: Path) -> dict[str, Any]:
    docs = verdict["data_docs"]
    link = os.path.relpath(docs, folder) if docs else None
    return {
        **verdict,
        "tone": TONES[verdict["status"]],
        "lines": [_cut_text(reason) for reason in verdict["reasons"]],
        "data_docs": link,
    }


def _by_source(days: Sequence[Mapping[str, Any]]) -> Rows:
    counted = ("legacy_rows", "legacy_kept", "unified_rows", "quarantined", "in_flight")
    sources: dict[str, dict[str, Any]] = {}
    for day in days:
        total = sources.setdefault(day["source"], {"source": day["source"], "unequal": 0, **dict.fromkeys(counted, 0)})
        for name in counted:
            total[name] += day[name]
        total["unequal"] += not day["is_equal"]
    return list(sources.values())


def _cut(rows: Rows) -> Rows:
    """Cut long JSON values so that one row of a megabyte does not make the page unreadable."""
    return [{name: _cut_value(value) for name, value in row.items()} for row in rows]


def _cut_value(value: Any) -> Any:
    if isinstance(value, list):
        return [_cut_text(item) for item in value]
    return _cut_text(value) if isinstance(value, dict) else value


def _cut_text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}… ({len(text):,} characters)"


def _wait(row: dict[str, Any]) -> dict[str, Any]:
    held = "; ".join(f"pid {holder['pid']}: {_cut_text(holder['query'])}" for holder in row["holders"])
    return {**row, "held_by": held or "already gone when looked at"}


def way_back(head: Mapping[str, Any]) -> list[str]:
    """Return what undoes the migration from where it stands."""
    name = head["name"]
    if head["phase"] != "cut_over":
        return ["Nothing of the application has changed: the legacy tables are in use.", "Stop here, or run migrate again."]
    return [
        f"python -m flows roll_back {name} shows what would happen and changes nothing.",
        f"python -m flows roll_back {name} --safety.apply puts the legacy tables back with everything written since.",
    ]
