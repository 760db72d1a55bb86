"""Candles, as objects and as packed arrays.

A candle is the open, high, low, close and volume of one symbol within one interval.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from tickwire.core.instrument import SYMBOL_BYTES
from tickwire.core.packed_rows import narrow_dtype, rows_from_bytes
from tickwire.errors import InputError

INTERVAL_SECONDS: dict[str, int] = {
    "1s": 1,
    "5s": 5,
    "15s": 15,
    "1m": 60,
    "5m": 300,
    "15m": 900,
    "1h": 3600,
    "1d": 86_400,
}
"""A dict from the name of each interval to its length in seconds.

A candle of `1d` covers a whole session, which may be longer or shorter than a day.
"""
INTERVAL_NAMES: dict[int, str] = {seconds: name for name, seconds in INTERVAL_SECONDS.items()}

CANDLE_DTYPE = np.dtype(
    [
        ("symbol", f"S{SYMBOL_BYTES}"),
        ("interval", "<i8"),  # seconds
        ("start", "<i8"),  # nanoseconds since the Unix epoch
        ("open", "<f8"),
        ("high", "<f8"),
        ("low", "<f8"),
        ("close", "<f8"),
        ("volume", "<f8"),
    ]
)
# Tickwire 0.1.0 stored symbols of at most 16 bytes.
_NARROW_CANDLE_DTYPE = narrow_dtype(CANDLE_DTYPE)
# The maximum number of decimals in a trade size. The volume of a quote is rounded to the same number of decimals.
_VOLUME_DECIMALS = 9

PackedCandles: TypeAlias = NDArray[np.void]
"""A one-dimensional array of `CANDLE_DTYPE`."""


class Candle(msgspec.Struct, frozen=True, gc=False):
    """A candle with the same fields as in JSON. `start` is in microseconds since the Unix epoch.

    If `closed` is true, the candle never changes again.
    """

    symbol: str
    interval: str
    start: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    closed: bool


def parse_candle_interval(text: str, *, field: str = "interval") -> int:
    """Return the length in seconds of the interval named `text`. Raise InputError if the name is unknown."""
    if text not in INTERVAL_SECONDS:
        raise InputError(
            f"{text[:20]!r} is not a candle interval: choose one of {', '.join(INTERVAL_SECONDS)}", field=field
        )
    return INTERVAL_SECONDS[text]


def candles_from_bytes(data: bytes | memoryview, count: int | None = None) -> PackedCandles:
    """Return an array of the packed candles in `data`. The array uses the memory of `data`.

    If `count`, the number of candles, is given, `data` may also have the layout of Tickwire 0.1.0. The function then
    converts the candles, and returns a copy. Raise InputError if the length of `data` is not a multiple of the record
    size.
    """
    return rows_from_bytes(data, CANDLE_DTYPE, _NARROW_CANDLE_DTYPE, count, "candles")


def candles_from_packed(packed: PackedCandles, *, closed: bool = True) -> list[Candle]:
    """Convert packed candles to a list of Candle objects."""
    return [
        Candle(
            symbol.decode("ascii"),
            INTERVAL_NAMES[seconds],
            start // 1000,
            first,
            high,
            low,
            last,
            _round_volume(volume),
            closed,
        )
        for symbol, seconds, start, first, high, low, last, volume in packed.tolist()
    ]


def _round_volume(volume: float) -> float:
    """Remove the rounding error of floating-point addition, and return a whole number as an int.

    For example, return 5 for 5.0, and 49.6 for 49.60000000000003.
    """
    return int(volume) if volume.is_integer() else round(volume, _VOLUME_DECIMALS)
