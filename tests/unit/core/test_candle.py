"""Packed candles, and the names of intervals."""

from __future__ import annotations

import pytest

from tickwire.core.candle import CANDLE_DTYPE, candles_from_bytes, parse_candle_interval
from tickwire.errors import InputError


def test_unknown_interval_raises() -> None:
    with pytest.raises(InputError, match="'2m' is not a candle interval: choose one of 1s, 5s"):
        parse_candle_interval("2m")


def test_packed_candles_have_88_bytes() -> None:
    assert CANDLE_DTYPE.itemsize == 88
    with pytest.raises(InputError, match="a multiple of 88"):
        candles_from_bytes(bytes(87))
