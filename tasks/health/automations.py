"""The command `python -m flows install_automations`: automations.yaml into Prefect, as often as one likes (A6).

Belongs here: reading the file, finding the block to notify by, creating what is absent, updating what differs.
Keep out: which events there are (`events`). `prefect automation create --from-file` makes doubles when repeated.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.events.schemas.automations import Automation, AutomationCore
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL

from tasks.core.errors import Permanent
from tasks.core.settings import PROJECT

#: Server-side identities, which differ without a difference that anybody wrote; `enabled` is left as somebody set it.
NOT_WRITTEN = {"id", "created", "updated", "enabled", "owner_resource"}


@dataclass(eq=False)
class NoPrefectApi(Permanent):
    """PREFECT_API_URL is not set, so there is no Prefect server to install automations in. Set it to the server's API."""


@dataclass(eq=False)
class NoSuchBlock(Permanent):
    """There is no notification block {block}. Create it in Prefect (Blocks, such as Slack Webhook) and name it as type/name."""

    block: str


@dataclass(frozen=True)
class Installed:
    """What was done with one automation."""

    automation: str
    change: Literal["created", "updated", "unchanged"]


def install_automations(notify: str | None = None, file: Path = PROJECT / "automations.yaml") -> list[Installed]:
    """Install the automations of automations.yaml, or bring them up to date.

    An automation is known by its name: repeating the command makes no doubles, and removes those that
    `prefect automation create --from-file` made. Raises NoPrefectApi or NoSuchBlock before anything is changed.

    Args:
        notify: The notification block to use, as block type and name: slack-webhook/on-call. Empty: they notify nobody yet.
        file: The automations to install.
    """
    if not PREFECT_API_URL.value():
        raise NoPrefectApi
    written = yaml.safe_load(file.read_text(encoding="utf-8"))["automations"]
    with get_client(sync_client=True) as client:
        block_id = _block_id(client, notify) if notify else None
        return [_install(client, wanted(automation, block_id)) for automation in written]


def wanted(written: dict[str, Any], block_id: str | None) -> AutomationCore:
    """Return one automation of the file with the block that notifies; without a block it only shows in Prefect's events."""
    actions = [_with_block(action, block_id) for action in written["actions"]]
    return AutomationCore.model_validate({**written, "actions": actions})


def _with_block(action: dict[str, Any], block_id: str | None) -> dict[str, Any]:
    if action["type"] != "send-notification" or "block_document_id" in action:
        return action
    return {**action, "block_document_id": block_id} if block_id else {"type": "do-nothing"}


def _block_id(client: SyncPrefectClient, name: str) -> str:
    slug, _, document = name.partition("/")
    try:
        return str(client.read_block_document_by_name(document, slug, include_secrets=False).id)
    except ObjectNotFound:
        raise NoSuchBlock(name) from None


def _install(client: SyncPrefectClient, automation: AutomationCore) -> Installed:
    present = client.read_automations_by_name(automation.name)
    if not present:
        client.create_automation(automation)
        return Installed(automation.name, "created")
    kept, *doubles = present
    for double in doubles:
        client.delete_automation(double.id)
    if _plain(kept) == _plain(automation) and not doubles:
        return Installed(automation.name, "unchanged")
    is_enabled = all(one.enabled for one in present)
    client.update_automation(kept.id, automation.model_copy(update={"enabled": is_enabled}))
    return Installed(automation.name, "updated")


def _plain(automation: Automation | AutomationCore) -> Any:
    return _without(automation.model_dump(mode="json"))


def _without(value: Any) -> Any:
    """Drop identities at every depth; sets come as lists in any order."""
    if isinstance(value, dict):
        return {key: _without(item) for key, item in value.items() if key not in NOT_WRITTEN}
    if isinstance(value, list):
        return sorted((_without(item) for item in value), key=str)
    return value
