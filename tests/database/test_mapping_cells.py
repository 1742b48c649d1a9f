"""Each cell and rule of the mapping table, against expectations written out by hand."""

from __future__ import annotations

import pytest

from tests.database.mapping import SPAN, Row, Store

EMPTY = '{"version": "1.0", "schema": "standard", "fields": {}}'
JSON_COLUMNS = {"event_data", "event_metrics", "event_metadata"}

#: A plain row of each table, every column.
LEGACY: dict[str, Row] = {
    "monitoring_events": {
        "id": "3f2504e0-4f89-41d3-9a0c-0305e82c3301",
        "event_type": "health_check",
        "timestamp": "2025-06-01 12:00:00+00",
        "source": "redis",
        "data": "{}",
        "metadata": "{}",
        "created_at": "2025-06-01 12:00:01+00",
    },
    "validation_metrics": {
        "id": "7",
        "event_type": "schema_check",
        "total_events": "10",
        "passed_events": "10",
        "failed_events": "0",
        "pass_rate": "99.5",
        "avg_validation_time_ms": "12.25",
        "total_errors": "0",
        "total_warnings": "0",
        "flush_timestamp": "2025-06-01 14:00:00",
        "created_at": "2025-06-01 14:00:01",
        "updated_at": "2025-06-01 14:00:02",
    },
    "cache_metrics_monitoring": {
        "id": "3f2504e0-4f89-41d3-9a0c-0305e82c3302",
        "cache_key": "conv:1",
        "operation_type": "hit",
        "implementation_type": "new",
        "response_time_ms": None,
        "cache_size": None,
        "error_type": None,
        "error_message": None,
        "metadata": "{}",
        "timestamp": "2025-06-01 12:00:00+00",
    },
    "events": {
        "id": "9",
        "type": "tool_call",
        "data": "{}",
        "timestamp": "2025-06-01 12:00:00+00",
        "created_at": "2025-06-01 12:00:03+00",
    },
    "dlq_table": {
        "id": "11",
        "original_payload": "{}",
        "failure_reason": None,
        "retry_count": "0",
        "max_retries": "5",
        "created_at": "2025-06-01 12:00:00+00",
        "last_retry_at": None,
        "recovered_at": None,
        "status": "pending",
    },
}

#: What the table says about columns that most sources leave alone.
QUIET: Row = {
    "event_timestamp": "2025-06-01 12:00:00+00",
    "event_data": "{}",
    "event_metrics": "{}",
    "event_metadata": EMPTY,
    "severity": "info",
    "status": "success",
    "priority": "0",
    "retry_count": "0",
    "max_retries": "3",
    "resolved_at": None,
    "duration_ms": None,
    "data_size_bytes": None,
    "response_time_ms": None,
    "correlation_id": None,
    "user_id": None,
    "session_id": None,
}

#: What becomes of the plain row of each table.
UNIFIED: dict[str, Row] = {
    "monitoring_events": {
        **QUIET,
        "id": "3f2504e0-4f89-41d3-9a0c-0305e82c3301",
        "event_type": "health_check",
        "event_category": "monitoring",
        "source_system": "redis",
        "created_at": "2025-06-01 12:00:01+00",
        "updated_at": "2025-06-01 12:00:01+00",
    },
    "validation_metrics": {
        **QUIET,
        "id": "00000002-0000-8000-8000-000000000007",
        "event_type": "schema_check",
        "event_category": "validation",
        "source_system": "supabase",
        "created_at": "2025-06-01 12:00:01+00",
        "updated_at": "2025-06-01 12:00:02+00",
        "event_metrics": '{"total_events": 10, "passed_events": 10, "failed_events": 0, "pass_rate": 99.5,'
        ' "avg_validation_time_ms": 12.25, "total_errors": 0, "total_warnings": 0}',
        "duration_ms": "12",
    },
    "cache_metrics_monitoring": {
        **QUIET,
        "id": "3f2504e0-4f89-41d3-9a0c-0305e82c3302",
        "event_type": "cache_hit",
        "event_category": "cache",
        "source_system": "cache",
        "created_at": "2025-06-01 12:00:00+00",
        "updated_at": "2025-06-01 12:00:00+00",
        "event_data": '{"cache_key": "conv:1", "implementation_type": "new"}',
    },
    "events": {
        **QUIET,
        "id": "00000004-0000-8000-8000-000000000009",
        "event_type": "tool_call",
        "event_category": "monitoring",
        "source_system": "supabase",
        "created_at": "2025-06-01 12:00:03+00",
        "updated_at": "2025-06-01 12:00:03+00",
    },
    "dlq_table": {
        **QUIET,
        "id": "00000005-0000-8000-8000-00000000000b",
        "event_type": "dead_letter",
        "event_category": "dlq",
        "source_system": "supabase",
        "created_at": "2025-06-01 12:00:00+00",
        "updated_at": "2025-06-01 12:00:00+00",
        "event_data": '{"payload": {}}',
        "severity": "error",
        "status": "pending",
        "priority": "5",
        "max_retries": "5",
    },
}


def mapped(store: Store, table: str, **legacy: str | None) -> Row:
    """Map one row that differs from the plain one in the columns given."""
    assert set(legacy) <= set(LEGACY[table])
    store.put(table, [{**LEGACY[table], **legacy}])
    (row,) = store.forward(table)
    return row


def expected(store: Store, table: str, **unified: str | None) -> Row:
    """Return the unified row that differs from the plain one's in the columns given, and has no reason."""
    row = {**UNIFIED[table], **unified}
    return {"reason": None, **{name: store.same("jsonb", v) if name in JSON_COLUMNS else v for name, v in row.items()}}


def check(store: Store, table: str, legacy: Row, unified: Row) -> None:
    assert mapped(store, table, **legacy) == expected(store, table, **unified)
    assert store.load(table) == 1


def standard(fields: str, rest: str = "") -> str:
    return '{"version": "1.0", "schema": "standard", "fields": ' + fields + rest + "}"


@pytest.mark.parametrize("table", LEGACY)
def test_a_plain_row_goes_where_the_table_says(store: Store, table: str) -> None:
    check(store, table, {}, {})


@pytest.mark.parametrize(
    ("legacy", "unified"),
    [
        ({"event_type": "x" * 50}, {"event_type": "x" * 50}),
        ({"source": "s" * 100}, {"source_system": "s" * 100}),
        ({"source": ""}, {"source_system": ""}),
        ({"created_at": "infinity"}, {"created_at": "infinity", "updated_at": "infinity"}),
        (
            {"created_at": None},
            {
                "created_at": "2025-06-01 12:00:00+00",
                "updated_at": "2025-06-01 12:00:00+00",
                "event_metadata": standard("{}", ', "legacy": {"created_at": null}'),
            },
        ),
        ({"data": "[1, 2]"}, {"event_data": "[1, 2]"}),
        ({"data": "null"}, {"event_data": "null"}),
        ({"data": '"text"'}, {"event_data": '"text"'}),
        ({"metadata": '{"user_id": "u"}'}, {"event_metadata": standard('{"user_id": "u"}'), "user_id": "u"}),
        (
            {"data": '{"user_id": "of data"}', "metadata": '{"user_id": "of metadata"}'},
            {
                "event_data": '{"user_id": "of data"}',
                "event_metadata": standard('{"user_id": "of metadata"}'),
                "user_id": "of data",
            },
        ),
        (
            {"data": '{"session_id": ""}', "metadata": '{"session_id": "m"}'},
            {"event_data": '{"session_id": ""}', "event_metadata": standard('{"session_id": "m"}'), "session_id": "m"},
        ),
        (
            {"data": '{"correlation_id": 5}', "metadata": '{"correlation_id": "m"}'},
            {
                "event_data": '{"correlation_id": 5}',
                "event_metadata": standard('{"correlation_id": "m"}'),
                "correlation_id": "m",
            },
        ),
        # The counters come from data alone.
        ({"metadata": '{"duration_ms": 5}'}, {"event_metadata": standard('{"duration_ms": 5}')}),
        ({"metadata": '{"severity": "error"}'}, {"event_metadata": standard('{"severity": "error"}')}),
        (
            {"metadata": '{"version": "1.0", "schema": "standard", "fields": {}}'},
            {"event_metadata": standard('{"version": "1.0", "schema": "standard", "fields": {}}')},
        ),
    ],
)
def test_monitoring_events(store: Store, legacy: Row, unified: Row) -> None:
    check(store, "monitoring_events", legacy, unified)


@pytest.mark.parametrize("table", ["monitoring_events", "cache_metrics_monitoring"])
@pytest.mark.parametrize("value", ["[]", "[1, {}]", '"text"', "12.0", "true", "null"])
def test_metadata_that_is_no_object_is_wrapped(store: Store, table: str, value: str) -> None:
    wrapped = standard('{"value": ' + value + "}", ', "wrapped": true')
    check(store, table, {"metadata": value}, {"event_metadata": wrapped})


def numbers(**changed: str) -> str:
    given = {
        "total_events": "10",
        "passed_events": "10",
        "failed_events": "0",
        "pass_rate": "99.5",
        "avg_validation_time_ms": "12.25",
        "total_errors": "0",
        "total_warnings": "0",
        **changed,
    }
    return "{" + ", ".join(f'"{name}": {value}' for name, value in given.items()) + "}"


@pytest.mark.parametrize(
    ("legacy", "unified"),
    [
        ({"id": "0"}, {"id": "00000002-0000-8000-8000-000000000000"}),
        ({"id": "4611686018427387903"}, {"id": "00000002-0000-8000-bfff-ffffffffffff"}),
        ({"total_errors": "1"}, {"severity": "error", "event_metrics": numbers(total_errors="1")}),
        ({"total_errors": "-1"}, {"event_metrics": numbers(total_errors="-1")}),
        ({"total_warnings": "1"}, {"severity": "warning", "event_metrics": numbers(total_warnings="1")}),
        (
            {"total_errors": "1", "total_warnings": "1"},
            {"severity": "error", "event_metrics": numbers(total_errors="1", total_warnings="1")},
        ),
        ({"failed_events": "1"}, {"status": "failed", "event_metrics": numbers(failed_events="1")}),
        ({"failed_events": "-1"}, {"event_metrics": numbers(failed_events="-1")}),
        ({"pass_rate": "NaN"}, {"event_metrics": numbers(pass_rate='"NaN"')}),
        ({"pass_rate": "Infinity"}, {"event_metrics": numbers(pass_rate='"Infinity"')}),
        ({"pass_rate": "-Infinity"}, {"event_metrics": numbers(pass_rate='"-Infinity"')}),
        ({"pass_rate": "-0"}, {"event_metrics": numbers(pass_rate="0")}),
        ({"pass_rate": "0.1"}, {"event_metrics": numbers(pass_rate="0.1")}),
        ({"pass_rate": "0.30000000000000004"}, {"event_metrics": numbers(pass_rate="0.30000000000000004")}),
        ({"pass_rate": "1e22"}, {"event_metrics": numbers(pass_rate="1e22")}),
        # July has two hours of offset in Berlin, January one.
        (
            {"flush_timestamp": "2025-01-15 01:00:00", "created_at": "infinity", "updated_at": "-infinity"},
            {"event_timestamp": "2025-01-15 00:00:00+00", "created_at": "infinity", "updated_at": "-infinity"},
        ),
    ],
)
def test_validation_metrics(store: Store, legacy: Row, unified: Row) -> None:
    check(store, "validation_metrics", legacy, unified)


@pytest.mark.parametrize(
    ("mean", "duration"),
    [
        ("0", "0"),
        ("0.4", "0"),
        ("0.49999999999999994", "0"),
        ("0.5", "1"),
        ("1.5", "2"),
        ("2.5", "3"),
        ("-0.4", "0"),
        ("-0.5", None),
        ("-1", None),
        ("4503599.5", "4503600"),
        ("2147483646.5", "2147483647"),
        ("2147483647", "2147483647"),
        ("2147483647.4998", "2147483647"),
        ("2147483647.5", None),
        ("1e300", None),
        ("NaN", None),
        ("Infinity", None),
        ("-Infinity", None),
    ],
)
def test_the_mean_time_is_rounded_half_away_from_zero(store: Store, mean: str, duration: str | None) -> None:
    assert mapped(store, "validation_metrics", avg_validation_time_ms=mean)["duration_ms"] == duration


#: In Berlin 2025-03-30 02:00 to 03:00 does not exist, 2025-10-26 02:00 to 03:00 exists twice.
@pytest.mark.parametrize(
    ("local", "instant", "kept"),
    [
        ("2025-03-30 01:59:59.999999", "2025-03-30 00:59:59.999999+00", "no"),
        ("2025-03-30 02:00:00", "2025-03-30 01:00:00+00", "kept"),
        ("2025-03-30 02:30:00", "2025-03-30 01:30:00+00", "kept"),
        ("2025-03-30 03:00:00", "2025-03-30 01:00:00+00", "no"),
        ("2025-10-26 01:59:59.999999", "2025-10-25 23:59:59.999999+00", "no"),
        ("2025-10-26 02:00:00", "2025-10-26 01:00:00+00", "kept"),
        ("2025-10-26 02:59:59.999999", "2025-10-26 01:59:59.999999+00", "kept"),
        ("2025-10-26 03:00:00", "2025-10-26 02:00:00+00", "no"),
    ],
)
@pytest.mark.parametrize("column", ["flush_timestamp", "created_at", "updated_at"])
def test_a_local_time_that_its_zone_lacks_or_has_twice_is_kept(
    store: Store, column: str, local: str, instant: str, kept: str
) -> None:
    row = mapped(store, "validation_metrics", **{column: local})
    legacy = ', "legacy": {"' + column + '": "' + local.replace(" ", "T") + '"}'
    unified = "event_timestamp" if column == "flush_timestamp" else column
    assert row["event_metadata"] == store.same("jsonb", standard("{}", legacy if kept == "kept" else ""))
    assert row[unified] == instant


@pytest.mark.parametrize(
    ("legacy", "unified"),
    [
        ({"operation_type": "miss"}, {"event_type": "cache_miss"}),
        ({"operation_type": "set"}, {"event_type": "cache_set"}),
        ({"operation_type": "evict"}, {"event_type": "cache_evict"}),
        ({"operation_type": "error"}, {"event_type": "cache_error", "severity": "error", "status": "failed"}),
        (
            {"implementation_type": "legacy"},
            {"event_data": '{"cache_key": "conv:1", "implementation_type": "legacy"}'},
        ),
        (
            {"error_type": "Timeout"},
            {"event_data": '{"cache_key": "conv:1", "implementation_type": "new", "error_type": "Timeout"}'},
        ),
        (
            {"error_message": ""},
            {"event_data": '{"cache_key": "conv:1", "implementation_type": "new", "error_message": ""}'},
        ),
        (
            {"cache_key": "", "error_type": "\\u0000", "error_message": "\N{GRINNING FACE}"},
            {
                "event_data": '{"cache_key": "", "implementation_type": "new", "error_type": "\\\\u0000",'
                ' "error_message": "\N{GRINNING FACE}"}'
            },
        ),
        ({"cache_size": "0"}, {"event_metrics": '{"cache_size": 0}'}),
        ({"cache_size": "-5"}, {"event_metrics": '{"cache_size": -5}'}),
        ({"response_time_ms": "0"}, {"response_time_ms": "0"}),
        ({"response_time_ms": "2147483647"}, {"response_time_ms": "2147483647"}),
        ({"metadata": None}, {"event_metadata": standard("{}", ', "legacy": {"metadata": null}')}),
        (
            {"metadata": '{"correlation_id": "c", "user_id": "u", "session_id": "s"}'},
            {
                "event_metadata": standard('{"correlation_id": "c", "user_id": "u", "session_id": "s"}'),
                "correlation_id": "c",
                "user_id": "u",
                "session_id": "s",
            },
        ),
        ({"metadata": '{"duration_ms": 5}'}, {"event_metadata": standard('{"duration_ms": 5}')}),
    ],
)
def test_cache_metrics_monitoring(store: Store, legacy: Row, unified: Row) -> None:
    check(store, "cache_metrics_monitoring", legacy, unified)


@pytest.mark.parametrize(
    ("legacy", "unified"),
    [
        ({"type": ""}, {"event_type": ""}),
        ({"type": "t" * 500}, {"event_type": "t" * 500}),
        ({"type": "\N{GRINNING FACE}" * 500}, {"event_type": "\N{GRINNING FACE}" * 500}),
        ({"created_at": "-infinity"}, {"created_at": "-infinity", "updated_at": "-infinity"}),
        ({"data": '{"source": "websocket"}'}, {"event_data": '{"source": "websocket"}', "source_system": "websocket"}),
        ({"data": '{"source": ""}'}, {"event_data": '{"source": ""}'}),
        ({"data": '{"source": 5}'}, {"event_data": '{"source": 5}'}),
        ({"data": '{"Source": "x"}'}, {"event_data": '{"Source": "x"}'}),
        (
            {"data": '{"source": "' + "s" * 500 + '"}'},
            {"event_data": '{"source": "' + "s" * 500 + '"}', "source_system": "s" * 500},
        ),
        ({"data": '{"source": "' + "s" * 501 + '"}'}, {"event_data": '{"source": "' + "s" * 501 + '"}'}),
        ({"data": '[{"source": "x"}]'}, {"event_data": '[{"source": "x"}]'}),
    ],
)
def test_events(store: Store, legacy: Row, unified: Row) -> None:
    check(store, "events", legacy, unified)


@pytest.mark.parametrize(
    ("legacy", "unified"),
    [
        ({"status": "retrying"}, {"status": "retry"}),
        ({"status": "recovered"}, {"status": "success", "severity": "info"}),
        ({"status": "failed"}, {"status": "failed", "severity": "critical", "priority": "10"}),
        ({"status": None}, {"event_metadata": standard("{}", ', "legacy": {"status": null}')}),
        ({"retry_count": None}, {"event_metadata": standard("{}", ', "legacy": {"retry_count": null}')}),
        ({"max_retries": None}, {"event_metadata": standard("{}", ', "legacy": {"max_retries": null}')}),
        (
            {"status": None, "retry_count": None, "max_retries": None},
            {"event_metadata": standard("{}", ', "legacy": {"status": null, "retry_count": null, "max_retries": null}')},
        ),
        ({"retry_count": "-3", "max_retries": "-1"}, {"retry_count": "-3", "max_retries": "-1"}),
        (
            {"retry_count": "2147483647", "max_retries": "2147483647"},
            {"retry_count": "2147483647", "max_retries": "2147483647"},
        ),
        (
            {"recovered_at": "2025-06-02 00:00:00+00"},
            {"resolved_at": "2025-06-02 00:00:00+00", "updated_at": "2025-06-02 00:00:00+00"},
        ),
        ({"recovered_at": "infinity"}, {"resolved_at": "infinity", "updated_at": "infinity"}),
        ({"recovered_at": "2025-05-02 00:00:00+00"}, {"resolved_at": "2025-05-02 00:00:00+00"}),
        (
            {"last_retry_at": "2025-06-01 13:00:00.5+02"},
            {"event_data": '{"payload": {}, "last_retry_at": "2025-06-01T11:00:00.5+00:00"}'},
        ),
        (
            {"last_retry_at": "2025-06-03 00:00:00+00", "recovered_at": "2025-06-02 00:00:00+00"},
            {
                "event_data": '{"payload": {}, "last_retry_at": "2025-06-03T00:00:00+00:00"}',
                "resolved_at": "2025-06-02 00:00:00+00",
                "updated_at": "2025-06-03 00:00:00+00",
            },
        ),
        (
            {"last_retry_at": "-infinity", "failure_reason": ""},
            {"event_data": '{"payload": {}, "last_retry_at": "-infinity", "failure_reason": ""}'},
        ),
        ({"failure_reason": "refused"}, {"event_data": '{"payload": {}, "failure_reason": "refused"}'}),
        ({"original_payload": "[1]"}, {"event_data": '{"payload": [1]}'}),
        ({"original_payload": "null"}, {"event_data": '{"payload": null}'}),
        ({"original_payload": '"text"'}, {"event_data": '{"payload": "text"}'}),
        ({"original_payload": '{"payload": 1}'}, {"event_data": '{"payload": {"payload": 1}}'}),
        (
            {"original_payload": '{"correlation_id": "c", "user_id": "u", "session_id": "s", "duration_ms": 5}'},
            {
                "event_data": '{"payload": {"correlation_id": "c", "user_id": "u", "session_id": "s", "duration_ms": 5}}',
                "correlation_id": "c",
                "user_id": "u",
                "session_id": "s",
            },
        ),
        ({"original_payload": '["session_id"]'}, {"event_data": '{"payload": ["session_id"]}'}),
    ],
)
def test_dlq_table(store: Store, legacy: Row, unified: Row) -> None:
    check(store, "dlq_table", legacy, unified)


INTEGERS = {
    "12": "12",
    "0": "0",
    "-0": "0",
    "-0.0": "0",
    "12.0": "12",
    "12.000": "12",
    "1.2e1": "12",
    "1e9": "1000000000",
    "1e10": None,
    "12.5": None,
    "0.99999999999999999999": None,
    "-1": None,
    "999999999": "999999999",
    "1000000000": "1000000000",
    "2147483647": "2147483647",
    "2147483647.0": "2147483647",
    "2147483647.1": None,
    "2147483648": None,
    "99999999999999999999": None,
    "1e400": None,
    "1e-400": None,
    '"12"': "12",
    '"0"': "0",
    '"0000000012"': "12",
    '"00000000012"': None,
    '"2147483647"': "2147483647",
    '"2147483648"': None,
    '"9999999999"': None,
    '""': None,
    '"."': None,
    '"12.0"': None,
    '"12."': None,
    '" 12"': None,
    '"12 "': None,
    '"12\\n"': None,
    '"+12"': None,
    '"-12"': None,
    '"1e3"': None,
    '"0x1f"': None,
    '"1_000"': None,
    '"1_000_000_000"': None,
    '"NaN"': None,
    '"\u0661\u0662"': None,
    '"\uff11\uff12"': None,
    '"12\\\\u0000"': None,
    '"1234567890123456789012"': None,
    "null": None,
    "true": None,
    "[12]": None,
    '{"ms": 12}': None,
}


@pytest.mark.parametrize("table", ["monitoring_events", "events"])
@pytest.mark.parametrize("key", ["duration_ms", "response_time_ms", "data_size_bytes"])
def test_integers_are_integral_numbers_or_strings_of_up_to_ten_digits(store: Store, table: str, key: str) -> None:
    row = {**LEGACY[table]}
    ids = [f"3f2504e0-4f89-41d3-9a0c-{n:012}" if table == "monitoring_events" else str(n) for n, _ in enumerate(INTEGERS)]
    store.put(table, [{**row, "id": key_, "data": f'{{"{key}": {v}}}'} for key_, v in zip(ids, INTEGERS, strict=True)])
    found = {store_row["event_data"]: store_row[key] for store_row in store.forward(table)}
    wanted = {store.same("jsonb", f'{{"{key}": {value}}}'): result for value, result in INTEGERS.items()}
    assert found == wanted


SEVERITIES = [
    ('{"severity": "error"}', "error"),
    ('{"severity": "CRITICAL"}', "critical"),
    ('{"severity": "wArN"}', "warning"),
    ('{"severity": "Warning"}', "warning"),
    ('{"severity": "FATAL"}', "critical"),
    ('{"severity": "INFO", "level": "error"}', "info"),
    ('{"level": "fatal"}', "critical"),
    ('{"severity": "unknown", "level": "error"}', "error"),
    ('{"severity": "", "level": "warn"}', "warning"),
    ('{"severity": null, "level": "warn"}', "warning"),
    ('{"severity": 3, "level": "warn"}', "warning"),
    ('{"severity": ["error"], "level": "warn"}', "warning"),
    ('{"severity": " error"}', "info"),
    ('{"severity": "error\\n"}', "info"),
    ('{"severity": "\u0130nfo", "level": "error"}', "error"),
    ('{"severity": "\uff45\uff52\uff52\uff4f\uff52"}', "info"),
    ('{"severity": "warn\u0131ng"}', "info"),
    ('{"Severity": "error"}', "info"),
    ('{"data": {"severity": "error"}}', "info"),
    ('[{"severity": "error"}]', "info"),
    ('"error"', "info"),
]


@pytest.mark.parametrize("table", ["monitoring_events", "events"])
@pytest.mark.parametrize(("data", "severity"), SEVERITIES)
def test_severity_is_the_first_known_word_of_severity_and_level(store: Store, table: str, data: str, severity: str) -> None:
    status = "failed" if severity in {"error", "critical"} else "success"
    check(store, table, {"data": data}, {"event_data": data, "severity": severity, "status": status})


@pytest.mark.parametrize("key", ["correlation_id", "user_id", "session_id"])
@pytest.mark.parametrize(
    ("value", "text"),
    [
        ('"a"', "a"),
        ('" "', " "),
        ('"' + "i" * 100 + '"', "i" * 100),
        ('"' + "\N{GRINNING FACE}" * 100 + '"', "\N{GRINNING FACE}" * 100),
        ('"' + "i" * 101 + '"', None),
        ('""', None),
        ("5", None),
        ("null", None),
        ('["a"]', None),
    ],
)
def test_a_text_id_is_a_string_of_1_to_100_characters(store: Store, key: str, value: str, text: str | None) -> None:
    data = f'{{"{key}": {value}}}'
    check(store, "events", {"data": data}, {"event_data": data, key: text})
    check(store, "dlq_table", {"original_payload": data}, {"event_data": f'{{"payload": {data}}}', key: text})
    check(store, "cache_metrics_monitoring", {"metadata": data}, {"event_metadata": standard(data), key: text})


OURS = "id looks like one of maintenance's own"
TIME_OF = {
    "monitoring_events": "timestamp",
    "validation_metrics": "flush_timestamp",
    "cache_metrics_monitoring": "timestamp",
    "events": "timestamp",
    "dlq_table": "created_at",
}


@pytest.mark.parametrize("table", TIME_OF)
@pytest.mark.parametrize(
    ("time", "reason"),
    [
        ("infinity", "event time is infinite"),
        ("-infinity", "event time is infinite"),
        ("2024-12-31 23:59:59.999999+00", "event time is outside the span"),
        (SPAN[0], None),
        ("2025-12-31 23:59:59.999999+00", None),
        (SPAN[1], "event time is outside the span"),
        ("294276-12-31 23:59:59.999999+00", "event time is outside the span"),
        ("4714-11-24 00:00:00+00 BC", "event time is outside the span"),
    ],
)
def test_a_time_outside_the_half_open_span_is_refused(store: Store, table: str, time: str, reason: str | None) -> None:
    given = store.local(time) if table == "validation_metrics" and time.startswith("202") else time
    assert mapped(store, table, **{TIME_OF[table]: given})["reason"] == reason


@pytest.mark.parametrize("table", ["cache_metrics_monitoring", "dlq_table"])
def test_a_row_without_an_event_time_is_refused(store: Store, table: str) -> None:
    assert mapped(store, table, **{TIME_OF[table]: None})["reason"] == "event time is null"


@pytest.mark.parametrize("table", ["monitoring_events", "cache_metrics_monitoring"])
@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("00000002-0000-8000-8000-000000000001", OURS),
        ("00000000-0000-8000-bfff-ffffffffffff", OURS),
        ("ffffffff-0000-8000-9000-000000000000", OURS),
        ("00000002-0000-8000-7fff-ffffffffffff", None),
        ("00000002-0000-8000-c000-000000000000", None),
        ("00000002-0000-8001-8000-000000000001", None),
        ("00000002-0001-8000-8000-000000000001", None),
        ("00000002-8000-8000-8000-000000000001", None),
        ("00000002-0000-4000-8000-000000000001", None),
        ("00000000-0000-0000-0000-000000000000", None),
    ],
)
def test_an_id_that_looks_like_one_of_ours_is_refused(store: Store, table: str, key: str, reason: str | None) -> None:
    assert mapped(store, table, id=key)["reason"] == reason


@pytest.mark.parametrize("table", ["validation_metrics", "events", "dlq_table"])
@pytest.mark.parametrize("key", ["-1", "4611686018427387904", "9223372036854775807", "-9223372036854775808"])
def test_a_key_that_no_id_can_hold_is_refused(store: Store, table: str, key: str) -> None:
    assert mapped(store, table, id=key)["reason"] == "id is outside 0 to 4611686018427387903"


@pytest.mark.parametrize("letter", ["t", "\N{GRINNING FACE}"])
def test_a_type_of_more_than_500_characters_is_refused(store: Store, letter: str) -> None:
    assert mapped(store, "events", type=letter * 501)["reason"] == "event_type is longer than 500 characters"
