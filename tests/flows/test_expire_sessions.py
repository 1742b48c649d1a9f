"""The flow: what a person sees in Prefect of sessions that end (D9)."""

from __future__ import annotations

import httpx
import psycopg
import pytest

from flows.expire_sessions import expire_sessions
from tasks.core.errors import MissingRelation
from tasks.core.ledger import Deferred
from tests.flows.pages import Pages


def test_the_run_says_what_became_of_the_sessions_and_a_second_one_finds_nothing(database: str, prefect_api: str) -> None:
    with psycopg.connect(database) as conn:
        conn.execute(
            "insert into public.sessions (session_id, last_activity_at)"
            " values ('idle', now() - interval '2 days'), ('old', now() - interval '32 days'), ('awake', now())"
        )

    first, second = expire_sessions(), expire_sessions()

    assert not isinstance(first, Deferred)
    assert not isinstance(second, Deferred)
    assert (first.expired, first.purged) == (2, 1)
    assert (second.expired, second.purged) == (0, 0)
    latest = Pages(prefect_api).latest()
    assert (latest["name"], latest["state_type"]) == ("expire sessions now", "COMPLETED")
    artifacts = httpx.post(f"{prefect_api}/artifacts/filter", json={"sort": "CREATED_DESC", "limit": 2}).json()
    said = [artifact["data"].partition(": ")[2] for artifact in artifacts if artifact["key"] == "expire-sessions"]
    assert said == [
        "0 marked as expired, 0 expired ones deleted, in 0 batches.",
        "2 marked as expired, 1 expired ones deleted, in 2 batches.",
    ]


def test_a_missing_table_fails_the_run_with_the_remedy(database: str, prefect_api: str) -> None:
    with psycopg.connect(database) as conn:
        conn.execute("drop table public.sessions")
    with pytest.raises(MissingRelation, match="Its columns must be: session_id text"):
        expire_sessions()
