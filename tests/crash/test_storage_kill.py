"""A run that dies while it uploads is continued by the next, which sends nothing again that arrived (D4)."""

# ruff: noqa: S608 (the name is this file's own)
from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tasks.core.parameters import Safety
from tasks.core.sqlfiles import ROOT
from tasks.partitions import archive, uploads
from tasks.partitions.retire import retire
from tests.crash.test_retention_kill import resume
from tests.retention import AS_OF, TABLE, declare, make_table, name_of
from tests.storage_double import StorageDouble
from tests.storage_real import BOTH, either

LIMIT = 9_000
ROWS = 1200
DAYS = range(-11, 2)
#: Where the run dies: before or after which call of which function.
POINTS = [
    ("before", "write_object", 1),
    ("after", "write_object", 2),
    ("before", "read_object", 5),
    ("after", "read_object", 8),
    ("after", "upload", 1),
    ("after", "_upload", 1),
]
#: A few of them tell that it works at all; `--full-loops` takes every one.
SAMPLE = [("after", "write_object", 2), ("after", "upload", 1)]
CHILD = """
import sys
from tests.crash.test_storage_kill import run_and_die
run_and_die(*sys.argv[1:])
"""


def run_and_die(moment: str, name: str, number: str) -> None:
    """Apply retention in this process and kill it at the `number`th call."""
    archive.OBJECT_BYTES = LIMIT
    for module in (archive, uploads):
        if hasattr(module, name):
            setattr(module, name, dying(getattr(module, name), moment, int(number)))
    retire(TABLE, declare(), Safety(apply=True), AS_OF)


def dying(original: Callable[..., Any], moment: str, number: int) -> Callable[..., Any]:
    left = number

    def call(*arguments: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0 and moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        try:
            return original(*arguments)
        finally:
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return call


def kill_at(moment: str, name: str, number: int) -> None:
    command = [sys.executable, "-c", CHILD, moment, name, str(number)]
    done = subprocess.run(command, cwd=ROOT.parent, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, f"it was not killed {moment} {name}: {done.stderr[-2000:]}"


@pytest.mark.crash
@pytest.mark.slow
@pytest.mark.parametrize("kind", BOTH)
def test_an_upload_that_was_killed_is_completed_by_the_next_run_and_nothing_is_sent_twice(
    make_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str, *, full_loops: bool
) -> None:
    monkeypatch.setattr(archive, "OBJECT_BYTES", LIMIT)
    for number, point in enumerate(POINTS if full_loops else SAMPLE):
        dsn = make_database(sets=())
        monkeypatch.setenv("DATABASE_URL", dsn)
        monkeypatch.setenv("MAINTENANCE_ARCHIVE", str(tmp_path / str(number)))
        monkeypatch.setenv("MAINTENANCE_ARCHIVE_TO", "storage://archive/prod")
        make_table(dsn, DAYS, rows=ROWS)
        with either(kind) as storage:
            monkeypatch.setenv("SUPABASE_URL", storage.url)
            monkeypatch.setenv("SUPABASE_SERVICE_ROLE_KEY", storage.key)
            kill_at(*point)
            assert_nothing_is_lost(dsn)
            resume(0)
            assert_complete(dsn, storage, point)


def assert_nothing_is_lost(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        assert conn.execute(f"select count(*) from {name_of(-11)}".encode()).fetchone() == (ROWS,)


def assert_complete(dsn: str, storage: StorageDouble, point: object) -> None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        recorded = conn.execute("select state, archive, manifest from maintenance.retirement").fetchall()
    ((state, address, manifest),) = recorded
    assert state == "archived", point
    uploads.require_files(address, manifest)
    assert len(storage.objects) == len(uploads.files_of(manifest)) + 1 > 3, point
    assert len(storage.written) == len(set(storage.written)), (point, storage.written)
