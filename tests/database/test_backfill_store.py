"""The five shipped tables, quirks and all, while the application writes to them as fast as it can (M2)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from tasks.core.connect import database_now, runtime
from tasks.core.ledger import Deferred
from tasks.migration.backfill import BackfillResult, backfill
from tasks.partitions.create import ensure_partitions
from tests.demo.legacy import EXPECTED_QUARANTINE, create_legacy, generate
from tests.ready import DAYS, NAME, SEED, TARGET, declaration
from tests.store import assert_store_exact, writer

ROWS = 3_000


@pytest.fixture
def legacy(make_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The legacy tables with generated rows, and the runway of their target."""
    dsn = make_database()
    monkeypatch.setenv("DATABASE_URL", dsn)
    with psycopg.connect(dsn, autocommit=True) as conn:
        create_legacy(conn)
        generate(conn, ROWS, SEED, database_now(), days=DAYS)
    with runtime():
        ensure_partitions(TARGET, declaration(), database_now())
        yield dsn


def copy(workers: int = 2) -> BackfillResult:
    result = backfill(NAME, declaration(), database_now(), workers=workers, preflight=None)
    assert not isinstance(result, Deferred), result
    return result


def test_every_quirk_is_copied_or_refused_as_the_generator_says(legacy: str) -> None:
    result = copy()
    assert_store_exact(legacy)
    expected = sum(count for reasons in EXPECTED_QUARANTINE.values() for count in reasons.values())
    assert sum(result.rows_quarantined.values()) == expected


@pytest.mark.slow
def test_an_application_at_full_speed_ends_in_no_difference(legacy: str, tmp_path: Path) -> None:
    with writer(legacy, tmp_path, days=DAYS):
        time.sleep(0.5)
        first = copy()
        second = copy()
    assert first.rows_copied > 0
    assert first.keys_drained + second.keys_drained > 100
    copy()
    assert copy().keys_drained == 0
    assert_store_exact(legacy)
