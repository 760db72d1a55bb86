"""Moments as numbers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def nanoseconds(moment: datetime, zone: tzinfo = UTC) -> int:
    """Nanoseconds since the Unix epoch; a moment without an offset is in `zone`."""
    known = moment if moment.tzinfo else moment.replace(tzinfo=zone)
    return (known - _EPOCH) // timedelta(microseconds=1) * 1000
