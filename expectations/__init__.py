"""What must be true before the next step: a module per gate, each with `SUITES`, a suite per frame of evidence.

Only what must hold and why; facts are collected by `tasks.gates.evidence`, judged by `tasks.gates.suites`.
"""

from tasks.core.imports import import_on_use

# Three metrics of Great Expectations use it, no suite uses them: 55 MB and a third of a second in every gate's process.
import_on_use("scipy.stats")
