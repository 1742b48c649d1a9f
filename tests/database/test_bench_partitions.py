"""The benchmark of partitions runs at a small scale, with pg_partman where the server has it, and says what it must."""

from __future__ import annotations

import json
from pathlib import Path

import psycopg
import pytest
from rich.console import Console

from tests.bench.archiving import WRITERS
from tests.bench.backfill import admit
from tests.bench.common import Figure, print_table, write_json
from tests.bench.partition_contenders import CREATORS, REMOVERS
from tests.bench.partitions import Arena, Scale, contest, figures, has_partman
from tests.bench.probe import Probes, percentile
from tests.conftest import MAINTAINER, Server

GOALS = ["<= 2", "<= 2", "<= 1.5", "<= 2", ">= 3", "<= 0.6", "<= 10", "<= 10"]


@pytest.mark.slow
def test_every_contender_makes_removes_and_writes_the_same_and_the_figures_are_written_as_json(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", server.superuser_dsn)
    scale = Scale(rows=1_000, partitions=4, tables=5, made=4, rounds=1, idle_s=0.2)
    with psycopg.connect(server.superuser_dsn, autocommit=True) as admin:
        admit(admin, MAINTAINER)
        partman = has_partman(admin)
        arena = Arena(server.superuser_dsn, scale, lambda *_: None, partman, MAINTAINER, server.password)
        measured = contest(arena)
        left = admin.execute("select datname from pg_database where datname like 'bench%'").fetchall()

    found = figures(measured, scale)
    written: list[dict[str, object]] = json.loads(write_json("partitions", found, tmp_path).read_text())
    assert list(measured.created) == arena.present(list(CREATORS))
    assert list(measured.created_unflushed) == list(measured.created)
    assert list(measured.removed) == arena.present(list(REMOVERS))
    assert list(measured.written) == list(WRITERS)
    assert all(one.reader_ms > 0 and one.writer_ms > 0 for taken in measured.created.values() for one in taken)
    goals = [line["goal"] for line in written if line["goal"] and "p99" not in str(line["figure"]).split("removed")[0]]
    assert goals == GOALS if partman else GOALS[2:]
    assert left == []


@pytest.mark.slow
def test_one_part_alone_is_measured_where_only_names_it(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", server.superuser_dsn)
    for name, value in {"ONLY": "archive", "ROWS": "400", "ROUNDS": "1"}.items():
        monkeypatch.setenv(name, value)
    with psycopg.connect(server.superuser_dsn, autocommit=True) as admin:
        admit(admin, MAINTAINER)
    scale = Scale.from_environment()
    measured = contest(Arena(server.superuser_dsn, scale, lambda *_: None, has_partman=False, password=server.password))
    others = (measured.created, measured.created_unflushed, measured.removed, measured.planned, measured.planned_from_catalog)
    assert others == ({}, {}, {}, [], [])
    assert list(measured.written) == list(WRITERS)
    assert len(figures(measured, scale)) == 4


def test_a_part_that_does_not_exist_is_not_measured_as_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONLY", "plans")
    with pytest.raises(ValueError, match="ONLY=plans names no part: there are make, remove, archive, plan"):
        Scale.from_environment()


def test_a_percentile_is_a_value_that_occurred() -> None:
    assert [percentile([float(n) for n in range(1, 101)], share) for share in (0.01, 0.5, 0.99, 1.0)] == [1, 50, 99, 100]
    assert percentile([7.0], 0.99) == 7.0


def test_a_request_counts_in_the_window_in_which_it_was_due() -> None:
    probes = Probes({}, {"reader": [(1.0, 5.0), (2.0, 0.001), (3.0, 0.002)]})
    assert probes.p99("reader", (0.5, 1.5)) == 5_000
    assert probes.p99("reader", (1.5, 3.5)) == 2.0


def test_many_rivals_share_a_column_and_only_those_of_a_line_stand_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [
        Figure("made", "s", 2.0, {"a": 1.0, "b": 3.0}, "<= 2", met=True),
        Figure("written", "B", 9.0, {"c": 4.0, "d": 5.0}),
    ]
    print_table(Console(width=80), "Figures", lines)
    shown = capsys.readouterr().out.splitlines()
    assert [word for line in shown for word in ("a 1.00", "b 3.00", "c 4.00", "d 5.00") if word in line] == [
        "a 1.00",
        "b 3.00",
        "c 4.00",
        "d 5.00",
    ]
