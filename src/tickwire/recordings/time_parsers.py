"""Parsers for the times of a recording. The first rows of a column determine the format of the whole column.

If two formats match, the parser raises an InputError that explains how to state the format.
"""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from functools import cache
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from tickwire.core.arrays import Ints
from tickwire.core.timestamps import MAX_TIMESTAMP_NS, to_nanoseconds
from tickwire.errors import InputError
from tickwire.market.trading_sessions import DAY_NS
from tickwire.recordings.column_mapping import NS_PER_TIME_UNIT, Column
from tickwire.recordings.table_reader import InstantNs, WallClockNs

_SECOND_NS = 10**9
_HOUR_NS = 3600 * _SECOND_NS
# A number without a unit counts as a time only between these limits. Other numbers are row counters, prices or dates in
# another notation. As times, such numbers would often mean a moment in 1970.
_MIN_GUESSED_NS = 631_152_000 * _SECOND_NS  # 1990-01-01
_MAX_GUESSED_LEAD_NS = DAY_NS
_NUMBER = re.compile(r"\d+(\.\d*)?(e\+?\d{1,2})?", re.IGNORECASE)
# The number of digits of times in the form YYYYMMDD, YYYYMMDDHHMM, YYYYMMDDHHMMSS and YYYYMMDDHHMMSSmmm.
_COMPACT_LENGTHS = (8, 12, 14, 17)
_MONTHS = {
    name: number
    for number, names in enumerate(
        ("jan january", "feb february", "mar march", "apr april", "may", "jun june", "jul july", "aug august",
         "sep sept september", "oct october", "nov november", "dec december"), 1
    )
    for name in names.split()
}  # fmt: skip
_TIME_OF_DAY = (
    r"(?:(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d))?|(?P<compact>\d{6}(?=\d{3}(?!\d))|\d{3,6}(?!\d))(?P<millisecond>\d{3})?)"
    r"(?:[.,: ](?P<fraction>\d{1,9}))?(?:\s*(?P<half>[AaPp])\.?[Mm]\.?)?"
)
_ZONE = r"(?P<zone>Z|(?:UTC|GMT)(?:[+-]\d\d:?\d\d)?|E[SD]T|[+-]\d\d:?\d\d|[A-Z][A-Za-z_]+/[A-Za-z_/+-]+)"
_TIME_TAIL = rf"(?:(?:T|,?\s+){_TIME_OF_DAY})?(?:\s*{_ZONE})?"
_WEEKDAY = r"(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,?\s+)?"
_DATES = {
    "year first": r"(?P<year>\d{4})(?P<separator>[-/.])(?P<month>\d{1,2})(?P=separator)(?P<day>\d{1,2})",
    "digits": r"(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)",
    # Only languages that write the day first separate the parts of a date with dots.
    "dots": r"(?P<day>\d{1,2})\.(?P<month>\d{1,2})\.(?P<year>\d{4})",
    "month name first": r"(?P<month>[A-Za-z]{3,9})\.?\s+(?P<day>\d{1,2}),?\s+(?P<year>\d{4})",
    "day and month name": r"(?P<day>\d{1,2})[-\s](?P<month>[A-Za-z]{3,9})\.?[-\s](?P<year>\d{4}|\d\d)",
    "month first": r"(?P<month>\d{1,2})(?P<separator>[-/])(?P<day>\d{1,2})(?P=separator)(?P<year>\d{4}|\d\d)",
    "day first": r"(?P<day>\d{1,2})(?P<separator>[-/])(?P<month>\d{1,2})(?P=separator)(?P<year>\d{4}|\d\d)",
}
_PATTERNS = {kind: re.compile(_WEEKDAY + pattern + _TIME_TAIL) for kind, pattern in _DATES.items()}
_TIME_ONLY = re.compile(_TIME_OF_DAY)
_COMPACT_TIME = re.compile(r"(?P<hour>\d\d)(?P<minute>\d\d)(?P<second>\d\d)?")
# The years 69 to 99 mean 1969 to 1999, and the years 0 to 68 mean 2000 to 2068. POSIX has the same rule.
_FIRST_TWO_DIGIT_YEAR_OF_1900S = 69


# A guess of the order of day and month is certain if it yields at least _MIN_DATES dates, and if consecutive dates are
# at most _MAX_STEP_DAYS days apart. No market closes for more days.
_MIN_DATES = 3
_MAX_STEP_DAYS = 7


class TimeParser(NamedTuple):
    """The parser of a column of times.

    `parse` returns nanoseconds since the Unix epoch, and raises ValueError for an invalid cell. If `has_dates_only`,
    every cell in the first rows is a date, or midnight in the time zone of the column. `zone` is None if the cells
    themselves state the zone.
    """

    parse: Callable[[Any], int]
    has_dates_only: bool = False
    zone: tzinfo | None = None


def choose_time_parser(column: Column, cells: Sequence[Any]) -> TimeParser:
    """Return the parser of a column of times whose first rows are `cells`.

    Raise ValueError if the first cell is not a time. Raise InputError if the format of the cells is ambiguous.
    """
    sample = cells[0]
    if isinstance(sample, InstantNs):
        return TimeParser(int)
    if isinstance(sample, WallClockNs):
        return _wall_clock_parser(_find_zone(column.unit), cells)
    if isinstance(sample, (date, datetime)):
        zone = _find_zone(column.unit)
        return TimeParser(lambda cell: _from_date_object(cell, zone), not isinstance(sample, datetime), zone)
    texts = [str(cell).strip() for cell in cells]
    if column.time_format:
        return _format_parser(column.time_format, _find_zone(column.unit), texts)
    if column.unit in NS_PER_TIME_UNIT:
        if not _NUMBER.fullmatch(texts[0]):
            raise ValueError
        return TimeParser(_epoch_parser(NS_PER_TIME_UNIT[column.unit]))
    if _NUMBER.fullmatch(texts[0]):
        return _number_parser(column, texts)
    return _text_parser(_choose_date_pattern(column, texts), _find_zone(column.unit), texts)


def is_time_of_day(cell: Any) -> bool:
    """Return whether a cell is a time of day without a date, such as 9:30 or 093000."""
    return _TIME_ONLY.fullmatch(str(cell).strip()) is not None


def resolve_repeated_hours(ts: Ints, zone: tzinfo, previous: int, repeated_until: int) -> tuple[Ints, int]:
    """Correct the time `ts` if its hour occurs for the second time. Return `ts` and the new value of `repeated_until`.

    When summer time ends, the clock shows one hour twice. The parser assumes the first occurrence of the hour. If the
    times of a file go back inside this hour, the following rows of the hour belong to its second occurrence. The
    function adds one hour to the times of these rows.

    `previous` is the time of the row before `ts`. `repeated_until` is the end of the hour that the rows before `ts`
    repeat, or 0.
    """
    resolved = ts.copy()
    steps_back = np.flatnonzero(np.diff(ts, prepend=previous) < 0).tolist()
    for start in [*([0] if repeated_until else []), *steps_back]:
        end = repeated_until if start == 0 and repeated_until else _end_of_ambiguous_hour(int(ts[start]), zone)
        if not end:
            continue
        count = next((i for i, value in enumerate(ts[start:].tolist()) if not end - _HOUR_NS <= value < end), None)
        stop = len(ts) if count is None else start + count
        resolved[start:stop] = ts[start:stop] + _HOUR_NS
        repeated_until = end if count is None else 0
    return resolved, repeated_until


def local_dates(ts: Ints, zone: tzinfo) -> Ints:
    """Return the dates of the times `ts` in `zone`, each as midnight UTC in nanoseconds since the Unix epoch."""
    distinct, positions = np.unique(ts, return_inverse=True)
    offsets = [_utc_offset_ns(value, zone) for value in distinct.tolist()]
    local = distinct + np.array(offsets, np.int64)
    return (local - local % DAY_NS)[positions]


def _utc_offset_ns(ts: int, zone: tzinfo) -> int:
    offset = datetime.fromtimestamp(ts // _SECOND_NS, zone).utcoffset() or timedelta()
    return offset // timedelta(microseconds=1) * 1000


def _end_of_ambiguous_hour(ts: int, zone: tzinfo) -> int:
    """Return the time at which the clock goes back, or 0 if this time is not within the hour after `ts`."""
    seconds = ts // _SECOND_NS
    offsets = [_utc_offset_ns((seconds + step) * _SECOND_NS, zone) for step in (0, 3600)]
    if offsets[0] <= offsets[1]:
        return 0
    low, high = seconds, seconds + 3600
    while high - low > 1:
        middle = (low + high) // 2
        if _utc_offset_ns(middle * _SECOND_NS, zone) == offsets[0]:
            low = middle
        else:
            high = middle
    return high * _SECOND_NS


def _wall_clock_parser(zone: tzinfo, cells: Sequence[Any]) -> TimeParser:
    """Return the parser for a Parquet file's local times, which are in nanoseconds."""

    def parse(cell: Any) -> int:
        seconds, rest = divmod(int(cell), _SECOND_NS)
        local = datetime.fromtimestamp(seconds, UTC).replace(tzinfo=zone)
        return to_nanoseconds(local) + rest

    return TimeParser(parse, all(int(cell) % DAY_NS == 0 for cell in cells if cell is not None), zone)


def _from_date_object(cell: Any, zone: tzinfo) -> int:
    if not isinstance(cell, datetime):
        cell = datetime(cell.year, cell.month, cell.day)  # noqa: DTZ001  # to_nanoseconds adds the zone
    return to_nanoseconds(cell, zone)


def _format_parser(time_format: str, zone: tzinfo, texts: Sequence[str]) -> TimeParser:
    def parse_local(text: str) -> datetime:
        return datetime.strptime(text, time_format)  # noqa: DTZ007  # to_nanoseconds adds the zone

    def parse(cell: Any) -> int:
        return to_nanoseconds(parse_local(str(cell).strip()), zone)

    return TimeParser(parse, _all_at_midnight(parse_local, texts), zone)


def _all_at_midnight(parse_local: Callable[[str], datetime], texts: Sequence[str]) -> bool:
    """Return whether all valid texts are times at midnight. Raise ValueError if the first text is not valid."""
    parse_local(texts[0])
    for text in texts:
        try:
            local = parse_local(text)
        except ValueError:
            continue
        if local.hour or local.minute or local.second or local.microsecond:
            return False
    return True


def _number_parser(column: Column, texts: Sequence[str]) -> TimeParser:
    """Return the parser for numbers without a unit: a date in digits, or a time since 1970."""
    if texts[0].isdigit() and len(texts[0]) in _COMPACT_LENGTHS:
        zone = _find_zone(column.unit)
        try:
            _parse_digits(texts[0], zone)
        except ValueError:
            pass
        else:
            midnight = all(not text[8:].strip("0") for text in texts)
            return TimeParser(lambda cell: _parse_digits(str(cell).strip(), zone), midnight, zone)
    number = Decimal(texts[0])
    latest = time.time_ns() + _MAX_GUESSED_LEAD_NS
    for unit_ns in NS_PER_TIME_UNIT.values():
        if _MIN_GUESSED_NS <= number * unit_ns <= latest:
            return TimeParser(_epoch_parser(unit_ns))
    raise InputError(
        f"column {column.name}: {texts[0][:30]} is not a time between 1990 and tomorrow, in s, ms, us or ns",
        field="map",
        hint=f"set the unit or the format: --map ts={column.name}@ms or --map 'ts={column.name}[%Y%m%d%H%M]'",
    )


def _parse_digits(text: str, zone: tzinfo) -> int:
    """Parse YYYYMMDD with an optional HHMM, HHMMSS or HHMMSSmmm."""
    if not text.isdigit() or len(text) not in _COMPACT_LENGTHS:
        raise ValueError
    month, day, hour, minute, second = (int(text[begin : begin + 2] or 0) for begin in (4, 6, 8, 10, 12))
    millisecond = int(text[14:] or 0)
    return to_nanoseconds(datetime(int(text[:4]), month, day, hour, minute, second, millisecond * 1000, tzinfo=zone))


def _epoch_parser(unit_ns: int) -> Callable[[Any], int]:
    def parse(cell: Any) -> int:
        value = int(Decimal(str(cell)) * unit_ns)
        if not 0 <= value <= MAX_TIMESTAMP_NS:
            raise ValueError
        return value

    return parse


def _choose_date_pattern(column: Column, texts: Sequence[str]) -> re.Pattern[str]:
    fitting = [kind for kind, pattern in _PATTERNS.items() if _fits(pattern, texts[0])]
    if not fitting:
        if _TIME_ONLY.fullmatch(texts[0]):
            raise InputError(
                f"column {column.name} has times of day without dates, such as {texts[0][:20]}",
                field="map",
                hint=f"also name the column of dates: --map ts=DATE+{column.name}",
            )
        raise ValueError
    if {"day first", "month first"} <= {*fitting}:
        fitting = [kind for kind in fitting if all(_fits(_PATTERNS[kind], text) for text in texts)]
        if len(fitting) != 1 and not any(_has_first_days_of_months(_PATTERNS[kind], texts) for kind in fitting):
            fitting = [kind for kind in fitting if _has_neighboring_dates(_PATTERNS[kind], texts)]
        if len(fitting) != 1:
            raise InputError(
                f"column {column.name}: {texts[0][:30]} may begin with the day or with the month",
                field="map",
                hint=f"set the format: --map 'ts={column.name}[%m/%d/%Y]' or --map 'ts={column.name}[%d/%m/%Y]'; for a "
                "time of day, add %H:%M:%S",
            )
    return _PATTERNS[fitting[0]]


def _has_neighboring_dates(pattern: re.Pattern[str], texts: Sequence[str]) -> bool:
    """Return whether the texts contain at least three dates, and each date is at most a week from the previous date.

    If so, `pattern` reads the day and the month in the right order. With day and month exchanged, consecutive days
    would be about a month apart.
    """
    dates = list(dict.fromkeys(_dates_of(pattern, texts)))
    steps = [abs((later - earlier).days) for earlier, later in itertools.pairwise(dates)]
    return len(dates) >= _MIN_DATES and max(steps) <= _MAX_STEP_DAYS


def _has_first_days_of_months(pattern: re.Pattern[str], texts: Sequence[str]) -> bool:
    """Return whether every text is the first day of a month and no month occurs twice.

    A file of monthly prices has such dates.

    In the wrong order of day and month, these dates would be consecutive days of January.
    """
    dates = _dates_of(pattern, texts)
    return all(each.day == 1 for each in dates) and len({*dates}) == len(dates)


def _dates_of(pattern: re.Pattern[str], texts: Sequence[str]) -> list[date]:
    return [_local_time(match)[0].date() for match in map(pattern.fullmatch, texts) if match]


def _fits(pattern: re.Pattern[str], text: str) -> bool:
    match = pattern.fullmatch(text)
    if match is None:
        return False
    try:
        _local_time(match)
    except ValueError:
        return False
    return True


def _text_parser(pattern: re.Pattern[str], zone: tzinfo, texts: Sequence[str]) -> TimeParser:
    def parse(cell: Any) -> int:
        match = pattern.fullmatch(str(cell).strip())
        if match is None:
            raise ValueError
        moment, rest_ns = _local_time(match)
        return to_nanoseconds(moment, _named_zone(match["zone"]) if match["zone"] else zone) + rest_ns

    def parse_local(text: str) -> datetime:
        match = pattern.fullmatch(text)
        if match is None:
            raise ValueError
        return _local_time(match)[0]

    first = pattern.fullmatch(texts[0])
    has_zone = first is not None and first["zone"] is not None
    return TimeParser(parse, not has_zone and _all_at_midnight(parse_local, texts), None if has_zone else zone)


def _local_time(match: re.Match[str]) -> tuple[datetime, int]:
    """Return the matched time in whole seconds, and the fraction of a second in nanoseconds."""
    month = match["month"]
    year = int(match["year"])
    if len(match["year"]) == len("26"):
        year += 1900 if year >= _FIRST_TWO_DIGIT_YEAR_OF_1900S else 2000
    number = int(month) if month.isdigit() else _MONTHS.get(month.lower(), 0)
    hour, minute, second = _time_of_day(match)
    fraction = match["fraction"] or match["millisecond"]
    moment = datetime(year, number, int(match["day"]), hour, minute, second)  # noqa: DTZ001  # the parser adds the zone
    return moment, int(fraction.ljust(9, "0")) if fraction else 0


def _time_of_day(match: re.Match[str]) -> tuple[int, int, int]:
    parts = match
    if match["compact"]:
        digits = match["compact"]
        # Add a zero if necessary, because some programs store a time of day as a number without the leading zero.
        compact = _COMPACT_TIME.fullmatch(digits.zfill(len(digits) + len(digits) % 2))
        if compact is None:
            raise ValueError
        parts = compact
    hour = int(parts["hour"] or 0)
    if match["half"]:
        if not 1 <= hour <= 12:
            raise ValueError
        hour = hour % 12 + (12 if match["half"] in "pP" else 0)
    return hour, int(parts["minute"] or 0), int(parts["second"] or 0)


@cache
def _named_zone(name: str) -> tzinfo:
    if name in ("Z", "UTC", "GMT"):
        return UTC
    if name in ("EST", "EDT"):
        # Do not use the time zone of New York for EST. A file may contain EST for a time in summer: EST then still
        # means the offset -05:00, but the time zone would apply summer time.
        return datetime.strptime("-0500" if name == "EST" else "-0400", "%z").tzinfo or UTC
    offset = name.removeprefix("UTC").removeprefix("GMT")
    if offset[0] in "+-":
        return datetime.strptime(offset, "%z").tzinfo or UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise ValueError from None


def _find_zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name) if name else UTC
    except (ZoneInfoNotFoundError, ValueError):
        raise InputError(
            f"map: unknown unit {name!r}: use s, ms, us, ns or an installed time zone such as Europe/Paris",
            field="map",
        ) from None
