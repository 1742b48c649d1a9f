"""Rows to Parquet and back, a batch at a time: memory does not grow with the partition (D4).

Belongs here: streaming a query into a file, reading a file as the CSV that COPY takes, checksums, durable renames.
Keep out: statements, states, what is archived and when. No other module imports Arrow or ADBC, except `file_hash`, which hashes
what was read here.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from types import MappingProxyType
from typing import Any

import adbc_driver_postgresql.dbapi as adbc
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from adbc_driver_postgresql import StatementOptions

from tasks.partitions.figures import Column
from tasks.partitions.uploads import sha256_of

#: A row group ends at whichever comes first; readers skip whole groups by their time.
GROUP_ROWS, GROUP_BYTES = 131_072, 32 << 20
BATCH_ROWS = 16_384
#: What the driver puts in a batch; four times as much no longer fits a processor's cache.
STREAM_BYTES = 2 << 20
#: Level 1 takes half of the time of level 3, and less room too where nothing tries a dictionary on what is different in each row.
COMPRESSION: Mapping[str, Any] = MappingProxyType({"compression": "zstd", "compression_level": 1})
#: A dictionary is kept of what repeats: numbers, and text of which at most so many in a hundred are different in the first rows.
REPEATING, MOST_DIFFERENT = frozenset({"int", "bool"}), 10
#: What PostgreSQL orders otherwise than Parquet orders its text: there smallest and largest would say nothing.
UNORDERED = frozenset({"numeric", "other"})
#: Made when Arrow starts, so that no type checker knows them by name.
compute: Any = importlib.import_module("pyarrow.compute")


@dataclass(frozen=True)
class Field:
    """A column of the file: the table's own, or the companion that holds a time's text where no Parquet reader can."""

    name: str
    column: Column
    is_companion: bool = False


@dataclass(frozen=True)
class Written:
    """A file on disk, by its content, and what follows it where a limit split the rows."""

    path: Path
    rows: int
    size_bytes: int
    sha256: str
    more: tuple[Written, ...] = ()

    @property
    def files(self) -> tuple[Written, ...]:
        """Every file in order; each is a whole Parquet file of the same columns."""
        return (self, *self.more)


def fields_of(columns: Sequence[Column], beyond: Mapping[str, int]) -> list[Field]:
    """Return the file's columns: the table's, then `<column>__infinite` for each time column that needs it."""
    taken = {column.name for column in columns}
    fields = [Field(column.name, column) for column in columns]
    for column in columns:
        if beyond.get(column.name):
            name = f"{column.name}__infinite"
            while name in taken:
                name += "_"
            taken.add(name)
            fields.append(Field(name, column, is_companion=True))
    return fields


@contextmanager
def session(uri: str, settings: Sequence[str]) -> Iterator[Any]:
    """Open an ADBC connection for reading, `settings` executed first; one serves several partitions.

    Whatever the driver raises, here or in `write`, is a ConnectionError.
    """
    try:
        with adbc.connect(uri, autocommit=True) as conn:
            with conn.cursor() as cursor:
                for setting in settings:
                    cursor.execute(setting)
                    cursor.fetchall()
            yield conn
    except adbc.Error as error:
        raise ConnectionError(str(error).split("\n", 1)[0]) from error


def write(
    conn: Any, query: str, fields: Sequence[Field], path: Path, facts: Mapping[str, object], *, limit: int | None = None
) -> Written:
    """Stream `query`, whose columns are `fields` in order, into a Parquet file; returns once it is on disk.

    `facts` stands in the file's metadata as JSON, each column's PostgreSQL type in that of its field. A `limit` in bytes
    begins another file, named by `piece_of`, before the rows of one would pass it; a larger row has a file of its own.
    """
    try:
        with conn.cursor(adbc_stmt_kwargs={StatementOptions.BATCH_SIZE_HINT_BYTES.value: str(STREAM_BYTES)}) as cursor:
            cursor.execute(query)
            reader = cursor.fetch_record_batch()
            schema = _schema(reader.schema, fields, facts)
            rows = _write_files(reader, schema, path, limit, fields)
    except adbc.Error as error:
        raise ConnectionError(str(error).split("\n", 1)[0]) from error
    first, *more = [_written(piece_of(path, number), count) for number, count in enumerate(rows)]
    return replace(first, more=tuple(more))


def _written(path: Path, rows: int) -> Written:
    flush(path)
    return Written(path, rows, path.stat().st_size, sha256_of(path))


def piece_of(path: Path, number: int) -> Path:
    """Return the path of one of the files that follow the first: `part-0.parquet`, `part-0-1.parquet`, `part-0-2.parquet`."""
    return path.with_name(path.name.replace(".parquet", f"-{number}.parquet", 1)) if number else path


def _schema(found: Any, fields: Sequence[Field], facts: Mapping[str, object]) -> Any:
    """Name the columns by place: SQL would cut a companion's name at 63 bytes."""
    named = [pa.field(f.name, found.field(i).type, metadata=_metadata(f)) for i, f in enumerate(fields)]
    return pa.schema(named, metadata={"maintenance": json.dumps(facts, default=str)})


def _metadata(field: Field) -> dict[str, str]:
    companion = {"companion_of": field.column.name} if field.is_companion else {}
    return {"postgresql_type": field.column.type, **companion}


def _write_files(reader: Any, schema: Any, path: Path, limit: int | None, fields: Sequence[Field]) -> list[int]:
    """Write file after file until nothing is left; returns the rows of each, one empty file where there is none."""
    with closing(_ahead(_groups(reader, limit))) as groups:
        return _write_groups(groups, schema, path, limit, fields)


def _write_groups(
    groups: Iterator[list[Any]], schema: Any, path: Path, limit: int | None, fields: Sequence[Field]
) -> list[int]:
    group = next(groups, None)
    encoding = _encoding(_renamed(group or [], schema).slice(length=BATCH_ROWS), fields)
    counts: list[int] = []
    while group is not None or not counts:
        rows = 0
        piece = piece_of(path, len(counts))
        with piece.open("wb") as sink, pq.ParquetWriter(sink, schema, **encoding) as writer:
            while group is not None and (not rows or _fits(sink.tell(), group, limit)):
                writer.write_table(_renamed(group, schema), row_group_size=GROUP_ROWS)
                rows += sum(batch.num_rows for batch in group)
                group = next(groups, None)
        counts.append(rows)
    return counts


def _renamed(group: Sequence[Any], schema: Any) -> Any:
    return pa.Table.from_batches([pa.RecordBatch.from_arrays(batch.columns, schema=schema) for batch in group], schema)


def _encoding(sample: Any, fields: Sequence[Field]) -> dict[str, Any]:
    """Say how to write each column, by the first rows."""
    repeating = [f.name for i, f in enumerate(fields) if f.column.kind in REPEATING or _repeats(sample.column(i))]
    ordered = [field.name for field in fields if field.column.kind not in UNORDERED]
    return {**COMPRESSION, "use_dictionary": repeating, "write_statistics": ordered}


def _repeats(column: Any) -> bool:
    return pa.types.is_string(column.type) and compute.count_distinct(column).as_py() * 100 <= len(column) * MOST_DIFFERENT


def _fits(written: int, group: Sequence[Any], limit: int | None) -> bool:
    """Say whether a file stays below the limit even where nothing of the group can be compressed."""
    return limit is None or written + sum(batch.nbytes for batch in group) <= limit


def _ahead(groups: Iterator[list[Any]]) -> Generator[list[Any]]:
    """Yield each group while a thread reads the next: the server does not wait for the writer. Two are held."""
    with ThreadPoolExecutor(1) as reading:
        coming = reading.submit(next, groups, None)
        while (group := coming.result()) is not None:
            coming = reading.submit(next, groups, None)
            yield group


def _groups(reader: Any, limit: int | None) -> Iterator[list[Any]]:
    most_bytes = GROUP_BYTES if limit is None else limit // 3
    held, rows, size = list[Any](), 0, 0
    for whole in reader:
        for batch in [whole] if limit is None else _halved(whole, most_bytes):
            held.append(batch)
            rows, size = rows + batch.num_rows, size + batch.nbytes
            if rows >= GROUP_ROWS or size >= most_bytes:
                yield held
                held, rows, size = [], 0, 0
    if held:
        yield held


def _halved(batch: Any, most_bytes: int) -> Iterator[Any]:
    """Yield the batch in slices of at most so many bytes, or of one row."""
    if batch.nbytes <= most_bytes or batch.num_rows <= 1:
        yield batch
        return
    half = batch.num_rows // 2
    yield from _halved(batch.slice(0, half), most_bytes)
    yield from _halved(batch.slice(half), most_bytes)


def content_bytes(paths: Sequence[Path]) -> int:
    """Return how many bytes the columns of an archive's files take before compression."""
    found = [pq.read_metadata(path) for path in paths]
    return sum(file.row_group(number).total_byte_size for file in found for number in range(file.num_row_groups))


def read_as_csv(path: Path, fields: Sequence[Field], without: frozenset[str] = frozenset()) -> Iterator[bytes]:
    """Yield the file's rows as CSV in the table's column order, null as an empty field, text always quoted.

    Columns named by `without` are left out: those that the table computes.
    """
    columns = [i for i, field in enumerate(fields) if not field.is_companion and field.name not in without]
    companions = {f.column.name: i for i, f in enumerate(fields) if f.is_companion}
    for batch in read_batches(path, fields):
        texts = [_text(batch, i, companions.get(fields[i].column.name)) for i in columns]
        sink = BytesIO()
        pa_csv.write_csv(pa.table(texts, names=[str(i) for i in columns]), sink, pa_csv.WriteOptions(include_header=False))
        yield sink.getvalue()


def read_batches(path: Path, fields: Sequence[Field], dictionaries: Iterable[str] = ()) -> Iterator[Any]:
    """Yield a file's rows, group by group: one reader over all of them keeps what it has read.

    Columns named by `dictionaries` come as a dictionary and indices into it. Raises ArrowInvalid, a ValueError, where its columns are others than `fields`.
    """
    with pq.ParquetFile(path, pre_buffer=False, read_dictionary=[*dictionaries]) as file:
        if file.schema_arrow.names != [field.name for field in fields]:
            reason = f"its columns are {', '.join(file.schema_arrow.names)}"
            raise pa.ArrowInvalid(reason)
        for group in range(file.num_row_groups):
            yield from file.iter_batches(BATCH_ROWS, row_groups=[group])


def repeating_texts(path: Path) -> list[str]:
    """Return the columns of text that the file itself holds as a dictionary."""
    found = pq.read_metadata(path)
    columns = [found.row_group(0).column(place) for place in range(found.num_columns)] if found.num_row_groups else []
    return [c.path_in_schema for c in columns if c.physical_type == "BYTE_ARRAY" and "RLE_DICTIONARY" in c.encodings]


def _text(batch: Any, place: int, companion: int | None) -> Any:
    """Return a column as something that CSV writes exactly as PostgreSQL reads it."""
    column = batch.column(place)
    if isinstance(column.type, pa.UuidType):
        column = column.storage
    if pa.types.is_fixed_size_binary(column.type):
        return _hex(column.cast(pa.binary()), "")
    if pa.types.is_binary(column.type):
        return _hex(column, "\\x")
    if companion is not None and batch.column(companion).null_count < len(batch):
        return compute.coalesce(column.cast(pa.string()), batch.column(companion))
    return column


def _hex(column: Any, prefix: str) -> Any:
    """Write bytes as hexadecimal: all of them at once, since a loop over rows would take longer than the load."""
    lengths = compute.binary_length(column).fill_null(0).to_numpy(zero_copy_only=False).astype("int64")
    offsets = pa.array([0, *(lengths.cumsum() * 2).tolist()], pa.int64()).buffers()[1]
    whole = b"".join(value for value in column.to_pylist() if value).hex().encode()
    texts = pa.LargeStringArray.from_buffers(len(column), offsets, pa.py_buffer(whole))
    start, end = (pa.scalar(text, pa.large_string()) for text in (prefix, ""))
    shown = compute.binary_join_element_wise(start, texts, end) if prefix else texts
    return compute.if_else(column.is_valid(), shown, pa.scalar(None, pa.large_string()))


def release() -> None:
    """Give back to the system what a large table has left in this process; malloc would keep it for as long as that lives."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def flush(path: Path) -> None:
    """Put a file on disk, and out of the page cache, so that whoever reads it next reads what the disk holds."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        if hasattr(os, "posix_fadvise") and not path.is_dir():
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)
