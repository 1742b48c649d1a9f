"""The report's sections as plain tables, the same for the artifact and the page (A5).

Belongs here: which figures a section shows, and how they read. Keep out: HTML, Markdown, reading.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from tasks.health import facts as f
from tasks.health.memory import is_stale, of_kind
from tasks.health.report import HealthSummary

#: So many tables are shown beside the databases; all that are read are judged.
OLDEST_TABLES = 3


@dataclass(frozen=True)
class Grid:
    """A table: a cell that is a number stands to the right."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]


@dataclass(frozen=True)
class Section:
    """One part of the report; `note` stands where there is nothing to show."""

    anchor: str
    title: str
    figures: tuple[tuple[str, object], ...] = ()
    grids: tuple[Grid, ...] = ()
    note: str = ""
    plots: tuple[str, ...] = field(default=())


def sections(summary: HealthSummary) -> list[Section]:
    """Return every section in reading order."""
    server = next(of_kind(summary, f.ServerFacts))
    return [
        _maintenance(summary),
        _storage(summary, server),
        _memory(summary, server),
        _cache(summary),
        _breakdown(summary, "sessions", "Sessions"),
        _errors(summary),
        _connections(summary, server),
        _breakdown(summary, "events", "Events", "partitions"),
    ]


def size(value: float) -> str:
    """Return bytes as people read them."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(value) < 1000:
            return f"{value:,.0f} {unit}" if unit == "B" else f"{value:,.1f} {unit}"
        value /= 1000
    return f"{value:,.1f} TB"


def instant(value: datetime | None) -> str:
    """Return a moment as the report writes it."""
    return f"{value:%Y-%m-%d %H:%M} UTC" if value else "never"


def _maintenance(summary: HealthSummary) -> Section:
    tables = [(t.table, instant(t.runway_until), len(t.partitions), t.due, t.waiting) for t in of_kind(summary, f.TableFacts)]
    views = [
        (v.matview, instant(v.refreshed_at), str(v.stale_after), "stale" if is_stale(summary, v) else "fresh")
        for v in of_kind(summary, f.MatviewFacts)
    ]
    runs = [(w.flow, w.subject, instant(w.last_success), w.newest_outcome) for w in of_kind(summary, f.FlowFacts)]
    gates = [(g.step, g.subject, g.status, instant(g.decided_at)) for g in of_kind(summary, f.GateFacts)]
    quarantine = [(q.source, q.reason, q.rows) for q in of_kind(summary, f.QuarantineFacts)]
    moves = [(m.name, m.phase.replace("_", " "), m.queued_keys, m.open_units) for m in of_kind(summary, f.MigrationFacts)]
    return Section(
        "maintenance",
        "Maintenance",
        grids=_grids(
            ("Tables", ("table", "runway until", "partitions", "due", "in grace"), tables),
            ("Materialized views", ("view", "refreshed", "stale after", "is"), views),
            ("Flows", ("flow", "on", "last success", "newest run"), runs),
            ("Gates", ("gate", "on", "verdict", "decided"), gates),
            ("Migrations", ("migration", "phase", "keys queued", "units open"), moves),
            ("Quarantine", ("source", "reason", "rows"), quarantine),
        ),
        note="".join(
            f"This role may not read {h.relation} whole, so nothing is known of what it holds."
            for h in of_kind(summary, f.HiddenFacts)
        ),
        plots=("runway", "quarantined"),
    )


def _storage(summary: HealthSummary, server: f.ServerFacts) -> Section:
    tables = [(t.table, t.rows, size(t.bytes), len(t.partitions)) for t in of_kind(summary, f.TableFacts)]
    buckets = [(b.bucket, b.objects, size(b.bytes)) for b in of_kind(summary, f.BucketFacts)]
    aged = list(of_kind(summary, f.FreezeFacts))
    shown = [o for o in aged if o.kind == "database"] + [o for o in aged if o.kind == "table"][:OLDEST_TABLES]
    freeze = [(o.kind, o.object, o.xid_age, o.multixact_age) for o in shown]
    return Section(
        "storage",
        "Storage",
        (("database", size(server.database_bytes)), ("temporary files since reset", size(server.temp_bytes))),
        _grids(
            ("Declared tables", ("table", "rows (estimated)", "with indexes", "partitions"), tables),
            ("Supabase Storage", ("bucket", "objects", "size"), buckets),
            ("Distance to wraparound: stops at 2,147,483,648", ("kind", "name", "transaction age", "multixact age"), freeze),
        ),
        note="" if buckets else "Supabase Storage is not in this database, or this role may not read storage.objects whole.",
        plots=("size",),
    )


def _memory(summary: HealthSummary, server: f.ServerFacts) -> Section:
    ratio = f"{server.hit_ratio:.2%}" if server.hit_ratio is not None else "nothing read yet"
    figures = (
        ("shared buffers", size(server.shared_buffers_bytes)),
        ("read from them", ratio),
        ("effective cache", size(server.effective_cache_bytes)),
        ("work memory", size(server.work_mem_bytes)),
    )
    tables = [
        (t.relation, t.rows, size(t.bytes)) if t.exists else (t.relation, "absent", "")
        for t in of_kind(summary, f.RelationFacts)
    ]
    note = "" if tables else "No conversation tables are declared (health.conversations)."
    return Section("memory", "Memory", figures, _grids(("Conversations", ("table", "rows (estimated)", "size"), tables)), note)


def _connections(summary: HealthSummary, server: f.ServerFacts) -> Section:
    figures = (
        ("in use", f"{server.connections} of {server.connection_limit}"),
        ("active", server.active),
        ("idle", server.idle),
        ("idle in transaction", server.idle_in_transaction),
        ("waiting for a lock", server.waiting),
        ("deadlocks since reset", server.deadlocks),
    )
    sessions = [
        (s.pid, s.role_name or "", s.application or "", s.state or "hidden", instant(s.transaction_since), s.query or "")
        for s in of_kind(summary, f.SessionFacts)
    ]
    slots = [
        (s.slot, "yes" if s.is_active else "no", s.wal_status or "", size(s.wal_bytes or 0))
        for s in of_kind(summary, f.SlotFacts)
    ]
    breakers = [
        (b.dependency, b.address, b.state.replace("_", " "), b.failures, instant(b.since), b.seen_by)
        for b in of_kind(summary, f.BreakerFacts)
    ]
    prepared = [(p.gid, p.owner, instant(p.prepared_at)) for p in of_kind(summary, f.PreparedFacts)]
    return Section(
        "connections",
        "Connections",
        figures,
        _grids(
            ("Open transactions", ("pid", "role", "application", "state", "since", "query"), sessions),
            ("Replication slots", ("slot", "is read", "WAL status", "WAL kept"), slots),
            ("Breakers", ("dependency", "address", "state", "failures", "since", "seen by"), breakers),
            ("Prepared transactions", ("name", "owner", "prepared"), prepared),
        ),
        plots=("connections",),
    )


#: As many as the statement reads.
MOST_GROUPS = 20
_STATES = {
    "absent": "{relation} is declared and does not exist in this database.",
    "never filled": "{relation} has never been filled: run refresh_matviews.",
    "not readable": "{relation} cannot be read whole by this role.",
}


def _breakdown(summary: HealthSummary, anchor: str, title: str, *plots: str) -> Section:
    shown = next((fact for fact in of_kind(summary, f.BreakdownFacts) if fact.section == anchor), None)
    if shown is None:
        where = "sinks.sessions" if anchor == "sessions" else f"health.{anchor}"
        return Section(anchor, title, note=f"Nothing is declared for this section ({where}).", plots=plots)
    if shown.state != "read":
        return Section(anchor, title, note=_STATES[shown.state].format(relation=shown.relation), plots=plots)
    grids = _grids((shown.relation, shown.columns, shown.rows))
    note = f"The {MOST_GROUPS} largest groups." if len(shown.rows) == MOST_GROUPS else ""
    note = note if shown.rows else f"{shown.relation} holds no rows."
    return Section(anchor, title, ((f"{shown.measure} in all".replace("_", " "), shown.total or 0),), grids, note, plots)


def _cache(summary: HealthSummary) -> Section:
    known = next(of_kind(summary, f.CacheFacts), None)
    if known is None:
        return Section("cache", "Cache", note="No cache was asked.")
    rate = "nothing asked yet" if known.hit_rate is None else f"{known.hit_rate:.1%}"
    figures = (("kept in", known.kind), ("answers", "yes" if known.is_up else "no"), ("hit rate", rate))
    asked = [(name, hits, misses) for name, hits, misses in known.counts if hits or misses]
    note = "" if asked else "No question has reached it; a cache in the process begins anew with each."
    return Section("cache", "Cache", figures, _grids(("Questions", ("namespace", "hits", "misses"), asked)), note)


def _errors(summary: HealthSummary) -> Section:
    """The declared errors of the application, then the failed runs of maintenance itself."""
    section = _breakdown(summary, "errors", "Errors", "errors")
    failures = [(x.occurred_at, x.flow, x.kind, x.object, x.message) for x in of_kind(summary, f.FailureFacts)]
    rows = [(instant(at), *rest) for at, *rest in failures]
    grids = _grids(("Failed flow runs of the last 7 days", ("at", "flow", "kind", "object", "message"), rows))
    return replace(section, grids=(*section.grids, *grids))


def _grids(*given: tuple[str, Sequence[str], Iterable[Sequence[object]]]) -> tuple[Grid, ...]:
    made = (Grid(title, tuple(columns), tuple(tuple(row) for row in rows)) for title, columns, rows in given)
    return tuple(grid for grid in made if grid.rows)
