"""The flow by way of complete: what a person sees in Prefect from the plan to nothing left (M6)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from flows.roll_back import roll_back
from tasks.core.connect import database_now, runtime
from tasks.core.declaration import read_declaration
from tasks.core.parameters import Safety
from tasks.migration.backfill import backfill
from tasks.migration.cutover import cut_over
from tests.flows.conftest import Bills
from tests.flows.pages import Pages
from tests.ready import pass_cutover

#: What the application writes under the old name after the cutover.
WRITES = """
update shop.bills set remark = 'reminded' where bill_no = 1;
delete from shop.bills where bill_no = 2;
insert into shop.bills (customer, issued, cents) values ('new', current_date, 7)
"""
CONTENT = "select to_jsonb(b)::text from shop.bills as b order by 1"
#: Rows, functions, triggers and units that a migration has made.
MADE = """
select
    (select count(*) from accounts.invoices),
    (select count(*) from pg_proc where pronamespace = 'maintenance'::regnamespace and proname ~ '^(bills|old_name|capture)_[0-9]'),
    (
        select count(*) from pg_trigger
        where not tgisinternal and tgrelid in ('shop.bills'::regclass, 'accounts.invoices'::regclass)
    ),
    (select count(*) from maintenance.unit)
"""
PARTITIONS = "select inhrelid::regclass::text from pg_inherits where inhparent = 'accounts.invoices'::regclass order by 1"


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MAINTENANCE_ARCHIVE", str(tmp_path / "archive"))
    return tmp_path / "archive"


def migrate(bills: Bills) -> None:
    """Put the bills behind their view and write through it."""
    declaration = read_declaration()
    with runtime():
        backfill("bills", declaration, database_now(), preflight=None)
        pass_cutover(declaration, "bills")
        cut_over("bills", declaration)
    bills.change(WRITES)


def test_the_complete_way_back_is_planned_then_done_and_then_nothing_is_left(bills: Bills, pages: Pages, archive: Path) -> None:
    before, made, names = bills.ask(PARTITIONS), bills.ask(MADE), list[str]()
    migrate(bills)
    written, stood = bills.ask(CONTENT), (bills.ask(PARTITIONS), bills.ask(MADE))

    def go(*, apply: bool) -> tuple[Any, str]:
        result, run = roll_back("bills", "complete", Safety(apply=apply)), pages.latest()
        assert (run["state_type"], run["state_name"]) == ("COMPLETED", "Completed")
        names.append(run["name"])
        return result, pages.artifacts_of(run["id"])["roll-back-plan"]

    planned, text = go(apply=False)

    assert (planned.outcome, bills.kind(), (bills.ask(PARTITIONS), bills.ask(MADE))) == ("planned", "v", stood)
    assert not archive.exists()
    assert "Rolling bills back would carry 3 changes to the legacy tables, write 0 rows from quarantine there" in text
    assert "\n60 rows of bills in " in text
    assert text.endswith(" would be archived, verified and taken out of the target. Apply it with safety.apply.")

    done, text = go(apply=True)

    assert (done.outcome, done.refused_rows, bills.kind(), bills.ask(CONTENT)) == ("removed", 0, "r", written)
    assert (bills.ask(PARTITIONS), bills.ask(MADE)) == (before, made), "nothing is left of the migration"
    assert sum(pq.read_metadata(file).num_rows for file in archive.rglob("*.parquet")) == len(written) == 60
    assert "bills is rolled back: 3 changes carried back (2 rows written, 1 deleted)" in text
    assert " archived, verified and taken out of the target.\n- archive: " in text

    again, text = go(apply=True)

    assert (again.outcome, text) == ("nothing to roll back", "There is nothing to roll back of bills.")
    assert names == [f"{mode} roll back bills by complete" for mode in ("plan", "APPLY", "APPLY")]
