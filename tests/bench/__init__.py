"""Measurements; run by `make bench-*`, not by the tests. Statements stand in `sql/`."""
