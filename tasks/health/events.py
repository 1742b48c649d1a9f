"""Tell Prefect which findings opened and closed, as events that automations wait for (A6).

Belongs here: names and labels of the events. Keep out: deciding what has changed (`memory`).
Prefect sends events from a thread of its own: without an API nothing is sent and nothing fails.
"""

from __future__ import annotations

from collections.abc import Iterable

from prefect.events import emit_event

from tasks.health.memory import Change

#: `maintenance.finding.<rule>` when one opens, `maintenance.resolved.<rule>` when it has gone.
OPENED, CLOSED = "maintenance.finding.", "maintenance.resolved."


def tell(changes: Iterable[Change]) -> int:
    """Emit an event for each change; returns how many Prefect took, 0 where it has no API."""
    return sum(_emit(change) is not None for change in changes)


def _emit(change: Change) -> object:
    resource = {
        "prefect.resource.id": f"maintenance.{change.rule}.{change.object}",
        "prefect.resource.name": change.object,
        "maintenance.rule": change.rule,
    }
    finding = change.finding
    if finding is None:
        return emit_event(CLOSED + change.rule, resource)
    labels = {"maintenance.level": finding.level, "maintenance.section": finding.section}
    payload = {"level": finding.level, "object": finding.object, "text": finding.text, "remedy": finding.remedy}
    return emit_event(OPENED + change.rule, {**resource, **labels}, payload=payload)
