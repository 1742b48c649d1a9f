"""The five shipped tables against their target, said without the project's mapping, and an application that writes to them.

Belongs here: queries by hand for ids, times, kinds and payloads, which rows must be refused, starting the writer.
Keep out: expectations of single tests. The demo's ledger compares every column; this compares what identifies a row.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from tasks.core.sqlfiles import ROOT, run
from tests.demo.legacy import VALIDATION_ZONE

#: A bigint key as the id that the specification gives it, written with text functions only.
_ID = """(code || '-0000-8000-' || overlay(substr(lpad(to_hex(id), 16, '0'), 1, 4) placing '8' from 1 for 1) || '-'
    || substr(lpad(to_hex(id), 16, '0'), 5))::uuid"""

#: Every legacy row: source, key, id and time in the target, kind, payload, and whether its own content is refused.
LEGACY = f"""
select r.*, r.instant is null or not isfinite(r.instant) or not r.instant <@ tstzrange(s.lower, s.upper)
    or r.too_long or (r.source in ('monitoring_events', 'cache_metrics_monitoring') and r.id::text ~ '^[0-9a-f]{{8}}-0000-8000-[89ab]')
    as is_refused
from (
    select 'monitoring_events' as source, id::text as key, id, timestamp as instant, 'monitoring' as kind, event_type as name,
        data as payload, false as too_long, to_jsonb(l) as whole
    from monitoring.monitoring_events l
    union all
    select 'validation_metrics', id::text, {_ID.replace("code", "'00000002'")}, flush_timestamp at time zone '{VALIDATION_ZONE}',
        'validation', event_type, to_jsonb(total_errors), false, to_jsonb(l)
    from monitoring.validation_metrics l
    union all
    select 'cache_metrics_monitoring', id::text, id, timestamp, 'cache', 'cache_' || operation_type,
        to_jsonb(coalesce(response_time_ms, -1)), false, to_jsonb(l)
    from monitoring.cache_metrics_monitoring l
    union all
    select 'events', id::text, {_ID.replace("code", "'00000004'")}, timestamp, 'monitoring', type, data, length(type) > 500, to_jsonb(l)
    from monitoring.events l
    union all
    select 'dlq_table', id::text, {_ID.replace("code", "'00000005'")}, created_at, 'dlq', 'dead_letter', original_payload, false, to_jsonb(l)
    from monitoring.dlq_table l
) as r
cross join maintenance.span as s
"""  # noqa: S608 (constants of this file)

#: The first of two accepted rows at one place keeps it; only the two tables with uuid keys can meet.
JUDGED = f"""
select l.*, not l.is_refused and l.source = 'cache_metrics_monitoring' and exists (
    select from monitoring.monitoring_events m where m.id = l.id and m.timestamp = l.instant
) as is_second
from ({LEGACY}) as l
"""  # noqa: S608

EXPECTED = f"select id, instant, kind, name, payload from ({JUDGED}) j where not is_refused and not is_second"  # noqa: S608
FOUND = """
select id, event_timestamp, event_category, event_type, case event_category
    when 'validation' then event_metrics -> 'total_errors'
    when 'cache' then to_jsonb(coalesce(response_time_ms, -1))
    when 'dlq' then event_data -> 'payload'
    else event_data
end
from unified.event_metric_events
"""
REFUSED = f"select source, key, is_second, whole from ({JUDGED}) j where is_refused or is_second"  # noqa: S608
QUARANTINED = """
select split_part(s.relation, '.', 2), q.key, q.target_key is not null, q.legacy_row
from maintenance.quarantine q join maintenance.source s on s.id = q.source_id
"""


def assert_store_exact(dsn: str) -> None:
    """At rest every legacy row is once in the target or once, whole, in quarantine, and nothing else is."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        run(conn, "core/session_settings")
        for first, second in ((EXPECTED, FOUND), (REFUSED, QUARANTINED)):
            found = _difference(conn, first, second)
            assert not found, found


def _difference(conn: psycopg.Connection[Any], first: str, second: str) -> list[tuple[Any, ...]]:
    """Return a few rows that are in one and not the other, doubles counted; those of `second` come with `+`."""
    both = (("-", f"{first} except all {second}"), ("+", f"{second} except all {first}"))
    return [(sign, *row) for sign, query in both for row in conn.execute(f"{query} limit 5".encode()).fetchall()]


@contextmanager
def writer(dsn: str, folder: Path, *, days: int, rate: int = 3_000) -> Iterator[None]:
    """Keep the demo's application writing as fast as it can; it ends by itself after the block and must have seen no error."""
    options = {"--ledger": str(folder / "writer.ledger"), "--seed": "5", "--rate": str(rate), "--days": str(days)}
    pauses = {"--open-for": "0.3", "--open-every": "0.7", "--sample": "150"}
    arguments = [word for option in (options | pauses).items() for word in option]
    command = [sys.executable, "-m", "tests.demo.writer", "--dsn-env", "WRITER_DSN", *arguments]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env={**os.environ, "WRITER_DSN": dsn}, cwd=ROOT.parent, **pipes) as process:
        try:
            yield
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=60)
            assert process.returncode == 0, errors
        finally:
            process.kill()
