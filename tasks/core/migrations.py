"""Apply numbered SQL migrations, once each, and refuse a changed one (M1).

Belongs here: reading the sets below `sql/migrations/`, comparing checksums, one transaction per file.
Keep out: what the files create.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg

from tasks.core.connect import Connection, Kind, open_connection, require_session, runtime, with_lock_retries
from tasks.core.errors import MissingRight, Permanent, UnsuitableRelation
from tasks.core.sqlfiles import ROOT, fetch, fetch_one, run, trusted

#: Runs always and first; other sets only where the declaration names them.
OWN_SET = "maintenance"
_FILE = re.compile(r"\d{4}_[a-z0-9_]+\.sql")
LOCK = "run:apply_migrations"


@dataclass(eq=False)
class MigrationChanged(Permanent):
    """The applied migration {name} was changed: its checksum was {applied} and the file's is {found}. Restore the file and
    put the change into a new migration; nothing was applied."""

    name: str
    applied: str
    found: str


@dataclass(eq=False)
class InvalidMigration(Permanent):
    """The migration {name} cannot be applied: {reason}. Nothing of it was kept."""

    name: str
    reason: str


@dataclass(frozen=True)
class MigrationFile:
    """One file: `name` is set/file, `checksum` the SHA-256 of its bytes."""

    name: str
    path: Path
    checksum: str


def list_files(sets: Sequence[str], root: Path = ROOT / "migrations") -> list[MigrationFile]:
    """Return the files of OWN_SET and then of `sets`, in order; InvalidMigration for a missing set or an odd name."""
    return [file for name in [OWN_SET, *(s for s in sets if s != OWN_SET)] for file in _files_of(name, root)]


def _files_of(name: str, root: Path) -> list[MigrationFile]:
    folder = root / name
    if not folder.is_dir():
        raise InvalidMigration(name=name, reason=f"there is no folder sql/migrations/{name}")
    paths = sorted(folder.glob("*.sql"))
    odd = [path.name for path in paths if not _FILE.fullmatch(path.name)]
    if odd:
        raise InvalidMigration(name=f"{name}/{odd[0]}", reason="its name is not of the form 0001_words.sql")
    return [MigrationFile(f"{name}/{p.name}", p, hashlib.sha256(p.read_bytes()).hexdigest()) for p in paths]


def apply(sets: Sequence[str], root: Path = ROOT / "migrations") -> list[str]:
    """Apply what has not been applied yet, each file in a transaction of its own; return the names applied.

    Locks: one advisory lock for the whole of it, then what each file takes under a small lock_timeout with retries.
    Raises MigrationChanged, InvalidMigration, MissingRight, LockBusy; the files before the failing one stay applied.
    """
    files = list_files(sets, root)
    with runtime(), open_connection(Kind.DDL, purpose="apply_migrations") as coordinator:
        require_session(coordinator)
        _require_rights(coordinator)
        if not fetch_one(coordinator, "core/try_lock", subject=LOCK)["taken"]:
            raise UnsuitableRelation("schema maintenance", "another run is applying migrations", "Wait for it to end.")
        _bootstrap(coordinator)
        due = _due(coordinator, files)
        for file in due:
            _apply_one(file)
        return [file.name for file in due]


def _require_rights(conn: Connection) -> None:
    facts = fetch_one(conn, "core/server_facts")
    if facts["is_standby"]:
        raise UnsuitableRelation(facts["database"], "it is a read-only standby", "Connect to the primary.")
    if not facts["may_create"] and not fetch(conn, "core/schema_exists", schema="maintenance"):
        remedy = f"As its owner run: grant create on database {facts['database']} to {facts['role_name']}"
        raise MissingRight(facts["role_name"], "create a schema in", facts["database"], "CREATE is not granted", remedy)


def _bootstrap(conn: Connection) -> None:
    if not fetch(conn, "core/schema_exists", schema="maintenance"):
        run(conn, "core/bootstrap")


def _due(conn: Connection, files: Sequence[MigrationFile]) -> list[MigrationFile]:
    applied = {row["name"]: row["checksum"] for row in fetch(conn, "core/applied_migrations")}
    for file in files:
        if file.name in applied and applied[file.name] != file.checksum:
            raise MigrationChanged(name=file.name, applied=applied[file.name][:12], found=file.checksum[:12])
    return [file for file in files if file.name not in applied]


def _apply_one(file: MigrationFile) -> None:
    def attempt(conn: Connection) -> None:
        conn.execute(trusted(file.path.read_text(encoding="utf-8")))
        run(conn, "core/record_migration", name=file.name, checksum=file.checksum)

    try:
        with_lock_retries(file.name, "apply the migration", attempt)
    except psycopg.errors.InsufficientPrivilege as error:
        remedy = "Grant the right, or let the owner of that object apply the migrations."
        raise MissingRight("the current role", "apply", file.name, error.diag.message_primary or "", remedy) from error
    except psycopg.OperationalError:
        raise
    except psycopg.DatabaseError as error:
        raise InvalidMigration(name=file.name, reason=error.diag.message_primary or str(error)) from error
