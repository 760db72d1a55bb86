"""Moments as numbers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo

from tickwire.core.tick import LATEST_TS
from tickwire.errors import InputError

_MICROSECONDS = 16  # digits of a time in microseconds until the year 2286; one more would be nanoseconds
LATEST = LATEST_TS * 1000
"""The latest moment that a tick can have, in nanoseconds since the Unix epoch."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def nanoseconds(moment: datetime, zone: tzinfo = UTC) -> int:
    """Nanoseconds since the Unix epoch; a moment without an offset is in `zone`."""
    known = moment if moment.tzinfo else moment.replace(tzinfo=zone)
    return (known - _EPOCH) // timedelta(microseconds=1) * 1000


def read_moment(text: str, *, field: str) -> int:
    """Nanoseconds since the Unix epoch from microseconds or ISO 8601 (UTC, if it names no offset); else InputError.

    Nothing is known of what was before 1970 or comes after LATEST: such moments are taken for these.
    """
    if text.isascii() and text.isdigit() and len(text) <= _MICROSECONDS:
        return min(int(text) * 1000, LATEST)
    try:
        return min(max(0, nanoseconds(datetime.fromisoformat(text))), LATEST)
    except ValueError:
        raise InputError(
            f"{text[:40]!r} is no time", field=field, hint="2026-01-31T15:30:00Z, or microseconds since 1970"
        ) from None
