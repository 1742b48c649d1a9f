"""The text in which the indexes of a table are shown: log and artifact are the same.

Belongs here: Markdown from findings. Keep out: anything that decides.
"""

from __future__ import annotations

from collections.abc import Sequence

from tasks.core.shown import counted
from tasks.partitions.index_findings import Act, Finding
from tasks.partitions.rebuild import IndexReport, RebuildResult

#: Names shown in one cell; a hundred partitions lack an index all at once.
MOST_NAMES = 3
ACTS: dict[Act, str] = {
    "create": "created on the table, then built on each partition",
    "build": "built concurrently and attached",
    "attach": "attached",
    "rebuild": "built again concurrently",
    "drop": "removed concurrently",
    "correct": "nothing; the run fails until it is corrected",
    "none": "nothing",
}


def index_report(report: IndexReport) -> str:
    """Return the findings of one table as Markdown, like ones in one line."""
    head = f"### {report.table}: indexes on {counted(report.partitions, 'partition')}"
    if not report.findings:
        return f"{head}\n\nNothing to report."
    groups: dict[tuple[str, str, str], list[Finding]] = {}
    for finding in report.findings:
        groups.setdefault((finding.kind, finding.act, finding.reason), []).append(finding)
    table = "| finding | index | on | why | what is done |\n|---|---|---|---|---|"
    return "\n".join([head, "", table, *(_line(found) for found in groups.values())])


def rebuilt_indexes(result: RebuildResult) -> str:
    """Return what a run did to the indexes of one table as Markdown: how many of each, and which."""
    done = {"created on the table": result.created, "built on partitions": result.built, "removed": result.dropped}
    counts = ", ".join(f"{len(names)} {what}" for what, names in done.items() if names)
    lines = [f"- {what}: {', '.join(names)}" for what, names in done.items() if names]
    return "\n".join([f"{result.table}: {counts}.", "", *lines])


def _line(found: Sequence[Finding]) -> str:
    first = found[0]
    indexes, relations = _some([f.index for f in found]), _some([f.relation for f in found])
    return f"| {first.kind} | {indexes} | {relations} | {_cell(first.reason)} | {ACTS[first.act]} |"


def _some(names: Sequence[str]) -> str:
    distinct = list(dict.fromkeys(names))
    more = f" and {len(distinct) - MOST_NAMES} more" if len(distinct) > MOST_NAMES else ""
    return _cell(", ".join(distinct[:MOST_NAMES]) + more)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
