"""Moments as numbers."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo

from tickwire.errors import InputError

_MICROSECONDS = 16  # digits of a time in microseconds until the year 2286; one more would be nanoseconds
LATEST = 4_102_444_800 * 10**9
"""The latest moment, 2100-01-01, in nanoseconds since the Unix epoch: beyond it a time is a slip."""
_ZONED = re.compile(r"\d{4}-\d\d-\d\d[T ][\d:.]{2,15} \d\d:?\d\d", re.ASCII)  # with a space for the zone's plus sign
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def nanoseconds(moment: datetime, zone: tzinfo = UTC) -> int:
    """Nanoseconds since the Unix epoch; a moment without an offset is in `zone`."""
    known = moment if moment.tzinfo else moment.replace(tzinfo=zone)
    return (known - _EPOCH) // timedelta(microseconds=1) * 1000


def in_words(seconds: float) -> str:
    """A length of time as people say it: 30 days, 1 hour, 90 seconds."""
    for unit, length in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        count, rest = divmod(seconds, length)
        if count and not rest:
            return f"{count:.0f} {unit}{'s' * (count > 1)}"
    return f"{seconds:g} second{'s' * (seconds != 1)}"


def read_moment(text: str, *, field: str) -> int:
    """Nanoseconds since the Unix epoch from microseconds or ISO 8601 (UTC, if it names no offset); else InputError.

    Nothing is known of what was before 1970 or comes after LATEST: such moments are taken for these.
    """
    if text.isascii() and text.isdigit() and len(text) <= _MICROSECONDS:
        return min(int(text) * 1000, LATEST)
    try:
        return min(max(0, nanoseconds(datetime.fromisoformat(text))), LATEST)
    except ValueError:
        raise InputError(f"{text[:40]!r} is no time", field=field, hint=moment_hint(text, field)) from None


def moment_hint(text: str, field: str) -> str:
    """What to write in place of `text`, which is no moment. In a query a plus sign stands for a space."""
    if _ZONED.fullmatch(text):
        return f"in a URL a + is written %2B: {field}={text.replace(' ', '%2B')}"
    return "2026-01-31T15:30:00Z, or microseconds since 1970"
