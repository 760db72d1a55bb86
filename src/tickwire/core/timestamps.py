"""Conversion of times and durations between numbers and text."""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import UTC, datetime, timedelta, tzinfo

from tickwire.errors import InputError

# Until the year 2286, a time in microseconds has at most 16 digits, so a longer number is a time in nanoseconds.
_MAX_MICROSECOND_DIGITS = 16
MAX_TIMESTAMP_NS = 4_102_444_800 * 10**9
"""2100-01-01 in nanoseconds since the Unix epoch. A later time is treated as a mistake."""
# Matches a time whose UTC offset begins with a space. The plus sign of the offset becomes a space if a URL query does
# not escape the plus sign.
_UNESCAPED_OFFSET_PATTERN = re.compile(r"\d{4}-\d\d-\d\d[T ][\d:.]{2,15} \d\d:?\d\d", re.ASCII)
_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DURATION_PATTERN = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", re.ASCII)
"""Matches a duration: a number with its unit."""
_UNIT_SECONDS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def to_nanoseconds(moment: datetime, default_zone: tzinfo = UTC) -> int:
    """Return `moment` in nanoseconds since the Unix epoch.

    If `moment` has no UTC offset, it is a local time in `default_zone`.
    """
    aware = moment if moment.tzinfo else moment.replace(tzinfo=default_zone)
    return (aware - _UNIX_EPOCH) // timedelta(microseconds=1) * 1000


def format_duration(seconds: float) -> str:
    """Return a duration as text, such as 30 days, 1 hour or 90 seconds."""
    for unit, length in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        count, rest = divmod(seconds, length)
        if count and not rest:
            return f"{count:.0f} {unit}{'s' * (count > 1)}"
    return f"{seconds:g} second{'s' * (seconds != 1)}"


def duration_s(text: str, units: Collection[str] = tuple(_UNIT_SECONDS)) -> float | None:
    """Return a duration such as `200ms`, `1.5s`, `2m`, `1h` or `5d` in seconds.

    Return None if `text` is not a duration in one of these units.
    """
    match = DURATION_PATTERN.fullmatch(text)
    return float(match[1]) * _UNIT_SECONDS[match[2]] if match and match[2] in units else None


def format_moment(ts: int) -> str:
    """Return a time, in nanoseconds since the Unix epoch, as text in whole seconds: 2026-01-31T15:30:00Z."""
    return (_UNIX_EPOCH + timedelta(seconds=ts // 10**9)).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_timestamp(text: str, *, field: str) -> int:
    """Parse a time, and return the time in nanoseconds since the Unix epoch.

    `text` is in microseconds since the Unix epoch or in ISO 8601. A time in ISO 8601 without a UTC offset is in UTC. A
    time before 1970 becomes 1970, and a time after `MAX_TIMESTAMP_NS` becomes `MAX_TIMESTAMP_NS`. If `text` is not a
    time, raise an InputError that names `field`, the parameter or key that contained the text.
    """
    if text.isascii() and text.isdigit() and len(text) <= _MAX_MICROSECOND_DIGITS:
        return min(int(text) * 1000, MAX_TIMESTAMP_NS)
    try:
        return min(max(0, to_nanoseconds(datetime.fromisoformat(text))), MAX_TIMESTAMP_NS)
    except ValueError:
        raise InputError(f"{text[:40]!r} is not a time", field=field, hint=timestamp_hint(text, field)) from None


def timestamp_hint(text: str, field: str) -> str:
    """Return a hint for the error about an invalid time.

    The hint explains that a plus sign in a URL query becomes a space unless the plus sign is escaped.
    """
    if _UNESCAPED_OFFSET_PATTERN.fullmatch(text):
        return f"write + as %2B in a URL: {field}={text.replace(' ', '%2B')}"
    return "2026-01-31T15:30:00Z, or microseconds since 1970"
