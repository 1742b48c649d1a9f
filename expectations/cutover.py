"""Right before the cutover: what was approved is still so (M3, M8).

Guards: the transaction of the cutover. `approved_quarantine` is the number of quarantined rows that the person saw.
"""

from __future__ import annotations

from expectations import facts
from expectations.phrases import at_most, some_rows, suite

STEP = "cutover"
SUITES = {
    "server": facts.server(STEP),
    "target": facts.target(STEP),
    "sources": facts.sources(STEP),
    "privileges": facts.privileges(STEP),
    "policies": facts.policies(STEP),
    "partitions": facts.partitions(STEP),
    "indexes": facts.indexes(STEP),
    "capture": facts.capture(STEP),
    "units": facts.units(STEP),
    "comparison": facts.comparison(STEP),
    "reconciliation": facts.reconciliation(STEP),
    "differences": facts.differences(STEP),
    "dependants": facts.dependants(STEP),
    "triggers": facts.triggers(STEP),
    "foreign_keys": facts.foreign_keys(STEP),
    "publications": facts.publications(STEP),
    "quarantine_total": suite(
        "cutover.quarantine_total",
        some_rows("M8: how many rows are in quarantine must be known."),
        at_most("rows", {"$PARAMETER": "approved_quarantine"}, "M8: more rows are in quarantine than the approval saw."),
    ),
}
