"""Rooms against a real PostgreSQL, one cloned database per test; keep out Prefect."""
