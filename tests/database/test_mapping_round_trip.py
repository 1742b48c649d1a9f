"""Legacy row to unified row and back is the identity, and any unified row maps back to one that the table takes (M6)."""

from __future__ import annotations

from datetime import datetime
from random import Random

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.database.mapping import SOURCES, WIDEST, Row, Store

#: Each example is hundreds of rows, and a failure names those that differ: shrinking would only take time.
FEW = settings(max_examples=settings().max_examples // 3, phases=[Phase.generate])
#: Rows per table and example; hypothesis draws the values, a seeded generator mixes them.
ROWS = 300

_CHARACTERS = st.characters(exclude_categories=("Cs",), exclude_characters="\0")
TEXTS = st.lists(st.text(_CHARACTERS, max_size=60), min_size=1, max_size=8)
ODD_TEXTS = [
    "",
    " ",
    "\\",
    "\\u0000",
    "'\"`$$",
    "\N{GRINNING FACE}",
    "NULL",
    "\\N",
    "line\nbreak\ttab\r",
    "x" * 50,
    "x" * 499 + "é",
    "y" * 5000,
    "cache_hit",
    "\u202e",
]

_NUMBERS = st.from_regex(r"-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)
_KEYS = st.sampled_from(
    [
        "duration_ms",
        "response_time_ms",
        "data_size_bytes",
        "severity",
        "level",
        "source",
        "correlation_id",
        "user_id",
        "session_id",
        "payload",
        "failure_reason",
        "last_retry_at",
        "cache_key",
        "implementation_type",
        "error_type",
        "cache_size",
        "total_events",
        "pass_rate",
        "fields",
        "legacy",
        "wrapped",
        "value",
        "version",
        "",
        "Duration_MS",
        "\\u0000",
    ]
)
_WORDS = st.sampled_from(
    [
        "info",
        "WARN",
        "Error",
        "fatal",
        "debug",
        "12",
        "2147483648",
        "NaN",
        "-Infinity",
        "infinity",
        "legacy",
        "2025-03-30T02:30:00",
        "2025-02-30T00:00:00+00:00",
        "0000-01-01T00:00:00",
        "999999-12-31T00:00:00+00:00",
        "4714-11-23T00:00:00 BC",
        "2024-02-29T23:59:59.5+00:00",
        "x" * 101,
        "x" * 501,
    ]
)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c >= " " else f"\\u{ord(c):04x}" for c in escaped) + '"'


#: JSON as text: the server alone parses it, so 12.0, 1e400 and -0 stay what they are until then.
_SCALARS = st.one_of(
    st.sampled_from(["null", "true", "false", "0", "-0", "12.0", "2147483647", "2147483648", "1e400", "-1e-400", '""']),
    _NUMBERS,
    _WORDS.map(_quoted),
    st.text(_CHARACTERS, max_size=12).map(_quoted),
)


def _nested(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pairs = st.tuples(st.one_of(_KEYS, st.text(_CHARACTERS, max_size=5)).map(_quoted), inner)
    return st.one_of(
        st.lists(inner, max_size=4).map(lambda parts: "[" + ", ".join(parts) + "]"),
        st.lists(pairs, max_size=6).map(lambda parts: "{" + ", ".join(f"{key}: {value}" for key, value in parts) + "}"),
    )


DOCUMENTS = st.lists(st.recursive(_SCALARS, _nested, max_leaves=12), min_size=1, max_size=12)
ODD_DOCUMENTS = [
    "{}",
    "[]",
    "null",
    '{"payload": null}',
    '{"payload": {"payload": []}}',
    '{"value": 1}',
    '{"legacy": {"metadata": null}}',
]

TIMES = st.lists(st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)).map(str), min_size=1, max_size=8)
ODD_TIMES = [
    "infinity",
    "-infinity",
    "294276-12-31 23:59:59.999999",
    "294000-01-01 00:30:00",
    "293999-12-31 23:30:00",
    "4714-11-24 00:00:00 BC",
    "4714-12-31 00:00:00 BC",
    "4700-01-01 00:30:00 BC",
    "4701-12-31 23:30:00 BC",
    "0001-02-29 12:00:00 BC",
    "0044-03-15 12:00:00.000001 BC",
    "10000-01-01 00:00:00",
    "1970-01-01 00:00:00",
    "2024-02-29 00:00:00",
    "2025-03-30 02:00:00",
    "2025-03-30 02:30:00",
    "2025-03-30 02:59:59.999999",
    "2025-03-30 03:00:00",
    "2025-10-26 02:00:00",
    "2025-10-26 02:30:00",
    "1893-04-01 00:00:00",
    "1893-04-01 00:03:00",
    "1945-05-24 02:30:00",
    "1945-05-24 03:30:00",
]

_FLOATS = st.lists(st.floats().map(str), min_size=1, max_size=8)
ODD_FLOATS = [
    "NaN",
    "inf",
    "-inf",
    "5e-324",
    "-5e-324",
    "1.7976931348623157e308",
    "2.2250738585072014e-308",
    "0.1",
    "1e22",
    "-0.0",
    "0.5",
]
_INTEGERS = st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=6)
ODD_INTEGERS = [0, 1, -1, 5, 2**31 - 1, -(2**31)]
_KEYS_62 = st.integers(0, 2**62 - 1)
SEEDS = st.integers(0, 2**32)


class Pools:
    """Values to mix rows from."""

    def __init__(
        self, texts: list[str], documents: list[str], times: list[str], floats: list[str], integers: list[int]
    ) -> None:
        self.texts = texts + ODD_TEXTS
        self.documents = documents + ODD_DOCUMENTS
        self.times = times + ODD_TIMES
        self.floats = floats + ODD_FLOATS
        self.integers = integers + ODD_INTEGERS


POOLS = st.builds(Pools, TEXTS, DOCUMENTS, TIMES, _FLOATS, _INTEGERS)


def _or_none(random: Random, value: str) -> str | None:
    return None if random.random() < 0.2 else value


def _uuid(random: Random) -> str:
    """Mostly version 4; sometimes close to one of ours, and one in 50 is one of ours."""
    digits = f"{random.getrandbits(128):032x}"
    kind = random.random()
    middle = "00008000" if kind < 0.02 else random.choice(["00018000", "00008001", "80008000"]) if kind < 0.1 else None
    return digits[:8] + (middle or digits[8:12] + "4" + digits[13:16]) + random.choice("89ab7c") + digits[17:]


def monitoring_events(random: Random, pools: Pools, _key: int) -> Row:
    return {
        "id": _uuid(random),
        "event_type": random.choice(pools.texts)[:50],
        "timestamp": random.choice(pools.times),
        "source": random.choice(pools.texts)[:100],
        "data": random.choice(pools.documents),
        "metadata": random.choice(pools.documents),
        "created_at": _or_none(random, random.choice(pools.times)),
    }


def validation_metrics(random: Random, pools: Pools, key: int) -> Row:
    counters = ("total_events", "passed_events", "failed_events", "total_errors", "total_warnings")
    near = random.choice(pools.times)
    return {
        "id": str(key),
        "event_type": random.choice(pools.texts)[:50],
        **{name: str(random.choice(pools.integers)) for name in counters},
        "pass_rate": random.choice(pools.floats),
        "avg_validation_time_ms": random.choice(pools.floats),
        # Half of them close together, as real ones are.
        "flush_timestamp": near,
        "created_at": near if random.random() < 0.5 else random.choice(pools.times),
        "updated_at": near if random.random() < 0.5 else random.choice(pools.times),
    }


def cache_metrics_monitoring(random: Random, pools: Pools, _key: int) -> Row:
    return {
        "id": _uuid(random),
        "cache_key": random.choice(pools.texts),
        "operation_type": random.choice(["hit", "miss", "set", "evict", "error"]),
        "implementation_type": random.choice(["legacy", "new"]),
        "response_time_ms": _or_none(random, str(abs(random.choice(pools.integers) // 2))),
        "cache_size": _or_none(random, str(random.choice(pools.integers))),
        "error_type": _or_none(random, random.choice(pools.texts)),
        "error_message": _or_none(random, random.choice(pools.texts)),
        "metadata": _or_none(random, random.choice(pools.documents)),
        "timestamp": _or_none(random, random.choice(pools.times)),
    }


def events(random: Random, pools: Pools, key: int) -> Row:
    return {
        "id": str(key),
        "type": random.choice(pools.texts),
        "data": random.choice(pools.documents),
        "timestamp": random.choice(pools.times),
        "created_at": random.choice(pools.times),
    }


def dlq_table(random: Random, pools: Pools, key: int) -> Row:
    retries, most = sorted(random.choices(pools.integers, k=2))
    return {
        "id": str(key),
        "original_payload": random.choice(pools.documents),
        "failure_reason": _or_none(random, random.choice(pools.texts)),
        "retry_count": _or_none(random, str(retries)),
        "max_retries": _or_none(random, str(most)),
        "created_at": _or_none(random, random.choice(pools.times)),
        "last_retry_at": _or_none(random, random.choice(pools.times)),
        "recovered_at": _or_none(random, random.choice(pools.times)),
        "status": _or_none(random, random.choice(["pending", "retrying", "recovered", "failed"])),
    }


MAKERS = {f.__name__: f for f in (monitoring_events, validation_metrics, cache_metrics_monitoring, events, dlq_table)}
TIME_OF = dict.fromkeys(MAKERS, "timestamp") | {"validation_metrics": "flush_timestamp", "dlq_table": "created_at"}


def _refused(table: str, row: Row) -> bool:
    """Say by the rules' own words whether a row goes to quarantine when every finite time is in the span."""
    if row[TIME_OF[table]] in {None, "infinity", "-infinity"} or len(row.get("type") or "") > 500:
        return True
    key = row["id"] or ""
    return len(key) == 36 and key[8:19] == "-0000-8000-" and key[19] in "89ab"


def _plain(row: Row) -> Row:
    """Take minus zero for zero: the one exception to exactness."""
    return {
        name: "0" if value == "-0" and name in {"pass_rate", "avg_validation_time_ms"} else value for name, value in row.items()
    }


def _by_id(rows: list[Row]) -> dict[str | None, Row]:
    return {row["id"]: row for row in rows}


@pytest.mark.parametrize("table", MAKERS)
@given(pools=POOLS, seed=SEEDS, first=_KEYS_62)
@FEW
def test_a_legacy_row_comes_back_as_it_was(store: Store, table: str, pools: Pools, seed: int, first: int) -> None:
    random = Random(seed)
    with store.conn.transaction(force_rollback=True):
        store.put(table, (MAKERS[table](random, pools, (first + n) % 2**62) for n in range(ROWS)))
        put = store.legacy(table)
        store.load(table, WIDEST)
        back = store.backward(table)
    kept = {row["id"]: _plain(row) for row in put if not _refused(table, row)}
    assert len(back) == len(kept)
    assert {key: row for key, row in _by_id(back).items() if row != kept.get(key)} == {}


CATEGORIES = ["monitoring", "validation", "cache", "error", "dlq"]
TYPES = ["cache_hit", "cache_purge", "cache_", "dead_letter"]
LEGACY_KEYS = ["created_at", "updated_at", "flush_timestamp", "metadata", "status", "retry_count", "max_retries"]


def unified_row(random: Random, pools: Pools, key: int) -> Row:
    """Make what an application could write under the new name, past every CHECK."""
    finite = [time for time in pools.times if "infinity" not in time]
    objects = [document for document in pools.documents if document.startswith("{")]
    legacy = {name: random.choice(pools.documents) for name in random.sample(LEGACY_KEYS, 2)}
    rest = ', "legacy": {' + ", ".join(f'"{name}": {value}' for name, value in legacy.items()) + "}"
    wrapped = ', "wrapped": true' if random.random() < 0.3 else ""
    fields = '{"value": ' + random.choice(pools.documents) + "}" if random.random() < 0.5 else random.choice(objects)
    metadata = (
        '{"version": "1.0", "schema": "standard", "fields": ' + fields + wrapped + (rest if random.random() < 0.5 else "") + "}"
    )
    metrics = [
        '{"total_events": ' + random.choice(pools.documents) + ', "pass_rate": ' + random.choice(pools.documents) + "}",
        '{"cache_size": ' + random.choice(pools.documents) + "}",
    ]
    code = random.choice([2, 4, 5])
    return {
        "id": f"{code:08x}00008000{key | 1 << 63:016x}" if random.random() < 0.5 else _uuid(random),
        "event_type": random.choice([random.choice(pools.texts)[:500], *TYPES]),
        "event_category": random.choice(CATEGORIES),
        "source_system": random.choice(pools.texts)[:500],
        "event_timestamp": random.choice(finite),
        "created_at": random.choice(pools.times),
        "updated_at": random.choice(pools.times),
        "event_data": random.choice(pools.documents),
        "event_metrics": random.choice([random.choice(pools.documents), *metrics]),
        "event_metadata": metadata,
        "severity": random.choice(["info", "warning", "error", "critical"]),
        "status": random.choice(["pending", "success", "failed", "retry"]),
        "priority": str(random.choice(pools.integers)),
        "retry_count": str(random.choice(pools.integers)),
        "max_retries": str(random.choice(pools.integers)),
        "resolved_at": _or_none(random, random.choice(pools.times)),
        "response_time_ms": _or_none(random, str(random.choice(pools.integers))),
    }


@given(pools=POOLS, seed=SEEDS, first=_KEYS_62)
@FEW
def test_any_unified_row_maps_back_to_one_that_the_table_takes(store: Store, pools: Pools, seed: int, first: int) -> None:
    random = Random(seed)
    with store.conn.transaction(force_rollback=True):
        store.put_unified(unified_row(random, pools, (first + n) % 2**62) for n in range(ROWS))
        assert {table: store.carry_back(table) for table in SOURCES} == dict.fromkeys(SOURCES, ROWS)


@given(pools=POOLS, seed=SEEDS, first=_KEYS_62)
@FEW
def test_no_row_is_owned_twice(store: Store, pools: Pools, seed: int, first: int) -> None:
    random = Random(seed)
    with store.conn.transaction(force_rollback=True):
        store.put_unified(unified_row(random, pools, (first + n) % 2**62) for n in range(ROWS))
        assert set(store.owners()) == {0, 1}
