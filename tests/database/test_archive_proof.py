"""What proves an archive from its files alone: PostgreSQL's own hashes, and no wrong file passes (D4)."""

# ruff: noqa: S608 (statements are put together from this file's own names)
from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.core.connect import Kind, transaction
from tasks.core.names import Relation
from tasks.core.sqlfiles import compose
from tasks.partitions import archive, file_hash, parquet
from tasks.partitions.archive_proof import ArchiveMismatch, is_proven
from tasks.partitions.figures import Figures, joined, list_columns, read_figures
from tasks.partitions.row_hash import PADDING, hash_int4, hash_int8, hash_values
from tests.database.test_archive import TYPES, TYPES_SCHEMA, make_types, retire_types
from tests.retention import TABLE, apply, make_empty, make_table, name_of

#: Loaded instead: types that are not the server's own, and times that Parquet's readers cannot hold.
LOADED = {"types.pair", "types.score"}
BEYOND = ("infinity'", "BC'", "'5874897", "'294276", "'10000")
TIMES = {"date", "timestamp", "timestamptz"}


def proven_values() -> dict[str, list[str]]:
    """Return the types that are proven from the file, each with its values."""
    kept = {kind: values for kind, values in TYPES.items() if kind not in LOADED}
    return {
        kind: [value for value in values if kind not in TIMES or not any(part in value for part in BEYOND)]
        for kind, values in kept.items()
    }


@pytest.fixture
def dsn(make_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    monkeypatch.setattr(parquet, "BATCH_ROWS", 50)
    return make_empty(make_database, monkeypatch, tmp_path)


@pytest.fixture
def conn(dsn: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(dsn, autocommit=True) as opened:
        opened.execute("set timezone = 'UTC'")
        yield opened


class Filed:
    """A table's file, its columns and what the server says of the table."""

    def __init__(self, dsn: str, path: Path, relation: Relation) -> None:
        with transaction(Kind.READ) as tx:
            (oid,) = tx.execute("select %s::regclass::oid::bigint", (str(relation),)).fetchone() or (0,)
            self.columns = list_columns(tx, oid)
            self.figures: Figures = read_figures(tx, relation, self.columns)
        self.fields = parquet.fields_of(self.columns, {column.name: column.beyond for column in self.figures.columns})
        values = {"partition": relation, "key": "at", "columns": joined(column.export for column in self.columns)}
        query = compose("partitions/export_partition", values).as_string()
        with parquet.session(dsn, [compose("core/session_settings", {}).as_string()]) as stream:
            self.path = parquet.write(stream, query, self.fields, path, {}).path
        self.table = pq.read_table(self.path)

    def is_proven(self) -> bool:
        """Say whether the file as it is passes."""
        return is_proven([self.path], self.fields, self.figures)

    def holds(self, table: Any) -> bool:
        """Say whether a file with these rows passes."""
        pq.write_table(table, self.path)
        return self.is_proven()


@pytest.fixture
def every_type(dsn: str, conn: psycopg.Connection[Any], tmp_path: Path) -> Filed:
    conn.execute(TYPES_SCHEMA)
    columns = ", ".join(f'"c{n} %" {kind}' for n, kind in enumerate(proven_values()))
    conn.execute(f"create table types.known (at timestamptz default '2001-02-03', {columns})")
    for n, values in enumerate(proven_values().values()):
        for value in [*values, "null"]:
            conn.execute(f'insert into types.known ("c{n} %") values ({value})')
    return Filed(dsn, tmp_path / "known.parquet", Relation("types", "known"))


def test_the_file_alone_proves_each_type(every_type: Filed) -> None:
    assert every_type.is_proven()
    assert file_hash.content_of([every_type.path], every_type.fields) == (
        every_type.figures.rows,
        every_type.figures.content_hash,
    )


def test_one_value_of_any_type_that_is_another_or_null_is_found(every_type: Filed) -> None:
    """Each column has its neighbours that equality would forgive; one takes the place of the other."""
    table, passed = every_type.table, list[str]()
    for place, field in enumerate(table.schema):
        column = table.column(place)
        present = [n for n, is_valid in enumerate(column.is_valid().to_pylist()) if is_valid]
        others = [*[n for n in present[1:] if not same(column[n], column[present[0]])][:1], len(table) - 1]
        for other in others:
            taken = list(range(len(table)))
            taken[present[0]] = other
            if not same(column[other], column[present[0]]) and every_type.holds(
                table.set_column(place, field, column.take(pa.array(taken)))
            ):
                passed.append(f"{every_type.columns[place].type}: {column[other]} for {column[present[0]]}")
    assert passed == []
    assert every_type.holds(table)


def same(one: Any, other: Any) -> bool:
    """Say whether two values are the same to the bit, as far as it can be seen: NaN is itself and -0 is not 0."""
    return repr(one.as_py()) == repr(other.as_py())


@pytest.mark.parametrize("damage", ["a row lost", "a row twice", "one for another", "other files"])
def test_rows_that_are_not_those_of_the_table_are_found(every_type: Filed, damage: str) -> None:
    table = every_type.table
    rows = list(range(len(table)))
    changed = {"a row lost": rows[1:], "a row twice": [*rows, 0], "one for another": [1, *rows[1:]], "other files": []}
    assert not every_type.holds(table.take(pa.array(changed[damage], pa.int64())))


def test_rows_in_another_order_are_the_same_rows(every_type: Filed) -> None:
    rows = list(range(len(every_type.table)))
    random.Random(7).shuffle(rows)
    assert every_type.holds(every_type.table.take(pa.array(rows)))


def test_a_file_with_another_unit_or_zone_proves_nothing(every_type: Filed) -> None:
    table = every_type.table
    for kind in (pa.timestamp("ms", "UTC"), pa.timestamp("us"), pa.timestamp("us", "Europe/Berlin")):
        field = pa.field("at", kind, metadata=table.schema.field("at").metadata)
        assert not every_type.holds(table.set_column(0, field, table.column("at").cast(kind)))


def test_a_file_that_cannot_be_read_proves_nothing(every_type: Filed) -> None:
    every_type.path.write_bytes(every_type.path.read_bytes()[:-20])
    assert not every_type.is_proven()


def test_a_table_without_rows_is_proven_too(dsn: str, conn: psycopg.Connection[Any], tmp_path: Path) -> None:
    conn.execute("create schema types; create table types.empty (at timestamptz, note text, data bytea)")
    assert Filed(dsn, tmp_path / "empty.parquet", Relation("types", "empty")).is_proven()


def test_long_values_and_thousands_of_rows_are_hashed_alike(
    dsn: str, conn: psycopg.Connection[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "BATCH_ROWS", 1000)
    conn.execute("create schema types")
    conn.execute(
        "create table types.many as select now() + n * interval '1 s' as at, n::text as short, nullif(n % 3, 0) as third,"
        " repeat('ä', n % 97) as umlauts, case when n % 500 = 0 then repeat(md5(n::text), 4000) end as long,"
        " jsonb_build_object('n', n, 'text', repeat('x', n % 400)) as data from generate_series(1, 3000) as n"
    )
    assert Filed(dsn, tmp_path / "many.parquet", Relation("types", "many")).is_proven()


def test_text_that_repeats_is_a_dictionary_in_the_file_and_proven_by_it(
    dsn: str, conn: psycopg.Connection[Any], tmp_path: Path
) -> None:
    """What repeats at first and is long and different later no longer fits the file's dictionary."""
    conn.execute("create schema types")
    conn.execute(
        "create table types.told as select now() + n * interval '1 s' as at, (array['a', 'b', null])[1 + n % 3] as status,"
        " md5(n::text) as different, jsonb_build_object('n', n % 2) as shape, (n % 5 || '  ')::char(4) as padded,"
        " case when n > 100 then repeat(md5(n::text), 20) else 'same' end as later, null::text as never"
        " from generate_series(1, 4000) as n"
    )
    filed = Filed(dsn, tmp_path / "told.parquet", Relation("types", "told"))
    assert parquet.repeating_texts(filed.path) == ["status", "shape", "padded", "later", "never"]
    assert filed.is_proven()
    place = filed.table.schema.get_field_index("status")
    turned = pa.array(["b" if value == "a" else value for value in filed.table.column(place).to_pylist()])
    assert not filed.holds(filed.table.set_column(place, filed.table.schema.field(place), turned))


def test_hashes_are_the_servers_own(conn: psycopg.Connection[Any]) -> None:
    """Each alone: a row of one column has the hash of that column."""

    def there(values: Any, kind: str) -> list[int]:
        query = f"select hash_record_extended(row(v), 0) from unnest(%s::{kind}[]) with ordinality as u (v, n) order by n"
        return [row[0] for row in conn.execute(query.encode(), (values,))]

    values = [bytes((7 * n + i) % 256 for i in range(n)) for n in (*range(40), 255, 1000)]
    lengths = np.array([len(value) for value in values], np.int64)
    data = np.frombuffer(b"".join(values) + bytes(PADDING), np.uint8)
    assert hash_values(data, np.cumsum(lengths) - lengths, lengths).view(np.int64).tolist() == there(values, "bytea")
    small = np.array([0, 1, -1, 2**31 - 1, -(2**31)], np.int32)
    assert hash_int4(small).view(np.int64).tolist() == there(small.tolist(), "int4")
    large = np.array([0, 1, -1, 2**63 - 1, -(2**63), 10**15], np.int64)
    assert hash_int8(large).view(np.int64).tolist() == there(large.tolist(), "int8")


# Which archives are loaded into the server.


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names each partition whose files are loaded."""
    names, real = list[str](), archive.verify_files

    def note(conn: Any, partition: Relation, *more: Any) -> None:
        names.append(str(partition))
        real(conn, partition, *more)

    monkeypatch.setattr(archive, "verify_files", note)
    return names


def test_nothing_is_loaded_where_the_file_proves_itself(dsn: str, loaded: list[str]) -> None:
    make_table(dsn, rows=40)
    assert len(apply().archived) == 5
    assert loaded == []


def test_types_of_the_users_own_and_times_beyond_are_loaded(conn: psycopg.Connection[Any], loaded: list[str]) -> None:
    make_types(conn)
    assert retire_types().archived == ("types.old",)
    assert loaded == ["types.old"]


def test_a_proof_that_fails_though_the_file_is_right_only_costs_the_load(
    dsn: str, loaded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_table(dsn, rows=40)
    monkeypatch.setattr(file_hash, "EPOCH_US", 0)
    assert apply(at_most=1).archived == (name_of(-15),)
    assert loaded == [name_of(-15)]


def test_the_sign_of_a_number_is_part_of_its_hash(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two values with the same digits, neither the smallest nor the largest: only the hash can tell them apart."""
    make_table(dsn, rows=40)
    write = parquet.write

    def write_and_turn(*arguments: Any) -> Any:
        done = write(*arguments)
        table = pq.read_table(done.path)
        values = table.column("value").to_pylist()
        values[7] = f"-{values[7]}"
        kind = table.schema.field("value")
        pq.write_table(table.set_column(3, kind, pa.array(values, kind.type)), done.path)
        return done

    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(f"insert into {TABLE} (at, sensor, value) select min(at), 'low', -1000 from {name_of(-15)}")
    monkeypatch.setattr(parquet, "write", write_and_turn)
    with pytest.raises(ArchiveMismatch, match="column value"):
        apply(at_most=1)
