"""The newest bar of every symbol, which the symbol's candles do not contain yet."""

from __future__ import annotations

import numpy as np

from tickwire.core.arrays import Floats, Ints, RowArray
from tickwire.market.candle_table import NO_CANDLE, CandleTable
from tickwire.market.ohlcv import CLOSE, OhlcvBars, fill_unknown_closes, running_maximum_by_group


class PendingBars:
    """At most one bar for each symbol. The methods identify a symbol by its column in the `CandleTable`.

    A bar contains trades of one second. `seconds` contains the time of each bar, or `NO_CANDLE` for a symbol without a
    pending bar. `ohlcv` contains the values of each bar, and `trade_counts` the number of its trades.
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
        """Return the pending bars of some symbols. `rows` contains the columns of the symbols.

        In the result, the slot of a bar is its symbol's column, and the time key is the time of the bar in seconds.
        """
        return OhlcvBars(rows, self.seconds[rows], self.ohlcv[rows], self.trade_counts[rows])

    def store(self, bars: OhlcvBars) -> None:
        """Replace the pending bars of the symbols in `bars`."""
        self.seconds[bars.slots] = bars.time_keys
        self.ohlcv[bars.slots] = bars.ohlcv
        self.trade_counts[bars.slots] = bars.trade_counts

    def merge_into(self, table: CandleTable, rows: RowArray) -> None:
        """Merge the pending bars of symbols into the candles.

        The merge closes no candle: all candles that end before the bars have closed already.
        """
        pending = rows[self.seconds[rows] != NO_CANDLE]
        if len(pending):
            table.merge(self.bars_at(pending))
            self.seconds[pending] = NO_CANDLE

    def open_bars(self, table: CandleTable, interval: int, rows: RowArray) -> OhlcvBars:
        """Return the open candles of symbols at one interval, with the trades of the pending bars.

        The result omits symbols without an open candle.
        """
        candles, pending = table.candles_at(interval * table.capacity + rows), self.bars_at(rows)
        starts = 2 * table.starts(pending.time_keys)[interval]
        time_keys = np.where(pending.time_keys == NO_CANDLE, NO_CANDLE, starts)
        pending = pending._replace(slots=candles.slots, time_keys=time_keys)
        continued = np.flatnonzero(time_keys == candles.time_keys)
        pending.prepend(continued, candles.select(continued))
        values = np.where((time_keys >= candles.time_keys)[:, None], pending.ohlcv, candles.ohlcv)
        fill_unknown_closes(values)
        merged = candles._replace(time_keys=np.maximum(candles.time_keys, time_keys), ohlcv=values)
        return merged.select(merged.time_keys % 2 == 0)

    def erase_late_closes(self, table: CandleTable, bars: OhlcvBars) -> None:
        """Set the close of each bar to NaN if an earlier bar of its symbol has a later time.

        A merge with the earlier bar then keeps the close of the earlier bar. A late bar is always merged or dropped,
        because its candle exists already or has closed.
        """
        before = np.maximum(table.time_keys[0, bars.slots] // 2, self.seconds[bars.slots])
        is_ordered = (bars.time_keys[1:] >= bars.time_keys[:-1]) | (bars.slots[1:] != bars.slots[:-1])
        if is_ordered.all() and (bars.time_keys >= before).all():
            return
        newest = running_maximum_by_group(bars.slots, np.maximum(before, bars.time_keys))
        bars.ohlcv[bars.time_keys < newest, CLOSE] = np.nan
