"""The ways to write days of rows to files that the benchmark of partitions compares.

Belongs here: what each contender writes, measured from the first row read to the last byte on disk.
Keep out: databases, rounds and figures (`partitions`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd
import psycopg
import sqlalchemy as sa

from tasks.core.connect import Kind, runtime, transaction
from tasks.core.ledger import Deferred, Run
from tasks.core.names import Relation
from tasks.core.parameters import Safety
from tasks.core.sqlfiles import compose, fetch_one, identifier, load, trusted
from tasks.partitions import parquet
from tasks.partitions.archive import Archived, ArchiveUnit, Failed
from tasks.partitions.archive_file import stream_settings
from tasks.partitions.figures import joined, list_columns
from tasks.partitions.retire import archive_in_threads, retire
from tests.bench.common import ROOT
from tests.bench.partition_contenders import TABLE, Ground, declared

OURS, UNPROVEN, CSV, PANDAS = "ours", "ours unproven", "COPY to CSV", "pandas to_parquet"


@dataclass(frozen=True)
class Written:
    """What one turn took and left."""

    seconds: float
    bytes: int


Writer = Callable[[Ground, Sequence[int], Path], Written]


def archive_ours(ground: Ground, days: Sequence[int], folder: Path) -> Written:
    """Archive as retention does, two side by side: files, the load of each file that proves it, manifests."""
    os.environ["MAINTENANCE_ARCHIVE"] = str(folder)
    seconds = 0.0

    def timed(started: Run, bundles: Sequence[Sequence[ArchiveUnit]], as_of: datetime) -> Iterable[list[Archived | Failed]]:
        nonlocal seconds
        begun = time.monotonic()
        done = list(archive_in_threads(started, bundles, as_of))
        seconds += time.monotonic() - begun
        return done

    keep, safety = declared(archive="parquet", grace="P7D", keep=f"P{-days[-1] - 1}D"), Safety(apply=True)
    with runtime():
        result = retire(TABLE, keep, safety, ground.midnight, archive_all=timed)
    if isinstance(result, Deferred) or len(result.archived) != len(days):
        raise RuntimeError(f"not every day is archived: {result}")
    return Written(seconds, _size(folder, "*.parquet"))


def write_unproven(ground: Ground, days: Sequence[int], folder: Path) -> Written:
    """Write each file of ours and leave out everything that proves it, one after the other: what the proof costs."""
    with runtime(), parquet.session(ground.dsn, stream_settings()) as stream:
        return _each_day(ground, days, partial(_stream_one, stream, folder), folder)


def _stream_one(stream: Any, folder: Path, partition: Relation) -> None:
    with transaction(Kind.READ) as conn:
        oid = fetch_one(conn, "partitions/oid_of", schema=partition.schema, name=partition.name)["oid"]
        columns = list_columns(conn, oid)
    values = {"partition": partition, "key": "event_timestamp", "columns": joined(column.export for column in columns)}
    query = compose("partitions/export_partition", values).as_string()
    parquet.write(stream, query, parquet.fields_of(columns, {}), folder / f"{partition.name}.parquet", {})


def copy_csv(ground: Ground, days: Sequence[int], folder: Path) -> Written:
    """Write one CSV a day with COPY."""
    return _each_day(ground, days, partial(_copy_one, ground, folder), folder)


def _copy_one(ground: Ground, folder: Path, partition: Relation) -> None:
    query = trusted(load("partitions/export_csv", ROOT).text).format(partition=identifier(partition))
    with (
        closing(ground.connect()) as conn,
        conn.cursor() as cursor,
        cursor.copy(query) as rows,
        (folder / f"{partition.name}.csv").open("wb") as file,
    ):
        for data in rows:
            file.write(data)


def to_parquet(ground: Ground, days: Sequence[int], folder: Path) -> Written:
    """Read each day into a frame and write that, as pandas does by default."""
    return _each_day(ground, days, partial(_frame_one, ground, folder), folder)


def _frame_one(ground: Ground, folder: Path, partition: Relation) -> None:
    engine = sa.create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(ground.dsn))
    query = trusted(load("partitions/export_pandas", ROOT).text).format(partition=identifier(partition)).as_string()
    try:
        pd.read_sql_query(query, engine).to_parquet(folder / f"{partition.name}.parquet")
    finally:
        engine.dispose()


def _each_day(ground: Ground, days: Sequence[int], write: Callable[[Relation], None], folder: Path) -> Written:
    begun = time.monotonic()
    for number in days:
        write(ground.partition(number))
    return Written(time.monotonic() - begun, _size(folder, "*"))


def _size(folder: Path, pattern: str) -> int:
    return sum(path.stat().st_size for path in folder.rglob(pattern) if path.is_file())


WRITERS: Mapping[str, Writer] = MappingProxyType({
    OURS: archive_ours,
    UNPROVEN: write_unproven,
    CSV: copy_csv,
    PANDAS: to_parquet,
})  # fmt: skip
