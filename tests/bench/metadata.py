"""`make bench-metadata`: what it costs an insert to hold metadata in its one shape, by CHECK, trigger or generated column.

ROWS (200,000) and ROUNDS (3) come from the environment. Prints one table, writes build/bench/metadata.json, ends with 0.
Measured is the processor time of the server's own process, which a loud machine disturbs less than it does the clock.
Belongs here: the contenders' names, the rounds, what the figures mean. Keep out: their definitions (`sql/metadata/schema`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from statistics import median
from types import MappingProxyType
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo
from rich.console import Console
from rich.table import Table

from tasks.core.embedded import DATA, own_directory, remove, watchdog
from tasks.core.migrations import apply
from tasks.core.names import Relation
from tests.bench.backfill import MAINTAINER, Arena, Scale, admit
from tests.bench.common import SETTINGS, Figure, Goal, judged, run, turns, write_json
from tests.demo import statements

DATABASE = "bench_metadata"
#: The last one lets anything through, so it is shown and is no goal.
NONE, OURS, LAX = "none", "check_shipped", "trigger_plan"
#: Ways to hold the shape, each a table of that name; the first holds nothing and is what the others are compared with.
CONTENDERS: Mapping[str, str] = MappingProxyType({
    NONE: "no rule",
    OURS: "CHECK, cast to a domain (ours)",
    "check_inline": "CHECK, the rule in it",
    "check_plain": "CHECK, no shortcut",
    "check_function": "CHECK, inlined function",
    "check_short": "CHECK, plpgsql function",
    "check_path": "CHECK, one jsonpath",
    "generated": "generated column",
    "trigger_when": "trigger, WHEN",
    "trigger_refuses": "plpgsql trigger",
    "trigger_plan": "the plan's trigger",
})  # fmt: skip
#: How the rows come: all in one statement, a statement a row inside the server, a statement and transaction a row from a client.
WAYS: Mapping[str, str] = MappingProxyType({"bulk": "one statement", "single": "a statement a row", "client": "from a client"})
#: One row of so many is inserted: where each costs more, fewer of them tell as much.
SHARES: Mapping[str, int] = MappingProxyType({"bulk": 1, "single": 4, "client": 20})
#: A wait for the disk is no processor time; without it a client's turn is over sooner.
NO_WAIT = "-c synchronous_commit=off"
#: Of each round, way and contender: microseconds of processor time a row.
Measurements = Mapping[tuple[str, str], Sequence[float]]


def contest(arena: Arena) -> Measurements:
    """Give every contender the same rows in turns; returns what each round took."""
    measured: dict[tuple[str, str], list[float]] = {(way, name): [] for way in WAYS for name in CONTENDERS}
    with closing(psycopg.connect(arena.superuser_dsn, autocommit=True)) as admin:
        _make_database(admin, arena)
        try:
            for way in WAYS:
                for number, name in turns(list(CONTENDERS), arena.scale.rounds):
                    arena.tell(f"{way}, round {number + 1}: {CONTENDERS[name]}", 0, None)
                    measured[way, name].append(_take_turn(arena.dsn_for(DATABASE), way, name, arena.scale.rows))
        finally:
            run(admin, "drop", database=DATABASE)
    return measured


def _make_database(admin: psycopg.Connection[Any], arena: Arena) -> None:
    statements.run(admin, "stage/create_database", database=DATABASE, owner=arena.role)
    os.environ["DATABASE_URL"] = dsn = arena.dsn_for(DATABASE)
    apply(("event_store",))
    with closing(psycopg.connect(dsn, autocommit=True)) as conn:
        run(conn, "metadata/schema", rows=arena.scale.rows)
    with closing(psycopg.connect(make_conninfo(arena.superuser_dsn, dbname=DATABASE), autocommit=True)) as conn:
        run(conn, "vacuum")


def _take_turn(dsn: str, way: str, name: str, rows: int) -> float:
    """Insert the rows in a new session and return the microseconds a row that its process spent."""
    target, rows = Relation("rules", name), rows // SHARES[way]
    with closing(psycopg.connect(dsn, autocommit=True, options=NO_WAIT)) as conn:
        run(conn, "metadata/empty", target=target)
        given = run(conn, "metadata/given", rows=rows).fetchall() if way == "client" else []
        before = _processor_seconds(conn.info.backend_pid)
        if way == "client":
            for data, metadata in given:
                run(conn, "metadata/one", target=target, data=data, metadata=metadata)
        else:
            run(conn, f"metadata/{way}", target=target, rows=rows)
        spent = _processor_seconds(conn.info.backend_pid) - before
        counted = run(conn, "metadata/count", target=target).fetchone()
    if counted != (rows,):
        raise RuntimeError(f"{name} holds {counted} rows of {rows}")
    return spent / rows * 1e6


def _processor_seconds(pid: int) -> float:
    """Return what a process has spent, as the kernel counts it, in its own and in system calls."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def figures(measured: Measurements) -> list[Figure]:
    """Say what the measurements mean: the whole insert against one without a rule, and what the rule adds to it."""
    return [figure for way in WAYS for figure in (_ratio(way, measured), _added(way, measured))]


def _ratio(way: str, measured: Measurements) -> Figure:
    shares = _of_each(way, measured, lambda ours, none: ours / none)
    return judged(f"{WAYS[way]}: processor time against no rule", "ratio", shares.pop(CONTENDERS[OURS]), shares)


def _added(way: str, measured: Measurements) -> Figure:
    """Ours is to be no dearer than the cheapest other way that holds the rule, whichever that is."""
    added = _of_each(way, measured, lambda ours, none: ours - none)
    ours = added.pop(CONTENDERS[OURS])
    cheapest = min(value for title, value in added.items() if title != CONTENDERS[LAX])
    return judged(f"{WAYS[way]}: added by the rule", "µs/row", ours, added, Goal("<=", float(f"{cheapest:.3g}")))


def _of_each(way: str, measured: Measurements, of: Callable[[float, float], float]) -> dict[str, float]:
    """Return the median over the rounds, each contender set against the turn without a rule of its own round."""
    none = measured[way, NONE]
    names = [name for name in CONTENDERS if name != NONE]
    return {CONTENDERS[name]: median(map(of, measured[way, name], none)) for name in names}


def _print(console: Console, title: str, found: Sequence[Figure]) -> None:
    """Print a line for each contender: of each way the ratio, and what is added in microseconds."""
    table = Table("", title=f"{title}: processor time as a multiple of no rule (and µs a row)", title_justify="left")
    for way in WAYS.values():
        table.add_column(way, justify="right")
    shown = [{CONTENDERS[OURS]: figure.ours, **figure.rivals} for figure in found]
    for name in shown[0]:
        pairs = zip(shown[::2], shown[1::2], strict=True)
        table.add_row(name, *(f"{ratio[name]:.2f} (+{added[name]:.2f})" for ratio, added in pairs))
    console.print(table)
    for figure in found[1::2]:
        verdict = "is" if figure.met else "is not"
        console.print(f"{figure.figure}: ours {verdict} the cheapest that holds the rule ({figure.ours:g}, goal {figure.goal})")


def main(directory: Path = DATA / "bench") -> int:
    """Measure on a server of our own below `directory`, which is removed afterwards."""
    os.environ.setdefault("ROWS", "200_000")
    scale, console = Scale.from_environment(), Console(soft_wrap=True, highlight=False)
    directory.mkdir(parents=True, exist_ok=True)
    own = own_directory(directory)
    try:
        with watchdog(own) as held:
            server = held.start_postgres(settings=SETTINGS)
            arena = Arena(server.dsn, scale, lambda step, *_: console.print(step))
            with closing(psycopg.connect(server.dsn, autocommit=True)) as admin:
                statements.run(admin, "stage/create_maintainer", role=MAINTAINER, password=arena.password)
                admit(admin, MAINTAINER)
            found = figures(contest(arena))
    finally:
        remove(own)
    _print(console, f"{scale.rows:,} rows, PostgreSQL {server.version}, medians of {scale.rounds}", found)
    console.print(f"Written to {write_json('metadata', found)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
