"""The part of Supabase Storage's HTTP API that archives use, answered as its public source answers (supabase/storage).

Belongs here: POST and PUT of an object by multipart form, GET of one and of a bucket, the key, a bucket's settings, and errors:
HTTP 400 with the real status in the body, as Storage does. Keep out: what a test expects, and the real server, which
`tests.storage_real` puts behind the same face.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

KEY = "sb_secret_of_the_double"
Answer = tuple[int, object]

NO_BUCKET: Answer = (
    400,
    {"statusCode": "404", "code": "NoSuchBucket", "error": "Bucket not found", "message": "Bucket not found"},
)
NO_OBJECT: Answer = (400, {"statusCode": "404", "code": "NoSuchKey", "error": "not_found", "message": "Object not found"})
NO_RIGHT: Answer = (
    400,
    {
        "statusCode": "403",
        "code": "AccessDenied",
        "error": "Unauthorized",
        "message": "new row violates row-level security policy",
    },
)
WRONG_KEY: Answer = (
    400,
    {"statusCode": "403", "code": "AccessDenied", "error": "Unauthorized", "message": "Invalid Compact JWS"},
)
#: What an upload hears without a key; whoever only reads an object hears of no bucket.
NO_KEY: Answer = (
    400,
    {
        "statusCode": "400",
        "code": "InvalidRequest",
        "error": "Error",
        "message": "headers must have required property 'authorization'",
    },
)
WRONG_NAME: Answer = (
    400,
    {"statusCode": "400", "code": "InvalidKey", "error": "InvalidKey", "message": "Invalid key: "},
)
GATEWAY_KEY: Answer = (401, {"message": "Invalid API key", "hint": "Double check your API key."})
TOO_LARGE: Answer = (
    400,
    {
        "statusCode": "413",
        "code": "EntityTooLarge",
        "error": "Payload too large",
        "message": "The object exceeded the maximum allowed size",
    },
)
WRONG_TYPE: Answer = (
    400,
    {
        "statusCode": "415",
        "code": "InvalidMimeType",
        "error": "invalid_mime_type",
        "message": "mime type application/json is not supported",
    },
)
DUPLICATE: Answer = (
    400,
    {"statusCode": "409", "code": "KeyAlreadyExists", "error": "Duplicate", "message": "The resource already exists"},
)
SLOW_DOWN: Answer = (
    429,
    {
        "statusCode": "429",
        "code": "SlowDown",
        "error": "too_many_connections",
        "message": "Too many connections issued to the database",
    },
)
BROKEN: Answer = (
    500,
    {"statusCode": "500", "code": "InternalError", "error": "Internal", "message": "Internal Server Error"},
)
NO_DATABASE: Answer = (
    544,
    {
        "statusCode": "544",
        "code": "DatabaseTimeout",
        "error": "DatabaseTimeout",
        "message": "The connection to the database timed out",
    },
)
OVER_PLAN: Answer = (402, {"message": "Service for this project is restricted due to exceeding the quota"})
HTML: Answer = (502, "<html>\n<body>Bad gateway</body></html>")
#: The connection ends without an answer.
GONE: Answer = (0, None)


@dataclass(frozen=True)
class Asked:
    """One request: the address is `<bucket>/<key>` of an object, the bucket's name alone where that was asked for."""

    method: str
    address: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def form(self) -> Form:
        """The form's file: the part with a file name."""
        boundary = self.headers["Content-Type"].partition("boundary=")[2].encode()
        for part in self.body.split(b"--" + boundary)[1:-1]:
            head, _, content = part.partition(b"\r\n\r\n")
            if b"filename=" in head:
                kind = head.lower().partition(b"content-type:")[2].split(b"\r\n")[0]
                return Form(kind.decode().strip(), content.removesuffix(b"\r\n"))
        raise AssertionError(self.body[:200])


@dataclass(frozen=True)
class Form:
    """What an upload brings."""

    content_type: str
    content: bytes


@dataclass
class StorageDouble:
    """What it holds, what was asked of it, and how it is told to fail."""

    url: str = ""
    key: str = KEY
    objects: MutableMapping[str, bytes] = field(default_factory=dict[str, bytes])
    buckets: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    #: Every write by its address, in order, refused ones left out; and every read.
    written: list[str] = field(default_factory=list[str])
    read: list[str] = field(default_factory=list[str])
    #: Asked before anything else with the method and the address; its answer is given instead.
    instead: Callable[[str, str], Answer | None] = lambda _method, _address: None
    #: What becomes of a content on its way to the disk.
    kept_as: Callable[[bytes], bytes] = bytes

    def fails(self, answer: Answer, *, method: str = "", after: int = 0) -> None:
        """Give this answer to every request of the method from the one after `after` on."""
        seen = iter(range(1 << 30))

        def instead(asked: str, _address: str) -> Answer | None:
            return answer if method in {"", asked} and next(seen) >= after else None

        self.instead = instead

    def works(self) -> None:
        """Fail no longer."""
        self.instead = lambda _method, _address: None
        self.kept_as = bytes

    def make_bucket(self, name: str, **settings: Any) -> None:
        """Make a private bucket, or one of other settings: `public`, `file_size_limit`, `allowed_mime_types`."""
        self.buckets[name] = {"public": False, "file_size_limit": None, "allowed_mime_types": None, **settings}

    def answer(self, asked: Asked) -> Answer:
        """Do what was asked; the body of the answer is JSON, or bytes as they are."""
        refused = self._refusal(asked)
        if refused is not None:
            return refused
        bucket, _, key = asked.address.partition("/")
        if not key:
            return 200, {"id": bucket, "name": bucket, "owner": "", **INSTANTS, **self.buckets[bucket]}
        if asked.method == "GET":
            return (200, self.objects[asked.address]) if asked.address in self.objects else NO_OBJECT
        return self._keep(asked, bucket)

    def _refusal(self, asked: Asked) -> Answer | None:
        """A wrong key, then a missing bucket; of an object nobody is told that a bucket is there whose key is wrong."""
        bucket, _, key = asked.address.partition("/")
        given = asked.headers.get("Authorization")
        is_read = asked.method == "GET" and bool(key)
        if given is None and not is_read:
            return NO_KEY
        if given != f"Bearer {self.key}":
            return NO_BUCKET if is_read else WRONG_KEY
        return None if bucket in self.buckets else NO_BUCKET

    def _keep(self, asked: Asked, bucket: str) -> Answer:
        form, settings = asked.form, self.buckets[bucket]
        if refused := _wrong_name(asked.address.partition("/")[2]):
            return refused
        if asked.method == "POST" and asked.address in self.objects and asked.headers.get("x-upsert") != "true":
            return DUPLICATE
        if settings["file_size_limit"] is not None and len(form.content) > settings["file_size_limit"]:
            return TOO_LARGE
        if settings["allowed_mime_types"] is not None and form.content_type not in settings["allowed_mime_types"]:
            status, said = WRONG_TYPE
            assert isinstance(said, dict)
            return status, {**said, "message": f"mime type {form.content_type} is not supported"}
        self.objects[asked.address] = self.kept_as(form.content)
        return 200, {"Id": "0", "Key": asked.address}


#: What Storage takes in a key (isValidKey of its source): these characters.
KEY_CHARACTERS = re.compile(r"[A-Za-z0-9_/!.*'() &$@=;:+,?-]+")
INSTANTS = dict.fromkeys(("created_at", "updated_at"), "2025-01-01T00:00:00.000Z")


def _wrong_name(key: str) -> Answer | None:
    status, said = WRONG_NAME
    assert isinstance(said, dict)
    return None if KEY_CHARACTERS.fullmatch(key) else (status, {**said, "message": f"Invalid key: {key}"})


@contextmanager
def storage_double() -> Iterator[StorageDouble]:
    """Serve on a free port of this machine until the block ends, with the bucket `archive`."""
    double = StorageDouble()
    double.make_bucket("archive")
    with serving(double):
        yield double


@contextmanager
def serving(double: StorageDouble) -> Iterator[None]:
    """Let it answer on a free port until the block ends."""

    class Handler(_Handler):
        storage = double

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        double.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    storage: StorageDouble

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        asked = Asked(self.command, self._address(), self.path, self.headers, body)
        is_object = "/" in asked.address
        if is_object and self.command == "GET":
            self.storage.read.append(asked.address)
        answer = self.storage.instead(self.command, asked.address) or self.storage.answer(asked)
        if is_object and self.command != "GET" and answer[0] == HTTPStatus.OK:
            self.storage.written.append(asked.address)
        self._send(*answer)

    do_POST = do_PUT = do_GET  # noqa: N815 (the base class looks for these names)

    def _address(self) -> str:
        """Return `<bucket>/<key>` or the bucket: archives use no other routes."""
        path = self.path.partition("?")[0].removeprefix("/storage/v1/")
        kind, _, address = path.partition("/")
        assert kind in {"object", "bucket"}, self.path
        return unquote(address)

    def _send(self, status: int, body: object) -> None:
        if not status:
            self.close_connection = True
            return
        is_raw = isinstance(body, bytes | str)
        content = (body.encode() if isinstance(body, str) else body) if is_raw else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/octet-stream" if is_raw else "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's word)
        """Keep quiet."""
