"""Apply the capture log: each captured key's row is read as it is now, mapped, and written to the target or to quarantine.

Belongs here: one batch in one transaction, collisions between sources, and draining until little is left (design 5). Only
this module writes to attached partitions before the cutover (docs/decisions/0002).
Keep out: filling the log (`capture`, `copy`). A batch is exact because a change that it does not see is still in the log.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.core.connect import Connection, Kind
from tasks.core.ledger import Run, unit
from tasks.core.sqlfiles import fetch, fetch_one, run
from tasks.migration.registry import Registered, Source
from tasks.migration.rows import Place, Written, write_rows
from tasks.partitions.bounds import Bounds

#: Keys of one transaction; 2,000 to 10,000 apply fastest (docs/benchmarks.md).
BATCH_KEYS = 5_000


@dataclass(frozen=True)
class Batch:
    """What one transaction of a drain did; `last_seq` is where the next one goes on, None where the log ended.

    `requeued` entries were put back by the batch itself: rows that must be judged again, of this source or another.
    """

    looked_at: int = 0
    taken: int = 0
    written: int = 0
    refused: int = 0
    requeued: int = 0
    last_seq: int | None = None


def drain_source(
    started: Run, migration: Registered, source: Source, attached: Sequence[Bounds], after: int = 0
) -> Batch | None:
    """Apply one batch of `source`'s log in a unit of `started`; None where another session drains this source.

    Entries whose old or present time lies in the span but in none of `attached` stay. Locks: ROW EXCLUSIVE on the target
    and the partitions written. Raises MappingDefect naming a row that is neither written nor refused with a reason.
    """
    with unit(started, kind=Kind.BULK, group=migration.subject) as conn:
        if not fetch_one(conn, "migration/try_transaction_lock", subject=f"drain:{migration.name}:{source.code}")["taken"]:
            return None
        return drain_batch(conn, migration, source, attached, after=after)


def drain_batch(
    conn: Connection,
    migration: Registered,
    source: Source,
    attached: Sequence[Bounds],
    *,
    after: int = 0,
    limit: int = BATCH_KEYS,
) -> Batch:
    """Apply one batch in the caller's transaction, which alone drains this source; see `drain_source`."""
    run(conn, "migration/prefer_keys")
    span = fetch_one(conn, "migration/lock_span_shared", target=migration.subject)
    place = Place(conn, migration.target, source, attached, (span["lower"], span["upper"]))
    found = _take(place, after, limit)
    done, requeued = _apply(place, migration, found) if found["taken"] else (Written(), 0)
    last = found["last_seq"] if found["looked_at"] == limit else None
    return Batch(found["looked_at"], found["taken"], done.written, done.refused, requeued, last)


def _take(place: Place, after: int, limit: int) -> dict[str, Any]:
    source = place.source
    names = {**place.legacy_names, "time": source.time_column, "key_type": source.key_type}
    values = {**place.spanned, "source_id": source.id, "zone": source.zone, "attached": place.covered}
    return fetch_one(place.conn, "migration/take_keys", **names, **values, after=after, limit=limit)


def _apply(place: Place, migration: Registered, found: dict[str, Any]) -> tuple[Written, int]:
    source = place.source
    pairs = {"keys": found["pair_keys"], "instants": found["pair_instants"], "code": source.code}
    names = {**place.target_names, "key_type": source.key_type}
    first = found["first_instant"]
    if first is not None:
        run(place.conn, "migration/delete_target_rows", **names, **pairs, first_instant=first, owns=source.owns)
    run(place.conn, "migration/delete_quarantined", source_id=source.id, keys=found["keys"])
    done = write_rows(place, found["keys"])
    requeued = _settle(place, migration, done.unwritten) if done.unwritten else 0
    losers = fetch(place.conn, "migration/find_losers", **names, **pairs, source_id=source.id)
    return done, requeued + (_release(place, losers) if losers else 0)


def _release(place: Place, losers: Sequence[Mapping[str, Any]]) -> int:
    """Where a winner has gone from its place, the losers are judged anew; return how many were queued."""
    columns = {f"{name}s": [loser[name] for loser in losers] for name in ("source_id", "key", "target_key", "instant")}
    ends = {"first_instant": min(columns["instants"]), "last_instant": max(columns["instants"])}
    names = {**place.target_names, "id_type": place.target.id_type}
    return run(place.conn, "migration/release_losers", **names, **columns, **ends).rowcount


def _settle(place: Place, migration: Registered, keys: Sequence[str]) -> int:
    """Settle collisions of accepted rows by declared order: earlier sources keep their place, later ones give way (M2).

    Whatever is neither written nor quarantined then (the other row has just gone, or is our own, changed meanwhile) goes
    back into the log and is judged by a later batch.
    """
    ours = place.source
    later = [source for source in migration.sources if source.position > ours.position]
    requeued = sum(_evict(place, loser, keys) for loser in later)
    left = list(write_rows(place, list(keys)).unwritten if later else keys)
    for winner in (source for source in migration.sources if source.position < ours.position):
        left = _lose(place, left, winner)
    left = _lose(place, left, None)
    if left:
        requeued += run(place.conn, "migration/enqueue_keys", source_id=ours.id, keys=left).rowcount
    return requeued


def _evict(place: Place, loser: Source, keys: Sequence[str]) -> int:
    """Delete a later source's rows where ours come first and queue their keys; return how many."""
    ours = place.source
    names = {**place.target_names, **place.legacy_names, "key_type": ours.key_type, "forward": ours.forward}
    losing = {"loser_owns": loser.owns, "loser_backward": loser.backward, "loser_key": loser.key_column}
    values = {**place.spanned, "keys": list(keys), "loser_id": loser.id}
    return run(place.conn, "migration/evict_rows", **names, **losing, **values).rowcount


def _lose(place: Place, keys: Sequence[str], winner: Source | None) -> list[str]:
    """Quarantine what collides with rows of `winner`, or of no source; return the keys that do not."""
    if not keys:
        return []
    ours = place.source
    names = {**place.target_names, **place.legacy_names, "key_type": ours.key_type, "forward": ours.forward}
    held = {"holder_owns": (winner or ours).owns, "is_owned": winner is not None, "reason": collision_reason(winner)}
    values = {**place.spanned, "source_id": ours.id, "keys": list(keys)}
    lost = {row["key"] for row in fetch(place.conn, "migration/quarantine_collisions", **names, **held, **values)}
    return [key for key in keys if key not in lost]


def collision_reason(winner: Source | None) -> str:
    """Return the reason of a collision: the place is held by a row of `winner`, or of no source."""
    return f"collision with {winner.relation}" if winner else "collision with a row of no source"
