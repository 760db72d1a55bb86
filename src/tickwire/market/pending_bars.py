"""The newest bar of every symbol, which the symbol's candles do not contain yet."""

from __future__ import annotations

import numpy as np

from tickwire.core.arrays import Floats, Ints, RowArray
from tickwire.market.candle_table import NO_CANDLE, CandleTable
from tickwire.market.ohlcv import OhlcvBars


class PendingBars:
    """Bars with trades of one second each. The methods identify a symbol by its column in the `CandleTable`.

    `seconds` contains the time of each bar, or `NO_CANDLE` for a symbol without a pending bar. `ohlcv` contains the
    values of each bar, and `trade_counts` the number of its trades.
    """

    def __init__(self) -> None:
        self.seconds: Ints = np.empty(0, np.int64)
        self.ohlcv: Floats = np.empty((0, 5))
        self.trade_counts: Ints = np.empty(0, np.int64)

    def grow(self, more: int) -> None:
        """Add `more` symbols without pending bars."""
        self.seconds = np.pad(self.seconds, (0, more), constant_values=NO_CANDLE)
        self.ohlcv = np.pad(self.ohlcv, ((0, more), (0, 0)))
        self.trade_counts = np.pad(self.trade_counts, (0, more))

    def bars_at(self, rows: RowArray) -> OhlcvBars:
        """Return the bars of symbols. The slot of a bar is its symbol, and its time key is its time in seconds."""
        return OhlcvBars(rows, self.seconds[rows], self.ohlcv[rows], self.trade_counts[rows])

    def store(self, bars: OhlcvBars) -> None:
        """Replace the bars of symbols."""
        self.seconds[bars.slots] = bars.time_keys
        self.ohlcv[bars.slots] = bars.ohlcv
        self.trade_counts[bars.slots] = bars.trade_counts

    def merge_into(self, table: CandleTable, rows: RowArray) -> None:
        """Merge the pending bars of symbols into their candles. No candle closes, because every candle is newer."""
        pending = rows[self.seconds[rows] != NO_CANDLE]
        if len(pending):
            table.merge(self.bars_at(pending))
            self.seconds[pending] = NO_CANDLE
