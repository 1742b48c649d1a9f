"""The cutover: one short transaction in which the old names become views and the target is the truth (M3, N7).

Belongs here: what must stand before it, the order of the transaction, its lock times.
Everything that can be made beforehand is made before the legacy tables are locked, in the same transaction, so that a
failed attempt leaves all as it was. Keep out: what a view takes over (`views`), the way back (`rollback`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from tasks.core.connect import Connection, Kind, transaction, with_lock_retries
from tasks.core.declaration import Declaration, Migration
from tasks.core.errors import MissingRelation, Permanent, Retryable
from tasks.core.ledger import CREATION, RUN, Deferred, Run, enter_unit, run_exclusively
from tasks.core.names import Relation
from tasks.core.sqlfiles import fetch, fetch_one, run
from tasks.gates.evidence import read_state
from tasks.gates.gate import pass_gate
from tasks.gates.store import newest_verdict, require_verdict
from tasks.gates.verdict import GateBlocked, VerdictMissing, VerdictStale, blocked
from tasks.migration.approval import ApprovalMissing, State, close, read_open, require_approval, why_invalid
from tasks.migration.backfill import attached_bounds, drain
from tasks.migration.backup import ARCHIVE, try_backups
from tasks.migration.capture import queue_length, remove_capture, require_generation
from tasks.migration.drain import drain_batch
from tasks.migration.registry import Registered, Source, read_registered
from tasks.migration.reverse import carry_forward, install_reverse_capture, read_rows, select, target_parts
from tasks.migration.sources import combined_version, read_mapping
from tasks.migration.views import (
    Legacy,
    create_view,
    find_key_behind,
    find_obstacles,
    list_dependants,
    provisional,
    quoted,
    read_legacy,
    repoint,
)
from tasks.partitions.bounds import Bounds

FLOW, STEP = "cut_over", "cutover"
#: The gate that judges a comparison of every row.
COMPARISON = "integrity"
#: All legacy tables must be had within this time, or the attempt is given up and whoever waited goes on.
LOCK_MS = 300
#: A writer's transaction may be open for seconds, so attempts go on for this long.
BUDGET_S = 60.0
#: The log is drained beforehand until so few keys come in between two rounds.
FEW_KEYS = 200
MOST_ROUNDS = 10
#: Just before the locks, inside the transaction, until so few come in between two rounds.
VERY_FEW_KEYS = 20
OPEN_ROUNDS = 5
#: Captured changes that may be left to apply while nobody reads or writes: about a second.
MOST_LEFT = 10_000

#: A captured key and the event time that it had as text, None where it was inserted.
Captured = tuple[str, str | None]
#: Captured keys by source id.
_Applied = dict[int, list[Captured]]


@dataclass(eq=False)
class NotReady(Permanent):
    """{migration} cannot be cut over: {reason}. {remedy} Nothing was changed."""

    migration: str
    reason: str
    remedy: str


@dataclass(eq=False)
class CutoverBlocked(Permanent):
    """{migration} cannot be cut over, because a view could not do what the table does: {reasons}. Declare each under its source
    in maintenance.yaml, or change it; nothing was changed."""

    migration: str
    reasons: str


@dataclass(eq=False)
class CutoverBehind(Retryable):
    """{migration} cannot be cut over now: {waiting} captured changes wait to be applied, and all readers and writers of the legacy
    tables would stand still for as long as that takes. Run cut_over again once a bulk load is over; where the changes are of times
    without a partition, create_partitions and backfill first. Nothing was changed."""

    migration: str
    waiting: int


@dataclass(eq=False)
class DrainDiffers(Permanent):
    """The cutover of {migration} was given up: {rows} rows that the last drain had applied differ, such as {keys}. Run
    verify_integrity; nothing was changed."""

    migration: str
    rows: int
    keys: str


@dataclass(eq=False)
class SourceChanged(Retryable):
    """{relation} changed while its view was being made: {what}. Nothing was changed; run cut_over again."""

    relation: str
    what: str


@dataclass(frozen=True)
class CutoverResult:
    """What a cutover did. `lock_ms` runs from the first legacy lock granted to the commit, `drained` counts entries of the log
    applied in its transaction. A rehearsal says what a cutover would lack, and what restoring the backups gave."""

    migration: str
    outcome: Literal["cut over", "rehearsed", "already cut over"]
    lock_ms: int = 0
    drained: int = 0
    attempts: int = 0
    lacks: tuple[str, ...] = ()
    restored: tuple[str, ...] = ()


class _Rehearsed(Exception):
    """Ends the transaction of a rehearsal; no error, it rolls back."""


@dataclass
class _Clock:
    """When the first legacy lock was granted in the attempt at hand, and how many attempts there were."""

    attempts: int = 0
    locked_at: float = 0.0
    drained: int = 0

    @property
    def lock_ms(self) -> int:
        """Milliseconds since the first lock."""
        return round((time.monotonic() - self.locked_at) * 1000)


@dataclass(frozen=True)
class _Cutover:
    """One run's fixed facts."""

    started: Run
    declaration: Declaration
    migration: Registered
    policy: Migration
    is_rehearsal: bool
    clock: _Clock = field(default_factory=_Clock)

    @property
    def name(self) -> str:
        """The migration's name."""
        return self.migration.name


def cut_over(
    name: str, declaration: Declaration, *, rehearse: bool = False, flow_run_id: str | None = None
) -> CutoverResult | Deferred:
    """Put views on the target under the old names of migration `name`; a rehearsal does it all and rolls it back.

    Needs a valid approval and the verdict of the gate `cutover`, which is asked where it is missing or stale. Locks:
    SHARE UPDATE EXCLUSIVE on the legacy tables while the views are made, then ACCESS EXCLUSIVE on all of them for
    milliseconds, each attempt at most 300 ms; SHARE ROW EXCLUSIVE on the target. Raises NotReady, CutoverBlocked,
    ApprovalMissing, ApprovalRefused, GateBlocked, CaptureChanged, CutoverBehind, DrainDiffers, SourceChanged, LockBusy (M3, M4, N7).
    """
    policy = declaration.migration(name)

    def work(started: Run) -> CutoverResult:
        migration = read_migration(name)
        if migration.phase in ("cut_over", "retired"):
            return CutoverResult(name, "already cut over")
        if migration.phase != "capturing":
            raise NotReady(name, f"its phase is {migration.phase}", f"Run backfill and verify_integrity for {name} first.")
        return _carry_out(_Cutover(started, declaration, migration, policy, rehearse))

    overdue_after = declaration.flow(FLOW).overdue_after
    return run_exclusively(FLOW, name, work, overdue_after=overdue_after, group=policy.target, flow_run_id=flow_run_id)


def read_migration(name: str) -> Registered:
    """Return the migration as the ledger has it; MissingRelation where it was never prepared."""
    with transaction(Kind.READ) as conn:
        migration = read_registered(conn, name)
    if migration is None:
        remedy = "Neither migrate nor backfill has begun it in this database; nothing was changed."
        raise MissingRelation(f"migration {name}", " in the ledger", remedy)
    return migration


def _carry_out(job: _Cutover) -> CutoverResult:
    require_unobstructed(job.migration, job.policy)
    _require_proven_mapping(job.migration, job.policy)
    if not job.is_rehearsal:
        _require_consent(job)
    lacks, restored = _rehearse(job) if job.is_rehearsal else ((), ())
    _drain_down(job)
    attached = attached_bounds(job.migration.target.relation)
    try:
        with_lock_retries(
            ", ".join(str(source.relation) for source in job.migration.sources),
            "cut over",
            lambda conn: _attempt(conn, job, attached),
            budget_s=BUDGET_S,
        )
    except _Rehearsed:
        return replace(_finish(job, "rehearsed"), lacks=lacks, restored=restored)
    result = _finish(job, "cut over")
    with transaction(Kind.READ) as conn:
        run(conn, "migration/cutover_note_lock", migration=job.name, locked_ms=result.lock_ms)
    return result


def _finish(job: _Cutover, outcome: Literal["cut over", "rehearsed"]) -> CutoverResult:
    clock = job.clock
    result = CutoverResult(job.name, outcome, clock.lock_ms, clock.drained, clock.attempts)
    job.started.detail.update(lock_ms=result.lock_ms, drained=result.drained, attempts=result.attempts, outcome=outcome)
    return result


def require_unobstructed(migration: Registered, policy: Migration) -> None:
    """Refuse what a view could not do, before anybody is asked and before anything is locked.

    Every view is made for the moment and rolled back: a `view.sql` that shows other columns is found here. Locks: ACCESS
    SHARE on the target. Raises CutoverBlocked, ViewDiffers.
    """
    with transaction(Kind.DDL) as conn, conn.transaction(force_rollback=True):
        legacy = {source.id: read_legacy(conn, source) for source in migration.sources}
        found = [
            obstacle
            for source in migration.sources
            for obstacle in (
                *find_obstacles(legacy[source.id], policy.sources[str(source.relation)]),
                *find_key_behind(conn, source, legacy[source.id]),
            )
        ]
        found += [
            f"the role {row['role']} of its grants does not exist"
            for row in _missing_rights(conn, migration, policy)
            if not row["role_exists"]
        ]
        if found:
            raise CutoverBlocked(migration.name, "; ".join(found))
        for source in migration.sources:
            create_view(conn, migration, source, policy.sources[str(source.relation)], legacy[source.id])


def _require_proven_mapping(migration: Registered, policy: Migration) -> None:
    """The views are made from files; what was compared and approved is what the ledger has of them."""
    sides = {source.id: {"source": source.relation, "target": migration.target.relation} for source in migration.sources}
    with transaction(Kind.READ) as conn:
        mappings = [
            read_mapping(conn, migration.name, policy.sources[str(s.relation)].mapping, **sides[s.id], code=s.code, zone=s.zone)
            for s in migration.sources
        ]
    if combined_version(mappings) != migration.mapping_version:
        remedy = f"Run migrate {migration.name}, which compares and asks anew."
        raise NotReady(migration.name, "files of its mapping have changed since every row was compared", remedy)


def _require_consent(job: _Cutover) -> None:
    """A standing approval, and a verdict of the gate: asked here where it is missing or stale, or where it or a comparison of
    every row since was against it."""
    with transaction(Kind.READ) as conn:
        approved = require_approval(conn, job.name, _state(conn, job), job.policy.sign_offs)
    try:
        with transaction(Kind.READ) as conn:
            require_verdict(conn, job.name, STEP, job.declaration)
            compared = newest_verdict(conn, job.name, COMPARISON)
            if compared is not None and not compared.lets_pass:
                raise blocked(compared)
    except (VerdictMissing, VerdictStale, GateBlocked):
        pass_gate(job.name, STEP, job.declaration, parameters={"approved_quarantine": approved.state.quarantined_rows})


def _rehearse(job: _Cutover) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Say what would keep a cutover from being done now, and what restoring our own backups gave (M9)."""
    restored = try_backups(job.started, job.migration) if job.policy.backup == ARCHIVE else ()
    return _find_missing(job), restored


def _find_missing(job: _Cutover) -> tuple[str, ...]:
    """Say what would keep a cutover from being done now."""
    lacks: list[str] = []
    for look in (_look_for_approval, _look_for_verdict):
        try:
            with transaction(Kind.READ) as conn:
                look(conn, job)
        except Permanent as error:
            lacks.append(str(error))
    return tuple(lacks)


def _look_for_approval(conn: Connection, job: _Cutover) -> None:
    require_approval(conn, job.name, _state(conn, job), job.policy.sign_offs)


def _look_for_verdict(conn: Connection, job: _Cutover) -> None:
    require_verdict(conn, job.name, STEP, job.declaration)


def _state(conn: Connection, job: _Cutover) -> State:
    """Return what an approval is held against, as this transaction sees it."""
    state, _ = read_state(conn, job.name, job.declaration)
    return State(state.fingerprint, job.migration.mapping_version, _quarantined(conn, job))


def _quarantined(conn: Connection, job: _Cutover) -> int:
    return sum(row["rows"] for row in fetch(conn, "migration/count_quarantined", migration=job.name))


def _drain_down(job: _Cutover) -> None:
    """Leave little to the locked part."""
    for _ in range(MOST_ROUNDS):
        if drain(job.started, job.migration, workers=2, rounds=1) <= FEW_KEYS:
            return


def _attempt(conn: Connection, job: _Cutover, attached: Sequence[Bounds]) -> None:
    """The whole transaction; under the legacy locks it only applies the rest of the log and changes names."""
    job.clock.attempts += 1
    job = replace(job, migration=_reread(conn, job))
    legacy = _prepare(conn, job)
    with _planned_once(conn):
        applied = _drain_while_open(conn, job, attached)
        _require_few(conn, job)
        _require_covered(conn, job)
        _lock(conn, job)
        _require_few(conn, job)
        _apply_rest(conn, job, attached, applied)
        _require_covered(conn, job)
    _swap(conn, job, legacy)
    if job.is_rehearsal:
        raise _Rehearsed


def _reread(conn: Connection, job: _Cutover) -> Registered:
    """Hold off units of other runs and the creation of partitions, and read the migration as it is then: the span may rise."""
    enter_unit(conn, job.started, group=job.migration.subject)
    run(conn, "core/wait_for_work", work=RUN + CREATION + job.migration.subject)
    migration = read_registered(conn, job.name)
    if migration is None or migration.phase != "capturing":
        raise NotReady(job.name, "its phase has changed", f"Run cut_over for {job.name} again.")
    return migration


def _prepare(conn: Connection, job: _Cutover) -> dict[int, Legacy]:
    """Everything that needs no lock on the legacy tables: consent, views, reverse capture, rights."""
    migration = job.migration
    for source in migration.sources:
        run(conn, "migration/cutover_freeze", relation=source.relation)
    if not job.is_rehearsal:
        require_verdict(conn, job.name, STEP, job.declaration)
        _look_for_approval(conn, job)
    require_generation(conn, migration)
    run(conn, "migration/carry_mark")
    legacy = {source.id: read_legacy(conn, source) for source in migration.sources}
    for source in migration.sources:
        create_view(conn, migration, source, job.policy.sources[str(source.relation)], legacy[source.id])
    install_reverse_capture(conn, migration)
    return legacy


def _lock(conn: Connection, job: _Cutover) -> None:
    """Take every legacy table in declared order, all within LOCK_MS: nobody waits longer than that for a failed attempt."""
    deadline = time.monotonic() + LOCK_MS / 1000
    for place, source in enumerate(job.migration.sources):
        left_ms = max(1, round((deadline - time.monotonic()) * 1000))
        run(conn, "core/timeouts", **Kind.DDL.value._replace(lock_ms=left_ms)._asdict(), is_local=True)
        run(conn, "migration/cutover_lock", relation=source.relation)
        if place == 0:
            job.clock.locked_at = time.monotonic()
    run(conn, "core/timeouts", **Kind.DDL.value._replace(lock_ms=LOCK_MS)._asdict(), is_local=True)


@contextmanager
def _planned_once(conn: Connection) -> Iterator[None]:
    """Let the server keep the plans of the statements in the block; such a statement is one command, as all of these are."""
    run(conn, "migration/cutover_plan_once")
    conn.prepare_threshold = 0
    try:
        yield
    finally:
        conn.prepare_threshold = None


def _drain_once(conn: Connection, job: _Cutover, attached: Sequence[Bounds], applied: _Applied) -> int:
    """Apply what is in the log now, noting keys and times; return how many entries there were."""
    captured = {source.id: _captured(conn, source) for source in job.migration.sources}
    for source in job.migration.sources:
        if captured[source.id]:
            drain_batch(conn, job.migration, source, attached)
            applied.setdefault(source.id, []).extend(captured[source.id])
    return sum(len(entries) for entries in captured.values())


def _drain_while_open(conn: Connection, job: _Cutover, attached: Sequence[Bounds]) -> _Applied:
    """Apply what has come in while the views were made; the application still writes, so the comparison says nothing yet.

    It is made all the same: every statement that the locked part needs has its plan then.
    """
    for source in job.migration.sources:
        run(conn, "core/wait_for_work", work=f"drain:{job.name}:{source.code}")
    applied: _Applied = {}
    for _ in range(OPEN_ROUNDS):
        if _drain_once(conn, job, attached, applied) <= VERY_FEW_KEYS:
            break
    _differing(conn, job.migration, applied)
    return applied


def _require_few(conn: Connection, job: _Cutover) -> None:
    """Refuse to apply much while everybody waits: asked again with the locks, which a bulk load may have held until then."""
    waiting = queue_length(conn, job.name)
    if waiting > MOST_LEFT:
        raise CutoverBehind(job.name, waiting)


def _require_covered(conn: Connection, job: _Cutover) -> None:
    """Refuse where this transaction has put more into quarantine than was approved; asked before the locks too, for its plan."""
    if job.is_rehearsal:
        return
    approved = read_open(conn, job.name)
    why_not = why_invalid(approved, replace(approved.state, quarantined_rows=_quarantined(conn, job)))
    if why_not:
        raise ApprovalMissing(job.name, why_not, f"Run migrate for {job.name} to ask for it.")


def _apply_rest(conn: Connection, job: _Cutover, attached: Sequence[Bounds], applied: _Applied) -> None:
    """Apply what came in until the locks were had, and compare every row that this transaction has applied."""
    for _ in range(MOST_ROUNDS):
        if not _drain_once(conn, job, attached, applied):
            break
    else:
        raise NotReady(job.name, "captured changes wait for partitions", f"Run create_partitions and backfill for {job.name}.")
    job.clock.drained = sum(len(entries) for entries in applied.values())
    differing = _differing(conn, job.migration, applied)
    if differing:
        raise DrainDiffers(job.name, len(differing), ", ".join(differing[:5]))


def _captured(conn: Connection, source: Source) -> list[Captured]:
    return [(row["key"], row["old_time"]) for row in fetch(conn, "migration/cutover_captured", source_id=source.id)]


def _differing(conn: Connection, migration: Registered, applied: _Applied) -> list[str]:
    """Return the applied keys whose rows are not the same on both sides; the target's are looked up together."""
    chosen = [source for source in migration.sources if applied.get(source.id)]
    facts = {source.id: _facts(conn, migration, source, applied[source.id]) for source in chosen}
    places = [place for source in chosen for place in select(conn, "migration/cutover_places", facts[source.id])]
    if not places:
        return []
    read_rows(conn, migration, [(place["key"], place["event_time"]) for place in places])
    rows = {source: select(conn, "migration/cutover_differences", facts[source.id]) for source in chosen}
    return [f"{source.relation} {row['key']}" for source, found in rows.items() for row in found]


def _facts(conn: Connection, migration: Registered, source: Source, captured: Sequence[Captured]) -> dict[str, Any]:
    """Return what the statements about applied keys take between them."""
    return {
        **target_parts(conn, migration),
        "legacy": source.relation,
        "key": source.key_column,
        "key_type": source.key_type,
        "forward": source.forward.name,
        "owns": source.owns.name,
        "source_id": source.id,
        "code": source.code,
        "span_from": migration.span_from,
        "span_to": migration.span_to,
        "keys": [key for key, _ in captured],
        "times": [time for _, time in captured],
    }


def _swap(conn: Connection, job: _Cutover, legacy: Mapping[int, Legacy]) -> None:
    """Change the names, and record it."""
    carry_forward(conn, job.migration)
    for source in job.migration.sources:
        _swap_names(conn, source, legacy[source.id])
    dependants = [name for source in job.migration.sources for name in _repoint(conn, job, source, legacy[source.id])]
    before = fetch_one(conn, "migration/setting_read", name=job.policy.toggle)["value"]
    granted = _grant(conn, job)
    run(conn, "migration/setting_write", name=job.policy.toggle, value="true")
    close(conn, job.name, "the cutover was done")
    run(
        conn,
        "migration/cutover_record",
        migration=job.name,
        setting_before=before,
        granted=json.dumps(granted),
        dependants=json.dumps(dependants),
        drained=job.clock.drained,
        locked_ms=job.clock.lock_ms,
    )
    run(conn, "migration/notify_pgrst")


def _swap_names(conn: Connection, source: Source, legacy: Legacy) -> None:
    """Put the table aside, its triggers at rest and its sequence free, and give its name to the view."""
    remove_capture(conn, source)
    states = {trigger.name: trigger.state for trigger in legacy.triggers if trigger.state != "D"}
    for trigger in states:
        run(conn, "migration/cutover_disable_trigger", relation=source.relation, trigger=trigger)
    facts = legacy.facts
    if facts["sequence"] and not facts["is_identity"]:
        sequence = Relation(facts["sequence_schema"], facts["sequence_name"])
        run(conn, "migration/cutover_free_sequence", sequence=sequence)
    former = {"former_triggers": json.dumps(states), "former_sequence": facts["sequence"]}
    run(conn, "migration/cutover_note_source", source_id=source.id, **former)
    run(conn, "migration/cutover_rename_table", relation=source.relation, name=source.aside)
    run(conn, "migration/cutover_rename_view", view=provisional(source), name=source.relation.name)


def _repoint(conn: Connection, job: _Cutover, source: Source, legacy: Legacy) -> list[str]:
    """Let the declared dependants read the view; one that has come since the tables were looked at ends the attempt."""
    present = {dependant.name for dependant in list_dependants(conn, source.relation_oid)}
    new = present - {dependant.name for dependant in legacy.dependants}
    if new:
        raise SourceChanged(str(source.relation), f"{', '.join(sorted(new))} depends on it now")
    ways = job.policy.sources[str(source.relation)].dependants
    chosen = [dependant for dependant in legacy.dependants if ways.get(dependant.name) == "recreate"]
    repoint(conn, chosen, source.relation)
    return [dependant.name for dependant in chosen]


def _missing_rights(conn: Connection, migration: Registered, policy: Migration) -> list[dict[str, Any]]:
    """Return the declared rights that are not there yet, the use of the target's schema among them."""
    wanted = [(role, right) for role, rights in policy.grants.items() for right in ("usage", *rights)]
    target = migration.target.relation
    roles, privileges = [role for role, _ in wanted], [right for _, right in wanted]
    names = {"target": quoted(conn, target), "schema": quoted_name(target.schema)}
    return fetch(conn, "migration/cutover_missing_rights", **names, roles=roles, privileges=privileges)


def quoted_name(name: str) -> str:
    """Return a schema's name as text that the server reads as one name."""
    return '"' + name.replace('"', '""') + '"'


def _grant(conn: Connection, job: _Cutover) -> list[dict[str, str]]:
    """Give the application what the declaration says (M3); return what it did not have before."""
    target = job.migration.target.relation
    rows = _missing_rights(conn, job.migration, job.policy)
    missing = [{"role": row["role"], "privilege": row["privilege"]} for row in rows]
    for right in missing:
        if right["privilege"] == "usage":
            run(conn, "migration/cutover_grant_usage", schema=target.schema, role=right["role"])
        else:
            run(conn, "migration/cutover_grant", privilege=right["privilege"], target=target, role=right["role"])
    return missing
