"""An archive in Supabase Storage is as good as one in the folder, or the message says why not (D4, A8, N9).

Against a double of Storage's HTTP API (`tests.storage_double`), and each against a storage server of Supabase's own too where the
environment names one (`tests.storage_real`).
"""

# ruff: noqa: S608 (statements are put together from this file's own names)
from __future__ import annotations

import gc
import json
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pyarrow.parquet as pq
import pytest
import supabase

from tasks.core.breakers import BreakerOpen
from tasks.core.classify import classify, is_retryable
from tasks.core.connect import runtime
from tasks.core.errors import ErrorKind, InvalidSetting, MaintenanceError
from tasks.core.ledger import Deferred
from tasks.core.settings import settings
from tasks.core.storage import (
    BucketPublic,
    ObjectMissing,
    StorageDown,
    StorageObject,
    StorageRefused,
    StorageUnset,
    read_object,
)
from tasks.partitions import archive, uploads
from tasks.partitions.archive_proof import ArchiveLost
from tasks.partitions.restore import Restored, restore
from tasks.partitions.restored_file import RestoreRefused
from tasks.partitions.uploads import ArchiveTaken, UploadMismatch, address_of, archive_directory
from tests import storage_double as double
from tests.retention import AS_OF, DAY, GRACE, TABLE, apply, attached, declare, make_empty, make_table, name_of, states
from tests.storage_double import StorageDouble
from tests.storage_real import storage

__all__ = ["storage"]

OLDEST = name_of(-15)
LATER = AS_OF + GRACE + DAY
ROWS = 1200
DUE = range(-15, -10)
#: A Parquet file's own directory, some kilobytes, comes on top of its rows.
FOOTER = 4096


@pytest.fixture
def dsn(make_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    return make_empty(make_database, monkeypatch, tmp_path)


@pytest.fixture
def conn(dsn: str, storage: StorageDouble) -> Iterator[psycopg.Connection[Any]]:
    """The table, its oldest partitions due, and Storage to archive them to."""
    make_table(dsn, rows=ROWS)
    with psycopg.connect(dsn, autocommit=True) as opened:
        opened.execute("set timezone = 'UTC'")
        yield opened


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> int:
    """A limit that splits a partition's rows into several objects."""
    monkeypatch.setattr(archive, "OBJECT_BYTES", 9_000)
    return 9_000


def object_of(day: int, name: str = "part-0.parquet") -> str:
    return f"archive/prod/{TABLE}/lower={AS_OF + day * DAY:%Y-%m-%d}/{name}"


def local_files() -> list[str]:
    return sorted(p.relative_to(archive_directory()).as_posix() for p in archive_directory().rglob("*") if p.is_file())


# Uploaded, read back, recorded.


def test_archives_are_uploaded_read_back_and_recorded_by_one_client(
    conn: psycopg.Connection[Any], storage: StorageDouble, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    clients: list[Any] = []
    create = supabase.create_client
    monkeypatch.setattr(supabase, "create_client", lambda *given: clients.append(create(*given)) or clients[-1])

    assert apply(at_most=5).archived == tuple(map(name_of, DUE))

    assert len(clients) == 1
    assert clients[0].options.httpx_client.is_closed
    for day in DUE:
        assert storage.written.index(object_of(day)) < storage.written.index(object_of(day, "manifest.json"))
        assert object_of(day) in storage.read
    recorded = conn.execute("select archive, manifest from maintenance.retirement where partition = %s", (OLDEST,)).fetchone()
    assert recorded == (f"storage://{object_of(-15)}", json.loads(storage.objects[object_of(-15, "manifest.json")]))
    assert len(local_files()) == 10
    assert apply(at_most=5).archived == ()
    with_files = tmp_path / "dataset"
    for address, content in storage.objects.items():
        (with_files / address).parent.mkdir(parents=True, exist_ok=True)
        (with_files / address).write_bytes(content)
    pattern = with_files / "archive/prod" / TABLE / "*/*.parquet"
    query = f"select lower::text, count(*) from read_parquet('{pattern}', hive_partitioning = true) group by 1 order by 1"
    assert duckdb.execute(query).fetchall() == [(f"{AS_OF + day * DAY:%Y-%m-%d}", ROWS) for day in DUE]


def test_a_large_archive_is_several_parquet_files_that_come_back_as_one_table(
    conn: psycopg.Connection[Any], storage: StorageDouble, small: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MAINTENANCE_ARCHIVE_LOCAL", "remove")
    conn.execute(f"create table app.kept as select * from {OLDEST}")

    done = apply(at_most=1)

    files = [content for address, content in storage.objects.items() if address.endswith(".parquet")]
    assert len(files) > 2
    assert done.archive_bytes == sum(map(len, files))
    assert max(map(len, files)) < small + FOOTER
    for number, content in enumerate(files):
        (tmp_path / f"{number}").write_bytes(content)
    assert sum(pq.read_metadata(tmp_path / f"{number}").num_rows for number in range(len(files))) == ROWS
    assert local_files() == []

    assert apply(as_of=LATER, at_most=1).dropped == (OLDEST,)
    back = restore(TABLE, OLDEST, declare(), AS_OF)
    assert isinstance(back, Restored)
    assert (back.came_from, back.rows) == ("archive", ROWS)
    ((different,),) = conn.execute(
        f"select count(*) from (select * from {OLDEST} except all select * from app.kept) d"
    ).fetchall()
    assert different == 0
    assert list(archive_directory().glob(".restore*")) == []


# What breaks off goes on; what does not hold is not recorded.


def test_a_run_that_broke_off_goes_on_with_the_next_object(
    conn: psycopg.Connection[Any], storage: StorageDouble, small: int
) -> None:
    storage.fails(double.BROKEN, method="POST", after=2)
    with pytest.raises(StorageDown, match=r"could not write storage://archive/prod/.*Internal Server Error"):
        apply(at_most=1)
    assert states(conn) == {OLDEST: "archiving"}
    first = list(storage.written)
    assert len(first) == 2

    storage.works()
    storage.written.clear()
    assert OLDEST in apply(as_of=AS_OF + DAY / 24, at_most=1).archived
    assert not set(first) & set(storage.written)
    assert object_of(-15, "manifest.json") in storage.written


def test_an_upload_that_is_not_read_back_as_it_was_is_not_recorded_and_the_next_run_mends_it(
    conn: psycopg.Connection[Any], storage: StorageDouble
) -> None:
    storage.kept_as = lambda content: content[:-1] + b"!"
    with pytest.raises(UploadMismatch, match=f"part-0.parquet does not give back what was uploaded of {OLDEST}"):
        apply(at_most=1)
    assert states(conn) == {OLDEST: "archiving"}
    assert conn.execute(f"select count(*) from {OLDEST}").fetchone() == (ROWS,)

    storage.works()
    assert OLDEST in apply(at_most=1).archived


def test_the_whole_archive_of_another_table_is_never_overwritten(conn: psycopg.Connection[Any], storage: StorageDouble) -> None:
    theirs = json.dumps({"table": TABLE, "partition": OLDEST, "partition_oid": 1, "rows": 7}).encode()
    storage.objects[object_of(-15, "manifest.json")] = theirs
    with pytest.raises(ArchiveTaken, match=r"manifest of app.* \(oid 1, 7 rows\). Set MAINTENANCE_ARCHIVE_TO"):
        apply(at_most=1)
    assert dict(storage.objects) == {object_of(-15, "manifest.json"): theirs}


# The last look, and the way back.


def test_nothing_is_dropped_whose_object_is_gone_or_changed(conn: psycopg.Connection[Any], storage: StorageDouble) -> None:
    apply(at_most=1)
    content = storage.objects.pop(object_of(-15))
    with pytest.raises(ArchiveLost, match=r"storage://archive/prod/.*part-0.parquet is not there"):
        apply(as_of=LATER, at_most=1)
    storage.objects[object_of(-15)] = content[:-1] + b"!"
    with pytest.raises(ArchiveLost, match="was changed since it was verified"):
        apply(as_of=LATER, at_most=1)
    storage.objects[object_of(-15)] = content
    storage.fails(double.NO_DATABASE)
    with pytest.raises(StorageDown, match="The connection to the database timed out"):
        apply(as_of=LATER, at_most=1)
    assert conn.execute(f"select count(*) from {OLDEST}").fetchone() == (ROWS,)

    storage.works()
    assert OLDEST in apply(as_of=LATER, at_most=1).dropped
    storage.objects[object_of(-15)] = content[:-1] + b"!"
    with pytest.raises(RestoreRefused, match=r"its archive storage://.* was changed since it was verified"):
        restore(TABLE, OLDEST, declare(), AS_OF)
    assert conn.execute("select to_regclass(%s)", (OLDEST,)).fetchone() == (None,)
    storage.objects[object_of(-15)] = content
    assert not isinstance(restore(TABLE, OLDEST, declare(), AS_OF), Deferred)


# What Storage answers, in words.

ONE = StorageObject("archive", "prod/a b=c/$d.parquet")
#: The answer, the error, its kind, and what its message says.
ANSWERS: list[tuple[double.Answer, type[MaintenanceError], ErrorKind, str]] = [
    (
        double.NO_BUCKET,
        StorageRefused,
        ErrorKind.SCHEMA,
        "Bucket not found. Create the private bucket archive, or correct MAINTENANCE_ARCHIVE_TO or SUPABASE_SERVICE_ROLE_KEY",
    ),
    (double.NO_OBJECT, ObjectMissing, ErrorKind.SCHEMA, "is not there"),
    (double.NO_RIGHT, StorageRefused, ErrorKind.AUTH, "row-level security policy. SUPABASE_SERVICE_ROLE_KEY must be"),
    (double.WRONG_KEY, StorageRefused, ErrorKind.AUTH, "Invalid Compact JWS. SUPABASE_SERVICE_ROLE_KEY must be"),
    (double.GATEWAY_KEY, StorageRefused, ErrorKind.AUTH, "SUPABASE_SERVICE_ROLE_KEY must be"),
    (double.TOO_LARGE, StorageRefused, ErrorKind.DATA, "exceeded the maximum allowed size. Raise the file size limit"),
    (double.WRONG_TYPE, StorageRefused, ErrorKind.DATA, "Let the bucket archive take application/vnd.apache.parquet"),
    (double.SLOW_DOWN, StorageDown, ErrorKind.QUOTA, "Too many connections"),
    (double.OVER_PLAN, StorageDown, ErrorKind.QUOTA, "exceeding the quota"),
    (double.BROKEN, StorageDown, ErrorKind.NETWORK, "Internal Server Error"),
    (double.NO_DATABASE, StorageDown, ErrorKind.NETWORK, "The connection to the database timed out"),
    (double.HTML, StorageDown, ErrorKind.NETWORK, "Bad gateway"),
    (double.GONE, StorageDown, ErrorKind.NETWORK, "disconnected"),
]


# What Storage is brought to answer by what it holds and by the key.

WRONG = "SUPABASE_SERVICE_ROLE_KEY must be the secret key"
ABSENT = "Bucket not found. Create the private bucket nowhere, or correct MAINTENANCE_ARCHIVE_TO or SUPABASE_SERVICE_ROLE_KEY"


def put(one: StorageObject, folder: Path, content: bytes = b"x" * 1000, content_type: str = uploads.PARQUET) -> None:
    (folder / "file").write_bytes(content)
    uploads.write_object(one, folder / "file", content_type)


def test_a_wrong_key_is_found_before_anything_is_detached(
    conn: psycopg.Connection[Any], storage: StorageDouble, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SUPABASE_SERVICE_ROLE_KEY", "sb_secret_of_another_project")
    with pytest.raises(StorageRefused, match=f"refused to look at .*Invalid Compact JWS. {WRONG}") as raised:
        apply(at_most=1)
    assert classify(raised.value) is ErrorKind.AUTH
    assert states(conn) == {}
    assert OLDEST in attached(conn)
    with pytest.raises(StorageRefused, match=r"refused to read .*Bucket not found.* or SUPABASE_SERVICE_ROLE_KEY"):
        read_object(ONE)
    with pytest.raises(StorageRefused, match=f"refused to write .*Invalid Compact JWS. {WRONG}"):
        put(ONE, tmp_path)


def test_a_missing_bucket_and_a_public_one_are_found_before_anything_is_detached(
    conn: psycopg.Connection[Any], storage: StorageDouble, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MAINTENANCE_ARCHIVE_TO", "storage://nowhere/prod")
    with pytest.raises(StorageRefused, match=f"refused to look at storage://nowhere/: {ABSENT}") as raised:
        apply(at_most=1)
    assert classify(raised.value) is ErrorKind.SCHEMA
    for ask in (read_object, lambda one: put(one, tmp_path)):
        with pytest.raises(StorageRefused, match=ABSENT):
            ask(StorageObject("nowhere", "a.parquet"))

    storage.make_bucket("open", public=True)
    monkeypatch.setenv("MAINTENANCE_ARCHIVE_TO", "storage://open/prod")
    with pytest.raises(BucketPublic, match=r"bucket open is public.* nothing was uploaded"):
        apply(at_most=1)
    assert storage.written == []
    assert states(conn) == {}


def test_what_a_bucket_does_not_take_is_said_with_the_remedy(dsn: str, storage: StorageDouble, tmp_path: Path) -> None:
    storage.make_bucket("small", file_size_limit=2000)
    storage.make_bucket("typed", allowed_mime_types=[uploads.PARQUET])
    with runtime():
        put(StorageObject("small", "a.parquet"), tmp_path)
        with pytest.raises(StorageRefused, match=r"exceeded the maximum allowed size. Raise the file size limit") as large:
            put(StorageObject("small", "a.parquet"), tmp_path, bytes(20_000_000))
        assert read_object(StorageObject("small", "a.parquet")) == b"x" * 1000
        put(StorageObject("typed", "a.parquet"), tmp_path)
        with pytest.raises(StorageRefused, match=r"application/json is not supported. Let the bucket typed take") as typed:
            put(StorageObject("typed", "manifest.json"), tmp_path, b"{}", uploads.JSON)
        with pytest.raises(StorageRefused, match="Invalid key: a%b"):
            put(StorageObject("typed", "a%b"), tmp_path)
        with pytest.raises(ObjectMissing):
            read_object(StorageObject("typed", "manifest.json"))
    assert {classify(large.value), classify(typed.value)} == {ErrorKind.DATA}


def test_each_answer_is_one_readable_error_of_its_kind(dsn: str, storage: StorageDouble, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with runtime():
        for number, (answer, error, kind, words) in enumerate(ANSWERS):
            storage.fails(answer)
            with pytest.raises(error) as raised:
                read_object(ONE)
            assert words in str(raised.value), number
            assert str(ONE) in str(raised.value)
            assert classify(raised.value) is kind, number
            assert is_retryable(raised.value) == (error is StorageDown), number
            assert storage.key not in str(raised.value)
            storage.works()
            uploads.write_object(ONE, tmp_path / "file", uploads.PARQUET)
        assert read_object(ONE) == b"x"


def test_the_key_is_shown_nowhere_even_where_storage_repeats_it(dsn: str, storage: StorageDouble) -> None:
    storage.fails((400, {"statusCode": "400", "error": "InvalidJWT", "message": f"jwt {storage.key} malformed"}))
    with pytest.raises(StorageRefused, match=r"jwt \*\*\* malformed. SUPABASE_SERVICE_ROLE_KEY must be"):
        read_object(ONE)


def test_after_five_failures_storage_is_left_alone(dsn: str, storage: StorageDouble) -> None:
    storage.fails(double.BROKEN)
    with runtime():
        for _ in range(5):
            with pytest.raises(StorageDown):
                read_object(ONE)
        with pytest.raises(BreakerOpen, match=r"storage at 127.0.0.1:\d+ has failed 5 times"):
            read_object(ONE)
    assert len(storage.read) == 5


def test_memory_does_not_grow_with_what_was_read(dsn: str, storage: StorageDouble) -> None:
    size = 3_000_000
    storage.objects[f"{ONE.bucket}/{ONE.key}"] = bytes(size)
    with runtime():
        read_object(ONE)
        gc.disable()
        tracemalloc.start()
        try:
            assert {len(read_object(ONE)) for _ in range(6)} == {size}
            held, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
            gc.enable()
    assert held < 2 * size


def test_without_url_or_key_the_variable_is_named(dsn: str, storage: StorageDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUPABASE_SERVICE_ROLE_KEY")
    with pytest.raises(StorageUnset, match="and SUPABASE_SERVICE_ROLE_KEY is not set"):
        read_object(ONE)
    monkeypatch.delenv("SUPABASE_URL")
    with pytest.raises(StorageUnset, match="and SUPABASE_URL is not set"):
        read_object(ONE)


def test_a_destination_is_a_bucket_and_plain_words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for wrong in ("s3://archive", "storage://", "storage://archive/../other", "storage://a b", "archive"):
        monkeypatch.setenv("MAINTENANCE_ARCHIVE_TO", wrong)
        with pytest.raises(InvalidSetting, match="MAINTENANCE_ARCHIVE_TO"):
            settings()
    odd = tmp_path.absolute() / "a%2Fb.c" / "lower=2001-01-01" / "part-0.parquet"
    monkeypatch.setenv("MAINTENANCE_ARCHIVE_TO", "storage://archive")
    assert address_of(odd, tmp_path) == "storage://archive/a$2Fb.c/lower=2001-01-01/part-0.parquet"
