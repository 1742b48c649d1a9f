"""The text in which upkeep is shown: log and artifact are the same.

Belongs here: Markdown from results. Keep out: anything that decides.
"""

from __future__ import annotations

from collections.abc import Sequence

from tasks.upkeep.matviews import Refreshed
from tasks.upkeep.sessions import SessionsExpired


def refreshed_table(results: Sequence[Refreshed]) -> str:
    """Return a Markdown table, one line per view."""
    head = "| view | outcome | why | seconds | rows | bytes |\n|---|---|---|---|---|---|"
    lines = [
        f"| {r.matview} | {r.outcome} | {r.reason} | {r.seconds:.2f} | {r.rows_after:,} | {r.size_bytes:,} |" for r in results
    ]
    return "\n".join([head, *lines])


def expired_sessions(result: SessionsExpired) -> str:
    """Return one sentence: what became of the sessions."""
    return (
        f"{result.table} as of {result.as_of:%Y-%m-%d %H:%M} UTC: {result.expired:,} marked as expired, "
        f"{result.purged:,} expired ones deleted, in {result.batches:,} batches."
    )
