"""Supabase Storage: the one client of a flow run, and objects of bounded size in and out (A1, A8, N9).

Belongs here: opening the client with the runtime, reading and writing one object under the breaker, what a refusal means.
Keep out: what an object holds and how it is verified (`tasks.partitions.uploads`). The library is imported when first used.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote, urlsplit

from tasks.core.breakers import Dependency, guarded
from tasks.core.classify import CURABLE, classify
from tasks.core.connect import Runtime, runtime
from tasks.core.errors import ErrorKind, MaintenanceError, Permanent, Retryable
from tasks.core.settings import settings, without_secrets

SCHEME = "storage://"
#: Seconds to connect, and to wait for the next piece of an answer.
CONNECT_S, ANSWER_S = 10, 120
#: httpx keeps each answer in a cycle of references, so that large ones would pile up until Python happens to look.
LARGE_BYTES = 1 << 20
_EXTRA = "supabase"
_opening = threading.Lock()


@dataclass(frozen=True)
class StorageObject:
    """An object's address: `storage://<bucket>/<key>`."""

    bucket: str
    key: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an address; the key is empty where it names a bucket alone."""
        bucket, _, key = text.removeprefix(SCHEME).partition("/")
        return cls(bucket, key.rstrip("/"))

    def __str__(self) -> str:
        """Return the address as it stands in the ledger and in messages."""
        return f"{SCHEME}{self.bucket}/{self.key}"

    def sibling(self, name: str) -> Self:
        """Return the object of another name in the same folder."""
        folder, slash, _ = self.key.rpartition("/")
        return type(self)(self.bucket, f"{folder}{slash}{name}")


@dataclass(eq=False)
class StorageUnset(Permanent):
    """{object} is in Supabase Storage, and {missing} is not set. Set SUPABASE_URL and SUPABASE_SERVICE_ROLE_KEY where this
    process runs, then run again; nothing was changed."""

    object: str
    missing: str


@dataclass(eq=False)
class StorageDown(Retryable):
    """Supabase Storage at {address} could not {action} {object}: {reason}. Nothing was changed here; the next run goes on with
    this object."""

    failure = ErrorKind.NETWORK
    address: str
    action: str
    object: str
    reason: str


@dataclass(eq=False)
class StorageRefused(Permanent):
    """Supabase Storage at {address} refused to {action} {object}: {reason}. {remedy}"""

    address: str
    action: str
    object: str
    reason: str
    remedy: str


@dataclass(eq=False)
class ObjectMissing(Permanent):
    """{object} is not there (or this key may not see it). Put it back, or correct the address."""

    failure = ErrorKind.SCHEMA
    object: str


@dataclass(eq=False)
class BucketPublic(Permanent):
    """The bucket {bucket} is public: whoever guesses an address would read archives. Make it private and run again; nothing was
    uploaded."""

    bucket: str


@dataclass(frozen=True)
class _Opened:
    """The client with the connections that it uses, closed with the runtime; and the buckets that were looked at."""

    client: Any
    http: Any
    address: str
    private: set[str] = field(default_factory=set[str])

    def close(self) -> None:
        self.http.close()


def read_object(one: StorageObject) -> bytes:
    """Return an object's content, which is in memory as a whole: objects of ours have a limit.

    Raises ObjectMissing, StorageRefused, StorageDown, StorageUnset, BreakerOpen.
    """
    with _asked(one, "read") as opened:
        content: bytes = opened.client.storage.from_(one.bucket).download(quote(one.key))
    if len(content) > LARGE_BYTES:
        gc.collect()
    return content


def write_object(one: StorageObject, path: Path, content_type: str) -> None:
    """Upload a file, streamed, in place of what is there; no cache on the way may keep it.

    Raises StorageRefused, StorageDown, StorageUnset, BreakerOpen.
    """
    options = {"content-type": content_type, "cache-control": "0", "upsert": "true"}
    with _asked(one, "write") as opened:
        opened.client.storage.from_(one.bucket).upload(quote(one.key), path, options)


def require_private(bucket: str) -> None:
    """Look at a bucket before anything is uploaded to it, once per flow run.

    Of an object Storage says to a wrong key that its bucket is not there; of the bucket itself it says that the key is wrong.
    Raises BucketPublic, StorageRefused, StorageDown, StorageUnset, BreakerOpen.
    """
    with _asked(StorageObject(bucket, ""), "look at") as opened:
        if bucket in opened.private:
            return
        is_public = opened.client.storage.get_bucket(bucket).public
        if not is_public:
            opened.private.add(bucket)
    if is_public:
        raise BucketPublic(bucket)


@contextmanager
def _asked(one: StorageObject, action: str) -> Iterator[_Opened]:
    with runtime() as current:
        opened = _client_of(current, one)
        with guarded(Dependency.STORAGE, opened.address):
            try:
                yield opened
            except Exception as error:
                raise _explained(error, opened.address, action, one) from error


def _client_of(current: Runtime, one: StorageObject) -> _Opened:
    """Return the runtime's client, opened by whoever asks first."""
    with _opening:
        if _EXTRA not in current.extras:
            current.extras[_EXTRA] = _open(one)
        return current.extras[_EXTRA]


def _open(one: StorageObject) -> _Opened:
    given = settings()
    if not given.supabase_url or given.supabase_service_role_key is None:
        raise StorageUnset(str(one), "SUPABASE_SERVICE_ROLE_KEY" if given.supabase_url else "SUPABASE_URL")
    import httpx
    import supabase

    parts = urlsplit(given.supabase_url)
    address = f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"
    http = httpx.Client(timeout=httpx.Timeout(ANSWER_S, connect=CONNECT_S), follow_redirects=True)
    options = supabase.ClientOptions(auto_refresh_token=False, persist_session=False, httpx_client=http)
    try:
        client = supabase.create_client(given.supabase_url, given.supabase_service_role_key.get_secret_value(), options)
    except supabase.SupabaseException as error:
        http.close()
        remedy = "Correct SUPABASE_URL (https://<project>.supabase.co) and SUPABASE_SERVICE_ROLE_KEY; nothing was changed."
        raise StorageRefused(address, "use", str(one), without_secrets(str(error)), remedy) from None
    return _Opened(client, http, address)


def _explained(error: Exception, address: str, action: str, one: StorageObject) -> MaintenanceError:
    """Say what an answer means: passing, missing, or refused with the remedy."""
    status, said = str(getattr(error, "status", "")), _words(error)
    if status.startswith("5") or classify(error) in CURABLE | {ErrorKind.LOCK}:
        return StorageDown(address, action, str(one), said)
    if status == "404" and "bucket" not in said.lower():
        return ObjectMissing(str(one))
    return StorageRefused(address, action, str(one), said, _remedy(classify(error), status, said, one.bucket))


def _words(error: Exception) -> str:
    """Return what was said on one short line, without secrets."""
    text = str(getattr(error, "message", "") or error or type(error).__name__)
    return without_secrets(" ".join(text.split()))[:300].rstrip(".")


def _remedy(kind: ErrorKind, status: str, said: str, bucket: str) -> str:
    if status == "404":
        wrong = "MAINTENANCE_ARCHIVE_TO or SUPABASE_SERVICE_ROLE_KEY (Storage says the same to a key that may not see it)"
        return f"Create the private bucket {bucket}, or correct {wrong}; the next run goes on."
    if kind is ErrorKind.AUTH or "jwt" in said.lower():
        return "SUPABASE_SERVICE_ROLE_KEY must be the secret key of this project's service role; correct it and run again."
    if status == "413":
        return f"Raise the file size limit of the project and of the bucket {bucket} to 25 MB or more; the next run goes on."
    if status == "415":
        return f"Let the bucket {bucket} take application/vnd.apache.parquet and application/json; the next run goes on."
    return "Look at the project's Storage log, remove the cause and run again."
