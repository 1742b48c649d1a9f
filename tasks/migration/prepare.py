"""Register a migration: its legacy tables looked at, their mappings installed, the span of event times fixed.

Belongs here: what makes a legacy table fit for migration, and the rows of maintenance.migration, source and span.
Keep out: capture and copy. Preparing changes nothing on either side and may be repeated.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from tasks.core import declaration as declared
from tasks.core.connect import Connection
from tasks.core.errors import MissingRelation, MissingRight, UnsuitableRelation
from tasks.core.names import Relation
from tasks.core.sqlfiles import fetch, run
from tasks.migration.registry import Registered, Target, read_registered, read_target
from tasks.migration.sources import Mapping as InstalledMapping
from tasks.migration.sources import combined_version, install_mapping
from tasks.partitions.bounds import interval_at
from tasks.partitions.catalog import list_partitions, read_parent

KEY_TYPES = ("bigint", "integer", "uuid", "text")
_TIME_TYPES = ("timestamp with time zone", "timestamp without time zone", "date")
_OTHER_KINDS = {"p": "a partitioned table", "v": "a view", "m": "a materialized view", "f": "a foreign table"}


def prepare_migration(conn: Connection, name: str, declaration: declared.Declaration, as_of: datetime) -> Registered:
    """Register migration `name` in the ledger, install its mappings, and return it; repeated, it changes only what changed.

    Call it in a transaction and before the cutover: afterwards the old names are views. Units done with another mapping
    version are no longer done. Locks: none on the tables. Raises NotDeclared, MissingRelation, MissingRight,
    UnsuitableRelation (no primary key, a composite or unusable one, no runway), ColumnMissing, MappingRefused (M2).
    """
    migration = declaration.migration(name)
    table = declaration.table(migration.target)
    parent = read_parent(conn, Relation.parse(migration.target), table.partitioning.by, to_build=False)
    target = read_target(conn, parent)
    facts = {source: _read_source(conn, source, policy, target) for source, policy in migration.sources.items()}
    mappings = {source: _install(conn, name, source, policy, target) for source, policy in migration.sources.items()}
    _require_unmoved(read_registered(conn, name), migration)
    _register(conn, name, migration, facts, mappings)
    _register_span(conn, migration, table.partitioning, as_of)
    registered = read_registered(conn, name)
    assert registered is not None  # noqa: S101 (registered above in this transaction)
    return registered


def _read_source(conn: Connection, relation: str, policy: declared.Source, target: Target) -> Mapping[str, Any]:
    name = Relation.parse(relation)
    facts = {"schema": name.schema, "name": name.name, "time": policy.time, "id_type": target.id_type}
    rows = fetch(conn, "migration/read_source", **facts)
    if not rows:
        raise MissingRelation(relation, f" in the database {conn.info.dbname}")
    found = rows[0]
    reason, remedy = _unsuitable(found, policy, target)
    if reason:
        raise UnsuitableRelation(relation, reason, f"{remedy} Nothing was changed.")
    if not found["may_own"]:
        remedy = f"Grant it with: grant {found['owner']} to {found['role_name']}"
        raise MissingRight(
            found["role_name"], "capture the changes of", relation, f"only its owner {found['owner']} may", remedy
        )
    return found


def _unsuitable(found: Mapping[str, Any], policy: declared.Source, target: Target) -> tuple[str, str]:
    """Return why a legacy table cannot be migrated and what helps; two empty texts where it can."""
    return _unsuitable_table(found) or _unsuitable_key(found, target) or _unsuitable_time(found, policy) or ("", "")


def _unsuitable_table(found: Mapping[str, Any]) -> tuple[str, str] | None:
    if found["kind"] != "r":
        return (
            f"it is {_OTHER_KINDS.get(found['kind'], 'no ordinary table')}",
            "Declare the ordinary table that holds the rows.",
        )
    if found["persistence"] != "p":
        return "it is not logged, so a crash empties it behind the capture's back", "Use ALTER TABLE … SET LOGGED."
    if found["has_children"]:
        return "other tables inherit from it", "Declare each of them as a source, without inheritance."
    if found["is_subscribed"]:
        return "a subscription writes it, which fires no statement trigger", "Stop the subscription for this table first."
    return None


def _unsuitable_key(found: Mapping[str, Any], target: Target) -> tuple[str, str] | None:
    if found["key_columns"] == 0:
        return "it has no primary key, so a changed row cannot be named", "Give it one on a column that never repeats."
    if found["key_columns"] > 1:
        return f"its primary key has {found['key_columns']} columns", "Give it a primary key of one column."
    if found["key_type"] not in KEY_TYPES:
        return f"its primary key is of type {found['key_type']}", f"Use one of {', '.join(KEY_TYPES)}."
    if not found["has_id"]:
        reason = f"its primary key of type {found['key_type']} cannot become an id of type {target.id_type}"
        return reason, "A bigint, integer or uuid key can become a uuid; any other must keep its type."
    return None


def _unsuitable_time(found: Mapping[str, Any], policy: declared.Source) -> tuple[str, str] | None:
    if found["time_type"] is None:
        return f"it has no column {policy.time}, which is declared as its time", "Correct the key 'time' of this source."
    if found["time_type"] not in _TIME_TYPES:
        return f"its time column {policy.time} is of type {found['time_type']}", "Declare a timestamp or date column."
    return None


def _install(conn: Connection, name: str, relation: str, policy: declared.Source, target: Target) -> InstalledMapping:
    sides = {"source": Relation.parse(relation), "target": target.relation}
    return install_mapping(conn, name, policy.mapping, **sides, code=policy.code, zone=policy.zone)


def _register(
    conn: Connection,
    name: str,
    migration: declared.Migration,
    facts: Mapping[str, Mapping[str, Any]],
    mappings: Mapping[str, InstalledMapping],
) -> None:
    version = combined_version(mappings.values())
    run(conn, "migration/register_migration", name=name, target=migration.target, mapping_version=version)
    for position, (relation, policy) in enumerate(migration.sources.items()):
        found, mapping = facts[relation], mappings[relation]
        run(
            conn,
            "migration/register_source",
            migration=name,
            code=policy.code,
            relation=relation,
            relation_oid=found["relation_oid"],
            aside=policy.aside,
            position=position,
            key_column=found["key_column"],
            key_type=found["key_type"],
            time_column=policy.time,
            time_type=found["time_type"],
            zone=policy.zone,
            forward=mapping.forward.name,
            backward=mapping.backward.name,
            owns=mapping.owns.name,
        )


def _register_span(
    conn: Connection, migration: declared.Migration, partitioning: declared.Partitioning, as_of: datetime
) -> None:
    """The span begins as declared and ends with the runway; from then on it moves with the partitions alone."""
    partitions = list_partitions(conn, Relation.parse(migration.target))
    uppers = [p.upper for p in partitions if p.upper is not None and not p.is_pending_detach]
    lower = _span_from(migration.span_from, partitioning, as_of)
    if not uppers or max(uppers) <= lower:
        remedy = "Run create_partitions first: the span of the migration ends where its runway ends."
        raise UnsuitableRelation(migration.target, f"it has no partition after {lower:%Y-%m-%d}", remedy)
    run(conn, "migration/register_span", target=migration.target, lower=lower, upper=max(uppers))


def _span_from(declared_from: datetime | timedelta, partitioning: declared.Partitioning, as_of: datetime) -> datetime:
    """An instant counts as it is declared, in UTC where it says no zone; a duration reaches back to a whole interval."""
    if isinstance(declared_from, datetime):
        return declared_from if declared_from.tzinfo else declared_from.replace(tzinfo=UTC)
    return interval_at(as_of - declared_from, partitioning.every, partitioning.zone)[0]


def _require_unmoved(registered: Registered | None, migration: declared.Migration) -> None:
    """A source that leaves while it is captured would stay behind with its triggers; its code stands in ids already made."""
    for source in registered.sources if registered else ():
        policy = migration.sources.get(str(source.relation))
        if policy is None or policy.code != source.code:
            found = "no longer declared" if policy is None else f"declared with code {policy.code}"
            reason = f"it is registered with code {source.code} and {found}"
            raise UnsuitableRelation(str(source.relation), reason, "Declare it as before, or roll the migration back first.")
