"""Corrections and cancels of trades.

A correction is stored as packed ticks, so that it reaches the board and the candles in the order of the journal. A tick
with a negative size withdraws the trade that has the same price and the opposite, positive size. If the trade is
corrected, the next tick has the same symbol and time, and the new price and size.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

import msgspec

from tickwire.core.tick import Microseconds, PackedTicks, Price, Size, Symbol, blank_ticks

LEAST_SIZE = sys.float_info.min
"""The size that withdraws a trade without a size. It is too small to change a volume."""


class TradeCorrection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The correction or the cancel of one trade, as readers receive it.

    `ts` is the time of the trade in microseconds since the Unix epoch, and `last` and `size` are its wrong price and
    size. If the trade is cancelled, `corrected_last` and `corrected_size` are None.
    """

    symbol: Symbol
    ts: Microseconds
    last: Price
    size: Size
    corrected_last: Price | None = None
    corrected_size: Size | None = None


def correction_ticks(corrections: Iterable[TradeCorrection]) -> PackedTicks:
    """Return the ticks of corrections. One tick withdraws the wrong trade, and another tick reports the corrected
    trade. A cancelled trade has no second tick.
    """
    rows = []
    for each in corrections:
        rows.append((each, each.last, -max(each.size, LEAST_SIZE)))
        if each.corrected_last is not None and each.corrected_size is not None:
            rows.append((each, each.corrected_last, each.corrected_size))
    ticks = blank_ticks(len(rows))
    for tick, (correction, last, size) in zip(ticks, rows, strict=True):
        tick["symbol"], tick["ts"] = correction.symbol.encode("ascii"), correction.ts * 1000
        tick["last"], tick["size"] = last, size
    return ticks
