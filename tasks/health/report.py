"""Read the facts of everything declared in one read-only snapshot (A5, A6).

Belongs here: which statements are asked, in two round trips (what exists, then everything), and facts from their rows.
Keep out: the rules (`findings`), text and pages (`text`, `page`), writing anything (`memory`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import psycopg

from tasks.core.connect import Connection, snapshot
from tasks.core.declaration import Breakdown, Declaration, Health
from tasks.core.errors import MissingRelation
from tasks.core.names import Relation
from tasks.core.sqlfiles import fetch_together
from tasks.health import facts as f
from tasks.health.facts import Facts, Finding
from tasks.health.findings import find
from tasks.upkeep.breakdowns import grouping, is_cached, read_breakdown_cached
from tasks.upkeep.matview_rows import read_cache_stats

#: Optional relations of Supabase, of pg_cron, and of parts of maintenance that a database may not have yet.
BUCKETS, CRON, HISTORY = "storage.objects", "cron.job", "maintenance.health"
#: How far back trends are drawn, quarantine is compared, and failed runs are shown.
TREND, GROWTH, FAILED = timedelta(days=30), timedelta(days=1), timedelta(days=7)

Present = Mapping[str, Mapping[str, Any]]
Rows = list[dict[str, Any]]
Asked = dict[str, tuple[str, Mapping[str, object]]]


@dataclass(frozen=True)
class HealthSummary:
    """Facts and findings of one moment; `findings` with the worst first, `since` by rule and object where it was known before."""

    as_of: datetime
    facts: tuple[Facts, ...] = field(repr=False)
    findings: tuple[Finding, ...]
    trend: tuple[dict[str, Any], ...] = field(default=(), repr=False)
    since: Mapping[tuple[str, str], datetime] | None = field(default=None, repr=False)

    @property
    def critical(self) -> tuple[Finding, ...]:
        """Return what cannot wait."""
        return tuple(finding for finding in self.findings if finding.level == "critical")


def read_health(declaration: Declaration, as_of: datetime) -> HealthSummary:
    """Return the health of everything declared, read in one read-only snapshot.

    Raises MissingRelation before the first apply_migrations. Locks: ACCESS SHARE alone.
    """
    with snapshot("report_health") as conn:
        present, defaults = _look(conn, declaration)
        answers = _ask(conn, _questions(declaration, as_of, present, defaults))
    answers |= _cached(declaration, present)
    found = (*_facts(declaration, as_of, present, answers), _cache(declaration))
    limits = limits_of(declaration.health)
    since = {(row["rule"], row["object"]): row["since"] for row in answers["open"]}
    return HealthSummary(as_of, found, tuple(find(found, as_of, limits)), tuple(answers["history"]), since)


def _cached(declaration: Declaration, present: Present) -> dict[str, Rows]:
    """Read through the cache what a refresh alone changes, outside the snapshot: the cache may be down."""
    shown = ((s, b) for s, b in _breakdowns(declaration) if is_cached(b, declaration))
    readable = ((s, b) for s, b in shown if _state(present.get(b.relation)) == "read")
    return {f"breakdown {section}": read_breakdown_cached(breakdown, declaration) for section, breakdown in readable}


def _cache(declaration: Declaration) -> f.CacheFacts:
    """Ask the cache last, outside the snapshot: it may be down, and is never waited for twice."""
    stats = read_cache_stats(declaration)
    counts = tuple((name, hits, stats.misses.get(name, 0)) for name, hits in stats.hits.items())
    return f.CacheFacts(stats.kind, stats.is_up, stats.hit_rate, counts)


def limits_of(health: Health) -> f.Limits:
    """Return the declared limits as plain values."""
    return f.Limits(
        long_transaction=health.long_transaction,
        idle_in_transaction=health.idle_in_transaction,
        slot_wal_bytes=health.slot_wal_mb * 2**20,
        connections_used=health.connections_percent / 100,
    )


def _look(conn: Connection, declaration: Declaration) -> tuple[Present, Rows]:
    """Ask what exists, so that nothing optional can fail the snapshot; MissingRelation before the first migration."""
    shown = [breakdown.relation for _, breakdown in _breakdowns(declaration)]
    names = [HISTORY, BUCKETS, CRON, *shown, *declaration.health.conversations]
    asked = [("health/present", {"names": names}), ("health/default_partitions", {"tables": _tables(declaration)})]
    where, remedy = f" in the database {conn.info.dbname}", "Run apply_migrations first; nothing was changed."
    try:
        rows, defaults = fetch_together(conn, asked)
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedFunction, psycopg.errors.InvalidSchemaName):
        raise MissingRelation(HISTORY, where, remedy) from None
    present = {row["name"]: row for row in rows}
    if HISTORY not in present:
        raise MissingRelation(HISTORY, where, remedy)
    return present, defaults


def _breakdowns(declaration: Declaration) -> list[tuple[f.Shown, Breakdown]]:
    """Return what the three declared sections show; the sink's table of sessions has a known shape."""
    sink = declaration.sinks.sessions
    sessions = Breakdown(relation=sink.table, by=("session_state",)) if sink else None
    declared: list[tuple[f.Shown, Breakdown | None]]
    declared = [("errors", declaration.health.errors), ("events", declaration.health.events), ("sessions", sessions)]
    return [(section, breakdown) for section, breakdown in declared if breakdown is not None]


def _tables(declaration: Declaration) -> str:
    names = ((name, Relation.parse(name)) for name in declaration.tables)
    return json.dumps([{"relation": name, "schema": r.schema, "name": r.name} for name, r in names])


def _sources(declaration: Declaration) -> str:
    declared = ((Relation.parse(name), s) for m in declaration.migrations.values() for name, s in m.sources.items())
    return json.dumps([{"relation": str(r), "schema": r.schema, "name": r.name, "aside": s.aside} for r, s in declared])


def _questions(declaration: Declaration, as_of: datetime, present: Present, defaults: Rows) -> Asked:
    tables = _tables(declaration)
    sink = declaration.sinks.sessions
    subjects = [*declaration.tables, *declaration.matviews, *declaration.migrations, *([sink.table] if sink else [])]
    asked: Asked = {name: (f"health/{name}", {}) for name in _PLAIN}
    asked |= {
        "breakers": ("core/list_breakers", {}),
        "gates": ("health/gates", _gated(declaration)),
        "failures": ("health/failures", {"since": as_of - FAILED}),
        "partitions": ("health/partitions", {"tables": tables}),
        "indexes": ("health/indexes", {"tables": tables}),
        "exposed": ("health/exposed", {"sources": _sources(declaration)}),
        "matviews": ("health/matviews", {"names": list(declaration.matviews)}),
        "flows": ("health/flows", {"declared": list(declaration.flows), "subjects": subjects}),
        "open": ("health/open_findings", {}),
        "history": ("health/history", {"since": as_of - TREND}),
        "growth": ("health/growth", {"since": as_of - GROWTH}),
    }
    return asked | _optional(declaration, present, defaults)


def _gated(declaration: Declaration) -> dict[str, list[str]]:
    """Return what a gate may be asked of, and which tables have a retention."""
    retained = [name for name, policy in declaration.tables.items() if policy.retention]
    return {"declared": [*declaration.tables, *declaration.matviews, *declaration.migrations], "retained": retained}


#: Statements without a parameter whose rows are facts as they are.
_PLAIN: dict[str, type[Any]] = {
    "server": f.ServerFacts, "freeze": f.FreezeFacts, "vacuum": f.VacuumFacts, "sessions": f.SessionFacts,
    "prepared": f.PreparedFacts, "slots": f.SlotFacts, "definers": f.DefinerFacts, "policies": f.PolicyFacts,
    "quarantine": f.QuarantineFacts, "refused_failures": f.RefusedFacts, "migrations": f.MigrationFacts,
}  # fmt: skip


def _optional(declaration: Declaration, present: Present, defaults: Rows) -> Asked:
    asked: Asked = {}
    for key, statement, name in (("buckets", "health/buckets", BUCKETS), ("cron_jobs", "health/cron_jobs", CRON)):
        if name in present and present[name]["is_readable"]:
            asked[key] = (statement, {"relation": Relation.parse(name)})
    for section, breakdown in _breakdowns(declaration):
        if _state(present.get(breakdown.relation)) == "read" and not is_cached(breakdown, declaration):
            asked[f"breakdown {section}"] = ("upkeep/breakdown", grouping(breakdown))
    for row in defaults:
        if row["is_readable"]:
            asked[f"default {row['table']}"] = ("health/default_rows", {"partition": Relation(row["schema"], row["name"])})
    return asked


def _state(found: Mapping[str, Any] | None) -> f.Readable:
    if found is None:
        return "absent"
    if not found["is_readable"]:
        return "not readable"
    return "read" if found["is_filled"] else "never filled"


def _ask(conn: Connection, asked: Asked) -> dict[str, Rows]:
    return dict(zip(asked, fetch_together(conn, list(asked.values())), strict=True))


def _facts(declaration: Declaration, as_of: datetime, present: Present, answers: Mapping[str, Rows]) -> Iterator[Facts]:
    yield from _table_facts(declaration, as_of, answers)
    for name, kind in _PLAIN.items():
        if name != "migrations":
            yield from (kind(**_tuples(row)) for row in answers[name])
    yield from (f.GateFacts(**row) for row in answers["gates"])
    yield from (f.IndexFacts(**row) for row in answers["indexes"])
    yield from (f.BreakerFacts(**row) for row in answers["breakers"])
    yield from (f.FailureFacts(**row) for row in answers["failures"])
    yield from (f.ExposedFacts(**_tuples(row)) for row in answers["exposed"])
    yield from _migration_facts(declaration, answers["migrations"])
    yield from (f.MatviewFacts(stale_after=declaration.matviews[r["matview"]].stale_after, **r) for r in answers["matviews"])
    yield from (f.FlowFacts(overdue_after=declaration.flow(row["flow"]).overdue_after, **row) for row in answers["flows"])
    yield from (f.BucketFacts(**row) for row in answers.get("buckets", []))
    declared = (*declaration.tables, *declaration.matviews)
    yield from (f.CronFacts(declared=declared, **row) for row in answers.get("cron_jobs", []))
    yield from (f.HiddenFacts(name) for name in (CRON,) if name in present and not present[name]["is_readable"])
    quarantined = sum(row["rows"] for row in answers["quarantine"])
    yield from (f.GrowthFacts(r["quarantined"], r["taken_at"], quarantined) for r in answers["growth"])
    yield from _shown(declaration, present, answers)


def _tuples(row: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in row.items()}


def _table_facts(declaration: Declaration, as_of: datetime, answers: Mapping[str, Rows]) -> Iterator[f.TableFacts]:
    for name, policy in declaration.tables.items():
        rows = [row for row in answers["partitions"] if row["table"] == name]
        children = [row for row in rows if row["partition"] is not None]
        attached = [row for row in children if not row["is_pending_detach"] and not row["is_default"]]
        uppers = [row["upper"] for row in attached if row["upper"] is not None]
        keep = policy.retention.keep if policy.retention else None
        yield f.TableFacts(
            table=name,
            exists=bool(rows) and rows[0]["kind"] == "p",
            runway_until=max(uppers, default=None),
            ahead=policy.partitioning.ahead,
            has_default=any(row["is_default"] for row in children),
            default_rows=sum(row["rows"] for row in answers.get(f"default {name}", [])),
            pending_detach=tuple(r["partition"] for r in children if r["is_pending_detach"] and not r["is_being_detached"]),
            due=sum(1 for upper in uppers if keep is not None and upper <= as_of - keep),
            waiting=rows[0]["waiting"] if rows else 0,
            has_retention=policy.retention is not None,
            partitions=tuple(f.PartitionFigures(r["lower"], r["upper"], r["rows"], r["bytes"]) for r in attached),
        )


def _migration_facts(declaration: Declaration, rows: Iterable[dict[str, Any]]) -> Iterator[f.MigrationFacts]:
    for row in rows:
        kept: dict[str, str] = row.pop("settings") or {}
        policy = declaration.migrations.get(row["name"])
        toggle = policy.toggle if policy else ""
        yield f.MigrationFacts(toggle=toggle, setting=kept.get(toggle), override=_override(toggle), **row)


def _override(toggle: str) -> str | None:
    """Return what this process's environment says of a toggle, as the database would write it."""
    value = os.environ.get(toggle, "").strip().lower() if toggle else ""
    return None if not value else "true" if value in {"1", "true", "t", "yes", "y", "on"} else "false"


def _shown(declaration: Declaration, present: Present, answers: Mapping[str, Rows]) -> Iterator[Facts]:
    for section, breakdown in _breakdowns(declaration):
        rows = answers.get(f"breakdown {section}", [])
        columns = (*breakdown.by, *(breakdown.sum or ("rows",)))
        values = tuple(tuple(row[column] for column in columns) for row in rows)
        state = _state(present.get(breakdown.relation))
        total = None if state != "read" else rows[0]["total_of_all"] if rows else 0
        yield f.BreakdownFacts(section, breakdown.relation, state, columns[len(breakdown.by)], columns, values, total)
    for name in declaration.health.conversations:
        found = present.get(name)
        rows_known, size = (max(found["rows"], 0), found["bytes"] or 0) if found else (0, 0)
        yield f.RelationFacts(name, found is not None, rows_known, size)
