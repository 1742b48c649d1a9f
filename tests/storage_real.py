"""A storage server of Supabase's own behind the face of the double, for tests that are to hold of both.

Belongs here: the buckets of one test on the server that the environment names, passing requests on to it, what is in it.
Keep out: what a test expects, and starting a server: `TEST_STORAGE_URL` and `TEST_STORAGE_KEY` (a service role's) name one
that runs already, addressed as SUPABASE_URL is. Each test has buckets of its own there, which are removed in the end.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.storage_double import Answer, Asked, StorageDouble, serving, storage_double

URL, KEY = "TEST_STORAGE_URL", "TEST_STORAGE_KEY"
#: What belongs to one connection and is not passed on.
HOP = {"host", "content-length", "connection", "accept-encoding"}
IS_NAMED = bool(os.environ.get(URL) and os.environ.get(KEY))
#: What a test of Storage runs against: the double, and the server where one is named. One skipped test says where none is.
BOTH = ["double", "real"] if IS_NAMED else ["double"]


@dataclass
class RealStorage(StorageDouble):
    """Passes on what a test does not answer itself; a bucket's name is made this test's own on the way."""

    server: httpx.Client = field(default_factory=httpx.Client)
    prefix: str = field(default_factory=lambda: f"test-{secrets.token_hex(6)}-")

    def make_bucket(self, name: str, **settings: Any) -> None:
        """Make a private bucket, or one of other settings."""
        own = self.prefix + name
        self.server.post("bucket", json={"id": own, "name": own, "public": False, **settings}).raise_for_status()
        self.buckets[name] = settings

    def answer(self, asked: Asked) -> Answer:
        """Return the server's own answer, read as the double gives it."""
        kind, _, address = asked.path.removeprefix("/storage/v1/").partition("/")
        body = asked.body
        if body and self.kept_as is not bytes:
            body = body.replace(asked.form.content, self.kept_as(asked.form.content))
        headers = {name: value for name, value in asked.headers.items() if name.lower() not in HOP}
        url = f"{self.server.base_url}{kind}/{self.prefix}{address}"
        said = httpx.request(asked.method, url, headers=headers, content=body, timeout=60)
        is_json = said.headers.get("content-type", "").startswith("application/json")
        is_stored = asked.method == "GET" and said.is_success and kind == "object"
        return said.status_code, said.json() if is_json and not is_stored else said.content


class RealObjects(MutableMapping[str, bytes]):
    """What the server holds, by address, read and changed without the code under test."""

    def __init__(self, storage: RealStorage) -> None:
        self._storage = storage

    def __getitem__(self, address: str) -> bytes:
        """Read one."""
        answer = self._storage.server.get(self._path(address))
        if not answer.is_success:
            raise KeyError(address)
        return answer.content

    def __setitem__(self, address: str, content: bytes) -> None:
        """Put one, in place of what is there."""
        headers = {"x-upsert": "true", "content-type": "application/octet-stream"}
        self._storage.server.post(self._path(address), content=content, headers=headers).raise_for_status()

    def __delitem__(self, address: str) -> None:
        """Take one away."""
        self._storage.server.delete(self._path(address)).raise_for_status()

    def __iter__(self) -> Iterator[str]:
        """Yield the addresses, folder by folder."""
        for bucket in self._storage.buckets:
            yield from (f"{bucket}/{key}" for key in self._below(bucket, ""))

    def __len__(self) -> int:
        """Count them."""
        return sum(1 for _ in self)

    def clear(self) -> None:
        """Take everything away."""
        for address in list(self):
            del self[address]

    def _path(self, address: str) -> str:
        return f"object/{self._storage.prefix}{quote(address)}"

    def _below(self, bucket: str, folder: str) -> Iterator[str]:
        asked = {"prefix": folder, "limit": 1000}
        answer = self._storage.server.post(f"object/list/{self._storage.prefix}{bucket}", json=asked)
        for found in answer.raise_for_status().json():
            path = f"{folder}{found['name']}"
            if found["id"] is None:
                yield from self._below(bucket, f"{path}/")
            else:
                yield path


@contextmanager
def real_storage() -> Iterator[RealStorage]:
    """Stand before the named server until the block ends, with the bucket `archive`."""
    key = os.environ[KEY]
    headers = {"Authorization": f"Bearer {key}", "apikey": key}
    base = f"{os.environ[URL].rstrip('/')}/storage/v1/"
    with httpx.Client(base_url=base, headers=headers, timeout=60) as server:
        storage = RealStorage(key=key, server=server)
        storage.objects = RealObjects(storage)
        storage.make_bucket("archive")
        try:
            with serving(storage):
                yield storage
        finally:
            storage.objects.clear()
            for bucket in storage.buckets:
                server.delete(f"bucket/{storage.prefix}{bucket}").raise_for_status()


@contextmanager
def either(kind: str) -> Iterator[StorageDouble]:
    """Start one of `BOTH`."""
    with storage_double() if kind == "double" else real_storage() as storage:
        yield storage


@pytest.fixture(params=BOTH)
def storage(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[StorageDouble]:
    """Storage of either kind, which the environment names as the place for archives."""
    with either(request.param) as started:
        monkeypatch.setenv("SUPABASE_URL", started.url)
        monkeypatch.setenv("SUPABASE_SERVICE_ROLE_KEY", started.key)
        monkeypatch.setenv("MAINTENANCE_ARCHIVE_TO", "storage://archive/prod")
        yield started
