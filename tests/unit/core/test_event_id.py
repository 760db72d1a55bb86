"""Event ids as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickwire.core.event_id import (
    EventId,
    evicted_event_id,
    parse_event_id,
    parse_eviction_time,
    strip_eviction_time,
)
from tickwire.errors import InputError


@given(st.integers(0, 10**17))
def test_event_id_round_trips(sequence: int) -> None:
    assert parse_event_id(str(EventId("m3x9f", sequence))) == EventId("m3x9f", sequence)


@pytest.mark.parametrize(
    "text", ["", "-", "5", "a-", "-5", "a-05", "a-5-6", "A-5", "a-5 ", "a-\u0665", "a" * 17 + "-1"]
)
def test_invalid_event_id_raises(text: str) -> None:
    with pytest.raises(InputError, match="expected <epoch>-<sequence>"):
        parse_event_id(text)


def test_the_last_id_of_an_evicted_reader_contains_its_position_and_the_time() -> None:
    text = evicted_event_id(EventId("m3x9f", 5121), 1_764_000_000)
    assert text == "m3x9f-5121.evicted-1764000000"
    assert parse_event_id(text) == EventId("m3x9f", 5121)
    assert parse_eviction_time(text) == 1_764_000_000
    for other in (
        "m3x9f-5121", "m3x9f-5121.evicted-", "m3x9f-5121.evicted--1", "5121", "", f"{text}0000", "x.evicted-1",
        ".evicted-1.evicted-1", ".evicted-",
    ):  # fmt: skip
        assert parse_eviction_time(other) is None


def test_the_last_id_of_a_reader_that_cannot_resume_contains_only_the_time() -> None:
    text = evicted_event_id(None, 1_764_000_000)
    assert text == ".evicted-1764000000"
    assert (parse_eviction_time(text), strip_eviction_time(text)) == (1_764_000_000, "")
    assert strip_eviction_time("m3x9f-5.evicted-1") == "m3x9f-5"
    for other in ("m3x9f-5", "m3x9f-5.evicted-", "x", ""):
        assert strip_eviction_time(other) == other
