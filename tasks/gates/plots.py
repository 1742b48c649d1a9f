"""Plots as inline SVG: no script, nothing from elsewhere, readable on light, dark and paper.

Belongs here: charts from plain rows. Keep out: reading anything.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

#: Legible on white and on near-black.
GREY, LEGACY, UNIFIED, DIFFERENT = "#808890", "#8ab4d8", "#2f7d5b", "#d0453a"
WIDTH, HEIGHT = 900, 220


def days(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows of both sides by partition, with a mark where a source differs; '' without bounded rows."""
    bounded = [row for row in rows if row["lower"] is not None]
    if not bounded:
        return ""
    import altair as alt

    sides = {"legacy, mapped": _sums(bounded, "legacy_kept"), "unified": _sums(bounded, "unified_rows")}
    values = [{"day": day, "side": side, "rows": rows} for side, sums in sides.items() for day, rows in sorted(sums.items())]
    colour = alt.Color("side:N", title=None, scale=alt.Scale(range=[LEGACY, UNIFIED]), legend=alt.Legend(orient="top"))
    x = alt.X("day:T", title=None)
    lines = (
        alt.Chart(data(values)).mark_line(interpolate="step-after").encode(x=x, y=alt.Y("rows:Q", title="rows"), color=colour)
    )
    unequal = {row["lower"] for row in bounded if not row["is_equal"]}
    marks = [{"day": day, "rows": sides["unified"][day]} for day in sorted(unequal)]
    points = alt.Chart(data(marks)).mark_point(color=DIFFERENT, size=80, shape="triangle-up").encode(x=x, y="rows:Q")
    return _svg(lines + points if marks else lines)


def _sums(rows: Sequence[Mapping[str, Any]], column: str) -> dict[Any, int]:
    sums: dict[Any, int] = defaultdict(int)
    for row in rows:
        sums[row["lower"]] += row[column]
    return sums


def throughput(units: Sequence[Mapping[str, Any]], buckets: int = 60) -> str:
    """Return rows copied per second over the time of the backfill; '' where nothing was copied."""
    copied = [unit for unit in units if unit["rows_copied"] and unit["started_at"]]
    if not copied:
        return ""
    import altair as alt

    first = min(unit["started_at"] for unit in copied)
    last = max((unit["ended_at"] - first).total_seconds() for unit in copied) or 1.0
    rows = [0.0] * buckets
    for unit in copied:
        at = (unit["ended_at"] - first).total_seconds() / last
        rows[min(int(at * buckets), buckets - 1)] += unit["rows_copied"]
    width = last / buckets
    values = [{"second": (i + 0.5) * width, "rows": n / width} for i, n in enumerate(rows)]
    x, y = alt.X("second:Q", title="seconds since the first unit"), alt.Y("rows:Q", title="rows per second")
    return _svg(alt.Chart(data(values)).mark_area(color=UNIFIED, opacity=0.7, interpolate="monotone").encode(x=x, y=y))


def data(values: Sequence[Mapping[str, Any]]) -> Any:
    """Return rows as a chart's own data, instants as text."""
    import altair as alt

    plain = [{k: v.isoformat() if hasattr(v, "isoformat") else v for k, v in value.items()} for value in values]
    return alt.Data(values=plain)


#: Rendering starts a JavaScript engine that keeps 75 MB for good: it lives in a process of its own, for these plots.
RENDER = "import json, sys, vl_convert as v; json.dump([v.vegalite_to_svg(s) for s in json.load(sys.stdin)], sys.stdout)"
RENDER_WAIT_S = 60


def _svg(chart: Any) -> str:
    return svgs([chart])[0]


def svgs(charts: Sequence[Any]) -> list[str]:
    """Return each chart as inline SVG in the page's size and greys, all rendered by one process."""
    if not charts:
        return []
    command, specs = [sys.executable, "-c", RENDER], json.dumps([_dressed(chart).to_dict() for chart in charts])
    done = subprocess.run(command, input=specs, capture_output=True, text=True, check=True, timeout=RENDER_WAIT_S)
    return json.loads(done.stdout)


def _dressed(chart: Any) -> Any:
    shown = chart.properties(width=WIDTH, height=HEIGHT, background="transparent").configure_view(stroke=None)
    axes = {
        "labelColor": GREY,
        "titleColor": GREY,
        "gridColor": GREY,
        "gridOpacity": 0.25,
        "domainColor": GREY,
        "tickColor": GREY,
    }
    return shown.configure_axis(**axes).configure_legend(labelColor=GREY)
