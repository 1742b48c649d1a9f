"""Capture in the other direction: after cutover, what changes in the target is carried back to the legacy tables (M3, M6).

Belongs here: logging changes of the target, and carrying a batch of them back as the rows are then. Repeating does no harm.
A row goes to the source that owns it, else to the one that adopts it; what its table cannot hold is kept whole in
maintenance.carry_back. Keep out: the mapping's SQL, the cutover itself and the way back (`rollback`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import sql

from tasks.core import declaration as declared
from tasks.core.connect import Connection, Kind, transaction
from tasks.core.errors import Permanent
from tasks.core.ledger import Run, unit
from tasks.core.names import Relation
from tasks.core.sqlfiles import compose, fetch, fetch_one, is_there, load, run
from tasks.migration.registry import Registered, Source
from tasks.migration.views import quoted

#: Where the target's rows of one batch stand until the transaction ends; the files that read it name it too.
ROOM = Relation("pg_temp", "maintenance_carried")
#: Target keys carried back in one transaction.
BATCH_KEYS = 2_000

#: A row of the target by id and event time, both as text.
Place = tuple[str, str]


@dataclass(eq=False)
class CarriedAmiss(Permanent):
    """Carrying {migration} back wrote {expected} rows to {relation} and found {found} of them there. Nothing of this batch was
    kept; look for a trigger or rule on that table that changes what is written."""

    migration: str
    relation: str
    expected: int
    found: int


@dataclass(frozen=True)
class Carried:
    """What was carried back: rows written to and deleted from legacy tables, and those that none of them takes."""

    keys: int = 0
    written: int = 0
    deleted: int = 0
    refused: int = 0

    def __add__(self, other: Carried) -> Carried:
        """Add up two batches."""
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Carried(*(mine + theirs for mine, theirs in pairs))


def capture_function(migration: str) -> Relation:
    """Return the trigger function that logs changes of the target."""
    return Relation("maintenance", f"reverse_{migration}".encode()[:63].decode(errors="ignore"))


def install_reverse_capture(conn: Connection, migration: Registered) -> None:
    """Log every change of the target from this transaction on. Locks: SHARE ROW EXCLUSIVE on the target."""
    target, function = migration.target, capture_function(migration.name)
    names = {"target": target.relation, "id": target.id_column, "time": target.time_column}
    run(conn, "migration/reverse_install", function=function, migration=migration.name, **names)
    run(conn, "migration/close_functions", names=[function.name])


def remove_reverse_capture(conn: Connection, migration: Registered) -> None:
    """Stop logging changes of the target. Locks: ACCESS EXCLUSIVE on the target."""
    run(conn, "migration/reverse_remove", target=migration.target.relation)
    run(conn, "migration/drop_functions", names=[capture_function(migration.name).name])


def carry_back(
    started: Run, migration: Registered, policy: declared.Migration, *, until: int = 0, most_batches: int = 1_000
) -> Carried:
    """Carry changes of the target back until at most `until` are waiting; returns what was done.

    The caller holds the run lock of the target: two carriers could each write an older version. One transaction a
    batch. Locks: ROW EXCLUSIVE on the tables aside. Raises RunLost, LockBusy, CarriedAmiss (M3, M6).
    """
    with unit(started, kind=Kind.BULK, group=migration.subject) as conn:
        judge_queued(conn, migration)
    total = Carried()
    for _ in range(most_batches):
        with unit(started, kind=Kind.BULK, group=migration.subject) as conn:
            if fetch_one(conn, "migration/carry_backlog", migration=migration.name)["waiting"] <= until:
                return total
            total += carry_batch(conn, migration, policy)
    return total


def carry_nearly_all(started: Run, migration: Registered, policy: declared.Migration) -> Carried:
    """Carry changes back until a batch is left at most, or until more come than are carried; returns what was done.

    The caller's locks, errors and duties are those of `carry_back`.
    """
    total, before, waiting = Carried(), None, count_waiting(migration.name)
    while before is None or BATCH_KEYS < waiting < before:
        total += carry_back(started, migration, policy, most_batches=waiting // BATCH_KEYS + 1)
        before, waiting = waiting, count_waiting(migration.name)
    return total


def carry_forward(conn: Connection, migration: Registered) -> int:
    """Put the rows that a former way back has kept whole into the target again; return how many.

    Runs in the cutover's transaction, the legacy tables locked and drained. Kept rows whose legacy rows have changed since
    are forgotten (M6).
    """
    if not fetch_one(conn, "migration/carry_kept", migration=migration.name)["found"]:
        return 0
    batch = _Batch(conn, migration)
    bounds = {"span_from": migration.span_from, "span_to": migration.span_to}
    tables = ({**batch.of(source), "legacy": source.relation, **bounds} for source in migration.sources)
    restored = sum(_run(conn, "migration/carry_forward", values) for values in tables)
    _run(conn, "migration/carry_forget", batch.parts)
    return restored


def judge_queued(conn: Connection, migration: Registered) -> int:
    """Judge rows in quarantine anew where the span has risen past them or their place has become free; return how many left.

    Runs in the caller's transaction, after cutover; what returns to the target is logged and carried back like any row.
    """
    span = fetch_one(conn, "migration/lock_span_shared", target=migration.subject)
    stood = fetch(conn, "migration/cutover_read", migration=migration.name)
    if not stood:
        return 0
    since, batch = stood[0]["cut_over_at"], _Batch(conn, migration)
    bounds = {"span_from": span["lower"], "span_to": span["upper"], "since": since}
    columns = {"columns": migration.target.names, "mapped": ", ".join(f"f.{c.quoted}" for c in migration.target.columns)}
    return sum(_run(conn, "migration/judge_queued", {**batch.of(s), **bounds, **columns}) for s in migration.sources)


def count_waiting(migration: str) -> int:
    """Return how many changes of the target wait to be carried back."""
    with transaction(Kind.READ) as conn:
        return fetch_one(conn, "migration/carry_backlog", migration=migration)["waiting"]


def carry_batch(conn: Connection, migration: Registered, policy: declared.Migration, limit: int = BATCH_KEYS) -> Carried:
    """Carry the oldest changes in the caller's transaction: what is gone is deleted, what is there is written as it is now.

    A time in no partition is never carried as a deletion: such a row was retired, not deleted. A partition that retention
    has taken out and not dropped counts: a transaction that was open then may have changed it last.
    """
    taken = fetch(conn, "migration/carry_take", migration=migration.name, limit=limit)
    if not taken:
        return Carried()
    batch = _Batch(conn, migration, policy)
    found = batch.read([(row["key"], row["event_time"]) for row in taken])
    known = batch.take_known([row.place for row in found])
    free = [row.place for row in found if not row.is_present]
    run(conn, "migration/carry_release", migration=migration.name, **_lists(free))
    return Carried(keys=len(taken)) + batch.carry(found, known)


@dataclass(frozen=True)
class _Found:
    """What stands under one place of the target: whose it is, if it is there."""

    place: Place
    is_present: bool
    source_id: int | None
    is_adopted: bool


@dataclass
class _Batch:
    """One transaction's batch: the statements' keywords, made once."""

    conn: Connection
    migration: Registered
    policy: declared.Migration | None = None
    parts: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        """Ask the catalog once."""
        self.parts = target_parts(self.conn, self.migration)

    def read(self, places: Sequence[Place]) -> list[_Found]:
        """Read the rows of these places and say whose they are; places in no partition are left out."""
        read_rows(self.conn, self.migration, places, self.parts)
        _read_retired(self.conn, self.migration, self.parts)
        branches = {"owners": compose_owners(self.migration.sources), "adopters": self._adopters()}
        branches = {**branches, "parent": self.migration.subject}
        rows = select(self.conn, "migration/carry_classify", {**self.parts, **branches})
        return [_found(row) for row in rows if row["is_attached"]]

    def _adopters(self) -> sql.Composed:
        files = ((s.id, f"legacy/{self._mapping(s)}/adopts") for s in self.migration.sources)
        rules = ((number, compose(file, {})) for number, file in files if is_there(file))
        branches = (compose("migration/carry_adopter", {"adopts": rule, "source_id": number}) for number, rule in rules)
        return sql.SQL(" ").join(branches)

    def _mapping(self, source: Source) -> str:
        assert self.policy is not None  # noqa: S101 (who asks for adopters has given it)
        return self.policy.sources[str(source.relation)].mapping

    def take_known(self, places: Sequence[Place]) -> dict[Place, tuple[int | None, str | None]]:
        """Return source and legacy key of what was kept of rows at these places, and forget it."""
        rows = fetch(self.conn, "migration/carry_known", migration=self.migration.name, **_lists(places))
        return {(row["key"], row["event_time"]): (row["source_id"], row["legacy_key"]) for row in rows}

    def carry(self, found: Sequence[_Found], known: Mapping[Place, tuple[int | None, str | None]]) -> Carried:
        """Delete everywhere first, then write: a row that changes hands must not meet its former self."""
        total = Carried()
        for source in self.migration.sources:
            total += self._delete(source, found, known)
        for source in self.migration.sources:
            mine = {row.place: row for row in found if row.source_id == source.id}
            kept = {place: key for place, (owner, key) in known.items() if owner == source.id and key}
            total += self._write(source, mine, kept)
        homeless = [row.place for row in found if row.is_present and row.source_id is None]
        return total + self._refuse(homeless, "no legacy table takes it")

    def _delete(self, source: Source, found: Sequence[_Found], known: Mapping[Place, tuple[int | None, str | None]]) -> Carried:
        others = [row.place for row in found if row.source_id != source.id]
        keys = [key for place in others for owner, key in [known.get(place, (None, None))] if owner == source.id and key]
        values = self.of(source)
        deleted = _run(self.conn, "migration/carry_delete_known", {**values, "legacy_keys": keys}) if keys else 0
        if others:
            deleted += _run(self.conn, "migration/carry_delete", {**values, **_lists(others)})
        return Carried(deleted=deleted)

    def _write(self, source: Source, mine: Mapping[Place, _Found], kept: Mapping[Place, str]) -> Carried:
        if not mine:
            return Carried()
        keys = self._legacy_keys(source, mine, kept)
        rivals = self._rivals(source, list(mine), keys)
        refused = self._refuse(sorted(rivals), "its key in the legacy table belongs to another row")
        return refused + self._upsert(source, [place for place in mine if place not in rivals], keys)

    def _rivals(self, source: Source, places: Sequence[Place], keys: Mapping[Place, str]) -> set[Place]:
        """Return the places whose legacy key stands for another row that is still there; ids repeat in the target."""
        values = self.of(source)
        rows = select(self.conn, "migration/carry_rivals", {**values, **_lists(places, keys)})
        rivals = {(row["key"], row["event_time"]) for row in rows if row["is_rival"]}
        others = {(row["key"], row["event_time"]): (row["other_key"], row["other_time"]) for row in rows if row["other_key"]}
        if not others:
            return rivals
        alive = select(self.conn, "migration/carry_alive", {**values, **_lists(list(others.values()))})
        held = {(row["key"], row["event_time"]) for row in alive}
        return rivals | {place for place, other in others.items() if other in held}

    def _legacy_keys(self, source: Source, mine: Mapping[Place, _Found], kept: Mapping[Place, str]) -> dict[Place, str]:
        """Return the keys of adopted rows, whose ids do not say them: the one they had, else a new one from the sequence."""
        sequence = read_sequence(self.conn, source)
        adopted = [place for place, row in mine.items() if row.is_adopted and sequence]
        new = [place for place in adopted if place not in kept]
        drawn = fetch(self.conn, "migration/carry_new_keys", sequence=sequence, count=len(new)) if new else []
        keys = {place: row["key"] for place, row in zip(new, drawn, strict=True)}
        return {place: keys.get(place) or kept[place] for place in adopted}

    def _upsert(self, source: Source, places: Sequence[Place], keys: Mapping[Place, str]) -> Carried:
        """Write rows together; where the legacy table refuses one, halve them until it is found."""
        if not places:
            return Carried()
        try:
            with self.conn.transaction():
                return self._upsert_together(source, {**self.of(source), **_lists(places, keys)})
        except (psycopg.IntegrityError, psycopg.DataError, psycopg.errors.ProgramLimitExceeded) as error:
            if len(places) == 1:
                _run(self.conn, "migration/carry_delete", {**self.of(source), **_lists(places)})
                return self._refuse(places, f"{source.relation} refuses it: {error.diag.message_primary}")
        half = len(places) // 2
        return self._upsert(source, places[:half], keys) + self._upsert(source, places[half:], keys)

    def _upsert_together(self, source: Source, values: Mapping[str, Any]) -> Carried:
        written = _run(self.conn, "migration/carry_upsert", values)
        found = select(self.conn, "migration/carry_count", values)[0]["found"]
        if found != len(values["keys"]):
            raise CarriedAmiss(self.migration.name, str(source.relation), len(values["keys"]), found)
        _run(self.conn, "migration/carry_keep", values)
        return Carried(written=written)

    def _refuse(self, places: Sequence[Place], reason: str) -> Carried:
        if places:
            values = {**self.parts, **_lists(places), "reasons": [reason] * len(places)}
            _run(self.conn, "migration/carry_refuse", values)
        return Carried(refused=len(places))

    def of(self, source: Source) -> dict[str, Any]:
        """Return the keywords of statements about one source."""
        facts = {"relation_oid": source.relation_oid, "key": source.key_column, "key_type": source.key_type}
        lists = fetch_one(self.conn, "migration/carry_source_parts", **facts)
        names = {"forward": source.forward.name, "backward": source.backward.name, "owns": source.owns.name}
        aside = source.relation.sibling(source.aside)
        return {**self.parts, **facts, **lists, **names, "aside": aside, "source_id": source.id}


def target_parts(conn: Connection, migration: Registered) -> dict[str, Any]:
    """Return what statements about the target's rows take: its names, and lists of its columns from the catalog."""
    target, relation = migration.target, quoted(conn, migration.target.relation)
    names = {"id": target.id_column, "time": target.time_column}
    types = {"id_type": target.id_type, "time_type": target.time_type}
    lists = fetch_one(conn, "migration/carry_target_parts", target=relation, **names, **types)
    return {**lists, **names, **types, "target": target.relation, "target_name": relation, "migration": migration.name}


def read_rows(conn: Connection, migration: Registered, places: Sequence[Place], parts: Mapping[str, Any] | None = None) -> None:
    """Read the target's rows of these places into the temporary table maintenance_carried, until the transaction ends.

    One look-up for all that follows: planning a statement on every partition costs more than the rows. What stands in a
    partition that retention has taken out is not among them.
    """
    values = parts or target_parts(conn, migration)
    _run(conn, "migration/carry_make_room", values)
    run(conn, "migration/carry_clear", room=ROOM)
    _run(conn, "migration/carry_read", {**values, **_lists(list(dict.fromkeys(places)))})


def _read_retired(conn: Connection, migration: Registered, values: Mapping[str, Any]) -> None:
    """Add to what read_rows has read what stands in partitions that retention has taken out and not dropped."""
    for retired in fetch(conn, "migration/carry_retired", room=ROOM, parent=migration.subject):
        partition = Relation(retired.pop("schema"), retired.pop("name"))
        _run(conn, "migration/carry_read_retired", {**values, **retired, "partition": partition})


def compose_owners(sources: Sequence[Source]) -> sql.Composed:
    """Return the branches of a CASE that says which source owns the target row `u`."""
    branches = (compose("migration/carry_owner", {"owns": s.owns.name, "source_id": s.id}) for s in sources)
    return sql.SQL(" ").join(branches)


def _found(row: Mapping[str, Any]) -> _Found:
    is_adopted = row["owner"] is None and row["adopter"] is not None
    return _Found((row["key"], row["event_time"]), row["is_present"], row["owner"] or row["adopter"], is_adopted)


def _lists(places: Sequence[Place], keys: Mapping[Place, str] | None = None) -> dict[str, Any]:
    lists: dict[str, Any] = {"keys": [key for key, _ in places], "times": [time for _, time in places]}
    return {**lists, "legacy_keys": [keys.get(place) for place in places]} if keys is not None else lists


def _chosen(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: values[key] for key in load(name).placeholders}


def select(conn: Connection, name: str, values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Run a reading statement with the keywords that its file asks for."""
    return fetch(conn, name, **_chosen(name, values))


def _run(conn: Connection, name: str, values: Mapping[str, Any]) -> int:
    """Run a writing statement with the keywords that its file asks for; returns how many rows it wrote."""
    return run(conn, name, **_chosen(name, values)).rowcount


def read_sequence(conn: Connection, source: Source) -> str | None:
    """Return the sequence that gives a source's keys, as SQL; None where a function gives them."""
    return fetch_one(conn, "migration/carry_sequence", source_id=source.id)["sequence"]
