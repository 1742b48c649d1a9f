"""The command `python -m flows approve`: answer an open approval request from a shell (design 9).

Belongs here: the command's parameters. Keep out: what makes an approval valid (`approval`).
"""

from __future__ import annotations

from typing import Literal

from tasks.core.connect import Kind, transaction
from tasks.core.declaration import read_declaration
from tasks.migration.approval import InvalidApproval, answer, read_open


def approve(
    migration: str,
    *,
    name: str,
    reason: str,
    sign_offs: list[str] | None = None,
    decision: Literal["approved", "refused"] = "approved",
) -> str:
    """Answer the open approval request of a migration.

    Args:
        migration: A migration from maintenance.yaml.
        name: Who decides.
        reason: Why.
        sign_offs: Each sign-off that the declaration asks for.
        decision: approved or refused.
    """
    declared = read_declaration().migration(migration)
    with transaction(Kind.READ) as conn:
        request = read_open(conn, migration)
        first = answer(
            conn,
            request,
            migration,
            decision=decision,
            name=name,
            reason=reason,
            sign_offs=sign_offs or [],
            needed=declared.sign_offs,
            valid_for=declared.approval_valid,
        )
    if not first:
        raise InvalidApproval(migration=migration, reason="this request has an answer already")
    return f"{decision} by {name}"
