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


def test_rows_that_meet_in_a_day_that_is_loaded_keep_declared_order(legacy: str) -> None:
    """The earlier source keeps the place, the later one is in quarantine, and returns when the first goes."""
    with psycopg.connect(legacy, autocommit=True) as conn:
        conn.execute("""
            insert into monitoring.monitoring_events (event_type, timestamp, source, data)
            select 'met', date_trunc('day', now()) - n * interval '1 day', 'test', '{}' from generate_series(1, 3) n
        """)
        conn.execute("""
            insert into monitoring.cache_metrics_monitoring (id, cache_key, operation_type, implementation_type, timestamp)
            select id, 'met', 'hit', 'new', timestamp from monitoring.monitoring_events where event_type = 'met'
        """)
    result = copy()
    assert_store_exact(legacy)
    assert result.rows_quarantined["collision with monitoring.monitoring_events"] == 6
    with psycopg.connect(legacy, autocommit=True) as conn:
        conn.execute("delete from monitoring.monitoring_events where event_type = 'met'")
        per_source = conn.execute("select sum(rows_copied), sum(rows_quarantined) from maintenance.unit_source").fetchone()
        assert per_source == conn.execute("select sum(rows_copied), sum(rows_quarantined) from maintenance.unit").fetchone()
    assert copy().rows_quarantined["collision with monitoring.monitoring_events"] == 3
    assert_store_exact(legacy)


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
