"""Bounds: intervals tile the line in every zone, and names never lie about what fits."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import get_args
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tasks.core.errors import InvalidName
from tasks.partitions.bounds import Interval, OutOfCalendar, as_key, interval_at, partition_name, round_up, tile

#: Zones whose clocks do odd things: shifts at midnight, by half an hour, a day that never was, an offset of :45.
ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Havana",
    "America/Sao_Paulo",
    "Asia/Beirut",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Asia/Kathmandu",
]
zones = st.sampled_from(ZONES)
intervals = st.sampled_from(get_args(Interval))
instants = st.datetimes(datetime(1950, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
spans = st.timedeltas(timedelta(0), timedelta(days=40))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@given(instants, intervals, zones)
@example(at("2011-12-30 11:00"), "day", "Pacific/Apia")
@example(at("2024-02-29 12:00"), "month", "UTC")
@example(at("2023-12-31 23:59:59.999999"), "year", "America/Havana")
def test_an_interval_holds_its_instant_and_touches_the_next(instant: datetime, every: Interval, zone: str) -> None:
    lower, upper = interval_at(instant, every, zone)

    assert lower <= instant < upper
    assert interval_at(lower, every, zone) == (lower, upper)
    assert interval_at(upper, every, zone)[0] == upper
    assert interval_at(lower - timedelta(microseconds=1), every, zone)[1] == lower


@given(instants, spans, intervals, zones)
def test_pieces_tile_a_range_without_gap_or_overlap(lower: datetime, span: timedelta, every: Interval, zone: str) -> None:
    pieces = tile(lower, lower + span, every, zone)

    ends = [lower, *(upper for _, upper in pieces)]
    assert [begin for begin, _ in pieces] == ends[:-1]
    assert ends[-1] == lower + span
    assert all(begin < end for begin, end in pieces)


@given(instants, intervals, zones)
def test_pieces_of_whole_intervals_are_the_intervals_themselves(instant: datetime, every: Interval, zone: str) -> None:
    first = interval_at(instant, every, zone)
    second = interval_at(first[1], every, zone)

    assert tile(first[0], second[1], every, zone) == [first, second]


@given(instants, intervals, zones)
def test_two_intervals_in_a_row_have_different_names(instant: datetime, every: Interval, zone: str) -> None:
    lower, upper = interval_at(instant, every, zone)

    assert partition_name("t", lower, every, zone) < partition_name("t", upper, every, zone)


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [("Europe/Berlin", "2026-03-29", 23), ("Europe/Berlin", "2026-10-25", 25), ("UTC", "2026-03-29", 24)],
)
def test_a_local_day_is_as_long_as_its_clock_says(zone: str, day: str, hours: int) -> None:
    noon = datetime.fromisoformat(day + " 12:00").replace(tzinfo=ZoneInfo(zone))

    lower, upper = interval_at(noon, "day", zone)

    assert upper - lower == timedelta(hours=hours)
    assert lower.astimezone(ZoneInfo(zone)).hour == 0


def test_the_day_that_samoa_skipped_has_no_interval() -> None:
    before, after = at("2011-12-30 09:59"), at("2011-12-30 10:00")

    assert interval_at(before, "day", "Pacific/Apia")[1] == after
    assert partition_name("t", after, "day", "Pacific/Apia") == "t_p20111231"


@pytest.mark.parametrize(
    ("every", "lower", "upper", "name"),
    [
        ("hour", "2025-08-01 13:00", "2025-08-01 14:00", "t_p20250801t13"),
        ("day", "2024-02-29", "2024-03-01", "t_p20240229"),
        ("week", "2024-12-30", "2025-01-06", "t_p2025w01"),
        ("month", "2024-02-01", "2024-03-01", "t_p202402"),
        ("quarter", "2025-10-01", "2026-01-01", "t_p2025q4"),
        ("year", "2025-01-01", "2026-01-01", "t_p2025"),
    ],
)
def test_each_interval_has_its_calendar_and_its_name(every: Interval, lower: str, upper: str, name: str) -> None:
    last = at(upper) - timedelta(microseconds=1)

    assert interval_at(last, every) == (at(lower), at(upper))
    assert partition_name("t", at(lower), every) == name


def test_a_piece_that_begins_off_the_calendar_does_not_take_the_name_of_a_whole_one() -> None:
    assert partition_name("t", at("2025-08-01 12:30:15"), "day") == "t_p20250801t123015"


def test_a_name_past_63_bytes_is_refused_and_not_cut() -> None:
    assert len(partition_name("n" * 53, at("2025-08-01"), "day")) == 63
    with pytest.raises(InvalidName, match="64 bytes"):
        partition_name("n" * 54, at("2025-08-01"), "day")
    with pytest.raises(InvalidName, match="bytes"):
        partition_name("ü" * 30, at("2025-08-01"), "day")


def test_an_instant_at_the_end_of_all_calendars_is_refused() -> None:
    with pytest.raises(OutOfCalendar, match=r"9999-12-31.*Check as_of and the runway"):
        interval_at(datetime.max.replace(tzinfo=UTC), "day", "Pacific/Apia")


def test_a_bound_rounds_up_to_itself_and_anything_else_to_the_next() -> None:
    assert round_up(at("2025-08-01"), "day") == at("2025-08-01")
    assert round_up(at("2025-08-01 00:00:01"), "day") == at("2025-08-02")


def test_a_bound_is_written_in_the_type_of_its_key() -> None:
    bound = datetime(2025, 8, 1, 2, tzinfo=ZoneInfo("Europe/Berlin"))

    assert as_key(bound, "timestamptz") == bound
    assert as_key(bound, "timestamptz").tzinfo is UTC  # type: ignore[union-attr]
    assert as_key(bound, "timestamp") == datetime(2025, 8, 1)
    assert as_key(bound, "date") == date(2025, 8, 1)
