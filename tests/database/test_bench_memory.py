"""Memory stays where it is however often a flow runs in one process (N8), and what would not is found."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from tasks.core.embedded import watchdog
from tests.bench.memory import CASES, MOST_MB, Course, figures, growth_of, measure

RUNS, PLANTED = 200, 100_000
LOOKS = range(5, 205, 5)


def noise(seed: int) -> list[int]:
    random = Random(seed)
    return [120_000_000 + random.randrange(-300_000, 300_000) for _ in LOOKS]


@pytest.mark.parametrize("seed", range(20))
def test_noise_is_no_growth(seed: int) -> None:
    assert growth_of(list(zip(LOOKS, noise(seed), strict=True))).least_mb < MOST_MB


@pytest.mark.parametrize("seed", range(20))
def test_ten_kilobytes_a_run_show_through_the_noise(seed: int) -> None:
    found = growth_of([(run, size + run * 10_000) for run, size in zip(LOOKS, noise(seed), strict=True)])
    assert MOST_MB < found.least_mb < found.mb


def test_what_fills_in_the_first_half_and_one_step_after_it_are_no_growth() -> None:
    filling = [(run, min(run, 100) * 200_000) for run in LOOKS]
    course = Course([(run, size + (3_000_000 if run > 180 else 0)) for run, size in filling], 0, 0, "")
    assert course.growth.least_mb < MOST_MB
    assert growth_of(filling[:20]).least_mb > MOST_MB
    assert [line.met for line in figures({"any": course}) if line.goal] == [True]


@pytest.mark.slow
@pytest.mark.parametrize("flow", CASES)
def test_two_hundred_runs_of_a_flow_in_one_process_leave_memory_where_it_was(
    flow: str, tmp_path: Path, *, full_loops: bool
) -> None:
    if not full_loops:
        pytest.skip("with --full-loops")
    with watchdog(tmp_path / "servers") as held:
        course = measure(held, tmp_path / "output", [flow], RUNS)[flow]
    assert course.growth.least_mb < MOST_MB, course


@pytest.mark.slow
def test_a_leak_that_is_planted_is_found(tmp_path: Path, *, full_loops: bool) -> None:
    if not full_loops:
        pytest.skip("with --full-loops")
    with watchdog(tmp_path / "servers") as held:
        course = measure(held, tmp_path / "output", ["expire_sessions"], 80, PLANTED)["expire_sessions"]
    assert course.growth.least_mb > MOST_MB
    assert course.growth.mb == pytest.approx(PLANTED * 100 / 1e6, rel=0.2)
