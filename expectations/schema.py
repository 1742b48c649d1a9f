"""Whether a declared table is as it should be at any time: closed, without a gap, indexed, ahead of time (M8).

Guards nothing by itself; `validate` asks it of every declared table.
"""

from __future__ import annotations

from expectations import facts

STEP = "schema"
SUITES = {
    "server": facts.server(STEP),
    "target": facts.target(STEP),
    "privileges": facts.privileges(STEP),
    "policies": facts.policies(STEP),
    "partitions": facts.partitions(STEP),
    "indexes": facts.indexes(STEP),
    "runway": facts.runway(STEP),
}
