"""From facts to findings: what is wrong, how bad, and what to do (A6).

Belongs here: rules about maintenance itself, one small rule per subject, each finding with a remedy that can be copied.
Keep out: rules about the server (`server_rules`) and about rights (`security_rules`), SQL, clocks, Prefect, logging. The caller
passes `as_of`. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from tasks.core.shown import counted
from tasks.health import security_rules, server_rules
from tasks.health.facts import (
    ORDER,
    BreakdownFacts,
    BreakerFacts,
    CacheFacts,
    CronFacts,
    ExposedFacts,
    Facts,
    Finding,
    FlowFacts,
    GateFacts,
    GrowthFacts,
    IndexFacts,
    Limits,
    MatviewFacts,
    MigrationFacts,
    QuarantineFacts,
    RefusedFacts,
    TableFacts,
)

DAY = timedelta(days=1)
#: Flows that take a table, flows that need a migration, and those that only publish their plan unless told to apply it.
OF_TABLE = frozenset({"create_partitions", "enforce_retention", "coarsen_partitions", "rebuild_indexes", "repair_metadata"})
OF_MIGRATION = frozenset({"backfill", "verify_integrity", "cut_over", "roll_back", "retire_legacy"})
APPLYING = frozenset({"enforce_retention", "coarsen_partitions", "repair_metadata", "retire_legacy"})
#: What a job does that does maintenance's work, rather than to read or fill a table.
DEEDS = re.compile(r"\b(?:drop|detach|attach|truncate|delete|refresh|partition of)\b")
#: The same on names that are made at run time.
UNNAMED_DEEDS = re.compile(r"\bdetach partition\b|\bdrop table\b[^;]*(?:%|\|\|)")


def find(facts: Iterable[Facts], as_of: datetime, limits: Limits | None = None) -> list[Finding]:
    """Return every finding, the worst first."""
    chosen = limits or Limits()
    known = list(facts)
    found = [finding for fact in known for finding in _rules(fact, as_of, chosen)]
    found += _quarantine(fact for fact in known if isinstance(fact, QuarantineFacts))
    found += security_rules.judge_partitions(fact for fact in known if isinstance(fact, ExposedFacts))
    return sorted(found, key=lambda finding: (ORDER[finding.level], finding.section, finding.object, finding.rule))


def _rules(fact: Facts, as_of: datetime, limits: Limits) -> Iterator[Finding]:
    yield from _maintenance(fact, as_of)
    yield from server_rules.judge(fact, as_of, limits)
    yield from security_rules.judge(fact)


def _maintenance(fact: Facts, as_of: datetime) -> Iterator[Finding]:
    match fact:
        case TableFacts():
            yield from _table(fact, as_of)
        case MatviewFacts():
            yield from _matview(fact, as_of)
        case GateFacts():
            yield from _gate(fact)
        case MigrationFacts():
            yield from _migration(fact)
        case FlowFacts():
            yield from _flow(fact, as_of)
        case _:
            yield from _more_maintenance(fact)


def _more_maintenance(fact: Facts) -> Iterator[Finding]:
    match fact:
        case GrowthFacts() if fact.now > fact.before:
            grown = f"{counted(fact.now - fact.before, 'more row')} than on {fact.since:%Y-%m-%d %H:%M} UTC"
            remedy = "select * from maintenance.quarantine order by quarantined_at desc limit 20;"
            yield Finding("warning", "growing-quarantine", "quarantine", "maintenance.quarantine", grown, remedy)
        case IndexFacts():
            yield from _index(fact)
        case CronFacts():
            yield from _cron(fact)
        case BreakdownFacts():
            yield from _breakdown(fact)
        case BreakerFacts() if fact.state != "closed":
            text = f"failed {counted(fact.failures, 'time')} in a row and is left alone since {fact.since:%Y-%m-%d %H:%M} UTC: {fact.reason}"
            remedy = "Mend the dependency; it is asked again by itself."
            yield Finding("warning", "open-breaker", "connections", f"{fact.dependency} {fact.address}", text, remedy)
        case CacheFacts() if not fact.is_up:
            text = "the cache does not answer: everything is computed anew, slower and not wrong"
            yield Finding("warning", "cache-down", "cache", fact.kind, text, "Look at the server that REDIS_URL names.")
        case RefusedFacts():
            text = f"{fact.failures} failures of flow runs did not reach the declared sink: {fact.reason}"
            remedy = "Mend sinks.failures in maintenance.yaml; the next flow run writes them."
            yield Finding("warning", "refused-failures", "errors", "maintenance.failure", text, remedy)
        case _:
            pass


def _table(fact: TableFacts, as_of: datetime) -> Iterator[Finding]:
    if not fact.exists:
        remedy = "Create it, or take it out of maintenance.yaml."
        yield Finding("critical", "missing-table", "runway", fact.table, "is declared and is no partitioned table", remedy)
        return
    yield from _runway(fact, as_of)
    if fact.has_default:
        text = "has a default partition: DETACH CONCURRENTLY is refused, and its rows block new partitions"
        yield Finding("warning", "default-partition", "partitions", fact.table, text, "Move its rows out and drop it.")
    if fact.default_rows:
        count = "1,000 or more rows" if fact.default_rows >= 1000 else counted(fact.default_rows, "row")
        text = f"{count} in its default partition: no partition can be made where they are, retention never sees them"
        remedy = f"python -m flows create_partitions --table {fact.table}"
        yield Finding("critical", "default-rows", "partitions", fact.table, text, remedy)
    retire = f"python -m flows enforce_retention --table {fact.table} --safety.apply"
    for name in fact.pending_detach:
        remedy = retire if fact.has_retention else f"alter table {fact.table} detach partition {name} finalize;"
        yield Finding("critical", "pending-detach", "partitions", name, "its detach is pending: its rows are invisible", remedy)
    if fact.due:
        text = f"{counted(fact.due, 'partition')} past retention"
        yield Finding("warning", "retention-debt", "retention", fact.table, text, retire)
    if fact.waiting:
        text = f"{counted(fact.waiting, 'archived partition')} in the grace period"
        yield Finding("info", "in-grace", "retention", fact.table, text)


def _runway(fact: TableFacts, as_of: datetime) -> Iterator[Finding]:
    create = f"python -m flows create_partitions --table {fact.table}"
    if fact.runway_until is None or fact.runway_until <= as_of:
        text = "no partition takes a row of this moment: inserts fail"
        yield Finding("critical", "low-runway", "runway", fact.table, text, create)
    elif fact.runway_until - as_of < fact.ahead / 2:
        left = (fact.runway_until - as_of) / DAY
        text = f"partitions for {left:.1f} more days, where {fact.ahead / DAY:g} are declared"
        yield Finding("critical", "low-runway", "runway", fact.table, text, create)


def _matview(fact: MatviewFacts, as_of: datetime) -> Iterator[Finding]:
    refresh = f"python -m flows refresh_matviews --matview {fact.matview}"
    if fact.last_error is not None:
        text = f"its last refresh failed: {fact.last_error}"
        yield Finding("warning", "failed-refresh", "views", fact.matview, text, refresh)
    if fact.refreshed_at is None:
        yield Finding("warning", "stale-view", "views", fact.matview, "has never been filled", refresh)
    elif as_of - fact.refreshed_at > fact.stale_after:
        age = round((as_of - fact.refreshed_at).total_seconds())
        text = f"is {age:,} s old; {fact.stale_after} is declared"
        yield Finding("warning", "stale-view", "views", fact.matview, text, refresh)


def _gate(fact: GateFacts) -> Iterator[Finding]:
    if fact.status in ("BLOCKED", "ERRORED"):
        text = f"gate {fact.step} {fact.status} on {fact.decided_at:%Y-%m-%d %H:%M} UTC for {counted(fact.reasons, 'reason')}"
        remedy = "Open its report; mend the cause; run the flow again."
        yield Finding("critical", "failed-gate", "gates", f"{fact.subject} {fact.step}", text, remedy)
    elif fact.status == "WARNED":
        text = f"gate {fact.step} warned for {counted(fact.reasons, 'reason')}"
        yield Finding("info", "warned-gate", "gates", f"{fact.subject} {fact.step}", text)


def _migration(fact: MigrationFacts) -> Iterator[Finding]:
    if fact.phase == "capturing":
        text = f"capture is on: {counted(fact.queued_keys, 'key')} queued, {counted(fact.open_units, 'unit')} open"
        yield Finding("info", "migrating", "migration", fact.name, text, f"python -m flows migrate {fact.name}")
    yield from _toggle(fact)


def _toggle(fact: MigrationFacts) -> Iterator[Finding]:
    """The setting says what applications use; this process's environment may say otherwise, and so may the phase."""
    if not fact.toggle:
        return
    if fact.override is not None and fact.override != (fact.setting or "false"):
        text = f"{fact.toggle} is {fact.setting or 'not set'} in the database and {fact.override} in this environment"
        remedy = f"Unset {fact.toggle} in the environment of this process, or change the settings row."
        yield Finding("warning", "toggle-overridden", "migration", fact.name, text, remedy)
    is_on, is_unified = fact.setting == "true", fact.phase in ("cut_over", "retired")
    if is_on != is_unified and fact.setting is not None:
        text = f"{fact.toggle} is {fact.setting} while the migration is {fact.phase.replace('_', ' ')}"
        wanted = "true" if is_unified else "false"
        remedy = f"update maintenance.setting set value = '{wanted}' where name = '{fact.toggle}';"  # noqa: S608 (read by a person)
        yield Finding("warning", "toggle-disagrees", "migration", fact.name, text, remedy)


def _flow(fact: FlowFacts, as_of: datetime) -> Iterator[Finding]:
    if fact.is_held:
        return
    again, name = _again(fact), f"{fact.flow} {fact.subject}"
    since = fact.last_success or fact.first_asked
    if since is not None and as_of - since > fact.overdue_after:
        when = f"last succeeded on {fact.last_success:%Y-%m-%d %H:%M} UTC" if fact.last_success else "never succeeded"
        text = f"{fact.flow} {when}; {fact.overdue_after} is declared"
        yield Finding("critical", "overdue-flow", "flows", name, text, again)
    elif fact.newest_outcome in ("failed", "abandoned"):
        text = f"the newest run of {fact.flow} {fact.newest_outcome}"
        yield Finding("warning", "failed-flow", "flows", name, text, again)


def _again(fact: FlowFacts) -> str:
    """Return the command that does the work of a flow on its subject; one that removes by way of a choice only shows its plan."""
    named = f" --table {fact.subject}" if fact.flow in OF_TABLE else f" {fact.subject}" if fact.flow in OF_MIGRATION else ""
    return f"python -m flows {fact.flow}{named}" + (" --safety.apply" if fact.flow in APPLYING else "")


def _quarantine(facts: Iterable[QuarantineFacts]) -> Iterator[Finding]:
    """One finding a source, its reasons with the most rows first."""
    by_source: dict[str, list[QuarantineFacts]] = {}
    for fact in sorted(facts, key=lambda fact: -fact.rows):
        by_source.setdefault(fact.source, []).append(fact)
    for source, reasons in by_source.items():
        said = "; ".join(f"{fact.reason} ({fact.rows:,})" for fact in reasons)
        text = f"{sum(fact.rows for fact in reasons):,} rows in quarantine: {said}"
        remedy = "select reason, key, legacy_row from maintenance.quarantine order by reason;"
        yield Finding("info", "quarantine", "quarantine", source, text, remedy)


def _index(fact: IndexFacts) -> Iterator[Finding]:
    text = f"is invalid: no query uses it, every write to {fact.on_table} pays for it"
    if fact.declared_table is not None:
        remedy = f"python -m flows rebuild_indexes --table {fact.declared_table}"
    elif fact.is_partitioned:
        remedy = "Build the index that it lacks on each partition, and attach it."
        text = f"is not valid on every partition of {fact.on_table}"
    else:
        remedy = f"reindex index concurrently {fact.index};"
    yield Finding("critical", "invalid-index", "indexes", fact.index, text, remedy)


def _cron(fact: CronFacts) -> Iterator[Finding]:
    """A job that changes what is declared here does Prefect's work a second time (D13); so does pg_partman's maintenance."""
    done = f"{fact.command}\n{fact.called}".lower()
    doubled = [name for name in fact.declared if _is_named(name.lower(), done)] if DEEDS.search(done) else []
    if "run_maintenance" in done:
        doubled.append("partitions, by pg_partman")
    elif not doubled and UNNAMED_DEEDS.search(done):
        doubled.append("partitions, whose names it finds itself")
    if doubled:
        text = f"pg_cron job {fact.jobid} ({fact.schedule}) works on {', '.join(doubled)} too: {fact.command}"
        yield Finding("warning", "doubled-by-cron", "flows", f"pg_cron job {fact.jobid}", text, _unschedule(fact.jobid))


def _is_named(relation: str, text: str) -> bool:
    """Say whether a text names a relation or a partition of it, which ends in digits or in what is put together."""
    schema, name = map(re.escape, relation.split(".", 1))
    return re.search(rf"(?:\b{schema}\"?\.|(?<![\w.\"]))\"?{name}(?:_(?:\w*\d)?)?(?!\w)", text) is not None


def _unschedule(jobid: int) -> str:
    return f"select cron.unschedule({jobid});"


def _breakdown(fact: BreakdownFacts) -> Iterator[Finding]:
    if fact.state == "not readable":
        text = "is declared under health and this role may not read it, or row-level security would hide rows of it"
        remedy = "Grant select on it to the maintenance role, or take it out of maintenance.yaml."
        yield Finding("warning", "unreadable", fact.section, fact.relation, text, remedy)
