"""After the backfill: every unit is done under the capture in force, and the partitions are whole (M8).

Guards: the comparison of every row.
"""

from __future__ import annotations

from expectations import facts

STEP = "backfill"
SUITES = {
    "server": facts.server(STEP),
    "target": facts.target(STEP),
    "privileges": facts.privileges(STEP),
    "partitions": facts.partitions(STEP),
    "indexes": facts.indexes(STEP),
    "capture": facts.capture(STEP),
    "units": facts.units(STEP),
    "quarantine": facts.quarantine(STEP),
}
