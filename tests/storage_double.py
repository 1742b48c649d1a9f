"""The part of Supabase Storage's HTTP API that archives use, answered as its public source answers (supabase/storage).

Belongs here: POST and PUT of an object by multipart form, GET of one, the key, the buckets, the limit, and errors: HTTP 400 with
the real status in the body, as Storage does. Keep out: what a test expects. It is no proof of the real server.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
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


@dataclass
class StorageDouble:
    """What it holds, what was asked of it, and how it is told to fail."""

    url: str = ""
    objects: dict[str, bytes] = field(default_factory=dict)
    buckets: set[str] = field(default_factory=lambda: {"archive"})
    #: Every write by its address, in order, refused ones left out; and every read.
    written: list[str] = field(default_factory=list)
    read: list[str] = field(default_factory=list)
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


@contextmanager
def storage_double() -> Iterator[StorageDouble]:
    """Serve on a free port of this machine until the block ends."""
    double = StorageDouble()

    class Handler(_Handler):
        storage = double

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        serving.start()
        double.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield double
        finally:
            server.shutdown()
            serving.join()


class _Handler(BaseHTTPRequestHandler):
    storage: StorageDouble

    def do_GET(self) -> None:
        address = self._address()
        self.storage.read.append(address)
        answer = self.storage.instead("GET", address) or self._refusal(address)
        if answer is None and address not in self.storage.objects:
            answer = NO_OBJECT
        self._send(*(answer or (200, self.storage.objects[address])))

    def do_POST(self) -> None:
        address = self._address()
        body = self.rfile.read(int(self.headers["Content-Length"]))
        answer = self.storage.instead(self.command, address) or self._refusal(address)
        is_new = address not in self.storage.objects
        if answer is None and self.command == "POST" and not is_new and self.headers.get("x-upsert") != "true":
            answer = DUPLICATE
        if answer is None:
            self.storage.objects[address] = self.storage.kept_as(self._file(body))
            self.storage.written.append(address)
            answer = (200, {"Id": "0", "Key": address})
        self._send(*answer)

    do_PUT = do_POST  # noqa: N815 (the base class looks for this name)

    def _address(self) -> str:
        """Return `<bucket>/<key>`: archives use no other route."""
        path = self.path.partition("?")[0]
        assert path.startswith("/storage/v1/object/"), path
        return unquote(path.removeprefix("/storage/v1/object/"))

    def _refusal(self, address: str) -> Answer | None:
        if self.headers.get("Authorization") != f"Bearer {KEY}" or self.headers.get("apikey") != KEY:
            return WRONG_KEY
        return None if address.partition("/")[0] in self.storage.buckets else NO_BUCKET

    def _file(self, body: bytes) -> bytes:
        """Return the form's file: the part with a file name."""
        boundary = self.headers["Content-Type"].partition("boundary=")[2].encode()
        for part in body.split(b"--" + boundary)[1:-1]:
            head, _, content = part.partition(b"\r\n\r\n")
            if b"filename=" in head:
                return content.removesuffix(b"\r\n")
        raise AssertionError(body[:200])

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
