"""Finds the ticks that correct earlier trades in a batch of ticks."""

from __future__ import annotations

import numpy as np

from tickwire.core.arrays import Bools, RowArray
from tickwire.core.tick import PackedTicks


def split_trades(ticks: PackedTicks) -> tuple[Bools, RowArray]:
    """Return a pair: a boolean array that is True for each trade, and the indexes of the ticks that withdraw a trade.

    The corrected trade that follows a withdrawal does not count as a trade.
    """
    is_trade = np.isfinite(ticks["last"])
    # A tick without a price withdraws a trade that no candle contains.
    is_withdrawal = is_trade & (ticks["size"] < 0.0)
    if not is_withdrawal.any():
        return is_trade, np.empty(0, np.intp)
    withdrawals = np.flatnonzero(is_withdrawal)
    is_trade[withdrawals] = False
    is_trade[[index + 1 for index in withdrawals.tolist() if is_replacement(ticks, index + 1)]] = False
    return is_trade, withdrawals


def is_replacement(ticks: PackedTicks, index: int) -> bool:
    """Return whether the tick at `index` replaces the trade that the previous tick withdraws."""
    if index >= len(ticks):
        return False
    withdrawal, tick = ticks[index - 1], ticks[index]
    is_same_trade = tick["symbol"] == withdrawal["symbol"] and tick["ts"] == withdrawal["ts"]
    return bool(is_same_trade and np.isfinite(tick["last"]) and not tick["size"] < 0.0)
