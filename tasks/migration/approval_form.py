"""The form in which Prefect asks a person to approve a cutover (design 9).

Belongs here: the form's fields, made from the declared sign-offs, and reading an answer.
Keep out: what makes an approval valid (`approval`) and the suspension itself (`flows/migrate.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from prefect.input import RunInput
from pydantic import Field, create_model


class Answer(RunInput):
    """What a person decides about a cutover."""

    decision: Literal["approve", "refuse"] = Field(title="Decision", description="Refuse ends the run; nothing is changed.")
    name: str = Field(min_length=1, max_length=200, title="Your name")
    reason: str = Field(min_length=1, max_length=2000, title="Reason")


def form(sign_offs: Sequence[str]) -> type[Answer]:
    """Return the form with one checkbox per declared sign-off."""
    fields: dict[str, Any] = {
        name: (bool, Field(default=False, title=f"Sign-off: {name.replace('_', ' ')}", description="Needed to approve."))
        for name in sign_offs
    }
    return create_model("ApprovalForm", __base__=Answer, **fields)


def given_sign_offs(answer: Answer, sign_offs: Sequence[str]) -> tuple[str, ...]:
    """Return the sign-offs whose box was ticked."""
    return tuple(name for name in sign_offs if getattr(answer, name))
