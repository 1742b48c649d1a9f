"""`make bench-partitions`: making, removing and archiving partitions against pg_partman, plain SQL, COPY and pandas.

ROWS (250,000; the rows of the larger day), PARTITIONS (365), TABLES (1,000), MADE (100 of them) and ROUNDS (3) come from the
environment, and ONLY, one of the parts: make, remove, archive, plan. Runs on
Debian's PostgreSQL 15 where pg_partman is installed for it, else on the embedded server without that rival. Prints one
table, writes build/bench/partitions.json, and ends with 0 also where a goal is missed: a figure is no test.
Belongs here: servers, databases, rounds, what the figures mean. Keep out: what a contender does (`partition_contenders`,
`archiving`, `planning`).
"""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo
from rich.console import Console

from tasks.core.connect import runtime
from tasks.core.embedded import DATA, own_directory, remove, watchdog
from tasks.core.migrations import apply
from tasks.partitions.indexes import ensure_indexes
from tests.bench import partition_contenders
from tests.bench.archiving import CSV, PANDAS, WRITERS, Written
from tests.bench.backfill import MAINTAINER, admit
from tests.bench.common import SETTINGS, Drawn, Figure, Goal, judged, median_ratio, print_table, run, turns, write_json
from tests.bench.partition_contenders import CREATORS, OURS, PARENT, PARTMAN, PLAIN, REMOVERS, TABLE, Ground, add_day
from tests.bench.planning import EACH, make_tables, plan_from_catalog, plan_many
from tests.bench.probe import Probes, Role, now, probing
from tests.demo import statements

DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")
PARTMAN_15 = Path("/usr/share/postgresql/15/extension/pg_partman.control")
#: Days from today: the smaller and the larger day are removed alone, the many under the eyes of a reader; two are archived.
SMALL, LARGE, MANY, WRITTEN, NEWEST = -92, -91, range(-90, -60), (-5, -4), 1
BASE, RETAINED, ARCHIVED = "bench_base", "bench_retained", "bench_archived"
RELOAD_WAIT_S = 10.0
BYTES_PER_ROW, BYTES_APART = 8_000, 2_000_000_000

PARTS = ("make", "remove", "archive", "plan")

Window = tuple[float, float]


@dataclass(frozen=True)
class Scale:
    """How much is measured, and how often."""

    rows: int = 250_000
    partitions: int = 365
    tables: int = 1_000
    made: int = 100
    rounds: int = 3
    idle_s: float = 4.0
    #: The one part that is measured; empty for all.
    only: str = ""

    @classmethod
    def from_environment(cls) -> Scale:
        """Read ROWS, PARTITIONS, TABLES, MADE, ROUNDS and ONLY, each optional; raises ValueError for an unknown part."""
        only = os.environ.get("ONLY", "")
        if only and only not in PARTS:
            reason = f"ONLY={only} names no part: there are {', '.join(PARTS)}"
            raise ValueError(reason)
        given = {name: os.environ.get(name.upper()) for name in ("rows", "partitions", "tables", "made", "rounds")}
        return cls(**{name: int(value.replace("_", "")) for name, value in given.items() if value}, only=only)

    def has(self, part: str) -> bool:
        """Say whether a part is measured."""
        return self.only in ("", part)


@dataclass(frozen=True)
class Arena:
    """A server, the role that every contender works as, and who is told how far it has come."""

    superuser_dsn: str
    scale: Scale
    tell: Callable[[str, int, int | None], None]
    has_partman: bool
    role: str = MAINTAINER
    password: str = secrets.token_urlsafe(16)
    midnight: datetime = field(default_factory=lambda: datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0))

    def ground(self, database: str) -> Ground:
        """Return a database as its contender sees it."""
        dsn = make_conninfo(self.superuser_dsn, dbname=database, user=self.role, password=self.password)
        return Ground(dsn, make_conninfo(self.superuser_dsn, dbname=database), self.role, self.midnight)

    def present(self, names: Sequence[str]) -> list[str]:
        """Return the contenders that can take part on this server."""
        return [name for name in names if name != PARTMAN or self.has_partman]


@dataclass(frozen=True)
class Created:
    """One turn of making partitions: seconds, and the p99 in milliseconds of who worked beside it."""

    seconds: float
    reader_ms: float
    writer_ms: float


@dataclass(frozen=True)
class Removed:
    """One turn of removing: milliseconds for the smaller and the larger day, and p99 against idle while many days go."""

    small_ms: float
    large_ms: float
    reader_slowed: float
    writer_slowed: float


@dataclass(frozen=True)
class Measurements:
    """Everything, round by round; seconds of planning for all tables, and with what is read for a
    quarter of those that were made and for all of these."""

    created: Mapping[str, Sequence[Created]]
    created_unflushed: Mapping[str, Sequence[float]]
    removed: Mapping[str, Sequence[Removed]]
    written: Mapping[str, Sequence[Written]]
    planned: Sequence[float]
    planned_from_catalog: Sequence[tuple[float, float]]


def contest(arena: Arena) -> Measurements:
    """Fill the templates, let every contender take its turns on copies of them, and return what was measured."""
    kept = dict(os.environ)
    with closing(psycopg.connect(arena.superuser_dsn, autocommit=True)) as admin:
        try:
            _make_templates(admin, arena)
            return Measurements(
                _each_turn(admin, arena, "make", BASE, list(CREATORS), _create),
                _each_turn(admin, arena, "make", BASE, list(CREATORS), _create_unflushed),
                _each_turn(admin, arena, "remove", RETAINED, list(REMOVERS), _remove),
                _each_turn(admin, arena, "archive", ARCHIVED, list(WRITERS), _archive),
                *_plan(admin, arena),
            )
        finally:
            for template in (BASE, RETAINED, ARCHIVED):
                run(admin, "drop", database=template)
            os.environ.clear()
            os.environ.update(kept)


def _make_templates(admin: psycopg.Connection[Any], arena: Arena) -> None:
    """The shipped table with a partition for each day; copies of it get the rows that go."""
    rows = arena.scale.rows
    statements.run(admin, "stage/create_database", database=BASE, owner=arena.role)
    ground = arena.ground(BASE)
    partition_contenders.enter(ground)
    apply(("event_store",))
    with runtime():
        for phase in ("before_attach", "after_load"):
            ensure_indexes(TABLE, partition_contenders.declared(), phase)
    with closing(ground.connect()) as conn:
        for number in range(NEWEST + 1):
            add_day(conn, ground, number)
    _fill(arena, BASE, {0: rows // 10})
    for template, filled in (
        (RETAINED, {SMALL: rows // 10, LARGE: rows, **dict.fromkeys(MANY, max(rows // 250, 1))}),
        (ARCHIVED, dict.fromkeys(WRITTEN, rows // len(WRITTEN))),
    ):
        run(admin, "clone", database=template, template=BASE, owner=arena.role)
        with closing(arena.ground(template).connect()) as conn:
            for number in range(min(filled), 0):
                add_day(conn, arena.ground(template), number)
        _fill(arena, template, filled)


def _fill(arena: Arena, database: str, filled: Mapping[int, int]) -> None:
    ground, done = arena.ground(database), 0
    with closing(ground.connect()) as conn:
        for number, rows in filled.items():
            run(conn, "partitions/fill", parent=PARENT, lower=ground.day(number), rows=rows)
            done += rows
            arena.tell(f"rows of {database}", done, sum(filled.values()))
    with closing(psycopg.connect(ground.superuser_dsn, autocommit=True)) as conn:
        run(conn, "vacuum")


def _each_turn(
    admin: psycopg.Connection[Any],
    arena: Arena,
    deed: str,
    template: str,
    names: Sequence[str],
    take: Callable[[psycopg.Connection[Any], Arena, Ground, str], Any],
) -> dict[str, list[Any]]:
    present = arena.present(names) if arena.scale.has(deed) else []
    measured: dict[str, list[Any]] = {name: [] for name in present}
    for number, name in turns(present, arena.scale.rounds if present else 0):
        arena.tell(f"round {number + 1}: {deed}: {name}", 0, None)
        with _copy_of(admin, arena, template) as ground:
            measured[name].append(take(admin, arena, ground, name))
    return measured


@contextmanager
def _copy_of(admin: psycopg.Connection[Any], arena: Arena, template: str) -> Iterator[Ground]:
    """Lend a copy of a template; DATABASE_URL names it."""
    database = "bench_turn"
    run(admin, "clone", database=database, template=template, owner=arena.role)
    try:
        ground = arena.ground(database)
        partition_contenders.enter(ground)
        yield ground
    finally:
        run(admin, "drop", database=database)


def _create(admin: psycopg.Connection[Any], arena: Arena, ground: Ground, name: str) -> Created:
    create = CREATORS[name](ground)
    run(admin, "checkpoint")
    with probing(ground.dsn, TABLE) as probes:
        window = _timed(lambda: create(arena.scale.partitions))
    _require_partitions(ground, NEWEST + 1 + arena.scale.partitions)
    return Created(window[1] - window[0], *_p99(probes, window))


def _create_unflushed(admin: psycopg.Connection[Any], arena: Arena, ground: Ground, name: str) -> float:
    """Make them alone on a server that does not wait for its disk; returns the seconds.

    Each index is flushed when it is built, whoever makes it, and on a slow disk that is all the time of every contender.
    """
    create = CREATORS[name](ground)
    run(admin, "checkpoint")
    with _without_flush(admin):
        begin, end = _timed(lambda: create(arena.scale.partitions))
    _require_partitions(ground, NEWEST + 1 + arena.scale.partitions)
    return end - begin


@contextmanager
def _without_flush(admin: psycopg.Connection[Any]) -> Iterator[None]:
    """Sessions that begin within the block do not wait for the disk."""
    before = _flush_state(admin)
    try:
        run(admin, "stop_flush")
        _reload(admin, "off")
        yield
    finally:
        run(admin, "reset_flush")
        _reload(admin, before)


def _reload(admin: psycopg.Connection[Any], wanted: str) -> None:
    """The postmaster reads its settings before it tells its sessions: once this one has them, new ones do."""
    run(admin, "reload")
    until = now() + RELOAD_WAIT_S
    while _flush_state(admin) != wanted:
        if now() > until:
            raise RuntimeError(f"fsync is not {wanted} after {RELOAD_WAIT_S:g} s")
        time.sleep(0.01)


def _flush_state(admin: psycopg.Connection[Any]) -> str:
    return str(run(admin, "show_flush").fetchall()[0][0])


def _p99(probes: Probes, window: Window) -> tuple[float, float]:
    roles: tuple[Role, Role] = ("reader", "writer")
    reader, writer = (probes.p99(role, window) for role in roles)
    return reader, writer


def _remove(admin: psycopg.Connection[Any], arena: Arena, ground: Ground, name: str) -> Removed:
    take_away = REMOVERS[name](ground)
    alone: list[Window] = []
    for day in (SMALL, LARGE):
        run(admin, "checkpoint")
        alone.append(_timed(lambda day=day: take_away(day, day + 1)))
        _require_gone(ground, day + 1)
    run(admin, "checkpoint")
    with probing(ground.dsn, TABLE) as probes:
        idle = _timed(lambda: time.sleep(arena.scale.idle_s))
        busy = _timed(lambda: take_away(MANY.start, MANY.stop))
    _require_gone(ground, MANY.stop)
    slowed = [during / before for during, before in zip(_p99(probes, busy), _p99(probes, idle), strict=True)]
    return Removed(*(1000 * (end - begin) for begin, end in alone), *slowed)


def _timed(work: Callable[[], object]) -> Window:
    begin = now()
    work()
    return begin, now()


def _require_partitions(ground: Ground, wanted: int) -> None:
    """pg_partman counts in months of 30 days and may make one or two more, at 365 none."""
    with closing(ground.connect()) as conn:
        found = run(conn, "partitions/count_partitions", parent=TABLE).fetchall()[0][0]
    if not wanted <= found <= wanted + 2:
        raise RuntimeError(f"{found} partitions stand where {wanted} were to be made")


def _require_gone(ground: Ground, day: int) -> None:
    """A contender that removes less is no rival."""
    with closing(ground.connect()) as conn:
        left = run(conn, "partitions/count_before", parent=PARENT, upper=ground.day(day)).fetchall()[0][0]
        kept = run(conn, "partitions/count_before", parent=PARENT, upper=ground.day(NEWEST)).fetchall()[0][0]
    if left or not kept:
        raise RuntimeError(f"{left} rows are left that were to go, {kept} of those that were to stay")


def _archive(admin: psycopg.Connection[Any], arena: Arena, ground: Ground, name: str) -> Written:
    run(admin, "checkpoint")
    with tempfile.TemporaryDirectory(prefix="bench_archive_") as folder:
        return WRITERS[name](ground, WRITTEN, Path(folder))


def _plan(admin: psycopg.Connection[Any], arena: Arena) -> tuple[list[float], list[tuple[float, float]]]:
    scale = arena.scale
    if not scale.has("plan"):
        return [], []
    arena.tell("plan", 0, None)
    alone = [plan_many(scale.tables, arena.midnight) for _ in range(scale.rounds)]
    with _copy_of(admin, arena, BASE) as ground:
        make_tables(ground, scale.made)
        few = max(scale.made // 4, 1)
        return alone, [(plan_from_catalog(ground, few), plan_from_catalog(ground, scale.made)) for _ in range(scale.rounds)]


def figures(measured: Measurements, scale: Scale) -> list[Figure]:
    """Say what the measurements mean: ratios are medians of the ratios of each round, the rest are medians."""
    return [
        *(_creation(measured, scale) if measured.created else ()),
        *(_removal(measured.removed, scale) if measured.removed else ()),
        *(_archives(measured.written, scale) if measured.written else ()),
        *(_planning(measured, scale) if measured.planned else ()),
    ]


def _creation(measured: Measurements, scale: Scale) -> list[Figure]:
    created, unflushed = measured.created, measured.created_unflushed
    what = f"{scale.partitions} daily partitions made"
    base = PARTMAN if PARTMAN in created else PLAIN
    goal = Goal("<=", 2.0) if base == PARTMAN else None
    return [
        _ratio(f"{what}: time against {base}", created, base, lambda one: one.seconds, goal),
        _plain(what, "s", created, lambda one: one.seconds),
        _ratio(f"{what} without waiting for the disk: time against {base}", unflushed, base, lambda one: one, goal),
        _plain(f"{what} without waiting for the disk", "s", unflushed, lambda one: one),
        _no_worse(f"{what}: reader's p99", created, lambda one: one.reader_ms),
        _no_worse(f"{what}: writer's p99", created, lambda one: one.writer_ms),
    ]


def _removal(removed: Mapping[str, Sequence[Removed]], scale: Scale) -> list[Figure]:
    small, large = f"{scale.rows // 10:,}", f"{scale.rows:,}"
    return [
        _plain(f"a day of {small} rows removed", "ms", removed, lambda one: one.small_ms),
        _plain(f"a day of {large} rows removed", "ms", removed, lambda one: one.large_ms),
        _plain("ten times the rows: time", "ratio", removed, lambda one: one.large_ms / one.small_ms, Goal("<=", 1.5)),
        _plain(
            f"{len(MANY)} days removed: reader's p99 against idle",
            "ratio",
            removed,
            lambda one: one.reader_slowed,
            Goal("<=", 2),
        ),
        _plain(f"{len(MANY)} days removed: writer's p99 against idle", "ratio", removed, lambda one: one.writer_slowed),
    ]


def _archives(written: Mapping[str, Sequence[Written]], scale: Scale) -> list[Figure]:
    rows = len(WRITTEN) * (scale.rows // len(WRITTEN))
    return [
        _ratio("archived and proven: rows/s against pandas", written, PANDAS, lambda one: rows / one.seconds, Goal(">=", 3.0)),
        _ratio("archive: bytes against CSV", written, CSV, lambda one: one.bytes, Goal("<=", 0.6)),
        _plain("archived and proven", "rows/s", written, lambda one: rows / one.seconds),
        _plain("archive", "B/row", written, lambda one: one.bytes / rows),
    ]


def _planning(measured: Measurements, scale: Scale) -> list[Figure]:
    what, goal, few = f"{scale.tables:,} tables", Goal("<=", 10.0), max(scale.made // 4, 1)
    read = f"with all that is read, coarsening included: {scale.made} tables"
    return [
        judged(f"{what} of {EACH} partitions planned", "s", median(measured.planned), {}, goal),
        judged(read, "s", median(many for _, many in measured.planned_from_catalog), {}),
        judged(f"the same: {what}, by the slope from {few} to {scale.made}", "s", _by_slope(measured, scale, few), {}, goal),
    ]


def _by_slope(measured: Measurements, scale: Scale, few: int) -> float:
    """Tables that were made are measured; what more of them would take is the difference that each makes."""
    lesser, greater = (median(taken) for taken in zip(*measured.planned_from_catalog, strict=True))
    each = (greater - lesser) / max(scale.made - few, 1)
    return greater + each * (scale.tables - scale.made)


def _ratio(
    figure: str, measured: Mapping[str, Sequence[Any]], base: str, of: Callable[[Any], float], goal: Goal | None
) -> Figure:
    values = {name: [of(one) for one in taken] for name, taken in measured.items()}
    shown = {name: median_ratio(taken, values[base]) for name, taken in values.items()}
    return judged(figure, "ratio", shown.pop(OURS), shown, goal)


def _plain(
    figure: str, unit: str, measured: Mapping[str, Sequence[Any]], of: Callable[[Any], float], goal: Goal | None = None
) -> Figure:
    shown = {name: median(of(one) for one in taken) for name, taken in measured.items()}
    return judged(figure, unit, shown.pop(OURS), shown, goal)


def _no_worse(figure: str, measured: Mapping[str, Sequence[Any]], of: Callable[[Any], float]) -> Figure:
    """Judge against the best rival's figure as it is shown."""
    found = _plain(figure, "ms", measured, of)
    return judged(figure, "ms", found.ours, found.rivals, Goal("<=", min(found.rivals.values())))


def main(directory: Path = DATA / "bench") -> int:
    """Measure on a server of our own below `directory`, which is removed afterwards."""
    scale, console = Scale.from_environment(), Console(soft_wrap=True, highlight=False)
    directory.mkdir(parents=True, exist_ok=True)
    needed, free = scale.rows * BYTES_PER_ROW + BYTES_APART, shutil.disk_usage(directory).free
    if free < needed:
        console.print(f"{needed / 1e9:.0f} GB are needed in {directory} and {free / 1e9:.0f} are free: give fewer ROWS.")
        return 1
    binaries = DEBIAN_15 if PARTMAN_15.exists() and (DEBIAN_15 / "postgres").exists() else None
    if binaries is None:
        console.print("pg_partman is not measured: it needs Debian's PostgreSQL 15 (apt-get install postgresql-15-partman).")
    own = own_directory(directory)
    try:
        with watchdog(own) as held, Drawn(console) as drawn:
            # What the command line says, no reload changes; fsync is on where nothing is said.
            flushed = {name: value for name, value in SETTINGS.items() if name != "fsync"}
            server = held.start_postgres(binaries=binaries, settings=flushed)
            measured = contest(make_arena(server.dsn, scale, drawn.tell))
    finally:
        remove(own)
    found = figures(measured, scale)
    print_table(console, f"PostgreSQL {server.version}, medians of {scale.rounds}", found)
    console.print(f"Written to {write_json('partitions', found)}")
    return 0


def make_arena(dsn: str, scale: Scale, tell: Callable[[str, int, int | None], None]) -> Arena:
    """Make the role and what it needs on a server of our own."""
    with closing(psycopg.connect(dsn, autocommit=True)) as admin:
        arena = Arena(dsn, scale, tell, has_partman=has_partman(admin))
        statements.run(admin, "stage/create_maintainer", role=arena.role, password=arena.password)
        admit(admin, arena.role)
    return arena


def has_partman(admin: psycopg.Connection[Any]) -> bool:
    """Say whether the rival can take part on this server."""
    return bool(run(admin, "partitions/partman_available").fetchall()[0][0])


if __name__ == "__main__":
    sys.exit(main())
