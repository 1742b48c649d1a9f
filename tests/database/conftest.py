"""Fixtures of the tests that map legacy rows: one prepared database per session, a rolled back transaction per test."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
import pytest

from tasks.core.sqlfiles import run
from tasks.migration.sources import Mapping
from tests import conftest as shared
from tests.conftest import SHIPPED_SETS, Server
from tests.database import mapping


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
