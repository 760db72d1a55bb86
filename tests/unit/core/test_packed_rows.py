"""Packed rows of this version and of Tickwire 0.1.0, whose symbols had at most 16 bytes."""

from __future__ import annotations

import numpy as np
import pytest

from tickwire.core.candle import CANDLE_DTYPE, candles_from_bytes
from tickwire.core.event import RecordKind
from tickwire.core.packed_rows import narrow_dtype
from tickwire.core.record_check import check_record
from tickwire.core.tick import TICK_DTYPE, blank_ticks, ticks_from_bytes
from tickwire.errors import InputError

CASES = [(TICK_DTYPE, ticks_from_bytes, 80), (CANDLE_DTYPE, candles_from_bytes, 72)]


@pytest.mark.parametrize(("dtype", "decode", "size"), CASES)
@pytest.mark.parametrize("count", [1, 5, 6, 9, 11])
def test_rows_of_the_earlier_version_have_the_present_layout(dtype, decode, size, count) -> None:
    """The decoder recognizes the earlier layout even if the length of the data fits both layouts."""
    narrow = narrow_dtype(dtype)
    assert narrow.itemsize == size
    rows = np.zeros(count, narrow)
    rows["symbol"] = b"A123456789012345"
    rows[dtype.names[2]] = np.arange(count)
    widened = decode(rows.tobytes(), count)
    assert widened.dtype == dtype
    assert widened["symbol"].tolist() == [b"A123456789012345"] * count
    assert widened[dtype.names[2]].tolist() == list(range(count))


@pytest.mark.parametrize(("dtype", "decode", "size"), CASES)
def test_rows_of_the_present_layout_are_not_copied(dtype, decode, size) -> None:
    data = np.zeros(5, dtype).tobytes()
    assert np.shares_memory(decode(data, 5), np.frombuffer(data, np.uint8))
    with pytest.raises(InputError, match=f"a multiple of {dtype.itemsize}"):
        decode(data[:-1], 5)


@pytest.mark.parametrize(
    ("symbol", "is_valid"),
    [
        (b"NIFTY 50", True),
        (b"x" * 32, True),
        (b" A", False),
        (b"A ", False),
        (b"x" * 31 + b" ", False),
        (b"A\x00B", False),
    ],
)
def test_a_record_with_spaces_at_the_ends_of_a_symbol_is_invalid(symbol: bytes, is_valid: bool) -> None:
    ticks = blank_ticks(2)
    ticks["symbol"] = [b"GOOD", symbol]
    data = ticks.tobytes()
    if is_valid:
        check_record(RecordKind.TICKS, 2, 0, data)
    else:
        with pytest.raises(InputError, match="invalid symbol"):
            check_record(RecordKind.TICKS, 2, 0, data)
