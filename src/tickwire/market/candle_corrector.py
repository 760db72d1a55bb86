"""Corrects the newest candles of a symbol after one of its trades was cancelled or corrected."""

from __future__ import annotations

import numpy as np

from tickwire.core.arrays import Ints
from tickwire.market.candle_extremes import CandleExtremes, CandleWindows
from tickwire.market.candle_table import INTERVAL_COUNT, NO_CANDLE, CandleTable
from tickwire.market.ohlcv import correct_bar, narrow_bar
from tickwire.market.pending_bars import PendingBars
from tickwire.market.symbol_trades import SymbolTrades

# The group of a trade is a bit mask of the candles that contain the trade. Bit i stands for the candle of interval i.
# _PENDING_BIT stands for the pending bar.
_PENDING_BIT = 1 << INTERVAL_COUNT
_INTERVAL_BITS = 1 << np.arange(INTERVAL_COUNT)
_SECOND_NS = 10**9


class CandleCorrector:
    """Corrects the candles in `table` and `pending`. `extremes` contains the prices of their trades.

    A symbol is identified by its column in the table.
    """

    def __init__(self, table: CandleTable, pending: PendingBars, extremes: CandleExtremes) -> None:
        self._table = table
        self._pending = pending
        self._extremes = extremes

    def compact(self) -> None:
        """Add collected trades to the stored prices (see `CandleExtremes.compact`)."""
        self._extremes.compact(self._windows_of)

    def correct(self, row: int, withdrawn: np.void, replacement: np.void | None) -> list[int]:
        """Correct the candles of one symbol that contain a withdrawn trade.

        `withdrawn` and `replacement` have the same meaning as in `correct_bar`. Return the intervals whose corrected
        candle has already closed.
        """
        second = int(withdrawn["ts"]) // _SECOND_NS
        if self._pending.seconds[row] <= self._table.newest_starts(row)[0]:
            # The candles may already contain trades of the same second as the pending bar. So merge the bar into the
            # candles. The merge starts no new candle, because none of the candles ends before the time of the bar.
            self._pending.merge_into(self._table, np.array([row]))
        second, trades = self._correct_trades(row, second, withdrawn, replacement)
        known_after = self._extremes.unknown_until[row]
        if self._pending.seconds[row] == second:
            # The candles do not contain the pending bar yet.
            correct_bar(self._pending.ohlcv[row], withdrawn, replacement)
            if second > known_after:
                left = trades.price_range(_PENDING_BIT)
                if left is not None:
                    narrow_bar(self._pending.ohlcv[row], left)
                else:
                    self._pending.seconds[row] = NO_CANDLE
            return []
        revised = []
        for interval in self._table.find_containing(row, second):
            bar = self._table.ohlcv[interval, row]
            correct_bar(bar, withdrawn, replacement)
            start, has_closed = divmod(int(self._table.time_keys[interval, row]), 2)
            if start > known_after and not self._table.is_incomplete(interval, row):
                left = trades.price_range(1 << interval)
                if left is not None:
                    narrow_bar(bar, left)
                elif not has_closed:
                    self._table.discard(interval, row)
            if has_closed:
                revised.append(interval)
        return revised

    def _correct_trades(
        self, row: int, second: int, withdrawn: np.void, replacement: np.void | None
    ) -> tuple[int, SymbolTrades]:
        """Remove the withdrawn trade of a symbol, add its replacement, and store both changes.

        Return the time of the withdrawn trade in whole seconds, and the symbol's trades. If the trade was out of
        sequence (see `tickwire.market.published_trades`), this time is earlier than the time of the cancel.
        """
        stored = self._extremes.read_trades(row)
        *groups, group = self._groups_of(row, np.append(stored.seconds, second)).tolist()
        trades, price = SymbolTrades(stored, groups), float(withdrawn["last"])
        is_known = group != 0 and second > self._extremes.unknown_until[row]
        if is_known and not trades.has(group, price) and not trades.may_lack(group, price):
            # The withdrawn trade is not in the group, although all trades of the group at this price are stored. So the
            # trade has an earlier time than the withdrawal.
            places = np.flatnonzero((stored.prices == price) & (stored.seconds < second)).tolist()
            found = [
                (int(stored.seconds[place]), groups[place]) for place in places if trades.has(groups[place], price)
            ]
            second, group = max(found, default=(second, group))
        if trades.has(group, price):
            trades.withdraw(group, price)
            self._extremes.collect_correction(row, second, price, -1)
        # A replacement with a price and no size repeats an earlier trade, so do not add this trade again.
        if replacement is not None and np.isfinite(replacement["size"]):
            price = float(replacement["last"])
            trades.add(group, price)
            self._extremes.collect_correction(row, second, price, 1)
        return second, trades

    def _groups_of(self, row: int, seconds: Ints) -> Ints:
        """Return the group of each trade of a symbol: a bit for each candle that contains the trade."""
        is_inside = self._table.starts(seconds) == self._table.newest_starts(row)[:, None]
        # The candles do not contain the pending bar yet.
        groups: Ints = np.where(self._pending.seconds[row] == seconds, _PENDING_BIT, _INTERVAL_BITS @ is_inside)
        return groups

    def _windows_of(self, rows: slice) -> CandleWindows:
        return CandleWindows(self._table.newest_starts(rows), self._pending.seconds[rows])
