"""The words: ids, symbols, ticks in both forms, records."""

from __future__ import annotations

import math
import string

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickwire.core.codec import decode, encode
from tickwire.core.event import Kind, Record, named_entry, read_named, ticks_entry
from tickwire.core.ids import EventId, parse_id
from tickwire.core.instrument import check_symbol
from tickwire.core.moment import LATEST, read_moment
from tickwire.core.quote import Quote
from tickwire.core.tick import LARGEST_PRICE, LATEST_TS, TICK, Tick, pack, unpack, unpacked
from tickwire.errors import InputError

prices = st.floats(-LARGEST_PRICE, LARGEST_PRICE, allow_nan=False)
sizes = st.floats(0, 1e15)
SYMBOL_CHARACTERS = string.ascii_letters + string.digits + "._:/^=+#&@$!~-"


@st.composite
def ticks(draw: st.DrawFn) -> Tick:
    """Any tick: fields said, not said, or none."""
    said = {
        name: value
        for name, values in (
            ("last", prices), ("bid", prices | st.none()), ("ask", prices | st.none()), ("size", sizes),
            ("bid_size", sizes | st.none()), ("ask_size", sizes | st.none()), ("volume", sizes),
        )
        for value in [draw(st.just("unsaid") | values)]
        if value != "unsaid"
    }  # fmt: skip
    symbol = draw(st.text(SYMBOL_CHARACTERS, min_size=1, max_size=16))
    return Tick(symbol=symbol, ts=draw(st.integers(0, LATEST_TS)), **said)


@given(st.lists(ticks(), max_size=5))
def test_packing_loses_nothing(given_ticks: list[Tick]) -> None:
    """Packed and back, through bytes, every tick is what it was."""
    data = pack(given_ticks, now=1).tobytes()
    assert len(data) == 80 * len(given_ticks)
    assert unpacked(unpack(data)) == given_ticks


def test_unpacking_does_not_copy_and_checks_the_length() -> None:
    """The array looks at the bytes it was given; half a tick is refused."""
    data = pack([Tick(symbol="A", last=1.0)], now=5).tobytes()
    array = unpack(data)
    assert array.dtype == TICK
    assert np.shares_memory(array, np.frombuffer(data, np.uint8))
    assert array["ts"][0] == 5
    with pytest.raises(InputError, match="a tick has 80"):
        unpack(data[:-1])


@given(st.integers(0, 10**17))
def test_ids_have_one_form(sequence: int) -> None:
    """Text and back; nothing else is an id."""
    assert parse_id(str(EventId("m3x9f", sequence))) == EventId("m3x9f", sequence)


@pytest.mark.parametrize(
    "text", ["", "-", "5", "a-", "-5", "a-05", "a-5-6", "A-5", "a-5 ", "a-\u0665", "a" * 17 + "-1"]
)
def test_what_is_no_id(text: str) -> None:
    """The message shows what was given and what is expected."""
    with pytest.raises(InputError, match="expected <epoch>-<sequence>"):
        parse_id(text)


@pytest.mark.parametrize("text", ["", "A B", "A,B", "A*", "Ä", "A\n", "x" * 17, "a%"])
def test_what_is_no_symbol(text: str) -> None:
    """Nothing that would break a list, a pattern or a line; in a published tick neither."""
    with pytest.raises(InputError, match="cannot be a symbol"):
        check_symbol(text)
    with pytest.raises(msgspec.ValidationError, match="matching regex"):
        decode(encode({"symbol": text}), Tick)


def test_unknown_numbers_are_null_in_json() -> None:
    """JSON has no NaN and no infinity; a reader sees null."""
    quote = Quote("A", math.nan, math.inf, 1.5)
    assert encode(quote).startswith(b'{"symbol":"A","last":null,"bid":null,"ask":1.5,')
    assert decode(encode(quote), Quote).last is None


def test_a_named_event_survives_its_record() -> None:
    """Name and data as they were, the data as JSON text."""
    entry = named_entry("status", {"state": "running"})
    named = read_named(Record(1, 1, Kind.NAMED, 0, entry.data))
    assert (named.name, bytes(named.data)) == ("status", b'{"state":"running"}')
    with pytest.raises(TypeError, match="expected an array of"):
        ticks_entry(np.zeros(1))


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
        ("9999-12-31T23:59:59Z", LATEST),
        ("9999999999999999", LATEST),
    ],
)
def test_a_moment_is_read_and_bounded(text: str, moment: int) -> None:
    """ISO 8601 or microseconds, as nanoseconds that fit; what lies outside of what can be known is its end."""
    assert read_moment(text, field="start") == moment


@pytest.mark.parametrize("text", ["yesterday", "", "1767366000000000000", "-1"])
def test_what_is_no_moment_is_said(text: str) -> None:
    """Nanoseconds are none: they would be taken for times in the far future."""
    with pytest.raises(InputError, match="is no time"):
        read_moment(text, field="start")
