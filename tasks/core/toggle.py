"""Whether a toggle is on, such as USE_UNIFIED_SCHEMA: the environment overrides the settings row (M3).

Belongs here: the accessor for Python applications. Keep out: flipping a row (`migration/setting_write`), which cutover and
way back do.
"""

from __future__ import annotations

from tasks.core.connect import Kind, transaction
from tasks.core.settings import switch
from tasks.core.sqlfiles import fetch_one


def is_on(name: str) -> bool:
    """Say whether toggle `name` is on: as this process's environment says, else as its settings row, else no.

    Raises InvalidSetting where the environment's value is neither yes nor no, NoDatabase where both are silent (M3).
    """
    said = switch(name)
    if said is not None:
        return said
    with transaction(Kind.READ) as conn:
        return bool(fetch_one(conn, "core/setting_on", name=name)["is_on"])
