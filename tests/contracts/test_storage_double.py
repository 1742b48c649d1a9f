"""The double of Storage answers what a storage server of Supabase's own answers to the same requests.

Needs the server that the environment names (`tests.storage_real`): docs/flows/enforce_retention.md names the
version of which this was true.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import httpx
import pytest

from tests.storage_double import StorageDouble
from tests.storage_real import IS_NAMED, KEY, URL, either

PARQUET, JSON = "application/vnd.apache.parquet", "application/json"
GOOD, WRONG = "good", "wrong"
#: Of these the kind alone is compared: they are new each time.
OWN = {"Id", "id", "name", "Key", "owner", "created_at", "updated_at"}
#: Quoted in the address: what Storage refuses in a key, and what it takes.
KEYS = ("a%25b", "a~b", "%C3%A4", "a%23b", "a%22b", "a%5Bb", "a%24b", "a=b", "a b", "x%2F%2Fy", "a%3Fb", "a;b")


class Asker:
    """Sends requests without Supabase's client, and keeps status and body of each answer."""

    def __init__(self, storage: StorageDouble, http: httpx.Client) -> None:
        self._storage, self._http = storage, http
        self.answers: dict[str, tuple[int, Any]] = {}

    def ask(self, method: str, path: str, key: str | None = GOOD, content: bytes | None = None, **more: str) -> None:
        """Send one; `content_type` and `upsert` are of an upload."""
        secret = {GOOD: self._storage.key, WRONG: "sb_secret_of_another_project", None: None}[key]
        headers = {} if secret is None else {"Authorization": f"Bearer {secret}", "apikey": secret}
        headers |= {"x-upsert": more["upsert"]} if "upsert" in more else {}
        form = {"file": ("f", content, more.get("content_type", PARQUET))} if content is not None else None
        url = f"{self._storage.url}/storage/v1/{path}"
        answer = self._http.request(method, url, headers=headers, files=form, data={"cacheControl": "0"} if form else None)
        name = f"{len(self.answers)} {method} {path} {key} {sorted(more)}"
        self.answers[name] = answer.status_code, _comparable(answer)


def _comparable(answer: httpx.Response) -> Any:
    if not answer.content.startswith(b"{") or b'"' not in answer.content:
        return answer.content
    body: dict[str, Any] = answer.json()
    return {name: type(value).__name__ if name in OWN else value for name, value in body.items()}


def _ask_everything(asker: Asker) -> None:
    for key, bucket in product((GOOD, WRONG, None), ("archive", "nowhere")):
        asker.ask("GET", f"bucket/{bucket}", key)
        asker.ask("GET", f"object/{bucket}/a/b", key)
        asker.ask("POST", f"object/{bucket}/a/c", key, b"x", upsert="true")
        asker.ask("PUT", f"object/{bucket}/a/c", key, b"xx")
        asker.ask("POST", f"object/{bucket}/a~b", key, b"x")
    asker.ask("POST", "object/archive/a/c", content=b"xyz", upsert="true")
    asker.ask("POST", "object/archive/a/c", content=b"xyz!")
    asker.ask("GET", "object/archive/a/c")
    for method in ("POST", "PUT"):
        asker.ask(method, "object/small/a", content=bytes(3000))
    asker.ask("POST", "object/typed/a", content=b"x")
    asker.ask("POST", "object/typed/a", content=b"{}", content_type=JSON)
    for name in KEYS:
        asker.ask("POST", f"object/archive/{name}", content=b"x", upsert="true")


def answers_of(kind: str) -> dict[str, tuple[int, Any]]:
    """Return every answer of the double, or of the server."""
    with either(kind) as storage, httpx.Client(timeout=60) as http:
        storage.make_bucket("small", file_size_limit=2000)
        storage.make_bucket("typed", allowed_mime_types=[JSON])
        asker = Asker(storage, http)
        _ask_everything(asker)
        return asker.answers


@pytest.mark.skipif(not IS_NAMED, reason=f"{URL} and {KEY} name no storage server")
def test_the_double_answers_as_the_server_does() -> None:
    assert answers_of("double") == answers_of("real")
