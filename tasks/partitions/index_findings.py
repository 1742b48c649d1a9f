"""Judge the indexes of a partitioned table: missing, invalid, left over, duplicate, redundant, unused, left alone (D5).

Belongs here: rules from what the catalog says to findings with a reason, and what is to be done about each.
Keep out: SQL, clocks, Prefect, logging. Nothing here ever asks for a valid index to be dropped. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from tasks.core.names import Relation

Kind = Literal["missing", "invalid", "left over", "differs", "duplicate", "redundant", "unused", "left alone"]
Act = Literal["create", "build", "rebuild", "drop", "attach", "correct", "none"]
#: What REINDEX CONCURRENTLY calls its new copy, and the old one that it has replaced.
REINDEX_REST = re.compile(r"_cc(new|old)\d*$")


@dataclass(frozen=True)
class Place:
    """A partition, and why it is left alone where it is on its way out."""

    relation: Relation
    is_leaf: bool = True
    left_alone: str | None = None


@dataclass(frozen=True)
class IndexFact:
    """One index of the table (`is_on_parent`) or of a partition; `definition` and the rest of its shape as its parent's has them."""

    oid: int
    relation: Relation
    name: str
    is_on_parent: bool
    parent_oid: int | None = None
    is_valid: bool = True
    is_live: bool = True
    is_unique: bool = False
    is_identity: bool = False
    is_key: bool = False
    method: str = "btree"
    scans: int = 0
    size_bytes: int = 0
    builder: int | None = None
    definition: str | None = None
    predicate: str | None = None
    key_columns: tuple[str, ...] | None = None
    included: tuple[str, ...] | None = None

    @property
    def index(self) -> Relation:
        """The index's own name: it lives in its table's schema."""
        return Relation(self.relation.schema, self.name)

    @property
    def is_loose(self) -> bool:
        """A partition's own, part of no index of the parent."""
        return not self.is_on_parent and self.parent_oid is None


@dataclass(frozen=True)
class Wanted:
    """A declared index in the server's spelling."""

    name: str
    definition: str


@dataclass(frozen=True)
class Observed:
    """All that is known of one table's indexes at one moment."""

    table: Relation
    places: tuple[Place, ...]
    indexes: tuple[IndexFact, ...]
    wanted: tuple[Wanted, ...] = ()
    #: Since when scans are counted; None where the counters were never reset.
    statistics_since: datetime | None = None


@dataclass(frozen=True)
class Finding:
    """What is not as it should be with one index, on the table or on one partition, and what is done about it."""

    kind: Kind
    relation: str
    index: str
    reason: str
    act: Act = "none"

    @property
    def is_due(self) -> bool:
        """The flow acts on it; the others are for a person to read."""
        return self.act != "none"


def find(observed: Observed, as_of: datetime) -> list[Finding]:
    """Return every finding of a table, what has to be done first; the same facts give the same findings."""
    kept = _without_left_alone(_shaped(observed))
    found = [
        *_left_over(kept),
        *_invalid_leaves(kept),
        *_undeclared(kept),
        *_missing(kept),
        *_invalid_parents(kept, _waiting(observed)),
        *_left_alone(observed),
        *_duplicates(kept),
        *_redundant(kept),
        *_unused(kept, as_of),
    ]
    return sorted(found, key=lambda finding: not finding.is_due)


def _shaped(observed: Observed) -> Observed:
    """Give each attached index the shape of its parent's, which ATTACH has compared."""
    parents = {fact.oid: fact for fact in observed.indexes if fact.is_on_parent}
    return replace(observed, indexes=tuple(_as_parent(fact, parents) for fact in observed.indexes))


def _as_parent(fact: IndexFact, parents: Mapping[int, IndexFact]) -> IndexFact:
    above = parents.get(fact.parent_oid or 0)
    if above is None:
        return fact
    shape = {"definition": above.definition, "predicate": above.predicate}
    return replace(fact, key_columns=above.key_columns, included=above.included, **shape)


def _without_left_alone(observed: Observed) -> Observed:
    alone = {place.relation for place in observed.places if place.left_alone}
    places = tuple(place for place in observed.places if place.relation not in alone)
    facts = tuple(fact for fact in observed.indexes if fact.relation not in alone)
    return replace(observed, places=places, indexes=facts)


def _left_over(observed: Observed) -> Iterator[Finding]:
    """An invalid index that nothing is attached to and that somebody's interrupted build has left."""
    known = {fact.definition for fact in observed.indexes if fact.is_on_parent} | {w.definition for w in observed.wanted}
    for fact in observed.indexes:
        if fact.is_valid or not fact.is_loose or fact.builder:
            continue
        reason = _why_left_over(fact, known)
        if reason:
            yield _finding("left over", fact, reason, "drop")


def _why_left_over(fact: IndexFact, known: Container[str | None]) -> str | None:
    if not fact.is_live:
        return "a DROP INDEX CONCURRENTLY of it was interrupted"
    if REINDEX_REST.search(fact.name):
        return "an interrupted REINDEX CONCURRENTLY left it"
    return "an interrupted build of an index of the table left it" if fact.definition in known else None


def _invalid_leaves(observed: Observed) -> Iterator[Finding]:
    known = {fact.definition for fact in observed.indexes if fact.is_on_parent} | {w.definition for w in observed.wanted}
    for fact in observed.indexes:
        if fact.is_valid or fact.is_on_parent:
            continue
        if fact.builder:
            yield _finding("left alone", fact, f"pid {fact.builder} is building it", "none")
        elif not fact.is_loose:
            yield _finding("invalid", fact, "it is attached and answers no query", "rebuild")
        elif not _why_left_over(fact, known):
            yield _finding(
                "invalid", fact, "its build failed or was interrupted; it costs every write and answers no query", "rebuild"
            )


def _undeclared(observed: Observed) -> Iterator[Finding]:
    """Declared and not on the table, or there under the name with another definition."""
    named = {fact.name: fact for fact in observed.indexes if fact.is_on_parent}
    alike = {fact.definition for fact in named.values() if not fact.is_key}
    for wanted in observed.wanted:
        fact = named.get(wanted.name)
        if fact is None and wanted.definition not in alike:
            yield Finding("missing", str(observed.table), wanted.name, "it is declared", "create")
        elif fact is not None and fact.definition != wanted.definition:
            reason = f"it is '{fact.definition}' and declared as '{wanted.definition}': drop, rename or declare it otherwise"
            yield Finding("differs", str(observed.table), wanted.name, reason, "correct")


def _missing(observed: Observed) -> Iterator[Finding]:
    held = {(fact.parent_oid, fact.relation) for fact in observed.indexes if not fact.is_loose}
    loose = {(fact.relation, fact.definition): fact for fact in observed.indexes if fact.is_loose and fact.is_valid}
    for parent in _parents(observed):
        for place in observed.places:
            if (parent.oid, place.relation) in held:
                continue
            own = loose.get((place.relation, parent.definition))
            own = None if own and own.is_key and not parent.is_key else own
            reason = f"{own.name} is like it and not attached" if own else "the table has it and this partition has not"
            yield Finding("missing", str(place.relation), parent.name, reason, "attach" if own else "build")


def _parents(observed: Observed) -> list[IndexFact]:
    return [fact for fact in observed.indexes if fact.is_on_parent]


def _waiting(observed: Observed) -> set[int]:
    """Indexes of the table that cannot be valid before a partition that is left alone has gone, or has come back."""
    valid = {(fact.parent_oid, fact.relation) for fact in observed.indexes if fact.is_valid}
    alone = [place.relation for place in observed.places if place.left_alone]
    return {parent.oid for parent in _parents(observed) for relation in alone if (parent.oid, relation) not in valid}


def _invalid_parents(observed: Observed, waiting: Container[int]) -> Iterator[Finding]:
    for parent in _parents(observed):
        if parent.is_valid:
            continue
        children = [fact for fact in observed.indexes if fact.parent_oid == parent.oid]
        lacking, invalid = len(observed.places) - len(children), sum(not fact.is_valid for fact in children)
        if not (lacking or invalid) and parent.oid in waiting:
            continue
        reason = "every partition has it; the table's was never marked valid"
        if lacking or invalid:
            reason = f"{lacking} of {len(observed.places)} partitions lack it, on {invalid} it is invalid"
        yield _finding("invalid", parent, reason, "attach")


def _left_alone(observed: Observed) -> Iterator[Finding]:
    """A partition on its way out: said only where an index is due there."""
    facts = [fact for fact in observed.indexes if not fact.is_on_parent]
    for place in observed.places:
        if not place.left_alone:
            continue
        valid = {fact.parent_oid for fact in facts if fact.relation == place.relation and fact.is_valid}
        lacking = [parent.name for parent in _parents(observed) if parent.oid not in valid]
        lacking += [fact.name for fact in facts if fact.relation == place.relation and not fact.is_valid and fact.is_loose]
        if lacking:
            yield Finding("left alone", str(place.relation), ", ".join(lacking), place.left_alone)


def _duplicates(observed: Observed) -> Iterator[Finding]:
    """Equal apart from the name, on the same table; what its parent has twice a partition has twice as well, said once."""
    for facts in _by_relation(observed).values():
        kept: dict[str | None, IndexFact] = {}
        for fact in sorted(facts, key=_worth):
            first = kept.setdefault(fact.definition, fact)
            if first is not fact and (fact.is_on_parent or fact.is_loose):
                yield _finding("duplicate", fact, f"{first.name} is the same: {fact.definition}", "none")


def _worth(fact: IndexFact) -> tuple[bool, bool, bool, str]:
    return (not fact.is_key, not fact.is_identity, fact.is_loose, fact.name)


def _by_relation(observed: Observed) -> dict[Relation, list[IndexFact]]:
    found: dict[Relation, list[IndexFact]] = {}
    for fact in observed.indexes:
        if fact.is_valid or fact.is_on_parent:
            found.setdefault(fact.relation, []).append(fact)
    return found


def _redundant(observed: Observed) -> Iterator[Finding]:
    for facts in _by_relation(observed).values():
        for fact in facts:
            wider = next((other for other in sorted(facts, key=_worth) if _covers(other, fact)), None)
            if wider and (fact.is_on_parent or fact.is_loose):
                yield _finding("redundant", fact, f"{wider.name} begins with the same columns", "none")


def _covers(wider: IndexFact, fact: IndexFact) -> bool:
    """A B-tree answers whatever one on a prefix of its columns answers; one that enforces something is needed all the same."""
    if fact.is_unique or fact.is_key or fact.is_identity or not (wider.method == fact.method == "btree"):
        return False
    mine, theirs = fact.key_columns or (), wider.key_columns or ()
    is_prefix = len(mine) < len(theirs) and theirs[: len(mine)] == mine
    return is_prefix and wider.predicate == fact.predicate and set(fact.included or ()) <= set(wider.included or ())


def _unused(observed: Observed, as_of: datetime) -> Iterator[Finding]:
    """Counted over all partitions: an attached index cannot be dropped from one of them alone."""
    since = _since(observed.statistics_since, as_of)
    for fact in observed.indexes:
        if fact.is_key or fact.is_unique or fact.is_identity or not fact.is_valid:
            continue
        parts = [part for part in observed.indexes if part.parent_oid == fact.oid] if fact.is_on_parent else [fact]
        if parts and (fact.is_on_parent or fact.is_loose) and not any(part.scans for part in parts):
            size = sum(part.size_bytes for part in parts)
            on = f" on any of {len(parts)} partitions" if fact.is_on_parent else ""
            yield _finding("unused", fact, f"no scan{on} {since}; {size:,} bytes", "none")


def _since(since: datetime | None, as_of: datetime) -> str:
    if since is None:
        return "since the statistics began (never reset; an index is as old as its build)"
    return f"since {since:%Y-%m-%d %H:%M} UTC ({max((as_of - since).days, 0)} days of statistics)"


def _finding(kind: Kind, fact: IndexFact, reason: str, act: Act) -> Finding:
    return Finding(kind, str(fact.relation), fact.name, reason, act)
