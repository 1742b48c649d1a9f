"""Before capture touches the legacy tables: everything the migration rests on is there and declared (M8).

Guards: the creation of the capture triggers.
"""

from __future__ import annotations

from expectations import facts
from expectations.phrases import some_rows, suite, true

STEP = "preflight"
SUITES = {
    "server": facts.server(STEP),
    "target": facts.target(STEP),
    "sources": facts.sources(STEP),
    "privileges": facts.privileges(STEP),
    "policies": facts.policies(STEP),
    # The backfill fills what lies in its span, and the gates after it ask again.
    "partitions": facts.partitions(STEP, gap="warning"),
    "dependants": facts.dependants(STEP),
    "triggers": facts.triggers(STEP),
    "foreign_keys": facts.foreign_keys(STEP),
    "publications": facts.publications(STEP),
    "runway": facts.runway(STEP),
    "disk": suite(
        "preflight.disk",
        some_rows("M2: the size of the sources must be known."),
        true(
            "is_enough", "M2: the copy needs about one and a half times the sources' size; a full disk stops the whole server."
        ),
        true("is_known", "M2: the server's free space cannot be seen from here; look for yourself.", "info"),
    ),
    "backup": suite(
        "preflight.backup",
        some_rows("M9: what each source can be restored from must be known."),
        true(
            "is_backed_up",
            "M9: nothing stands to restore a source from. Declare `backup: archive` under the migration and run backfill or migrate,"
            " which makes a verified archive before it asks this gate; or name there a backup taken by other means, with its time.",
        ),
    ),
}
