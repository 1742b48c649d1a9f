"""Both sides of one unit of a comparison: the sums of each source, and the rows where they differ.

Belongs here: composing the statements of one unit from the mapping's functions, reading their answers.
Keep out: snapshots, threads and the record of it all (`compare`). Reads only; ACCESS SHARE on both sides.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, cast

from psycopg import sql

from tasks.core.connect import Connection
from tasks.core.errors import MissingRelation
from tasks.core.names import Relation
from tasks.core.sqlfiles import compose, fetch, fetch_one
from tasks.migration.registry import Registered, Source, Target
from tasks.partitions.bounds import KeyType, as_key
from tasks.partitions.partition import Partition

#: What `maintenance.comparison_difference` knows besides the source and the unit.
COLUMNS = ("kind", "key", "target_key", "event_time", "reason", "expected", "found")
#: What is counted of one source's legacy rows in one unit.
COUNTED = ("legacy_rows", "legacy_kept", "refused", "collided", "unquarantined", "in_flight")
#: Rows of the target for which one statement pays: planning six mappings costs as much as comparing a thousand rows.
BUNDLE_ROWS = 25_000
#: Partitions of one statement: each is locked until the comparison ends anyway, but a statement should stay short.
BUNDLE_UNITS = 40
#: Owners of target rows that are no source: maintenance itself (code 0), nobody.
OWN, UNOWNED = 0, -1


#: Stands where the sums of a unit differ and no row was found: never silent, whatever the reason.
_UNNAMED: dict[str, Any] = {
    **dict.fromkeys(COLUMNS), "kind": "unnamed", "kind_rows": 1, "reason": "the sums differ, and no row was found that does",
}  # fmt: skip


@dataclass(frozen=True)
class Unit:
    """Event times in [lower, upper); both None for the residue: rows beside every partition."""

    lower: datetime | None
    upper: datetime | None


@dataclass(frozen=True)
class Sides:
    """One source in one unit, as counted and hashed on both sides."""

    source_id: int
    unit: Unit
    legacy_rows: int
    legacy_kept: int
    legacy_hash: str
    refused: int
    collided: int
    unquarantined: int
    in_flight: int
    unified_rows: int = 0
    unified_hash: str = "0"

    @property
    def is_equal(self) -> bool:
        """Say whether the mapped rows and the target's have the same number and the same sum of hashes."""
        return (self.legacy_kept, self.legacy_hash) == (self.unified_rows, self.unified_hash)


@dataclass
class Differences:
    """Rows that differ: the first of each kind with both values, and the true number of each kind; shared by threads."""

    keep: int
    rows: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    kinds: dict[str, int] = field(default_factory=dict[str, int])
    _guard: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def room(self) -> int:
        """How many more rows are kept; a statement that names them is asked for no more."""
        return max(0, self.keep - len(self.rows))

    def add(self, source_id: int | None, unit: Unit | None, found: Sequence[dict[str, Any]]) -> None:
        """Keep what there is room for, and count every row of each kind."""
        totals = {row["kind"]: row["kind_rows"] for row in found}
        named = [{"source_id": source_id, "lower": unit and unit.lower, **{c: row[c] for c in COLUMNS}} for row in found]
        with self._guard:
            self.rows += named[: self.room]
            for kind, rows in totals.items():
                self.kinds[kind] = self.kinds.get(kind, 0) + rows


@dataclass(frozen=True)
class Plan:
    """What the statements of every unit share: names, fragments, the edges of the partitions."""

    registered: Registered
    relations: dict[int, Relation]
    in_flight: dict[int, int]
    quarantined: dict[int, int]
    collided: dict[int, int]
    units: tuple[Unit, ...]
    edges: tuple[datetime, datetime]
    mapped_record: str
    unified_record: str
    owners: sql.Composed
    is_in_flight: sql.Composed


def read_plan(conn: Connection, registered: Registered, partitions: Sequence[Partition]) -> Plan:
    """Return the plan of a comparison in this snapshot; raises MissingRelation where a source's table has gone."""
    target = registered.target.relation
    rows = {row["id"]: row for row in fetch(conn, "migration/compare_sources", migration=registered.name)}
    for source in registered.sources:
        if rows[source.id]["name"] is None:
            raise MissingRelation(str(source.relation), remedy="It was dropped; restore it, or roll the migration back.")
    in_flight = {key: row["in_flight"] for key, row in rows.items()}
    return Plan(
        registered=registered,
        relations={key: Relation(row["schema"], row["name"]) for key, row in rows.items()},
        in_flight=in_flight,
        quarantined={key: row["quarantined"] for key, row in rows.items()},
        collided={key: row["collided"] for key, row in rows.items()},
        units=cut(partitions),
        edges=_edges(registered, partitions),
        owners=_owners(registered.sources),
        is_in_flight=_in_flight([source for source in registered.sources if in_flight[source.id]]),
        **fetch_one(conn, "migration/compare_target", schema=target.schema, name=target.name),
    )


def cut(partitions: Sequence[Partition]) -> tuple[Unit, ...]:
    """Return a unit for each bounded partition, one for each gap between them, and the residue; they tile the line."""
    bounded = [(p.lower, p.upper) for p in partitions if p.lower and p.upper and not p.is_pending_detach]
    units, reached = list[Unit](), None
    for lower, upper in sorted(bounded):
        if reached is not None and reached < lower:
            units.append(Unit(reached, lower))
        units.append(Unit(lower, upper))
        reached = upper
    return (*units, Unit(None, None))


def bundle(units: Sequence[Unit], rows: Mapping[datetime | None, int | None]) -> list[tuple[Unit, ...]]:
    """Return runs of adjoining units with about BUNDLE_ROWS rows each; the residue is always alone.

    `rows` estimates each unit's rows by its lower bound; an unknown number counts as a whole bundle.
    """
    bundles, current, size = list[tuple[Unit, ...]](), list[Unit](), 0
    for unit in units:
        adjoins = bool(current) and current[-1].upper == unit.lower and unit.lower is not None
        if current and not (adjoins and size < BUNDLE_ROWS and len(current) < BUNDLE_UNITS):
            bundles.append(tuple(current))
            current, size = [], 0
        current.append(unit)
        known = rows.get(unit.lower, 0)
        size += BUNDLE_ROWS if known is None else known
    return [*bundles, *([tuple(current)] if current else [])]


def _edges(registered: Registered, partitions: Sequence[Partition]) -> tuple[datetime, datetime]:
    """Return where the partitions begin and end; without any, everything lies beside one instant."""
    bounded = [(p.lower, p.upper) for p in partitions if p.lower and p.upper and not p.is_pending_detach]
    if not bounded:
        return registered.span_from, registered.span_from
    return min(lower for lower, _ in bounded), max(upper for _, upper in bounded)


def _owners(sources: Sequence[Source]) -> sql.Composed:
    branches = [compose("migration/compare_owner", {"owns": s.owns, "source_id": s.id}) for s in sources]
    return sql.SQL(" ").join(branches)


def _in_flight(sources: Sequence[Source]) -> sql.Composed:
    branches = [
        compose(
            "migration/compare_in_flight",
            {"owns": s.owns, "backward": s.backward, "key": s.key_column, "source_id": s.id},
        )
        for s in sources
    ]
    return sql.SQL(" ").join(branches or [compose("migration/compare_never", {})])


def legacy_within(plan: Plan, source: Source, unit: Unit) -> sql.Composed:
    """Return the condition on legacy rows `l` of a unit."""
    names = {"time": source.time_column, "time_type": source.time_type, "zone": source.zone}
    if unit.lower is None or unit.upper is None:
        return compose("migration/compare_legacy_outside", {**names, "lower": plan.edges[0], "upper": plan.edges[1]})
    return compose("migration/compare_legacy_within", {**names, "lower": unit.lower, "upper": unit.upper})


def unified_within(plan: Plan, unit: Unit) -> sql.Composed:
    """Return the condition on target rows `u` of a unit, its bounds in the type of the partition key."""
    target = plan.registered.target
    name, bounds = "migration/compare_unified_within", (unit.lower, unit.upper)
    if unit.lower is None or unit.upper is None:
        name, bounds = "migration/compare_unified_outside", plan.edges
    lower, upper = (as_key(bound, _key_type(target)) for bound in bounds if bound is not None)
    return compose(name, {"time": target.time_column, "lower": lower, "upper": upper})


def _key_type(target: Target) -> KeyType:
    """The registry keeps the catalog's word for it, which `read_parent` has found to be one of the three."""
    return cast("KeyType", target.time_type)


def compare_units(conn: Connection, plan: Plan, units: Sequence[Unit], differences: Differences) -> list[Sides]:
    """Count and hash both sides of adjoining units at once, name the rows where they differ; return every source's sides."""
    unified = _unified(conn, plan, units)
    sides = [side for source in plan.registered.sources for side in _sides(conn, plan, source, units, unified)]
    sources = {source.id: source for source in plan.registered.sources}
    for side in sides:
        source = sources[side.source_id]
        if not side.is_equal:
            found = _differing_rows(conn, plan, source, side.unit, differences.room)
            differences.add(source.id, side.unit, found or [_UNNAMED])
        if side.unquarantined:
            differences.add(source.id, side.unit, _unquarantined_rows(conn, plan, source, side.unit, differences.room))
    for unit, owner in unified:
        if owner == UNOWNED:
            differences.add(None, unit, _unowned_rows(conn, plan, unit, differences.room))
    return sides


def _span_of(units: Sequence[Unit]) -> Unit:
    return Unit(units[0].lower, units[-1].upper)


def _unit_at(units: Sequence[Unit], place: int | None) -> Unit:
    """Return the unit of a row's place among the bounds; the residue is alone, wherever its rows lie."""
    return units[0] if units[0].lower is None or place is None else units[place - 1]


def _unified(conn: Connection, plan: Plan, units: Sequence[Unit]) -> dict[tuple[Unit, int], dict[str, Any]]:
    target = plan.registered.target
    rows = fetch(
        conn,
        "migration/compare_unified_units",
        target=target.relation,
        id=target.id_column,
        time=target.time_column,
        bounds=[as_key(bound, _key_type(target)) for bound in _bounds(plan, units)],
        record=plan.unified_record,
        owners=plan.owners,
        in_flight=plan.is_in_flight,
        within=unified_within(plan, _span_of(units)),
    )
    return _by_unit(units, rows, ("unified_rows",), "unified_hash", "owner")


def _sides(
    conn: Connection, plan: Plan, source: Source, units: Sequence[Unit], unified: Mapping[tuple[Unit, int], dict[str, Any]]
) -> list[Sides]:
    rows = fetch(
        conn,
        "migration/compare_legacy_units",
        **_legacy(plan, source),
        time=source.time_column,
        zone=source.zone,
        bounds=_bounds(plan, units),
        record=plan.mapped_record,
        within=legacy_within(plan, source, _span_of(units)),
    )
    legacy = _by_unit(units, [{**row, "owner": source.id} for row in rows], COUNTED, "legacy_hash", "owner")
    nothing = {**dict.fromkeys(COUNTED, 0), "legacy_hash": "0"}
    keys = [(unit, source.id) for unit in units]
    return [Sides(source.id, key[0], **legacy.get(key, nothing), **unified.get(key, {})) for key in keys]


def _bounds(plan: Plan, units: Sequence[Unit]) -> list[datetime]:
    return [unit.lower or plan.edges[0] for unit in units]


def _by_unit(
    units: Sequence[Unit], rows: Sequence[dict[str, Any]], counted: Sequence[str], hashed: str, owner: str
) -> dict[tuple[Unit, int], dict[str, Any]]:
    """Add up the rows that belong to one unit and owner: the residue lies at more than one place."""
    found: dict[tuple[Unit, int], dict[str, Any]] = {}
    for row in rows:
        total = found.setdefault((_unit_at(units, row["place"]), row[owner]), {**dict.fromkeys(counted, 0), hashed: "0"})
        for name in counted:
            total[name] += row[name]
        total[hashed] = str(Decimal(total[hashed]) + Decimal(row[hashed]))
    return found


def _legacy(plan: Plan, source: Source) -> dict[str, Any]:
    """Return the keywords that every statement over one source's mapped rows takes."""
    return {
        "legacy": plan.relations[source.id],
        "key": source.key_column,
        "forward": source.forward,
        "source_id": source.id,
        "span_from": plan.registered.span_from,
        "span_to": plan.registered.span_to,
    }


def _differing_rows(conn: Connection, plan: Plan, source: Source, unit: Unit, limit: int) -> list[dict[str, Any]]:
    target = plan.registered.target
    return fetch(
        conn,
        "migration/compare_rows",
        **_legacy(plan, source),
        backward=source.backward,
        owns=source.owns,
        key_type=source.key_type,
        target=target.relation,
        id=target.id_column,
        time=target.time_column,
        mapped_record=plan.mapped_record,
        unified_record=plan.unified_record,
        legacy_within=legacy_within(plan, source, unit),
        unified_within=unified_within(plan, unit),
        limit=max(limit, 1),
    )


def _unquarantined_rows(conn: Connection, plan: Plan, source: Source, unit: Unit, limit: int) -> list[dict[str, Any]]:
    return fetch(
        conn,
        "migration/compare_unquarantined",
        **_legacy(plan, source),
        time=source.time_column,
        zone=source.zone,
        legacy_within=legacy_within(plan, source, unit),
        limit=max(limit, 1),
    )


def _unowned_rows(conn: Connection, plan: Plan, unit: Unit, limit: int) -> list[dict[str, Any]]:
    target = plan.registered.target
    return fetch(
        conn,
        "migration/compare_unowned",
        target=target.relation,
        id=target.id_column,
        time=target.time_column,
        owners=plan.owners,
        unified_within=unified_within(plan, unit),
        limit=max(limit, 1),
    )


def compare_quarantine(conn: Connection, plan: Plan, source: Source, differences: Differences) -> None:
    """Judge every quarantined row of a source by its legacy row, and name those that stand there without cause."""
    target = plan.registered.target
    types = {"key_type": source.key_type, "id_type": target.id_type}
    limit = max(differences.room, 1)
    found = fetch(conn, "migration/compare_quarantine", **_legacy(plan, source), **types, id=target.id_column, limit=limit)
    differences.add(source.id, None, found)
    if plan.collided[source.id]:
        differences.add(source.id, None, _released_rows(conn, plan, source, limit))


def _released_rows(conn: Connection, plan: Plan, source: Source, limit: int) -> list[dict[str, Any]]:
    """Ask only where there are collisions: looking for winners plans every partition."""
    target = plan.registered.target
    return fetch(
        conn,
        "migration/compare_collisions",
        owns=source.owns,
        target=target.relation,
        id=target.id_column,
        time=target.time_column,
        id_type=target.id_type,
        time_type=target.time_type,
        source_id=source.id,
        limit=limit,
    )
