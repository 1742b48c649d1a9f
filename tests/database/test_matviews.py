"""Views are refreshed in order of dependency, concurrently once filled, one failure not stopping the others (D7)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from tasks.core.declaration import Declaration
from tasks.core.errors import LockBusy, MissingRelation, NotDeclared, Unfinished, UnsuitableRelation
from tasks.core.flowruns import each
from tasks.upkeep.matviews import RefreshFailed, in_order, refresh

AS_OF = datetime(2026, 5, 1, tzinfo=UTC)
VIEW = {"why": "w", "owner": "o", "refresh_every": "PT5M", "stale_after": "PT15M"}
DECLARED = Declaration.model_validate({"matviews": {"app.daily": VIEW, "app.monthly": VIEW, "app.lonely": VIEW}})

SCHEMA = """
create schema app;
create table app.sales (at date not null, amount integer not null);
insert into app.sales select date '2026-01-01' + i, i from generate_series(1, 100) i;
create materialized view app.daily as select at, sum(amount) as amount from app.sales group by at with no data;
create unique index on app.daily (at);
create view app.between as select * from app.daily;
create materialized view app.monthly as
    select date_trunc('month', at)::date as month, sum(amount) as amount from app.between group by 1 with no data;
create unique index on app.monthly (month);
create materialized view app.lonely as select 1 as id with no data;
create unique index on app.lonely (id);
"""


@pytest.fixture
def app(make_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> Iterator[psycopg.Connection]:
    dsn = make_database(sets=())
    monkeypatch.setenv("DATABASE_URL", dsn)
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(SCHEMA)
        yield conn


def refresh_all(as_of: datetime = AS_OF, **more: bool) -> list[tuple[str, str, bool]]:
    results = [refresh(name, DECLARED, as_of, **more) for name in in_order(DECLARED.matviews, DECLARED)]
    return sorted((r.matview, r.outcome, r.is_concurrent) for r in results)


def test_a_view_comes_after_the_ones_it_reads_through_a_plain_view(app: psycopg.Connection) -> None:
    order = in_order(["app.monthly", "app.lonely", "app.daily"], DECLARED)
    assert order.index("app.daily") < order.index("app.monthly")


def test_the_first_fill_is_plain_and_later_ones_are_concurrent(app: psycopg.Connection) -> None:
    assert refresh_all() == [(name, "completed", False) for name in ("app.daily", "app.lonely", "app.monthly")]
    later = refresh_all(AS_OF + timedelta(minutes=5))
    assert later == [(name, "completed", True) for name in ("app.daily", "app.lonely", "app.monthly")]


def test_the_dependent_view_sees_what_the_run_has_just_refreshed(app: psycopg.Connection) -> None:
    refresh_all()
    app.execute("insert into app.sales values ('2027-01-01', 7)")
    refresh_all(AS_OF + timedelta(hours=1))
    assert app.execute("select amount from app.monthly where month = '2027-01-01'").fetchone() == (7,)


def test_a_second_run_in_a_row_has_nothing_to_do(app: psycopg.Connection) -> None:
    refresh_all()
    assert {outcome for _, outcome, _ in refresh_all(AS_OF + timedelta(minutes=4))} == {"not due"}


def test_force_refreshes_what_is_not_due(app: psycopg.Connection) -> None:
    refresh_all()
    assert {outcome for _, outcome, _ in refresh_all(force=True)} == {"completed"}


def test_readers_go_on_while_a_filled_view_is_refreshed(app: psycopg.Connection) -> None:
    refresh_all()
    app.execute("create function app.slow() returns integer language sql volatile as 'select 1 from pg_sleep(1.0)'")
    app.execute("drop materialized view app.lonely; create materialized view app.lonely as select app.slow() as id")
    app.execute("create unique index on app.lonely (id)")
    refreshing = threading.Thread(target=lambda: refresh("app.lonely", DECLARED, AS_OF, force=True))
    refreshing.start()
    time.sleep(0.3)
    began = time.monotonic()
    app.execute("select * from app.lonely")
    assert time.monotonic() - began < 0.4
    refreshing.join()


def test_a_view_whose_name_needs_quotes_is_refreshed(app: psycopg.Connection) -> None:
    app.execute('create materialized view app."Mv Stats" as select at from app.sales with no data')
    app.execute('create unique index on app."Mv Stats" (at)')
    declared = Declaration.model_validate({"matviews": {"app.Mv Stats": VIEW}})

    first, second = (refresh("app.Mv Stats", declared, AS_OF, force=True) for _ in range(2))

    assert [(r.rows_after, r.size_bytes > 0, r.is_concurrent) for r in (first, second)] == [
        (100, True, False),
        (100, True, True),
    ]


def test_a_second_refresh_of_the_same_view_does_not_wait_for_long(app: psycopg.Connection) -> None:
    refresh_all()
    with psycopg.connect(app.info.dsn, password=app.info.password) as other:
        other.execute("refresh materialized view app.daily")
        with pytest.raises(LockBusy, match=r"app\.daily stayed locked"):
            refresh("app.daily", DECLARED, AS_OF, force=True)


def test_a_failing_view_keeps_its_content_and_does_not_stop_the_others(app: psycopg.Connection) -> None:
    refresh_all()
    app.execute("insert into app.sales values ('2026-01-02', 0)")
    app.execute("create function app.fail() returns integer language plpgsql as $$ begin raise exception 'broken'; end $$")
    app.execute(
        "drop materialized view app.lonely; create materialized view app.lonely as select app.fail() as id with no data"
    )
    app.execute("create unique index on app.lonely (id)")

    with pytest.raises(Unfinished, match=r"app\.lonely: app\.lonely could not be refreshed: broken"):
        each("refresh_matviews", ["app.lonely", "app.daily"], lambda name: refresh(name, DECLARED, AS_OF + timedelta(hours=1)))

    kept = app.execute("select matview, error from maintenance.matview_refresh order by id desc limit 2").fetchall()
    assert kept == [("app.daily", None), ("app.lonely", "broken")]


def test_a_view_without_a_unique_index_is_named_with_the_remedy(app: psycopg.Connection) -> None:
    app.execute("drop index app.lonely_id_idx")
    with pytest.raises(UnsuitableRelation, match=r"app\.lonely cannot be maintained: .*Create a unique index"):
        refresh("app.lonely", DECLARED, AS_OF)


def test_a_declared_view_that_does_not_exist_is_named(app: psycopg.Connection) -> None:
    app.execute("drop materialized view app.lonely")
    with pytest.raises(MissingRelation, match=r"app\.lonely does not exist as a materialized view"):
        refresh("app.lonely", DECLARED, AS_OF)


def test_an_undeclared_view_is_refused(app: psycopg.Connection) -> None:
    with pytest.raises(NotDeclared, match=r"app\.other is not declared"):
        refresh("app.other", DECLARED, AS_OF)


def test_the_failure_class_is_the_one_that_names_the_view(app: psycopg.Connection) -> None:
    app.execute("create function app.fail() returns integer language plpgsql as $$ begin raise exception 'broken'; end $$")
    app.execute(
        "drop materialized view app.lonely; create materialized view app.lonely as select app.fail() as id with no data"
    )
    app.execute("create unique index on app.lonely (id)")
    with pytest.raises(RefreshFailed, match="It keeps its former content"):
        refresh("app.lonely", DECLARED, AS_OF)
