"""Finds the ticks that correct earlier trades in a batch of ticks."""

from __future__ import annotations

import numpy as np

from tickwire.core.arrays import Bools, RowArray
from tickwire.core.correction import is_replacement
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
    is_trade[[index + 1 for index in withdrawals.tolist() if find_replacement(ticks, index) is not None]] = False
    return is_trade, withdrawals


def find_replacement(ticks: PackedTicks, index: int) -> np.void | None:
    """Return the corrected trade that follows the withdrawal at `index`, or None if the trade is cancelled."""
    following: np.void | None = ticks[index + 1] if index + 1 < len(ticks) else None
    return following if following is not None and is_replacement(ticks[index], following) else None
