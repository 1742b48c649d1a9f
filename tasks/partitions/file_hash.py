"""What an archive's files hold, in the figures of a table: rows and PostgreSQL's content hash, from the files alone (D4).

Belongs here: Arrow's columns as the bytes and numbers that PostgreSQL hashes. Keep out: the hash itself (`row_hash`), reading
files (`parquet`), and what follows from a difference (`archive_proof`).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa

from tasks.partitions.parquet import Field, read_batches, repeating_texts
from tasks.partitions.row_hash import PADDING, Hashes, add_column, hash_int4, hash_int8, hash_values, total

compute: Any = importlib.import_module("pyarrow.compute")
#: PostgreSQL counts from 2000, Arrow from 1970.
EPOCH_DAYS, EPOCH_US = 10_957, 946_684_800_000_000


class NotHashed(NotImplementedError):
    """A column whose values are not in the file as the server hashes them."""


def content_of(paths: Iterable[Path], fields: Sequence[Field]) -> tuple[int, str]:
    """Return rows and content hash of an archive's files, as `read_figures` gives them for the table; memory stays flat.

    Raises NotHashed, and what Arrow raises where a file cannot be read (ValueError, OSError, NotImplementedError).
    """
    rows = content = 0
    for path in paths:
        for batch in read_batches(path, fields, repeating_texts(path)):
            rows += len(batch)
            content += _content(batch, fields)
    return rows, str(content)


def _content(batch: Any, fields: Sequence[Field]) -> int:
    hashes = np.zeros(len(batch), np.uint64)
    for place, field in enumerate(fields):
        column = batch.column(place)
        if field.is_companion:
            if column.null_count < len(column):
                raise NotHashed(field.name)
        else:
            add_column(hashes, _hashed(column, field), _valid(column))
    return total(_hash_texts(pa.array(hashes.view(np.int64)).cast(pa.string())))


def _valid(column: Any) -> Any:
    return column.is_valid().to_numpy(zero_copy_only=False) if column.null_count else None


def _hashed(column: Any, field: Field) -> Hashes:
    """Hash a column as the server does its type; anything that is in the file otherwise than expected is refused."""
    stored = column.storage if isinstance(column.type, pa.BaseExtensionType) else column
    if pa.types.is_dictionary(stored.type):
        return _of_dictionary(stored, _hashed(stored.dictionary, field))
    wanted = {"timestamp with time zone": pa.timestamp("us", "UTC"), "timestamp without time zone": pa.timestamp("us")}
    kind = field.column.kind
    if kind == "time" and field.column.type.startswith("time") and stored.type != wanted[_plain(field.column.type)]:
        raise NotHashed(f"{field.name} is {stored.type}")
    hash_one = _HASHES.get((kind, str(stored.type).partition("[")[0]))
    if hash_one is None:
        raise NotHashed(f"{field.name} is {stored.type}")
    return hash_one(_trimmed(stored) if field.column.type.startswith(("character(", "bpchar")) else stored)


def _of_dictionary(column: Any, hashes: Hashes) -> Hashes:
    """Give each row the hash of its value, where each value was hashed once; where one is null stands anything."""
    return np.append(hashes, np.uint64(0))[column.indices.fill_null(len(hashes)).to_numpy(zero_copy_only=False)]


def _plain(kind: str) -> str:
    """Return a type without the precision that it may have: timestamp(3) with time zone."""
    head, _, tail = kind.partition("(")
    return head + tail.partition(")")[2] if tail else kind


def _trimmed(column: Any) -> Any:
    """Character(n) is hashed without the spaces at its end."""
    return compute.utf8_rtrim(column, " ")


def _numbers(column: Any, dtype: Any) -> Any:
    """Return fixed-width values as they lie in memory; where one is null stands anything."""
    return np.frombuffer(column.buffers()[1], dtype)[column.offset : column.offset + len(column)]


def _hash_texts(column: Any) -> Hashes:
    large = pa.types.is_large_string(column.type) or pa.types.is_large_binary(column.type)
    _, offsets, data = column.buffers()
    at = np.frombuffer(offsets, np.int64 if large else np.int32)[column.offset : column.offset + len(column) + 1]
    first, last = (int(at[0]), int(at[-1])) if len(at) else (0, 0)
    content = np.frombuffer(data, np.uint8)[first:last] if data is not None else np.empty(0, np.uint8)
    at = at.astype(np.int64) - first
    return hash_values(np.concatenate([content, np.zeros(PADDING, np.uint8)]), at[:-1], np.diff(at))


def _hash_fixed(column: Any) -> Hashes:
    width = column.type.byte_width
    content = np.frombuffer(column.buffers()[1], np.uint8)[column.offset * width : (column.offset + len(column)) * width]
    return _hash_width(content, width)


def _hash_width(content: Any, width: int) -> Hashes:
    count = len(content) // width
    padded = np.concatenate([content, np.zeros(PADDING, np.uint8)])
    return hash_values(padded, width * np.arange(count), np.full(count, width))


def _hash_floats(column: Any) -> Hashes:
    """Hash the bytes that the server sends, every NaN as the one without a sign."""
    native = np.dtype(f"f{column.type.bit_width // 8}")
    values = _numbers(column, native)
    sent = np.where(np.isnan(values), native.type(np.nan), values).astype(native.newbyteorder(">"))
    return _hash_width(sent.view(np.uint8), native.itemsize)


_HASHES: Mapping[tuple[str, str], Callable[[Any], Hashes]] = MappingProxyType({
    ("bool", "bool"): lambda column: hash_int4(column.cast(pa.uint8()).fill_null(0).to_numpy(zero_copy_only=False)),
    ("int", "int16"): lambda column: hash_int4(_numbers(column, np.int16)),
    ("int", "int32"): lambda column: hash_int4(_numbers(column, np.int32)),
    ("int", "int64"): lambda column: hash_int8(_numbers(column, np.int64)),
    ("float", "float"): _hash_floats,
    ("float", "double"): _hash_floats,
    ("text", "string"): _hash_texts,
    ("numeric", "string"): _hash_texts,
    ("other", "string"): _hash_texts,
    ("uuid", "fixed_size_binary"): _hash_fixed,
    ("bytes", "binary"): _hash_texts,
    ("time", "date32"): lambda column: hash_int4(_numbers(column, np.int32) - EPOCH_DAYS),
    ("time", "timestamp"): lambda column: hash_int8(_numbers(column, np.int64) - EPOCH_US),
})  # fmt: skip
