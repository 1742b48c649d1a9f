"""The story of the demo: the flows as a user runs them, one after the other, and the table at the end.

Belongs here: the order, the approval that a person would give, the figures. Keep out: servers (`stage`), drawing (`screen`).
Imported once Prefect's API is known.
"""

from __future__ import annotations

from datetime import datetime

import psycopg

from flows.apply_migrations import apply_migrations
from flows.create_partitions import create_partitions
from flows.enforce_retention import enforce_retention
from flows.migrate import migrate
from flows.refresh_matviews import refresh_matviews
from flows.report_health import report_health
from tasks.core.declaration import read_declaration
from tasks.core.names import Relation
from tasks.core.parameters import Safety
from tasks.health.facts import TableFacts
from tasks.migration.approve import approve
from tests.demo.ledger import Span, check_against, read_ledger
from tests.demo.screen import Screen
from tests.demo.stage import Stage
from tests.demo.statements import run
from tests.demo.tables import BY_RELATION

MIGRATION = "event_store"
RETIRED = Safety(apply=True, at_most=30)

Rows = list[tuple[str, str]]


class Failed(Exception):
    """A step of the demo did not end as it should."""


def tell(screen: Screen, ready: Stage, as_of: datetime) -> Rows:
    """Run the whole migration and the maintenance after it; returns the lines of the final table."""
    before = _bytes(ready)
    made = build(screen)
    migrated(screen)
    with screen.step("materialized views refreshed") as said:
        said.append(f"{sum(r.outcome == 'completed' for r in refresh_matviews(force=True))} views")
    retired = retire(screen, as_of)
    healthy(screen)
    return [*_figures(ready, before, _bytes(ready)), *made, *retired]


def build(screen: Screen) -> Rows:
    """Bring the schema up and make the runway."""
    with screen.step("schema migrations") as said:
        said.append(f"{len(apply_migrations())} applied")
    with screen.step("partitions ahead") as said:
        (created,) = create_partitions()
        said.append(f"{len(created.created)} made, runway until {created.runway_until:%Y-%m-%d}")
    return [("partitions made ahead", f"{len(created.created)}")]


def migrated(screen: Screen) -> None:
    """Ask, be approved by a person, and go on: every gate in between is part of the flow."""
    with screen.step("migrate: copied, proven, waits") as said:
        waiting = migrate(MIGRATION, approval="ask")
        said.append(waiting.outcome)
    if waiting.outcome != "waiting":
        raise Failed(f"migrate(approval='ask') ended as {waiting.outcome}")
    sign_offs = list(read_declaration().migration(MIGRATION).sign_offs)
    with screen.step("approval given") as said:
        said.append(approve(MIGRATION, name="Demo Operator", reason="every gate passed", sign_offs=sign_offs))
    with screen.step("migrate: cut over") as said:
        done = migrate(MIGRATION, approval="given")
        said.append(f"legacy tables locked for {done.lock_ms} ms")


def retire(screen: Screen, as_of: datetime) -> Rows:
    """Detach, archive and verify the 30 oldest; then, as of the end of their grace, drop them."""
    declared = read_declaration()
    (table,) = declared.tables
    policy = declared.tables[table].retention
    assert policy is not None
    with screen.step("retention: archived and verified") as said:
        (first,) = enforce_retention(safety=RETIRED, as_of=as_of)
        said.append(f"{len(first.archived)} partitions, {first.rows_archived:,} rows, {first.archive_bytes / 1e6:.1f} MB")
    with screen.step("retention: grace is over") as said:
        (second,) = enforce_retention(safety=RETIRED, as_of=as_of + policy.grace)
        said.append(f"{len(second.dropped)} dropped, {len(second.debt)} due and left")
    return [
        ("partitions archived", f"{len(first.archived)}, verified from their files"),
        ("partitions dropped", f"{len(second.dropped)}; {len(second.debt)} newly due, reported as debt"),
        ("archive", f"{first.archive_bytes:,} bytes, {first.rows_archived:,} rows"),
    ]


def healthy(screen: Screen) -> None:
    """Read the health summary as the hourly flow does."""
    with screen.step("health") as said:
        summary = report_health()
        runway = next(f.runway_until for f in summary.facts if isinstance(f, TableFacts))
        levels = ", ".join(
            f"{sum(f.level == level for f in summary.findings)} {level}" for level in ("critical", "warning", "info")
        )
        said.append(f"runway until {runway:%Y-%m-%d}; {levels}")


def written(ready: Stage) -> tuple[Rows, list[str]]:
    """Stop the application and hold what it committed against what the old names show; returns lines and problems."""
    code, summary = ready.stop_writer()
    ledger = read_ledger(ready.ledger)
    with psycopg.connect(ready.dsn) as conn:
        lower, upper = run(conn, "summary/span", target=read_declaration().migration(MIGRATION).target).fetchone() or (
            None,
            None,
        )
        names = {name: Relation.parse(name) for name in BY_RELATION}
        differences = check_against(conn, ledger, names, Span(lower, upper))
    problems = [f"the writer ended with {code}: {error}" for error in summary.get("errors", [])[:3]]
    problems += [f"{d.table} {d.key}: expected {d.expected}, found {d.actual}" for d in differences[:3]]
    wait = summary.get("longest_wait") or {"ms": 0, "statement": "none"}
    operations = f"{summary.get('operations', 0):,} operations, {summary.get('per_second', 0)}/s"
    errors = f"{summary.get('error_count', 'unknown')} errors, 40001 retried: {summary.get('retries', 0)}"
    line = f"{operations}, {errors}, longest wait {wait['ms']} ms ({wait['statement']})"
    if code != 0 and not problems:
        problems = [f"the writer ended with {code}"]
    return [("the application", line), ("its ledger", f"{len(differences)} differences")], problems


def _bytes(ready: Stage) -> tuple[int, int]:
    with psycopg.connect(ready.dsn) as conn:
        legacy, unified = run(conn, "summary/bytes").fetchone() or (0, 0)
    return legacy, unified


def _figures(ready: Stage, before: tuple[int, int], after: tuple[int, int]) -> Rows:
    with psycopg.connect(ready.dsn) as conn:
        sources = run(conn, "summary/sources", migration=MIGRATION).fetchall()
        quarantine = run(conn, "summary/quarantine", migration=MIGRATION).fetchall()
        compared, locked_ms, built = run(conn, "summary/figures", migration=MIGRATION).fetchone() or (0, 0, 0)
    return [
        *[(name, f"{rows:,} rows copied") for name, rows in sources],
        ("quarantined", ", ".join(f"{rows} {reason}" for reason, rows in quarantine)),
        ("rows compared", f"{compared:,}, on both sides in one snapshot"),
        ("cutover lock", f"{locked_ms} ms"),
        ("partitions built by the backfill", f"{built}"),
        ("bytes before", f"{before[0]:,} legacy"),
        ("bytes after", f"{after[1]:,} unified, {after[0]:,} legacy (kept until retire_legacy)"),
    ]
