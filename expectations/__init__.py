"""What must be true before the next step: a module per gate, each with `SUITES`, a suite per frame of evidence.

Only what must hold and why; facts are collected by `tasks.gates.evidence`, judged by `tasks.gates.suites`.
"""
