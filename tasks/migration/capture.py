"""Capture the changes of legacy tables: triggers that log keys, and the generation that says whether they were ever off.

Belongs here: installing and removing the triggers, the capture generation, putting keys into the log by hand.
Keep out: applying the log (`drain`). What a trigger does stands in sql/migrations/maintenance/0005_capture.sql.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from tasks.core.connect import Connection, Kind, transaction, with_lock_retries
from tasks.core.errors import Permanent
from tasks.core.sqlfiles import fetch_one, run
from tasks.migration.registry import Registered, Source, Target

Guard = Callable[[Connection], object]
#: The lock waits for that table's writers, whose transactions may be long; each attempt still waits little.
CAPTURE_BUDGET_S = 90.0


@dataclass(eq=False)
class CaptureChanged(Permanent):
    """A capture trigger of {migration} was created, dropped, enabled, disabled or altered while the unit was at work; what it
    had done was rolled back. Run it again: the next run counts a new generation and does every unit again."""

    migration: str


@dataclass(frozen=True)
class Generation:
    """The capture generation; `faults` names the triggers that are missing, disabled or altered."""

    number: int
    mapping_version: str
    is_current: bool
    faults: tuple[str, ...]


def capture_on(migration: Registered, guard: Guard | None = None) -> list[str]:
    """Install what is missing of the capture triggers, each table in a transaction of its own; return the tables touched.

    Locks: SHARE ROW EXCLUSIVE on a table whose triggers are not right, which waits for that table's writers and for
    nothing else. `guard` is asked in each of these transactions and raises where the table must not be touched. Raises
    LockBusy naming those writers. A snapshot taken afterwards sees every change that was not logged (M2).
    """
    touched = [str(source.relation) for source in migration.sources if _install(source, guard)]
    with transaction(Kind.DDL) as conn:
        run(conn, "migration/start_capturing", migration=migration.name)
    return touched


def is_captured(source: Source) -> bool:
    """Say whether the triggers of `source` are there and as they should be."""
    with transaction(Kind.READ) as conn:
        return bool(fetch_one(conn, "migration/capture_is_wanted", source_id=source.id)["is_wanted"])


def _install(source: Source, guard: Guard | None) -> bool:
    if is_captured(source):
        return False

    def attempt(conn: Connection) -> None:
        if guard is not None:
            guard(conn)
        run(conn, "migration/install_capture", source_id=source.id)

    with_lock_retries(source.relation, "install the capture triggers", attempt, budget_s=CAPTURE_BUDGET_S)
    return True


def remove_capture(conn: Connection, source: Source) -> None:
    """Drop the capture triggers of `source` in the caller's transaction. Locks: ACCESS EXCLUSIVE on its table."""
    run(conn, "migration/remove_capture", source_id=source.id)


def check_generation(conn: Connection, migration: str) -> Generation:
    """Count a new generation where a trigger was touched since the last look, and return the present one (design 8).

    Runs in the caller's transaction; two at once count once.
    """
    run(conn, "migration/raise_generation", migration=migration)
    return read_generation(conn, migration)


def read_generation(conn: Connection, migration: str) -> Generation:
    """Return the generation and whether the triggers are as when it was counted; reads only."""
    row = fetch_one(conn, "migration/read_generation", migration=migration)
    return Generation(row["generation"], row["mapping_version"], row["is_current"], tuple(row["faults"]))


def require_generation(conn: Connection, migration: Registered) -> None:
    """Raise CaptureChanged where generation or mapping version are not those that `migration` was read with."""
    found = read_generation(conn, migration.name)
    known = (migration.generation, migration.mapping_version)
    if not found.is_current or found.faults or (found.number, found.mapping_version) != known:
        raise CaptureChanged(migration=migration.name)


def enqueue_keys(conn: Connection, source: Source, keys: Sequence[str]) -> int:
    """Put `keys` of `source` into the log, so that the drain judges their rows anew; return how many entries that made."""
    return run(conn, "migration/enqueue_keys", source_id=source.id, keys=list(keys)).rowcount


def enqueue_range(conn: Connection, target: Target, source: Source, lower: datetime, upper: datetime) -> int:
    """Put every key of `source` with an event time in [lower, upper) into the log; return how many entries that made.

    Keys come from the legacy rows, from the target rows (with the time they have there: their legacy row may have gone
    or moved unseen) and from quarantine. Locks: ACCESS SHARE on both tables.
    """
    bounds = {"source_id": source.id, "lower": lower, "upper": upper}
    legacy = {"legacy": source.relation, "key": source.key_column, "zone": source.zone}
    unified = {"target": target.relation, "time": target.time_column, "legacy_time": source.time_column}
    functions = {"owns": source.owns, "backward": source.backward}
    queued = run(conn, "migration/enqueue_legacy", **legacy, **bounds, time=source.time_column).rowcount
    queued += run(conn, "migration/enqueue_target", **legacy, **unified, **functions, **bounds).rowcount
    return queued + run(conn, "migration/enqueue_quarantined", **bounds).rowcount


def enqueue_residue(conn: Connection, migration: Registered, source: Source) -> int:
    """Put the keys of `source` whose time is null, infinite or outside the span into the log; return how many entries."""
    names = {"legacy": source.relation, "key": source.key_column, "time": source.time_column}
    values = {"source_id": source.id, "zone": source.zone, "lower": migration.span_from, "upper": migration.span_to}
    return run(conn, "migration/enqueue_residue", **names, **values).rowcount


def queue_length(conn: Connection, migration: str) -> int:
    """Count the entries of a migration's log."""
    return fetch_one(conn, "migration/queue_length", migration=migration)["entries"]
