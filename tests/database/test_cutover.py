"""The cutover is one transaction: everything or nothing, whatever stands in its way."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tasks.core.connect import Kind, runtime, transaction
from tasks.core.errors import LockBusy
from tasks.core.ledger import Deferred, run_exclusively
from tasks.core.sqlfiles import ROOT, fetch, fetch_one
from tasks.gates.gate import pass_gate
from tasks.migration import cutover
from tasks.migration.approval import ApprovalMissing, close
from tasks.migration.capture import CaptureChanged
from tasks.migration.course import prove
from tasks.migration.cutover import CutoverBehind, CutoverBlocked, CutoverResult, DrainDiffers, NotReady, cut_over
from tasks.migration.render import describe_cutover
from tasks.migration.views import ViewDiffers
from tests.catalog import describe
from tests.conftest import Server
from tests.ready import NAME, TARGET, consent, declaration, ready_database

#: Captured, and refused by its mapping: its event time is infinite.
REFUSED_ROW = (
    "insert into monitoring.monitoring_events (id, event_type, source, timestamp, data)"
    " values (gen_random_uuid(), 't', 's', 'infinity', '{}')"
)
TABLES = ("monitoring_events", "validation_metrics", "cache_metrics_monitoring", "events", "dlq_table")


@pytest.fixture
def ready(server: Server) -> Iterator[psycopg.Connection[Any]]:
    """A session of the maintenance role in a database that waits for its cutover."""
    with ready_database(server) as dsn, runtime(), psycopg.connect(dsn, autocommit=True) as conn:
        yield conn


def kinds(conn: psycopg.Connection[Any]) -> dict[str, str]:
    rows = conn.execute(
        "select c.relname, c.relkind::text from pg_class c where c.relnamespace = 'monitoring'::regnamespace and c.relkind in ('r', 'v')"
    )
    return dict(rows.fetchall())


def phase(conn: psycopg.Connection[Any]) -> str:
    return conn.execute("select phase from maintenance.migration").fetchall()[0][0]


def test_views_stand_under_the_old_names_and_the_tables_aside(ready: psycopg.Connection[Any]) -> None:
    result = cut_over(NAME, declaration())

    assert isinstance(result, CutoverResult)
    assert (result.outcome, result.attempts, result.lacks) == ("cut over", 1, ())
    assert 0 < result.lock_ms < 5_000
    expected = dict.fromkeys(TABLES, "v") | {f"{name}_legacy": "r" for name in TABLES}
    assert kinds(ready) == expected
    assert phase(ready) == "cut_over"


def test_old_names_show_what_the_tables_held_but_for_quarantine(ready: psycopg.Connection[Any]) -> None:
    kept = """
        select to_jsonb(l)::text from {relation} as l
        where l.id::text not in (
            select q.key from maintenance.quarantine as q join maintenance.source as s on s.id = q.source_id
            where s.relation = {name}
        )
        order by 1
    """
    names = {
        name: {"relation": sql.Identifier("monitoring", name), "name": sql.Literal(f"monitoring.{name}")} for name in TABLES
    }
    before = {name: ready.execute(sql.SQL(kept).format(**parts)).fetchall() for name, parts in names.items()}

    cut_over(NAME, declaration())

    for name, parts in names.items():
        shown = sql.SQL("select to_jsonb(v)::text from {relation} as v order by 1").format(relation=parts["relation"])
        assert ready.execute(shown).fetchall() == before[name]
        assert before[name]


def test_a_second_cutover_says_that_it_is_done(ready: psycopg.Connection[Any]) -> None:
    cut_over(NAME, declaration())
    before = describe(ready)

    result = cut_over(NAME, declaration())

    assert isinstance(result, CutoverResult)
    assert result.outcome == "already cut over"
    assert describe(ready) == before


def test_a_rehearsal_changes_nothing_and_says_how_long_it_locked(ready: psycopg.Connection[Any]) -> None:
    before, setting = describe(ready), ready.execute("select * from maintenance.setting").fetchall()

    result = cut_over(NAME, declaration(), rehearse=True)

    assert isinstance(result, CutoverResult)
    assert (result.outcome, result.lacks) == ("rehearsed", ())
    assert "Everything was rolled back. A cutover would lack nothing." in describe_cutover(result)
    assert result.lock_ms > 0
    assert describe(ready) == before
    assert ready.execute("select * from maintenance.setting").fetchall() == setting
    assert phase(ready) == "capturing"


def test_a_rehearsal_says_what_a_cutover_would_lack(ready: psycopg.Connection[Any]) -> None:
    with transaction(Kind.READ) as conn:
        close(conn, NAME, "test")
    ready.execute("delete from maintenance.verdict")

    result = cut_over(NAME, declaration(), rehearse=True)

    assert isinstance(result, CutoverResult)
    assert [lack.split(" has ")[0] for lack in result.lacks] == [
        "The cutover of event_store",
        "The gate cutover of event_store",
    ]
    _, _, said = describe_cutover(result).partition("A cutover would lack:\n\n")
    assert said.splitlines() == [f"- {lack}" for lack in result.lacks]


def test_without_an_approval_nothing_happens(ready: psycopg.Connection[Any]) -> None:
    with transaction(Kind.READ) as conn:
        close(conn, NAME, "test")
    before = describe(ready)

    with pytest.raises(ApprovalMissing):
        cut_over(NAME, declaration())

    assert describe(ready) == before


def test_a_schema_changed_since_the_approval_needs_another(ready: psycopg.Connection[Any]) -> None:
    ready.execute("create index late on monitoring.events (created_at, type)")

    with pytest.raises(ApprovalMissing, match="the schema changed"):
        cut_over(NAME, declaration())

    consent()
    assert getattr(cut_over(NAME, declaration()), "outcome", None) == "cut over"


def test_more_quarantined_rows_than_approved_need_another_approval(ready: psycopg.Connection[Any]) -> None:
    ready.execute("update maintenance.approval_request set quarantined_rows = 0")

    with pytest.raises(ApprovalMissing, match=r"quarantine holds \d+ more rows?"):
        cut_over(NAME, declaration())


def test_what_the_cutovers_own_drain_quarantines_counts_against_the_approval(
    ready: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that come in after the consent was looked at, and that no drain before the transaction has seen."""
    monkeypatch.setattr(cutover, "_drain_down", lambda _: None)
    ready.execute(
        "update maintenance.approval_request set quarantined_rows = (select count(*) + 1 from maintenance.quarantine)"
    )
    ready.execute(REFUSED_ROW)
    ready.execute(REFUSED_ROW)
    before = describe(ready)

    with pytest.raises(ApprovalMissing, match="quarantine holds 1 more row"):
        cut_over(NAME, declaration())

    assert describe(ready) == before
    ready.execute("update maintenance.approval_request set quarantined_rows = quarantined_rows + 1")
    assert getattr(cut_over(NAME, declaration()), "outcome", None) == "cut over"


def test_a_capture_trigger_that_was_off_ends_the_cutover(
    ready: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gate sees it first; the transaction would see it too."""
    monkeypatch.setattr(cutover, "_require_consent", lambda _: ())
    monkeypatch.setattr(cutover, "require_verdict", lambda *_: None)
    ready.execute("alter table monitoring.events disable trigger maintenance_capture_insert")
    before = describe(ready)

    with pytest.raises(CaptureChanged):
        cut_over(NAME, declaration())

    assert describe(ready) == before


def test_a_table_that_stays_busy_is_named_with_its_holder(
    ready: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cutover, "BUDGET_S", 1.0)
    before = describe(ready)
    with psycopg.connect(ready.info.dsn, password=ready.info.password, application_name="bookkeeping") as busy:
        busy.execute("select count(*) from monitoring.dlq_table")

        with pytest.raises(LockBusy, match="bookkeeping"):
            cut_over(NAME, declaration())

    assert describe(ready) == before
    assert getattr(cut_over(NAME, declaration()), "outcome", None) == "cut over"


def after_a_failed_attempt(monkeypatch: pytest.MonkeyPatch, release: Callable[[], None]) -> None:
    """Call `release` each time an attempt had to give up its wait for a lock, however long it took to get there."""
    real = cutover._attempt

    def attempt(*arguments: Any) -> None:
        try:
            real(*arguments)
        except psycopg.errors.LockNotAvailable:
            release()
            raise

    monkeypatch.setattr(cutover, "_attempt", attempt)


def test_an_attempt_that_fails_lets_waiting_writers_go_on(
    ready: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first tables are locked while the last is not had: nobody waits longer than one attempt."""
    waits: list[float] = []
    stop = threading.Event()

    def write() -> None:
        with psycopg.connect(ready.info.dsn, password=ready.info.password, autocommit=True) as conn:
            while not stop.is_set():
                begun = time.monotonic()
                conn.execute(
                    "update monitoring.monitoring_events set data = '{}' where id = (select id from monitoring.monitoring_events limit 1)"
                )
                waits.append(time.monotonic() - begun)

    with psycopg.connect(ready.info.dsn, password=ready.info.password) as busy:
        busy.execute("select count(*) from monitoring.dlq_table")
        writer = threading.Thread(target=write)
        writer.start()
        failed: list[int] = []
        after_a_failed_attempt(monkeypatch, lambda: failed.append(1) if len(failed) < 2 else busy.rollback())
        result = cut_over(NAME, declaration())
        stop.set()
        writer.join()

    assert isinstance(result, CutoverResult)
    assert result.attempts > 2
    assert max(waits) < 1.5


def test_what_is_written_until_the_locks_arrives(ready: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction that is open while the cutover drains commits before the locks are granted."""
    with psycopg.connect(ready.info.dsn, password=ready.info.password) as late:
        late.execute("insert into monitoring.events (type, data, timestamp, created_at) values ('late', '{}', now(), now())")
        late.execute("update monitoring.dlq_table set failure_reason = 'late' where id = 5")
        late.execute("delete from monitoring.validation_metrics where id = 5")
        after_a_failed_attempt(monkeypatch, late.commit)
        result = cut_over(NAME, declaration())

    assert isinstance(result, CutoverResult)
    assert result.drained >= 3
    assert ready.execute("select count(*) from monitoring.events where type = 'late'").fetchall() == [(1,)]
    assert ready.execute("select failure_reason from monitoring.dlq_table where id = 5").fetchall() == [("late",)]
    assert ready.execute("select count(*) from monitoring.validation_metrics where id = 5").fetchall() == [(0,)]
    assert ready.execute("select count(*) from unified.event_metric_events where event_type = 'late'").fetchall() == [(1,)]


FIVE = "insert into monitoring.events (type, data, timestamp, created_at) select 'bulk', '{}', now(), now() from generate_series(1, 5)"


def test_much_that_waits_is_not_applied_while_everybody_stands_still(
    ready: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the locks, and with them: a bulk load that held them until then has just committed."""
    lock = cutover._lock
    monkeypatch.setattr(cutover, "MOST_LEFT", 4)
    with psycopg.connect(ready.info.dsn, password=ready.info.password) as late:
        late.execute(FIVE)

        def lock_after_the_load(conn: psycopg.Connection[Any], job: Any) -> None:
            late.commit()
            lock(conn, job)

        monkeypatch.setattr(cutover, "_lock", lock_after_the_load)
        with pytest.raises(CutoverBehind, match="5 captured changes wait"):
            cut_over(NAME, declaration())
    assert phase(ready) == "capturing"

    monkeypatch.setattr(cutover, "_drain_down", lambda _: None)
    monkeypatch.setattr(cutover, "_drain_while_open", lambda *_: {})
    monkeypatch.setattr(cutover, "_lock", lambda *_: pytest.fail("it has locked"))
    with pytest.raises(CutoverBehind, match="5 captured changes wait"):
        cut_over(NAME, declaration())


def test_a_comparison_that_failed_after_the_gate_has_passed_lets_it_be_asked_again(
    ready: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_over(NAME, declaration(), rehearse=True)
    pass_gate(NAME, "cutover", declaration(), parameters={"approved_quarantine": 10**6})
    ready.execute("""
        insert into maintenance.verdict
            (subject, step, status, evidence_hash, fingerprint, mapping_version, generation, reasons, valid_until)
        select subject, 'integrity', 'BLOCKED', evidence_hash, fingerprint, mapping_version, generation, '["two rows differ"]', valid_until
        from maintenance.verdict where step = 'cutover'
    """)
    asked: list[str] = []
    monkeypatch.setattr(cutover, "pass_gate", lambda name, step, *_, **__: asked.append(f"{step} of {name}"))

    cut_over(NAME, declaration())

    assert asked == [f"cutover of {NAME}"]


def test_a_view_whose_file_has_changed_since_the_proof_is_not_put_there(
    ready: psycopg.Connection[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(ROOT / "legacy", tmp_path / "sql" / "legacy")
    view = tmp_path / "sql" / "legacy" / "events" / "view.sql"
    view.write_text(f"{view.read_text(encoding='utf-8')}and u.event_type <> 'hidden'\n", encoding="utf-8")
    shutil.copy(ROOT.parent / "maintenance.yaml", tmp_path)
    monkeypatch.setenv("MAINTENANCE_FILE", str(tmp_path / "maintenance.yaml"))

    with pytest.raises(NotReady, match="files of its mapping have changed since every row was compared"):
        cut_over(NAME, declaration())

    assert phase(ready) == "capturing"


def test_a_row_that_the_last_drain_left_unequal_ends_the_cutover(
    ready: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = cutover.drain_batch

    def spoil(conn: Any, *args: Any, **kwargs: Any) -> Any:
        done = real(conn, *args, **kwargs)
        conn.execute("update unified.event_metric_events set priority = 9 where event_type = 'spoilt'")
        return done

    monkeypatch.setattr(cutover, "_drain_down", lambda _: None)
    monkeypatch.setattr(cutover, "drain_batch", spoil)
    ready.execute("insert into monitoring.events (type, data, timestamp, created_at) values ('spoilt', '{}', now(), now())")

    with pytest.raises(DrainDiffers, match=r"monitoring\.events"):
        cut_over(NAME, declaration())

    assert phase(ready) == "capturing"


def test_another_run_on_the_target_defers_the_cutover(ready: psycopg.Connection[Any]) -> None:
    done = run_exclusively(
        "backfill", NAME, lambda _: cut_over(NAME, declaration()), overdue_after=timedelta(days=1), group=TARGET
    )

    assert isinstance(done, Deferred)
    assert "backfill" in done.reason


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("create view public.reader as select id from monitoring.events", "view public.reader depends on it"),
        ("create materialized view public.kept as select id from monitoring.events", "materialized view public.kept depends"),
        (
            "create function public.all_events() returns setof monitoring.events language sql as 'select * from monitoring.events'",
            "function public.all_events depends",
        ),
        (
            "create trigger tell after insert on monitoring.events execute function monitoring.set_updated_at()",
            "the trigger tell is not declared",
        ),
        (
            "create policy own_rows on monitoring.events for select to authenticated using (id > 5)",
            "the policy own_rows is not declared",
        ),
        (
            "create table public.child (event bigint references monitoring.events)",
            "foreign key child_event_fkey of public.child",
        ),
        ("create unique index once on monitoring.events (type, created_at, id)", "unique index monitoring.once"),
        (
            "alter table monitoring.events add column size int generated always as (length(type)) stored",
            "column size is generated",
        ),
        ("create publication feed for table monitoring.events", "the publication feed publishes it"),
        (
            "select setval('monitoring.events_id_seq', (select max(id) - 1 from monitoring.events))",
            "its sequence monitoring.events_id_seq gives",
        ),
    ],
)
def test_what_a_view_could_not_do_blocks_and_is_named(
    ready: psycopg.Connection[Any], statement: str, reason: str, superuser: psycopg.Connection[Any]
) -> None:
    superuser.execute(statement)  # pyright: ignore[reportArgumentType]
    before = describe(ready)

    with pytest.raises(CutoverBlocked, match="monitoring.events: .*" + reason.replace(".", r"\.")):
        cut_over(NAME, declaration())

    assert describe(ready) == before


def test_a_view_that_would_show_other_columns_is_found_before_a_person_is_asked(
    ready: psycopg.Connection[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(ROOT / "legacy", tmp_path / "sql" / "legacy")
    view = tmp_path / "sql" / "legacy" / "monitoring_events" / "view.sql"
    view.write_text(view.read_text(encoding="utf-8").replace("b.source::varchar(100) as source", "b.source"), encoding="utf-8")
    shutil.copy(ROOT.parent / "maintenance.yaml", tmp_path)
    monkeypatch.setenv("MAINTENANCE_FILE", str(tmp_path / "maintenance.yaml"))
    before = describe(ready)

    with pytest.raises(ViewDiffers, match=r"monitoring_events/view\.sql does not show .*column source should be"):
        prove(NAME, declaration(), lambda *_: None)

    assert describe(ready) == before


@pytest.fixture
def superuser(server: Server, ready: psycopg.Connection[Any]) -> Iterator[psycopg.Connection[Any]]:
    """A superuser's session in the same database."""
    with psycopg.connect(server.superuser_dsn, dbname=ready.info.dbname, autocommit=True) as conn:
        yield conn


def test_a_dependant_that_comes_while_views_are_made_is_noticed(
    ready: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = cutover._lock

    def interfere(conn: Any, job: Any) -> None:
        ready.execute("create view public.sudden as select id from monitoring.events")
        real(conn, job)

    monkeypatch.setattr(cutover, "_lock", interfere)

    with pytest.raises(cutover.SourceChanged, match=r"public\.sudden"):
        cut_over(NAME, declaration())

    assert phase(ready) == "capturing"


def test_a_migration_that_was_never_copied_is_not_cut_over(ready: psycopg.Connection[Any]) -> None:
    ready.execute("update maintenance.migration set phase = 'declared'")

    with pytest.raises(NotReady, match="its phase is declared"):
        cut_over(NAME, declaration())


def test_rights_arrive_with_the_cutover_and_not_before(ready: psycopg.Connection[Any]) -> None:
    held = "select has_table_privilege('service_role', 'unified.event_metric_events', 'insert'), has_schema_privilege('authenticated', 'unified', 'usage')"
    assert ready.execute(held).fetchall() == [(False, False)]

    cut_over(NAME, declaration())

    assert ready.execute(held).fetchall() == [(True, True)]
    with transaction(Kind.READ) as conn:
        stood = fetch_one(conn, "migration/cutover_read", migration=NAME)
        assert fetch(conn, "migration/setting_read", name="USE_UNIFIED_SCHEMA")[0]["value"] == "true"
    assert {"role": "service_role", "privilege": "insert"} in stood["granted"]
    assert stood["setting_before"] is None


def test_postgrest_is_told(ready: psycopg.Connection[Any]) -> None:
    ready.execute("listen pgrst")

    cut_over(NAME, declaration())

    assert [note.payload for note in ready.notifies(timeout=2, stop_after=1)] == ["reload schema"]


def test_creation_of_partitions_waits_for_the_cutover_only(
    ready: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cutover that meets a running creation waits for it instead of failing."""
    with psycopg.connect(ready.info.dsn, password=ready.info.password, autocommit=True) as creation:
        creation.execute("select pg_advisory_lock(hashtextextended('run:create:unified.event_metric_events', 0))")
        after_a_failed_attempt(monkeypatch, creation.close)
        result = cut_over(NAME, declaration())

    assert isinstance(result, CutoverResult)
    assert result.attempts > 1
