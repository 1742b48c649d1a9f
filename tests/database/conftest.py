"""Fixtures of the tests that map legacy rows (a prepared database, rolled back) and that prove a copy (cloned per test)."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from tasks.core.sqlfiles import run
from tasks.migration.sources import Mapping
from tests import conftest as shared
from tests.conftest import SHIPPED_SETS, Server
from tests.database import mapping
from tests.database.copied import Copied, build, short_declaration


@dataclass(frozen=True)
class Prepared:
    """A database with legacy tables, target and mappings; tests leave nothing in it."""

    dsn: str
    mappings: dict[str, Mapping]


@pytest.fixture(scope="session")
def prepared(server: Server) -> Iterator[Prepared]:
    """Prepare the database that every test of a mapping shares."""
    name = f"mapped_{secrets.token_hex(5)}"
    with psycopg.connect(server.superuser_dsn, autocommit=True) as conn:
        shared._create_database(conn, name, shared._template(server, SHIPPED_SETS))
        yield Prepared(server.dsn_for(name), mapping.prepare(server.dsn_for(name)))
        shared._drop_database(conn, name)


@pytest.fixture
def store(prepared: Prepared) -> Iterator[mapping.Store]:
    """Open a transaction on the prepared database and roll it back afterwards."""
    with psycopg.connect(prepared.dsn) as conn, conn.transaction(force_rollback=True):
        run(conn, "core/session_settings")
        yield mapping.Store(conn, prepared.mappings)


@pytest.fixture(scope="session")
def copied_template(server: Server) -> Iterator[str]:
    """Build a copied migration once per session; `copied` clones it."""
    name = f"copied_{secrets.token_hex(5)}"
    with psycopg.connect(server.superuser_dsn, autocommit=True) as conn, pytest.MonkeyPatch.context() as patch:
        shared._create_database(conn, name, shared._template(server, SHIPPED_SETS))
        patch.setenv("DATABASE_URL", server.dsn_for(name))
        try:
            build(server.dsn_for(name))
            yield name
        finally:
            shared._drop_database(conn, name)


@pytest.fixture
def copied(server: Server, copied_template: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Copied]:
    """Return a copied migration of this test's own; DATABASE_URL is set to it, reports go to a temporary folder."""
    name = f"test_{secrets.token_hex(5)}"
    with psycopg.connect(server.superuser_dsn, autocommit=True) as conn:
        shared._create_database(conn, name, copied_template)
        monkeypatch.setenv("DATABASE_URL", server.dsn_for(name))
        monkeypatch.setenv("MAINTENANCE_OUTPUT", str(tmp_path))
        # Data Docs are as slow as the gate itself; their own test writes them.
        monkeypatch.setattr("tasks.gates.gate.docs_folder", lambda evidence: None)  # noqa: ARG005
        yield Copied(server.dsn_for(name), short_declaration())
        shared._drop_database(conn, name)
