"""An archive gives back exactly what the table held, or says what it does not (D4)."""

# ruff: noqa: S608 (statements are put together from this file's own names)
from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.core.connect import Kind, transaction
from tasks.core.errors import CannotConnect, Unfinished
from tasks.core.names import Relation
from tasks.core.parameters import Safety
from tasks.core.sqlfiles import ROOT
from tasks.partitions import archive, parquet
from tasks.partitions.archive import bundle
from tasks.partitions.archive_file import ArchiveSpace, FolderTaken
from tasks.partitions.archive_proof import ArchiveMismatch, ArchiveUnavailable, verify_files
from tasks.partitions.figures import list_columns, read_figures
from tasks.partitions.retire import RetentionResult, retire
from tasks.partitions.uploads import archive_directory
from tests.retention import AS_OF, DAY, GRACE, TABLE, apply, declare, make_empty, make_table, name_of, states

DUE = range(-15, -10)
OLD = "2001-02-03 04:05:06.789012+00"


@pytest.fixture
def dsn(make_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    return make_empty(make_database, monkeypatch, tmp_path)


@pytest.fixture
def conn(dsn: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(dsn, autocommit=True) as opened:
        opened.execute("set timezone = 'UTC'")
        yield opened


@pytest.fixture
def readings(dsn: str, conn: psycopg.Connection) -> psycopg.Connection:
    make_table(dsn, rows=40)
    return conn


def file_of(day: int) -> Path:
    return archive_directory() / TABLE / f"lower={AS_OF + day * DAY:%Y-%m-%d}" / "part-0.parquet"


def manifest_of(day: int) -> dict[str, Any]:
    return json.loads(file_of(day).with_name("manifest.json").read_text(encoding="utf-8"))


# Every type, exactly.

#: Type and values as SQL; each value that equality would forgive stands beside its neighbour.
TYPES: dict[str, list[str]] = {
    "boolean": ["true", "false"],
    "smallint": ["-32768", "32767"],
    "integer": ["-2147483648", "2147483647"],
    "bigint": ["-9223372036854775808", "9223372036854775807"],
    "real": ["'NaN'", "'Infinity'", "'-Infinity'", "'-0'", "0", "1.17549435e-38", "0.1"],
    "double precision": ["'NaN'", "'Infinity'", "'-Infinity'", "'-0'", "0", "5e-324", "0.1", "1.7976931348623157e308"],
    "numeric": [
        "'NaN'",
        "'Infinity'",
        "'-Infinity'",
        "1.0",
        "1.00",
        "0.00",
        "1e-40",
        "1e90",
        "123456789012345678901234567890.5",
    ],
    "numeric(12, 2)": ["1.50", "-9999999999.99"],
    "text": [
        "''",
        "' '",
        r"'a\b'",
        "'\"quoted\", with, commas'",
        r"E'line\n\\.\nnext\r\nend'",
        "'ünï 😀'",
        "'NULL'",
        "'null'",
        r"'\N'",
    ],
    "varchar(9)": ["'ab '", "''"],
    "character(5)": ["'ab'", "'     '"],
    '"char"': ["'a'", "''"],
    "name": ["'some name'"],
    "bytea": [r"'\x'", r"'\x00ff5c2700'", "decode(repeat('00', 300), 'hex')"],
    "uuid": ["'00000000-0000-0000-0000-000000000000'", "'ffffffff-ffff-ffff-ffff-ffffffffffff'"],
    "date": ["'infinity'", "'-infinity'", "'4713-01-01 BC'", "'5874897-12-31'", "'0001-01-01'", "'9999-12-31'", "'2024-02-29'"],
    "timestamp": [
        "'infinity'",
        "'-infinity'",
        "'4713-01-01 BC'",
        "'294276-12-31 23:59:59.999999'",
        "'2024-02-29 12:34:56.789012'",
        "'0044-03-15 BC'",
    ],
    "timestamptz": [
        "'infinity'",
        "'-infinity'",
        "'294276-12-31 23:59:59.999999+00'",
        "'2024-03-31 01:59:59.000001+02'",
        "'0001-01-01 00:00:00+00'",
        "'10000-01-01 00:00:00+00'",
    ],
    "time": ["'00:00'", "'24:00'", "'23:59:59.999999'"],
    "timetz": ["'12:00:00.000001+05:45'", "'12:00:00-00'"],
    "interval": ["'1 day'", "'24 hours'", "'1 mon -1 day 00:00:00.000001'", "'-178000000 years'"],
    "json": ['\'{"b": 1,  "a": 1, "a": 2}\'', "'1.00'", "'null'"],
    "jsonb": ["'{\"a\": 1.0}'", "'{\"a\": 1.00}'", "'[]'", "'null'", "'\"\\\\u00e9\\\\n\"'"],
    "inet": ["'10.0.0.1'", "'10.0.0.1/8'", "'::1'"],
    "cidr": ["'10.0.0.0/8'"],
    "macaddr": ["'08:00:2b:01:02:03'"],
    "macaddr8": ["'08:00:2b:01:02:03:04:05'"],
    "bit(3)": ["'101'"],
    "bit varying": ["''", "'10'"],
    "point": ["'(1,2.5)'", "'(-0,1e-300)'"],
    "box": ["'(2,2),(1,1)'"],
    "circle": ["'<(1,2),3>'"],
    "polygon": ["'((0,0),(1,1),(1,0))'"],
    "money": ["'-12.34'"],
    "tsvector": ["'a:1A b:2'"],
    "tsquery": ["'a & !b'"],
    "pg_lsn": ["'16/B374D848'"],
    "oid": ["4294967295"],
    "int4range": ["'[1,5)'", "'empty'", "'(,)'"],
    "numrange": ["'[1.0,2.0)'", "'[1.00,2.00)'"],
    "tstzrange": ["'[2024-01-01 00:00:00+00,infinity)'"],
    "int8multirange": ["'{[1,3),[5,8)}'"],
    "integer[]": ["'{}'", "'{1,NULL,3}'", "'[0:1]={7,8}'", "'{{1,2},{3,4}}'"],
    "text[]": ["ARRAY['a,b', '\"q\"', 'NULL', '', null]"],
    "double precision[]": ["'{NaN,-0,Infinity}'"],
    "jsonb[]": ["ARRAY['{\"a\": 1.0}'::jsonb]"],
    "timestamptz[]": ["'{infinity,2024-01-01 00:00:00.000001+00}'"],
    "types.mood": ["'so so'"],
    "types.pair": ["row(1, 'a \"b\"')", "row(null, null)"],
    "types.score": ["3"],
}
TYPES_SCHEMA = """
create schema types;
create type types.mood as enum ('fine', 'so so');
create type types.pair as (a integer, b text);
create domain types.score as integer check (value > 0);
"""


def make_types(conn: psycopg.Connection) -> None:
    """Make the old partition of a table with a column per type: a row per value, and one of nulls."""
    conn.execute(TYPES_SCHEMA)
    columns = ", ".join(f'"c{n} %" {kind}' for n, kind in enumerate(TYPES))
    conn.execute(f"create table types.everything (at timestamptz not null, {columns}) partition by range (at)")
    bounds = {"old": ("2001-01-01", "2002-01-01"), "new": ("2002-01-01", "2100-01-01")}
    for name, (lower, upper) in bounds.items():
        conn.execute(f"create table types.{name} partition of types.everything for values from ('{lower}') to ('{upper}')")
    for n, values in enumerate(TYPES.values()):
        for value in [*values, "null"]:
            conn.execute(f"insert into types.everything (at, \"c{n} %\") values ('{OLD}', {value})")
    conn.execute("insert into types.everything (at) values (now())")


def types_declared() -> Any:
    return declare(keep="P90D").model_copy(update={"tables": {"types.everything": declare(keep="P90D").tables[TABLE]}})


def retire_types() -> RetentionResult:
    result = retire("types.everything", types_declared(), Safety(apply=True), AS_OF)
    assert isinstance(result, RetentionResult)
    return result


@pytest.fixture
def types_archive(dsn: str, conn: psycopg.Connection) -> Path:
    """The archive of a partition with every type, verified by retention itself."""
    make_types(conn)
    assert retire_types().archived == ("types.old",)
    return archive_directory() / "types.everything" / "lower=2001-01-01" / "part-0.parquet"


def test_every_type_comes_back_exactly(types_archive: Path, conn: psycopg.Connection) -> None:
    """Loaded with other code than verified it, and compared as text, which is stricter than the types' own equality."""
    with transaction(Kind.READ) as tx:
        (oid,) = tx.execute("select 'types.old'::regclass::oid::bigint").fetchone()
        columns = list_columns(tx, oid)
        fields = parquet.fields_of(
            columns, {c.name: c.beyond for c in read_figures(tx, Relation("types", "old"), columns).columns}
        )
    conn.execute("create table types.back (like types.old)")
    with conn.cursor().copy("copy types.back from stdin (format csv, encoding 'UTF8')") as copy:
        for piece in parquet.read_as_csv(types_archive, fields):
            copy.write(piece)
    for one, other in (("old", "back"), ("back", "old")):
        left = f"select r::text from types.{one} r except all select r::text from types.{other} r"
        assert conn.execute(left).fetchall() == []
    floats = 'select float4send("c4 %"), float8send("c5 %") from types.{} order by 1, 2'
    assert conn.execute(floats.format("old")).fetchall() == conn.execute(floats.format("back")).fetchall()


def test_another_reader_sees_the_types_it_knows(types_archive: Path) -> None:
    with duckdb.connect() as duck:
        described = {row[0]: row[1] for row in duck.execute(f"describe select * from '{types_archive}'").fetchall()}
        kinds = {kind: described[f"c{n} %"] for n, kind in enumerate(TYPES)}
        infinities = duck.execute(
            f'select "c15 %__infinite" from \'{types_archive}\' where "c15 %__infinite" is not null order by 1'
        )
        rows = infinities.fetchall()
    assert described["at"] == "TIMESTAMP WITH TIME ZONE"
    assert [kinds[kind] for kind in ("boolean", "smallint", "bigint", "real", "double precision")] == [
        "BOOLEAN", "SMALLINT", "BIGINT", "FLOAT", "DOUBLE",
    ]  # fmt: skip
    assert [kinds[kind] for kind in ("text", "bytea", "uuid", "date", "timestamp", "numeric", "jsonb", "interval")] == [
        "VARCHAR", "BLOB", "UUID", "DATE", "TIMESTAMP", "VARCHAR", "VARCHAR", "VARCHAR",
    ]  # fmt: skip
    assert rows == [("-infinity",), ("4713-01-01 BC",), ("5874897-12-31",), ("infinity",)]


def test_the_file_says_each_columns_type_and_where_it_came_from(types_archive: Path) -> None:
    schema = pq.read_schema(types_archive)
    types = {name: field.metadata[b"postgresql_type"].decode() for name, field in ((f.name, f) for f in schema)}
    assert types["c7 %"] == "numeric(12,2)"
    assert schema.field("c15 %__infinite").metadata[b"companion_of"] == b"c15 %"
    facts = json.loads(schema.metadata[b"maintenance"])
    assert (facts["table"], facts["partition"], facts["key"]) == ("types.everything", "types.old", "at")


# Layout, manifest, names.


def test_an_archive_is_one_file_and_one_manifest_per_partition_and_nothing_else(readings: psycopg.Connection) -> None:
    result = apply()
    files = sorted(
        path.relative_to(archive_directory()).as_posix() for path in archive_directory().rglob("*") if path.is_file()
    )
    assert files == sorted(
        f"{TABLE}/lower={AS_OF + day * DAY:%Y-%m-%d}/{name}" for day in DUE for name in ("manifest.json", "part-0.parquet")
    )
    assert result.archive_bytes == sum(file_of(day).stat().st_size for day in DUE)
    assert readings.execute("select relname from pg_class where relname like 'scratch%'").fetchall() == []


def test_all_partitions_are_read_together_by_their_bounds(readings: psycopg.Connection) -> None:
    apply()
    pattern = archive_directory() / TABLE / "*" / "*.parquet"
    with duckdb.connect() as duck:
        found = duck.execute(
            f"select lower, count(*), min(\"at\") from read_parquet('{pattern}', hive_partitioning = true) group by 1 order by 1"
        ).fetchall()
    assert [(lower, count) for lower, count, _ in found] == [((AS_OF + day * DAY).date(), 40) for day in DUE]


def test_rows_are_sorted_by_time(readings: psycopg.Connection) -> None:
    readings.execute(f"insert into app.readings (at, sensor) values ('{AS_OF - 15 * DAY:%Y-%m-%d}', 'late comer')")
    apply()
    times = pq.read_table(file_of(-15)).column("at").to_pylist()
    assert times == sorted(times)
    assert len(times) == 41


def test_the_manifest_holds_what_proves_the_file(readings: psycopg.Connection) -> None:
    apply()
    held = manifest_of(-15)
    assert {key: held[key] for key in ("table", "partition", "rows", "key", "server_version_num")} == {
        "table": TABLE, "partition": name_of(-15), "rows": 40, "key": "at",
        "server_version_num": readings.info.server_version,
    }  # fmt: skip
    assert (datetime.fromisoformat(held["lower"]), datetime.fromisoformat(held["upper"])) == (
        AS_OF - 15 * DAY,
        AS_OF - 14 * DAY,
    )
    assert held["file"] == {
        "name": "part-0.parquet",
        "bytes": file_of(-15).stat().st_size,
        "sha256": hashlib.sha256(file_of(-15).read_bytes()).hexdigest(),
    }
    value = next(column for column in held["columns"] if column["name"] == "value")
    facts = f"select min(value)::text, max(value)::text, sum(scale(value))::text from {name_of(-15)}"
    assert (value["lowest"], value["highest"], value["scales"]) == readings.execute(facts).fetchone()
    hashed = 'hash_record_extended(row(id, at, sensor collate "C", value::text), 0)'
    by_hand = f"select sum(hashtextextended({hashed}::text, 0)::numeric)::text from {name_of(-15)}"
    assert (held["content_hash"],) == readings.execute(by_hand).fetchone()
    (kept,) = readings.execute("select manifest from maintenance.retirement where partition = %s", (name_of(-15),)).fetchone()
    assert kept == held


def test_the_manifest_of_a_migrations_target_counts_and_hashes_each_source(readings: psycopg.Connection) -> None:
    readings.execute(
        "insert into maintenance.migration (name, target, phase, mapping_version) values ('move', %s, 'cut_over', 'v1')",
        (TABLE,),
    )
    for code, condition in ((1, "(u).id % 2 = 0"), (2, "(u).sensor = 'sensor 1'")):
        owns = (
            f"create function maintenance.owns_{code}(u app.readings) returns boolean language sql immutable return {condition}"
        )
        readings.execute(owns)
        readings.execute(
            "insert into maintenance.source (migration, code, relation, relation_oid, aside, position, key_column, key_type,"
            " time_column, time_type, zone, forward, backward, owns)"
            " values ('move', %s, %s, 0, 'x', %s, 'id', 'bigint', 'at', 'timestamptz', 'UTC', 'f', 'b', %s)",
            (code, f"app.old_{code}", code, f"owns_{code}"),
        )
    readings.execute("alter table app.readings add column late integer")

    apply()

    held = manifest_of(-15)
    found = {row["code"]: row for row in held["sources"]}
    assert (held["migration"], held["mapping_version"]) == ("move", "v1")
    assert [(found[code]["relation"], found[code]["rows"]) for code in (1, 2)] == [("app.old_1", 20), ("app.old_2", 3)]
    assert sum(row["rows"] for row in held["sources"]) == 40
    assert sum(int(row["content_hash"]) for row in held["sources"]) == int(held["content_hash"])


def test_a_second_table_with_the_same_bounds_gets_a_file_of_its_own(readings: psycopg.Connection) -> None:
    apply(at_most=1)
    apply(as_of=AS_OF + GRACE + DAY, at_most=1)
    first = file_of(-15).read_bytes()
    bounds = f"from ('{(AS_OF - 15 * DAY).isoformat()}') to ('{(AS_OF - 14 * DAY).isoformat()}')"
    readings.execute(f"create table app.again partition of app.readings for values {bounds}")

    assert apply(as_of=AS_OF + GRACE + DAY, at_most=1).archived == ("app.again",)

    assert file_of(-15).read_bytes() == first
    assert sorted(path.name for path in file_of(-15).parent.iterdir()) == [
        "manifest-1.json", "manifest.json", "part-0.parquet", "part-1.parquet",
    ]  # fmt: skip


def content_below(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_archive_of_another_database_in_the_same_folder_is_never_overwritten(
    readings: psycopg.Connection, make_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    apply(at_most=1)
    theirs = content_below(archive_directory())
    monkeypatch.setenv("DATABASE_URL", other := make_database(sets=()))
    make_table(other)

    with pytest.raises(
        FolderTaken, match=rf"manifest of {name_of(-15)} \(oid \d+, 40 rows\). Set MAINTENANCE_ARCHIVE to a folder"
    ):
        apply(at_most=1)

    assert content_below(archive_directory()) == theirs
    with psycopg.connect(other, autocommit=True) as conn:
        assert states(conn) == {name_of(-15): "archiving"}
        assert conn.execute(f"select count(*) from {name_of(-15)}").fetchone() == (3,)
    monkeypatch.setenv("MAINTENANCE_ARCHIVE", str(archive_directory().with_name("own")))
    assert name_of(-15) in apply(at_most=1).archived


def archive_again(conn: psycopg.Connection) -> None:
    """Have the oldest archived partition written once more, as its lost archive's remedy says."""
    conn.execute("update maintenance.retirement set state = 'detached' where partition = %s", (name_of(-15),))
    conn.execute(f"update {name_of(-15)} set value = 99")
    apply(at_most=1)


@pytest.mark.parametrize(
    ("change", "other"),
    [
        ({"ledger": "2020-01-01T00:00:00.000000Z"}, f"{name_of(-15)} of another database"),
        ({"partition_oid": 1}, f"{name_of(-15)} \\(oid 1, 40 rows\\)"),
        ({"partition": "app.former"}, "app.former"),
        (None, "something else"),
    ],
    ids=["another ledger, the same oid", "another table", "another name", "no manifest"],
)
def test_a_manifest_that_is_not_this_tables_is_left(
    readings: psycopg.Connection, change: dict[str, Any] | None, other: str
) -> None:
    apply(at_most=1)
    text = "[]" if change is None else json.dumps({**manifest_of(-15), **change})
    file_of(-15).with_name("manifest.json").write_text(text)
    before = content_below(file_of(-15).parent)

    with pytest.raises(FolderTaken, match=f"is the manifest of {other}"):
        archive_again(readings)

    assert content_below(file_of(-15).parent) == before


def test_a_tables_own_archive_is_made_anew_also_one_of_before_manifests_named_their_ledger(
    readings: psycopg.Connection,
) -> None:
    apply(at_most=1)
    first = file_of(-15).read_bytes()
    archive_again(readings)
    second = file_of(-15).read_bytes()
    former = {key: value for key, value in manifest_of(-15).items() if key != "ledger"}
    file_of(-15).with_name("manifest.json").write_text(json.dumps(former))
    archive_again(readings)
    assert first != second
    assert states(readings)[name_of(-15)] == "archived"
    assert "ledger" in manifest_of(-15)


def test_a_table_that_took_the_bounds_of_one_that_came_back_gets_a_file_of_its_own(readings: psycopg.Connection) -> None:
    """As where restored partitions are merged: the first archive stays, as long as somebody wants it."""
    apply(at_most=1)
    first = content_below(archive_directory())
    bounds = f"from ('{(AS_OF - 15 * DAY).isoformat()}') to ('{(AS_OF - 14 * DAY).isoformat()}')"
    readings.execute(f"alter table app.readings attach partition {name_of(-15)} for values {bounds}")
    readings.execute("update maintenance.retirement set state = 'returned'")
    readings.execute(f"alter table app.readings detach partition {name_of(-15)}")
    readings.execute(f"create table app.merged partition of app.readings for values {bounds}")

    assert apply(at_most=1).archived == ("app.merged",)

    assert first.items() <= content_below(archive_directory()).items()
    assert file_of(-15).with_name("part-1.parquet").is_file()


def test_what_a_killed_run_left_half_written_is_removed(readings: psycopg.Connection) -> None:
    file_of(-15).parent.mkdir(parents=True)
    (file_of(-15).parent / ".part-0.parquet.99.tmp").write_bytes(b"half")
    apply(at_most=1)
    assert sorted(path.name for path in file_of(-15).parent.iterdir()) == ["manifest.json", "part-0.parquet"]


# What does not hold is refused.


@pytest.fixture
def written(readings: psycopg.Connection, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Path], None]], None]:
    """Return a way to damage each file between its writing and its proof, as a disk could."""
    write = parquet.write

    def damaged_by(damage: Callable[[Path], None]) -> None:
        def write_and_damage(*arguments: Any) -> parquet.Written:
            done = write(*arguments)
            damage(done.path)
            return done

        monkeypatch.setattr(parquet, "write", write_and_damage)

    return damaged_by


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 0xFF
    path.write_bytes(content)


def change_a(column: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        table = pq.read_table(path)
        place = table.schema.get_field_index(column)
        values = table.column(column).to_pylist()
        values[7] = "another" if column == "sensor" else "0.8750000000000000000"
        changed = table.set_column(place, table.schema.field(place), pa.array(values, table.schema.field(place).type))
        pq.write_table(changed, path)

    return change


def lose_a_row(path: Path) -> None:
    table = pq.read_table(path)
    pq.write_table(table.slice(1), path)


def swap_two_texts(path: Path) -> None:
    """Each column still holds the same values, only in other rows."""
    table = pq.read_table(path)
    place = table.schema.get_field_index("sensor")
    values = table.column("sensor").to_pylist()
    values[0], values[1] = values[1], values[0]
    pq.write_table(table.set_column(place, table.schema.field(place), pa.array(values)), path)


def swap_two_columns(path: Path) -> None:
    table = pq.read_table(path)
    pq.write_table(table.select(["at", "id", "sensor", "value"]), path)


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (flip_a_byte, "it cannot be loaded|column|rows instead|content hash"),
        (change_a("sensor"), "column sensor"),
        (change_a("value"), "column value"),
        (swap_two_texts, "content hash"),
        (lose_a_row, "39 rows instead of 40"),
        (swap_two_columns, "it cannot be loaded: its columns are at, id, sensor, value"),
    ],
    ids=["a byte", "a text", "a scale", "two rows", "a row", "columns"],
)
def test_a_damaged_file_is_named_and_its_table_stays(
    readings: psycopg.Connection, written: Any, damage: Callable[[Path], None], named: str
) -> None:
    written(damage)

    with pytest.raises(ArchiveMismatch, match=f"{name_of(-15)} does not give back.*({named})"):
        apply(at_most=1)

    assert states(readings) == {name_of(-15): "archiving"}
    assert not file_of(-15).exists()
    assert readings.execute(f"select count(*) from {name_of(-15)}").fetchone() == (40,)


def test_a_mismatch_stops_its_partition_alone_and_the_next_run_mends_it(
    readings: psycopg.Connection, written: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = parquet.write
    written(lambda path: lose_a_row(path) if path.parent == file_of(-13).parent else None)
    with pytest.raises(ArchiveMismatch, match=name_of(-13)):
        apply()
    assert [state for state in states(readings).values() if state != "archived"] == ["archiving"]

    monkeypatch.setattr(parquet, "write", write)
    assert apply().archived == (name_of(-13),)


def test_too_little_disk_is_said_before_anything_is_written(
    readings: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))

    with pytest.raises(ArchiveSpace, match=r"1000 bytes free and one copy may take \d+.*MAINTENANCE_ARCHIVE"):
        apply(at_most=1)

    assert [path for path in archive_directory().rglob("*") if path.is_file()] == []
    assert states(readings) == {name_of(-15): "archiving"}
    assert readings.execute(f"select count(*) from {name_of(-15)}").fetchone() == (40,)
    monkeypatch.undo()


def test_a_disk_that_fills_while_writing_is_said_and_freed(
    readings: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(parquet, "flush", full)
    with pytest.raises(ArchiveSpace):
        apply(at_most=1)
    assert [path for path in archive_directory().rglob("*") if path.is_file()] == []


def test_a_disk_that_fills_with_the_manifest_is_freed_too(
    readings: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(path: Path, *_: Any, **__: Any) -> None:
        path.touch()
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_text", fill)
    with pytest.raises(ArchiveSpace):
        apply(at_most=1)
    assert [path for path in archive_directory().rglob("*") if path.is_file()] == []
    assert states(readings) == {name_of(-15): "archiving"}


@pytest.fixture
def many_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a partition of 40 rows be several batches and row groups."""
    monkeypatch.setattr(parquet, "STREAM_BYTES", 200)
    monkeypatch.setattr(parquet, "GROUP_BYTES", 400)


@pytest.mark.usefixtures("many_groups")
def test_row_groups_follow_one_another_in_order_though_the_next_is_read_meanwhile(readings: psycopg.Connection) -> None:
    apply(at_most=1)
    assert pq.read_metadata(file_of(-15)).num_row_groups > 3
    times = pq.read_table(file_of(-15)).column("at").to_pylist()
    assert times == [row[0] for row in readings.execute(f"select at from {name_of(-15)} order by at").fetchall()]


@pytest.mark.usefixtures("many_groups")
def test_a_disk_that_fills_in_the_middle_ends_the_reading_too_and_the_next_run_archives(
    readings: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, written = pq.ParquetWriter.write_table, list[int]()

    def fill(writer: Any, table: Any, **more: Any) -> None:
        written.append(table.num_rows)
        if len(written) == 3:
            raise OSError(28, "No space left on device")
        real(writer, table, **more)

    monkeypatch.setattr(pq.ParquetWriter, "write_table", fill)
    with pytest.raises(ArchiveSpace):
        apply(at_most=1)
    assert [path for path in archive_directory().rglob("*") if path.is_file()] == []
    assert [thread.name for thread in threading.enumerate() if "ThreadPool" in thread.name] == []
    assert name_of(-15) in apply(at_most=1).archived


def test_a_folder_that_cannot_be_written_is_named(readings: psycopg.Connection) -> None:
    archive_directory().parent.mkdir(exist_ok=True)
    archive_directory().write_text("a file")
    with pytest.raises(Unfinished, match=f"{name_of(-15)} could not be archived.*{name_of(-14)} could not be archived"):
        apply(at_most=2)


def test_without_the_extra_the_error_says_what_to_install(
    readings: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tasks.partitions

    monkeypatch.setitem(sys.modules, "tasks.partitions.parquet", None)
    monkeypatch.delattr(tasks.partitions, "parquet", raising=False)
    with pytest.raises(ArchiveUnavailable, match=r"Install the extra \[archive\]"):
        apply(at_most=1)
    assert states(readings) == {name_of(-15): "detached"}


def test_a_server_that_cannot_be_reached_for_the_stream_is_named_without_its_password(
    readings: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "stream_uri", lambda: "host=127.0.0.1 port=1 password=secret")
    with pytest.raises(CannotConnect, match="Could not connect to") as refused:
        apply(at_most=1)
    assert "secret" not in str(refused.value)


def test_a_file_is_verified_against_the_table_and_not_against_itself(readings: psycopg.Connection) -> None:
    apply(at_most=2)
    with transaction(Kind.BULK) as tx:
        (oid,) = tx.execute("select to_regclass(%s)::oid::bigint", (name_of(-15),)).fetchone()
        columns = list_columns(tx, oid)
        relation = Relation.parse(name_of(-15))
        figures = read_figures(tx, relation, columns)
        with pytest.raises(ArchiveMismatch, match="column"):
            verify_files(tx, relation, [file_of(-14)], parquet.fields_of(columns, {}), figures)


# Bundles and memory.


def test_bundles_are_few_for_little_and_never_more_than_forty() -> None:
    def units(count: int, size: int) -> list[archive.ArchiveUnit]:
        return [archive.ArchiveUnit(n, f"a.p{n}", "at", size) for n in range(count)]

    assert [len(bundle(units(n, 1000))) for n in (0, 1, 3, 50)] == [0, 1, 2, 2]
    assert len(bundle(units(50, 1 << 30))) == 40
    dealt = sorted(one.retirement_id for some in bundle(units(50, 1 << 30)) for one in some)
    assert dealt == list(range(50))


MEASURE = """
import resource
from tests.retention import apply, declare
apply(declare(archive="parquet"), at_most=1)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_partition(dsn: str, conn: psycopg.Connection) -> None:
    make_table(dsn, rows=10)
    grow = "insert into app.readings (at, sensor, value) select %s::timestamptz + n * interval '1 microsecond', repeat(md5(n::text), 8), n from generate_series(1, %s) n"
    peaks: list[int] = []
    for day, rows in ((-15, 20_000), (-14, 500_000)):
        conn.execute(grow, (AS_OF + day * DAY, rows))
        done = subprocess.run([sys.executable, "-c", MEASURE], cwd=ROOT.parent, capture_output=True, text=True, check=True)
        peaks.append(int(done.stdout))
    assert rows_of(-14) == 500_010
    assert peaks[1] - peaks[0] < 120 * 1024, f"peaks of {peaks} kB"


def rows_of(day: int) -> int:
    return pq.read_metadata(file_of(day)).num_rows


def test_names_that_a_file_system_could_not_hold_are_quoted() -> None:
    path = archive.path_of(Path("/archive"), Relation("a/b", "c"), None, 2)
    assert path == Path("/archive/a%2Fb.c/lower=__HIVE_DEFAULT_PARTITION__/part-2.parquet")
