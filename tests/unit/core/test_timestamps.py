"""Times as text."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from tickwire.core.timestamps import MAX_TIMESTAMP_NS, duration_s, parse_timestamp
from tickwire.errors import InputError


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-02T15:00:00Z", 1_767_366_000_000_000_000),
        ("2026-01-02T15:00", 1_767_366_000_000_000_000),
        ("2026-01-02T16:00+01:00", 1_767_366_000_000_000_000),
        ("1767366000000000", 1_767_366_000_000_000_000),
        ("0001-01-01", 0),
        ("0001-01-01T00:00:00+23:59", 0),
        ("1969-12-31T23:59:59Z", 0),
        ("9999-12-31T23:59:59Z", MAX_TIMESTAMP_NS),
        ("9999999999999999", MAX_TIMESTAMP_NS),
    ],
)
def test_timestamp_is_parsed_and_bounded(text: str, moment: int) -> None:
    assert parse_timestamp(text, field="start") == moment


@pytest.mark.parametrize("text", ["yesterday", "", "1767366000000000000", "-1"])
def test_invalid_timestamp_raises(text: str) -> None:
    """A number of nanoseconds is invalid: as a number of microseconds, it would be a time in the far future."""
    with pytest.raises(InputError, match="is not a time"):
        parse_timestamp(text, field="start")


@pytest.mark.parametrize(
    ("text", "units", "seconds"),
    [
        ("200ms", ("ms", "s"), 0.2),
        ("1.5s", ("ms", "s"), 1.5),
        ("2m", "smhd", 120.0),
        ("5d", "smhd", 432_000.0),
        ("5d", "smh", None),
        ("5", "s", None),
        ("-5s", "s", None),
        ("5 s", "s", None),
        ("\u0665s", "s", None),
    ],
)
def test_a_duration_is_a_number_with_an_allowed_unit(text: str, units: Collection[str], seconds: float | None) -> None:
    assert duration_s(text, units) == seconds
