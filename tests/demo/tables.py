"""What the writer and its ledger know of the five legacy tables.

Belongs here: names, keys and which column is which. Keep out: statements.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from uuid import UUID, uuid4

from tasks.core.names import Relation

Key = int | UUID


@dataclass(frozen=True)
class Table:
    """A legacy table by the name that stays valid after cutover."""

    name: str
    time: str
    #: The column that ordinary updates change.
    payload: str
    has_uuid: bool = False
    has_nullable_time: bool = False
    #: The times have no zone: they are local to the server that wrote them.
    has_local_times: bool = False

    @property
    def relation(self) -> Relation:
        """The name with its schema."""
        return Relation("monitoring", self.name)

    def key(self, text: str) -> Key:
        """Read a key from its text."""
        return UUID(text) if self.has_uuid else int(text)

    def new_key(self) -> Key:
        """Return a key that no row has: random, and far above what the sequence has given."""
        return uuid4() if self.has_uuid else 10**12 + secrets.randbelow(10**12)


MONITORING = Table("monitoring_events", "timestamp", "data", has_uuid=True)
VALIDATION = Table("validation_metrics", "flush_timestamp", "total_errors", has_local_times=True)
CACHE = Table("cache_metrics_monitoring", "timestamp", "metadata", has_uuid=True, has_nullable_time=True)
EVENTS = Table("events", "timestamp", "data")
LETTERS = Table("dlq_table", "created_at", "original_payload", has_nullable_time=True)

#: In the order in which a declaration names them: the first keeps a collision of id and time.
TABLES = (MONITORING, VALIDATION, CACHE, EVENTS, LETTERS)
BY_RELATION = {str(table.relation): table for table in TABLES}
