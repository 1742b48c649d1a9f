"""Before partitions leave their table: only what is old enough goes, and nothing that is held (D4, M8).

Guards: each detach and each drop of one plan. The caller brings the frame `plan`, a row per partition that goes
(partition, deed, upper, oldest_kept, is_held, is_newest), and the parameter at_most.
"""

from __future__ import annotations

from expectations.phrases import false, has_value, not_after, rows_at_most, some_rows, suite, true

STEP = "retention"
SUITES = {
    "plan": suite(
        "retention.plan",
        some_rows("D4: an empty plan proves nothing."),
        rows_at_most({"$PARAMETER": "at_most"}, "D4: one run removes at most so many."),
        has_value("upper", "D4: a partition without an upper bound never goes."),
        not_after(
            "upper",
            "oldest_kept",
            "D4: every partition that goes ends before the retention bound, so no younger row goes with it.",
        ),
        false("is_held", "D4: a legal hold keeps it."),
        false("is_newest", "D4: the newest partition never goes."),
    ),
    "target": suite(
        "retention.target",
        some_rows("D4: the table must be known."),
        true("exists", "D4: the table must be there."),
        true("is_owned", "D4: only the owner may detach."),
    ),
    "partitions": suite(
        "retention.partitions",
        some_rows("D4: a table without partitions has nothing to remove."),
        true("follows_without_gap", "D4: a gap means that the order of things is not understood; nothing is removed."),
    ),
}
