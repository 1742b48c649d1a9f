"""The fixtures themselves: what the other tests take for granted about their database."""

from __future__ import annotations

from collections.abc import Callable

import psycopg

from tests.conftest import MAINTAINER


def test_a_test_database_belongs_to_a_role_that_is_no_superuser(database: str) -> None:
    with psycopg.connect(database) as conn:
        row = conn.execute("select current_user, rolsuper from pg_catalog.pg_roles where rolname = current_user").fetchone()

    assert row == (MAINTAINER, False)


def test_two_databases_of_one_test_are_two(make_database: Callable[..., str]) -> None:
    first, second = make_database(sets=()), make_database(sets=())
    with psycopg.connect(first) as conn:
        conn.execute("create table public.only_here ()")

    with psycopg.connect(second) as conn:
        assert conn.execute("select to_regclass('public.only_here')").fetchone() == (None,)


def test_an_empty_database_has_no_schema_of_ours(empty_database: str) -> None:
    with psycopg.connect(empty_database) as conn:
        assert conn.execute("select to_regnamespace('maintenance')").fetchone() == (None,)
