"""Sessions, conversations, messages and files as tables: shapes, keys, cascades, and what each role may do (D8, D9, D10)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from tasks.core.connect import runtime
from tasks.core.declaration import read_declaration
from tasks.core.migrations import InvalidMigration, apply
from tasks.core.settings import PROJECT
from tasks.upkeep.sessions import load, save
from tests.conftest import SHIPPED_SETS, Restartable, Server
from tests.database.mapping import Store
from tests.database.test_event_store import EMPTY

TABLES = ["sessions", "conversations", "messages", "files"]
USER, OTHER = "3f2504e0-4f89-41d3-9a0c-0305e82c3301", "00000000-0000-4000-8000-000000000002"

ROWS = """
insert into public.sessions (session_id, user_id) values ('mine', %(user)s), ('theirs', %(other)s), ('nobodys', null);
insert into public.conversations (continuation_id, user_id)
values ('mine', %(user)s), ('theirs', %(other)s), ('nobodys', null);
insert into public.messages (conversation_id, role, content) select id, 'user', continuation_id from public.conversations;
insert into public.files (storage_path, original_name, user_id, conversation_id)
select continuation_id, 'f', user_id, id from public.conversations;
"""


@pytest.fixture
def conn(store: Store) -> psycopg.Connection[Any]:
    """A session in a transaction that is rolled back."""
    return store.conn


@pytest.fixture
def own(database: str) -> Iterator[psycopg.Connection[Any]]:
    """A session in a database of this test's own, for what more than one session sees."""
    with psycopg.connect(database, autocommit=True) as opened:
        yield opened


def one(conn: psycopg.Connection[Any], query: str, *values: object) -> Any:
    return conn.execute(query.encode(), values or None).fetchone()[0]


def conversation(conn: psycopg.Connection[Any], name: str = "c") -> Any:
    return one(conn, "insert into public.conversations (continuation_id) values (%s) returning id", name)


def insert(conn: psycopg.Connection[Any], table: str, **columns: object) -> None:
    """Insert a row of `table` that lacks nothing; `columns` say what is special about it."""
    needed: dict[str, dict[str, object]] = {
        "sessions": {"session_id": "s"},
        "conversations": {"continuation_id": "c"},
        "messages": {"role": "user", "content": "hello"},
        "files": {"storage_path": "p", "original_name": "n"},
    }
    if table == "messages" and "conversation_id" not in columns:
        columns["conversation_id"] = conversation(conn, "its")
    given = {**needed[table], **columns}
    query = sql.SQL("insert into {} ({}) values ({})").format(
        sql.Identifier("public", table),
        sql.SQL(", ").join(map(sql.Identifier, given)),
        sql.SQL(", ").join(map(sql.Placeholder, given)),
    )
    conn.execute(query, given)


# Shapes


@pytest.mark.parametrize("table", TABLES)
def test_a_row_has_the_standard_metadata_by_itself(conn: psycopg.Connection[Any], table: str) -> None:
    insert(conn, table)
    assert one(conn, f"select metadata::text from public.{table}") == '{"fields": {}, "schema": "standard", "version": "1.0"}'  # noqa: S608


@pytest.mark.parametrize("table", TABLES)
def test_metadata_has_the_one_shape_in_every_table(conn: psycopg.Connection[Any], table: str) -> None:
    with conn.transaction(force_rollback=True):
        insert(conn, table, metadata=EMPTY.replace("{}", '{"model_used": "m"}')[:-1] + ', "wrapped": true, "legacy": {}}')
    wrong = ["{}", "[]", EMPTY.replace("1.0", "2.0"), EMPTY.replace("{}", "[]"), EMPTY[:-1] + ', "extra": 1}']
    for shape in wrong:
        with pytest.raises(psycopg.errors.CheckViolation, match="standard_metadata_shape"), conn.transaction():
            insert(conn, table, metadata=shape)


@pytest.mark.parametrize(
    ("table", "columns", "constraint"),
    [
        ("sessions", {"session_id": ""}, "sessions_session_id_check"),
        ("sessions", {"session_data": "[]"}, "sessions_data_check"),
        ("sessions", {"session_state": "gone"}, "sessions_state_check"),
        ("sessions", {"session_state": "expired"}, "sessions_expired_check"),
        ("sessions", {"version": 0}, "sessions_version_check"),
        ("sessions", {"user_type": "robot"}, "sessions_user_type_check"),
        ("sessions", {"expires_at": "infinity"}, "sessions_times_check"),
        ("sessions", {"last_activity_at": "-infinity"}, "sessions_times_check"),
        ("sessions", {"request_count": -1}, "sessions_counts_check"),
        ("conversations", {"continuation_id": ""}, "conversations_continuation_id_check"),
        ("conversations", {"continuation_id": "x" * 501}, "conversations_continuation_id_check"),
        ("messages", {"idempotency_key": ""}, "messages_idempotency_key_check"),
        ("files", {"storage_path": ""}, "files_storage_path_check"),
        ("files", {"storage_path": "x" * 1025}, "files_storage_path_check"),
        ("files", {"original_name": ""}, "files_original_name_check"),
        ("files", {"size_bytes": -1}, "files_size_bytes_check"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused(
    conn: psycopg.Connection[Any], table: str, columns: dict[str, object], constraint: str
) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match=constraint):
        insert(conn, table, **columns)


@pytest.mark.parametrize(("table", "column"), [("messages", "role"), ("files", "file_type")])
def test_roles_and_file_types_are_lists(conn: psycopg.Connection[Any], table: str, column: str) -> None:
    with pytest.raises(psycopg.errors.InvalidTextRepresentation, match="invalid input value for enum"):
        insert(conn, table, **{column: "string"})


@pytest.mark.parametrize("length", [1, 500])
def test_the_longest_names_fit_their_index(conn: psycopg.Connection[Any], length: int) -> None:
    wide = "".join(chr(0x1F300 + n) for n in range(length))
    insert(conn, "conversations", continuation_id=wide)
    insert(conn, "messages", conversation_id=conversation(conn), idempotency_key=wide[:255])
    insert(conn, "files", storage_path=wide[:256])
    assert one(conn, "select continuation_id from public.conversations order by length(continuation_id) desc limit 1") == wide


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize(("keep", "change", "follows"), [("off", "", True), ("on", "", False), ("off", ", updated_at = '2001-01-01+00'", False)])  # fmt: skip
def test_updated_at_follows_a_change_unless_the_statement_says_otherwise(
    conn: psycopg.Connection[Any], table: str, keep: str, change: str, *, follows: bool
) -> None:
    insert(conn, table, updated_at="2000-01-01+00")
    conn.execute("select set_config('maintenance.keep_updated_at', %s, true)", [keep])
    conn.execute(f"update public.{table} set created_at = created_at{change}".encode())  # noqa: S608
    assert one(conn, f"select updated_at > '2002-01-01' from public.{table}") is follows  # noqa: S608


def test_every_object_says_what_it_is(conn: psycopg.Connection[Any]) -> None:
    silent = conn.execute("""
        select c.relname, a.attname from pg_class c left join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and c.relkind = 'r'
        where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'i')
            and not exists (select from pg_constraint where conindid = c.oid)
            and (obj_description(c.oid, 'pg_class') is null or a.attname is not null and col_description(c.oid, a.attnum) is null)
        union all select proname, null from pg_proc
        where pronamespace = 'public'::regnamespace and obj_description(oid, 'pg_proc') is null
        union all select typname, null from pg_type
        where typnamespace = 'public'::regnamespace and typtype = 'e' and obj_description(oid, 'pg_type') is null
        union all select polname, null from pg_policy
        where polrelid::regclass::text ~ any(%s) and obj_description(oid, 'pg_policy') is null
        union all select tgname, null from pg_trigger
        where tgrelid::regclass::text ~ any(%s) and not tgisinternal and obj_description(oid, 'pg_trigger') is null
    """, [TABLES, TABLES]).fetchall()  # fmt: skip
    assert silent == []


@pytest.mark.parametrize("taken", ["table public.sessions ()", "table public.files ()", "type public.message_role as enum ()"])
def test_what_the_project_has_already_is_neither_taken_over_nor_replaced(
    make_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch, taken: str
) -> None:
    dsn = make_database(sets=None)
    monkeypatch.setenv("DATABASE_URL", dsn)
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(f"create {taken}".encode())
        with pytest.raises(InvalidMigration, match=f"{taken.split()[1].partition('.')[2]}.*rename (it|them) aside"):
            apply(SHIPPED_SETS)


# Messages and files


def add(conn: psycopg.Connection[Any], to: object, content: str, key: str | None, role: str = "user") -> Any:
    return one(conn, "select id from public.add_message(%s, %s, %s, %s)", to, role, content, key)


def test_a_replayed_message_is_written_once_and_answered_with_the_first(conn: psycopg.Connection[Any]) -> None:
    to = conversation(conn)
    first = add(conn, to, "hello", "k")
    assert add(conn, to, "hello", "k") == first
    assert one(conn, "select count(*) from public.messages") == 1


def test_a_key_belongs_to_its_conversation(conn: psycopg.Connection[Any]) -> None:
    assert add(conn, conversation(conn, "a"), "hello", "k") != add(conn, conversation(conn, "b"), "hello", "k")


def test_messages_without_a_key_are_never_the_same(conn: psycopg.Connection[Any]) -> None:
    to = conversation(conn)
    assert add(conn, to, "hello", None) != add(conn, to, "hello", None)


@pytest.mark.parametrize(("role", "content"), [("assistant", "hello"), ("user", "good bye")])
def test_another_message_under_a_used_key_is_an_error(conn: psycopg.Connection[Any], role: str, content: str) -> None:
    to = conversation(conn)
    add(conn, to, "hello", "k")
    with pytest.raises(psycopg.errors.UniqueViolation, match=r"the idempotency key k of conversation .* stands for another"):
        add(conn, to, content, "k", role)


def test_two_sessions_that_send_the_same_message_at_once_get_the_same_row(own: psycopg.Connection[Any]) -> None:
    to = conversation(own)
    with psycopg.connect(own.info.dsn, password=own.info.password) as other, ThreadPoolExecutor(1) as threads:
        first = add(other, to, "hello", "k")
        late = threads.submit(add, own, to, "hello", "k")
        with pytest.raises(TimeoutError):
            late.result(timeout=0.3)
        other.commit()
        assert late.result() == first


def test_a_plain_insert_cannot_use_a_key_twice(conn: psycopg.Connection[Any]) -> None:
    to = conversation(conn)
    insert(conn, "messages", conversation_id=to, idempotency_key="k")
    with pytest.raises(psycopg.errors.UniqueViolation, match="messages_idempotency_key"):
        insert(conn, "messages", conversation_id=to, idempotency_key="k")


def test_a_message_needs_its_conversation(conn: psycopg.Connection[Any]) -> None:
    with pytest.raises(psycopg.errors.ForeignKeyViolation), conn.transaction():
        insert(conn, "messages", conversation_id=OTHER)
    with pytest.raises(psycopg.errors.NotNullViolation):
        insert(conn, "messages", conversation_id=None)


def test_a_conversation_takes_its_messages_and_files_with_it_and_no_others(conn: psycopg.Connection[Any]) -> None:
    conn.execute(ROWS.replace("%(user)s", f"'{USER}'").replace("%(other)s", f"'{OTHER}'").encode())
    insert(conn, "files", storage_path="of none")
    conn.execute("delete from public.conversations where continuation_id = 'mine'")
    assert conn.execute("select content from public.messages order by 1").fetchall() == [("nobodys",), ("theirs",)]
    paths = conn.execute("select storage_path from public.files order by 1").fetchall()
    assert paths == [("nobodys",), ("of none",), ("theirs",)]


# What each role may do, on connections of its own


@pytest.fixture
def authenticator(own: psycopg.Connection[Any], superuser_dsn: str, server: Server) -> str:
    """Fill the tables and return the DSN under which PostgREST signs in, before it becomes the role of a request."""
    own.execute(ROWS.replace("%(user)s", f"'{USER}'").replace("%(other)s", f"'{OTHER}'").encode())
    with psycopg.connect(superuser_dsn, autocommit=True) as admin:
        statement = sql.SQL("alter role authenticator password {}").format(sql.Literal(server.password))
        admin.execute(statement)
    return make_conninfo(superuser_dsn, user="authenticator", password=server.password)


def become(dsn: str, role: str, user: str | None = None) -> psycopg.Connection[Any]:
    """Sign in and become the role of a request, as PostgREST does."""
    conn = psycopg.connect(dsn, autocommit=True)
    conn.execute(sql.SQL("set role {}").format(sql.Identifier(role)))
    if user is not None:
        conn.execute("select set_config('request.jwt.claims', %s, false)", [f'{{"role": "{role}", "sub": "{user}"}}'])
    return conn


NAME = {"sessions": "session_id", "conversations": "continuation_id", "messages": "content", "files": "storage_path"}


def seen(conn: psycopg.Connection[Any], table: str) -> list[str]:
    query = sql.SQL("select {} from {} order by 1").format(sql.Identifier(NAME[table]), sql.Identifier("public", table))
    return [name for (name,) in conn.execute(query)]


def test_who_is_signed_in_reads_what_belongs_to_that_user_alone(authenticator: str) -> None:
    for user, rows in ((USER, ["mine"]), (OTHER, ["theirs"]), (None, [])):
        with become(authenticator, "authenticated", user) as conn:
            assert {table: seen(conn, table) for table in TABLES} == dict.fromkeys(TABLES, rows)


def test_a_file_of_somebody_else_in_a_conversation_stays_hidden(own: psycopg.Connection[Any], authenticator: str) -> None:
    own.execute("update public.files set user_id = 'x' where storage_path = 'mine'")
    with become(authenticator, "authenticated", USER) as conn:
        assert seen(conn, "files") == []


STATEMENTS = {
    "select": "select from public.{}",
    "insert": "insert into public.{} default values",
    "update": "update public.{} set created_at = now()",
    "delete": "delete from public.{}",
    "truncate": "truncate public.{} cascade",
}


@pytest.mark.parametrize(("role", "verbs"), [("anon", [*STATEMENTS]), ("authenticated", [*STATEMENTS][1:])])
def test_anon_may_do_nothing_and_who_is_signed_in_may_only_read(authenticator: str, role: str, verbs: list[str]) -> None:
    with become(authenticator, role, USER) as conn:
        for statement in [STATEMENTS[verb].format(table) for verb in verbs for table in TABLES]:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                conn.execute(statement.encode())
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="function add_message"):
            add(conn, OTHER, "hello", "k")


def test_the_policies_would_hold_even_if_a_write_were_granted(own: psycopg.Connection[Any], authenticator: str) -> None:
    for table in TABLES:
        own.execute(f"grant all on public.{table} to authenticated, anon".encode())
    with become(authenticator, "authenticated", USER) as conn:
        for table in TABLES:
            assert conn.execute(f"update public.{table} set created_at = now()".encode()).rowcount == 0  # noqa: S608
            assert conn.execute(f"delete from public.{table}".encode()).rowcount == 0  # noqa: S608
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
            insert(conn, "conversations")
    with become(authenticator, "anon", USER) as conn:
        assert {table: seen(conn, table) for table in TABLES} == {table: [] for table in TABLES}


@pytest.mark.parametrize("role", ["service_role", "service_member"])
def test_the_service_role_reads_and_writes_everything_with_bypassrls_or_without(
    own: psycopg.Connection[Any], authenticator: str, role: str
) -> None:
    """Its policies serve where the role has no BYPASSRLS; maintainer becomes it, since authenticator may not."""
    with become(authenticator if role == "service_role" else own_dsn(own), role) as conn:
        for table in reversed(TABLES):
            assert seen(conn, table) == ["mine", "nobodys", "theirs"]
            assert conn.execute(f"update public.{table} set created_at = now()".encode()).rowcount == 3  # noqa: S608
        add(conn, conversation(conn), "hello", "k")
        insert(conn, "sessions")
        insert(conn, "files")
        for table in reversed(TABLES):
            assert conn.execute(f"delete from public.{table}".encode()).rowcount == 4  # noqa: S608


def own_dsn(conn: psycopg.Connection[Any]) -> str:
    return make_conninfo(conn.info.dsn, password=conn.info.password)


@pytest.mark.parametrize("table", TABLES)
def test_every_table_has_row_security_and_every_policy_names_its_role(conn: psycopg.Connection[Any], table: str) -> None:
    assert one(conn, "select relrowsecurity from pg_class where oid = %s::regclass", f"public.{table}")
    found = conn.execute(
        "select policyname, roles::text[], cmd from pg_policies where schemaname = 'public' and tablename = %s order by 1",
        [table],
    ).fetchall()
    assert found == [("authenticated read own", ["authenticated"], "SELECT"), ("service role all", ["service_role"], "ALL")]


# Over a restart


def test_a_conversation_and_its_session_go_on_over_a_restart(restartable: Restartable) -> None:
    sink = read_declaration(PROJECT / "maintenance.yaml").session_sink()
    with runtime():
        held = save(sink, "s", {"conversation": "c"}, version=0, user_id=USER)
    with psycopg.connect(restartable.dsn, autocommit=True) as conn:
        to = conversation(conn)
        question = add(conn, to, "what is this?", "request 1")
        answer = add(conn, to, "a test", "request 1, answer", "assistant")

    restartable.restart()

    with runtime():
        assert load(sink, "s") == held
        assert save(sink, "s", {"conversation": "c", "asked": 1}, version=held.version).version == 2
    with psycopg.connect(restartable.dsn, autocommit=True) as conn:
        assert add(conn, to, "what is this?", "request 1") == question, "the client never saw the answer and asks again"
        add(conn, to, "and this?", "request 2")
        insert(conn, "files", storage_path="c/answer.txt", conversation_id=to, file_type="generated", user_id=USER)

    restartable.restart()

    with psycopg.connect(restartable.dsn, autocommit=True) as conn:
        said = conn.execute("select id, role::text from public.messages order by created_at").fetchall()
        assert said[:2] == [(question, "user"), (answer, "assistant")]
        assert len(said) == 3
        conn.execute("delete from public.conversations where id = %s", [to])
        assert one(conn, "select (select count(*) from public.messages) + (select count(*) from public.files)") == 0
    with runtime():
        kept = load(sink, "s")
        assert kept is not None
        assert kept.data == {"conversation": "c", "asked": 1}
