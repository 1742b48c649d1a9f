"""Ask a gate: collect evidence, judge it, keep the verdict (M8).

Belongs here: the order of the three, how long a verdict counts, where the Data Docs go.
Keep out: facts (`evidence`), expectations (`suites`), rules (`verdict`), and asking for a verdict later (`store`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tasks.core.declaration import Declaration
from tasks.core.settings import settings
from tasks.gates.evidence import Evidence, Row, collect
from tasks.gates.store import keep_verdict
from tasks.gates.suites import validate
from tasks.gates.verdict import Verdict, blocked

#: How long a verdict counts where no migration declares it.
VALID_FOR = timedelta(hours=1)


def judge(
    subject: str,
    step: str,
    declaration: Declaration,
    *,
    given: Mapping[str, Sequence[Row]] | None = None,
    parameters: Mapping[str, Any] | None = None,
    suites: Mapping[str, Any] | None = None,
    as_of: datetime | None = None,
    docs: bool = True,
) -> Verdict:
    """Ask the gate `step` of a declared migration or table and return its verdict, which is kept in maintenance.verdict.

    `subject` may carry the hash of a plan after a space. `given` are frames that the caller brings (retention's `plan`),
    `parameters` the values that the suites of the step name. Reads the database in one snapshot and changes nothing but
    the ledger. `suites` are those of a step that `expectations/` has no module for. Raises NotDeclared, InvalidSuite; what blocks is in the verdict, not raised (M8).
    """
    evidence = collect(subject, step, declaration, given=given, names=suites, as_of=as_of)
    folder = docs_folder(evidence) if docs else None
    outcomes = validate(step, evidence.frames, parameters, suites=suites, docs=folder)
    data_docs = str(folder / "index.html") if folder else None
    return keep_verdict(evidence, outcomes, valid_for(subject, declaration), data_docs)


def pass_gate(subject: str, step: str, declaration: Declaration, **more: Any) -> Verdict:
    """Ask the gate as `judge` does and return its verdict; raises GateBlocked naming what failed where it does not let pass."""
    verdict = judge(subject, step, declaration, **more)
    if not verdict.lets_pass:
        raise blocked(verdict)
    return verdict


def valid_for(subject: str, declaration: Declaration) -> timedelta:
    """Return how long a verdict on this subject counts."""
    migration = declaration.migrations.get(subject.partition(" ")[0])
    return migration.verdict_valid if migration is not None else VALID_FOR


def docs_folder(evidence: Evidence) -> Path:
    """Return the folder of this verdict's Data Docs; each run of a gate keeps its own."""
    name = re.sub(r"[^\w.-]+", "_", evidence.subject)[:80]
    return settings().maintenance_output / "data_docs" / f"{name}-{evidence.step}-{evidence.id}"
