"""Flows against a real Prefect server; marked `flow`."""
