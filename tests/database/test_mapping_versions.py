"""PostgreSQL 15 and 18 map alike, so a server upgrade during a migration changes no row."""

from __future__ import annotations

from datetime import UTC, datetime

import psycopg
import pytest

from tasks.core.embedded import Watchdog
from tasks.core.migrations import apply
from tasks.core.sqlfiles import run
from tests.conftest import DEBIAN_15, SHIPPED_SETS
from tests.database.mapping import SOURCES, WIDEST, Row, Store, install_all
from tests.demo.legacy import create_legacy, generate

#: Some rows of the fifth collide with some of the first.
LOADED = [table for table in SOURCES if table != "cache_metrics_monitoring"]
AS_OF = datetime(2025, 11, 1, tzinfo=UTC)


def mapped(dsn: str, patch: pytest.MonkeyPatch) -> dict[str, list[Row]]:
    """Map every generated row, the odd ones above all, and map it back."""
    patch.setenv("DATABASE_URL", dsn)
    apply(SHIPPED_SETS)
    with psycopg.connect(dsn, autocommit=True) as conn:
        run(conn, "core/session_settings")
        create_legacy(conn)
        generate(conn, rows=500, seed=7, as_of=AS_OF)
        conn.execute("create table unified.every_time partition of unified.event_metric_events default")
        store = Store(conn, install_all(conn))
        forward = {table: ordered(store.forward(table)) for table in SOURCES}
        for table in LOADED:
            store.load(table, WIDEST)
        return forward | {f"{table} back": ordered(store.backward(table)) for table in LOADED}


def ordered(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: row["id"] or "")


@pytest.mark.slow
@pytest.mark.skipif(not (DEBIAN_15 / "postgres").exists(), reason="PostgreSQL 15 is not installed")
def test_15_and_18_map_every_row_alike(
    request: pytest.FixtureRequest, the_watchdog: Watchdog, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not request.config.getoption("--all-servers"):
        pytest.skip("starts two servers; --all-servers")
    one = the_watchdog.start_postgres("alike18", durable=False)
    other = the_watchdog.start_postgres("alike15", binaries=DEBIAN_15, durable=False)
    found, wanted = mapped(one.dsn, monkeypatch), mapped(other.dsn, monkeypatch)
    assert found == wanted
    assert sum(map(len, found.values())) > 1000
