"""Where partitions begin and end: half-open intervals of a calendar that tile the line, and the names made from them.

Belongs here: calendar arithmetic in a declared zone, names, and how a bound is written for each type of key.
Keep out: which partitions exist (`catalog`) and which are wanted (`plan`). Pure: no driver, no clock, no logging.
A bound is always an aware datetime in UTC; a key without time zone (timestamp, date) is read as UTC.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from tasks.core.errors import Permanent
from tasks.core.names import require_name

Interval = Literal["hour", "day", "week", "month", "quarter", "year"]
KeyType = Literal["timestamptz", "timestamp", "date"]
Bounds = tuple[datetime, datetime]

_HOUR = timedelta(hours=1)
#: Months of an interval that is counted in months.
_MONTHS = {"month": 1, "quarter": 3, "year": 12}
#: Beyond these a calendar in some zone would leave what datetime can hold.
EARLIEST, LATEST = datetime(2, 1, 1, tzinfo=UTC), datetime(9998, 1, 1, tzinfo=UTC)


@dataclass(eq=False)
class OutOfCalendar(Permanent):
    """{instant} is outside the years 2 to 9997, where partitions have bounds. Check as_of and the runway; nothing was changed."""

    instant: str


def interval_at(instant: datetime, every: Interval, zone: str = "UTC") -> Bounds:
    """Return the half-open interval [lower, upper) that holds `instant`, in UTC.

    Days and longer begin at local midnight of `zone`, or at the first instant after it where that midnight does not
    exist. Hours are those of UTC in every zone: some zones shift by less than one. Raises OutOfCalendar.
    """
    if not EARLIEST <= instant < LATEST:
        raise OutOfCalendar(instant.isoformat())
    if every == "hour":
        lower = instant.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        return lower, lower + _HOUR
    return _local_interval(instant, every, ZoneInfo(zone))


def _local_interval(instant: datetime, every: Interval, zone: ZoneInfo) -> Bounds:
    """Step from the local calendar's guess to the interval that really holds the instant: a clock may skip midnight."""
    begin = _begin_of(instant.astimezone(zone).date(), every)
    if _midnight(begin, zone) > instant:
        begin = _begin_of(begin - timedelta(days=1), every)
    end = _next(begin, every)
    while _midnight(end, zone) <= instant:
        begin, end = end, _next(end, every)
    return _midnight(begin, zone), _midnight(end, zone)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    """Return the first instant of a local day; fold=0 takes the earlier of two, and in a gap the offset before it."""
    return datetime.combine(day, time(), zone).astimezone(UTC)


def _begin_of(day: date, every: Interval) -> date:
    match every:
        case "week":
            return day - timedelta(days=day.weekday())
        case "month" | "quarter" | "year":
            return day.replace(day=1, month=day.month - (day.month - 1) % _MONTHS[every])
        case _:
            return day


def _next(begin: date, every: Interval) -> date:
    if every in _MONTHS:
        return _begin_of(begin + timedelta(days=31 * _MONTHS[every]), every)
    return begin + timedelta(days=7 if every == "week" else 1)


def tile(lower: datetime, upper: datetime, every: Interval, zone: str = "UTC") -> list[Bounds]:
    """Cut [lower, upper) at the calendar's bounds; the first and the last piece may be shorter than an interval.

    The pieces touch without gap or overlap, none is empty, and an empty range has none.
    """
    return list(_pieces(lower.astimezone(UTC), upper.astimezone(UTC), every, zone))


def _pieces(lower: datetime, upper: datetime, every: Interval, zone: str) -> Iterator[Bounds]:
    while lower < upper:
        _, end = interval_at(lower, every, zone)
        yield lower, min(end, upper)
        lower = min(end, upper)


def round_up(instant: datetime, every: Interval, zone: str = "UTC") -> datetime:
    """Return the first bound of the calendar at or after `instant`."""
    lower, upper = interval_at(instant, every, zone)
    return lower if lower == instant else upper


def partition_name(parent: str, lower: datetime, every: Interval, zone: str = "UTC") -> str:
    """Return the name of the partition of `parent` that begins at `lower`; for people only, bounds come from the catalog.

    A piece that begins off the calendar says its time too, so that it cannot take a whole interval's name.
    Raises InvalidName past 63 bytes.
    """
    begin, _ = interval_at(lower, every, zone)
    local = lower.astimezone(UTC if every == "hour" else ZoneInfo(zone))
    return require_name(f"{parent}_p{_label(local, every) if begin == lower else f'{local:%Y%m%dt%H%M%S}'}")


def _label(local: datetime, every: Interval) -> str:
    year = f"{local.year:04d}"
    match every:
        case "hour":
            return f"{year}{local:%m%dt%H}"
        case "day":
            return f"{year}{local:%m%d}"
        case "week":
            iso = local.isocalendar()
            return f"{iso.year:04d}w{iso.week:02d}"
        case "month":
            return f"{year}{local:%m}"
        case "quarter":
            return f"{year}q{(local.month + 2) // 3}"
        case "year":
            return year


def as_key(bound: datetime, key_type: KeyType) -> datetime | date:
    """Return a bound as the value of a key of that type: aware in UTC, without a zone, or the day alone."""
    in_utc = bound.astimezone(UTC)
    match key_type:
        case "timestamptz":
            return in_utc
        case "timestamp":
            return in_utc.replace(tzinfo=None)
        case "date":
            return in_utc.date()
