"""Moving legacy tables into a partitioned table: capture, copy, drain, compare, cut over, and back.

Keep out: names of anybody's tables; they stand in `maintenance.yaml` and `sql/legacy/`.
"""
