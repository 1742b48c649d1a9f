"""A migration's archives in Supabase Storage: the backup before it, and the old tables that go after it (M9, M5).

Against the double, and against the storage server that the environment names (`tests.storage_real`).
"""

# ruff: noqa: S608 (statements are put together from the names of the demo's tables)
from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pyarrow.parquet as pq
import pytest

from tasks.core.connect import database_now, runtime
from tasks.core.parameters import Safety
from tasks.core.storage import StorageDown
from tasks.migration import retire as retiring
from tasks.migration.cutover import cut_over
from tasks.migration.retire import RetireResult, retire_legacy
from tasks.partitions import archive
from tasks.partitions.archive_proof import ArchiveLost
from tasks.partitions.uploads import UploadMismatch
from tests import storage_double as double
from tests.conftest import Server
from tests.database.test_backup import make, tried
from tests.database.test_retire import LATER, tables
from tests.migrating import LEGACY, Scene, scene
from tests.ready import NAME, declaration, ready_database
from tests.storage_double import StorageDouble
from tests.storage_real import storage

__all__ = ["scene", "storage"]

BILLS = 4
FOLDER = f"archive/prod/backup of bills/{LEGACY}"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MAINTENANCE_ARCHIVE", str(tmp_path))
    return tmp_path


@pytest.fixture
def filled(scene: Scene, storage: StorageDouble) -> Scene:
    scene.add((1, "2025-06-01", 100), (2, None, 200), (3, "infinity", 300), (4, "2025-06-02", -5))
    return scene


# The backup before a migration.


def test_a_backup_is_uploaded_recorded_by_its_address_and_tried_from_there(
    filled: Scene, storage: StorageDouble, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAINTENANCE_ARCHIVE_LOCAL", "remove")
    (made,) = make(filled)

    assert made.path == f"storage://{FOLDER}/part-0.parquet"
    assert filled.one("select path from maintenance.backup") == made.path
    assert set(storage.objects) == {f"{FOLDER}/part-0.parquet", f"{FOLDER}/manifest.json"}
    assert pq.read_table(io.BytesIO(storage.objects[f"{FOLDER}/part-0.parquet"])).num_rows == BILLS
    assert [path for path in folder.rglob("*") if path.is_file()] == []
    assert make(filled) == []
    (said,) = tried(filled)
    assert said.startswith(f"The backup of {LEGACY} was restored and compared: {BILLS} rows of ")
    assert [path for path in folder.rglob("*") if path.is_file()] == []


def test_a_backup_whose_object_is_changed_is_named_and_made_anew_beside_it(filled: Scene, storage: StorageDouble) -> None:
    make(filled)
    address = f"{FOLDER}/part-0.parquet"
    storage.objects[address] = storage.objects[address][:-1] + b"!"
    assert tried(filled) == (f"The backup of {LEGACY} storage://{address} was changed since it was verified.",)
    del storage.objects[address]
    assert tried(filled) == (f"The backup of {LEGACY} storage://{address} is not there, or this key may not see it.",)

    (made,) = make(filled)

    assert made.path == f"storage://{FOLDER}/part-1.parquet"
    assert f"{FOLDER}/manifest-1.json" in storage.objects


def test_a_backup_that_did_not_arrive_is_not_recorded(filled: Scene, storage: StorageDouble) -> None:
    storage.kept_as = lambda content: content[:-1] + b"!"
    with pytest.raises(UploadMismatch):
        make(filled)
    storage.works()
    storage.fails(double.BROKEN, method="POST", after=1)
    with pytest.raises(StorageDown):
        make(filled)
    assert filled.one("select count(*) from maintenance.backup") == 0

    storage.works()
    assert len(make(filled)) == 1


# The old tables.


@pytest.fixture
def after_cutover(server: Server, storage: StorageDouble, monkeypatch: pytest.MonkeyPatch) -> Iterator[psycopg.Connection[Any]]:
    monkeypatch.setenv("MAINTENANCE_ALLOW_FUTURE", "1")
    with ready_database(server) as dsn, runtime():
        cut_over(NAME, declaration())
        with psycopg.connect(dsn, autocommit=True) as conn:
            yield conn


def retire() -> RetireResult:
    result = retire_legacy(NAME, declaration(), safety=Safety(apply=True), as_of=database_now() + LATER)
    assert isinstance(result, RetireResult)
    return result


def test_old_tables_go_when_every_object_of_theirs_was_read_back(
    after_cutover: psycopg.Connection[Any], storage: StorageDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "OBJECT_BYTES", 20_000)
    held = {
        name: after_cutover.execute(f"select count(*) from monitoring.{name}".encode()).fetchone()
        for name in tables(after_cutover)
    }
    storage.fails(double.BROKEN, method="POST", after=3)
    with pytest.raises(StorageDown):
        retire()
    assert tables(after_cutover) == set(held)
    storage.works()
    sent = list(storage.written)

    result = retire()

    assert result.outcome == "retired"
    assert tables(after_cutover) == set()
    assert len(sent) == 3
    assert not set(sent) & set(storage.written[3:])
    for table in result.tables:
        assert table.archive is not None
        stem = table.archive.removeprefix("storage://").removesuffix(".parquet")
        files = [content for address, content in storage.objects.items() if address.startswith(stem)]
        assert (sum(pq.read_table(io.BytesIO(content)).num_rows for content in files),) == held[table.aside]


def test_an_old_table_stays_whose_object_was_changed(
    after_cutover: psycopg.Connection[Any], storage: StorageDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tables(after_cutover)

    def spoil(real: Callable[..., Any]) -> Callable[..., Any]:
        def bundle(*given: Any) -> Any:
            done = real(*given)
            address = next(address for address in storage.objects if address.endswith(".parquet"))
            storage.objects[address] = b"x"
            return done

        return bundle

    monkeypatch.setattr(retiring, "archive_bundle", spoil(retiring.archive_bundle))
    with pytest.raises(ArchiveLost, match="was changed since it was verified"):
        retire()
    assert tables(after_cutover) == before
