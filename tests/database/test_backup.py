"""The backup before a migration: made once, of one snapshot, proven, and tried by the rehearsal (M9)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pyarrow.parquet as pq
import pytest
from psycopg import sql

from tasks.core.connect import Kind, runtime, transaction
from tasks.core.declaration import Declaration
from tasks.core.ledger import run_exclusively
from tasks.gates.evidence import collect
from tasks.migration import backup
from tasks.migration.backup import Backup, back_up, try_backups
from tasks.migration.cutover import CutoverResult, cut_over, read_migration
from tasks.migration.prepare import prepare_migration
from tasks.migration.registry import Registered
from tasks.migration.render import describe_cutover
from tasks.partitions import parquet
from tasks.partitions.archive_file import ArchiveFailed, ArchiveSpace
from tasks.partitions.archive_proof import ArchiveMismatch
from tests import ready
from tests.conftest import Server
from tests.migrating import AS_OF, LEGACY, NAME, Scene, scene

__all__ = ["scene"]


class Stopped(Exception):
    """Raised by a gate of a test."""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Archives go to the test's own folder."""
    monkeypatch.setenv("MAINTENANCE_ARCHIVE", str(tmp_path))
    return tmp_path


def declared(declaration: Declaration, name: str, backup: str | None) -> Declaration:
    migration = declaration.migrations[name].model_copy(update={"backup": backup})
    return declaration.model_copy(update={"migrations": {**declaration.migrations, name: migration}})


def prepared(scene: Scene) -> Registered:
    with transaction(Kind.DDL) as conn:
        return prepare_migration(conn, NAME, scene.declaration, AS_OF)


def make(scene: Scene) -> list[Backup]:
    migration = prepared(scene)
    return scene.alone(lambda started: back_up(started, migration, AS_OF))


def tried(scene: Scene) -> tuple[str, ...]:
    migration = prepared(scene)
    return scene.alone(lambda started: try_backups(started, migration))


def bills(path: str) -> list[tuple[int, int]]:
    rows = pq.read_table(path, columns=["bill_no", "cents"]).to_pylist()
    return [(row["bill_no"], row["cents"]) for row in rows]


def scratch_tables(scene: Scene) -> int:
    return scene.one("select count(*) from pg_class where relname like 'scratch%'")


@pytest.fixture
def filled(scene: Scene) -> Scene:
    scene.add((1, "2025-06-01", 100), (2, None, 200), (3, "infinity", 300), (4, "2025-06-02", -5))
    return scene


def test_a_backup_holds_every_row_whether_it_can_be_migrated_or_not(filled: Scene) -> None:
    (made,) = make(filled)

    assert bills(made.path) == [(1, 100), (2, 200), (3, 300), (4, -5)]
    assert (made.relation, made.rows) == (LEGACY, 4)
    recorded = filled.execute("select relation, row_count, content_hash, path, manifest ->> 'rows' from maintenance.backup")
    assert recorded == [(LEGACY, 4, made.content_hash, made.path, "4")]
    assert Path(made.path).with_name("manifest.json").is_file()


def test_a_second_run_makes_nothing_new(filled: Scene) -> None:
    (made,) = make(filled)
    stat = Path(made.path).stat()
    filled.add((5, "2025-06-03", 500))

    assert make(filled) == []
    assert Path(made.path).stat().st_mtime_ns == stat.st_mtime_ns
    assert filled.one("select count(*) from maintenance.backup") == 1


@contextmanager
def between(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> Iterator[None]:
    """Let something happen after the figures were read and before the file is written."""
    real = backup.write_files

    def act_first(*arguments: Any) -> Any:
        act()
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(backup, "write_files", act_first)
        yield


def test_figures_and_file_are_of_one_snapshot_while_others_write(filled: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def write() -> None:
        filled.add((5, "2025-06-03", 500))
        filled.execute("update shop.bills set cents = 101 where bill_no = 1")
        filled.execute("delete from shop.bills where bill_no = 2")

    with between(monkeypatch, write):
        (made,) = make(filled)

    assert bills(made.path) == [(1, 100), (2, 200), (3, 300), (4, -5)]
    assert made.rows == 4


def test_nobody_who_writes_waits_for_the_backup(filled: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def write() -> None:
        filled.execute("set lock_timeout = '50ms'; insert into shop.bills (bill_no, cents, customer) values (9, 1, 'Ada')")

    with between(monkeypatch, write):
        make(filled)

    assert filled.one("select count(*) from shop.bills") == 5


def test_a_file_that_does_not_give_back_the_rows_is_no_backup(filled: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    real = backup.write_files

    def write_and_damage(job: Any, *more: Any) -> Any:
        written = real(job, *more)
        table = pq.read_table(job.temporary)
        pq.write_table(table.slice(1), job.temporary)
        return written

    with monkeypatch.context() as patch:
        patch.setattr(backup, "write_files", write_and_damage)
        with pytest.raises(ArchiveMismatch, match="3 rows instead of 4"):
            make(filled)

    assert filled.one("select count(*) from maintenance.backup") == 0
    assert scratch_tables(filled) == 0
    assert len(make(filled)) == 1


def test_a_file_that_is_gone_or_changed_is_made_anew_beside_it(filled: Scene) -> None:
    (first,) = make(filled)
    Path(first.path).unlink()
    (second,) = make(filled)
    assert second.path != first.path
    with Path(second.path).open("ab") as file:
        file.write(b"x")
    (third,) = make(filled)

    assert bills(third.path) == bills_of(filled)
    assert make(filled) == []


def bills_of(scene: Scene) -> list[tuple[int, int]]:
    return scene.execute("select bill_no, cents from shop.bills order by bill_no")


def test_after_a_way_back_the_next_attempt_is_backed_up_anew(filled: Scene) -> None:
    make(filled)
    filled.execute("update maintenance.migration set phase = 'rolled_back', rolled_back_at = clock_timestamp()")
    filled.add((5, "2025-06-03", 500))

    (made,) = make(filled)
    assert made.rows == 5
    assert made.path.endswith("part-1.parquet")


def test_a_table_that_may_not_be_read_whole_is_an_error_that_names_it(filled: Scene) -> None:
    migration = prepared(filled)
    filled.execute("alter table shop.bills rename to bills_elsewhere")

    with pytest.raises(ArchiveFailed, match=r"shop\.bills could not be archived: it is called shop\.bills_elsewhere now"):
        filled.alone(lambda started: back_up(started, migration, AS_OF))


# Before the gate and the triggers.


def test_a_backfill_backs_up_before_it_asks_the_gate_and_before_capture(filled: Scene) -> None:
    seen: list[tuple[Any, ...]] = []

    def stop(*_: object) -> None:
        seen.extend(filled.execute("select relation, (select count(*) from pg_trigger) from maintenance.backup"))
        raise Stopped

    triggers = filled.one("select count(*) from pg_trigger")
    with pytest.raises(Stopped):
        filled.backfill(declared=declared(filled.declaration, NAME, "archive"), preflight=stop)

    assert seen == [(LEGACY, triggers)]


def test_a_named_backup_and_an_unguarded_copy_write_no_archive(filled: Scene, folder: Path) -> None:
    def stop(*_: object) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        filled.backfill(declared=declared(filled.declaration, NAME, "nightly of 2025-06-15"), preflight=stop)
    filled.backfill(declared=declared(filled.declaration, NAME, "archive"))

    assert list(folder.iterdir()) == []


def frame(scene: Scene, backup: str | None) -> dict[str, Any]:
    (row,) = collect(NAME, "preflight", declared(scene.declaration, NAME, backup), names=["backup"]).frames["backup"].rows
    return row


def test_the_gate_sees_what_each_source_can_be_restored_from(filled: Scene) -> None:
    prepared(filled)
    assert [frame(filled, text)["is_backed_up"] for text in (None, "", "archive", "nightly")] == [False, False, False, True]

    (made,) = make(filled)

    row = frame(filled, "archive")
    assert (row["is_backed_up"], row["row_count"], row["content_hash"], row["path"]) == (
        True,
        made.rows,
        made.content_hash,
        made.path,
    )


def test_before_the_migration_was_ever_prepared_nothing_is_backed_up(scene: Scene) -> None:
    assert frame(scene, "archive")["is_backed_up"] is False


# The rehearsal.


def test_a_trial_restores_the_file_compares_it_and_leaves_nothing(filled: Scene) -> None:
    make(filled)
    filled.add((5, "2025-06-03", 500))

    (said,) = tried(filled)

    assert said.startswith(f"The backup of {LEGACY} was restored and compared: 4 rows of ")
    assert scratch_tables(filled) == 0


def test_a_trial_says_what_is_wrong(filled: Scene) -> None:
    assert tried(filled) == (f"The backup of {LEGACY} was not made.",)
    (made,) = make(filled)
    filled.execute("update maintenance.backup set manifest = jsonb_set(manifest, '{content_hash}', '\"1\"')")
    assert "does not give back what was recorded: content hash" in tried(filled)[0]
    Path(made.path).write_bytes(b"x")
    assert "was changed since it was verified" in tried(filled)[0]
    Path(made.path).unlink()
    assert "is not there" in tried(filled)[0]


def test_a_rehearsal_tries_the_backup_of_every_source(server: Server) -> None:
    with ready.ready_database(server) as dsn, runtime(), psycopg.connect(dsn, autocommit=True) as conn:
        migration = read_migration(ready.NAME)
        never = timedelta(days=1)
        run_exclusively("test", ready.NAME, lambda r: back_up(r, migration, AS_OF), overdue_after=never, group=ready.TARGET)

        result = cut_over(ready.NAME, declared(ready.declaration(), ready.NAME, "archive"), rehearse=True)

        assert isinstance(result, CutoverResult)
        counts = {
            s.relation: conn.execute(
                sql.SQL("select count(*) from {}").format(sql.Identifier(s.relation.schema, s.relation.name))
            ).fetchone()
            for s in migration.sources
        }
        assert "The backups were tried:\n\n- The backup of" in describe_cutover(result)
        assert [note.partition(" rows of ")[0] for note in result.restored] == [
            f"The backup of {relation} was restored and compared: {count[0]:,}" for relation, count in counts.items() if count
        ]


def test_a_disk_that_fills_while_writing_is_said_with_what_a_copy_may_take_and_freed(
    filled: Scene, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path) -> None:
        raise OSError(28, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(parquet, "flush", full)
        with pytest.raises(ArchiveSpace, match=r"shop\.bills cannot .* may take [1-9]\d+\."):
            make(filled)

    assert [path for path in folder.rglob("*") if path.is_file()] == []
    assert filled.one("select count(*) from maintenance.backup") == 0
    assert [made.rows for made in make(filled)] == [4]
