"""Find metadata outside the one standard shape, say why, and repair it in batches (D6).

Belongs here: counting by kind, examples without values, batches, validating a CHECK that was added NOT VALID.
Keep out: what the shape is and how a value is repaired (`sql/migrations/maintenance/0016_metadata.sql`), and the names of
tables (`maintenance.yaml`). A repair never loses a value: see `maintenance.repaired_metadata`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import psycopg

from tasks.core.connect import Connection, Kind, transaction, with_lock_retries
from tasks.core.declaration import Declaration, Metadata
from tasks.core.errors import MissingRelation, MissingRight, Permanent, UnsuitableRelation
from tasks.core.ledger import Deferred, Run, enter_unit, run_exclusively, unit
from tasks.core.names import Relation
from tasks.core.parameters import Safety
from tasks.core.sqlfiles import fetch, fetch_one, run

FLOW = "repair_metadata"
#: Examples of each kind; blocks that one batch looks through; rows that may refuse before a table is given up.
EXAMPLES, WINDOW_BLOCKS, REFUSALS = 3, 1024, 20
#: What a table's own rules and triggers answer to an update; it concerns a row, not the run.
REFUSED = (psycopg.IntegrityError, psycopg.DataError, psycopg.errors.RaiseException)

Progress = Callable[[str, int, int | None], None]


@dataclass(eq=False)
class RepairRefused(Permanent):
    """{count} rows of {table} could not be repaired and are as they were: {rows}. Repair what refuses them (a CHECK, a trigger) or
    the rows themselves, and run again; the other rows were repaired."""

    table: str
    count: int
    rows: str


@dataclass(eq=False)
class CheckRefused(Permanent):
    """{constraint} of {table} could not be validated: {reason}. It asks for more than the standard shape; all metadata is in that
    shape, and the constraint still holds for new rows alone."""

    table: str
    constraint: str
    reason: str


@dataclass(frozen=True)
class Check:
    """A CHECK on the column alone; one that is not valid holds for new rows only."""

    name: str
    is_valid: bool


@dataclass(frozen=True)
class Example:
    """A row by its key, and the keys and kinds of its metadata; never a value."""

    kind: str
    row: str
    outline: str


@dataclass(frozen=True)
class MetadataReport:
    """What one column holds outside the shape, by kind; `kept` is within it, seems odd and is never changed."""

    table: str
    column: str
    faults: Mapping[str, int] = field(default_factory=dict[str, int])
    kept: Mapping[str, int] = field(default_factory=dict[str, int])
    examples: tuple[Example, ...] = ()
    checks: tuple[Check, ...] = ()

    @property
    def rows(self) -> int:
        """Rows outside the shape."""
        return sum(self.faults.values())


@dataclass(frozen=True)
class MetadataResult:
    """What was found, and what became of it; `left` is found again by the next run, `validated` are constraints."""

    report: MetadataReport
    repaired: int = 0
    batches: int = 0
    left: int = 0
    validated: tuple[str, ...] = ()
    outcome: Literal["planned", "completed"] = "completed"


@dataclass(frozen=True)
class _Part:
    """A relation that holds rows: a leaf partition with the condition that leads to it, or the table itself."""

    oid: int
    schema: str
    name: str
    condition: str
    blocks: int

    @property
    def relation(self) -> Relation:
        return Relation(self.schema, self.name)


@dataclass
class _Work:
    """One run over one column."""

    table: Relation
    column: str
    policy: Metadata
    started: Run
    at_most: int
    on_progress: Progress
    between: Callable[[], None]
    key: Sequence[str] = ()
    total: int = 0
    repaired: int = 0
    batches: int = 0
    refused: list[str] = field(default_factory=list[str])


def repair_metadata_of(
    table: str,
    declaration: Declaration,
    safety: Safety,
    *,
    on_report: Callable[[MetadataReport], None] | None = None,
    on_progress: Progress | None = None,
    between: Callable[[], None] | None = None,
    flow_run_id: str | None = None,
) -> MetadataResult | Deferred:
    """Count what one declared column holds outside the standard shape; with `safety.apply` repair it, batch by batch (D6).

    `between` is called before each batch and may raise. A run that applies excludes others of its table and is deferred while a
    migration captures changes of it. Locks: ACCESS SHARE to count; ROW EXCLUSIVE and a batch of rows to repair; SHARE UPDATE
    EXCLUSIVE to validate a CHECK. Raises NotDeclared, MissingRelation, UnsuitableRelation, MissingRight, LockBusy, Overdue,
    RepairRefused, CheckRefused; committed batches stay.
    """
    column, policy = declaration.metadata_of(table)
    relation, show = Relation.parse(table), on_report or _say_nothing
    if not safety.apply:
        with _understood(table):
            _, report = _observe(relation, column)
        show(report)
        return MetadataResult(report, left=report.rows, outcome="planned")
    at_most = safety.at_most or policy.at_most_per_run

    def work(started: Run) -> MetadataResult | Deferred:
        hooks = (on_progress or _say_nothing, between or _say_nothing)
        with _understood(table):
            return _apply(_Work(relation, column, policy, started, at_most, *hooks), show)

    return run_exclusively(FLOW, table, work, overdue_after=declaration.flow(FLOW).overdue_after, flow_run_id=flow_run_id)


def _say_nothing(*_: object) -> None:
    """Stand in for whoever does not listen."""


def _observe(table: Relation, column: str) -> tuple[list[_Part], MetadataReport]:
    """Return the parts that hold rows outside the shape, and the report; each part is read in a transaction of its own."""
    facts, parts = _facts(table, column), _parts(table)
    faults, kept, faulty, examples = Counter[str](), Counter[str](), list[_Part](), list[Example]()
    for part in parts:
        found = _count(part, column, is_partition=part.relation != table)
        for row in found:
            (faults if row["is_fault"] else kept)[row["kind"]] += row["rows"]
            taken = sum(example.kind == row["kind"] for example in examples)
            if taken < EXAMPLES:
                examples += _examples(part, column, row["kind"], facts["key"], EXAMPLES - taken)
        if any(row["is_fault"] for row in found):
            faulty.append(part)
    checks = tuple(Check(**check) for check in facts["checks"])
    return faulty, MetadataReport(str(table), column, dict(faults), dict(kept), tuple(examples), checks)


def _facts(table: Relation, column: str) -> dict[str, Any]:
    with transaction(Kind.READ) as conn:
        rows = fetch(conn, "upkeep/read_metadata_column", schema=table.schema, name=table.name, column=column)
    if not rows:
        raise MissingRelation(f"{table}.{column}", ", and metadata.columns names it")
    if rows[0]["kind"] not in ("r", "p"):
        raise UnsuitableRelation(str(table), "it is no table, and metadata.columns names it")
    if rows[0]["type"] != "jsonb" or rows[0]["is_generated"]:
        kind = "generated" if rows[0]["is_generated"] else f"of type {rows[0]['type']}"
        raise UnsuitableRelation(str(table), f"its column {column} is {kind}, and metadata is stored as jsonb")
    return rows[0]


def _parts(table: Relation) -> list[_Part]:
    with transaction(Kind.READ) as conn:
        return [_Part(**row) for row in fetch(conn, "upkeep/list_metadata_parts", schema=table.schema, name=table.name)]


def _count(part: _Part, column: str, *, is_partition: bool) -> list[dict[str, Any]]:
    """Count by kind; a partition that was dropped since it was listed holds nothing."""
    try:
        with transaction(Kind.BULK) as conn:
            return fetch(conn, "upkeep/count_metadata_faults", part=part.relation, column=column)
    except psycopg.errors.UndefinedTable:
        if not is_partition:
            raise
        return []


def _examples(part: _Part, column: str, kind: str, key: Sequence[str], limit: int) -> list[Example]:
    where = {"part": part.relation, "column": column, "kind": kind, "key": list(key), "limit": limit}
    with transaction(Kind.BULK) as conn:
        return [Example(kind, **row) for row in fetch(conn, "upkeep/metadata_examples", **where)]


def _apply(work: _Work, show: Callable[[MetadataReport], None]) -> MetadataResult | Deferred:
    faulty, report = _observe(work.table, work.column)
    show(report)
    with transaction(Kind.READ) as conn:
        under_way = fetch(conn, "partitions/migration_under_way", target=str(work.table))
    if under_way:
        return Deferred(FLOW, str(work.table), f"migration {under_way[0]['name']} captures changes until its cutover")
    work.key, work.total = _facts(work.table, work.column)["key"], report.rows
    for part in faulty:
        _repair(work, part)
    left = sum(row["rows"] for part in faulty for row in _count(part, work.column, is_partition=True) if row["is_fault"])
    work.started.detail.update(repaired=work.repaired, batches=work.batches, left=left)
    if work.refused:
        raise RepairRefused(str(work.table), len(work.refused), "; ".join(work.refused[:3]))
    validated = () if left else tuple(_validate(work, check.name) for check in report.checks if not check.is_valid)
    return MetadataResult(report, work.repaired, work.batches, left, validated)


def _repair(work: _Work, part: _Part) -> None:
    """Repair one relation, a window of its blocks after the other, as far as the run may go."""
    for first in range(0, part.blocks, WINDOW_BLOCKS):
        place: str | None = f"({first},0)"
        rows = work.policy.batch_rows
        while place is not None and work.batches < work.at_most:
            place, rows = _advance(work, part, place, f"({first + WINDOW_BLOCKS},0)", rows)


def _advance(work: _Work, part: _Part, place: str, upper: str, rows: int) -> tuple[str | None, int]:
    """Repair a batch from `place` on; return where the next begins, None at the window's end, and its size.

    A batch that is refused is halved until it is one row, which is noted and passed over.
    """
    try:
        done = _batch(work, part, place, upper, rows)
    except REFUSED as error:
        if rows > 1:
            return place, rows // 2
        return _pass_over(work, part, place, upper, error), work.policy.batch_rows
    is_over = done["seen"] < rows or done["last_place"] is None
    return None if is_over else done["last_place"], work.policy.batch_rows


def _batch(work: _Work, part: _Part, place: str, upper: str, rows: int) -> dict[str, Any]:
    """Repair at most `rows` rows and record it, in one transaction."""
    work.between()
    where = {"lower": place, "upper": upper, "batch_rows": rows, "part_oid": part.oid}
    names = {"table": work.table, "part": part.relation, "column": work.column}
    # A condition is text of the server's; a % in it would be read as a placeholder.
    condition = part.condition.replace("%", "%%")
    with unit(work.started) as conn:
        done = fetch_one(conn, "upkeep/repair_metadata", **names, **where, condition=condition)
        if done["repaired"]:
            _record(conn, work, part, done)
    if done["repaired"]:
        work.repaired, work.batches = work.repaired + done["repaired"], work.batches + 1
        work.on_progress("repair metadata", work.repaired, work.total)
    return done


def _record(conn: Connection, work: _Work, part: _Part, done: Mapping[str, Any]) -> None:
    counted = {"kinds": json.dumps(done["kinds"]), "rows_repaired": done["repaired"]}
    where = {"run_id": work.started.id, "relation": str(work.table), "part": str(part.relation)}
    run(conn, "upkeep/record_metadata_repair", **where, **counted)


def _pass_over(work: _Work, part: _Part, place: str, upper: str, error: psycopg.Error) -> str | None:
    """Note the row that refused and return its place; raises RepairRefused where too many have."""
    where = {"lower": place, "upper": upper, "key": list(work.key)}
    with transaction(Kind.BULK) as conn:
        rows = fetch(conn, "upkeep/next_metadata_fault", part=part.relation, column=work.column, **where)
    if not rows:
        return None
    work.refused.append(f"{rows[0]['row']}: {error.diag.message_primary or type(error).__name__}")
    if len(work.refused) >= REFUSALS:
        raise RepairRefused(str(work.table), len(work.refused), "; ".join([*work.refused[:3], "given up there"])) from error
    return rows[0]["place"]


def _validate(work: _Work, constraint: str) -> str:
    """Validate the constraint on one partition after the other, so that none is locked for the others' reading."""
    parts = [part.relation for part in _parts(work.table) if part.relation != work.table]
    try:
        for relation in (*parts, work.table):
            attempt = partial(_validate_one, started=work.started, relation=relation, constraint=constraint)
            with_lock_retries(relation, f"validate {constraint}", attempt, kind=Kind.REFRESH)
    except psycopg.errors.CheckViolation as error:
        raise CheckRefused(str(work.table), constraint, error.diag.message_primary or "a row is refused") from error
    return constraint


def _validate_one(conn: Connection, started: Run, relation: Relation, constraint: str) -> None:
    enter_unit(conn, started)
    run(conn, "upkeep/validate_check", relation=relation, constraint=constraint)


@contextmanager
def _understood(table: str) -> Iterator[None]:
    """Turn what the server says about the table or the role into one line with the remedy."""
    try:
        yield
    except psycopg.errors.UndefinedFunction as error:
        raise MissingRelation("maintenance.metadata_fault", "", "Run apply_migrations first; nothing was changed.") from error
    except psycopg.errors.ObjectNotInPrerequisiteState as error:
        raise UnsuitableRelation(table, error.diag.message_primary or "it cannot be updated") from error
    except psycopg.errors.InsufficientPrivilege as error:
        remedy = f"As its owner: grant select, update on {table} to that role; a CHECK is validated by the owner alone."
        said = error.diag.message_primary or ""
        raise MissingRight("the current role", "repair", table, said, remedy) from error
