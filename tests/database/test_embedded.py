"""Servers of our own: where their data lies, what they refuse, what they keep secret."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from importlib import util
from pathlib import Path

import psycopg
import pytest

from tasks.core.embedded import EmbeddedRefused, bundled_binaries, remove, watchdog
from tasks.core.embedded.owner import outside_place
from tests.conftest import new_directory


@pytest.fixture
def directory() -> Iterator[Path]:
    """Return a directory for servers and remove it afterwards."""
    path = new_directory()
    yield path
    assert remove(path)


def test_a_directory_that_is_held_is_not_removed(directory: Path) -> None:
    with watchdog(directory):
        assert not remove(directory)


def test_a_refused_setting_names_the_reason_and_leaves_nothing(directory: Path) -> None:
    with watchdog(directory) as held, pytest.raises(EmbeddedRefused, match="max_connections"):
        held.start_postgres(durable=False, settings={"max_connections": "-3"})


def test_a_fresh_cluster_forgets_what_the_last_one_held(directory: Path) -> None:
    with watchdog(directory) as held, psycopg.connect(held.start_postgres(durable=False).dsn) as conn:
        conn.execute("create table public.kept ()")

    with watchdog(directory) as held, psycopg.connect(held.start_postgres(durable=False).dsn) as conn:
        assert conn.execute("select to_regclass('public.kept') is not null").fetchone() == (True,)
        conn.close()
        held.stop("postgres")
        with psycopg.connect(held.start_postgres(durable=False, fresh=True).dsn) as other:
            assert other.execute("select to_regclass('public.kept') is not null").fetchone() == (False,)


def test_passwords_are_kept_for_us_alone_and_never_shown(directory: Path) -> None:
    with watchdog(directory) as held:
        server = held.start_postgres(durable=False)
        kept = directory / "postgres.password"

        assert kept.stat().st_mode & 0o077 == 0
        assert server.password not in repr(server)
        with pytest.raises(psycopg.OperationalError, match="authentication failed"):
            psycopg.connect(server.dsn_for("postgres", password="wrong"))


def _install_in(site: Path) -> Path:
    """Install the binaries once more as a wheel does: the package, and its shared libraries beside it."""
    installation = bundled_binaries(site).parent
    package = installation.parent
    shutil.copytree(installation, site / package.name / installation.name, symlinks=True)
    shutil.copytree(package.with_name(f"{package.name}.libs"), site / f"{package.name}.libs", symlinks=True)
    return site / package.name / installation.name / "bin"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's servers run as another user")
def test_below_a_closed_directory_data_and_binaries_go_where_the_servers_user_may_enter(directory: Path) -> None:
    directory.mkdir(parents=True)
    directory.chmod(0o700)
    binaries = _install_in(directory / "site-packages")
    outside = outside_place(directory)

    with watchdog(directory) as held, psycopg.connect(held.start_postgres(binaries=binaries, durable=False).dsn):
        assert (outside / "postgres" / "PG_VERSION").exists()
        assert directory.stat().st_mode & 0o077 == 0
        assert outside.stat().st_mode & 0o022 == 0

    assert remove(directory)
    assert not outside.exists()


def no_package(_name: str) -> None:
    """Stand in for find_spec where nothing is installed."""


def test_without_the_extra_the_error_names_it(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(util, "find_spec", no_package)

    with pytest.raises(EmbeddedRefused, match=r"\[demo\]"):
        bundled_binaries(directory)


def test_binaries_that_are_not_there_are_named(directory: Path) -> None:
    with watchdog(directory) as held, pytest.raises(EmbeddedRefused, match="/nowhere/bin"):
        held.start_postgres(binaries=Path("/nowhere/bin"))


def test_a_restarted_cluster_keeps_its_password_and_its_rows(directory: Path) -> None:
    with watchdog(directory) as held, psycopg.connect(held.start_postgres(durable=False).dsn, autocommit=True) as conn:
        conn.execute("create table public.kept ()")

    with watchdog(directory) as held, psycopg.connect(held.start_postgres(durable=False).dsn) as conn:
        assert conn.execute("select to_regclass('public.kept') is not null").fetchone() == (True,)


def test_two_clusters_of_one_directory_run_side_by_side(directory: Path) -> None:
    with watchdog(directory) as held:
        first, second = held.start_postgres("one", durable=False), held.start_postgres("two", durable=False)

        assert first.port != second.port
        assert first.password != second.password


def test_a_durable_server_keeps_fsync_on(directory: Path) -> None:
    with watchdog(directory) as held, psycopg.connect(held.start_postgres().dsn) as conn:
        assert conn.execute("show fsync").fetchone() == ("on",)


def test_the_server_listens_on_this_machine_alone(directory: Path) -> None:
    with watchdog(directory) as held, psycopg.connect(held.start_postgres(durable=False).dsn) as conn:
        assert conn.execute("show listen_addresses").fetchone() == ("127.0.0.1",)
        assert conn.execute("show unix_socket_directories").fetchone() == ("",)
