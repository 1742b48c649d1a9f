"""A backup killed between or inside its archives is completed by the next run, which makes what stands not anew (M9)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from tasks.core.connect import Kind, database_now, runtime, transaction
from tasks.core.ledger import run_exclusively
from tasks.core.sqlfiles import ROOT
from tasks.migration.backup import Backup, back_up
from tasks.migration.cutover import read_migration
from tasks.migration.prepare import prepare_migration
from tasks.partitions.create import ensure_partitions
from tests.demo.legacy import create_legacy, generate
from tests.ready import DAYS, NAME, SEED, TARGET, declaration

pytestmark = pytest.mark.crash

#: Dies at the second call of the function named, before or after it.
RUN = """
import os, signal, sys
from tasks.core.connect import runtime
from tasks.migration import backup
dsn = os.environ["DATABASE_URL"]
from tests.crash.test_backup_kill import make  # its fixtures take DATABASE_URL away
os.environ["DATABASE_URL"] = dsn

name, when = sys.argv[1:]
real, calls = getattr(backup, name), []

def die(*args, **kwargs):
    calls.append(name)
    result = None if len(calls) == 2 and when == "before" else real(*args, **kwargs)
    if len(calls) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return result

setattr(backup, name, die)
with runtime():
    make()
"""
#: Where the process dies, and how many archives are recorded then.
POINTS = [("_back_up", "before", 1), ("write_files", "after", 1), ("publish_verified", "after", 1), ("_back_up", "after", 2)]


def make() -> list[Backup]:
    """Back up what is missing, as a backfill does."""
    work = declaration().flow("backfill").overdue_after
    migration = read_migration(NAME)
    made = run_exclusively("backfill", NAME, lambda r: back_up(r, migration, database_now()), overdue_after=work, group=TARGET)
    assert isinstance(made, list)
    return made


@pytest.mark.parametrize(("name", "when", "recorded"), POINTS)
def test_a_killed_backup_is_completed_by_the_next_run(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, when: str, recorded: int
) -> None:
    monkeypatch.setenv("MAINTENANCE_ARCHIVE", str(tmp_path))
    with runtime(), psycopg.connect(database, autocommit=True) as conn:
        as_of = database_now()
        create_legacy(conn, view_writer=True)
        generate(conn, 60, SEED, as_of, days=DAYS)
        ensure_partitions(TARGET, declaration(), as_of)
        with transaction(Kind.DDL) as tx:
            prepare_migration(tx, NAME, declaration(), as_of)
        command = [sys.executable, "-c", RUN, name, when]
        with subprocess.Popen(command, cwd=ROOT.parent, env=os.environ.copy()) as process:
            assert process.wait() == -signal.SIGKILL
        assert conn.execute("select count(*) from maintenance.backup").fetchone() == (recorded,)

        made = make()

        assert len(made) == 5 - recorded
        assert conn.execute("select count(distinct relation), count(*) from maintenance.backup").fetchone() == (5, 5)
        paths = sorted(path for (path,) in conn.execute("select path from maintenance.backup"))
        assert sorted(str(path) for path in tmp_path.rglob("*.parquet*")) == paths
        assert conn.execute("select count(*) from pg_class where relname like 'scratch%'").fetchone() == (0,)
        assert make() == []
