"""The Prefect server of the tests: flow runs arrive there, and cost no heartbeat."""

from __future__ import annotations

import time

import httpx
import pytest
from prefect import flow

from tasks.core.embedded import prefect_server
from tests.conftest import new_directory


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


@pytest.mark.slow
@pytest.mark.xdist_group("flow")
def test_a_lent_server_is_gone_afterwards_with_all_it_wrote() -> None:
    root = new_directory()
    with prefect_server(root) as url:
        assert httpx.get(f"{url}/health").json() is True

    assert list(root.iterdir()) == []
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/health")
    root.rmdir()
