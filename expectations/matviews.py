"""Whether the declared materialized views can be refreshed and are closed (D7, D8, M8)."""

from __future__ import annotations

from expectations.phrases import is_empty, some_rows, suite, true

SUITES = {
    "matviews": suite(
        "matviews.matviews",
        some_rows("D7: no declared view was looked at."),
        true("exists", "D7: a declared view must be there."),
        true("is_matview", "D7: only a materialized view is refreshed."),
        true("is_owned", "D7: before PostgreSQL 17 only the owner may refresh."),
        true("has_unique_index", "D7: without a unique index on plain columns a refresh blocks readers."),
        is_empty("granted_to", "D8: a materialized view has no row-level security, so API roles get no right on it."),
        true("is_filled", "D7: a view that was never filled cannot be read.", "warning"),
        true("is_fresh", "D7: the last refresh is older than declared.", "warning"),
    ),
}
