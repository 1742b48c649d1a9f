"""`make bench-backfill`: the backfill against the plan's own migration, key ranges through the parent, and two bare sessions.

ROWS (3,000,000), DAYS (120) and ROUNDS (3) come from the environment. Prints one table, writes build/bench/backfill.json,
and ends with 0 also where a goal is missed: a machine may be slow or loud, and a figure is no test.
Belongs here: the server and the template, the rounds, what the figures mean. Keep out: how rows are loaded (`contenders`).
"""

from __future__ import annotations

import os
import secrets
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo
from rich.console import Console

from tasks.core.embedded import DATA, own_directory, remove, watchdog
from tasks.core.migrations import apply
from tests.bench.common import SETTINGS, Drawn, Figure, Goal, judged, median_ratio, print_table, run, turns, write_json
from tests.bench.contenders import AS_OF, CONTENDERS, Measured, take_turn
from tests.demo import statements
from tests.demo.legacy import create_legacy, generate

MAINTAINER, TEMPLATE, SEED = "maintainer", "bench_template", 20251108
PLAN, RANGES, LIMIT = "plan", "key_ranges", "limit"
OURS, SINGLE, SAME = "ours_2_narrow", "ours_1_narrow", "ours_2_plan"
RIVALS = (PLAN, RANGES, LIMIT)
#: Disk that a run needs: a template, a copy of it, the dearest target and its WAL, a row; and the server itself.
BYTES_PER_ROW, BYTES_APART = 5_000, 1_000_000_000

Measurements = Mapping[str, Sequence[Measured]]


@dataclass(frozen=True)
class Scale:
    """How much is measured, and how often."""

    rows: int = 3_000_000
    days: int = 120
    rounds: int = 3

    @classmethod
    def from_environment(cls) -> Scale:
        """Read ROWS, DAYS and ROUNDS, each optional."""
        given = {field: os.environ.get(field.upper()) for field in ("rows", "days", "rounds")}
        return cls(**{field: int(value.replace("_", "")) for field, value in given.items() if value})


@dataclass(frozen=True)
class Arena:
    """A server, the role that every contender works as, and who is told how far it has come."""

    superuser_dsn: str
    scale: Scale
    tell: Callable[[str, int, int | None], None]
    role: str = MAINTAINER
    password: str = secrets.token_urlsafe(16)

    def dsn_for(self, database: str) -> str:
        """Return the maintenance role's connection string to `database`."""
        return make_conninfo(self.superuser_dsn, dbname=database, user=self.role, password=self.password)


def contest(arena: Arena) -> Measurements:
    """Fill a template, let every contender load copies of it in turns, and return what was measured, round by round."""
    measured: dict[str, list[Measured]] = {name: [] for name in CONTENDERS}
    with closing(psycopg.connect(arena.superuser_dsn, autocommit=True)) as admin:
        _make_template(admin, arena)
        try:
            for number, name in turns(list(CONTENDERS), arena.scale.rounds):
                measured[name].append(_take_turn(admin, arena, number, name))
        finally:
            run(admin, "drop", database=TEMPLATE)
    _require_alike(measured)
    return measured


def _make_template(admin: psycopg.Connection[Any], arena: Arena) -> None:
    """Legacy tables with their rows and the migrated schema, as a maintained database has them; no partition yet."""
    statements.run(admin, "stage/create_database", database=TEMPLATE, owner=arena.role)
    dsn = arena.dsn_for(TEMPLATE)
    with closing(psycopg.connect(dsn, autocommit=True)) as conn:
        create_legacy(conn)
        done = 0

        def advance(_table: str, rows: int) -> None:
            nonlocal done
            done += rows
            arena.tell("five legacy tables", done, arena.scale.rows)

        generate(conn, arena.scale.rows, SEED, AS_OF, arena.scale.days, on_progress=advance)
    os.environ["DATABASE_URL"] = dsn
    apply(("event_store",))
    with closing(psycopg.connect(make_conninfo(arena.superuser_dsn, dbname=TEMPLATE), autocommit=True)) as conn:
        run(conn, "vacuum")


def _take_turn(admin: psycopg.Connection[Any], arena: Arena, number: int, name: str) -> Measured:
    database, step = f"bench_{name}", f"round {number + 1}: {CONTENDERS[name].title}"
    arena.tell(step, 0, None)
    run(admin, "clone", database=database, template=TEMPLATE, owner=arena.role)
    try:
        return take_turn(name, arena.dsn_for(database), arena.scale.days, lambda line: _relay(arena, step, line))
    finally:
        run(admin, "drop", database=database)


def _relay(arena: Arena, step: str, line: Mapping[str, Any]) -> None:
    if "done" in line:
        arena.tell(step, line["done"], line["total"])


def _require_alike(measured: Measurements) -> None:
    """A contender that loads other rows is no rival: what one refuses and another takes is a handful of odd rows."""
    rows = {name: turns_taken[0].rows for name, turns_taken in measured.items()}
    if max(rows.values()) - min(rows.values()) > 100:
        raise RuntimeError(f"the contenders loaded different rows: {rows}")


def figures(measured: Measurements) -> list[Figure]:
    """Say what the measurements mean: ratios are medians of the ratios of each round, the rest are medians."""
    return [
        _speed("speed against the plan: 2 workers, narrow indexes", measured, OURS, Goal(">=", 4.5)),
        _speed("speed against the plan: 2 workers, the plan's indexes", measured, SAME, Goal(">=", 3.0)),
        _speed("speed against the plan: 1 worker, narrow indexes", measured, SINGLE),
        _speed("speed against two bare sessions: 2 workers, narrow indexes", measured, OURS, Goal(">=", 1.0), base=LIMIT),
        _wal("WAL against the plan: narrow indexes", measured, OURS, Goal("<=", 0.5)),
        _wal("WAL against the plan: the plan's indexes", measured, SAME),
        _plain("memory of the client at its peak", "MB", measured, lambda m: m.memory_bytes / 1e6, Goal("<", 200), ()),
        _plain("2 workers, narrow indexes", "rows/s", measured, lambda m: m.rows_per_s),
        _plain("2 workers, narrow indexes", "WAL B/row", measured, lambda m: m.wal_per_row),
        _plain("2 workers, narrow indexes", "disk B/row", measured, lambda m: m.disk_per_row),
        _plain("2 workers, the plan's indexes", "rows/s", measured, lambda m: m.rows_per_s, name=SAME),
        _plain("2 workers, the plan's indexes", "WAL B/row", measured, lambda m: m.wal_per_row, name=SAME),
        _plain("2 workers, the plan's indexes", "disk B/row", measured, lambda m: m.disk_per_row, name=SAME),
    ]


def _speed(figure: str, measured: Measurements, name: str, goal: Goal | None = None, base: str = PLAN) -> Figure:
    return _ratio(figure, measured, (name, base), lambda m: m.rows_per_s, goal)


def _wal(figure: str, measured: Measurements, name: str, goal: Goal | None = None) -> Figure:
    return _ratio(figure, measured, (name, PLAN), lambda m: m.wal_per_row, goal)


def _ratio(
    figure: str, measured: Measurements, pair: tuple[str, str], of: Callable[[Measured], float], goal: Goal | None
) -> Figure:
    values = {key: [of(one) for one in taken] for key, taken in measured.items()}
    name, base = pair
    rivals = {CONTENDERS[key].title: median_ratio(values[key], values[base]) for key in RIVALS}
    return judged(figure, "ratio", median_ratio(values[name], values[base]), rivals, goal)


def _plain(
    figure: str,
    unit: str,
    measured: Measurements,
    of: Callable[[Measured], float],
    goal: Goal | None = None,
    rivals: Sequence[str] = RIVALS,
    name: str = OURS,
) -> Figure:
    shown = {key: median(of(one) for one in measured[key]) for key in (name, *rivals)}
    return judged(figure, unit, shown[name], {CONTENDERS[key].title: shown[key] for key in rivals}, goal)


def main(directory: Path = DATA / "bench") -> int:
    """Measure on a server of our own below `directory`, which is removed afterwards."""
    scale, console = Scale.from_environment(), Console(soft_wrap=True, highlight=False)
    directory.mkdir(parents=True, exist_ok=True)
    needed, free = scale.rows * BYTES_PER_ROW + BYTES_APART, shutil.disk_usage(directory).free
    if free < needed:
        console.print(f"{needed / 1e9:.0f} GB are needed in {directory} and {free / 1e9:.0f} are free: give fewer ROWS.")
        return 1
    own = own_directory(directory)
    try:
        with watchdog(own) as held, Drawn(console) as drawn:
            server = held.start_postgres(settings=SETTINGS)
            measured = contest(_arena(server.dsn, scale, drawn.tell))
    finally:
        remove(own)
    found = figures(measured)
    title = f"{scale.rows:,} rows over {scale.days} days, PostgreSQL {server.version}, medians of {scale.rounds}"
    print_table(console, title, found)
    console.print(f"Written to {write_json('backfill', found)}")
    return 0


def _arena(dsn: str, scale: Scale, tell: Callable[[str, int, int | None], None]) -> Arena:
    arena = Arena(dsn, scale, tell)
    with closing(psycopg.connect(dsn, autocommit=True)) as admin:
        statements.run(admin, "stage/create_maintainer", role=arena.role, password=arena.password)
        admit(admin, arena.role)
    return arena


def admit(admin: psycopg.Connection[Any], role: str) -> None:
    """Make what a contender needs of a server: Supabase's roles, and checkpoints for the maintenance role."""
    statements.run(admin, "legacy/roles")
    run(admin, "may_checkpoint", role=role)


if __name__ == "__main__":
    sys.exit(main())
