"""Gates on a real server: evidence, suites, verdicts that count only for the state they were given for."""

from __future__ import annotations

import importlib
import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import psycopg.conninfo
import pytest

from tasks.core.connect import Kind, transaction
from tasks.core.declaration import Declaration, Index
from tasks.core.errors import NotDeclared, Unfinished
from tasks.core.flowruns import each
from tasks.core.sqlfiles import ROOT, InvalidSqlFile, parse
from tasks.gates import gate as gates
from tasks.gates.evidence import GIVEN, STEPS, Frame, collect, frame_of
from tasks.gates.gate import judge, pass_gate
from tasks.gates.on_demand import CUSTOM, NothingToValidate, UnknownSuite, Validation, plan_validation, render, validate_one
from tasks.gates.store import require_verdict
from tasks.gates.suites import InvalidSuite, load_suites, require_sound, validate
from tasks.gates.verdict import GateBlocked, Outcome, Verdict, VerdictMissing, VerdictStale, decide
from tests.conftest import Server
from tests.database.copied import NAME, TABLE, Copied

RECONCILED = {
    "source": "a.b", "lower": "2026", "legacy_kept": 3, "unified_rows": 3, "legacy_hash": "18446744073709551616",
    "unified_hash": "18446744073709551616", "kept_and_quarantined": 3, "legacy_judged": 3, "unquarantined": 0,
}  # fmt: skip

PLAN = {
    "partition": "p1", "deed": "detach", "upper": "2026-01-01T00:00:00.000000+00:00",
    "oldest_kept": "2026-01-02T00:00:00.000000+00:00", "is_held": False, "is_newest": False,
}  # fmt: skip


def reconciliation(**changed: object) -> list[Outcome]:
    """Judge one row of the comparison by the shipped suite."""
    suites = {"reconciliation": load_suites("integrity")["reconciliation"]}
    return validate("integrity", {"reconciliation": frame_of([{**RECONCILED, **changed}])}, suites=suites)


def required(copied: Copied, step: str = "integrity") -> Verdict:
    """Ask for the verdict as a guarded step does."""
    with transaction(Kind.READ) as conn:
        return require_verdict(conn, NAME, step, copied.declaration)


def proven(copied: Copied) -> Copied:
    """Compare, and let the gate pass."""
    assert copied.compare().is_clean
    pass_gate(NAME, "integrity", copied.declaration)
    return copied


# Suites and frames.


@pytest.mark.parametrize("step", STEPS)
def test_every_frame_of_a_step_has_a_suite_and_every_expectation_a_reason(step: str) -> None:
    suites = load_suites(step)
    assert set(suites) == set(STEPS[step])
    for name, suite in suites.items():
        assert suite.name == f"{step}.{name}"
        assert all(len(expectation.notes) > 10 for expectation in suite.expectations)


@pytest.mark.parametrize("step", STEPS)
def test_every_suite_blocks_or_warns_on_a_frame_without_its_columns(step: str) -> None:
    frames = {name: Frame(("nothing",), ()) for name in STEPS[step]}
    parameters = {"approved_quarantine": 0, "at_most": 1}
    assert decide(validate(step, frames, parameters)) in {"BLOCKED", "ERRORED"}


#: In these no row is a good sign: nobody has a right, nothing depends on it.
MAY_BE_EMPTY = {
    "privileges", "policies", "dependants", "triggers", "foreign_keys", "publications", "differences", "quarantine", "grants",
}  # fmt: skip


@pytest.mark.parametrize("step", STEPS)
def test_an_empty_frame_blocks_where_emptiness_proves_nothing(copied: Copied, step: str) -> None:
    evidence = collect(NAME, step, copied.declaration, given={"plan": [PLAN]})
    for name in STEPS[step]:
        columns = evidence.frames[name].columns
        suites = {name: load_suites(step)[name]}
        parameters = {"approved_quarantine": 0, "at_most": 1}
        status = decide(validate(step, {name: Frame(columns, ())}, parameters, suites=suites))
        assert (status == "PASSED") == (name in MAY_BE_EMPTY), name


def test_equal_hashes_past_what_a_float_can_hold_pass_and_neighbours_do_not() -> None:
    assert decide(reconciliation()) == "PASSED"
    found = reconciliation(unified_hash="18446744073709551617")
    assert decide(found) == "BLOCKED"
    (failed,) = [outcome for outcome in found if not outcome.success]
    assert failed.sentence == "unified_hash equals legacy_hash"
    assert failed.rows[0]["unified_hash"] == "18446744073709551617"


def test_whole_numbers_past_what_a_float_can_hold_stay_apart() -> None:
    rows = [
        {**RECONCILED, "legacy_kept": 2**53, "unified_rows": 2**53 + 1},
        {**RECONCILED, "legacy_kept": 2**53, "unified_rows": 2**53},
    ]
    suites = {"reconciliation": load_suites("integrity")["reconciliation"]}
    (failed,) = [o for o in validate("integrity", {"reconciliation": frame_of(rows)}, suites=suites) if not o.success]
    assert failed.sentence == "unified_rows equals legacy_kept"
    assert failed.unexpected == 1


def test_a_value_that_is_missing_never_passes() -> None:
    assert decide(reconciliation(legacy_hash=None, unified_hash=None)) == "BLOCKED"
    suites = {"capture": load_suites("backfill")["capture"]}
    row = {"relation": "a.b", "is_registered": True, "has_triggers": None, "is_generation_current": True}
    (failed,) = [o for o in validate("backfill", {"capture": frame_of([row])}, suites=suites) if not o.success]
    assert failed.observed == "1 row without a value"
    assert failed.rows[0]["relation"] == "a.b"


def test_what_cannot_be_judged_is_an_error_and_no_failure() -> None:
    suites = {"reconciliation": load_suites("integrity")["reconciliation"]}
    outcomes = validate("integrity", {"reconciliation": frame_of([{"source": "a.b"}])}, suites=suites)
    assert decide(outcomes) == "ERRORED"
    assert all(outcome.error for outcome in outcomes if not outcome.success)


def test_a_parameter_that_is_not_given_is_an_error() -> None:
    suites = {"quarantine_total": load_suites("cutover")["quarantine_total"]}
    outcomes = validate("cutover", {"quarantine_total": frame_of([{"rows": 3}])}, {}, suites=suites)
    assert decide(outcomes) == "ERRORED"
    assert "approved_quarantine" in str(outcomes[0].error)


def test_more_quarantine_than_approved_blocks() -> None:
    suites = {"quarantine_total": load_suites("cutover")["quarantine_total"]}
    frame = {"quarantine_total": frame_of([{"rows": 3}])}
    assert decide(validate("cutover", frame, {"approved_quarantine": 3}, suites=suites)) == "PASSED"
    assert decide(validate("cutover", frame, {"approved_quarantine": 2}, suites=suites)) == "BLOCKED"


def test_a_suite_without_its_frame_is_an_error() -> None:
    assert decide(validate("matviews", {})) == "ERRORED"


def test_an_empty_suite_and_one_without_reasons_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import great_expectations as gx
    import great_expectations.expectations as gxe

    module = importlib.import_module("expectations.matviews")
    silent = gxe.ExpectColumnToExist(column="x")  # pyright: ignore[reportPrivateImportUsage]
    for suite, reason in ((gx.ExpectationSuite("empty"), "it is empty"), (gx.ExpectationSuite("silent", [silent]), "no notes")):
        monkeypatch.setattr(module, "SUITES", {"matviews": suite})
        with pytest.raises(InvalidSuite, match=reason):
            load_suites("matviews")


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({}, "PASSED"),
        ({"upper": "2026-01-02T00:00:00.000000+00:00"}, "PASSED"),
        ({"upper": "2026-01-02T00:00:00.000001+00:00"}, "BLOCKED"),
        ({"upper": None}, "BLOCKED"),
        ({"is_held": True}, "BLOCKED"),
        ({"is_newest": True}, "BLOCKED"),
    ],
)
def test_only_what_ends_before_the_retention_bound_may_go(changed: dict[str, object], status: str) -> None:
    suites = {"plan": load_suites("retention")["plan"]}
    assert decide(validate("retention", {"plan": frame_of([{**PLAN, **changed}])}, {"at_most": 1}, suites=suites)) == status


def test_a_plan_of_more_than_at_most_is_blocked() -> None:
    suites = {"plan": load_suites("retention")["plan"]}
    assert decide(validate("retention", {"plan": frame_of([PLAN, PLAN])}, {"at_most": 1}, suites=suites)) == "BLOCKED"


# Evidence and verdicts.


def test_evidence_is_kept_whole_with_the_state_it_was_taken_in(copied: Copied) -> None:
    evidence = collect(NAME, "backfill", copied.declaration)

    ((facts, kept, fingerprint, mapping, generation),) = copied.execute(
        "select facts::text, hash, fingerprint, mapping_version, generation from maintenance.evidence where id = %s",
        evidence.id,
    )
    assert set(json.loads(str(facts))) == set(STEPS["backfill"])
    assert (kept, fingerprint, mapping, generation) == (
        evidence.hash, evidence.state.fingerprint, evidence.state.mapping_version, evidence.state.generation,
    )  # fmt: skip
    assert json.loads(str(facts))["capture"] == list(evidence.frames["capture"].rows)


def test_the_same_facts_have_the_same_hash_and_others_another(copied: Copied) -> None:
    first, second = (collect(NAME, "matviews", copied.declaration) for _ in range(2))
    assert first.hash == second.hash
    copied.execute("grant select on unified.mv_recent_events to anon")
    assert collect(NAME, "matviews", copied.declaration).hash != first.hash


def test_evidence_of_an_undeclared_table_is_refused(copied: Copied) -> None:
    with pytest.raises(NotDeclared, match=r"no\.such"):
        collect("no.such", "schema", copied.declaration)


def test_a_gate_that_was_never_asked_lets_nothing_pass(copied: Copied) -> None:
    with pytest.raises(VerdictMissing):
        required(copied)


def test_a_verdict_lets_the_guarded_step_pass_in_its_own_transaction(copied: Copied) -> None:
    verdict = required(proven(copied))
    assert verdict.lets_pass
    assert verdict.valid_until - verdict.decided_at >= copied.declaration.migrations[NAME].verdict_valid


def test_the_newest_verdict_counts(copied: Copied) -> None:
    proven(copied)
    copied.execute("update maintenance.unit set state = 'planned'")
    assert judge(NAME, "integrity", copied.declaration).status == "BLOCKED"
    with pytest.raises(GateBlocked, match="is_done is true"):
        required(copied)


def test_a_verdict_ends_by_the_servers_clock(copied: Copied) -> None:
    proven(copied)
    copied.execute("update maintenance.verdict set valid_until = clock_timestamp() - interval '1 second'")
    with pytest.raises(VerdictStale, match="it was valid until"):
        required(copied)


CHANGES = {
    "a column of the target": "alter table unified.event_metric_events add column extra text",
    "a column of a source": "alter table monitoring.events alter column created_at drop not null",
    "an index of the target": "create index on unified.event_metric_events (user_id)",
    "an index of a source": "drop index monitoring.idx_events_type",
    "a policy": "alter policy \"authenticated read\" on unified.event_metric_events using (severity = 'info')",
    "a policy of a source": 'drop policy "authenticated read" on monitoring.events',
    "row-level security": "alter table monitoring.events disable row level security",
    "a grant": "grant select on unified.event_metric_events to authenticated",
    "a grant on a column": "grant select (id) on unified.event_metric_events to authenticated",
    "a constraint": "alter table unified.event_metric_events drop constraint event_metric_events_status_check",
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_verdict_goes_stale_when_the_schema_changes(copied: Copied, what: str) -> None:
    proven(copied)
    copied.execute(CHANGES[what])
    with pytest.raises(VerdictStale, match="was changed since"):
        required(copied)


UNCHANGED = {
    "a partition more": "create table unified.later partition of unified.event_metric_events for values from ('2099-01-01') to ('2099-01-02')",
    "statistics": "analyze unified.event_metric_events",
    "a row": "update monitoring.events set type = 'x' where id = (select max(id) from monitoring.events)",
}


@pytest.mark.parametrize("what", UNCHANGED)
def test_a_verdict_survives_what_does_not_touch_the_schema(copied: Copied, what: str) -> None:
    proven(copied)
    copied.execute(UNCHANGED[what])
    assert required(copied).lets_pass


def test_a_verdict_goes_stale_when_the_mapping_changes(copied: Copied) -> None:
    proven(copied)
    copied.execute("update maintenance.migration set mapping_version = 'another'")
    with pytest.raises(VerdictStale, match="the mapping was changed"):
        required(copied)


@pytest.mark.parametrize("counted", [False, True])
def test_a_verdict_goes_stale_when_a_capture_trigger_is_touched(copied: Copied, *, counted: bool) -> None:
    proven(copied)
    copied.execute("alter table monitoring.events disable trigger maintenance_capture_insert")
    copied.execute("alter table monitoring.events enable always trigger maintenance_capture_insert")
    if counted:
        copied.execute("update maintenance.migration set generation = generation + 1")
    with pytest.raises(VerdictStale, match="a capture trigger was touched"):
        required(copied)


def test_a_verdict_on_one_subject_says_nothing_of_another(copied: Copied) -> None:
    judge(TABLE, "schema", copied.declaration)
    with transaction(Kind.READ) as conn:
        assert require_verdict(conn, TABLE, "schema", copied.declaration).lets_pass
        with pytest.raises(VerdictMissing):
            require_verdict(conn, f"{TABLE} 4f2a", "schema", copied.declaration)


def test_a_verdict_on_a_plan_counts_for_that_plan(copied: Copied) -> None:
    given = {"plan": [PLAN]}
    judge(f"{TABLE} 4f2a", "retention", copied.declaration, given=given, parameters={"at_most": 1})
    with transaction(Kind.READ) as conn:
        assert require_verdict(conn, f"{TABLE} 4f2a", "retention", copied.declaration).lets_pass
        with pytest.raises(VerdictMissing):
            require_verdict(conn, f"{TABLE} 4f2b", "retention", copied.declaration)


def test_an_error_of_the_library_is_no_pass_and_no_failure(copied: Copied, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.gates.suites._run", lambda job, frame: 1 / 0)  # noqa: ARG005
    verdict = judge(TABLE, "schema", copied.declaration)
    assert verdict.status == "ERRORED"
    with pytest.raises(GateBlocked, match="is ERRORED: could not judge"):
        pass_gate(TABLE, "schema", copied.declaration)


def test_a_dropped_expectation_is_refused(copied: Copied, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.gates import suites

    run = suites._run
    monkeypatch.setattr(suites, "_run", lambda job, frame: run(job, frame)[:-1])
    with pytest.raises(InvalidSuite, match="were evaluated"):
        judge(TABLE, "schema", copied.declaration)


def test_markup_in_a_row_stays_text_in_reasons_and_data_docs(
    copied: Copied, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    docs = tmp_path / "docs"
    monkeypatch.setattr(gates, "docs_folder", lambda evidence: docs)  # noqa: ARG005
    evil = "<script>alert(1)</script> {{ 7 * 7 }} $x %(declared)s"
    (key,) = copied.execute("select max(id) from monitoring.events")[0]
    copied.execute("update unified.event_metric_events set event_type = %s where id = maintenance.v8_id(4, %s)", evil, key)
    copied.compare()

    verdict = judge(NAME, "integrity", copied.declaration)

    assert verdict.status == "BLOCKED"
    assert evil in " ".join(verdict.reasons)
    assert Path(str(verdict.data_docs)).is_file()
    pages = [page.read_text(encoding="utf-8") for page in docs.rglob("*.html")]
    assert len(pages) > len(STEPS["integrity"])
    assert not any("<script>alert(1)" in page for page in pages)


def test_data_docs_of_each_verdict_are_kept_apart(copied: Copied, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("DATABASE_URL", copied.dsn)
    first = collect(TABLE, "matviews", copied.declaration)
    second = collect(TABLE, "matviews", copied.declaration)
    assert gates.docs_folder(first) != gates.docs_folder(second)


# Preflight: what the declaration does not know blocks.


def _with(copied: Copied, **changed: Any) -> Copied:
    migration = copied.declaration.migrations[NAME].model_copy(update=changed)
    declared = copied.declaration.model_copy(update={"migrations": {NAME: migration}})
    return Copied(copied.dsn, declared)


UNDECLARED: dict[str, tuple[str, str]] = {
    "a view": ("create view public.seen as select id from monitoring.events", "dependant=view public.seen"),
    "a function with its row type": (
        "create function public.of(e monitoring.events) returns int language sql as 'select 1'",
        "dependant=function public.of(monitoring.events)",
    ),
    "a trigger": (
        "create trigger own before insert on monitoring.events for each row execute function monitoring.set_updated_at()",
        "trigger=own",
    ),
    "a policy": ("create policy odd on monitoring.events for select to anon using (id > 3)", "policy=odd"),
    "a policy for everyone": (
        "create policy open on unified.event_metric_events using (true)",
        "policy=open, command=all, roles=public",
    ),
    "a foreign key to it": ("create table public.child (id bigint references monitoring.events)", "direction=to it"),
    "forced row-level security": ("alter table monitoring.events force row level security", "forces_row_security is false"),
}


@pytest.mark.parametrize("what", UNDECLARED)
def test_preflight_blocks_what_the_declaration_does_not_know(copied: Copied, what: str) -> None:
    statement, said = UNDECLARED[what]
    copied.execute(statement)
    verdict = judge(NAME, "preflight", copied.declaration)
    assert verdict.status == "BLOCKED"
    assert said in verdict.reasons[0]


def test_a_source_that_another_role_owns_is_blocked(copied: Copied, server: Server) -> None:
    name = psycopg.conninfo.conninfo_to_dict(copied.dsn)["dbname"]
    with psycopg.connect(psycopg.conninfo.make_conninfo(server.superuser_dsn, dbname=name), autocommit=True) as conn:
        conn.execute("alter table monitoring.events owner to current_user")
    verdict = judge(NAME, "preflight", copied.declaration)
    assert verdict.status == "BLOCKED"
    assert "is_owned is true" in verdict.reasons[0]
    assert "relation=monitoring.events" in verdict.reasons[0]


def test_without_a_backup_of_every_source_preflight_blocks_and_says_what_to_do(copied: Copied) -> None:
    assert judge(NAME, "preflight", copied.declaration).lets_pass  # The backfill before this test made the archives.
    copied.execute("delete from maintenance.backup where relation = 'monitoring.events'")

    verdict = judge(NAME, "preflight", copied.declaration)

    assert verdict.status == "BLOCKED"
    assert "relation=monitoring.events" in verdict.reasons[0]
    assert "relation=monitoring.dlq_table" not in verdict.reasons[0]
    assert "remedy=run backfill or migrate" in verdict.reasons[0]
    undeclared = judge(NAME, "preflight", _with(copied, backup=None).declaration)
    assert undeclared.status == "BLOCKED"
    assert "remedy=declare backup: archive" in undeclared.reasons[0]
    assert judge(NAME, "preflight", _with(copied, backup="nightly 2026-11-24T02:00Z").declaration).lets_pass


def test_a_declared_source_that_does_not_exist_blocks(copied: Copied) -> None:
    sources = copied.declaration.migrations[NAME].sources
    more = _with(copied, sources={**sources, "monitoring.absent": next(iter(sources.values()))})
    verdict = judge(NAME, "preflight", more.declaration)
    assert verdict.status == "BLOCKED"
    assert "relation=monitoring.absent" in verdict.reasons[0]


def test_an_index_that_is_switched_off_is_not_asked_for(copied: Copied) -> None:
    table = copied.declaration.tables[TABLE]
    indexes = {**table.indexes, "absent": Index(columns="user_id", build="off", why="Not built.")}
    tables = {TABLE: table.model_copy(update={"indexes": indexes})}
    assert judge(TABLE, "schema", copied.declaration.model_copy(update={"tables": tables})).lets_pass
    indexes["absent"] = Index(columns="user_id", why="Built.")
    verdict = judge(TABLE, "schema", copied.declaration.model_copy(update={"tables": tables}))
    assert verdict.status == "BLOCKED"
    assert "index=absent" in verdict.reasons[0]


def test_a_gap_that_retention_made_is_none(copied: Copied) -> None:
    ((name, lower, upper),) = copied.execute(
        "select schema || '.' || name, lower, upper from maintenance.partition "
        "where parent_oid = 'unified.event_metric_events'::regclass order by lower offset 2 limit 1"
    )
    copied.execute(f"alter table {TABLE} detach partition {name}")
    assert judge(TABLE, "schema", copied.declaration).status == "BLOCKED"
    copied.execute(
        "insert into maintenance.retirement (parent, partition, partition_oid, lower, upper, state, reason, due_at) "
        "values (%s, %s, 1, %s, %s, 'archived', 'old', now())",
        TABLE, name, lower, upper,
    )  # fmt: skip
    assert judge(TABLE, "schema", copied.declaration).lets_pass


def test_a_gap_of_a_table_that_is_wholly_past_its_retention_is_none(copied: Copied) -> None:
    bounds = (
        "select lower, upper, schema || '.' || name from maintenance.partition where parent_oid = %s::regclass order by lower"
    )
    _, (lower, upper, name), *_ = copied.execute(bounds, TABLE)
    copied.execute(f"alter table {TABLE} detach partition {name}")
    ((seconds,),) = copied.execute("select extract(epoch from now() - %s::timestamptz)::bigint", upper)
    age = timedelta(seconds=int(str(seconds)))

    def keeping(keep: timedelta) -> Declaration:
        table = copied.declaration.tables[TABLE]
        assert table.retention
        retention = table.retention.model_copy(update={"keep": keep})
        return copied.declaration.model_copy(update={"tables": {TABLE: table.model_copy(update={"retention": retention})}})

    assert judge(TABLE, "schema", keeping(age - timedelta(hours=1))).lets_pass
    assert judge(TABLE, "schema", keeping(age + timedelta(hours=1))).status == "BLOCKED"
    verdict = judge(NAME, "integrity", keeping(age - timedelta(hours=1)))
    assert f"gap_from={lower:%Y-%m-%d}" in "".join(verdict.reasons), "a migration brings every row, however old"


def test_before_the_copy_a_gap_is_a_warning(copied: Copied) -> None:
    _, (name,), *_ = copied.execute(
        "select schema || '.' || name from maintenance.partition where parent_oid = %s::regclass order by lower", TABLE
    )
    before = judge(NAME, "preflight", copied.declaration)
    copied.execute(f"alter table {TABLE} detach partition {name}")
    verdict = judge(NAME, "preflight", copied.declaration)
    assert (verdict.status, before.lets_pass, verdict.lets_pass) == ("WARNED", True, True)
    assert any("follows_without_gap" in reason for reason in verdict.reasons)
    assert judge(NAME, "backfill", copied.declaration).status == "BLOCKED"


def test_a_materialized_view_granted_to_an_api_role_is_blocked(copied: Copied) -> None:
    copied.execute("grant select on unified.mv_recent_events to authenticated")
    verdict = judge("unified.mv_recent_events", "matviews", copied.declaration)
    assert verdict.status == "BLOCKED"
    assert "granted_to=authenticated" in verdict.reasons[0]


# On demand.


def test_without_a_suite_every_table_and_view_is_asked_what_holds_at_any_time(copied: Copied) -> None:
    asked = plan_validation(copied.declaration, None, None)
    assert [(one.suite, one.subject) for one in asked] == [
        ("schema", TABLE), *(("matviews", view) for view in copied.declaration.matviews),
    ]  # fmt: skip
    assert plan_validation(copied.declaration, TABLE, None) == [Validation(TABLE, "schema")]
    assert plan_validation(copied.declaration, TABLE, "preflight") == [Validation(NAME, "preflight")]


def test_an_unknown_suite_and_an_undeclared_table_are_named(copied: Copied) -> None:
    with pytest.raises(UnknownSuite, match=r"no suite retention.*Name one of: schema"):
        plan_validation(copied.declaration, None, "retention")
    with pytest.raises(NotDeclared, match=r"no\.such"):
        plan_validation(copied.declaration, "no.such", None)


@pytest.mark.parametrize(
    ("table", "suite", "why"),
    [(TABLE, "matviews", "without a table"), (None, CUSTOM, "expectations/custom.py has none")],
)
def test_a_suite_that_would_judge_nothing_is_refused(copied: Copied, table: str | None, suite: str, why: str) -> None:
    with pytest.raises(NothingToValidate, match=f"{suite} has nothing to judge.*{why}"):
        plan_validation(copied.declaration, table, suite)


def test_facts_older_than_half_a_year_go_and_their_verdicts_stay(copied: Copied) -> None:
    judge(TABLE, "schema", copied.declaration)
    copied.execute("update maintenance.evidence set taken_at = taken_at - interval '181 days' where step = 'schema'")
    newer = judge(TABLE, "schema", copied.declaration)
    assert copied.execute("select id from maintenance.evidence where step = 'schema'") == [(newer.evidence_id,)]
    kept = copied.execute("select evidence_id, evidence_hash <> '' from maintenance.verdict where step = 'schema' order by id")
    assert kept == [(None, True), (newer.evidence_id, True)]


def test_one_failure_does_not_stop_the_others_and_both_are_told(copied: Copied) -> None:
    copied.execute("grant select on unified.mv_recent_events to anon")
    copied.execute("grant select on unified.mv_error_summary to anon")
    asked = plan_validation(copied.declaration, None, None)
    with pytest.raises(Unfinished, match=r"mv_recent_events.*mv_error_summary"):
        each("validate", asked, lambda one: validate_one(one, copied.declaration))
    assert copied.execute("select count(*) from maintenance.verdict where step <> 'preflight'")[0][0] == len(asked)


def test_results_are_shown_with_their_reasons(copied: Copied) -> None:
    shown = render([validate_one(Validation("unified.mv_recent_events", "matviews"), copied.declaration)])
    assert "| matviews | unified.mv_recent_events | WARNED |" in shown
    assert "is_filled is true" in shown


def test_a_projects_own_suite_judges_its_own_frames(copied: Copied, monkeypatch: pytest.MonkeyPatch) -> None:
    from expectations import custom
    from expectations.phrases import some_rows, suite, true

    own = suite("custom.target", some_rows("We look at it."), true("has_default_partition", "We want one, for a test."))
    monkeypatch.setattr(custom, "TABLES", {TABLE: {"target": own}})
    asked = Validation(TABLE, CUSTOM)
    assert asked in plan_validation(copied.declaration, None, None)
    with pytest.raises(GateBlocked, match="has_default_partition is true"):
        validate_one(asked, copied.declaration)
    monkeypatch.setattr(custom, "TABLES", {TABLE: {"of_our_own": own}})
    with pytest.raises(InvalidSqlFile, match="evidence/custom/of_our_own"):
        validate_one(asked, copied.declaration)


def test_no_given_frame_is_collected(copied: Copied) -> None:
    assert set(collect(TABLE, "retention", copied.declaration).frames) == set(STEPS["retention"]) - set(GIVEN)


def test_verdicts_are_closed_to_everybody_else(copied: Copied) -> None:
    with copied.connect() as conn:
        conn.execute("set role service_role")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute("select * from maintenance.verdict")


def test_a_verdict_lasts_as_long_as_its_migration_declares(copied: Copied) -> None:
    short = _with(copied, verdict_valid=timedelta(minutes=5))
    verdict = judge(NAME, "preflight", short.declaration)
    assert timedelta(minutes=4) < verdict.valid_until - verdict.decided_at <= timedelta(minutes=5, seconds=5)


def test_the_example_of_a_projects_own_suite_is_sound() -> None:
    text = (ROOT.parent / "docs" / "gates.md").read_text(encoding="utf-8")
    statement = re.findall(r"```sql\n(-- .*?)```", text, re.DOTALL)[0]
    assert parse("evidence/custom/recent_events", statement).params == {"declared"}
    names: dict[str, Any] = {}
    exec(re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0], names)  # noqa: S102 (our own page)
    ((frame, suite),) = names["TABLES"]["app.events"].items()
    require_sound(CUSTOM, frame, suite)
    rows = [{"without_source": 0, "events": 3}]
    assert decide(validate(CUSTOM, {frame: frame_of(rows)}, suites={frame: suite})) == "PASSED"
    assert decide(validate(CUSTOM, {frame: frame_of([{**rows[0], "without_source": 1}])}, suites={frame: suite})) == "BLOCKED"
