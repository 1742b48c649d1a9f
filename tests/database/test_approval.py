"""An approval is a person's row, and holds for the state it was given for and no other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import psycopg
import pytest

from tasks.core.connect import Connection, Kind, transaction
from tasks.migration.approval import (
    ApprovalMissing,
    ApprovalRefused,
    InvalidApproval,
    State,
    answer,
    ask,
    close,
    require_approval,
)

STATE = State("schema-1", "mapping-1", 5)
NEEDED = ("dba", "security")


@pytest.fixture
def conn(make_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Connection]:
    monkeypatch.setenv("DATABASE_URL", make_database(sets=()))
    with transaction(Kind.READ) as conn:
        conn.execute("insert into maintenance.migration (name, target) values ('m', 'a.b')")
        yield conn


def give(conn: Connection, state: State = STATE, **changed: object) -> bool:
    fields = {"decision": "approved", "name": "Ada", "reason": "gates passed", "sign_offs": NEEDED, "needed": NEEDED}
    return answer(conn, ask(conn, "m", state), "m", **{**fields, **changed})


def test_without_a_request_there_is_no_approval(conn: Connection) -> None:
    with pytest.raises(ApprovalMissing, match="nobody was asked"):
        require_approval(conn, "m", STATE, NEEDED)


def test_an_unanswered_request_says_how_to_answer(conn: Connection) -> None:
    ask(conn, "m", STATE)
    with pytest.raises(ApprovalMissing, match=r"python -m flows approve m --name NAME .*--sign-offs dba --sign-offs security"):
        require_approval(conn, "m", STATE, NEEDED)


def test_asking_again_for_the_same_state_keeps_the_request(conn: Connection) -> None:
    assert ask(conn, "m", STATE).id == ask(conn, "m", STATE).id


def test_an_approval_holds_for_its_state(conn: Connection) -> None:
    give(conn)
    assert require_approval(conn, "m", STATE, NEEDED).name == "Ada"


def test_fewer_rows_in_quarantine_than_approved_are_fine(conn: Connection) -> None:
    give(conn)
    assert require_approval(conn, "m", State("schema-1", "mapping-1", 4), NEEDED).name == "Ada"


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (State("schema-2", "mapping-1", 5), "the schema changed"),
        (State("schema-1", "mapping-2", 5), "the mapping changed"),
        (State("schema-1", "mapping-1", 8), "quarantine holds 3 more rows"),
    ],
)
def test_another_state_is_asked_for_again(conn: Connection, state: State, reason: str) -> None:
    give(conn)
    with pytest.raises(ApprovalMissing, match=reason):
        require_approval(conn, "m", state, NEEDED)
    assert ask(conn, "m", state).decision is None
    kept = conn.execute("select close_reason from maintenance.approval_request where closed_at is not null").fetchall()
    assert reason in kept[0][0]


def test_a_request_covers_the_declared_allowance_of_more_rows(conn: Connection) -> None:
    request = ask(conn, "m", STATE, allowance=10)
    answer(conn, request, "m", decision="approved", name="Ada", reason="r")
    assert require_approval(conn, "m", State("schema-1", "mapping-1", 15), ()).name == "Ada"
    with pytest.raises(ApprovalMissing, match="quarantine holds 1 more row than"):
        require_approval(conn, "m", State("schema-1", "mapping-1", 16), ())


def test_an_expired_approval_does_not_hold(conn: Connection) -> None:
    give(conn, valid_for=timedelta(seconds=-1))
    with pytest.raises(ApprovalMissing, match="it has expired"):
        require_approval(conn, "m", STATE, NEEDED)


def test_a_refusal_names_who_and_why_and_a_new_request_gets_its_own_answer(conn: Connection) -> None:
    give(conn, decision="refused", reason="not on a Friday", sign_offs=())
    with pytest.raises(ApprovalRefused, match=r"refused by Ada .*not on a Friday"):
        require_approval(conn, "m", STATE, NEEDED)
    give(conn)
    assert require_approval(conn, "m", STATE, NEEDED).decision == "approved"


def test_the_first_answer_to_a_request_stands(conn: Connection) -> None:
    assert give(conn)
    assert not give(conn, name="Bob", decision="refused")
    assert require_approval(conn, "m", STATE, NEEDED).name == "Ada"


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"name": " "}, "a name and a reason"),
        ({"reason": ""}, "a name and a reason"),
        ({"sign_offs": ["dba"]}, "security are missing"),
    ],
)
def test_an_incomplete_answer_is_not_recorded(conn: Connection, changed: dict[str, object], reason: str) -> None:
    with pytest.raises(InvalidApproval, match=reason):
        give(conn, **changed)
    assert conn.execute("select count(*) from maintenance.approval").fetchone() == (0,)


def test_an_approval_written_by_sql_alone_holds(conn: Connection) -> None:
    request = ask(conn, "m", STATE)
    conn.execute(
        "insert into maintenance.approval (request_id, decision, name, reason, sign_offs, valid_until)"
        " values (%s, 'approved', 'Eve', 'checked by hand', '{dba,security}', now() + interval '1 hour')",
        [request.id],
    )
    assert require_approval(conn, "m", STATE, NEEDED).name == "Eve"


def test_a_nameless_answer_is_refused_by_the_database_too(conn: Connection) -> None:
    request = ask(conn, "m", STATE)
    with pytest.raises(psycopg.errors.CheckViolation), conn.transaction():
        conn.execute(
            "insert into maintenance.approval (request_id, decision, name, reason, valid_until) values (%s, 'approved', '', 'r', now())",
            [request.id],
        )


def test_a_request_that_was_carried_out_does_not_serve_twice(conn: Connection) -> None:
    give(conn)
    close(conn, "m", "cut over")
    with pytest.raises(ApprovalMissing, match="nobody was asked"):
        require_approval(conn, "m", STATE, NEEDED)
