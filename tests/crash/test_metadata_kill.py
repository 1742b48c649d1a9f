"""A repair of metadata that is killed keeps its batches with their records; the next run does the rest (D6)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tasks.core.connect import runtime
from tasks.core.declaration import Declaration, Metadata, read_declaration
from tasks.core.ledger import Deferred
from tasks.core.parameters import Safety
from tasks.core.settings import PROJECT
from tasks.upkeep.metadata import MetadataResult, repair_metadata_of

pytestmark = pytest.mark.crash

TABLE = "public.notes"
#: Repairs in batches of three and dies before the batch named, or in it before its commit.
RUN = """
import os, signal, sys
from tasks.core.connect import runtime
from tasks.core.parameters import Safety
from tasks.upkeep import metadata
from tests.crash.test_metadata_kill import TABLE, declaration
where, left = sys.argv[1], [int(sys.argv[2])]

def die():
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)

def dying(*arguments):
    real(*arguments)
    die()

real, metadata._record = metadata._record, dying if where == "within" else metadata._record
with runtime():
    metadata.repair_metadata_of(TABLE, declaration(), Safety(apply=True), between=die if where == "before" else None)
"""


def declaration(batch_rows: int = 3) -> Declaration:
    """Declare one table of no project."""
    held = Metadata(why="w", owner="o", columns={TABLE: "metadata"}, batch_rows=batch_rows)
    return read_declaration(PROJECT / "maintenance.yaml").model_copy(update={"metadata": held})


@pytest.fixture
def conn(database: str) -> Iterator[psycopg.Connection[Any]]:
    with runtime(), psycopg.connect(database, autocommit=True) as opened:
        opened.execute("create table public.notes (id int primary key, metadata jsonb, counter int default 0)")
        yield opened


@pytest.mark.parametrize(("where", "batch", "kept"), [("before", 3, 6), ("within", 2, 3)])
def test_a_killed_repair_keeps_its_batches_and_the_next_run_does_the_rest(
    conn: psycopg.Connection[Any], where: str, batch: int, kept: int
) -> None:
    conn.execute("insert into notes select n, jsonb_build_object('n', n) from generate_series(1, 10) n")
    command = [sys.executable, "-c", RUN, where, str(batch)]
    assert subprocess.run(command, cwd=PROJECT, env=os.environ.copy(), check=False, timeout=60).returncode == -9
    repaired = "select count(*) filter (where maintenance.metadata_fault(metadata) is null) from notes"
    recorded = "select coalesce(sum(rows_repaired), 0)::int from maintenance.metadata_repair"
    assert conn.execute(repaired).fetchone() == (kept,)
    assert conn.execute(recorded).fetchone() == (kept,)

    rest = until_free()

    assert (rest.repaired, rest.left) == (10 - kept, 0)
    assert conn.execute(recorded).fetchone() == (10,)
    fields = "select bool_and(metadata -> 'fields' = jsonb_build_object('n', id)) from notes"
    assert conn.execute(fields).fetchone() == (True,)
    assert until_free().report.rows == 0
    outcomes = [outcome for (outcome,) in conn.execute("select outcome from maintenance.run order by id")]
    assert (outcomes[0], outcomes[-1]) == ("abandoned", "completed")


def until_free() -> MetadataResult:
    """Run again until the server has freed a dead run's lock, which takes a moment."""
    for _ in range(150):
        result = repair_metadata_of(TABLE, declaration(), Safety(apply=True))
        if isinstance(result, MetadataResult):
            return result
        time.sleep(0.2)
    pytest.fail("the dead run's lock was not freed")


#: Counts rows up, each time with the metadata that an old program writes; says how often when it is told to stop.
WRITER = """
import json, os, random, select
import psycopg
counts = dict.fromkeys(range(1, 201), 0)
with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as conn:
    print("ready", flush=True)
    while not select.select([0], [], [], 0)[0]:
        row = random.randint(1, 200)
        conn.execute(
            "update public.notes set counter = counter + 1, metadata = jsonb_build_object('count', counter + 1) where id = %s", (row,)
        )
        counts[row] += 1
print(json.dumps(counts), flush=True)
"""


@contextmanager
def writer(folder: Path) -> Iterator[dict[int, int]]:
    """Let a program write as fast as it can; after the block the yielded counts say how often it wrote each row."""
    counted: dict[int, int] = {}
    environment = os.environ.copy()
    command = [sys.executable, "-c", WRITER]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=folder, env=environment, **pipes) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield counted
            said, _ = process.communicate("stop", timeout=60)
            counted.update({int(row): count for row, count in json.loads(said).items()})
        finally:
            process.kill()


def test_a_writer_loses_no_write_to_runs_that_repair_at_once(conn: psycopg.Connection[Any], tmp_path: Path) -> None:
    """Each row's metadata is the last one written, repaired or as written, while two runs are started again and again."""
    conn.execute("insert into notes select n, '[]' from generate_series(1, 200) n")
    results = list[MetadataResult | Deferred]()

    def repair() -> None:
        for _ in range(6):
            results.append(repair_metadata_of(TABLE, declaration(7), Safety(apply=True)))

    with writer(tmp_path) as counted:
        runs = [threading.Thread(target=repair) for _ in range(2)]
        for thread in runs:
            thread.start()
        for thread in runs:
            thread.join()
    until_free()

    assert len(results) == 12
    assert any(isinstance(result, MetadataResult) and result.repaired for result in results)
    assert sum(counted.values()) > 0
    query = "select id, counter, coalesce((metadata #>> '{fields,count}')::int, 0) from notes order by id"
    assert conn.execute(query).fetchall() == [(row, count, count) for row, count in counted.items()]
    odd = "select count(*) from notes where maintenance.metadata_fault(metadata) is not null"
    assert conn.execute(odd).fetchone() == (0,)
