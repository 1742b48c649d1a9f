"""What a row written or changed under the new name looks like under the old ones, written out by hand."""

from __future__ import annotations

import pytest

from tests.database.mapping import Row, Store

#: A row as an application writes it under the new name, every column that matters to a legacy table.
WRITTEN: Row = {
    "id": "3f2504e0-4f89-41d3-9a0c-0305e82c3301",
    "event_type": "t",
    "event_category": "monitoring",
    "source_system": "s",
    "event_timestamp": "2025-06-01 12:00:00+00",
    "created_at": "2025-06-01 12:00:01+00",
    "updated_at": "2025-06-01 12:00:02+00",
    "event_data": "{}",
    "event_metrics": "{}",
    "event_metadata": '{"version": "1.0", "schema": "standard", "fields": {}}',
    "severity": "info",
    "status": "pending",
    "retry_count": "0",
    "max_retries": "3",
    "resolved_at": None,
    "response_time_ms": None,
}
OWN: dict[str, Row] = {
    "monitoring_events": {},
    "validation_metrics": {"id": "00000002-0000-8000-8000-000000000007", "event_category": "validation"},
    "cache_metrics_monitoring": {"event_category": "cache", "event_type": "cache_hit"},
    "events": {"id": "00000004-0000-8000-8000-000000000009"},
    "dlq_table": {"id": "00000005-0000-8000-8000-00000000000b", "event_category": "dlq"},
}


def back(store: Store, table: str, **unified: str | None) -> Row:
    store.put_unified([{**WRITTEN, **OWN[table], **unified}])
    (row,) = store.backward(table)
    return row


def metadata(fields: str = "{}", rest: str = "") -> str:
    return '{"version": "1.0", "schema": "standard", "fields": ' + fields + rest + "}"


def kept(legacy: str) -> str:
    return metadata("{}", ', "legacy": ' + legacy)


@pytest.mark.parametrize(
    ("table", "unified", "legacy"),
    [
        ("monitoring_events", {"event_type": "x" * 51}, {"event_type": "x" * 50}),
        ("monitoring_events", {"source_system": "é" * 101}, {"source": "é" * 100}),
        ("monitoring_events", {"event_metadata": metadata('{"a": 1}')}, {"metadata": '{"a": 1}'}),
        ("monitoring_events", {"event_metadata": metadata('{"value": 1}', ', "wrapped": true')}, {"metadata": "1"}),
        ("monitoring_events", {"event_metadata": metadata("{}", ', "wrapped": true')}, {"metadata": "{}"}),
        ("monitoring_events", {"event_metadata": kept('{"metadata": null}')}, {"metadata": "{}"}),
        ("validation_metrics", {"event_type": "x" * 51}, {"event_type": "x" * 50}),
        (
            "validation_metrics",
            {},
            {
                "id": "7",
                "total_events": "0",
                "pass_rate": "0",
                "avg_validation_time_ms": "0",
                "flush_timestamp": "2025-06-01 14:00:00",
                "created_at": "2025-06-01 14:00:01",
                "updated_at": "2025-06-01 14:00:02",
            },
        ),
        (
            "validation_metrics",
            {"event_metrics": '{"total_events": "5", "pass_rate": "1"}'},
            {"total_events": "0", "pass_rate": "0"},
        ),
        (
            "validation_metrics",
            {"event_metrics": '{"total_events": 1.5, "pass_rate": 1e999}'},
            {"total_events": "0", "pass_rate": "0"},
        ),
        ("validation_metrics", {"event_metrics": '{"pass_rate": 1e-999}'}, {"pass_rate": "0"}),
        ("validation_metrics", {"event_metrics": '{"pass_rate": "nan"}'}, {"pass_rate": "0"}),
        (
            "validation_metrics",
            {"event_metadata": kept('{"flush_timestamp": "soon"}')},
            {"flush_timestamp": "2025-06-01 14:00:00"},
        ),
        (
            "validation_metrics",
            {"event_metadata": kept('{"flush_timestamp": "2025-02-30T14:00:00"}')},
            {"flush_timestamp": "2025-06-01 14:00:00"},
        ),
        ("cache_metrics_monitoring", {}, {"cache_key": "", "operation_type": "hit", "implementation_type": "new"}),
        ("cache_metrics_monitoring", {"event_type": "cache_evict"}, {"operation_type": "evict"}),
        ("cache_metrics_monitoring", {"event_type": "cache_purge"}, {"operation_type": "hit"}),
        ("cache_metrics_monitoring", {"event_type": "evict"}, {"operation_type": "hit"}),
        ("cache_metrics_monitoring", {"event_type": "purge", "severity": "critical"}, {"operation_type": "error"}),
        ("cache_metrics_monitoring", {"event_type": "purge", "status": "failed"}, {"operation_type": "error"}),
        ("cache_metrics_monitoring", {"event_data": '{"implementation_type": "old"}'}, {"implementation_type": "new"}),
        ("cache_metrics_monitoring", {"event_data": '["cache_key"]'}, {"cache_key": ""}),
        ("cache_metrics_monitoring", {"event_data": '{"cache_key": 5}'}, {"cache_key": "5"}),
        ("cache_metrics_monitoring", {"event_metrics": '{"cache_size": "5"}'}, {"cache_size": None}),
        ("cache_metrics_monitoring", {"event_metrics": '{"cache_size": 2147483648}'}, {"cache_size": None}),
        ("cache_metrics_monitoring", {"response_time_ms": "-1"}, {"response_time_ms": None}),
        ("events", {"event_type": "x" * 500, "event_data": "12"}, {"id": "9", "type": "x" * 500, "data": "12"}),
        ("dlq_table", {"event_data": "[1]"}, {"id": "11", "original_payload": "[1]", "failure_reason": None}),
        ("dlq_table", {"event_data": '{"payload": null}'}, {"original_payload": "null"}),
        ("dlq_table", {"event_data": '{"payload": 1, "failure_reason": {"a": 1}}'}, {"failure_reason": '{"a": 1}'}),
        ("dlq_table", {"event_data": '{"last_retry_at": "yesterday"}'}, {"last_retry_at": None}),
        ("dlq_table", {"event_data": '{"last_retry_at": "2025-02-30T00:00:00+00:00"}'}, {"last_retry_at": None}),
        (
            "dlq_table",
            {"event_data": '{"last_retry_at": "2024-02-29T01:02:03+00:00"}'},
            {"last_retry_at": "2024-02-29 01:02:03+00"},
        ),
        ("dlq_table", {"retry_count": "7"}, {"retry_count": "7", "max_retries": "7"}),
        ("dlq_table", {"status": "retry"}, {"status": "retrying"}),
        ("dlq_table", {"status": "success"}, {"status": "recovered"}),
    ],
)
def test_a_row_written_under_the_new_name(store: Store, table: str, unified: Row, legacy: Row) -> None:
    row = back(store, table, **unified)
    assert {name: row[name] for name in legacy} == legacy


@pytest.mark.parametrize(
    ("table", "key", "column", "standing", "later"),
    [
        ("monitoring_events", "created_at", "created_at", {"created_at": "2025-06-01 12:00:00+00"}, {}),
        (
            "cache_metrics_monitoring",
            "metadata",
            "metadata",
            {},
            {"event_metadata": metadata('{"a": 1}', ', "legacy": {"metadata": null}')},
        ),
        ("dlq_table", "status", "status", {"status": "pending"}, {"status": "failed"}),
        ("dlq_table", "retry_count", "retry_count", {"retry_count": "0"}, {"retry_count": "1"}),
        ("dlq_table", "max_retries", "max_retries", {"max_retries": "5"}, {"max_retries": "6"}),
    ],
)
def test_a_kept_null_holds_until_its_column_changes(
    store: Store, table: str, key: str, column: str, standing: Row, later: Row
) -> None:
    null = {"event_metadata": kept('{"' + key + '": null}')}
    assert back(store, table, **{**null, **standing})[column] is None
    store.conn.execute("delete from unified.event_metric_events")
    assert back(store, table, **{**null, **later})[column] is not None


def test_a_kept_local_time_holds_until_its_instant_changes(store: Store) -> None:
    legacy = kept('{"flush_timestamp": "2025-03-30T02:30:00"}')
    row = back(store, "validation_metrics", event_metadata=legacy, event_timestamp="2025-03-30 01:30:00+00")
    assert row["flush_timestamp"] == "2025-03-30 02:30:00"
    store.conn.execute("delete from unified.event_metric_events")
    row = back(store, "validation_metrics", event_metadata=legacy, event_timestamp="2025-03-30 01:30:01+00")
    assert row["flush_timestamp"] == "2025-03-30 03:30:01"
