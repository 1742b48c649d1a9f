"""What every failed flow run leaves: one row of maintenance.failure, and one of the declared sink (A4).

Belongs here: what is kept of an error, and handing it to the sink once that table is free.
Keep out: when a run counts as failed (`flowruns`). Nothing here raises: the run's own error is the one to see.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from tasks.core.classify import classify
from tasks.core.connect import Kind, transaction
from tasks.core.declaration import Declaration, FailureSink
from tasks.core.errors import MaintenanceError
from tasks.core.names import Relation
from tasks.core.settings import settings, without_secrets
from tasks.core.sqlfiles import fetch, fetch_one, run

#: Longer messages are cut; the run's log has them whole.
LONGEST_MESSAGE = 2_000
#: Handed over when one run ends; the rest waits for the next run's end.
AT_ONCE = 100
#: A row for the sink waits little for a lock: it is tried again when the next run ends.
LOCK_MS = 300
#: Fields of our errors and parameters of flows that name what a run was about, the first found first.
_OBJECTS = ("relation", "matview", "table", "parent", "partition", "subject", "migration", "object", "server")

_log = logging.getLogger("maintenance")


@dataclass(frozen=True)
class Failure:
    """What is kept of the error that ended a flow run."""

    kind: str
    object: str
    message: str
    flow: str
    flow_run_id: str
    occurred_at: str


def describe_failure(error: BaseException, flow: str, flow_run_id: str, parameters: Mapping[str, Any]) -> Failure:
    """Return what is kept of `error`: its kind, what it was about, and a message without secrets or values of rows."""
    now = datetime.now(UTC).isoformat()
    return Failure(classify(error), _object(error, parameters), _message(error), flow, flow_run_id, now)


def _object(error: BaseException, parameters: Mapping[str, Any]) -> str:
    for named in (vars(error) if isinstance(error, MaintenanceError) else {}, parameters):
        for field in _OBJECTS:
            if named.get(field):
                return str(named[field])[:LONGEST_MESSAGE]
    return ""


def _message(error: BaseException) -> str:
    """Return the error's text without what quotes rows or statements; of the driver's only the primary line."""
    if isinstance(error, MaintenanceError):
        return without_secrets(error.without_quotes())[:LONGEST_MESSAGE]
    text = str(error)
    if isinstance(error, psycopg.Error):
        text = f"{error.sqlstate or 'no SQLSTATE'}: {error.diag.message_primary or text.partition(chr(10))[0]}"
    return without_secrets(f"{type(error).__name__}: {text}")[:LONGEST_MESSAGE]


def keep_failure(failure: Failure) -> None:
    """Write `failure` to maintenance.failure, once per flow run; where the database does not take it, leave it for later."""
    if not _record(failure):
        leave_failure(failure)


def leave_failure(failure: Failure) -> None:
    """Write `failure` to a file, which the end of the next run on this machine hands to the database."""
    try:
        file = _waiting_room() / f"{failure.flow_run_id}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(asdict(failure)), encoding="utf-8")
    except (OSError, MaintenanceError) as error:
        _log.warning("The failure of %s could not be kept: %s", failure.flow, _message(error))


def _record(failure: Failure) -> bool:
    try:
        with transaction(Kind.READ, lock_ms=LOCK_MS) as conn:
            run(conn, "core/record_failure", **asdict(failure))
    except (psycopg.Error, MaintenanceError):
        return False
    return True


def _waiting_room() -> Path:
    """Return the folder of failures that no database took: it was down, or not migrated yet."""
    return settings().maintenance_output / "failures"


def keep_waiting_failures() -> None:
    """Write to maintenance.failure what earlier runs on this machine had to leave in files."""
    for file in sorted(_waiting_room().glob("*.json")):
        try:
            if _record(Failure(**json.loads(file.read_text(encoding="utf-8")))):
                file.unlink(missing_ok=True)
        except (OSError, ValueError, TypeError) as error:
            _log.warning("%s holds a failure that cannot be read: %s", file, error)


def deliver_failures(declaration: Declaration) -> int:
    """Hand what waits to the declared sink and return how many rows it took; none while it is a migration's target.

    Each row in a transaction of its own. What the sink does not take stays, with the reason, and its turn comes again as the
    last of all when later runs end. Locks: ROW EXCLUSIVE on the sink (A4).
    """
    sink = declaration.sinks.failures
    if sink is None:
        return 0
    targeting = [name for name, migration in declaration.migrations.items() if migration.target == sink.table]
    try:
        with transaction(Kind.READ, lock_ms=LOCK_MS) as conn:
            waiting = fetch(conn, "core/waiting_failures", at_once=AT_ONCE)
            is_free = bool(waiting) and _is_free(conn, sink.table, targeting)
        taken = takewhile(bool, (_deliver(sink, row, targeting) for row in waiting))
        return sum(taken) if is_free else 0
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        return 0  # before apply_migrations
    except (psycopg.Error, MaintenanceError) as error:
        _log.warning("Failures could not be handed to %s: %s", sink.table, _message(error))
        return 0


def _is_free(conn: psycopg.Connection[Any], table: str, migrations: list[str]) -> bool:
    """Say whether no migration will still compare the table: each declared one has been cut over, no other is under way.

    The answer stays true until the caller's transaction ends.
    """
    return fetch_one(conn, "core/sink_is_free", target=table, migrations=migrations)["is_free"]


class _Held(Exception):
    """A migration has begun to watch the sink since we looked."""


def _require_free(conn: psycopg.Connection[Any], table: str, migrations: list[str]) -> None:
    if not _is_free(conn, table, migrations):
        raise _Held


def _deliver(sink: FailureSink, row: Mapping[str, Any], targeting: list[str]) -> bool:
    """Write one row; looks again whether the sink is free with its lock held, as a way back takes its locks in this order."""
    values = {column: row[field] for column, field in sink.columns.items()} | sink.constants
    columns = sql.SQL(", ").join(map(sql.Identifier, values))
    try:
        with transaction(Kind.READ, lock_ms=LOCK_MS) as conn:
            table = Relation.parse(sink.table)
            run(conn, "core/insert_failure", table=table, columns=columns, row=json.dumps(values, default=str))
            _require_free(conn, sink.table, targeting)
            run(conn, "core/failure_delivered", failure=row["id"])
    except _Held:
        return False
    except (psycopg.Error, MaintenanceError) as error:
        with transaction(Kind.READ, lock_ms=LOCK_MS) as conn:
            run(conn, "core/failure_refused", failure=row["id"], reason=_message(error))
        return False
    return True
