"""Rules about the server: wraparound, vacuum, sessions, slots, connections (A6).

Belongs here: when a figure of the server is a finding, and its remedy. Keep out: SQL, clocks. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from tasks.health.facts import (
    Facts,
    Finding,
    FreezeFacts,
    Level,
    Limits,
    PreparedFacts,
    ServerFacts,
    SessionFacts,
    SlotFacts,
    VacuumFacts,
)

#: At 2^31 the server stops taking writes; vacuum drops every other care at 1.6e9 (vacuum_failsafe_age).
FREEZE_CRITICAL = 1_500_000_000
#: Dead rows beyond so many times what starts autovacuum: it is blocked, off or too slow.
BEHIND = 3
OURS = "maintenance"


def judge(fact: Facts, as_of: datetime, limits: Limits) -> Iterator[Finding]:
    """Yield what is wrong with one fact about the server."""
    match fact:
        case ServerFacts():
            yield from _server(fact, limits)
        case FreezeFacts():
            yield from _freeze(fact)
        case VacuumFacts():
            yield from _vacuum(fact, limits)
        case SessionFacts():
            yield from _session(fact, as_of, limits)
        case PreparedFacts() if as_of - fact.prepared_at > limits.idle_in_transaction:
            text = f"prepared on {fact.prepared_at:%Y-%m-%d %H:%M} UTC by {fact.owner} and never ended: its locks stay, vacuum waits"
            remedy = f"rollback prepared '{fact.gid.replace(chr(39), chr(39) * 2)}';"
            yield Finding("critical", "prepared-transaction", "connections", fact.gid, text, remedy)
        case SlotFacts():
            yield from _slot(fact, limits)
        case _:
            pass


def _server(fact: ServerFacts, limits: Limits) -> Iterator[Finding]:
    used = fact.connections / max(fact.connection_limit, 1)
    if used >= limits.connections_used:
        level: Level = "critical" if used >= 0.95 else "warning"
        text = f"{fact.connections} of {fact.connection_limit} connections are in use ({used:.0%})"
        remedy = "select usename, application_name, state, count(*) from pg_stat_activity group by 1, 2, 3 order by 4 desc;"
        yield Finding(level, "connections", "connections", fact.database, text, remedy)
    if not fact.is_vacuumed:
        remedy = "alter system set autovacuum = on; alter system set track_counts = on; select pg_reload_conf();"
        text = "autovacuum is off: dead rows stay, statistics age, wraparound comes nearer"
        yield Finding("critical", "autovacuum-off", "vacuum", fact.database, text, remedy)
    if not fact.sees_sessions:
        text = "this role does not see other roles' sessions: long transactions and waits go unreported"
        yield Finding("warning", "blind", "connections", fact.role_name, text, f"grant pg_monitor to {fact.role_name};")


def _freeze(fact: FreezeFacts) -> Iterator[Finding]:
    ages = (
        ("transaction", fact.xid_age, fact.freeze_max_age),
        ("multixact", fact.multixact_age, fact.multixact_freeze_max_age),
    )
    for what, age, freeze_max_age in ages:
        # autovacuum freezes at freeze_max_age by itself; twice that means that it does not get through.
        if age >= FREEZE_CRITICAL or age >= 2 * freeze_max_age:
            level: Level = "critical" if age >= FREEZE_CRITICAL else "warning"
            text = f"its oldest {what} is {age:,} old; at 2,147,483,648 the server takes no more writes"
            remedy = f"vacuum (freeze, verbose) {fact.object};"
            if fact.kind == "database":
                remedy = f"Connect to {fact.object}, end its oldest transactions and slots, and run: vacuum (freeze, verbose);"
            yield Finding(level, "wraparound", "vacuum", f"{fact.kind} {fact.object}", text, remedy)


def _vacuum(fact: VacuumFacts, limits: Limits) -> Iterator[Finding]:
    if fact.dead < limits.dead_rows or fact.dead < BEHIND * fact.threshold:
        return
    last = f"{fact.last_vacuum:%Y-%m-%d %H:%M} UTC" if fact.last_vacuum else "never"
    text = f"{fact.dead:,} dead rows, autovacuum should start at {fact.threshold:,}; last vacuum: {last}"
    remedy = f"vacuum (analyze) {fact.relation};"
    if fact.is_switched_off:
        text += "; autovacuum is switched off for it"
        remedy = f"alter table {fact.relation} reset (autovacuum_enabled); vacuum (analyze) {fact.relation};"
    yield Finding("warning", "vacuum-debt", "vacuum", fact.relation, text, remedy)


def _session(fact: SessionFacts, as_of: datetime, limits: Limits) -> Iterator[Finding]:
    who = f"pid {fact.pid} ({fact.role_name}, {fact.application or 'no application name'})"
    open_for = as_of - fact.transaction_since
    idle_for = as_of - (fact.state_since or fact.transaction_since)
    end = f"select pg_terminate_backend({fact.pid});"
    if fact.state is not None and fact.state.startswith("idle in transaction") and idle_for > limits.idle_in_transaction:
        text = f"{who} is idle in a transaction for {_span(idle_for.total_seconds())}; last: {fact.query}"
        yield Finding("warning", "idle-in-transaction", "connections", f"pid {fact.pid}", text, end)
    elif open_for > limits.long_transaction:
        level: Level = "info" if (fact.application or "").startswith(OURS) else "warning"
        text = (
            f"{who} has a transaction open for {_span(open_for.total_seconds())}, vacuum keeps what it sees; now: {fact.query}"
        )
        yield Finding(level, "long-transaction", "connections", f"pid {fact.pid}", text, end)
    waits = as_of - (fact.query_since or fact.transaction_since)
    if fact.blocked_by and waits.total_seconds() > 60:
        holders = ", ".join(map(str, fact.blocked_by))
        text = f"{who} waits for a lock for {_span(waits.total_seconds())}, behind pid {holders}; wants: {fact.query}"
        remedy = f"select pg_terminate_backend({fact.blocked_by[0]});"
        yield Finding("warning", "blocked", "connections", f"pid {fact.pid}", text, remedy)


def _span(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.0f} min" if seconds >= 60 else f"{seconds:.0f} s"


def _slot(fact: SlotFacts, limits: Limits) -> Iterator[Finding]:
    kept = fact.wal_bytes or 0
    drop = f"select pg_drop_replication_slot('{fact.slot}');"
    if fact.wal_status == "lost":
        text = "its WAL is lost: whoever reads from it must start anew"
        remedy = "Stop its reader, which has to start anew with another slot; then drop it." if fact.is_active else drop
        yield Finding("critical", "lost-slot", "connections", fact.slot, text, remedy)
    elif fact.wal_status == "unreserved":
        text = "its WAL is unreserved: the next checkpoint may take it, and whoever reads from it must then start anew"
        reader = "Let its reader catch up" if fact.is_active else "Start its reader and let it catch up"
        remedy = f"{reader}, with a higher max_slot_wal_keep_size until it has; the slot recovers then."
        yield Finding("critical", "lost-slot", "connections", fact.slot, text, remedy)
    elif not fact.is_active:
        level: Level = "critical" if kept >= limits.slot_wal_bytes else "warning"
        text = f"nobody reads from it and {kept / 2**20:,.0f} MB of WAL are kept for it: the disk fills"
        yield Finding(level, "idle-slot", "connections", fact.slot, text, drop)
    elif kept >= limits.slot_wal_bytes:
        text = f"its reader is {kept / 2**20:,.0f} MB of WAL behind"
        yield Finding("warning", "slow-slot", "connections", fact.slot, text, "Look at the reader; the disk fills meanwhile.")
