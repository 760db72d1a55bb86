"""Ticks as objects, packed and as bytes."""

from __future__ import annotations

import string

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickwire.core.tick import (
    MAX_PRICE,
    MAX_TIMESTAMP_US,
    TICK_DTYPE,
    Tick,
    are_resets,
    contains_resets,
    pack_ticks,
    reset_ticks,
    ticks_from_bytes,
    ticks_from_packed,
)
from tickwire.errors import InputError

prices = st.floats(-MAX_PRICE, MAX_PRICE, allow_nan=False)
sizes = st.floats(0, 1e15)
SYMBOL_CHARACTERS = string.ascii_letters + string.digits + "._:/^=+#&@$!~-"


@st.composite
def ticks(draw: st.DrawFn) -> Tick:
    """Generate a tick. Each field has a value, is left out, or is null if the field allows it."""
    fields = {
        name: value
        for name, values in (
            ("last", prices), ("bid", prices | st.none()), ("ask", prices | st.none()), ("size", sizes),
            ("bid_size", sizes | st.none()), ("ask_size", sizes | st.none()), ("volume", sizes),
        )
        for value in [draw(st.just("left out") | values)]
        if value != "left out"
    }  # fmt: skip
    symbol = draw(st.text(SYMBOL_CHARACTERS, min_size=1, max_size=32))
    return Tick(symbol=symbol, ts=draw(st.integers(0, MAX_TIMESTAMP_US)), **fields)


@given(st.lists(ticks(), max_size=5))
def test_packing_round_trips(batch: list[Tick]) -> None:
    data = pack_ticks(batch, now=1).tobytes()
    assert len(data) == 96 * len(batch)
    assert ticks_from_packed(ticks_from_bytes(data)) == batch


def test_unpacking_does_not_copy_and_checks_the_length() -> None:
    data = pack_ticks([Tick(symbol="A", last=1.0)], now=5).tobytes()
    array = ticks_from_bytes(data)
    assert array.dtype == TICK_DTYPE
    assert np.shares_memory(array, np.frombuffer(data, np.uint8))
    assert array["ts"][0] == 5
    with pytest.raises(InputError, match="a multiple of 96"):
        ticks_from_bytes(data[:-1])


@given(st.lists(ticks(), max_size=3), st.sets(st.text(SYMBOL_CHARACTERS, min_size=1, max_size=16), min_size=1))
def test_resets_are_told_from_all_other_ticks(batch: list[Tick], symbols: set[str]) -> None:
    updates, resets = pack_ticks(batch, now=1), reset_ticks([symbol.encode() for symbol in symbols], 5)
    assert {symbol.decode() for symbol in resets["symbol"].tolist()} == symbols
    for packed, expected in ((updates, False), (resets, True)):
        assert are_resets(packed) is expected
        assert contains_resets(packed.tobytes(), len(packed)) is expected
