"""Ten faults, each planted where nobody captured it, are blocked by the right gate and named."""

from __future__ import annotations

import pytest

from tasks.core.ledger import Deferred
from tasks.gates.gate import judge
from tasks.gates.verdict import GateBlocked, Verdict
from tasks.migration.verify import IntegrityResult, verify
from tests.database.copied import NAME, TABLE, Copied

#: A row of the target that came from a bigint key, of a day that has many.
VICTIM = """
select u.id::text, u.event_timestamp::text, maintenance.v8_key(u.id)::text from unified.event_metric_events as u
where u.event_category = 'monitoring' and maintenance.is_v8_id(u.id) order by u.event_timestamp, u.id limit 1
"""
PARTITION = """
select p.schema || '.' || p.name from maintenance.partition as p
where p.parent_oid = 'unified.event_metric_events'::regclass order by p.lower offset 3 limit 1
"""


def victim(copied: Copied) -> tuple[str, str, str]:
    """Return id, time and legacy key of a row."""
    (row,) = copied.execute(VICTIM)
    return tuple(map(str, row))  # pyright: ignore[reportReturnType]


def partition(copied: Copied) -> str:
    """Return the name of a partition that holds rows."""
    return str(copied.execute(PARTITION)[0][0])


def blocked(copied: Copied) -> str:
    """Return what the proof says where it is blocked."""
    with pytest.raises(GateBlocked) as caught:
        verify(NAME, copied.declaration, sessions=1)
    assert caught.value.step == "integrity"
    assert caught.value.status == "BLOCKED"
    return str(caught.value)


def passes(copied: Copied) -> IntegrityResult:
    """Return the next proof, which is clean because the repair has mended the fault."""
    result = verify(NAME, copied.declaration, sessions=1)
    assert not isinstance(result, Deferred)
    return result


def gate(copied: Copied, step: str, subject: str = NAME) -> Verdict:
    """Ask one gate."""
    return judge(subject, step, copied.declaration, docs=False)


def test_a_copy_without_a_fault_passes_every_gate_before_the_cutover(copied: Copied) -> None:
    result = passes(copied)
    assert result.status in {"PASSED", "WARNED"}
    assert result.rows_compared == copied.execute("select sum(legacy_rows)::bigint from maintenance.comparison")[0][0]
    assert gate(copied, "preflight").lets_pass
    assert gate(copied, "schema", TABLE).lets_pass


def test_a_lost_row_is_blocked_and_named(copied: Copied) -> None:
    _, _, key = victim(copied)
    copied.execute(
        "delete from unified.event_metric_events where maintenance.v8_key(id) = %s and maintenance.is_v8_id(id)", key
    )

    said = blocked(copied)

    assert "kind=missing" in said
    assert f"key={key}" in said
    assert "they are equal now" in said
    assert passes(copied).repaired is None


def test_a_doubled_row_is_blocked_and_named(copied: Copied) -> None:
    ident, _, key = victim(copied)
    copied.execute(
        "insert into unified.event_metric_events select r.* from unified.event_metric_events as u cross join lateral "
        "jsonb_populate_record(u, jsonb_build_object('event_timestamp', u.event_timestamp + interval '1 hour')) as r where u.id = %s",
        ident,
    )

    said = blocked(copied)

    assert "kind=doubled" in said
    assert f"key={key}" in said
    assert passes(copied).repaired is None


def test_one_changed_cell_is_blocked_and_named_with_both_values(copied: Copied) -> None:
    ident, _, key = victim(copied)
    copied.execute("update unified.event_metric_events set priority = 4711 where id = %s", ident)

    said = blocked(copied)

    assert "kind=unequal" in said
    assert f"key={key}" in said
    assert "priority: expected 0, found 4711" in said
    assert passes(copied).repaired is None


def test_a_time_shifted_by_a_millisecond_is_blocked_and_named(copied: Copied) -> None:
    ident, _, key = victim(copied)
    copied.execute(
        "update unified.event_metric_events set event_timestamp = event_timestamp + interval '1 millisecond' where id = %s",
        ident,
    )

    said = blocked(copied)

    assert "kind=missing" in said
    assert "kind=extra" in said
    assert said.count(f"key={key}") >= 2
    assert passes(copied).repaired is None


def test_a_missing_index_is_blocked_and_named(copied: Copied) -> None:
    copied.execute("drop index unified.event_metric_events_session")

    for step, subject in (("backfill", NAME), ("schema", TABLE)):
        verdict = gate(copied, step, subject)
        assert verdict.status == "BLOCKED"
        assert "index=event_metric_events_session" in verdict.reasons[0]


def test_an_index_missing_on_one_partition_is_blocked_and_the_partition_named(copied: Copied) -> None:
    name = partition(copied)
    copied.execute(f"alter table {TABLE} detach partition {name}")
    (index,) = copied.execute(
        "select i.indexrelid::regclass::text from pg_catalog.pg_index as i where i.indrelid = %s::regclass and not indisprimary "
        "and pg_get_indexdef(i.indexrelid) like '%%session_id%%'",
        name,
    )[0]
    copied.execute(f"drop index {index}")
    copied.execute("drop index unified.event_metric_events_session")
    copied.execute(
        "create index event_metric_events_session on only unified.event_metric_events (session_id) where session_id is not null"
    )

    verdict = gate(copied, "schema", TABLE)

    assert verdict.status == "BLOCKED"
    assert any("is_valid" not in reason and "event_metric_events_session" in reason for reason in verdict.reasons)


def test_row_level_security_off_on_a_partition_is_blocked_and_named(copied: Copied) -> None:
    name = partition(copied)
    copied.execute(f"alter table {name} disable row level security")

    for step, subject in (("backfill", NAME), ("integrity", NAME), ("schema", TABLE)):
        verdict = gate(copied, step, subject)
        assert verdict.status == "BLOCKED"
        assert any("is_closed is true" in reason and name in reason for reason in verdict.reasons)


@pytest.mark.parametrize("right", ["select", "insert (event_data)"])
@pytest.mark.parametrize("where", ["parent", "partition"])
def test_a_grant_to_anon_is_blocked_and_named(copied: Copied, where: str, right: str) -> None:
    name = TABLE if where == "parent" else partition(copied)
    copied.execute(f"grant {right} on {name} to anon")

    for step, subject in (("backfill", NAME), ("integrity", NAME), ("schema", TABLE)):
        verdict = gate(copied, step, subject)
        assert verdict.status == "BLOCKED"
        assert any(f"relation={name}, grantee=anon, privilege={right}" in reason for reason in verdict.reasons)


def test_a_capture_trigger_that_was_off_is_blocked_and_named(copied: Copied) -> None:
    copied.execute("alter table monitoring.events disable trigger maintenance_capture_update")

    verdict = gate(copied, "backfill")

    assert verdict.status == "BLOCKED"
    assert "relation=monitoring.events" in verdict.reasons[0]
    assert "faulty=maintenance_capture_update" in verdict.reasons[0]


def test_a_capture_trigger_that_was_off_for_a_moment_is_blocked_too(copied: Copied) -> None:
    copied.execute("alter table monitoring.events disable trigger maintenance_capture_update")
    copied.execute("alter table monitoring.events enable always trigger maintenance_capture_update")

    verdict = gate(copied, "backfill")

    assert verdict.status == "BLOCKED"
    assert "is_generation_current is true" in verdict.reasons[0]


def test_a_late_write_that_was_not_captured_is_blocked_and_named(copied: Copied) -> None:
    (key,) = copied.execute("select max(id) from monitoring.events")[0]
    with copied.connect() as conn, conn.transaction():
        conn.execute("alter table monitoring.events disable trigger maintenance_capture_update")
        conn.execute("update monitoring.events set type = 'late' where id = %s", [key])
        conn.execute("alter table monitoring.events enable always trigger maintenance_capture_update")
    # Even where nobody looked at the triggers in between.
    copied.execute("update maintenance.migration set trigger_state = null")
    copied.execute(
        "update maintenance.migration set trigger_state = (select string_agg(t.fact, E'\n' order by t.fact) "
        "from maintenance.source as s cross join lateral maintenance.capture_triggers(s.id) as t)"
    )

    said = blocked(copied)

    assert "kind=unequal" in said
    assert f"key={key}" in said
    assert 'event_type: expected "late"' in said


def test_a_gap_is_blocked_and_named(copied: Copied) -> None:
    name = partition(copied)
    copied.execute(f"alter table {TABLE} detach partition {name}")

    for step, subject in (("backfill", NAME), ("schema", TABLE)):
        verdict = gate(copied, step, subject)
        assert verdict.status == "BLOCKED"
        assert any("follows_without_gap is true" in reason and "gap_from=" in reason for reason in verdict.reasons)
    assert copied.compare().kinds["missing"] > 0
