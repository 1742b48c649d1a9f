"""What a terminal shows of a result is YAML that reads back."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

import yaml

from tasks.core.shown import counted, shown
from tasks.migration.remove import Removal
from tasks.migration.render import describe_rollback
from tasks.migration.rollback import RollbackResult


class Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True)
class Part:
    name: str
    lower: datetime | None
    colour: Colour = Colour.RED


@dataclass(frozen=True)
class Result:
    table: str
    parts: tuple[Part, ...] = ()
    rows: int = 0
    done: bool = False
    plan: str = ""
    age: timedelta | None = None
    path: Path | None = None
    counts: dict[str, int] = field(default_factory=dict[str, int])
    facts: tuple[str, ...] = field(default=("long",), repr=False)


AT = datetime(2026, 11, 29, 12, tzinfo=UTC)


def test_a_result_reads_back_without_what_is_empty() -> None:
    part = Part("p1", AT)
    text = shown(Result("a.b", (part, part), plan="| step |\n|---|\n", age=timedelta(days=2), path=Path("x"), counts={"a": 0}))
    once = {"name": "p1", "lower": AT, "colour": "red"}
    assert yaml.safe_load(text) == {
        "table": "a.b", "parts": [once, once], "rows": 0, "done": False, "plan": "| step |\n|---|\n", "age": "2 days, 0:00:00",
        "path": "x", "counts": {"a": 0},
    }  # fmt: skip
    assert "plan: |\n  | step |" in text, "a plan of several lines stands as it is"
    assert "&" not in text, "what occurs twice stands twice"


def test_an_unbounded_value_is_left_out_and_a_long_line_stays_one() -> None:
    assert shown(Part("≥ wörds " * 50 + "end", None)) == f"name: {'≥ wörds ' * 50}end\ncolour: red\n"


def test_a_number_agrees_with_what_it_counts() -> None:
    assert [counted(count, "row") for count in (0, 1, 2, 1_000_000)] == ["0 rows", "1 row", "2 rows", "1,000,000 rows"]


def test_a_way_back_with_nothing_to_take_out_says_so() -> None:
    done = RollbackResult("shop", "removed", removal=Removal(functions=3))
    planned = RollbackResult("shop", "planned", removal=Removal(triggers=("app.orders",)))

    assert describe_rollback(done) == "Nothing of shop is left to take out of the target."
    assert describe_rollback(planned).splitlines() == [
        "Nothing of shop is left to take out of the target. Apply it with safety.apply to end its capture.",
        "- capture ends: app.orders",
    ]
