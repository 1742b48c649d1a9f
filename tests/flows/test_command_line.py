"""`python -m flows`: what it prints, how it exits, and that no password ever stands in it.

Most calls are made in this process, as the module's `main`; a few in one of their own, where the environment, Prefect's log
or a server of the command's own is what is tested.
"""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import psycopg
import pytest
import yaml
from prefect import flow, task
from psycopg.conninfo import conninfo_to_dict

from flows.__main__ import list_flows, main
from tasks.core.declaration import read_declaration
from tasks.core.errors import Unfinished
from tasks.core.flowruns import RETRY
from tasks.core.settings import PROJECT
from tests.flows.conftest import Bills
from tests.flows.pages import Pages

TABLE = "unified.event_metric_events"


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let rich break no line that a test looks for."""
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Return a function that calls the command line and returns exit code, stdout and stderr."""

    def called(*arguments: str) -> tuple[int, str, str]:
        capfd.readouterr()
        code = main(list(arguments))
        out, err = capfd.readouterr()
        return code, out, err

    return called


def process(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own, in another directory than the tests'."""
    return subprocess.run(
        [sys.executable, "-m", "flows", *arguments],
        cwd=PROJECT, env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


def test_without_a_name_every_flow_is_listed_with_what_it_does(call: Callable[..., tuple[int, str, str]]) -> None:
    code, out, err = call()

    assert (code, err) == (0, "")
    for name, summary in [*list_flows().items(), ("approve", "Answer the open approval request of a migration.")]:
        assert name in out
        assert summary in out


@pytest.mark.parametrize("name", [*list_flows(), "approve"])
def test_help_is_the_docstring_and_needs_no_database(name: str, call: Callable[..., tuple[int, str, str]]) -> None:
    code, out, err = call(name.replace("_", "-"), "--help")

    assert (code, err) == (0, "")
    assert f"Usage: python -m flows {name}" in out
    assert list_flows().get(name, "Answer the open approval request of a migration.") in out


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["refresh_matview"], "There is no flow refresh_matview. Name one of the list."),
        (["enforce_retention", "--safety.apply", "--safety.at-most", "51"], "at_most is 51: Input should be less than or equal to 50."),
        (["enforce_retention", "--safety.at-most", "0"], "at_most is 0: Input should be greater than or equal to 1."),
        (["create_partitions", "--tabel", TABLE], "Unknown option: --tabel. Did you mean --table?"),
        (["create_partitions", "--as-of", "yesterday"], 'Invalid value for --as-of: unable to convert "yesterday" into datetime.'),
        (["migrate"], "Parameter --migration requires an argument."),
        (["migrate", "event_store", "--approval", "perhaps"], 'Invalid value "perhaps" for --approval.'),
        (["approve", "event_store", "--name", "Ada"], "Parameter --reason requires an argument."),
    ],
)  # fmt: skip
def test_a_wrong_call_is_one_line_and_exit_code_2(
    arguments: list[str], line: str, call: Callable[..., tuple[int, str, str]]
) -> None:
    code, _, err = call(*arguments)

    assert code == 2
    assert line in err
    assert err.count("\n") == 1


def test_a_call_without_a_database_names_the_remedy_before_anything_is_started(
    call: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)

    code, out, err = call("report_health")

    assert (code, out) == (1, "")
    assert err.startswith("NoDatabase: DATABASE_URL is not set. Set it to a direct or session-mode connection")
    assert err.count("\n") == 1


def test_a_wrong_declaration_is_one_line_before_anything_is_started(
    call: Callable[..., tuple[int, str, str]], declare: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    declare("every: day", "evry: day")

    code, out, err = call("create_partitions")

    assert (code, out) == (1, "")
    assert f"at tables.{TABLE}.partitioning.evry: there is no such key" in err
    assert err.count("\n") == 1


def test_a_flow_does_its_work_from_the_shell(
    database: str, prefect_api: str, call: Callable[..., tuple[int, str, str]]
) -> None:
    code, out, _ = call("create_partitions", "--table", TABLE, "--as-of", "2025-08-10")

    assert code == 0
    assert "event_metric_events_p20250810" in out
    with psycopg.connect(database) as conn:
        made = conn.execute("select from pg_inherits where inhparent = %s::regclass", [TABLE]).rowcount
    assert made == 14


def test_each_of_several_results_is_a_yaml_document(
    database: str, prefect_api: str, call: Callable[..., tuple[int, str, str]]
) -> None:
    code, out, _ = call("refresh_matviews")

    assert code == 0
    assert [document["matview"] for document in yaml.safe_load_all(out)] == [str(name) for name in read_declaration().matviews]


def test_what_was_deferred_is_said_and_is_no_failure(
    database: str, prefect_api: str, call: Callable[..., tuple[int, str, str]]
) -> None:
    with psycopg.connect(database, application_name="the other run") as conn:
        conn.execute("select pg_advisory_lock(hashtextextended('run:create:' || %s, 0))", [TABLE])
        code, out, _ = call("create_partitions")
        held_by = f"pid {conn.info.backend_pid} (the other run)"

    assert (code, out) == (0, f"deferred: {TABLE}: held by {held_by}\n")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["create_partitions", "--table", "unified.elsewhere"], "NotDeclared: table unified.elsewhere is not declared in"),
        (["refresh_matviews", "unified.mv_elsewhere"], "NotDeclared: materialized view unified.mv_elsewhere is not declared in"),
        (["backfill", "elsewhere"], "NotDeclared: migration elsewhere is not declared in"),
        (["verify_integrity", "event_store"], "MissingRelation: migration event_store does not exist in the ledger."),
        (["cut_over", "event_store"], "MissingRelation: migration event_store does not exist in the ledger. Neither migrate nor backfill"),
        (["roll_back", "event_store", "--way", "complete"], "MissingRelation: migration event_store does not exist in the ledger. Neither"),
        (["validate", "--suite", "elsewhere"], "UnknownSuite: There is no suite elsewhere to validate on demand."),
        (["backfill", "event_store"], "MissingRelation: monitoring.monitoring_events does not exist"),
        (["approve", "event_store", "--name", "A", "--reason", "r"], "ApprovalMissing: The cutover of event_store has no valid approval"),
    ],
)  # fmt: skip
def test_bad_input_is_one_readable_line_without_a_traceback_and_changes_nothing(
    arguments: list[str], line: str, database: str, prefect_api: str, call: Callable[..., tuple[int, str, str]]
) -> None:
    before = _state(database)

    code, out, err = call(*arguments)

    assert (code, out) == (1, "")
    assert line in err.splitlines()[-1]
    assert "Traceback" not in err
    assert _state(database) == before


def _state(dsn: str) -> list[tuple[object, ...]]:
    """Every relation, trigger and function with its version in the catalog, and what migrations know; runs are left out."""
    with psycopg.connect(dsn) as conn:
        return conn.execute(
            """
            select 'relation', oid::regclass::text, xmin::text from pg_class where relnamespace::regnamespace::text !~ '^pg_'
            union all select 'trigger', tgname, xmin::text from pg_trigger
            union all select 'function', oid::regprocedure::text, xmin::text from pg_proc where pronamespace >= 16384
            union all select 'migration', name, xmin::text from maintenance.migration order by 1, 2
            """
        ).fetchall()


def test_a_migration_waits_with_exit_code_3_is_approved_and_goes_on(
    bills: Bills, prefect_api: str, call: Callable[..., tuple[int, str, str]]
) -> None:
    code, _, err = call("migrate", "bills", "--approval", "given")
    assert code == 1
    assert err.splitlines()[-1].startswith("ApprovalMissing: The cutover of bills has no valid approval: nobody was asked.")

    code, out, _ = call("migrate", "bills")
    command = "python -m flows approve bills --name NAME --reason REASON --sign-offs dba --sign-offs rollback_plan"
    assert (code, out) == (3, f"Approve with: {command}\n")

    code, _, err = call("approve", "bills", "--name", "Ada", "--reason", "read", "--sign-offs", "dba")
    assert (code, err) == (
        1,
        "InvalidApproval: The approval of bills cannot be recorded: the sign-offs rollback_plan are missing.\n",
    )
    given = command.removeprefix("python -m flows ").replace("NAME", "Ada").replace("REASON", "read").split()
    assert call(*given)[:2] == (0, "approved by Ada\n")

    code, out, _ = call("migrate", "bills", "--approval", "given")
    assert code == 0
    assert "bills is cut over" in out
    assert bills.kind() == "v"


def test_an_approval_that_no_longer_counts_is_asked_for_again_and_the_log_says_why(
    bills: Bills, prefect_api: str, call: Callable[..., tuple[int, str, str]], caplog: pytest.LogCaptureFixture
) -> None:
    given = ("approve", "bills", "--name", "Ada", "--reason", "read", "--sign-offs", "dba", "--sign-offs", "rollback_plan")
    assert call("migrate", "bills")[0] == 3
    assert call(*given)[0] == 0
    bills.change("insert into shop.bills (customer, issued, cents) values ('old', '2001-01-01', 1)")

    code, _, _ = call("migrate", "bills")

    why = "The approval of bills by Ada does not count: quarantine holds 1 more row than when it was asked for."
    assert (code, why in caplog.text) == (3, True)


def test_a_migration_that_waits_goes_back_completely(
    bills: Bills,
    prefect_api: str,
    call: Callable[..., tuple[int, str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MAINTENANCE_ARCHIVE", str(tmp_path))
    assert call("migrate", "bills")[0] == 3
    back = ("roll_back", "bills", "--way", "complete")

    code, out, _ = call(*back)
    assert (code, "outcome: planned" in out) == (0, True)
    assert not list(tmp_path.rglob("part-*"))
    code, out, _ = call(*back, "--safety.apply")
    assert (code, "outcome: removed" in out, bills.kind()) == (0, True, "r")
    assert list(tmp_path.rglob("part-*"))
    code, out, _ = call(*back)
    assert (code, "outcome: nothing to roll back" in out) == (0, True)


@pytest.mark.parametrize("secret", ["w7ongpass", "w7@ngpass", "w7/ngpass"])
def test_a_password_stands_nowhere_in_what_a_command_prints_or_prefect_keeps(secret: str, database: str, pages: Pages) -> None:
    parts = conninfo_to_dict(database)
    # The second and third are not percent-encoded: a part of each would be read as host, port or database.
    url = f"postgresql://{parts['user']}:{secret}@{parts['host']}:{parts['port']}/{parts['dbname']}"

    done = process("report_health", DATABASE_URL=url, PREFECT_API_URL=pages.url)

    assert done.returncode == 1
    assert "ngpass" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("AccessRefused: " if secret == "w7ongpass" else "InvalidDatabaseUrl: "), last
    if secret == "w7ongpass":
        assert f"refused the login of {parts['user']}: password authentication failed" in last
        run = pages.latest()
        assert "AccessRefused: " in pages.wait_for_line(run["id"], "Finished in state Failed")
        assert "ngpass" not in str(run) + pages.log_of(run["id"])


def test_an_unreachable_server_is_one_line(pages: Pages) -> None:
    done = process("report_health", DATABASE_URL="postgresql://maintainer:s3cret@127.0.0.1:1/x", PREFECT_API_URL=pages.url)

    assert done.returncode == 1
    remedy = "Check that the server runs and that DATABASE_URL names its host, port and database."
    assert f"CannotConnect: Could not connect to 127.0.0.1:1/x: Connection refused. {remedy}" in done.stderr.splitlines()
    assert "Traceback" not in done.stderr
    assert "s3cret" not in done.stdout + done.stderr


@pytest.mark.slow
def test_without_a_prefect_server_the_command_says_so_lends_itself_one_and_ends_it(empty_database: str) -> None:
    done = process("apply_migrations", DATABASE_URL=empty_database, MAINTENANCE_EMBEDDED="")

    assert done.returncode == 0, done.stderr
    assert "PREFECT_API_URL is not set: starting a Prefect server for this command alone" in done.stderr
    assert "maintenance/0001_ledger.sql" in done.stdout
    (address,) = re.findall(r"View at (http://127\.0\.0\.1:\d+)/", done.stderr)
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{address}/api/health")


def test_an_unexpected_error_keeps_its_traceback(prefect_api: str, caplog: pytest.LogCaptureFixture) -> None:
    @task(**RETRY)
    def ours() -> None:
        raise Unfinished(flow="this", failures="that")

    @flow
    def both() -> None:
        ours(return_state=True)
        raise ZeroDivisionError("nobody thought of it")

    for name in ("prefect.flow_runs", "prefect.task_runs"):
        logging.getLogger(name).addHandler(caplog.handler)
    with pytest.raises(ZeroDivisionError):
        both()
    for name in ("prefect.flow_runs", "prefect.task_runs"):
        logging.getLogger(name).removeHandler(caplog.handler)

    found = {record.getMessage(): bool(record.exc_info) for record in caplog.records if record.levelno >= logging.ERROR}
    assert found == {
        **dict.fromkeys([text for text in found if text.startswith("Finished in state Failed(")], False),
        **dict.fromkeys(
            [text for text in found if "Unfinished: this could not do everything that was due: that" in text], False
        ),
        "Encountered exception during execution: ZeroDivisionError('nobody thought of it')": True,
    }
    assert len(found) >= 2
