"""Plans of many tables are read by the same few statements as the plan of one, and say the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import psycopg
import pytest

from tasks.core.connect import transaction
from tasks.core.declaration import Declaration
from tasks.core.errors import LockBusy, MaintenanceError, MissingRelation, UnsuitableRelation
from tasks.core.parameters import Safety
from tasks.partitions import catalog, coarsen, create, retention_facts
from tasks.partitions.coarsen import CoarseningResult, plan_merges
from tasks.partitions.create import CreationResult, Looked, ensure_partitions, look_at
from tasks.partitions.retire import RetentionResult, plan_removals

AS_OF, DAY = datetime(2025, 8, 10, 12, tzinfo=UTC), timedelta(days=1)
#: A partition that retention has dropped is no gap.
DROPPED = """
insert into maintenance.retirement (parent, partition, partition_oid, lower, upper, state, reason, due_at)
values ('app.f', 'app.f_p20250701', 1, '2025-07-01Z', '2025-07-02Z', 'dropped', 'test', '2025-08-01Z')
"""
FIRST, LAST = datetime(2025, 5, 25, tzinfo=UTC), datetime(2025, 8, 11, tzinfo=UTC)


@pytest.fixture
def app(make_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> Iterator[psycopg.Connection]:
    made = make_database(sets=())
    monkeypatch.setenv("DATABASE_URL", made)
    with psycopg.connect(made, autocommit=True) as conn:
        conn.execute("set timezone = 'UTC'")
        conn.execute("create schema app")
        yield conn


def make(conn: psycopg.Connection, name: str) -> str:
    """A table by days with rows until AS_OF, of which the last day of the runway is missing."""
    conn.execute(f"create table app.{name} (at timestamptz not null, v text) partition by range (at)".encode())
    days = [FIRST + number * DAY for number in range((LAST - FIRST).days)]
    for day in days:
        bounds = f"for values from ('{day:%F}') to ('{day + DAY:%F}')"
        conn.execute(f"create table app.{name}_p{day:%Y%m%d} partition of app.{name} {bounds}".encode())
    conn.execute(f"insert into app.{name} select generate_series('{FIRST:%F}', '{AS_OF:%F}', interval '1 day')".encode())
    return f"app.{name}"


def declare(*names: str, **retention: Any) -> Declaration:
    cut = {"by": "at", "every": "day", "ahead": "P1D", "coarsen": {"after": "P1D", "to": "month"}}
    kept = {"keep": "P76D", "archive": "none", **retention}
    table = {"why": "w", "owner": "o", "partitioning": cut, "retention": kept}
    return Declaration.model_validate({"tables": dict.fromkeys(names, table)})


def joined(*declared: Declaration) -> Declaration:
    """Return a declaration of all their tables."""
    return declared[0].model_copy(update={"tables": {name: table for one in declared for name, table in one.tables.items()}})


def plans(*names: str, declared: Declaration | None = None) -> list[dict[str, Any]]:
    """Return what each of the three would do to each table, read together."""
    declared = declared or declare(*names)
    seen = look_at(names, declared)
    removals = plan_removals(names, declared, Safety(), AS_OF)
    return [seen, removals, plan_merges(names, declared, AS_OF, Safety())]


def comparable(found: dict[str, Any]) -> dict[str, Any]:
    return {name: str(one) if isinstance(one, MaintenanceError) else one for name, one in found.items()}


def test_as_many_statements_are_asked_of_nine_tables_as_of_one(
    app: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    names, asked = [make(app, f"t{number}") for number in range(9)], Counter[str]()

    def counted(room: Any, name: str) -> None:
        real = getattr(room, name)

        def fetch(conn: Any, statement: str, /, **values: Any) -> Any:
            asked[statement] += 1
            return real(conn, statement, **values)

        monkeypatch.setattr(room, name, fetch)

    for room in (catalog, create, coarsen, retention_facts):
        counted(room, "fetch")
    plans(names[0])
    of_one = Counter(asked)
    asked.clear()
    plans(*names)

    assert asked == of_one
    assert len(of_one) == 9


def test_tables_that_are_read_together_have_the_plans_that_each_has_alone(app: psycopg.Connection) -> None:
    good = [make(app, name) for name in ("f", "a", "b", "c", "d", "e")]
    app.execute("alter table app.b detach partition app.b_p20250715")
    app.execute("create table app.b_default partition of app.b default")
    app.execute("drop table app.f_p20250701")
    app.execute(DROPPED)
    app.execute("create view app.old as select * from app.c_p20250701")
    app.execute("insert into maintenance.hold (relation, reason, owner) values ('app.c', 'audit', 'legal')")
    app.execute("create table app.empty (at timestamptz not null) partition by range (at)")
    app.execute("create table app.plain (at timestamptz)")
    names = (*good, "app.empty", "app.plain", "app.nothing")
    late = declare("app.d", keep_where="at < '2025-05-26'"), declare("app.e", keep="P30D")
    declared = joined(declare(*names), *late)

    together = [comparable(found) for found in plans(*names, declared=declared)]
    each = {name: plans(name, declared=declared) for name in names}
    alone = [comparable({name: each[name][number][name] for name in names}) for number in range(3)]

    assert together == alone
    seen, removals, merges = plans(*names, declared=declared)
    assert [type(seen[name]) for name in names] == [Looked] * 7 + [UnsuitableRelation, MissingRelation]
    assert [type(removals[name]) for name in names] == [RetentionResult] * 7 + [UnsuitableRelation, MissingRelation]
    assert [type(merges[name]) for name in names] == [CoarseningResult] * 7 + [UnsuitableRelation, MissingRelation]
    assert any("on hold: audit" in line for line in removals["app.c"].plan.splitlines())
    assert removals["app.b"].plan.splitlines()[-1].startswith("Would be refused: app.b has no partition for [2025-07-15")
    assert [name for name in good if "Would be refused" in removals[name].plan] == ["app.b"]
    kept = [name for name in good if "keep_where keeps: at < '2025-05-26'" in removals[name].plan]
    assert (kept, removals["app.e"].plan.count("| detach |") > removals["app.a"].plan.count("| detach |")) == (["app.d"], True)
    assert (merges["app.a"].debt, merges["app.b"].debt) == (1, 0)


def test_a_condition_that_the_server_refuses_fails_its_own_table_alone(app: psycopg.Connection) -> None:
    names = [make(app, name) for name in ("a", "b")]
    both = joined(declare(names[0], keep_where="nothing = 1"), declare(names[1], keep_where="v = 'late'"))
    found = plan_removals(names, both, Safety(), AS_OF)

    assert "keep_where is refused by the server" in str(found[names[0]])
    assert isinstance(found[names[1]], RetentionResult)


def test_a_table_that_somebody_has_locked_fails_alone_and_its_bounds_are_read_all_the_same(
    app: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [make(app, name) for name in ("a", "b", "c")]
    monkeypatch.setattr(catalog, "transaction", partial(transaction, lock_ms=200))

    with app.transaction():
        app.execute("lock table app.b_p20250810 in access exclusive mode")
        seen, removals, merges = plans(*names)

    assert [type(found) for found in removals.values()] == [RetentionResult, LockBusy, RetentionResult]
    assert [type(found) for found in seen.values()] == [Looked] * 3
    assert [found.debt for found in merges.values()] == [1] * 3


def test_more_tables_than_are_read_together_are_all_read(app: psycopg.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [make(app, f"t{number}") for number in range(5)]
    whole = [comparable(found) for found in plans(*names)]
    monkeypatch.setattr(catalog, "MOST_TOGETHER", 2)

    assert [comparable(found) for found in plans(*names)] == whole


def test_the_newest_row_is_found_behind_empty_files_and_behind_files_whose_rows_are_gone(app: psycopg.Connection) -> None:
    name = make(app, "t")
    app.execute("delete from app.t where at >= '2025-08-08'")  # the files stay, without a row
    asked = {catalog.Relation.parse(name): retention_facts.Asked("at")}

    with transaction(catalog.Kind.READ) as conn:
        (seen,) = retention_facts.observe_all(conn, asked).values()

    assert isinstance(seen, retention_facts.Observed)
    assert seen.newest_rows == (datetime(2025, 8, 7, tzinfo=UTC), datetime(2025, 8, 8, tzinfo=UTC))


def test_creation_looks_anew_before_it_makes_what_was_lacking_when_all_tables_were_looked_at(app: psycopg.Connection) -> None:
    name, wanted = make(app, "t"), "for values from ('2025-08-11') to ('2025-08-12')"
    (seen,) = look_at([name], declare(name)).values()
    app.execute(f"create table app.t_by_hand partition of app.t {wanted}".encode())

    result = ensure_partitions(name, declare(name), AS_OF, seen=seen if isinstance(seen, Looked) else None)

    assert isinstance(result, CreationResult)
    assert (result.created, result.runway_until) == ((), datetime(2025, 8, 12, tzinfo=UTC))
