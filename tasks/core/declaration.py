"""`maintenance.yaml`: which tables are maintained, how, why, and who owns them.

Belongs here: the strict models, reading the file, looking a declared object up by name.
Keep out: deciding anything from it (the rooms' pure modules) and the environment (`settings`).
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar
from zoneinfo import ZoneInfo

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from tasks.core.errors import InvalidDeclaration, InvalidName, NotDeclared
from tasks.core.names import Relation, require_name
from tasks.core.settings import settings

_T = TypeVar("_T")
_DURATION = re.compile(r"P(?=\d|T\d)(\d+W)?(\d+D)?(T(?=\d)(\d+H)?(\d+M)?(\d+S)?)?")


def _duration(value: object) -> object:
    """Accept ISO 8601 in weeks, days, hours, minutes and seconds: months and years have no fixed length."""
    if isinstance(value, timedelta):
        return value
    if not isinstance(value, str) or not _DURATION.fullmatch(value):
        reason = "a duration is written in ISO 8601 with weeks, days, hours, minutes or seconds, such as P90D or PT15M"
        raise ValueError(reason)
    return value


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError) as error:
        reason = f"'{value}' is not a time zone of the IANA database, such as UTC or Europe/London"
        raise ValueError(reason) from error
    return value


def _relation(value: str) -> str:
    try:
        return str(Relation.parse(value))
    except InvalidName as error:
        raise ValueError(str(error)) from None


def _name(value: str) -> str:
    try:
        return require_name(value)
    except InvalidName as error:
        raise ValueError(str(error)) from None


def _expression(value: str) -> str:
    """Refuse what could end the statement: an index definition is one clause."""
    if ";" in value or "--" in value:
        reason = "an index definition holds neither ';' nor '--'"
        raise ValueError(reason)
    return value


Duration = Annotated[timedelta, BeforeValidator(_duration)]
Zone = Annotated[str, AfterValidator(_zone)]
RelationName = Annotated[str, AfterValidator(_relation)]
Name = Annotated[str, AfterValidator(_name)]
Clause = Annotated[str, AfterValidator(_expression)]
Interval = Literal["hour", "day", "week", "month", "quarter", "year"]
#: Shortest first.
LENGTHS = ("hour", "day", "week", "month", "quarter", "year")
FlowName = Annotated[str, Field(pattern=r"^[a-z_]+$")]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Owned(_Strict):
    why: str = Field(min_length=1, description="Why this is maintained; read by the next person on call.")
    owner: str = Field(min_length=1, description="The team to ask.")


class Coarsen(_Strict):
    """Closed partitions become longer ones: fewer locks and shorter plans where much is kept."""

    after: Duration = Field(description="A range is merged once its end is older than this.")
    to: Interval = Field(description="The length of what the partitions become; longer than `every`.")
    at_most_per_run: int = Field(default=3, ge=1, le=50, description="At most so many ranges in one run, oldest first.")


class Partitioning(_Strict):
    """How a table is cut into partitions (D2, D3)."""

    by: Name = Field(description="The partition key column: timestamptz, timestamp or date.")
    every: Interval = Field(default="day", description="The length of a partition.")
    ahead: Duration = Field(description="Runway: partitions exist at least this far past now.")
    zone: Zone = Field(default="UTC", description="Zone in which days and months begin.")
    coarsen: Coarsen | None = Field(default=None, description="Merge closed partitions into longer ones.")

    @model_validator(mode="after")
    def _coarser(self) -> Self:
        if self.coarsen and LENGTHS.index(self.coarsen.to) <= LENGTHS.index(self.every):
            reason = f"coarsen.to is {self.coarsen.to}, which is not longer than every: {self.every}"
            raise ValueError(reason)
        if self.coarsen and "week" in (self.every, self.coarsen.to) and self.every not in ("hour", "day"):
            reason = "weeks do not tile months: partitions of a week stay weeks"
            raise ValueError(reason)
        return self


class Retention(_Strict):
    """When a partition goes, and what happens to it first (D4)."""

    keep: Duration = Field(description="A partition goes when its upper bound is older than this.")
    then: Literal["drop", "keep"] = Field(default="drop", description="After the grace period: drop, or keep detached.")
    grace: Duration = Field(default=timedelta(days=7), description="From archived to dropped.")
    at_most_per_run: int = Field(default=3, ge=1, le=50, description="At most so many partitions are removed in one run.")
    archive: Literal["parquet", "none"] = Field(default="parquet", description="What is kept of a partition that goes.")
    hold_restored: Duration = Field(default=timedelta(days=30), description="A restored partition stays at least this long.")
    keep_where: Clause | None = Field(
        default=None, description="A partition with a row for which this condition is true stays, such as undelivered ones."
    )


class Index(_Strict):
    """One index of a table beside its primary key (D5); built on every partition."""

    columns: Clause = Field(description="What stands in the parentheses: columns or expressions.")
    using: Literal["btree", "brin", "gin", "gist", "hash", "spgist"] = Field(default="btree", description="Its method.")
    where: Clause | None = Field(default=None, description="Of a partial index: which rows stand in it.")
    options: dict[Name, str | int] = Field(default_factory=dict, description="Storage parameters (WITH).")
    build: Literal["before_attach", "after_load", "off"] = Field(
        default="before_attach",
        description="With its partition, at the end of a backfill, or not at all; write 'off' in quotes.",
    )
    why: str = Field(min_length=1, description="Which question it answers.")
    cost: str | None = Field(default=None, description="Measured cost per row, shown in the plan.")


class Table(_Owned):
    """One partitioned table."""

    partitioning: Partitioning = Field(description="How it is cut.")
    retention: Retention | None = Field(default=None, description="When partitions go; without it they stay.")
    indexes: dict[Name, Index] = Field(default_factory=dict, description="Indexes beside the primary key.")
    gates: tuple[Literal["schema", "retention"], ...] = Field(
        default=("schema",), description="With `retention` no partition goes before that gate has judged the plan."
    )


class Matview(_Owned):
    """One materialized view (D7)."""

    refresh_every: Duration = Field(description="A refresh is due once the last one is this old.")
    stale_after: Duration = Field(description="Older than this is a finding in the health report.")


class Source(_Strict):
    """One legacy table of a migration and where its rows go."""

    code: int = Field(ge=1, le=65535, description="Stands in the ids made from this table's bigint keys.")
    mapping: Name = Field(description="Folder below sql/legacy/ with forward, backward, owns, view and, if need be, adopts.")
    time: Name = Field(description="The column that becomes the partition key.")
    zone: Zone = Field(default="UTC", description="Zone of this table's times without time zone (D11).")
    aside: Name = Field(description="The legacy table's name after cutover, in its own schema.")
    triggers: dict[Name, Literal["replaced", "disabled"]] = Field(
        default_factory=dict,
        description="User triggers: 'replaced' by the view's mapping, or only 'disabled'; an undeclared one blocks.",
    )
    dependants: dict[RelationName, Literal["recreate", "ignore"]] = Field(
        default_factory=dict, description="Views, matviews and functions on it; an undeclared one blocks."
    )
    policies: dict[str, str] = Field(
        default_factory=dict, description="Legacy policies beyond the two standard ones, with their stated counterpart."
    )


class Migration(_Owned):
    """Legacy tables that become one partitioned table (M1-M8)."""

    target: RelationName = Field(description="The partitioned table, declared under `tables`.")
    span_from: Annotated[timedelta, BeforeValidator(_duration)] | datetime = Field(
        description="Oldest event time that is taken: an instant, or a duration before the first capture."
    )
    sources: dict[RelationName, Source] = Field(min_length=1, description="In order: the first keeps a collision.")
    grants: dict[Name, tuple[Literal["select", "insert", "update", "delete"], ...]] = Field(
        default_factory=dict, description="Rights on the target that roles get in the cutover transaction (M3)."
    )
    sign_offs: tuple[str, ...] = Field(default=(), description="Named sign-offs the approval must hold (M8).")
    verdict_valid: Duration = Field(default=timedelta(hours=1), description="A verdict older than this is asked again.")
    approval_valid: Duration = Field(default=timedelta(days=3), description="How long an approval request stays open.")
    quarantine_allowance: int = Field(
        default=0, ge=0, description="Rows that may join the quarantine between the request for approval and the cutover."
    )
    toggle: Name = Field(default="USE_UNIFIED_SCHEMA", description="The settings row flipped at cutover (M3).")
    retire_after: Duration = Field(
        default=timedelta(days=30), description="The old tables stay this long after the cutover; retire_legacy waits (M5)."
    )
    old_names_quiet: Duration = Field(
        default=timedelta(days=7),
        description="retire_legacy refuses while writes through an old name were seen within this time.",
    )
    old_names_stay: bool = Field(
        default=False, description="Writes through the old names may go on: the views stay after the old tables are dropped."
    )
    backup: str | None = Field(
        default=None,
        description="archive: a verified archive of every source, made before the preflight gate. Any other text: name and time of"
        " a backup taken by other means (M9).",
    )

    @model_validator(mode="after")
    def _codes_differ(self) -> Self:
        codes = [source.code for source in self.sources.values()]
        if len(set(codes)) != len(codes):
            reason = f"two sources share a code: {codes}"
            raise ValueError(reason)
        return self


class SessionSink(_Owned):
    """The table that holds an application's sessions, and when they end (D9); its columns stand in docs/flows/expire_sessions.md."""

    table: RelationName = Field(description="Where it is written.")
    expire_after: Duration = Field(description="A session without an end of its own is over once it was idle for this long.")
    purge_after: Duration = Field(description="An expired session is deleted once it has been over for this long.")
    batch_rows: int = Field(default=1000, ge=1, le=100_000, description="At most so many sessions in one transaction.")

    @model_validator(mode="after")
    def _sessions_live(self) -> Self:
        if not self.expire_after:
            reason = "expire_after is no time at all, so every session would be over at once"
            raise ValueError(reason)
        return self


class Metadata(_Owned):
    """Columns that hold metadata in the one standard shape (D6); docs/flows/repair_metadata.md describes it."""

    columns: dict[RelationName, Name] = Field(min_length=1, description="The column of each table, of type jsonb.")
    batch_rows: int = Field(default=1000, ge=1, le=100_000, description="At most so many rows in one transaction.")
    at_most_per_run: int = Field(default=1000, ge=1, description="At most so many batches of one table in one run.")


class FlowPolicy(_Strict):
    """What one flow is allowed."""

    overdue_after: Duration = Field(default=timedelta(days=2), description="Deferred runs fail once this has passed.")


#: What a failed flow run leaves: each may stand in a column of the sink. `failure` is all the others as one JSON object.
FailureField = Literal["id", "occurred_at", "kind", "object", "message", "flow", "flow_run_id", "failure"]


class FailureSink(_Owned):
    """The table in which every failed flow run leaves one row (A4)."""

    table: RelationName = Field(description="Where it is written.")
    columns: dict[Name, FailureField] = Field(min_length=1, description="Which part of the failure stands in which column.")
    constants: dict[Name, str | int | bool] = Field(default_factory=dict, description="What stands in other columns.")


class Sinks(_Strict):
    """Tables that maintenance itself writes."""

    sessions: SessionSink | None = Field(default=None, description="An application's sessions.")
    failures: FailureSink | None = Field(default=None, description="One row for each failed flow run.")


class Breakdown(_Strict):
    """A relation that the health report shows by some of its columns."""

    relation: RelationName = Field(description="A table or view.")
    by: tuple[Name, ...] = Field(min_length=1, description="Columns to group by.")
    sum: tuple[Name, ...] = Field(default=(), description="Columns to add up, the first decides the order; empty counts rows.")


class Health(_Strict):
    """What the health report shows beside the catalog, and when a figure is a finding (A5, A6)."""

    fail_at: Literal["critical", "warning", "info", "never"] = Field(
        default="critical", description="The run fails where a finding is at least this bad."
    )
    keep: Duration = Field(default=timedelta(days=90), description="How long the figures of a run are kept for trends.")
    long_transaction: Duration = Field(
        default=timedelta(hours=1), description="A transaction that is open for longer is a finding."
    )
    idle_in_transaction: Duration = Field(
        default=timedelta(minutes=10), description="So is a session that idles in one for longer."
    )
    slot_wal_mb: int = Field(default=10_240, ge=1, description="WAL kept for a replication slot.")
    connections_percent: int = Field(default=80, ge=1, le=100, description="More of max_connections in use is a finding.")
    errors: Breakdown | None = Field(default=None, description="What the section errors shows.")
    events: Breakdown | None = Field(default=None, description="What the section events shows.")
    conversations: tuple[RelationName, ...] = Field(default=(), description="Tables whose size the section memory shows.")


class CacheTimes(_Strict):
    """How long a value of each namespace of the cache lives (A3)."""

    conv: Duration = Field(default=timedelta(hours=1), description="Conversations.")
    sem: Duration = Field(default=timedelta(days=1), description="Semantic results.")
    conn: Duration = Field(default=timedelta(minutes=5), description="States of connections.")
    sess: Duration = Field(default=timedelta(minutes=30), description="Sessions.")
    file: Duration = Field(default=timedelta(days=1), description="Files.")
    evt: Duration = Field(
        default=timedelta(minutes=10), description="Results of the declared matviews; each refresh renews them."
    )

    def of(self, namespace: str) -> timedelta:
        """Return the time of a namespace."""
        return getattr(self, namespace)


class Declaration(_Strict):
    """The whole file."""

    schema_sets: tuple[Name, ...] = Field(default=(), description="Sets of sql/migrations/ applied beside 'maintenance'.")
    tables: dict[RelationName, Table] = Field(default_factory=dict, description="Partitioned tables.")
    matviews: dict[RelationName, Matview] = Field(default_factory=dict, description="Materialized views to refresh.")
    migrations: dict[Name, Migration] = Field(default_factory=dict, description="Legacy tables that become one of `tables`.")
    sinks: Sinks = Field(default_factory=Sinks, description="Where sessions and failures are written.")
    cache: CacheTimes = Field(default_factory=CacheTimes, description="How long what is cached lives.")
    metadata: Metadata | None = Field(default=None, description="Columns that hold metadata in the standard shape.")
    flows: dict[FlowName, FlowPolicy] = Field(default_factory=dict, description="How late a flow may be.")
    health: Health = Field(default_factory=Health, description="What the health report shows and when it fails.")

    @model_validator(mode="after")
    def _targets_are_declared(self) -> Self:
        for name, migration in self.migrations.items():
            if migration.target not in self.tables:
                reason = f"migration {name} has the target {migration.target}, which is not under tables"
                raise ValueError(reason)
        return self

    def table(self, name: str) -> Table:
        """Return the declared table, or raise NotDeclared."""
        return _find("table", name, self.tables)

    def matview(self, name: str) -> Matview:
        """Return the declared materialized view, or raise NotDeclared."""
        return _find("materialized view", name, self.matviews)

    def migration(self, name: str) -> Migration:
        """Return the declared migration, or raise NotDeclared."""
        return _find("migration", name, self.migrations)

    def session_sink(self) -> SessionSink:
        """Return the declared table of sessions, or raise NotDeclared."""
        declared = {"sessions": self.sinks.sessions} if self.sinks.sessions else {}
        return _find("sink", "sessions", declared)

    def metadata_of(self, table: str) -> tuple[str, Metadata]:
        """Return the table's column of metadata and how it is repaired, or raise NotDeclared."""
        held = {name: (column, self.metadata) for name, column in self.metadata.columns.items()} if self.metadata else {}
        return _find("table with metadata", table, held)

    def metadata_tables(self, name: str | None) -> list[str]:
        """Return the one table named (NotDeclared if it has no column of metadata), or every one that has."""
        if name is None:
            return list(self.metadata.columns) if self.metadata else []
        self.metadata_of(name)
        return [name]

    def flow(self, name: str) -> FlowPolicy:
        """Return what the flow is allowed; the defaults where the file says nothing."""
        return self.flows.get(name) or FlowPolicy()

    def table_names(self, name: str | None) -> list[str]:
        """Return the one table named (NotDeclared if unknown), or every declared one."""
        if name is None:
            return list(self.tables)
        self.table(name)
        return [name]


def _find(kind: str, name: str, among: Mapping[str, _T]) -> _T:
    if name not in among:
        file = str(settings().maintenance_file)
        raise NotDeclared(kind=kind, name=name, file=file, known=", ".join(among) or "none")
    return among[name]


class _UniqueKeys(yaml.SafeLoader):
    """A loader that refuses a key written twice, where YAML would keep the last one silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002 (the base class's signature)
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"the key '{key}' stands twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def read_declaration(path: Path | None = None) -> Declaration:
    """Read `path`, or the file that MAINTENANCE_FILE names.

    Raises InvalidDeclaration naming file, place and reason for a missing file, a misspelt or doubled key, or a wrong value.
    """
    file = path or settings().maintenance_file
    try:
        content = yaml.load(file.read_text(encoding="utf-8"), Loader=_UniqueKeys)  # noqa: S506 (a SafeLoader)
        return Declaration.model_validate(content or {})
    except OSError as error:
        remedy = "Set MAINTENANCE_FILE to the declaration's path."
        raise InvalidDeclaration(str(file), "the file", error.strerror or "it cannot be read", remedy) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}" if mark else "the file"
        raise InvalidDeclaration(str(file), where, getattr(error, "problem", None) or "it is not YAML") from None
    except ValidationError as error:
        raise InvalidDeclaration(str(file), *_first(error)) from None


def _first(error: ValidationError) -> tuple[str, str]:
    """Return place and reason of the first fault; a missing or unknown key is named as such."""
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    fault = min(faults, key=lambda f: f["type"] != "extra_forbidden")
    where = ".".join(str(part) for part in fault["loc"]) or "the top level"
    unknown = fault["type"] == "extra_forbidden"
    return where, "there is no such key" if unknown else fault["msg"].removeprefix("Value error, ")
