"""Corrections and cancels of trades.

A correction is stored as packed ticks, so that it reaches the board and the candles in the order of the journal. A tick
with a negative size withdraws the trade that has the same price and the opposite, positive size. If the trade is
corrected, the next tick has the same symbol and time, and the new price and size.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

import msgspec
import numpy as np

from tickwire.core.arrays import Bools, RowArray
from tickwire.core.tick import Microseconds, PackedTicks, Price, Size, Symbol, blank_ticks

LEAST_SIZE = sys.float_info.min
"""A tick whose size is the negative of this number withdraws a trade without a size.

The number is too small to change a volume.
"""


class TradeCorrection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The event that readers receive about the correction or the cancellation of one trade.

    `ts` is the time of the trade in microseconds since the Unix epoch. `last` and `size` are the wrong price and size
    of the trade. If the trade is cancelled, `corrected_last` and `corrected_size` are None.
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


def find_corrections(ticks: PackedTicks) -> list[TradeCorrection]:
    """Return the corrections in a batch of ticks. This is the reverse of `correction_ticks`."""
    corrections = []
    for index in np.flatnonzero(ticks["size"] < 0.0).tolist():
        wrong, right = ticks[index], find_replacement(ticks, index)
        if right is not None and np.isnan(right["size"]):
            right = None
        corrections.append(
            TradeCorrection(
                symbol=wrong["symbol"].decode("ascii"),
                ts=int(wrong["ts"]) // 1000,
                last=float(wrong["last"]),
                size=0.0 if wrong["size"] == -LEAST_SIZE else -float(wrong["size"]),
                corrected_last=None if right is None else float(right["last"]),
                corrected_size=None if right is None else float(right["size"]),
            )
        )
    return corrections


def find_replacement(ticks: PackedTicks, index: int) -> np.void | None:
    """Return the corrected trade that follows the withdrawal at `index`, or None if the trade is cancelled."""
    if index + 1 >= len(ticks):
        return None
    withdrawal, following = ticks[index], ticks[index + 1]
    is_same_trade = following["symbol"] == withdrawal["symbol"] and following["ts"] == withdrawal["ts"]
    return following if is_same_trade and np.isfinite(following["last"]) and not following["size"] < 0.0 else None


def split_trades(ticks: PackedTicks) -> tuple[Bools, RowArray]:
    """Return a boolean array that is True for each trade, and the indexes of the ticks that withdraw a trade.

    The corrected trade that follows a withdrawal does not count as a trade.
    """
    is_trade = np.isfinite(ticks["last"])
    # Require a price: a withdrawal without a price belongs to a trade that changed no candle.
    is_withdrawal = is_trade & (ticks["size"] < 0.0)
    if not is_withdrawal.any():
        return is_trade, np.empty(0, np.intp)
    withdrawals = np.flatnonzero(is_withdrawal)
    is_trade[withdrawals] = False
    is_trade[[index + 1 for index in withdrawals.tolist() if find_replacement(ticks, index) is not None]] = False
    return is_trade, withdrawals


def end_of_part(ticks: PackedTicks, end: int) -> int:
    """Return the end of a part of `ticks`: `end` or `end` + 1.

    The result is `end` + 1 if the next part would otherwise begin with the replacement of a withdrawn trade.
    """
    is_split = 0 < end < len(ticks) and ticks["size"][end - 1] < 0.0 and find_replacement(ticks, end - 1) is not None
    return end + 1 if is_split else end
