"""What a person does in Prefect's pages, by the requests that the pages send.

Belongs here: starting a deployment, answering a form, cancelling, reading runs, logs and artifacts, waiting.
Keep out: what a flow should have done.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

import httpx

#: A worker starts a run within seconds; on a busy machine with a slow import (Great Expectations) it takes more.
PATIENCE_S = 120.0
#: The scheduler looks every 5 seconds at what has changed; on a busy machine a look takes its time.
SCHEDULER_S = 8.0
AT_REST = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED", "PAUSED")


@dataclass(frozen=True)
class Pages:
    """A Prefect server's API at `url`."""

    url: str

    def ask(self, method: str, path: str, **body: Any) -> Any:
        """Send one request, again while sqlite is busy, and return its JSON; any other error of HTTP fails the test."""
        return self.ask_with(method, path, body or None)

    def ask_with(self, method: str, path: str, body: Any) -> Any:
        """Do the same with any body."""
        deadline = time.monotonic() + PATIENCE_S
        while (response := httpx.request(method, f"{self.url}/{path}", json=body, timeout=PATIENCE_S)).status_code == 503:
            assert time.monotonic() < deadline, f"{method} {path}: {response.text}"
            time.sleep(0.5)
        assert response.is_success, f"{method} {path}: {response.status_code} {response.text}"
        return response.json() if response.content else None

    def deployments(self) -> dict[str, dict[str, Any]]:
        """Return every deployment that a worker serves, by `flow/name`."""
        flows = {flow["id"]: flow["name"] for flow in self.ask("POST", "flows/filter", limit=200)}
        found = self.ask("POST", "deployments/filter", limit=200)
        return {f"{flows[d['flow_id']]}/{d['name']}": d for d in found if d["work_pool_name"]}

    def start(self, deployment: str, env: dict[str, str] | None = None, **parameters: Any) -> str:
        """Press Run with the form's defaults, or with `parameters`; `env` are job variables. Return the run's id."""
        found = self.deployments()[deployment]
        started = self.ask(
            "POST",
            f"deployments/{found['id']}/create_flow_run",
            state={"type": "SCHEDULED"},
            parameters={**found["parameters"], **parameters},
            job_variables={"env": env} if env else {},
        )
        return str(started["id"])

    def scheduled(self, deployment: str) -> list[dict[str, Any]]:
        """Return the runs that the server's scheduler has entered for a deployment, the earliest first, started ones too."""
        asked = {"id": {"any_": [self.deployments()[deployment]["id"]]}}
        found = self.ask("POST", "flow_runs/filter", deployments=asked, sort="EXPECTED_START_TIME_ASC", limit=200)
        return [run for run in found if run["auto_scheduled"]]

    def pause(self, *names: str) -> None:
        """Pause deployments and remove the runs that the scheduler has entered: it may be at it when they are paused."""
        found = self.deployments()
        for name in names:
            self.ask("POST", f"deployments/{found[name]['id']}/pause_deployment")
        time.sleep(SCHEDULER_S)
        for run_id in [run["id"] for name in names for run in self.scheduled(name) if run["start_time"] is None]:
            self.ask("DELETE", f"flow_runs/{run_id}")

    def run(self, run_id: str) -> dict[str, Any]:
        """Return a flow run."""
        return self.ask("GET", f"flow_runs/{run_id}")

    def latest(self) -> dict[str, Any]:
        """Return the flow run that started last."""
        return self.last(1)[0]

    def last(self, count: int) -> list[dict[str, Any]]:
        """Return the flow runs that started last, the last first; Prefect would put before them what is yet to start."""
        asked = {"start_time": {"is_null_": False}}
        return self.ask("POST", "flow_runs/filter", flow_runs=asked, sort="START_TIME_DESC", limit=count)

    def wait(self, run_id: str, *types: str, after: str | None = None) -> dict[str, Any]:
        """Return the run once its state is of one of `types` (at rest where none is named) and not the one with id `after`."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            found = self.run(run_id)
            if found["state_type"] in (types or AT_REST) and found["state_id"] != after:
                return found
            assert time.monotonic() < deadline, f"{found['name']} is still {found['state_name']}: {self.log_of(run_id)}"
            time.sleep(0.2)

    def resume(self, run_id: str, **form: Any) -> dict[str, Any]:
        """Send the form of a suspended run; returns status and reason, which is all that tells a refused form apart."""
        return self.ask("POST", f"flow_runs/{run_id}/resume", run_input=form)

    def cancel(self, run_id: str) -> None:
        """Press Cancel."""
        self.ask("POST", f"flow_runs/{run_id}/set_state", state={"type": "CANCELLING"})

    def retry(self, run_id: str) -> None:
        """Press Retry."""
        self.ask("POST", f"flow_runs/{run_id}/set_state", state={"type": "SCHEDULED", "name": "AwaitingRetry"})

    def form_of(self, run: dict[str, Any]) -> dict[str, Any]:
        """Return the JSON schema of the form that a suspended run shows, and the text above it as its description."""
        keys = run["state"]["state_details"]["run_input_keyset"]
        stored = {entry["key"]: entry["value"] for entry in self._inputs_of(run["id"])}
        deadline = time.monotonic() + PATIENCE_S
        while keys["schema"] not in stored or keys["description"] not in stored:  # written just after the state
            assert time.monotonic() < deadline, f"{run['name']} shows no form"
            time.sleep(0.2)
            stored = {entry["key"]: entry["value"] for entry in self._inputs_of(run["id"])}
        return {**json.loads(stored[keys["schema"]]), "description": json.loads(stored[keys["description"]])}

    def _inputs_of(self, run_id: str) -> list[dict[str, Any]]:
        return self.ask("POST", f"flow_runs/{run_id}/input/filter", prefix="", limit=50)

    def wait_for_line(self, run_id: str, text: str) -> str:
        """Return the run's log once it holds `text`; it arrives some seconds after the state."""
        deadline = time.monotonic() + PATIENCE_S
        while text not in (log := self.log_of(run_id)):
            assert time.monotonic() < deadline, f"{text!r} is not in: {log}"
            time.sleep(0.5)
        return log

    def log_of(self, run_id: str) -> str:
        """Return the run's log as the page shows it."""
        asked = {"flow_run_id": {"any_": [run_id]}}
        return "\n".join(line["message"] for line in self.ask("POST", "logs/filter", logs=asked, sort="TIMESTAMP_ASC"))

    def artifacts_of(self, run_id: str) -> dict[str, str]:
        """Return the artifacts of a run by key, the newest of each."""
        asked = {"flow_run_id": {"any_": [run_id]}}
        newest_first = self.ask("POST", "artifacts/filter", artifacts=asked, sort="CREATED_DESC")
        return {found["key"]: found["data"] for found in reversed(newest_first)}
