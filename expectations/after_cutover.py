"""After the cutover: the old names work, the new table is open to whom it should be, and to nobody else (M4, M8).

Guards nothing; where it blocks, the report says how to go back.
"""

from __future__ import annotations

from expectations import facts
from expectations.phrases import is_in, some_rows, suite, true

STEP = "after_cutover"
SUITES = {
    "phase": suite(
        "after_cutover.phase",
        some_rows("M3: the ledger must know the migration."),
        is_in("phase", ["cut_over"], "M3: the ledger says that the cutover is in force."),
        true("is_toggled", "M3: applications read the settings row."),
    ),
    "old_names": suite(
        "after_cutover.old_names",
        some_rows("M4: the old names must be known."),
        true("is_view", "M4: a view stands under each old name."),
        true("is_table_aside", "M6: the legacy table waits aside for the way back."),
        true("takes_writes", "M4: the view takes inserts, updates and deletes."),
        true("has_legacy_columns", "M4: the view has the legacy columns in their types."),
    ),
    "grants": suite(
        "after_cutover.grants",
        true("role_exists", "M3: a declared role must exist."),
        true("is_granted", "M3: the application's rights arrive with the cutover."),
    ),
    "target": facts.target(STEP),
    "privileges": facts.privileges(STEP),
    "policies": facts.policies(STEP),
    "partitions": facts.partitions(STEP),
    "runway": facts.runway(STEP),
}
