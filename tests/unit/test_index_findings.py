"""Which finding is what: the rules that no server is needed for (D5)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from tasks.core.names import Relation
from tasks.partitions.index_findings import IndexFact, Observed, Place, Wanted, find

AS_OF = datetime(2026, 11, 24, tzinfo=UTC)
TABLE, DAY = Relation("app", "readings"), Relation("app", "readings_p1")
BY_KIND = "USING btree (kind)"
PARENT = IndexFact(1, TABLE, "by_kind", is_on_parent=True, definition=BY_KIND, key_columns=("kind 1 0 0",), included=())
LEAF = IndexFact(2, DAY, "p1_kind", is_on_parent=False, parent_oid=1, scans=1)
LOOSE = replace(PARENT, oid=3, relation=DAY, name="own", is_on_parent=False, scans=1)


def judge(*facts: IndexFact, place: Place | None = None, wanted: tuple[Wanted, ...] = ()) -> list[tuple[str, str, str]]:
    observed = Observed(TABLE, (place or Place(DAY),), facts, wanted)
    return [(finding.kind, finding.index, finding.act) for finding in find(observed, AS_OF)]


def test_an_index_that_is_valid_everywhere_and_read_is_no_finding() -> None:
    assert judge(PARENT, LEAF) == []


def test_a_partition_s_own_index_that_is_alike_is_attached_and_not_built() -> None:
    assert judge(PARENT, LOOSE) == [("missing", "by_kind", "attach")]


def test_one_that_serves_a_key_cannot_be_attached_below_an_index() -> None:
    assert judge(PARENT, replace(LOOSE, is_key=True)) == [("missing", "by_kind", "build")]


def test_one_that_is_alike_in_a_table_s_key_is_attached_below_it() -> None:
    key = replace(PARENT, is_key=True, is_unique=True)
    assert judge(key, replace(LOOSE, is_key=True)) == [("missing", "by_kind", "attach")]


def test_a_valid_index_is_never_asked_to_be_dropped_whatever_its_name() -> None:
    assert judge(PARENT, LEAF, replace(LOOSE, name="p1_kind_ccnew")) == [("duplicate", "p1_kind_ccnew", "none")]


def test_an_invalid_index_that_is_attached_is_rebuilt_and_not_dropped_whatever_its_name() -> None:
    leaf = replace(LEAF, name="p1_kind_ccnew", is_valid=False)
    assert judge(PARENT, leaf) == [("invalid", "p1_kind_ccnew", "rebuild")]


def test_one_that_is_being_built_is_left_alone() -> None:
    building = replace(LOOSE, is_valid=False, builder=42)
    assert judge(PARENT, LEAF, building) == [("left alone", "own", "none")]


def test_one_that_a_drop_left_half_dead_is_removed_whatever_its_definition() -> None:
    dead = replace(LOOSE, definition="USING btree (note)", is_valid=False, is_live=False)
    assert judge(PARENT, LEAF, dead) == [("left over", "own", "drop")]


def test_a_partition_on_its_way_out_is_mentioned_only_where_something_is_due() -> None:
    going = Place(DAY, left_alone="retention is taking it out (due)")
    assert judge(PARENT, LEAF, place=going) == []
    assert judge(PARENT, replace(LEAF, is_valid=False), place=going) == [("left alone", "by_kind", "none")]


def test_a_declared_index_that_the_table_has_under_another_name_is_not_missing() -> None:
    assert judge(PARENT, LEAF, wanted=(Wanted("declared", BY_KIND),)) == []


def test_an_index_that_enforces_something_is_neither_redundant_nor_unused() -> None:
    wide = replace(PARENT, oid=9, name="wide", definition="USING btree (kind, at)", key_columns=("kind 1 0 0", "at 2 0 0"))
    parts = (replace(LEAF, scans=0), replace(LEAF, oid=10, parent_oid=9))
    assert judge(PARENT, wide, *parts) == [("redundant", "by_kind", "none"), ("unused", "by_kind", "none")]
    for rule in ("is_key", "is_unique", "is_identity"):
        assert judge(replace(PARENT, **{rule: True}), wide, *parts) == []
