"""Suites on frames that more than one gate asks about: what holds for a server, a target, its partitions, at any time.

Belongs here: a function per frame that returns its suite under the gate's name. Keep out: what only one gate expects.
"""

from __future__ import annotations

from typing import Any

from expectations.phrases import at_least, equal, false, is_in, no_rows, some_rows, suite, true


def server(step: str) -> Any:
    """The server and the session that collected the evidence."""
    return suite(
        f"{step}.server",
        some_rows("Without facts of the server nothing else is known."),
        at_least("version_num", 150000, "M8: what maintenance relies on exists since PostgreSQL 15."),
        is_in("time_zone", ["UTC"], "D2: bounds of partitions depend on the session's zone."),
        false("is_standby", "M1: a standby takes no change."),
        true("is_unfiltered", "M7: with row_security off a filtered read is an error and never a smaller result."),
        true("may_create", "M1: the maintenance role keeps its record in schema maintenance."),
    )


def target(step: str) -> Any:
    """The partitioned table itself."""
    return suite(
        f"{step}.target",
        some_rows("A table that was not looked at is not proven."),
        true("exists", "D1: the target must exist."),
        true("is_partitioned", "D1: partitions are what is maintained."),
        true("is_partitioned_as_declared", "D2: bounds and retention rest on the declared column."),
        true("is_owned", "D3: only the owner, or a member, may attach, detach and read past row-level security."),
        true("has_primary_key", "D1: one row is known by its key, which holds the partition key."),
        true("has_row_security", "D8: API roles see the parent through policies alone.", "warning"),
        false("has_default_partition", "D3: a default partition makes DETACH CONCURRENTLY impossible.", "warning"),
        is_in("foreign_keys_to_it", [0], "D4: a foreign key to it blocks every detach.", "warning"),
    )


def privileges(step: str) -> Any:
    """Rights on parent, partitions and materialized views; no row is a good sign, so an empty frame passes."""
    return suite(
        f"{step}.privileges",
        true("is_expected", "D8, M3: a right that nobody declared lets a role past the policies, or write too early."),
    )


def policies(step: str) -> Any:
    """Policies of sources, parent and partitions; a table without any is judged by its row-level security."""
    return suite(
        f"{step}.policies",
        true("is_expected", "D8, M4: a policy for everyone opens the table; one on a legacy table must have its counterpart."),
    )


def partitions(step: str, gap: Any = "critical") -> Any:
    """Every partition as its parent asks; `gap` is how bad a range without one is."""
    return suite(
        f"{step}.partitions",
        some_rows("D3: a table without partitions takes no row."),
        false("is_pending_detach", "D4: an interrupted detach hides its rows."),
        true("follows_without_gap", "D3: a row whose time lies in a gap is refused, and one that was there is lost.", gap),
        true("is_closed", "D8: a partition does not inherit row-level security; without it any grant opens it."),
        true("has_owner_of_parent", "D3: another owner could not be detached or read whole."),
    )


def indexes(step: str, severity: Any = "critical") -> Any:
    """The declared indexes, on the parent and on every partition."""
    return suite(
        f"{step}.indexes",
        some_rows("D1: at least the primary key must be there."),
        true("is_complete_where_due", "D5: an index that is missing on one partition makes each question scan it.", severity),
        true("is_complete", "D5: an index that is built after the load is still missing.", "warning"),
    )


def runway(step: str) -> Any:
    """Partitions ahead of time."""
    return suite(
        f"{step}.runway",
        some_rows("D3: how far the partitions reach must be known."),
        true("takes_present_rows", "D3: without a partition for this moment every insert fails."),
        true("is_long_enough", "D3: less than half of the declared runway is left.", "warning"),
    )


def sources(step: str) -> Any:
    """The legacy tables."""
    return suite(
        f"{step}.sources",
        some_rows("M2: a migration without sources proves nothing."),
        true("exists", "M2: a declared table must be there."),
        true("is_ordinary_table", "M2: triggers capture ordinary, logged tables alone."),
        true("is_owned", "M7: only the owner, or a member, reads every row past row-level security."),
        is_in("key_columns", [1], "M2: a changed row is named by one key column."),
        true("has_time_column", "M2: the declared time column must be there."),
        true("is_time", "M2: it must be a timestamp or a date."),
        false("has_children", "M2: rows of inheriting tables would be read twice or never."),
        false("forces_row_security", "M7: forced row-level security filters what the owner reads."),
        true("has_time_index", "M2: without an index on its time every unit reads the whole table.", "warning"),
    )


def dependants(step: str) -> Any:
    """Objects that would stay behind with the legacy table; no row is a good sign."""
    return suite(f"{step}.dependants", true("is_declared", "M4: what is not declared would go on reading the table set aside."))


def triggers(step: str) -> Any:
    """User triggers of the legacy tables; no row is a good sign."""
    return suite(f"{step}.triggers", true("is_declared", "M4: a trigger that is not declared would cease to fire at cutover."))


def foreign_keys(step: str) -> Any:
    """Foreign keys of the legacy tables; no row is a good sign."""
    return suite(
        f"{step}.foreign_keys",
        true("is_from_it", "M4: a foreign key to it would go on checking the table set aside."),
        no_rows("M4: a view keeps no foreign key; what it has held is no longer checked after the cutover.", "warning"),
    )


def publications(step: str) -> Any:
    """Logical replication; no row is a good sign."""
    return suite(
        f"{step}.publications",
        no_rows(
            "M4: a view is never published, and a published target sends the whole backfill to its subscribers.", "warning"
        ),
    )


def capture(step: str) -> Any:
    """The triggers that log changed keys."""
    return suite(
        f"{step}.capture",
        some_rows("M2: without capture nothing is known of what changed."),
        true("is_registered", "M2: the ledger must know every declared source."),
        true("has_triggers", "M2: a trigger that is missing, disabled or altered lets changes pass unseen."),
        true("is_generation_current", "M2: a trigger was touched since the generation was counted; every unit is due again."),
    )


def units(step: str) -> Any:
    """The units of the backfill."""
    return suite(
        f"{step}.units",
        some_rows("M2: nothing was copied."),
        true("is_done", "M2: a unit counts as done only at the present capture generation and mapping version."),
    )


def quarantine(step: str) -> Any:
    """Rows that the mapping refuses, by reason; none is a good sign."""
    return suite(
        f"{step}.quarantine",
        true("is_small_share", "M2: more than one row in a hundred is refused; look at the mapping.", "warning"),
    )


def comparison(step: str) -> Any:
    """The newest comparison of every row."""
    return suite(
        f"{step}.comparison",
        some_rows("M7: without a comparison nothing is proven."),
        true("is_current", "M7: it was made with another mapping or capture generation."),
        is_in("differing", [0], "M7: every row must be equal on both sides."),
        at_least("legacy_rows", 1, "M7: a comparison of no row proves nothing.", "warning"),
    )


def reconciliation(step: str) -> Any:
    """Both sides by source and partition."""
    return suite(
        f"{step}.reconciliation",
        some_rows("M7: an empty comparison proves nothing."),
        equal("unified_rows", "legacy_kept", "M7: as many rows as the mapping keeps."),
        equal("unified_hash", "legacy_hash", "M7: the same rows, column by column."),
        equal(
            "kept_and_quarantined",
            "legacy_judged",
            "M2: kept and quarantined make up the legacy rows, those in flight left out.",
        ),
        is_in("unquarantined", [0], "M2: a refused row stands in quarantine, whole and with its reason."),
    )


def differences(step: str) -> Any:
    """Rows that differ, by name."""
    return suite(f"{step}.differences", no_rows("M7: each of these rows differs."))
