"""Suites of Great Expectations as Python modules; keep out queries and verdicts (`tasks.gates`)."""
