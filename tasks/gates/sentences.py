"""An expectation as a sentence that follows "in <frame>,".

Belongs here: words for the types that the suites use, and for any other type its name with its arguments.
Keep out: Great Expectations itself; a type and its arguments are plain data here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Arguments = Mapping[str, Any]


def sentence(kind: str, arguments: Arguments) -> str:
    """Return the sentence of an expectation of type `kind`, such as `expect_column_values_to_be_in_set`."""
    known = _WORDS.get(kind)
    said = known(arguments) if known else _plain(kind, arguments)
    condition = arguments.get("row_condition")
    return f"{said}, where {condition}" if condition else said


def _between(arguments: Arguments, *, of: str) -> str:
    low, high = arguments.get("min_value"), arguments.get("max_value")
    low_word = "more than" if arguments.get("strict_min") else "at least"
    high_word = "less than" if arguments.get("strict_max") else "at most"
    bounds = [f"{low_word} {number(low)}"] * (low is not None) + [f"{high_word} {number(high)}"] * (high is not None)
    return f"{of} is {' and '.join(bounds) or 'anything'}"


def number(value: object) -> str:
    """Return a bound as people write it: Great Expectations turns whole numbers into floats."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _rows(arguments: Arguments) -> str:
    if arguments.get("max_value") == 0:
        return "there is no row"
    if arguments.get("min_value") == 1 and arguments.get("max_value") is None:
        return "there is at least one row"
    return _between(arguments, of="the number of rows")


def _in_set(arguments: Arguments) -> str:
    values = list(arguments["value_set"])
    if len(values) == 1:
        (only,) = values
        return f"{arguments['column']} is {str(only).lower() if isinstance(only, bool) else only}"
    return f"{arguments['column']} is one of {', '.join(str(value) for value in values)}"


def _plain(kind: str, arguments: Arguments) -> str:
    given = ", ".join(f"{name}={value}" for name, value in arguments.items() if value is not None)
    return f"{kind.removeprefix('expect_').replace('_', ' ')} ({given})"


_WORDS: dict[str, Callable[[Arguments], str]] = {
    "expect_table_row_count_to_be_between": _rows,
    "expect_table_row_count_to_equal": lambda a: f"the number of rows is {number(a['value'])}",
    "expect_column_to_exist": lambda a: f"there is a column {a['column']}",
    "expect_column_values_to_not_be_null": lambda a: f"{a['column']} has a value",
    "expect_column_values_to_be_null": lambda a: f"{a['column']} is empty",
    "expect_column_values_to_be_unique": lambda a: f"{a['column']} is unique",
    "expect_column_values_to_be_in_set": _in_set,
    "expect_column_values_to_be_between": lambda a: _between(a, of=a["column"]),
    "expect_column_max_to_be_between": lambda a: _between(a, of=f"the greatest {a['column']}"),
    "expect_column_min_to_be_between": lambda a: _between(a, of=f"the least {a['column']}"),
    "expect_column_sum_to_be_between": lambda a: _between(a, of=f"the sum of {a['column']}"),
    "expect_column_pair_values_to_be_equal": lambda a: f"{a['column_A']} equals {a['column_B']}",
    "expect_column_pair_values_a_to_be_greater_than_b": lambda a: f"{a['column_B']} is not after {a['column_A']}",
    "expect_compound_columns_to_be_unique": lambda a: f"{' and '.join(a['column_list'])} together are unique",
}
