"""Fixtures that more than one folder of tests uses: servers, databases, Prefect.

`database` is the one most tests want: a clone of a migrated database of its own, DATABASE_URL pointing at it.
Keep out: the legacy tables, and rows that single tests need.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tasks.core import breakers
from tasks.core.embedded import DATA, EmbeddedServer, Watchdog, bundled_binaries, own_directory, remove, watchdog
from tasks.core.migrations import apply

# Before anything imports Prefect: no profile of the user, and an error instead of a server nobody asked for.
os.environ["PREFECT_HOME"] = str(DATA / "test" / "prefect-home")
# Prefect makes it, but not its parents, and warns where it cannot.
(DATA / "test" / "prefect-home").mkdir(parents=True, exist_ok=True)
os.environ["PREFECT_SERVER_EPHEMERAL_ENABLED"] = "false"
os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
os.environ["DO_NOT_TRACK"] = "1"
os.environ.pop("PREFECT_API_URL", None)
os.environ.pop("DATABASE_URL", None)

#: The role that flows run as: no superuser, owner of its database, member of Supabase's API roles.
MAINTAINER = "maintainer"
DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")
#: Every test drops a database of some thousand files, and on ext4 each new file then looks past all that were just deleted:
#: half of the suite's time, which memory does not take.
MEMORY, ROOM_BYTES = Path("/dev/shm"), 6_000_000_000  # noqa: S108 (only the servers of tests, below a name of our own)
#: Off by default; the health report finds prepared transactions that nobody ended.
TEST_SETTINGS = {"max_prepared_transactions": "4"}
#: The migration sets of `database`; `make_database` takes others.
SHIPPED_SETS = ("event_store",)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what `make test-all` turns on."""
    group = parser.getgroup("maintenance")
    group.addoption("--all-servers", action="store_true", help="each test of a database on each server found or named")
    group.addoption("--full-loops", action="store_true", help="full numbers of examples and rounds")
    group.addoption("--server", action="append", default=[], help="only these: embedded18, debian15, url0, ...")


def pytest_configure(config: pytest.Config) -> None:
    """Choose how many examples hypothesis tries."""
    slow_start = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
    hypothesis_settings.register_profile("quick", max_examples=30, deadline=None, suppress_health_check=slow_start)
    hypothesis_settings.register_profile("full", max_examples=300, deadline=None, suppress_health_check=slow_start)
    hypothesis_settings.load_profile("full" if config.getoption("--full-loops") else "quick")


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Name the servers and their versions."""
    return [f"server {name}: {_version(name)}" for name in _server_names(config)]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what starts Prefect as `flow` and keep it in one xdist worker, so that one server serves all."""
    for item in items:
        if "prefect_api" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.flow)
            item.add_marker(pytest.mark.xdist_group("flow"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that uses a database once on each server asked for."""
    if "server" in metafunc.fixturenames:
        metafunc.parametrize("server", _server_names(metafunc.config), indirect=True, scope="session")


def _server_names(config: pytest.Config) -> list[str]:
    wanted: list[str] = config.getoption("--server") or []
    found = ["embedded18"]
    if wanted or config.getoption("--all-servers"):
        found += ["debian15"] if (DEBIAN_15 / "postgres").exists() else []
        found += [f"url{number}" for number, _ in enumerate(_named_urls())]
    return [name for name in found if name in wanted] if wanted else found


def _named_urls() -> list[str]:
    """Superuser connection strings, separated by spaces; databases and roles are created there and dropped."""
    return os.environ.get("TEST_DATABASE_URLS", "").split()


def _binaries(name: str) -> Path:
    return DEBIAN_15 if name == "debian15" else bundled_binaries(DATA)


def _version(name: str) -> str:
    if name.startswith("url"):
        where = conninfo_to_dict(_named_urls()[int(name.removeprefix("url"))])
        return f"{where.get('host')}:{where.get('port', 5432)}"
    return subprocess.run(
        [_binaries(name) / "postgres", "--version"], capture_output=True, text=True, check=True
    ).stdout.strip()


@pytest.fixture(scope="session", autouse=True)
def own_output(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Let nothing that a run writes to the disk reach this project's own folder."""
    with pytest.MonkeyPatch.context() as patch:
        output = tmp_path_factory.mktemp("output")
        patch.setenv("MAINTENANCE_OUTPUT", str(output))
        yield output


@pytest.fixture(autouse=True)
def forget_failures(own_output: Path) -> None:
    """Let no test meet a breaker that another one has opened, or a failure or an archive that another one has left."""
    breakers._breakers.clear()
    for left in ("failures", "archive"):
        shutil.rmtree(own_output / left, ignore_errors=True)


@pytest.fixture(scope="session")
def the_watchdog() -> Iterator[Watchdog]:
    """The one watchdog of this session."""
    directory = new_directory()
    with watchdog(directory) as held:
        yield held
    remove(directory)
    with suppress(OSError):  # another process of this run still has its own in there
        directory.parent.rmdir()


def new_directory() -> Path:
    """Name a directory for servers of this process, which their unprivileged user may enter, as pytest's own is not."""
    return own_directory(_in_memory() or DATA / "test")


def _in_memory() -> Path | None:
    """Name a place of this project and user in memory, where there is plenty of it."""
    place = MEMORY / f"maintenance-test-{os.getuid()}-{hashlib.sha256(str(DATA).encode()).hexdigest()[:8]}"
    if not MEMORY.is_dir() or min(shutil.disk_usage(MEMORY).free, _available_bytes()) < ROOM_BYTES:
        return None
    is_ours = not place.exists() or place.stat().st_uid == os.getuid()
    return place if is_ours else None


def _available_bytes() -> int:
    with suppress(OSError):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), 0)
    return 0


@dataclass
class Server:
    """A server under test; `templates` are the databases made by migrations, by their sets."""

    superuser_dsn: str
    password: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    templates: dict[tuple[str, ...], str] = field(default_factory=dict[tuple[str, ...], str])

    def dsn_for(self, database: str) -> str:
        """Return the maintenance role's connection string to `database`."""
        return make_conninfo(self.superuser_dsn, dbname=database, user=MAINTAINER, password=self.password)


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest, the_watchdog: Watchdog) -> Iterator[Server]:
    """Start or find the server of this test and make its roles; what was made on a named one is dropped."""
    name: str = request.param
    if name.startswith("url"):
        found = Server(_named_urls()[int(name.removeprefix("url"))])
    else:
        found = Server(the_watchdog.start_postgres(name, binaries=_binaries(name), settings=TEST_SETTINGS, durable=False).dsn)
    with psycopg.connect(found.superuser_dsn, autocommit=True) as conn:
        made = _create_roles(conn, found.password)
    yield found
    with psycopg.connect(found.superuser_dsn, autocommit=True) as conn:
        for template in found.templates.values():
            conn.execute(sql.SQL("alter database {} with is_template false").format(sql.Identifier(template)))
            _drop_database(conn, template)
        for role in reversed(made):
            conn.execute(sql.SQL("drop role {}").format(sql.Identifier(role)))


#: As Supabase makes them; `service_member` holds service_role's grants and policies without its BYPASSRLS.
ROLES: dict[str, LiteralString] = {
    "anon": "nologin noinherit",
    "authenticated": "nologin noinherit",
    "service_role": "nologin noinherit bypassrls",
    "authenticator": "login noinherit",
    "service_member": "nologin inherit",
    MAINTAINER: "login",
}
MEMBERS = {
    "authenticator": ("anon", "authenticated", "service_role"),
    "service_member": ("service_role",),
    MAINTAINER: ("anon", "authenticated", "service_role", "service_member", "pg_monitor", "pg_signal_backend"),
}


def _create_roles(conn: psycopg.Connection, password: str) -> list[str]:
    present = {name for (name,) in conn.execute("select rolname from pg_catalog.pg_roles")}
    made = [role for role in ROLES if role not in present]
    for role in made:
        conn.execute(sql.SQL("create role {} {}").format(sql.Identifier(role), sql.SQL(ROLES[role])))
        for group in MEMBERS.get(role, ()):
            conn.execute(sql.SQL("grant {} to {}").format(sql.Identifier(group), sql.Identifier(role)))
    conn.execute(sql.SQL("alter role {} password {}").format(sql.Identifier(MAINTAINER), sql.Literal(password)))
    return made


def _create_database(conn: psycopg.Connection, name: str, template: str | None = None) -> None:
    source = sql.SQL(" template {} strategy file_copy").format(sql.Identifier(template)) if template else sql.SQL("")
    parts = {"name": sql.Identifier(name), "owner": sql.Identifier(MAINTAINER), "source": source}
    conn.execute(sql.SQL("create database {name} owner {owner}{source}").format(**parts))


def _drop_database(conn: psycopg.Connection, name: str) -> None:
    conn.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))


def _grant_by_default(dsn: str) -> None:
    """Let new tables, sequences and functions be granted to the API roles, which Supabase does silently."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        for kind in ("tables", "sequences", "functions"):
            statement = "alter default privileges grant all on " + kind + " to anon, authenticated, service_role"
            conn.execute(sql.SQL(statement))


def _template(server: Server, sets: Sequence[str]) -> str:
    """Return the migrated database for `sets`, made once per server and session."""
    key = tuple(sets)
    if key not in server.templates:
        name = f"template_{secrets.token_hex(4)}"
        with psycopg.connect(server.superuser_dsn, autocommit=True) as conn, pytest.MonkeyPatch.context() as patch:
            _create_database(conn, name)
            _grant_by_default(server.dsn_for(name))
            patch.setenv("DATABASE_URL", server.dsn_for(name))
            apply(key)
            conn.execute(sql.SQL("alter database {} with is_template true").format(sql.Identifier(name)))
        server.templates[key] = name
    return server.templates[key]


@pytest.fixture
def make_database(server: Server) -> Iterator[Callable[..., str]]:
    """Return a factory: `make_database(sets=("event_store",))` clones a migrated database and returns its DSN.

    `sets=()` has the schema maintenance alone, `sets=None` nothing at all. All are dropped afterwards.
    """
    made: list[str] = []
    with psycopg.connect(server.superuser_dsn, autocommit=True) as conn:

        def make(sets: Sequence[str] | None = SHIPPED_SETS) -> str:
            name = f"test_{secrets.token_hex(5)}"
            _create_database(conn, name, None if sets is None else _template(server, sets))
            made.append(name)
            if sets is None:
                _grant_by_default(server.dsn_for(name))
            return server.dsn_for(name)

        yield make
        for name in made:
            _drop_database(conn, name)


@pytest.fixture
def database(make_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the maintenance role's DSN of a database of this test's own, migrated; DATABASE_URL is set to it."""
    dsn = make_database()
    monkeypatch.setenv("DATABASE_URL", dsn)
    return dsn


@pytest.fixture
def empty_database(make_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the maintenance role's DSN of a database without any migration; DATABASE_URL is set to it."""
    dsn = make_database(sets=None)
    monkeypatch.setenv("DATABASE_URL", dsn)
    return dsn


@pytest.fixture
def superuser_dsn(server: Server, database: str) -> str:
    """Return the superuser's DSN of this test's database."""
    return make_conninfo(server.superuser_dsn, dbname=str(conninfo_to_dict(database)["dbname"]))


@dataclass
class Restartable:
    """A migrated database on a server of one test's own, which that test may stop, also as a crash would."""

    held: Watchdog
    name: str
    roles: Server
    patch: pytest.MonkeyPatch
    dsn: str = ""
    server: EmbeddedServer = field(init=False)

    def start(self) -> None:
        """Start the server; DATABASE_URL is set to its database."""
        self.server = self.held.start_postgres(self.name)
        self.roles.superuser_dsn = self.server.dsn
        self.dsn = self.roles.dsn_for("app")
        self.patch.setenv("DATABASE_URL", self.dsn)

    def restart(self) -> None:
        """Stop the server in good order and start it again, on another port perhaps."""
        self.held.stop(self.name)
        self.start()

    def crash(self) -> None:
        """End the server without a checkpoint: it reads its log again when it starts."""
        os.kill(int((self.server.directory / "postmaster.pid").read_text(encoding="utf-8").split()[0]), signal.SIGQUIT)
        while self.held.exit_code(self.name) is None:
            time.sleep(0.05)
        self.restart()


@pytest.fixture
def restartable(the_watchdog: Watchdog, monkeypatch: pytest.MonkeyPatch) -> Iterator[Restartable]:
    """Start a durable server for this test alone; it costs about two seconds."""
    own = Restartable(the_watchdog, f"own_{secrets.token_hex(4)}", Server(""), monkeypatch)
    own.start()
    with psycopg.connect(own.server.dsn, autocommit=True) as conn:
        _create_roles(conn, own.roles.password)
        _create_database(conn, "app")
    apply(SHIPPED_SETS)
    yield own
    the_watchdog.stop(own.name)


@pytest.fixture(scope="session")
def prefect_api(the_watchdog: Watchdog) -> Iterator[str]:
    """Return the URL of a Prefect server that this session's flow runs use; heartbeats, a second per flow, are off."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker
    from prefect.settings import PREFECT_API_URL, PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    url = the_watchdog.start_prefect()
    with temporary_settings({PREFECT_API_URL: url, PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        yield url
        # What they still hold would be sent when the server has gone.
        APILogWorker.instance().drain()
        EventsWorker.drain_all()


@pytest.fixture(scope="session")
def full_loops(request: pytest.FixtureRequest) -> bool:
    """Say whether rounds and rows are those of `make test-all` rather than the reduced ones."""
    return bool(request.config.getoption("--full-loops"))
