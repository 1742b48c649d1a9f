"""What the health report knows, as plain values: one small dataclass per subject.

Belongs here: the shapes that the statements of sql/health/ fill, and the limits that a declaration sets.
Keep out: rules (`findings`, `server_rules`, `security_rules`), SQL, clocks. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

Level = Literal["critical", "warning", "info"]
Shown = Literal["errors", "events", "sessions"]
Readable = Literal["read", "absent", "never filled", "not readable"]
ORDER: dict[Level, int] = {"critical": 0, "warning": 1, "info": 2}


@dataclass(frozen=True)
class Finding:
    """One thing that somebody should know; `rule` names its kind for events, `remedy` can be copied or is a sentence."""

    level: Level
    rule: str
    section: str
    object: str
    text: str
    remedy: str = ""


@dataclass(frozen=True)
class Limits:
    """Where a figure becomes a finding; a declaration may set them."""

    long_transaction: timedelta = timedelta(hours=1)
    idle_in_transaction: timedelta = timedelta(minutes=10)
    slot_wal_bytes: int = 10 * 2**30
    connections_used: float = 0.8
    dead_rows: int = 10_000


@dataclass(frozen=True)
class PartitionFigures:
    """Rows (by the statistics) and bytes of one bounded partition."""

    lower: datetime | None
    upper: datetime | None
    rows: int
    bytes: int


@dataclass(frozen=True)
class TableFacts:
    """Partitions of one declared table. `due` are attached past their retention, `waiting` are archived and in grace."""

    table: str
    runway_until: datetime | None
    ahead: timedelta
    has_default: bool
    pending_detach: tuple[str, ...]
    due: int
    waiting: int
    exists: bool = True
    default_rows: int = 0
    has_retention: bool = True
    partitions: tuple[PartitionFigures, ...] = ()

    @property
    def rows(self) -> int:
        """Return the rows of all partitions, as the statistics know them."""
        return sum(partition.rows for partition in self.partitions)

    @property
    def bytes(self) -> int:
        """Return the bytes of all partitions with their indexes."""
        return sum(partition.bytes for partition in self.partitions)


@dataclass(frozen=True)
class MatviewFacts:
    """One declared materialized view's freshness."""

    matview: str
    refreshed_at: datetime | None
    stale_after: timedelta
    last_error: str | None


@dataclass(frozen=True)
class QuarantineFacts:
    """Rows that a mapping refused."""

    source: str
    reason: str
    rows: int


@dataclass(frozen=True)
class GrowthFacts:
    """Rows in quarantine now and at an earlier report."""

    before: int
    since: datetime
    now: int


@dataclass(frozen=True)
class GateFacts:
    """The newest verdict of one gate."""

    subject: str
    step: str
    status: str
    decided_at: datetime
    reasons: int


@dataclass(frozen=True)
class MigrationFacts:
    """Where one migration stands; `setting` and `override` say which side the application is told to use (M3)."""

    name: str
    phase: str
    queued_keys: int
    open_units: int
    toggle: str = ""
    setting: str | None = None
    override: str | None = None


@dataclass(frozen=True)
class FlowFacts:
    """When a flow last did its work on a subject; `is_held` where a migration is why it does not."""

    flow: str
    subject: str
    last_success: datetime | None
    newest_outcome: str
    overdue_after: timedelta
    first_asked: datetime | None = None
    is_held: bool = False


@dataclass(frozen=True)
class ServerFacts:
    """The server, this database and what this session may see of it."""

    database: str
    role_name: str
    version: str
    sees_sessions: bool
    database_bytes: int
    shared_buffers_bytes: int
    effective_cache_bytes: int
    work_mem_bytes: int
    hit_ratio: float | None
    deadlocks: int
    temp_bytes: int
    is_vacuumed: bool
    connections: int
    active: int
    idle: int
    idle_in_transaction: int
    waiting: int
    connection_limit: int


@dataclass(frozen=True)
class FreezeFacts:
    """Age of the oldest transaction and multixact that a database or a table still knows."""

    kind: Literal["database", "table"]
    object: str
    xid_age: int
    multixact_age: int
    freeze_max_age: int
    multixact_freeze_max_age: int


@dataclass(frozen=True)
class VacuumFacts:
    """A table with more dead rows than autovacuum leaves by its own rule."""

    relation: str
    dead: int
    threshold: int
    last_vacuum: datetime | None
    is_switched_off: bool


@dataclass(frozen=True)
class SessionFacts:
    """A session with an open transaction."""

    pid: int
    role_name: str | None
    application: str | None
    state: str | None
    transaction_since: datetime
    state_since: datetime | None
    query_since: datetime | None
    query: str | None
    blocked_by: tuple[int, ...] = ()


@dataclass(frozen=True)
class PreparedFacts:
    """A transaction that was prepared and neither committed nor rolled back."""

    gid: str
    owner: str
    prepared_at: datetime


@dataclass(frozen=True)
class SlotFacts:
    """A replication slot and the WAL that is kept for it."""

    slot: str
    is_active: bool
    wal_status: str | None
    wal_bytes: int | None


@dataclass(frozen=True)
class IndexFacts:
    """An invalid index that nobody is building."""

    index: str
    on_table: str
    is_partitioned: bool
    declared_table: str | None


@dataclass(frozen=True)
class ExposedFacts:
    """A relation that API roles reach, or could reach with one grant, around row-level security.

    Of a compatibility view `rights` are those that differ from its legacy table's, as `+role RIGHT` for one too much and
    `-role RIGHT` for a missing one; none where it is not known what that table granted.
    """

    relation: str
    kind: Literal["partition", "parent", "matview", "view"]
    parent: str | None
    roles: tuple[str, ...]
    has_secured_parent: bool
    is_compatibility_view: bool
    rights: tuple[str, ...] = ()


@dataclass(frozen=True)
class DefinerFacts:
    """A function that runs with its owner's rights and the caller's search_path."""

    function: str
    owner: str


@dataclass(frozen=True)
class PolicyFacts:
    """A policy for everyone that is always true; `roles` have a right on the table."""

    relation: str
    policy: str
    command: str
    roles: tuple[str, ...]


@dataclass(frozen=True)
class CronFacts:
    """An active job of pg_cron, with the relations that are declared here; `called` holds the bodies of the functions that it calls."""

    jobid: int
    schedule: str
    command: str
    declared: tuple[str, ...]
    called: str = ""


@dataclass(frozen=True)
class HiddenFacts:
    """A relation that is there and that this role may not read whole, so that nothing is known of it."""

    relation: str


@dataclass(frozen=True)
class BucketFacts:
    """A bucket of Supabase Storage."""

    bucket: str
    objects: int
    bytes: int


@dataclass(frozen=True)
class RelationFacts:
    """A declared relation that the report only shows, such as a conversation table; `rows` by the statistics."""

    relation: str
    exists: bool
    rows: int = 0
    bytes: int = 0


@dataclass(frozen=True)
class BreakdownFacts:
    """A declared relation by some of its columns. `state` says why there are no rows; `total` is that of its first measure."""

    section: Shown
    relation: str
    state: Readable
    measure: str = "rows"
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[Any, ...], ...] = ()
    total: int | None = None


@dataclass(frozen=True)
class BreakerFacts:
    """The last state that a process has told of a dependency's breaker."""

    dependency: str
    address: str
    state: Literal["closed", "open", "half_open"]
    failures: int
    since: datetime
    reason: str
    seen_by: str


@dataclass(frozen=True)
class CacheFacts:
    """What the cache has done, by namespace: hits and misses; `kind` says where it is."""

    kind: str
    is_up: bool
    hit_rate: float | None
    counts: tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class FailureFacts:
    """A flow run of maintenance itself that failed."""

    occurred_at: datetime
    flow: str
    kind: str
    object: str
    message: str


@dataclass(frozen=True)
class RefusedFacts:
    """Failures that the declared sink did not take."""

    failures: int
    reason: str


Facts = (
    TableFacts | MatviewFacts | QuarantineFacts | GrowthFacts | GateFacts | MigrationFacts | FlowFacts | ServerFacts
    | FreezeFacts | VacuumFacts | SessionFacts | PreparedFacts | SlotFacts | IndexFacts | ExposedFacts | DefinerFacts
    | PolicyFacts | CronFacts | BucketFacts | RelationFacts | BreakdownFacts | BreakerFacts
    | FailureFacts | RefusedFacts | CacheFacts | HiddenFacts
)  # fmt: skip
