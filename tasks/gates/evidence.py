"""Collect the facts that a gate judges: a table per subject, all of one read-only snapshot (design 8).

Belongs here: which frames a step needs, what the statements of `sql/evidence/` are told, keeping the result.
Keep out: judging (`expectations/`, `verdict`), and any fact that is not a row: a statement answers with rows or nothing.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg

from tasks.core.connect import Connection, Kind, open_connection, transaction
from tasks.core.declaration import Declaration, Migration
from tasks.core.names import Relation
from tasks.core.sqlfiles import fetch_one, run
from tasks.gates.verdict import State

Row = dict[str, Any]

#: The frames of each step. A contract test holds them equal to the suites in `expectations/`.
STEPS: dict[str, tuple[str, ...]] = {
    "preflight": (
        "server", "target", "sources", "privileges", "policies", "partitions", "dependants", "triggers", "foreign_keys",
        "publications", "runway", "disk", "backup",
    ),
    "schema": ("server", "target", "privileges", "policies", "partitions", "indexes", "runway"),
    "backfill": ("server", "target", "privileges", "partitions", "indexes", "capture", "units", "quarantine"),
    "integrity": (
        "server", "privileges", "partitions", "capture", "units", "comparison", "reconciliation", "differences", "quarantine",
    ),
    "cutover": (
        "server", "target", "sources", "privileges", "policies", "partitions", "indexes", "capture", "units", "comparison",
        "reconciliation", "differences", "dependants", "triggers", "foreign_keys", "publications", "quarantine_total",
    ),
    "after_cutover": ("phase", "old_names", "grants", "target", "privileges", "policies", "partitions", "runway"),
    "retention": ("plan", "target", "partitions"),
    "matviews": ("matviews",),
}  # fmt: skip
#: Frames that the caller of the gate brings along; every other one has a statement in `sql/evidence/`.
GIVEN = ("plan",)
#: Integers past this are not exact as a float, which pandas makes of an int column with a gap.
EXACT = 2**53


@dataclass(frozen=True)
class Frame:
    """Rows of one subject; the columns are known also where there is no row."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Evidence:
    """The facts of one snapshot, and the state that a verdict on them is bound to."""

    id: int
    subject: str
    step: str
    taken_at: datetime
    frames: Mapping[str, Frame]
    hash: str
    state: State


def collect(
    subject: str,
    step: str,
    declaration: Declaration,
    *,
    given: Mapping[str, Sequence[Row]] | None = None,
    names: Collection[str] | None = None,
    as_of: datetime | None = None,
) -> Evidence:
    """Read the frames of `step` for a declared migration or table in one snapshot, keep and return them.

    `names` are the frames of a step that STEPS does not know. `subject` may carry more after a space (the hash of a plan); `given` are the frames that the caller knows. `as_of`
    None is the database's clock. Locks: ACCESS SHARE on catalogs and ledger. Raises NotDeclared.
    """
    with _snapshot() as conn, conn.transaction():
        state, now = read_state(conn, subject, declaration)
        declared = json.dumps(declared_facts(subject, declaration, as_of or now))
        frames = {name: _read(conn, name, declared) for name in names or STEPS[step] if name not in GIVEN}
    frames |= {name: frame_of(rows) for name, rows in (given or {}).items()}
    facts = json.dumps({name: list(frame.rows) for name, frame in frames.items()}, sort_keys=True)
    digest = hashlib.sha256(facts.encode()).hexdigest()
    evidence_id = _keep(subject, step, facts, digest, state)
    return Evidence(evidence_id, subject, step, now, frames, digest, state)


def _snapshot() -> Connection:
    conn = open_connection(Kind.READ, purpose="evidence")
    conn.isolation_level, conn.read_only = psycopg.IsolationLevel.REPEATABLE_READ, True
    return conn


def _read(conn: Connection, name: str, declared: str) -> Frame:
    cursor = run(conn, statement_of(name), declared=declared)
    columns = tuple(column.name for column in cursor.description or ())
    rows = [dict(zip(columns, map(plain, row), strict=True)) for row in cursor.fetchall()]
    return frame_of([_with_free_space(conn, row) for row in rows]) if name == "disk" else Frame(columns, tuple(rows))


def statement_of(name: str) -> str:
    """Return the statement of a frame: one of ours, or a project's own in `sql/evidence/custom/`."""
    ours = any(name in frames for frames in STEPS.values())
    return f"evidence/{name}" if ours else f"evidence/custom/{name}"


def frame_of(rows: Sequence[Row]) -> Frame:
    """Return rows that a caller brings as a frame; every row has the columns of the first."""
    columns = tuple(rows[0]) if rows else ()
    return Frame(columns, tuple({column: plain(row[column]) for column in columns} for row in rows))


def plain(value: Any) -> Any:
    """Return a value as JSON and pandas keep it exactly: instants as text of one width, large numbers as text."""
    match value:
        case None | bool() | str():
            return value
        case int():
            return value if abs(value) < EXACT else str(value)
        case datetime():
            return value.astimezone(UTC).isoformat(timespec="microseconds")
        case date() | UUID() | Decimal() | timedelta():
            return str(value)
        case float():
            return value
        case _:
            return json.dumps(value, sort_keys=True, default=str)


def _with_free_space(conn: Connection, row: Row) -> Row:
    """Add the free bytes where the server runs on this machine: a path may exist on both sides of a tunnel."""
    directory = row.pop("directory")
    try:
        command = Path(f"/proc/{conn.info.backend_pid}/comm").read_text(encoding="utf-8")
        free = shutil.disk_usage(directory).free if directory and command.startswith("postgres") else None
    except OSError:
        free = None
    return {**row, "free_bytes": free, "is_known": free is not None, "is_enough": free is None or free >= row["needed_bytes"]}


def _keep(subject: str, step: str, facts: str, digest: str, state: State) -> int:
    bound = {"fingerprint": state.fingerprint, "mapping_version": state.mapping_version, "generation": state.generation}
    with transaction(Kind.READ) as conn:
        return fetch_one(conn, "evidence/insert_evidence", subject=subject, step=step, facts=facts, hash=digest, **bound)["id"]


def read_state(conn: Connection, subject: str, declaration: Declaration) -> tuple[State, datetime]:
    """Return what a verdict is bound to as this transaction sees it, and the server's clock."""
    row = fetch_one(conn, "evidence/state", declared=json.dumps(declared_facts(subject, declaration, None)))
    now: datetime = row.pop("now")
    return State(**row), now


def declared_facts(subject: str, declaration: Declaration, as_of: datetime | None) -> dict[str, Any]:
    """Return what the statements of `sql/evidence/` are told about a migration, a table or a view; raises NotDeclared."""
    name = subject.partition(" ")[0]
    matviews = [_matview(view, policy.stale_after) for view, policy in declaration.matviews.items()]
    nothing = {"migration": None, "governed_by": None, "target": None, "toggle": None, "backup": None}
    lists: dict[str, Any] = {"sources": [], "indexes": [], "grants": [], "matviews": matviews}
    facts = {"as_of": as_of.isoformat() if as_of else None, **nothing, **lists}
    if name in declaration.matviews:
        return {**facts, "matviews": [view for view in matviews if view["relation"] == name]}
    if name in declaration.migrations:
        migration = declaration.migrations[name]
        return facts | _table(migration.target, declaration) | {"migration": name} | _migration(migration)
    return facts | _table(name, declaration)


def _migration(migration: Migration) -> dict[str, Any]:
    sources = [
        {**_relation(source), "time": p.time, "aside": p.aside, "triggers": [*p.triggers], "dependants": [*p.dependants],
         "policies": [*p.policies]}
        for source, p in migration.sources.items()
    ]  # fmt: skip
    return {"sources": sources, "toggle": migration.toggle, "backup": migration.backup}


def _table(name: str, declaration: Declaration) -> dict[str, Any]:
    """Return the facts of a table, and of the migration that decides who may use it."""
    table = declaration.table(name)
    keep_s = table.retention.keep.total_seconds() if table.retention else None
    target = {
        **_relation(name),
        "by": table.partitioning.by,
        "ahead_s": table.partitioning.ahead.total_seconds(),
        "keep_s": keep_s,
    }
    indexes = [{"name": index, "build": policy.build} for index, policy in table.indexes.items()]
    owner = next((m for m in declaration.migrations.items() if m[1].target == name), None)
    grants = [
        {"role": role, "privilege": right} for role, rights in (owner[1].grants if owner else {}).items() for right in rights
    ]
    return {"target": target, "indexes": indexes, "governed_by": owner[0] if owner else None, "grants": grants}


def _matview(name: str, stale_after: timedelta) -> dict[str, Any]:
    return {**_relation(name), "stale_after_s": stale_after.total_seconds()}


def _relation(name: str) -> dict[str, str]:
    relation = Relation.parse(name)
    return {"relation": name, "schema": relation.schema, "name": relation.name}
