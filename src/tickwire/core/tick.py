"""A tick: what a feed says happened, one by one for people and packed for machines.

Packed, a batch of ticks is an array of fixed 80-byte little-endian records (`TICK`), the same bytes in memory, in every
journal and between processes; `unpack` looks at them without copying. In a packed price or size NaN means "the feed
did not say" (the quote keeps what it had) and infinity means "there is none" (an empty side of the book).
"""

from __future__ import annotations

from collections.abc import Iterable
from math import isnan
from operator import attrgetter
from typing import Annotated, Any, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from tickwire.core.instrument import SYMBOL_BYTES, SYMBOL_PATTERN, SYMBOL_WORDS
from tickwire.core.moment import LATEST
from tickwire.errors import InputError

TICK = np.dtype(
    [
        ("symbol", f"S{SYMBOL_BYTES}"),  # ASCII, padded with zero bytes
        ("ts", "<i8"),  # nanoseconds since the Unix epoch
        ("last", "<f8"),  # price of the newest trade
        ("bid", "<f8"),
        ("ask", "<f8"),
        ("bid_size", "<f8"),
        ("ask_size", "<f8"),
        ("size", "<f8"),  # quantity traded by this tick
        ("volume", "<f8"),  # the session's whole volume, for feeds that say it instead of `size`
    ]
)
Ticks: TypeAlias = NDArray[np.void]  # one dimension, dtype TICK

NOT_SAID = float("nan")
NONE = float("inf")

LARGEST_PRICE = 1e12  # beyond this doubles cannot carry a cent, and a typing slip is likelier than a price
LARGEST_SIZE = 1e15
LATEST_TS = LATEST // 1000  # in microseconds: catches nanoseconds sent as microseconds

Price = Annotated[float, msgspec.Meta(ge=-LARGEST_PRICE, le=LARGEST_PRICE)]
Size = Annotated[float, msgspec.Meta(ge=0, le=LARGEST_SIZE)]
Symbol = Annotated[str, msgspec.Meta(pattern=SYMBOL_PATTERN, description=SYMBOL_WORDS)]
Microseconds = Annotated[int, msgspec.Meta(ge=0, le=LATEST_TS)]
_FLOATS = ("last", "bid", "ask", "bid_size", "ask_size", "size", "volume")  # in the order of TICK


_values_of = attrgetter("symbol", "ts", *_FLOATS)


class Tick(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One tick as JSON has it: times in microseconds since the Unix epoch, prices in the instrument's currency.

    A field left out was not said; a bid or ask (or its size) of null is an empty side. `size` is what this tick traded,
    `volume` the session's total where the feed knows it.
    """

    symbol: Symbol
    ts: Microseconds | None = None
    last: Price | msgspec.UnsetType = msgspec.UNSET
    bid: Price | msgspec.UnsetType | None = msgspec.UNSET
    ask: Price | msgspec.UnsetType | None = msgspec.UNSET
    size: Size | msgspec.UnsetType = msgspec.UNSET
    bid_size: Size | msgspec.UnsetType | None = msgspec.UNSET
    ask_size: Size | msgspec.UnsetType | None = msgspec.UNSET
    volume: Size | msgspec.UnsetType = msgspec.UNSET


def pack(ticks: Iterable[Tick], *, now: int) -> Ticks:
    """The packed form of `ticks`; those without a time get `now` (nanoseconds since the Unix epoch)."""
    columns = [*zip(*map(_values_of, ticks), strict=True)]  # by column: less than half the time that rows take
    packed = np.empty(len(columns[0]) if columns else 0, TICK)
    if columns:
        symbols, times, *floats = columns
        packed["symbol"] = [symbol.encode("ascii") for symbol in symbols]
        packed["ts"] = [now if ts is None else ts * 1000 for ts in times]
        for name, values in zip(_FLOATS, floats, strict=True):
            packed[name] = [
                NOT_SAID if value is msgspec.UNSET else NONE if value is None else value for value in values
            ]
    return packed


def unpacked(ticks: Ticks) -> list[Tick]:
    """The inverse of `pack`; times lose what is finer than a microsecond."""
    return [
        Tick(symbol=symbol.decode("ascii"), ts=ts // 1000, **dict(zip(_FLOATS, map(_said, values), strict=True)))
        for symbol, ts, *values in ticks.tolist()
    ]


def _said(value: float) -> Any:
    if isnan(value):
        return msgspec.UNSET
    return None if value == NONE else value


def unpack(data: bytes | memoryview) -> Ticks:
    """The ticks in `data`, without a copy; InputError where its length is not that of whole records."""
    if len(data) % TICK.itemsize:
        raise InputError(f"{len(data)} bytes are no packed ticks: a tick has {TICK.itemsize}")
    return np.frombuffer(data, dtype=TICK)


def empty(count: int) -> Ticks:
    """`count` packed ticks in which nothing is said yet (no symbol, time 0)."""
    ticks = np.zeros(count, dtype=TICK)
    for name in _FLOATS:
        ticks[name] = NOT_SAID
    return ticks
