"""A candle: what one symbol traded at within one interval, one by one for people and packed for machines."""

from __future__ import annotations

from typing import TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from tickwire.core.instrument import SYMBOL_BYTES
from tickwire.errors import InputError

INTERVALS: dict[str, int] = {"1s": 1, "5s": 5, "15s": 15, "1m": 60, "5m": 300, "15m": 900, "1h": 3600, "1d": 86_400}
"""Every interval's name and its seconds. A `1d` is a session, which may be longer or shorter."""
INTERVAL_NAMES: dict[int, str] = {seconds: name for name, seconds in INTERVALS.items()}

CANDLE = np.dtype(
    [
        ("symbol", f"S{SYMBOL_BYTES}"),
        ("interval", "<i8"),  # seconds, as in INTERVALS
        ("start", "<i8"),  # nanoseconds since the Unix epoch
        ("open", "<f8"),
        ("high", "<f8"),
        ("low", "<f8"),
        ("close", "<f8"),
        ("volume", "<f8"),
    ]
)
_DECIMALS = 9  # of a volume, as in quotes: more than sizes have
PackedCandles: TypeAlias = NDArray[np.void]  # one dimension, dtype CANDLE


class Candle(msgspec.Struct, frozen=True, gc=False):
    """A candle as JSON has it: `start` in microseconds since the Unix epoch, and everything from there to the next.

    `closed` says that nothing will change it any more.
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


def check_interval(text: str, *, field: str = "interval") -> int:
    """The seconds of the interval called `text`; InputError where there is none."""
    if text not in INTERVALS:
        raise InputError(f"{text[:20]!r} is no interval: choose one of {', '.join(INTERVALS)}", field=field)
    return INTERVALS[text]


def unpack_candles(data: bytes | memoryview) -> PackedCandles:
    """The candles in `data`, without a copy; InputError where its length is not that of whole records."""
    if len(data) % CANDLE.itemsize:
        raise InputError(f"{len(data)} bytes are no packed candles: a candle has {CANDLE.itemsize}")
    return np.frombuffer(data, dtype=CANDLE)


def read_candles(packed: PackedCandles, *, closed: bool = True) -> list[Candle]:
    """The candles in `packed`."""
    return [
        Candle(
            symbol.decode("ascii"),
            INTERVAL_NAMES[seconds],
            start // 1000,
            first,
            high,
            low,
            last,
            _whole(volume),
            closed,
        )
        for symbol, seconds, start, first, high, low, last, volume in packed.tolist()
    ]


def _whole(volume: float) -> float:
    """5 instead of 5.0, and 49.6 instead of 49.60000000000003: what was added up shows no more than its parts do."""
    return int(volume) if volume.is_integer() else round(volume, _DECIMALS)
