"""The benchmarks run at a small scale and say their figures in the form that their readers expect."""

from __future__ import annotations

import json
from pathlib import Path

import psycopg
import pytest
from rich.console import Console

from tests.bench import metadata
from tests.bench.backfill import Arena, Scale, admit, contest, figures
from tests.bench.common import Figure, Goal, judged, median_ratio, print_table, turns, write_json
from tests.bench.contenders import CONTENDERS
from tests.conftest import MAINTAINER, Server

KEYS = {"figure", "unit", "ours", "rivals", "goal", "met"}


@pytest.mark.slow
def test_every_contender_loads_the_same_rows_and_the_figures_are_written_as_json(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", server.superuser_dsn)
    with psycopg.connect(server.superuser_dsn, autocommit=True) as admin:
        if admin.info.server_version < 160000:
            pytest.skip("the plan's statement reads numbers with pg_input_is_valid")
        admit(admin, MAINTAINER)
        steps: dict[str, int] = {}
        scale, password = Scale(3_000, 3, 1), server.password
        measured = contest(
            Arena(server.superuser_dsn, scale, lambda step, done, _: steps.update({step: done}), MAINTAINER, password)
        )
        left = admin.execute("select datname from pg_database where datname like 'bench%'").fetchall()

    written: list[dict[str, object]] = json.loads(write_json("backfill", figures(measured), tmp_path).read_text())
    assert set(measured) == set(CONTENDERS)
    assert all(one.rows > 3_000 and one.wal_bytes > one.rows for (one,) in measured.values())
    assert steps["round 1: ours, 2 workers, narrow"] > 0
    assert [set(line) for line in written] == [KEYS] * len(written)
    judged_lines = [line for line in written if line["goal"]]
    assert [line["goal"] for line in judged_lines] == [">= 4.5", ">= 3", ">= 1", "<= 0.5", "< 200"]
    assert all(isinstance(line["met"], bool) for line in judged_lines)
    assert left == []


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processor time of the server is read from /proc")
def test_every_way_to_hold_metadata_in_its_shape_is_measured_in_every_way_to_insert(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", server.superuser_dsn)
    with psycopg.connect(server.superuser_dsn, autocommit=True) as admin:
        admit(admin, MAINTAINER)
        arena = Arena(server.superuser_dsn, Scale(100, 1, 1), lambda *_: None, MAINTAINER, server.password)
        measured = metadata.contest(arena)
        left = admin.execute("select datname from pg_database where datname like 'bench%'").fetchall()

    assert set(measured) == {(way, name) for way in metadata.WAYS for name in metadata.CONTENDERS}
    assert all(len(rounds) == 1 for rounds in measured.values())
    assert left == []
    # At this scale a turn may cost less than the kernel counts.
    costs = {key: [2.0] if key[1] == metadata.NONE else [3.0] for key in measured}
    costs["single", "trigger_refuses"] = [2.5]
    costs["bulk", metadata.LAX] = [2.0]
    written: list[dict[str, object]] = json.loads(write_json("metadata", metadata.figures(costs), tmp_path).read_text())
    assert [set(line) for line in written] == [KEYS] * 2 * len(metadata.WAYS)
    assert [line["ours"] for line in written] == [1.5, 1.0] * len(metadata.WAYS)
    assert [line["met"] for line in written[1::2]] == [True, False, True], "a cheaper trigger is a goal that is missed"


def test_every_contender_has_one_turn_a_round_and_each_round_begins_with_the_next() -> None:
    assert list(turns(["a", "b", "c"], 2)) == [(0, "a"), (0, "b"), (0, "c"), (1, "b"), (1, "c"), (1, "a")]


def test_a_ratio_is_taken_within_each_round() -> None:
    assert median_ratio([10.0, 100.0, 12.0], [5.0, 10.0, 2.0]) == 6.0  # the medians alone would say 2.4


@pytest.mark.parametrize(("figure", "met"), [(4.496, True), (4.49, False), (5.0, True)])
def test_a_goal_is_judged_on_the_figure_that_is_shown(figure: float, *, met: bool) -> None:
    assert judged("speed", "ratio", figure, {}, Goal(">=", 4.5)).met is met


def test_the_table_shows_every_rival_and_whether_a_goal_is_met(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [
        Figure("speed", "ratio", 4.9, {"the plan": 1.0}, ">= 4.5", met=True),
        Figure("WAL", "B/row", 1660.0, {"the plan": 1410.0}, "<= 700", met=False),
    ]
    print_table(Console(width=120), "Figures", lines)
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("the plan", "speed (ratio)", "4.90", ">= 4.5", "met", "1,660", "missed"))
