"""The parameter models that flows share; the Prefect form and the command line are made from them.

Belongs here: pydantic models used as flow parameters (style 3.8), in one ordinary module so that Prefect's loader
sees one copy.
Keep out: defaults of the declaration and anything that reads a database.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Safety(BaseModel):
    """Brakes for a run that can remove data."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    apply: bool = Field(
        default=False,
        title="Apply the plan",
        description="Off: publish the plan and stop. On: carry it out.",
        json_schema_extra={"position": 0},
    )
    at_most: int | None = Field(
        default=None,
        ge=1,
        le=50,
        title="Take at most",
        description="From 1 to 50: take the oldest this many and report the rest as due. Empty: what maintenance.yaml says.",
        json_schema_extra={"position": 1},
    )
