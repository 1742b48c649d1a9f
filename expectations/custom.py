"""Your own suites, per declared table; `validate` runs them as the suite `custom` (docs/gates.md says how).

Each key of a table is a frame: one of `sql/evidence/`, or a statement of your own in `sql/evidence/custom/<frame>.sql`.
"""

from __future__ import annotations

from typing import Any

#: Table from maintenance.yaml → frame → suite.
TABLES: dict[str, dict[str, Any]] = {}
