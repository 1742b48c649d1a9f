"""After the comparison: every row is equal on both sides, or in quarantine with its reason (M7, M8).

Guards: the request for approval.
"""

from __future__ import annotations

from expectations import facts

STEP = "integrity"
SUITES = {
    "server": facts.server(STEP),
    "privileges": facts.privileges(STEP),
    "partitions": facts.partitions(STEP),
    "capture": facts.capture(STEP),
    "units": facts.units(STEP),
    "comparison": facts.comparison(STEP),
    "reconciliation": facts.reconciliation(STEP),
    "differences": facts.differences(STEP),
    "quarantine": facts.quarantine(STEP),
}
