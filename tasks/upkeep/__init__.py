"""Upkeep of what is not partitioned: materialized views.

Keep out: names of anybody's views; they stand in `maintenance.yaml`.
"""
