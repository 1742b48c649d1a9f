"""automations.yaml waits for events that exist, and Prefect understands it."""

from __future__ import annotations

import re

import yaml

from tasks.core.sqlfiles import ROOT
from tasks.health.automations import wanted
from tasks.health.events import OPENED

PROJECT = ROOT.parent
BLOCK = "00000000-0000-0000-0000-000000000001"


def test_every_automation_is_understood_and_waits_for_what_is_told() -> None:
    written = yaml.safe_load((PROJECT / "automations.yaml").read_text("utf-8"))["automations"]
    rules = "".join(path.read_text("utf-8") for path in (PROJECT / "tasks" / "health").glob("*.py"))
    for automation in (wanted(one, BLOCK) for one in written):
        assert automation.name.startswith("maintenance: ")
        assert {action.type for action in automation.actions} == {"send-notification"}
        for event in re.findall(rf"{OPENED}([a-z-]+)", automation.model_dump_json()):
            assert f'"{event}"' in rules, f"{automation.name} waits for a finding that no rule makes"


def test_nobody_has_to_look_for_these() -> None:
    written = yaml.safe_load((PROJECT / "automations.yaml").read_text("utf-8"))["automations"]
    names = {one["name"].removeprefix("maintenance: ") for one in written}
    assert names >= {"gate failed", "missed schedule", "low runway", "stale view", "growing quarantine"}
