"""The report as one self-contained page: everything it shows is in the file (A5).

Belongs here: filling the template and writing the file. Keep out: what a section shows (`sections`).
"""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tasks.core.settings import settings
from tasks.gates.report import TEMPLATES
from tasks.health.plots import CAPTIONS, draw
from tasks.health.report import HealthSummary
from tasks.health.sections import sections
from tasks.health.text import headline


def write_page(summary: HealthSummary, folder: Path | None = None) -> Path:
    """Write health.html below `folder` (the declared place of reports by default) and return its path."""
    path = (folder or settings().maintenance_output / "reports") / "health.html"
    text = render(summary, draw(summary))
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
    return path


def render(summary: HealthSummary, drawn: dict[str, str]) -> str:
    """Fill the template; every value but the plots is escaped."""
    loader = FileSystemLoader([Path(__file__).parent, TEMPLATES])
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    server = next(fact for fact in summary.facts if type(fact).__name__ == "ServerFacts")
    worst = summary.findings[0].level if summary.findings else "none"
    return environment.get_template("health.html.j2").render(
        title="Health",
        subtitle=f"{getattr(server, 'database', '')}, PostgreSQL {getattr(server, 'version', '')}, {summary.as_of:%Y-%m-%d %H:%M} UTC",
        summary=summary,
        since=summary.since or {},
        headline=headline(summary),
        tone={"critical": "bad", "warning": "warn"}.get(worst, "good"),
        tones={"critical": "bad", "warning": "warn", "info": "soft"},
        sections=sections(summary),
        plots=drawn,
        captions=CAPTIONS,
    )
