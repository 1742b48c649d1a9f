"""The report's plots: trends from earlier reports, rows and bytes by partition.

Belongs here: charts from figures; how an SVG is made is shared with the gates. Keep out: reading anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tasks.gates.plots import DIFFERENT, LEGACY, UNIFIED, data, svgs
from tasks.health.facts import TableFacts
from tasks.health.memory import figures, of_kind
from tasks.health.report import HealthSummary

#: Fewer points make no trend.
FEWEST = 2


def draw(summary: HealthSummary) -> dict[str, str]:
    """Return inline SVG by plot name; a plot without enough figures is left out."""
    points: list[dict[str, Any]] = [*summary.trend, {"taken_at": summary.as_of, **figures(summary)}]
    charts = {
        "runway": _line(points, "runway_days", "days of runway", UNIFIED),
        "quarantined": _line(points, "quarantined", "rows in quarantine", DIFFERENT),
        "size": _line([{**p, "megabytes": p["database_bytes"] / 1e6} for p in points], "megabytes", "MB of database", LEGACY),
        "connections": _line(points, "connections", "connections", LEGACY),
        "errors": _line(points, "errors", "errors in the view", DIFFERENT),
        "partitions": _partitions(list(of_kind(summary, TableFacts))),
    }
    drawn = {name: chart for name, chart in charts.items() if chart is not None}
    return dict(zip(drawn, svgs(list(drawn.values())), strict=True))


#: What stands under each plot.
CAPTIONS = {
    "runway": "Shortest runway of the declared tables, over the last 30 days.",
    "quarantined": "Rows in quarantine, over the last 30 days.",
    "size": "Size of the database, over the last 30 days.",
    "connections": "Connections in use at each report, over the last 30 days.",
    "errors": "Errors that the declared view counted, over the last 30 days.",
    "partitions": "Rows by partition, as the statistics know them.",
}


def _line(points: Sequence[dict[str, Any]], column: str, title: str, colour: str) -> Any:
    values = [{"at": p["taken_at"], "value": p[column]} for p in points if p.get(column) is not None]
    if len(values) < FEWEST:
        return None
    import altair as alt

    x, y = alt.X("at:T", title=None), alt.Y("value:Q", title=title, scale=alt.Scale(zero=True))
    return alt.Chart(data(values)).mark_line(color=colour, point=len(values) < 20, interpolate="step-after").encode(x=x, y=y)


def _partitions(tables: Sequence[TableFacts]) -> Any:
    values = [
        {"lower": p.lower, "upper": p.upper, "rows": p.rows, "table": t.table}
        for t in tables
        for p in t.partitions
        if p.lower is not None and p.upper is not None and p.rows
    ]
    if not values:
        return None
    import altair as alt

    colour = alt.Color(
        "table:N", title=None, scale=alt.Scale(range=[UNIFIED, LEGACY, DIFFERENT]), legend=alt.Legend(orient="top")
    )
    x, y = alt.X("lower:T", title=None), alt.Y("rows:Q", title="rows")
    return alt.Chart(data(values)).mark_bar().encode(x=x, x2="upper:T", y=y, y2=alt.datum(0), color=colour)
