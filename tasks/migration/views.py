"""Compatibility views: after cutover the old names are views on the target that old code reads and writes as before (M4).

Belongs here: what a view takes over from the legacy table, its trigger functions, what a view cannot take over.
A view is made under a provisional name while the table is still in use; the cutover only renames.
Keep out: when that happens (`cutover`), the mapping's SQL (`sql/legacy/`) and capture in the other direction (`reverse`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from tasks.core import declaration as declared
from tasks.core.connect import Connection
from tasks.core.errors import Permanent
from tasks.core.names import Relation, require_name
from tasks.core.sqlfiles import compose, fetch, fetch_one, load, run, trusted
from tasks.migration.registry import Registered, Source

#: The functions of a view; those that take no row come last.
PARTS = ("require", "claim", "lock", "insert", "update", "delete", "guard")
#: INSTEAD OF triggers fire in order of their names: policies, then the table's own BEFORE triggers, then the writing.
GUARD, REPLACED, WRITE = "maintenance_1_policies", "maintenance_2_", "maintenance_3_write"
EVENTS = ("insert", "update", "delete")


@dataclass(eq=False)
class ViewDiffers(Permanent):
    """sql/legacy/{mapping}/view.sql does not show {relation} as it is: column {column} should be {expected} and is {found}.
    Correct that file; nothing was changed."""

    mapping: str
    relation: str
    column: str
    expected: str
    found: str


@dataclass(eq=False)
class DependantStays(Permanent):
    """{dependant} cannot be pointed to what is now called {relation}: {reason}. Drop it or change it, or declare it as
    ignored; nothing was changed."""

    dependant: str
    relation: str
    reason: str


#: Functions of a view that take rows of the legacy table's type, and those that its triggers call.
TYPED = {
    "require": "migration/view_create_requirement",
    "claim": "migration/view_create_claim",
    "lock": "migration/view_create_lock",
}
EVENT_FUNCTIONS = {
    "insert": "migration/view_create_insert",
    "update": "migration/view_create_update",
    "delete": "migration/view_create_delete",
}


@dataclass(frozen=True)
class Trigger:
    """A user trigger of a legacy table: `state` as in pg_trigger, `call` the function with its arguments."""

    name: str
    state: str
    is_row: bool
    is_before: bool
    is_conditional: bool
    is_truncate: bool
    events: str
    call: str

    @property
    def is_enabled(self) -> bool:
        """Whether it fires in an ordinary session."""
        return self.state in "OA"

    @property
    def why_not(self) -> str | None:
        """Say why a view cannot have it; None where it can."""
        if self.is_conditional or self.is_truncate:
            return "has a condition, a column list, transition tables or TRUNCATE, which triggers of a view cannot have"
        if self.is_row and not self.is_before:
            return "is an AFTER ROW trigger, which a view cannot have"
        return None


@dataclass(frozen=True)
class Dependant:
    """What reads a relation by its identity, with the statement that makes it anew under the name."""

    kind: str
    name: str
    definition: str | None


@dataclass(frozen=True)
class Legacy:
    """A legacy table as the catalog has it: what its view must take over. Texts are SQL from the server's own functions."""

    relation: Relation
    facts: Mapping[str, Any]
    triggers: tuple[Trigger, ...]
    dependants: tuple[Dependant, ...]
    policies: tuple[str, ...]
    obstacles: tuple[str, ...]


def read_legacy(conn: Connection, source: Source) -> Legacy:
    """Return what the catalog says about a source's legacy table, whatever its name is now."""
    oid = source.relation_oid
    facts = fetch_one(conn, "migration/view_facts", relation_oid=oid, key=source.key_column)
    return Legacy(
        Relation(facts["schema"], facts["name"]),
        facts,
        tuple(Trigger(**row) for row in fetch(conn, "migration/view_triggers", relation_oid=oid)),
        list_dependants(conn, oid),
        tuple(row["name"] for row in fetch(conn, "migration/view_policies", relation_oid=oid)),
        tuple(row["reason"] for row in fetch(conn, "migration/view_obstacles", relation_oid=oid)),
    )


def find_key_behind(conn: Connection, source: Source, legacy: Legacy) -> list[str]:
    """Say that the sequence of a table's key would give keys that exist, and what sets it right; empty where it would not."""
    if legacy.facts["sequence"] is None or source.key_type not in ("smallint", "integer", "bigint"):
        return []
    sequence = Relation(legacy.facts["sequence_schema"], legacy.facts["sequence_name"])
    names = {"relation": legacy.relation, "key": source.key_column, "sequence": sequence}
    rows = fetch(conn, "migration/view_key_behind", **names, key_name=source.key_column)
    return [f"{legacy.relation}: {row['reason']}" for row in rows]


def list_dependants(conn: Connection, relation_oid: int) -> tuple[Dependant, ...]:
    """Return the views, functions and others that read the relation by its identity."""
    return tuple(Dependant(**row) for row in fetch(conn, "migration/view_dependants", relation_oid=relation_oid))


def find_obstacles(legacy: Legacy, policy: declared.Source) -> list[str]:
    """Say what a view under this table's name could not do and the declaration does not settle; empty where it can go on."""
    found = [*legacy.obstacles]
    found += [f"the policy {name} is not declared" for name in legacy.policies if name not in policy.policies]
    for trigger in legacy.triggers:
        way = policy.triggers.get(trigger.name)
        if way is None:
            found.append(f"the trigger {trigger.name} is not declared")
        elif way == "replaced" and trigger.is_enabled and trigger.why_not:
            found.append(f"the trigger {trigger.name} cannot be replaced: it {trigger.why_not}")
    for dependant in legacy.dependants:
        way = policy.dependants.get(dependant.name)
        if way is None:
            found.append(f"the {dependant.kind} {dependant.name} depends on it and is not declared")
        elif way == "recreate" and dependant.definition is None:
            found.append(f"the {dependant.kind} {dependant.name} cannot be made anew by itself")
    return [f"{legacy.relation}: {reason}" for reason in found]


def provisional(source: Source) -> Relation:
    """Return the name of a view before it takes the table's."""
    return source.relation.sibling(f"maintenance_view_{source.id}")


def function_of(source: Source, part: str) -> Relation:
    """Return one of PARTS of a source's view."""
    return Relation("maintenance", f"old_name_{source.id}_{part}")


def counter_of(source: Source) -> Relation:
    """Return the sequence that counts writes through the old name."""
    return Relation("maintenance", f"old_name_{source.id}_writes")


def create_view(conn: Connection, migration: Registered, source: Source, policy: declared.Source, legacy: Legacy) -> Relation:
    """Make the view of a source with its functions, triggers, defaults and rights under a provisional name; return that.

    The functions name the table as it will be called, so they work once the names have changed. Locks: ACCESS SHARE on
    the target. Raises ViewDiffers.
    """
    view, target = provisional(source), migration.target
    _create_functions(conn, migration, source, legacy)
    names = {"target": target.relation, "backward": source.backward, "owns": source.owns}
    rows = compose(f"legacy/{policy.mapping}/view", names)
    run(conn, "migration/view_create", view=view, columns=legacy.facts["of_view"], rows=rows, condition=_condition(legacy))
    _require_same_columns(conn, policy.mapping, view, legacy.relation)
    _add_triggers(conn, view, source, policy, legacy)
    run(conn, "migration/view_dress", view=quoted(conn, view), legacy=quoted(conn, legacy.relation), key=source.key_column)
    comment = f"Stands for the legacy table, now {source.aside}: rows of {target.relation}. {legacy.facts['comment'] or ''}"
    run(conn, "migration/view_comment", view=view, comment=comment.strip())
    return view


def quoted(conn: Connection, relation: Relation) -> str:
    """Return a name as text that the server reads as one relation."""
    return sql.Identifier(relation.schema, relation.name).as_string(conn)


def _condition(legacy: Legacy) -> sql.Composable | str:
    """Ask for the role only where row-level security hid every row from one that may select."""
    if not legacy.facts["hides_rows"]:
        return ""
    return compose("migration/view_readable", {"readers": legacy.facts["readers"]})


def _require_same_columns(conn: Connection, mapping: str, view: Relation, legacy: Relation) -> None:
    names = {"view": quoted(conn, view), "legacy": quoted(conn, legacy)}
    for row in fetch(conn, "migration/view_differences", **names):
        raise ViewDiffers(mapping, str(legacy), row["name"], row["expected"], row["found"])


def _create_functions(conn: Connection, migration: Registered, source: Source, legacy: Legacy) -> None:
    run(conn, "migration/view_bodies_later")
    run(conn, "migration/view_create_counter", counter=counter_of(source))
    known = _known(conn, migration, source, legacy)
    for part, name in (
        *TYPED.items(),
        *EVENT_FUNCTIONS.items(),
        *([("guard", "migration/view_create_guard")] if legacy.facts["has_rls"] else []),
    ):
        values = {**known, "function": function_of(source, part)}
        run(conn, name, **{key: values[key] for key in load(name).placeholders})
    run(conn, "migration/close_functions", names=[function_of(source, part).name for part in PARTS])


def retype_functions(conn: Connection, migration: Registered, source: Source, legacy: Legacy, row: Relation) -> None:
    """Make the functions of a source's view anew for rows of type `row`, so that its legacy table can be dropped.

    Those that triggers call keep their identity; the others name the row type in their signature.
    """
    run(conn, "migration/view_bodies_later")
    known = {**_known(conn, migration, source, legacy), "legacy": row, "aside": row}
    run(conn, "migration/drop_functions", names=[function_of(source, part).name for part in TYPED])
    for part, name in (*TYPED.items(), *EVENT_FUNCTIONS.items()):
        values = {**known, "function": function_of(source, part)}
        run(conn, name, **{key: values[key] for key in load(name).placeholders})
    run(conn, "migration/close_functions", names=[function_of(source, part).name for part in PARTS])


def _known(conn: Connection, migration: Registered, source: Source, legacy: Legacy) -> dict[str, Any]:
    """Return every keyword that the functions' statements take between them."""
    facts, target = legacy.facts, migration.target
    merge = fetch_one(conn, "migration/view_merge", target=quoted(conn, target.relation))
    parts = {part: function_of(source, part).name for part in PARTS}
    mapping = {"forward": source.forward.name, "backward": source.backward.name, "owns": source.owns.name}
    columns = {"key": source.key_column, "id": target.id_column, "time": target.time_column}
    tables = {"legacy": legacy.relation, "aside": source.relation.sibling(source.aside), "target": target.relation}
    literals = {
        "source_id": source.id,
        "schema": source.relation.schema,
        "table": source.relation.name,
        "target_name": str(target.relation),
        "key_name": source.key_column,
        "key_constraint": facts["key_constraint"],
        "key_default": facts["key_default"] or "null",
        "counter": quoted(conn, counter_of(source)),
        "writers": facts["writers"],
        "holders": _holders(migration),
    }
    return {**facts, **merge, **parts, **mapping, **columns, **tables, **literals}


def _holders(migration: Registered) -> sql.Composed:
    names = ({"owns": source.owns.name, "holder": str(source.relation)} for source in migration.sources)
    return sql.SQL(" ").join(compose("migration/view_holder", values) for values in names)


def _add_triggers(conn: Connection, view: Relation, source: Source, policy: declared.Source, legacy: Legacy) -> None:
    for event in EVENTS:
        if legacy.facts["has_rls"]:
            _add(conn, view, f"{GUARD}_{event}", _call(source, "guard"), events=event)
        _add(conn, view, f"{WRITE}_{event}", _call(source, event), events=event)
    for trigger in legacy.triggers:
        if trigger.is_enabled and policy.triggers.get(trigger.name) == "replaced":
            _replace(conn, view, trigger)


def _replace(conn: Connection, view: Relation, trigger: Trigger) -> None:
    """Let the table's own function fire on the view: before the row is written, or once per statement."""
    if trigger.is_row:
        name = require_name(REPLACED + trigger.name)
        _add(conn, view, name, trigger.call, events=trigger.events)
    else:
        timing = "before" if trigger.is_before else "after"
        _add(conn, view, trigger.name, trigger.call, events=trigger.events, timing=timing, level="statement")


def _call(source: Source, part: str) -> str:
    """Name a function of ours with its parentheses; such a name needs no quotes."""
    return f"{function_of(source, part)}()"


def _add(
    conn: Connection, view: Relation, trigger: str, call: str, *, events: str, timing: str = "instead of", level: str = "row"
) -> None:
    when = {"timing": timing, "events": events, "level": level}
    run(conn, "migration/view_add_trigger", trigger=trigger, view=view, call=call, **when)


def drop_view(conn: Connection, view: Relation, source: Source) -> None:
    """Drop a source's view with its functions and its counter; ACCESS EXCLUSIVE on the view."""
    run(conn, "migration/view_drop", view=view)
    run(conn, "migration/drop_functions", names=[function_of(source, part).name for part in PARTS])
    run(conn, "migration/view_drop_counter", counter=counter_of(source))


def repoint(conn: Connection, dependants: Sequence[Dependant], now_called: Relation) -> None:
    """Make views and functions anew with the definitions they had, so that they read whatever bears the name now.

    They keep their rights, owners, triggers and what depends on them. Raises DependantStays.
    """
    for dependant in dependants:
        if dependant.definition is None:
            reason = f"a {dependant.kind} cannot be made anew by itself"
            raise DependantStays(dependant.name, str(now_called), reason)
        try:
            conn.execute(trusted(dependant.definition))
        except psycopg.ProgrammingError as error:
            raise DependantStays(dependant.name, str(now_called), error.diag.message_primary or str(error)) from error
