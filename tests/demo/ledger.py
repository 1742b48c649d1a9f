"""The writer's own account of what it has committed, and the comparison of the tables with it.

Belongs here: the file (JSON lines, intent before each commit, outcome synced after it), the final state it implies, and
which rows no mapping keeps. Every row is kept as the server printed it (`to_jsonb(row)::text`), so it is compared exactly.
Keep out: writing to the tables, and the mapping: this account must be able to prove it wrong.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg

from tasks.core.names import Relation
from tests.demo.legacy import INFINITE_TIME, NULL_TIME, OUT_OF_SPAN, RESERVED_ID, TEXT_TOO_LONG, VALIDATION_ZONE
from tests.demo.statements import run
from tests.demo.tables import BY_RELATION, Table

LONGEST_TYPE = 500
_RESERVED = re.compile(r"[0-9a-f]{8}-0000-8000-[89ab][0-9a-f]{3}-[0-9a-f]{12}")

#: Expected rows: {table: {key: row as text, or None where it must be gone}}.
State = dict[str, dict[str, str | None]]
Place = tuple[str, str]


@dataclass(frozen=True)
class Span:
    """The times `[lower, upper)` that the new table keeps, and the declared zone of times that have none."""

    lower: datetime
    upper: datetime
    zone: str = VALIDATION_ZONE


@dataclass(frozen=True)
class Change:
    """One row's way through a transaction: its key before and after, None where there was or is none; its content after."""

    table: str
    before: str | None
    after: str | None
    row: str | None


@dataclass(frozen=True)
class Entry:
    """One transaction of the writer, or the reading of the rows it found when it began."""

    n: int
    kind: str
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class Difference:
    """A row that is not what the ledger says; `actual` holds every row found under the key."""

    table: str
    key: str
    expected: str | None
    actual: tuple[str, ...]


@dataclass
class Ledger:
    """What a ledger file says. `in_doubt` were killed between intent and outcome: either way is right."""

    zone: str = "UTC"
    found: list[Entry] = field(default_factory=list)
    committed: list[Entry] = field(default_factory=list)
    in_doubt: list[Entry] = field(default_factory=list)
    summaries: list[dict[str, Any]] = field(default_factory=list)


class LedgerFile:
    """The writing side; safe for threads. The order of intents is the order of changes of each row, since the row is locked."""

    def __init__(self, path: Path, zone: str) -> None:
        """Create or continue the file; a last line that a kill has cut is removed."""
        self._lock = threading.Lock()
        self._file = os.open(path, os.O_CREAT | os.O_APPEND | os.O_RDWR, 0o600)
        os.truncate(self._file, path.read_bytes().rfind(b"\n") + 1)
        self._n = max((line.get("n", 0) for line in _lines(path)), default=0)
        self._append({"kind": "header", "zone": zone})

    def note_found(self, changes: Iterable[Change]) -> None:
        """Record rows that were there before the writer touched them."""
        with self._lock:
            self._append({"n": self._next(), "kind": "found", "changes": [vars(change) for change in changes]})

    def intend(self, kind: str, changes: Iterable[Change]) -> int:
        """Record what a transaction has done, before its commit; a kill of the process keeps what was written."""
        with self._lock:
            n = self._next()
            self._append({"n": n, "kind": "intent", "operation": kind, "changes": [vars(change) for change in changes]})
            return n

    def settle(self, n: int, outcome: str) -> None:
        """Record `committed` or `failed` for an intent and sync the file."""
        self.note(outcome, n=n)
        os.fsync(self._file)

    def note(self, kind: str, **fields: object) -> None:
        """Append any other line."""
        with self._lock:
            self._append({"kind": kind, **fields})

    def close(self) -> None:
        """Sync and close the file."""
        os.fsync(self._file)
        os.close(self._file)

    def _next(self) -> int:
        self._n += 1
        return self._n

    def _append(self, line: Mapping[str, object]) -> None:
        os.write(self._file, (json.dumps(line, ensure_ascii=False) + "\n").encode())


def read_ledger(path: Path) -> Ledger:
    """Read a ledger, also one whose writer was killed or still writes."""
    ledger = Ledger()
    intents: dict[int, Entry] = {}
    for line in _lines(path):
        match line["kind"]:
            case "header":
                ledger.zone = line["zone"]
            case "found":
                ledger.found.append(_entry(line))
            case "intent":
                intents[line["n"]] = _entry(line)
            case "committed":
                ledger.committed.append(intents.pop(line["n"]))
            case "failed":
                del intents[line["n"]]
            case _:
                ledger.summaries.append(line)
    ledger.committed.sort(key=lambda entry: entry.n)
    ledger.in_doubt = list(intents.values())
    return ledger


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the whole lines; a last one that a kill has cut, or that is being written, is left out."""
    *whole, _ = path.read_bytes().split(b"\n")
    return map(json.loads, whole)


def _entry(line: dict[str, Any]) -> Entry:
    return Entry(line["n"], line.get("operation", line["kind"]), tuple(Change(**change) for change in line["changes"]))


def expected_state(ledger: Ledger) -> State:
    """Return what each row that the ledger knows must look like if no transaction in doubt has committed."""
    state: State = defaultdict(dict)
    for entry in ledger.found:
        for change in entry.changes:
            state[change.table].setdefault(str(change.after), change.row)
    for entry in ledger.committed:
        for table, key, row in _effects(entry):
            state[table][key] = row
    return dict(state)


def _effects(entry: Entry) -> Iterator[tuple[str, str, str | None]]:
    """Yield (table, key, row or None) in the order in which they took effect."""
    for change in entry.changes:
        if change.before is not None and change.before != change.after:
            yield change.table, change.before, None
        if change.after is not None:
            yield change.table, change.after, change.row


def check_against(
    conn: psycopg.Connection[Any], ledger: Ledger, relations: Mapping[str, Relation], span: Span | None = None
) -> list[Difference]:
    """Compare the rows of the ledger with the database and return every difference; one query per table, ledger's keys only.

    Args:
        conn: A connection that may read the relations; its time zone is left as it was.
        ledger: What `read_ledger` returned. A transaction in doubt may show whole or not at all.
        relations: For each table's name in the ledger where its rows are now: the table, a view, or the renamed table.
        span: Where the relations are views of the new table: rows that it cannot keep (see `refusal`) must be absent.
    """
    expected = {place: _visible(place[0], row, span) for place, row in _places(ledger).items()}
    found: dict[Place, Difference] = {}
    with conn.transaction():
        before = run(conn, "ledger/settings", zone=ledger.zone).fetchall()[0][0]
        for table, relation in relations.items():
            rows = {key: row for (name, key), row in expected.items() if name == table}
            found |= {(table, difference.key): difference for difference in _compare(conn, table, relation, rows)}
        run(conn, "ledger/settings", zone=before)
    explained = _explained(ledger, expected, found, span)
    return [difference for place, difference in found.items() if place not in explained]


def _places(ledger: Ledger) -> dict[Place, str | None]:
    """Return what stands under each key that the ledger knows, keys of transactions in doubt included."""
    doubtful = {(table, key): None for entry in ledger.in_doubt for table, key, _ in _effects(entry)}
    certain = {(table, key): row for table, rows in expected_state(ledger).items() for key, row in rows.items()}
    return {**doubtful, **certain}


def _compare(
    conn: psycopg.Connection[Any], table: str, relation: Relation, expected: Mapping[str, str | None]
) -> list[Difference]:
    if not expected:
        return []
    keys = [BY_RELATION[table].key(key) for key in expected]
    rows = run(conn, "ledger/compare", relation=relation, keys=keys, rows=list(expected.values()))
    return [Difference(table, key, row, tuple(actual or ())) for key, row, actual in rows]


def _explained(
    ledger: Ledger, expected: Mapping[Place, str | None], found: Mapping[Place, Difference], span: Span | None
) -> set[Place]:
    """Return the places whose difference is a transaction in doubt that did commit, and shows whole."""
    last = {(table, key): entry.n for entry in ledger.committed for table, key, _ in _effects(entry)}
    explained: set[Place] = set()
    for entry in ledger.in_doubt:
        effects = {(table, key): _visible(table, row, span) for table, key, row in _effects(entry)}
        open_effects = {place: row for place, row in effects.items() if last.get(place, 0) < entry.n}
        actual = {place: found[place].actual if place in found else _rows(expected[place]) for place in open_effects}
        if all(actual[place] == _rows(row) for place, row in open_effects.items()):
            explained |= open_effects.keys()
    return explained


def _rows(row: str | None) -> tuple[str, ...]:
    return () if row is None else (row,)


def _visible(table: str, row: str | None, span: Span | None) -> str | None:
    return None if row is None or (span and refusal(BY_RELATION[table], json.loads(row), span)) else row


def refusal(table: Table, row: Mapping[str, Any], span: Span) -> str | None:
    """Return why the new table cannot keep a legacy row, as the specification says it, or None; collisions are not looked for."""
    if table.has_uuid and _RESERVED.fullmatch(row["id"]):
        return RESERVED_ID
    if len(row.get("type", "")) > LONGEST_TYPE:
        return TEXT_TOO_LONG
    return _refused_time(row[table.time], span)


def _refused_time(text: str | None, span: Span) -> str | None:
    if text is None:
        return NULL_TIME
    if text in ("infinity", "-infinity"):
        return INFINITE_TIME
    try:
        time = datetime.fromisoformat(text)
    except ValueError:  # before Christ or after the year 9999
        return OUT_OF_SPAN
    instant = time if time.tzinfo else time.replace(tzinfo=ZoneInfo(span.zone))
    return None if span.lower <= instant < span.upper else OUT_OF_SPAN
