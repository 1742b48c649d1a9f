"""What the documents say of the database holds: statements run, names exist, the rights they ask for suffice."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tasks.core.connect import Kind, database_now, runtime, transaction
from tasks.core.declaration import Declaration, read_declaration
from tasks.core.ledger import run_exclusively
from tasks.core.migrations import apply
from tasks.core.parameters import Safety
from tasks.core.sqlfiles import ROOT
from tasks.gates.evidence import collect, read_state
from tasks.gates.store import keep_verdict
from tasks.gates.verdict import Outcome
from tasks.migration.approval import State, answer, ask
from tasks.migration.backfill import backfill
from tasks.migration.compare import compare
from tasks.migration.cutover import cut_over
from tasks.migration.rollback import roll_back
from tasks.partitions.create import ensure_partitions
from tasks.partitions.retire import retire
from tests.conftest import Server
from tests.declarations import SECOND_MIGRATION, make_bills, make_second

PROJECT = ROOT.parent
PAGES = sorted([*(PROJECT / "docs").rglob("*.md"), *PROJECT.glob("*.md")])
#: Not objects: files, and kinds of events and of settings.
OTHER_NAMES = {"yaml", "schema", "finding", "resolved", "carrying"}
TABLE, MIGRATION = "accounts.invoices", "bills"


def blocks(kind: str) -> Iterator[tuple[str, str]]:
    """Return page and text of each block of SQL that is marked so."""
    for page in PAGES:
        for text in re.findall(rf"^```sql {kind}\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
            yield str(page.relative_to(PROJECT)), text


RUNNABLE = [pytest.param(text, id=f"{page}-{number}") for number, (page, text) in enumerate(blocks("runnable"))]


@pytest.mark.parametrize("text", RUNNABLE)
def test_a_statement_of_a_page_runs(text: str, database: str) -> None:
    with psycopg.connect(database) as conn:
        conn.execute(text.encode())


def test_every_object_of_the_schema_maintenance_that_a_page_names_exists(database: str) -> None:
    said: set[tuple[str, str]] = set()
    for page in PAGES:
        said |= set(re.findall(r"(?<![/\w.-])maintenance\.(\w+)(?:\.(\w+))?", page.read_text(encoding="utf-8")))
    with psycopg.connect(database) as conn:
        known = {name for (name,) in conn.execute(OBJECTS)}
        columns = set(conn.execute(COLUMNS).fetchall())
    said = {(name, column) for name, column in said if name not in OTHER_NAMES and not name.startswith("capture_")}
    lost = {name for name, _ in said if name not in known}
    lost |= {f"{name}.{column}" for name, column in said if column and name not in lost and (name, column) not in columns}
    assert not lost


OBJECTS = """
select relname::text from pg_class where relnamespace = 'maintenance'::regnamespace
union select proname::text from pg_proc where pronamespace = 'maintenance'::regnamespace
"""
COLUMNS = """
select c.relname::text, a.attname::text from pg_class as c join pg_attribute as a on a.attrelid = c.oid
where c.relnamespace = 'maintenance'::regnamespace and a.attnum > 0
"""


@pytest.fixture
def documented(server: Server, empty_database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Declaration]:
    """Make a project's own tables under an owner of their own, and the maintenance role as the checklist says, no more."""
    suffix, password = secrets.token_hex(4), secrets.token_urlsafe(12)
    role, owner = f"keeper_{suffix}", f"owner_{suffix}"
    superuser = make_conninfo(server.superuser_dsn, dbname=psycopg.conninfo.conninfo_to_dict(empty_database)["dbname"])
    names = {r"\bmaintainer\b": role, r"\bapp_owner\b": owner, r"\bdatabase app\b": "database " + _database_of(superuser)}
    with psycopg.connect(superuser, autocommit=True) as conn:
        _make_tables(conn, superuser, owner)
        for _, text in blocks("administrator"):
            if "create role maintainer" in text:
                _execute(conn, text, names, schemas=("accounts", "shop"))
        conn.execute(f"alter role {role} password '{password}'".encode())
        monkeypatch.setenv("DATABASE_URL", make_conninfo(superuser, user=role, password=password))
        monkeypatch.setenv("MAINTENANCE_FILE", str(SECOND_MIGRATION))
        yield read_declaration()
        for name in (role, owner):
            conn.execute(f"drop owned by {name} cascade".encode())
            conn.execute(f"drop role {name}".encode())


def _database_of(dsn: str) -> str:
    return str(psycopg.conninfo.conninfo_to_dict(dsn)["dbname"])


def _make_tables(conn: psycopg.Connection[Any], superuser: str, owner: str) -> None:
    conn.execute(f"create role {owner}".encode())
    conn.execute(f"grant create on database {_database_of(superuser)} to {owner}".encode())
    as_owner = make_conninfo(superuser, options=f"-c role={owner}")
    make_second(as_owner)
    make_bills(as_owner)
    conn.execute(
        "insert into shop.bills (customer, cents, issued) select 'Ada', n, current_date - 40 * n from generate_series(0, 3) as n"
    )


def _execute(conn: psycopg.Connection[Any], text: str, names: dict[str, str], schemas: tuple[str, ...]) -> None:
    for found, name in names.items():
        text = re.sub(found, name, text)
    for schema in schemas:
        text = re.sub(r"^(grant .* on schema) app (.*)$", rf"\1 {schema} \2\n\g<0>", text, flags=re.MULTILINE)
    conn.execute(re.sub(r"^grant .* on schema app .*$", "", text, flags=re.MULTILINE).encode())


def test_the_rights_of_the_checklist_suffice(documented: Declaration) -> None:
    apply(())
    with runtime():
        as_of = database_now()
        ensure_partitions(TABLE, documented, as_of)
        backfill(MIGRATION, documented, as_of, preflight=None)
        consent(documented)
        assert getattr(cut_over(MIGRATION, documented), "outcome", None) == "cut over"
        with psycopg.connect(os.environ["DATABASE_URL"]) as conn:
            conn.execute("insert into shop.bills (customer, cents, issued) values ('Eve', 5, current_date)")
            conn.execute(
                "insert into accounts.invoices (number, issued_on, customer, amount) values (3e9, current_date, 'Una', 1)"
            )
        back = roll_back(MIGRATION, documented, database_now(), safety=Safety(apply=True))
        assert getattr(back, "outcome", None) == "rolled back"
        assert getattr(back, "refused_rows", None) == 1, "of a mapping without adopts.sql nobody takes what nobody owns"
        gone = retire(TABLE, short(documented), Safety(apply=True, at_most=1), as_of)
        assert getattr(gone, "outcome", None) == "completed"


def short(declared: Declaration) -> Declaration:
    """Return the declaration with so short a retention that the oldest partition is due."""
    table = declared.table(TABLE)
    assert table.retention
    policy = table.retention.model_copy(update={"keep": timedelta(days=20)})
    return declared.model_copy(update={"tables": {TABLE: table.model_copy(update={"retention": policy})}})


def consent(declared: Declaration) -> None:
    """Compare every row, let the gate of the cutover pass, and approve."""
    found = run_exclusively(
        "verify_integrity",
        MIGRATION,
        lambda run: compare(run, MIGRATION, requires=None),
        overdue_after=timedelta(days=1),
        group=TABLE,
    )
    assert getattr(found, "differing", None) == 0, found
    keep_verdict(collect(MIGRATION, "cutover", declared), [Outcome("f", "t", success=True)], timedelta(hours=1), None)
    with transaction(Kind.READ) as conn:
        state, _ = read_state(conn, MIGRATION, declared)
        asked = ask(conn, MIGRATION, State(state.fingerprint, state.mapping_version or "", 0), allowance=9)
        answer(conn, asked, MIGRATION, decision="approved", name="Ada", reason="tried", sign_offs=(), needed=())


def test_a_backup_needs_bypassrls_and_with_it_reads_everything(server: Server, database: str) -> None:
    name = f"backup_{secrets.token_hex(4)}"
    superuser = make_conninfo(server.superuser_dsn, dbname=_database_of(database))
    (statement,) = [text for _, text in blocks("administrator") if "bypassrls" in text]
    with psycopg.connect(superuser, autocommit=True) as conn:
        conn.execute(f"create role {name} in role pg_read_all_data".encode())
        conn.execute("set row_security = off")
        try:
            conn.execute(f"set role {name}".encode())
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
                conn.execute("select from unified.event_metric_events")
            conn.execute("reset role")
            conn.execute(re.sub(r"\bbackup\b", name, statement).encode())
            conn.execute(f"set role {name}".encode())
            conn.execute("select from unified.event_metric_events")
        finally:
            conn.execute("reset role")
            conn.execute(f"drop role {name}".encode())


def test_pages_have_statements_that_run() -> None:
    assert len(RUNNABLE) > 5
    assert Path(PROJECT / "docs" / "rollback.md").is_file()
