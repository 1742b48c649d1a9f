"""A small HTTP server that answers as Supabase's services document it, for tests of what our side makes of the answers.

Belongs here: starting it, the answer it is told to give next, breaking off. Keep out: what an answer should mean.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Double:
    """What it answers to every request until told otherwise; `status` 0 breaks the connection off without a word."""

    url: str = ""
    status: int = 200
    body: Any = field(default_factory=dict)
    asked: int = 0

    def says(self, status: int, body: Any) -> None:
        """Answer so from now on: a string as it is, anything else as JSON."""
        self.status, self.body = status, body


@contextmanager
def http_double() -> Iterator[Double]:
    """Serve on a free port of this machine until the block ends."""
    double = Double()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            double.asked += 1
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if not double.status:
                self.close_connection = True
                return
            is_text = isinstance(double.body, str)
            body = (double.body if is_text else json.dumps(double.body)).encode()
            self.send_response(double.status)
            self.send_header("Content-Type", "text/html" if is_text else "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_PUT = do_DELETE = do_PATCH = do_GET  # noqa: N815 (the base class looks for these names)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the base class's word)
            """Keep quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        serving.start()
        double.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield double
        finally:
            server.shutdown()
            serving.join()
