"""What the application does to the legacy tables: one transaction each, chosen by seeded random numbers.

Belongs here: the mix and its weights. Statements use the tables' names only, and nothing that a view cannot take (ON CONFLICT,
TRUNCATE, MERGE, foreign keys), so that the same application goes on when the names become views.
Keep out: connections, pace, retries and the ledger's file (`writer`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any, Protocol

from tests.demo.ledger import Change
from tests.demo.tables import CACHE, EVENTS, LETTERS, MONITORING, VALIDATION, Table

ROWS_PER_STATEMENT = 20
MOST_KEYS = 4_000

#: Event times that the old tables take and the new one must refuse.
REFUSED_TIMES = ("infinity", "-infinity", "1999-06-01 12:00:00", "2150-01-01 00:00:00")

#: JSON that a mapping must read by the rules, or leave alone.
ODD_VALUES = ('"12"', "12.0", "-5", "1e400", '"NaN"', "null", "[]", r'"\\u0000"', r'"\ud83d\ude00"', r'"O\u0027Brien \\ \""')

#: How often each table is chosen.
TABLE_WEIGHTS = {MONITORING: 30, VALIDATION: 12, CACHE: 18, EVENTS: 25, LETTERS: 15}


class Session(Protocol):
    """What an operation needs of the writer's connection."""

    def run(self, name: str, **values: object) -> list[tuple[Any, ...]]:
        """Execute a statement of `sql/writer/` and return its rows."""
        ...

    def record(self, changes: Iterable[Change]) -> None:
        """Note what the transaction has done to rows."""
        ...

    def miss(self, table: Table, keys: Iterable[str]) -> None:
        """Note rows that the statement did not find: after cutover, those that the new table refused."""
        ...

    def wait(self, seconds: float) -> None:
        """Stay idle inside the transaction, unless the writer stops."""
        ...


Body = Callable[[Session], None]


@dataclass(frozen=True)
class Operation:
    """One transaction: what is done, and whether it is rolled back in the end."""

    kind: str
    body: Body
    rolls_back: bool = False


@dataclass
class Keys:
    """The rows that one thread alone changes, by table: what it was dealt, and what it has committed since."""

    _by_table: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def apply(self, changes: Iterable[Change]) -> None:
        """Follow a committed transaction; a row that keeps its key keeps its owner, also a shared one."""
        for change in changes:
            if change.before != change.after:
                self.forget(change.table, change.before)
                self.add(change.table, change.after)

    def add(self, table: str, key: str | None) -> None:
        """Own a row from now on; beyond a limit new ones are left alone."""
        owned = self._by_table[table]
        if key is not None and len(owned) < MOST_KEYS:
            owned.append(key)

    def forget(self, table: str, key: str | None) -> None:
        """Own a row no more."""
        if key in self._by_table[table]:
            self._by_table[table].remove(key)

    def choose(self, rng: Random, table: Table, most: int = 1) -> list[str]:
        """Return up to `most` different owned rows."""
        owned = self._by_table[str(table.relation)]
        return rng.sample(owned, min(most, len(owned)))


@dataclass(frozen=True)
class Mix:
    """Chooses operations for one thread. `shared` are dead letters that every thread counts retries on."""

    rng: Random
    keys: Keys
    lower: datetime
    upper: datetime
    refused_share: float = 0.05
    shared: Sequence[str] = ()

    def next(self) -> Operation:
        """Return the next operation; where no row is owned yet, some are inserted."""
        table = self.rng.choices(list(TABLE_WEIGHTS), list(TABLE_WEIGHTS.values()))[0]
        kind = self.rng.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        return WEIGHTED[kind](self, table) or self.insert_rows(table)

    def insert_one(self, table: Table) -> Operation:
        """One row whose key, and often time, the database gives."""
        data = document(self.rng)
        return Operation("insert one", lambda session: insert(session, table, f"{table.name}_insert", data=data))

    def insert_rows(self, table: Table, count: int = ROWS_PER_STATEMENT) -> Operation:
        """Rows with keys and times of the application's choice, over all days."""
        values = self._new_rows(table, count)
        return Operation(f"insert {count}", lambda session: insert(session, table, f"{table.name}_insert_rows", **values))

    def insert_explicit(self, table: Table) -> Operation:
        """One row with an explicit key."""
        return self.insert_rows(table, 1)

    def insert_large(self, _table: Table) -> Operation:
        """One event with a payload that is stored out of line."""
        data = document(self.rng, note=self.rng.randbytes(60_000).hex())
        return Operation("insert large", lambda session: insert(session, EVENTS, "events_insert", data=data))

    def set_payload(self, table: Table, most: int = 1) -> Operation | None:
        """An ordinary update; of a validation metric it also moves `updated_at`."""
        keys = self.keys.choose(self.rng, table, most)
        value = self.rng.randrange(5) if table is VALIDATION else self._payload(table)
        return self._update(f"update {most}", table, keys, table.payload, value)

    def set_payloads(self, table: Table) -> Operation | None:
        """One statement that updates many rows."""
        return self.set_payload(table, ROWS_PER_STATEMENT)

    def move_time(self, table: Table) -> Operation | None:
        """Another day for a row; sometimes a time that the new table refuses, or NULL where the column takes it."""
        keys = self.keys.choose(self.rng, table)
        return self._update("move time", table, keys, table.time, self._time(table, self.refused_share * 2))

    def change_key(self, table: Table) -> Operation | None:
        """Another key for a row."""
        keys = self.keys.choose(self.rng, table)
        new = table.new_key()
        return Operation("change key", lambda session: rekey(session, table, keys[0], str(new))) if keys else None

    def delete(self, table: Table) -> Operation | None:
        """One or some rows gone."""
        keys = self.keys.choose(self.rng, table, self.rng.choice((1, 1, 1, 3)))
        return Operation("delete", lambda session: delete(session, table, keys)) if keys else None

    def retry_shared(self, _table: Table) -> Operation | None:
        """One more retry of a letter that all threads count on, so two sessions meet on one row."""
        key = self.rng.choice(self.shared) if self.shared else None
        return Operation("retry shared", lambda session: update_letter(session, "retry_letter", key)) if key else None

    def retry(self, _table: Table) -> Operation | None:
        """One more retry of an own letter."""
        keys = self.keys.choose(self.rng, LETTERS)
        return Operation("retry", lambda session: update_letter(session, "retry_letter", keys[0])) if keys else None

    def work_queue(self, _table: Table) -> Operation | None:
        """Take a pending letter with FOR UPDATE SKIP LOCKED, recover it, and write an event about it."""
        keys, data = self.keys.choose(self.rng, LETTERS, ROWS_PER_STATEMENT), document(self.rng)
        return Operation("work queue", lambda session: work(session, keys, data)) if keys else None

    def call_function(self, _table: Table) -> Operation:
        """An event through the RPC function."""
        data = document(self.rng)
        return Operation("rpc", lambda session: call_record_event(session, data))

    def roll_back(self, table: Table) -> Operation:
        """Some of the above, undone."""
        others = [self.insert_rows(table), self.delete(table), self.set_payloads(table), self.change_key(table)]
        bodies = [other.body for other in others if other]
        return Operation("roll back", lambda session: in_turn(session, bodies), rolls_back=True)

    def stay_open(self, seconds: float) -> Operation:
        """A transaction that has written to two tables and stays open before it commits."""
        changed = self.set_payload(EVENTS) or self.insert_rows(EVENTS)

        def wait(session: Session) -> None:
            session.wait(seconds)

        bodies = [changed.body, self.insert_one(MONITORING).body, wait]
        return Operation("stay open", lambda session: in_turn(session, bodies))

    def _update(self, kind: str, table: Table, keys: list[str], column: str, value: object) -> Operation | None:
        return Operation(kind, lambda session: update(session, table, keys, column, value)) if keys else None

    def _payload(self, table: Table) -> str | None:
        return None if table is CACHE and self.rng.random() < 0.05 else document(self.rng)

    def _new_rows(self, table: Table, count: int) -> dict[str, object]:
        ids = [str(table.new_key()) for _ in range(count)]
        times = [self._time(table, self.refused_share / 5) for _ in range(count)]
        return {"ids": ids, "times": times, "data": document(self.rng)}

    def _time(self, table: Table, refused_share: float) -> str | None:
        """Return a time as text: local for a table without zone, else UTC; within the days unless a refused one is drawn."""
        if self.rng.random() < refused_share:
            return self.rng.choice((*REFUSED_TIMES, *([None] if table.has_nullable_time else [])))
        time = self.lower + timedelta(seconds=self.rng.uniform(0, (self.upper - self.lower).total_seconds()))
        return time.replace(tzinfo=None).isoformat() if table.has_local_times else time.isoformat()


def document(rng: Random, note: str = "from the writer") -> str:
    """Return a JSON object as text: parsed by the server alone, so that 12.0 and 1e400 stay what they are."""
    severity = rng.choice(("info", "info", "info", "warn", "ERROR", "critical", "unknown"))
    duration = rng.choice(ODD_VALUES) if rng.random() < 0.1 else str(rng.randrange(5000))
    return (
        f'{{"value": {rng.randrange(1000)}, "severity": "{severity}", "duration_ms": {duration}, "note": "{note}",'
        f' "session_id": "sess_{rng.randrange(500)}", "trace": "{rng.randbytes(rng.randrange(20, 60)).hex()}"}}'
    )


def insert(session: Session, table: Table, name: str, **values: object) -> None:
    """Run an insert and record its rows."""
    session.record(Change(str(table.relation), None, key, row) for key, row in session.run(name, **values))


def update(session: Session, table: Table, keys: list[str], column: str, value: object) -> None:
    """Set one column of some rows and record them."""
    ids = [table.key(key) for key in keys]
    rows = session.run("set_column", relation=table.relation, column=column, ids=ids, value=value)
    session.record(Change(str(table.relation), key, key, row) for key, row in rows)
    session.miss(table, set(keys) - {key for key, _ in rows})


def rekey(session: Session, table: Table, key: str, new: str) -> None:
    """Change a row's key and record it."""
    rows = session.run("change_key", relation=table.relation, id=table.key(key), new_id=table.key(new))
    session.record(Change(str(table.relation), key, after, row) for after, row in rows)
    session.miss(table, [] if rows else [key])


def delete(session: Session, table: Table, keys: list[str]) -> None:
    """Delete rows and record them."""
    rows = session.run("delete_rows", relation=table.relation, ids=[table.key(key) for key in keys])
    session.record(Change(str(table.relation), key, None, None) for (key,) in rows)
    session.miss(table, set(keys) - {key for (key,) in rows})


def update_letter(session: Session, name: str, key: str) -> None:
    """Run one of the letter's own updates and record it."""
    rows = session.run(name, id=LETTERS.key(key))
    session.record(Change(str(LETTERS.relation), key, key, row) for key, row in rows)
    session.miss(LETTERS, [] if rows else [key])


def work(session: Session, keys: list[str], data: str) -> None:
    """Recover one pending letter of `keys`, if there is one that nobody holds, and write an event."""
    for (taken,) in session.run("take_letter", ids=[LETTERS.key(key) for key in keys]):
        update_letter(session, "recover_letter", str(taken))
    insert(session, EVENTS, "events_insert", data=data)


def call_record_event(session: Session, data: str) -> None:
    """Call the RPC function and record the row that it has made."""
    ids = [key for (key,) in session.run("record_event", data=data)]
    rows = session.run("read_rows", relation=EVENTS.relation, ids=ids)
    session.record(Change(str(EVENTS.relation), None, key, row) for key, row in rows)


def in_turn(session: Session, bodies: Iterable[Body]) -> None:
    """Do one after the other in the same transaction."""
    for body in bodies:
        body(session)


WEIGHTED: dict[str, Callable[[Mix, Table], Operation | None]] = {
    "insert one": Mix.insert_one,
    "insert explicit": Mix.insert_explicit,
    "insert rows": Mix.insert_rows,
    "insert large": Mix.insert_large,
    "update": Mix.set_payload,
    "update rows": Mix.set_payloads,
    "move time": Mix.move_time,
    "change key": Mix.change_key,
    "delete": Mix.delete,
    "retry": Mix.retry,
    "retry shared": Mix.retry_shared,
    "work queue": Mix.work_queue,
    "rpc": Mix.call_function,
    "roll back": Mix.roll_back,
}

#: How often each operation is chosen, of 1,000.
WEIGHTS = {
    "insert one": 190, "insert explicit": 60, "insert rows": 45, "insert large": 2, "update": 230, "update rows": 25,
    "move time": 90, "change key": 50, "delete": 110, "retry": 50, "retry shared": 45, "work queue": 35, "rpc": 28,
    "roll back": 40,
}  # fmt: skip
