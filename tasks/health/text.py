"""The report as text: Markdown for log and artifact, rows for the table artifact (A5).

Belongs here: escaping and layout. Keep out: what a section shows (`sections`), HTML (`page`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tasks.health.report import HealthSummary
from tasks.health.sections import Section, sections

#: A table of the artifact holds so many rows, the page holds them all.
MOST_ROWS = 15


def describe(summary: HealthSummary) -> str:
    """Return the Markdown that log and artifact share: the findings first, then each section."""
    lines = [f"# Health at {summary.as_of:%Y-%m-%d %H:%M} UTC", "", headline(summary), ""]
    if summary.findings:
        rows = [(f.level, f.section, f.object, f.text, f"`{f.remedy}`" if f.remedy else "") for f in summary.findings]
        lines += [*_table(("level", "section", "object", "finding", "remedy"), rows), ""]
    for section in sections(summary):
        lines += [f"## {section.title}", "", *_body(section)]
    return "\n".join(lines).rstrip() + "\n"


def headline(summary: HealthSummary) -> str:
    """Return the findings by level in one line."""
    if not summary.findings:
        return "Nothing to report."
    levels = ("critical", "warning", "info")
    return ", ".join(f"{sum(f.level == level for f in summary.findings)} {level}" for level in levels)


def finding_rows(summary: HealthSummary) -> list[dict[str, Any]]:
    """Return the findings as rows of a table artifact, with the time since which each is open."""
    since = summary.since or {}
    return [
        {
            "level": f.level,
            "section": f.section,
            "object": f.object,
            "finding": f.text,
            "remedy": f.remedy,
            "since": f"{since.get((f.rule, f.object), summary.as_of):%Y-%m-%d %H:%M} UTC",
        }
        for f in summary.findings
    ]


def _body(section: Section) -> list[str]:
    lines: list[str] = []
    if section.figures:
        lines += [*_table(("figure", "value"), section.figures), ""]
    for grid in section.grids:
        more = len(grid.rows) - MOST_ROWS
        lines += [f"### {grid.title}", "", *_table(grid.columns, grid.rows[:MOST_ROWS]), ""]
        lines += [f"{more} more stand on the page.", ""] if more > 0 else []
    return lines + ([section.note, ""] if section.note else [])


def _table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    head = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    return head + [f"| {' | '.join(map(_cell, row))} |" for row in rows]


def _cell(value: object) -> str:
    text = f"{value:,}" if isinstance(value, int) else "" if value is None else str(value)
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")
