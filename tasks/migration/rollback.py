"""The way back: the legacy tables take their names again, with everything that was written since the cutover (M6).

Belongs here: the three ways, the plan that a dry run shows, the transaction of a rollback by rename, what it restores.
Keep out: carrying rows back (`reverse`), the views (`views`), taking out of the target what came in (`remove`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from tasks.core.connect import Connection, Kind, transaction, with_lock_retries
from tasks.core.declaration import Declaration, Migration
from tasks.core.errors import Permanent, Retryable, UnsuitableRelation
from tasks.core.ledger import CREATION, RUN, Deferred, Run, enter_unit, run_exclusively, unit
from tasks.core.names import Relation
from tasks.core.parameters import Safety
from tasks.core.settings import switch
from tasks.core.sqlfiles import fetch, fetch_one, run
from tasks.migration.cutover import BUDGET_S, LOCK_MS, read_migration
from tasks.migration.registry import Registered, Source
from tasks.migration.remove import MOST_NAMED, OnProgress, Refused, Removal, Removing, plan_removal, remove
from tasks.migration.reverse import Carried, carry_batch, carry_nearly_all, compose_owners, remove_reverse_capture
from tasks.migration.views import Dependant, counter_of, drop_view, list_dependants, provisional, repoint
from tasks.partitions.archive_proof import parquet_module

FLOW = "roll_back"
Way = Literal["rename", "toggle", "complete"]
#: Changes that may be left to carry while nobody reads or writes: about a second.
MOST_LEFT = 20_000
#: How a trigger's state in pg_trigger is set again.
STATES = {"O": "enable", "A": "enable always", "R": "enable replica"}


@dataclass(eq=False)
class AlreadyRetired(Permanent):
    """{migration} cannot go back: its legacy tables were archived and dropped. {remedy} Nothing was changed."""

    migration: str
    remedy: str = (
        "Their Parquet files and manifests are named in maintenance.retirement; way toggle still turns the toggle off."
    )


@dataclass(eq=False)
class CarryBehind(Retryable):
    """{migration} cannot go back now: {waiting} changes of {target} wait to be carried back, and all readers and writers would
    stand still for as long as that takes. Turn the schedule of backfill/drain on or let the application write less, and run
    again; nothing was changed but what was carried."""

    migration: str
    waiting: int
    target: str


@dataclass(frozen=True)
class RollbackResult:
    """What a rollback does or has done. Of a plan, `waiting` changes would be carried back and `restored` rows written from
    quarantine; `refused_rows` stay in the target alone, the first of them named in `refused`."""

    migration: str
    outcome: Literal["planned", "rolled back", "removed", "nothing to roll back", "toggled"]
    writes: dict[str, int] = field(default_factory=dict[str, int])
    waiting: int = 0
    carried: int = 0
    written: int = 0
    deleted: int = 0
    restored: int = 0
    refused_rows: int = 0
    refused: tuple[Refused, ...] = ()
    dependants: tuple[str, ...] = ()
    lock_ms: int = 0
    attempts: int = 0
    #: The toggle that the way of that name turns off, and whether this process's environment overrides it.
    toggle: str | None = None
    overridden: bool = False
    #: What the way complete takes out of the target.
    removal: Removal | None = None


@dataclass
class _Clock:
    attempts: int = 0
    locked_at: float = 0.0
    carried: Carried = field(default_factory=Carried)
    restored: int = 0


@dataclass(frozen=True)
class _Rollback:
    """One run's fixed facts."""

    started: Run
    migration: Registered
    policy: Migration
    clock: _Clock = field(default_factory=_Clock)

    @property
    def name(self) -> str:
        """The migration's name."""
        return self.migration.name


def roll_back(
    name: str,
    declaration: Declaration,
    as_of: datetime,
    *,
    way: Way = "rename",
    safety: Safety | None = None,
    on_progress: OnProgress | None = None,
    flow_run_id: str | None = None,
) -> RollbackResult | Deferred:
    """Put the legacy tables of migration `name` back under their names; without `safety.apply` say what that would do.

    Changes are carried back while the application goes on; then, for moments, ACCESS EXCLUSIVE on the views and on the
    target, each attempt at most 300 ms. The way toggle changes the settings row alone and locks nothing. The way complete
    goes on to archive and take out what the migration brought into the target, at any phase, as of `as_of`: see
    `remove`. Raises AlreadyRetired, MissingRelation, DependantStays, CarriedAmiss, CarryBehind, LockBusy, and what
    `remove` raises (M6).
    """
    policy, is_applied = declaration.migration(name), safety is not None and safety.apply
    if way == "toggle":
        return _turn_off(name, policy.toggle, is_applied=is_applied)

    def work(started: Run) -> RollbackResult:
        migration = read_migration(name)
        if migration.phase == "retired":
            raise AlreadyRetired(name)
        job = _Rollback(started, migration, policy)
        if way == "complete":
            at_most = safety.at_most if safety else None
            facts = (as_of, at_most, on_progress)
            return _complete(
                job, Removing(replace(started, subject=migration.subject), migration, *facts), is_applied=is_applied
            )
        if migration.phase != "cut_over":
            return RollbackResult(name, "nothing to roll back")
        plan = _plan(job)
        return _carry_out(job, plan) if is_applied else plan

    overdue_after = declaration.flow(FLOW).overdue_after
    return run_exclusively(FLOW, name, work, overdue_after=overdue_after, group=policy.target, flow_run_id=flow_run_id)


def _complete(job: _Rollback, removing: Removing, *, is_applied: bool) -> RollbackResult:
    """After a cutover do all that the way rename does; then take out of the target what the migration brought.

    Without the extra that archives need nothing is begun.
    """
    planned = plan_removal(removing)
    if planned is None:
        return RollbackResult(job.name, "nothing to roll back")
    parquet_module()
    is_cut_over = job.migration.phase == "cut_over"
    plan = replace(_plan(job) if is_cut_over else RollbackResult(job.name, "planned"), removal=planned)
    if not is_applied:
        return plan
    done = _carry_out(job, plan) if is_cut_over else plan
    removed = remove(replace(removing, migration=read_migration(job.name)))
    return replace(done, outcome="removed", removal=removed)


def _turn_off(name: str, toggle: str, *, is_applied: bool) -> RollbackResult:
    """Turn the toggle off, whatever the phase and whoever holds the run lock: the quickest way waits for nobody.

    The settings row says when and by whom; no run is recorded.
    """
    is_overridden = switch(toggle) is not None
    with transaction(Kind.READ) as conn:
        if not fetch_one(conn, "core/setting_on", name=toggle)["is_on"]:
            return RollbackResult(name, "nothing to roll back", toggle=toggle, overridden=is_overridden)
        if is_applied:
            run(conn, "migration/setting_write", name=toggle, value="false")
    return RollbackResult(name, "toggled" if is_applied else "planned", toggle=toggle, overridden=is_overridden)


def _plan(job: _Rollback) -> RollbackResult:
    """Look at everything that a rollback would touch; reads only."""
    with transaction(Kind.READ) as conn:
        backlog = fetch_one(conn, "migration/carry_backlog", migration=job.name)
        restored = fetch_one(conn, "migration/rollback_count_quarantined", migration=job.name)["rows"]
        dependants = [d.name for source in job.migration.sources for d in _dependants(conn, source)]
        return RollbackResult(
            job.name,
            "planned",
            writes={str(source.relation): _writes(conn, source) for source in job.migration.sources},
            waiting=backlog["waiting"],
            restored=restored,
            dependants=tuple(dependants),
            **_refused(conn, job.name),
        )


def _writes(conn: Connection, source: Source) -> int:
    return fetch_one(conn, "migration/rollback_writes", counter=counter_of(source))["writes"]


def _refused(conn: Connection, name: str) -> dict[str, Any]:
    rows = fetch(conn, "migration/rollback_refused", migration=name, limit=MOST_NAMED)
    named = tuple(Refused(row["target_key"], row["event_time"], row["reason"]) for row in rows)
    return {"refused_rows": rows[0]["total"] if rows else 0, "refused": named}


def _dependants(conn: Connection, source: Source) -> tuple[Dependant, ...]:
    """Return what reads the view under the old name; UnsuitableRelation where there is no view or no table aside."""
    names = {"schema": source.relation.schema, "name": source.relation.name, "aside": source.aside}
    found = fetch_one(conn, "migration/rollback_read_view", **names, relation_oid=source.relation_oid)
    if not found["is_view"] or not found["is_aside"]:
        reason = (
            "it is no longer the view that the cutover has put there"
            if not found["is_view"]
            else (f"its legacy table is no longer called {source.aside}")
        )
        raise UnsuitableRelation(
            str(source.relation), reason, "Put the names back as the cutover left them; nothing was changed."
        )
    return list_dependants(conn, found["view_oid"])


def _carry_out(job: _Rollback, plan: RollbackResult) -> RollbackResult:
    """Carry back until little is left, then change the names in one transaction."""
    with unit(job.started, kind=Kind.DDL, group=job.migration.subject) as conn:
        run(conn, "migration/carry_again", migration=job.name)
    before = carry_nearly_all(job.started, job.migration, job.policy)
    views = ", ".join(str(source.relation) for source in job.migration.sources)
    refused = with_lock_retries(views, "roll back", lambda conn: _attempt(conn, job), budget_s=BUDGET_S)
    lock_ms = round((time.monotonic() - job.clock.locked_at) * 1000)
    total = before + job.clock.carried
    counts = {"carried": total.keys, "written": total.written, "deleted": total.deleted, "restored": job.clock.restored}
    done = replace(plan, outcome="rolled back", waiting=0, lock_ms=lock_ms, attempts=job.clock.attempts, **counts, **refused)
    job.started.detail.update(lock_ms=lock_ms, attempts=job.clock.attempts, refused=done.refused_rows, **counts)
    return done


def _attempt(conn: Connection, job: _Rollback) -> dict[str, Any]:
    job.clock.attempts += 1
    job.clock.carried, job.clock.restored = Carried(), 0
    enter_unit(conn, job.started, group=job.migration.subject)
    run(conn, "core/wait_for_work", work=RUN + CREATION + job.migration.subject)
    run(conn, "migration/carry_mark")
    waiting = fetch_one(conn, "migration/carry_backlog", migration=job.name)["waiting"]
    if waiting > MOST_LEFT:
        raise CarryBehind(job.name, waiting, job.migration.subject)
    dependants = {source.id: _dependants(conn, source) for source in job.migration.sources}
    _lock(conn, job)
    _carry_rest(conn, job)
    refused = _refused(conn, job.name)
    _restore(conn, job, dependants)
    return refused


def _lock(conn: Connection, job: _Rollback) -> None:
    """Take the views by taking their names, then the target: whoever wrote to it has committed, nobody writes from now on."""
    deadline = time.monotonic() + LOCK_MS / 1000
    for place, source in enumerate(job.migration.sources):
        _wait_at_most(conn, deadline)
        run(conn, "migration/cutover_rename_view", view=source.relation, name=provisional(source).name)
        if place == 0:
            job.clock.locked_at = time.monotonic()
    _wait_at_most(conn, deadline)
    run(conn, "migration/rollback_lock_target", target=job.migration.target.relation)
    _wait_at_most(conn, time.monotonic() + LOCK_MS / 1000)


def _wait_at_most(conn: Connection, deadline: float) -> None:
    left_ms = max(1, round((deadline - time.monotonic()) * 1000))
    run(conn, "core/timeouts", **Kind.DDL.value._replace(lock_ms=left_ms)._asdict(), is_local=True)


def _carry_rest(conn: Connection, job: _Rollback) -> None:
    """Carry what is left, and write the rows that only quarantine holds."""
    while True:
        batch = carry_batch(conn, job.migration, job.policy)
        if not batch.keys:
            break
        job.clock.carried += batch
    since = fetch_one(conn, "migration/cutover_read", migration=job.name)["cut_over_at"]
    for source in job.migration.sources:
        job.clock.restored += restore_quarantined(conn, source, since)


def restore_quarantined(conn: Connection, source: Source, since: object) -> int:
    """Write the rows that came in through the old name and only quarantine holds to the table aside; return how many."""
    facts = {"relation_oid": source.relation_oid, "key": source.key_column, "key_type": source.key_type}
    parts = fetch_one(conn, "migration/carry_source_parts", **facts)
    lists = {name: parts[name] for name in ("names", "restored", "changed", "excluded")}
    place = {"aside": source.relation.sibling(source.aside), "key": source.key_column}
    return run(conn, "migration/rollback_restore_quarantined", **place, **lists, source_id=source.id, since=since).rowcount


def _restore(conn: Connection, job: _Rollback, dependants: Mapping[int, Sequence[Dependant]]) -> None:
    """Give names, sequences, triggers and rights back, and record it."""
    target = job.migration.target
    for source in job.migration.sources:
        _restore_names(conn, source, dependants[source.id])
    remove_reverse_capture(conn, job.migration)
    if fetch_one(conn, "migration/carry_kept", migration=job.name)["found"]:
        types = {"id_type": target.id_type, "time_type": target.time_type}
        names = {"target": target.relation, "id": target.id_column, "time": target.time_column}
        owners = compose_owners(job.migration.sources)
        run(conn, "migration/rollback_delete_adopted", **names, **types, owners=owners, migration=job.name)
    stood = fetch_one(conn, "migration/cutover_read", migration=job.name)
    for right in stood["granted"]:
        _revoke(conn, target.relation, right["role"], right["privilege"])
    run(conn, "migration/setting_write", name=job.policy.toggle, value=stood["setting_before"] or "false")
    run(conn, "migration/close_capture", migration=job.name)
    run(conn, "migration/rollback_record", migration=job.name)
    run(conn, "migration/notify_pgrst")


def _restore_names(conn: Connection, source: Source, dependants: Sequence[Dependant]) -> None:
    aside = source.relation.sibling(source.aside)
    run(conn, "migration/cutover_rename_table", relation=aside, name=source.relation.name)
    repoint(conn, dependants, source.relation)
    drop_view(conn, provisional(source), source)
    former = fetch_one(conn, "migration/rollback_former", source_id=source.id)
    for trigger, state in former["former_triggers"].items():
        run(conn, "migration/rollback_restore_trigger", relation=source.relation, trigger=trigger, state=STATES[state])
    _own_sequence(conn, source)


def _own_sequence(conn: Connection, source: Source) -> None:
    """The sequence gave every key that nobody chose, before and after the cutover: it is above all of them already."""
    rows = fetch(conn, "migration/rollback_sequence", source_id=source.id)
    for row in rows:
        sequence = Relation(row["sequence_schema"], row["sequence_name"])
        run(conn, "migration/rollback_own_sequence", sequence=sequence, relation=source.relation, key=source.key_column)


def _revoke(conn: Connection, target: Relation, role: str, privilege: str) -> None:
    if privilege == "usage":
        run(conn, "migration/rollback_revoke_usage", schema=target.schema, role=role)
    else:
        run(conn, "migration/rollback_revoke", privilege=privilege, target=target, role=role)
