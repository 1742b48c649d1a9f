"""The Prefect server of the tests: flow runs arrive there, and cost no heartbeat."""

from __future__ import annotations

import time

import httpx
from prefect import flow


@flow
def nothing() -> int:
    """Return a number."""
    return 42


def test_a_flow_run_is_recorded_and_quick(prefect_api: str) -> None:
    nothing()
    begin = time.monotonic()

    assert nothing() == 42

    assert time.monotonic() - begin < 0.9, "joining the heartbeat's thread takes a second"
    found = httpx.post(f"{prefect_api}/flow_runs/filter", json={"flows": {"name": {"any_": ["nothing"]}}}).json()
    assert {run["state_type"] for run in found} == {"COMPLETED"}
