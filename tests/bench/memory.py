"""`make bench-memory`: each flow again and again in one process of its own; the memory must stay where it is (N8).

RUNS (200) and FLOWS (all, or names with commas) come from the environment. Prints one table: peak and growth by flow, and
writes build/bench/memory.json. A flow that refuses in the state it finds counts too: an error must not cost memory either; the
table says which. Retention and restoring have something to do in every run: what a run did is taken back before the next one.

The rule: growth is the median of the slopes between any two of the looks at the resident memory in the second half of the
runs (Theil and Sen), so that caches may fill before and no single step decides. The slope that is held against MOST_MB is
the lower end of its interval of 95 in 100 (Kendall's variance): what is within the noise is no growth, and a leak is not
excused by being small beside the process.
Belongs here: what is run against what, the slope, the table. Keep out: judging speed.
"""

from __future__ import annotations

import importlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from itertools import combinations
from math import sqrt
from pathlib import Path
from statistics import NormalDist, median
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo
from rich.console import Console

from tasks.core.connect import database_now, runtime
from tasks.core.declaration import read_declaration
from tasks.core.embedded import DATA, Watchdog, own_directory, remove, watchdog
from tasks.core.migrations import apply
from tasks.core.parameters import Safety
from tasks.core.progress import ignore
from tasks.core.settings import database_url
from tasks.partitions.create import ensure_partitions
from tasks.partitions.restore import restore
from tasks.partitions.retire import retire
from tests import retention
from tests.bench.common import Figure, Goal, judged, peak_memory, print_table, say, write_json
from tests.bench.common import in_process as run_child
from tests.declarations import SECOND_MIGRATION, make_bills, make_second
from tests.demo import statements
from tests.demo.memory import release

RUNS = int(os.environ.get("RUNS") or 200)
MAINTAINER, PASSWORD = "maintainer", "only-here"
#: More growth than this in a hundred runs is a leak: 5 kB a run.
MOST_MB = 0.5
#: How often a look at the memory is taken, whatever the number of runs.
LOOKS = 40
#: Fewer runs give no slope.
FEWEST = 6
#: The partition that is removed and brought back, run by run.
OLDEST = retention.name_of(min(retention.DAYS))
#: Flow → its database and parameters; `bills` is the second declaration with a migration under way, `readings` a table of days.
CASES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "apply_migrations": ("shipped", {}),
    "create_partitions": ("shipped", {}),
    "enforce_retention": ("readings", {"safety": Safety(apply=True, at_most=1)}),
    "coarsen_partitions": ("shipped", {}),
    "rebuild_indexes": ("shipped", {}),
    "restore_partition": ("readings", {"table": retention.TABLE, "partition": OLDEST}),
    "refresh_matviews": ("shipped", {"force": True}),
    "repair_metadata": ("shipped", {}),
    "expire_sessions": ("shipped", {}),
    "report_health": ("shipped", {}),
    "validate": ("shipped", {"suite": "schema"}),
    "backfill": ("bills", {"migration": "bills"}),
    "verify_integrity": ("bills", {"migration": "bills"}),
    "migrate": ("bills", {"migration": "bills"}),
    "cut_over": ("bills", {"migration": "bills", "rehearse": True}),
    "roll_back": ("bills", {"migration": "bills"}),
    "retire_legacy": ("bills", {"migration": "bills"}),
}


def _bring_back() -> None:
    """Put the oldest partition back where retention took it, free to be taken again."""
    with runtime(), psycopg.connect(database_url(), autocommit=True) as conn:
        if OLDEST not in retention.attached(conn):
            restore(retention.TABLE, OLDEST, read_declaration(), database_now())
        conn.execute("delete from maintenance.hold")


def _take_out() -> None:
    """Let retention take the oldest partition out, and archive it."""
    with runtime(), psycopg.connect(database_url(), autocommit=True) as conn:
        conn.execute("delete from maintenance.hold")
        retire(retention.TABLE, read_declaration(), Safety(apply=True, at_most=1), database_now())


#: What makes a run have something to do.
BEFORE: Mapping[str, Callable[[], None]] = {"enforce_retention": _bring_back, "restore_partition": _take_out}


@dataclass(frozen=True)
class Course:
    """What one process showed: resident bytes by run, its peak, how many runs ended in an error."""

    resident: Sequence[tuple[int, int]]
    peak: int
    failed: int
    #: What the last run that failed said.
    error: str

    @property
    def growth(self) -> Growth:
        """What a hundred runs add once the first half has filled the caches."""
        return growth_of(self.resident[len(self.resident) // 2 :])


@dataclass(frozen=True)
class Growth:
    """Megabytes in a hundred runs: the slope, and the least that it is in 95 of 100 cases."""

    mb: float
    least_mb: float


def growth_of(looks: Sequence[tuple[int, int]]) -> Growth:
    """Return the Theil-Sen slope through (run, bytes) and the lower end of its confidence interval; three looks at least."""
    slopes = sorted((b - a) / (n - m) * 100 / 1e6 for (m, a), (n, b) in combinations(looks, 2))
    count = len(looks)
    spread = NormalDist().inv_cdf(0.975) * sqrt(count * (count - 1) * (2 * count + 5) / 18)
    return Growth(median(slopes), slopes[max(0, int((len(slopes) - spread) / 2))])


def measure(held: Watchdog, output: Path, names: Sequence[str], runs: int = RUNS, leak: int = 0) -> dict[str, Course]:
    """Run every flow `runs` times in a process of its own, against databases that are made for it.

    `leak` bytes are kept by every run, for a test that wants to see them found.
    """
    server = held.start_postgres(settings={"fsync": "off", "synchronous_commit": "off"})
    with closing(psycopg.connect(server.dsn, autocommit=True)) as admin:
        statements.run(admin, "stage/create_maintainer", role=MAINTAINER, password=PASSWORD)
        statements.run(admin, "legacy/roles")
        admin.execute("create role service_member nologin")
        environments = {kind: _database(admin, server.dsn, kind, output) for kind in ("shipped", "bills", "readings")}
    api = {"PREFECT_API_URL": held.start_prefect(), "PREFECT_LOGGING_LEVEL": "CRITICAL"}
    if any(CASES[name][0] == "bills" for name in names):
        _course("backfill", {**environments["bills"], **api}, 1, 0)  # what the other flows of a migration go on from
    return {name: _course(name, {**environments[CASES[name][0]], **api}, runs, leak) for name in names}


def _database(admin: psycopg.Connection[Any], dsn: str, kind: str, output: Path) -> dict[str, str]:
    statements.run(admin, "stage/create_database", database=kind, owner=MAINTAINER)
    own = make_conninfo(dsn, dbname=kind, user=MAINTAINER, password=PASSWORD)
    environment = {"DATABASE_URL": own, "MAINTENANCE_OUTPUT": str(output)}
    with _set(environment):
        apply(("event_store",) if kind == "shipped" else ())
    if kind == "readings":
        retention.make_table(own)
        declared = output / "readings.yaml"
        declared.parent.mkdir(parents=True, exist_ok=True)
        declared.write_text(retention.declare().model_dump_json(exclude_unset=True), encoding="utf-8")
        environment["MAINTENANCE_FILE"] = str(declared)
    if kind == "bills":
        make_second(own)
        make_bills(own)
        with closing(psycopg.connect(own, autocommit=True)) as conn:
            conn.execute("revoke all on accounts.invoices from authenticated, service_role")
        environment["MAINTENANCE_FILE"] = str(SECOND_MIGRATION)
    with _set(environment), runtime():
        for table in read_declaration().tables:
            ensure_partitions(table, read_declaration(), database_now())
    return environment


@contextmanager
def _set(environment: Mapping[str, str]) -> Iterator[None]:
    former = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        yield
    finally:
        for name, value in former.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _course(name: str, environment: Mapping[str, str], runs: int, leak: int) -> Course:
    arguments = [name, str(runs), str(leak)]
    said = run_child("tests.bench.memory", arguments, {"MAINTENANCE_EMBEDDED": "", **environment}, lambda _: None)
    return Course([(run, size) for run, size in said["resident"]], said["peak"], said["failed"], said["error"])


def figures(courses: Mapping[str, Course]) -> list[Figure]:
    """Return peak and growth by flow; the growth that is certain is judged."""
    peaks = [judged(f"{name}: peak", "MB", course.peak / 1e6, {}) for name, course in courses.items()]
    slopes = [judged(f"{name}: growth in 100 runs", "MB", course.growth.mb, {}) for name, course in courses.items()]
    goal = Goal("<", MOST_MB)
    return [
        *peaks,
        *slopes,
        *[judged(f"{name}: of it certain", "MB", course.growth.least_mb, {}, goal) for name, course in courses.items()],
    ]


def repeat(name: str, runs: int, leak: int = 0) -> None:
    """Run one flow again and again and say what was seen; `leak` bytes a run are kept."""
    flow = getattr(importlib.import_module(f"flows.{name}"), name)
    resident, failed, said, kept = list[tuple[int, int]](), 0, "", list[bytes]()
    for number in range(1, runs + 1):
        kept.append(b"x" * leak)
        BEFORE.get(name, ignore)()
        try:
            flow(**CASES[name][1])
        except Exception as error:  # noqa: BLE001 (counted and told; a flow may refuse in the state it finds)
            failed, said = failed + 1, str(error)
        if number % max(1, runs // LOOKS) == 0:
            release()
            resident.append((number, _resident()))
    say(resident=resident, peak=peak_memory(), failed=failed, error=said)


def _resident() -> int:
    with suppress(OSError):
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def main(directory: Path = DATA / "bench") -> int:
    """Measure on servers of our own below `directory`, which is removed afterwards."""
    console = Console(soft_wrap=True, highlight=False)
    if RUNS < FEWEST:
        console.print(f"RUNS is {RUNS}: fewer than {FEWEST} runs show no slope")
        return 2
    names = [name for name in CASES if name in (os.environ.get("FLOWS") or ",".join(CASES)).split(",")]
    directory.mkdir(parents=True, exist_ok=True)
    own = own_directory(directory)
    output = own / "output"
    try:
        with watchdog(own) as held:
            courses = measure(held, output, names)
    finally:
        shutil.rmtree(output, ignore_errors=True)
        remove(own)
    found = figures(courses)
    print_table(console, f"{RUNS} runs of each flow in one process", found)
    for name, course in courses.items():
        if course.failed:
            console.print(f"{name}: {course.failed} of {RUNS} runs refused: {course.error[:200]}")
    console.print(f"Median peak {median(course.peak for course in courses.values()) / 1e6:.0f} MB")
    console.print(f"Written to {write_json('memory', found)}")
    return 0


if __name__ == "__main__":
    sys.exit(repeat(sys.argv[1], *map(int, sys.argv[2:])) if len(sys.argv) > 1 else main())
