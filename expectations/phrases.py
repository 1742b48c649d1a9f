"""The few forms of expectation that the suites use, so that each reads as one line: what, how much it matters, why.

Belongs here: constructors of one expectation each; the reason is required. Keep out: what a gate expects.
`critical` blocks, `warning` is reported.
"""

from __future__ import annotations

from typing import Any, Literal

import great_expectations as gx
import great_expectations.expectations

#: The library is typed for its own use only: its names are not exported, and a severity given as a word is refused.
gxe: Any = great_expectations.expectations

Severity = Literal["critical", "warning", "info"]
Expectation = Any


def some_rows(notes: str) -> Expectation:
    """The frame is not empty: nothing follows from an empty one."""
    return gxe.ExpectTableRowCountToBeBetween(min_value=1, severity="critical", notes=notes)


def no_rows(notes: str, severity: Severity = "critical") -> Expectation:
    """The frame is empty; its rows are named where it is not."""
    return gxe.ExpectTableRowCountToBeBetween(max_value=0, severity=severity, notes=notes)


def rows_at_most(value: Any, notes: str, severity: Severity = "critical") -> Expectation:
    """The frame has no more rows than that."""
    return gxe.ExpectTableRowCountToBeBetween(max_value=value, severity=severity, notes=notes)


def true(column: str, notes: str, severity: Severity = "critical") -> Expectation:
    """Every row says true."""
    return gxe.ExpectColumnValuesToBeInSet(column=column, value_set=[True], severity=severity, notes=notes)


def false(column: str, notes: str, severity: Severity = "critical") -> Expectation:
    """Every row says false."""
    return gxe.ExpectColumnValuesToBeInSet(column=column, value_set=[False], severity=severity, notes=notes)


def is_in(column: str, values: list[Any], notes: str, severity: Severity = "critical") -> Expectation:
    """Every row has one of the values."""
    return gxe.ExpectColumnValuesToBeInSet(column=column, value_set=values, severity=severity, notes=notes)


def equal(first: str, second: str, notes: str, severity: Severity = "critical") -> Expectation:
    """In every row the two columns have the same value."""
    return gxe.ExpectColumnPairValuesToBeEqual(column_A=first, column_B=second, severity=severity, notes=notes)


def has_value(column: str, notes: str, severity: Severity = "critical") -> Expectation:
    """Every row has a value there."""
    return gxe.ExpectColumnValuesToNotBeNull(column=column, severity=severity, notes=notes)


def is_empty(column: str, notes: str, severity: Severity = "critical") -> Expectation:
    """No row has a value there."""
    return gxe.ExpectColumnValuesToBeNull(column=column, severity=severity, notes=notes)


def at_most(column: str, value: Any, notes: str, severity: Severity = "critical") -> Expectation:
    """No row's value is greater."""
    return gxe.ExpectColumnValuesToBeBetween(column=column, max_value=value, severity=severity, notes=notes)


def at_least(column: str, value: Any, notes: str, severity: Severity = "critical") -> Expectation:
    """No row's value is less."""
    return gxe.ExpectColumnValuesToBeBetween(column=column, min_value=value, severity=severity, notes=notes)


def not_after(column: str, limit: str, notes: str, severity: Severity = "critical") -> Expectation:
    """In every row the instant in `column` is at or before the one in `limit`; both as text of one form in UTC.

    A bound given as a parameter would be read as a datetime and refused against text.
    """
    return gxe.ExpectColumnPairValuesAToBeGreaterThanB(
        column_A=limit, column_B=column, or_equal=True, severity=severity, notes=notes
    )


def suite(name: str, *expectations: Expectation) -> Any:
    """Name the expectations on one frame; for a gate `name` is `<step>.<frame>`."""
    return gx.ExpectationSuite(name=name, expectations=list(expectations))
