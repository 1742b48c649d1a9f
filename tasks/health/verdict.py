"""Whether a report fails its run (A6).

Belongs here: the declared level against the findings. Keep out: what a finding is (`findings`). Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from tasks.core.errors import Permanent
from tasks.health.facts import ORDER, Finding, Level

#: A state's message is read in a list of runs; the artifact has them all.
MOST_NAMED = 10


@dataclass(eq=False)
class Unhealthy(Permanent):
    """The maintained database needs somebody now: {findings}"""

    findings: str


def refuse(findings: Iterable[Finding], fail_at: Level | Literal["never"]) -> None:
    """Raise Unhealthy naming every finding that is at least as bad as `fail_at`, each with its remedy."""
    if fail_at == "never":
        return
    bad = [finding for finding in findings if ORDER[finding.level] <= ORDER[fail_at]]
    if bad:
        more = [f"and {len(bad) - MOST_NAMED} more"] if len(bad) > MOST_NAMED else []
        raise Unhealthy("; ".join([*map(_said, bad[:MOST_NAMED]), *more]))


def _said(finding: Finding) -> str:
    return f"{finding.object}: {finding.text}" + (f" ({finding.remedy})" if finding.remedy else "")
