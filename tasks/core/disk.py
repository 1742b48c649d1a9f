"""The disk that the server writes to, as far as this process can see it.

Belongs here: measuring. Keep out: how much is needed, and the errors of those who need it.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from tasks.core.connect import Connection
from tasks.core.sqlfiles import fetch_one


def free_bytes(conn: Connection) -> int | None:
    """Return the free bytes where the server keeps its data, None where this process cannot see it.

    Looks only where the server's own process runs on this machine: a path may exist on both sides of a tunnel.
    """
    directory = fetch_one(conn, "core/data_directory")["data_directory"]
    try:
        command = Path(f"/proc/{conn.info.backend_pid}/comm").read_text(encoding="utf-8")
        return shutil.disk_usage(directory).free if directory and command.startswith("postgres") else None
    except OSError:
        return None
