"""The newest candle of every symbol at every interval."""

from __future__ import annotations

import numpy as np

from tickwire.core.arrays import Bools, Floats, Ints, RowArray
from tickwire.core.candle import CANDLE_DTYPE, INTERVAL_SECONDS, PackedCandles
from tickwire.market.ohlcv import (
    HIGH,
    OhlcvBars,
    concatenate_bars,
    fill_unknown_closes,
    run_start_mask,
    running_maximum_by_group,
)
from tickwire.market.trading_sessions import TradingSessions

INTERVAL_LENGTHS_S = list(INTERVAL_SECONDS.values())
INTERVAL_COUNT = len(INTERVAL_LENGTHS_S)
# A sentinel: the time key of a symbol without a candle. It is an odd number, like the time keys of closed candles.
NO_CANDLE = -1
# A time in seconds that is later than the end of every candle.
NEVER = np.iinfo(np.int64).max
_LENGTHS_S = np.array(INTERVAL_LENGTHS_S)
# The index of the interval 1d, which is the last interval. Its candles cover whole sessions.
_DAILY_INDEX = INTERVAL_COUNT - 1
_SHORT_LENGTHS_S = INTERVAL_LENGTHS_S[:_DAILY_INDEX]
_SECOND_NS = 10**9
_SYMBOL_DTYPE = CANDLE_DTYPE["symbol"]


class CandleTable:
    """The newest candles, in arrays with a row for each interval and a column for each symbol.

    The newest candle of a symbol is open, or it has closed and no trade of a later candle has arrived. The table does
    not store older candles. A slot is an index in the flattened array.

    Every candle has a time key. The time key of an open candle is `2 * start`, where `start` is in seconds. The time
    key of a closed candle is `2 * start + 1`. Before a merge, a bar receives the time key `2 * start` of the candle
    that contains its trades. The table compares this key with the key of the newest candle. If the bar's key is
    greater, the bar starts a later candle. If the keys are equal, the bar is part of the candle. If the bar's key is
    smaller, the bar is too late.

    `ohlcv` has the shape (intervals, columns, 5). `late_trade_counts` has one count for each interval.

    `incomplete_starts` maps an interval and a column to the start of a closed candle for which a trade was too late.
    """

    def __init__(self, sessions: TradingSessions) -> None:
        self.symbols = np.empty(0, _SYMBOL_DTYPE)
        self.time_keys: Ints = np.empty((INTERVAL_COUNT, 0), np.int64)
        self.ohlcv: Floats = np.empty((INTERVAL_COUNT, 0, 5))
        self.late_trade_counts: Ints = np.zeros(INTERVAL_COUNT, np.int64)
        self.incomplete_starts: dict[tuple[int, int], int] = {}
        self._sessions = sessions

    def restore(self, symbols: list[bytes], time_keys: Ints, ohlcv: Floats, late_trade_counts: list[int]) -> None:
        """Replace the contents. `time_keys` and `ohlcv` may have any shape with the right number of elements."""
        self.symbols = np.array(symbols, _SYMBOL_DTYPE)
        self.time_keys = time_keys.reshape(INTERVAL_COUNT, len(symbols))
        self.ohlcv = ohlcv.reshape(INTERVAL_COUNT, len(symbols), 5)
        self.late_trade_counts = np.array(late_trade_counts, np.int64)

    def grow(self, capacity: int) -> None:
        """Add columns without candles until there are `capacity` columns."""
        more = capacity - self.capacity
        self.symbols = np.concatenate([self.symbols, np.zeros(more, _SYMBOL_DTYPE)])
        self.time_keys = np.pad(self.time_keys, ((0, 0), (0, more)), constant_values=NO_CANDLE)
        self.ohlcv = np.pad(self.ohlcv, ((0, 0), (0, more), (0, 0)))

    @property
    def capacity(self) -> int:
        """The number of columns, some of which do not belong to a symbol yet."""
        return len(self.symbols)

    def starts_at(self, second: int) -> list[int]:
        """Return, for each interval, the start in seconds of the candle that contains `second`."""
        daily = self._sessions.session_at(second * _SECOND_NS).start // _SECOND_NS
        return [*(second - second % length for length in _SHORT_LENGTHS_S), daily]

    def newest_starts(self, columns: slice | int) -> Ints:
        """Return the start of the newest candle of each interval, in seconds.

        The start is `NEVER` if there is no candle.
        """
        time_keys = self.time_keys[:, columns]
        starts: Ints = np.where(time_keys == NO_CANDLE, NEVER, time_keys >> 1)
        return starts

    def starts(self, seconds: Ints) -> Ints:
        """Return, for each second and each interval, the start of the candle that contains the second.

        The result has one row for each interval.
        """
        starts = np.empty((INTERVAL_COUNT, len(seconds)), np.int64)
        np.subtract(seconds, seconds % _LENGTHS_S[:_DAILY_INDEX, None], out=starts[:_DAILY_INDEX])
        starts[_DAILY_INDEX] = self._sessions.starts(seconds * _SECOND_NS) // _SECOND_NS
        return starts

    def ends(self, rows: RowArray | slice) -> Ints:
        """Return the end of each symbol's newest candle at each interval, in seconds since the Unix epoch."""
        starts = self.time_keys[:, rows] >> 1
        ends: Ints = starts + _LENGTHS_S[:, None]
        ends[_DAILY_INDEX] = self._sessions.ends(starts[_DAILY_INDEX] * _SECOND_NS) // _SECOND_NS
        return ends

    def next_ends(self, count: int) -> Ints:
        """Return the earliest end of each symbol's open candles, in seconds, for the first `count` columns.

        The result is `NEVER` for a symbol without an open candle.
        """
        ends = self.ends(slice(count))
        ends[self.time_keys[:, :count] & 1 != 0] = NEVER
        next_ends: Ints = ends.min(axis=0, initial=NEVER)
        return next_ends

    def ended_mask(self, rows: RowArray, second: int) -> Bools:
        """Find the open candles of the symbols in `rows` that end at or before the time `second`.

        Return a boolean array of the shape (intervals, len(rows)) that is True for each such candle.
        """
        is_ended: Bools = (self.time_keys[:, rows] % 2 == 0) & (self.ends(rows) <= second)
        return is_ended

    def sort_by_end(self, slots: RowArray) -> RowArray:
        """Sort `slots` (numbers of candles in the table) by the ends of the candles. The sort is stable."""
        return slots[np.argsort(self._interval_ends(slots, self.time_keys.reshape(-1)[slots]), kind="stable")]

    def candles_at(self, slots: RowArray) -> OhlcvBars:
        """Return copies of the candles at `slots` (numbers of candles in the table), with a trade count of 0."""
        time_keys = self.time_keys.reshape(-1)[slots]
        return OhlcvBars(slots, time_keys, self.ohlcv.reshape(-1, 5)[slots], np.zeros_like(time_keys))

    def merge(self, bars: OhlcvBars) -> OhlcvBars:
        """Merge bars into the candles of all intervals. Return the candles that closed.

        In `bars`, the slot of a bar is the column of its symbol, and its time key is its time in seconds.
        """
        timely = self._drop_late(self._expand_to_intervals(bars))
        return self._merge_into_candles(timely.merge_adjacent()) if timely.size else timely

    def close_preceding(self, bars: OhlcvBars) -> OhlcvBars:
        """Close the open candles that end before a bar of the same symbol in `bars`. Return these candles.

        The slots and time keys of `bars` have the same meaning as in `merge`.
        """
        slots = bars.slots + np.arange(INTERVAL_COUNT)[:, None] * self.capacity
        time_keys = self.time_keys[:, bars.slots]
        ended = (2 * self.starts(bars.time_keys) > time_keys) & (time_keys % 2 == 0)
        return self.close_slots(slots[ended])

    def close_slots(self, slots: RowArray) -> OhlcvBars:
        """Close the open candles at `slots` (numbers of candles in the table), and return these candles."""
        closed = self.candles_at(slots)
        self.time_keys.reshape(-1)[slots] += 1
        return closed

    def pack(self, bars: OhlcvBars) -> PackedCandles:
        """Convert complete candles, given as bars, to packed candles. Sort the candles by the end of their interval."""
        packed = np.empty(bars.size, CANDLE_DTYPE)
        if not len(packed):
            return packed
        intervals, rows = np.divmod(bars.slots, self.capacity)
        order = np.argsort(self._interval_ends(bars.slots, bars.time_keys), kind="stable")
        packed["symbol"] = self.symbols[rows[order]]
        packed["interval"] = _LENGTHS_S[intervals[order]]
        packed["start"] = bars.time_keys[order] // 2 * _SECOND_NS
        for column, name in enumerate(("open", "high", "low", "close", "volume")):
            packed[name] = bars.ohlcv[order, column]
        return packed

    def _interval_ends(self, slots: RowArray, time_keys: Ints) -> Ints:
        """Return the start of each candle plus the length of its interval, in seconds."""
        ends: Ints = time_keys // 2 + _LENGTHS_S[slots // self.capacity]
        return ends

    def _expand_to_intervals(self, bars: OhlcvBars) -> OhlcvBars:
        """Return one copy of the bars for each interval.

        In the copy for an interval, each bar has the slot and the time key of its candle at this interval.
        """
        slots = bars.slots + np.arange(INTERVAL_COUNT)[:, None] * self.capacity
        time_keys = 2 * self.starts(bars.time_keys)
        values = np.tile(bars.ohlcv, (INTERVAL_COUNT, 1))
        return OhlcvBars(slots.reshape(-1), time_keys.reshape(-1), values, np.tile(bars.trade_counts, INTERVAL_COUNT))

    def _drop_late(self, bars: OhlcvBars) -> OhlcvBars:
        """Return the bars that are not late, and add the trades in the late bars to `late_trade_counts`.

        A late bar belongs to a candle that has closed already.
        """
        first, _ = bars.slot_boundaries()
        before = np.empty_like(bars.time_keys)
        before[1:] = bars.time_keys[:-1]
        before[first] = self.time_keys.reshape(-1)[bars.slots[first]]
        if (bars.time_keys >= before).all():
            return bars
        newest = running_maximum_by_group(bars.slots, np.maximum(before, bars.time_keys))
        before[1:] = np.where(run_start_mask(bars.slots)[1:], before[1:], newest[:-1])
        late = bars.time_keys < before
        np.add.at(self.late_trade_counts, bars.slots[late] // self.capacity, bars.trade_counts[late])
        self._mark_incomplete(bars.slots[late], bars.time_keys[late])
        return bars.select(~late)

    def find_containing(self, column: int, second: int) -> list[int]:
        """Return the indexes of the intervals at which the newest candle of a symbol contains `second`."""
        is_inside = self.newest_starts(column) == self.starts(np.array([second]))[:, 0]
        is_inside &= ~np.isnan(self.ohlcv[:, column, HIGH])
        return np.flatnonzero(is_inside).tolist()

    def discard(self, interval: int, column: int) -> None:
        """Discard an open candle. The next trade in its time range begins a new candle with the same start.

        The method reduces the stored time key by 1. Trades that are too late for the discarded candle therefore stay
        too late.
        """
        self.time_keys[interval, column] -= 1
        self.ohlcv[interval, column] = np.nan

    def is_incomplete(self, interval: int, column: int) -> bool:
        """Return whether a trade was too late for the newest candle of a symbol."""
        start = self.incomplete_starts.get((interval, column))
        return start is not None and start == int(self.time_keys[interval, column]) // 2

    def mark_incomplete(self, interval: int, column: int, start: int) -> None:
        """Record that a trade was too late for a candle, if the table still contains the candle."""
        if self.time_keys[interval, column] == 2 * start + 1:
            self.incomplete_starts[interval, column] = start

    def forget_incomplete(self, columns: RowArray) -> None:
        """Remove the symbols in `columns` from `incomplete_starts`, because their market begins again."""
        if self.incomplete_starts:
            forgotten = {*columns.tolist()}
            marks = self.incomplete_starts.items()
            self.incomplete_starts = {place: start for place, start in marks if place[1] not in forgotten}

    def _mark_incomplete(self, slots: RowArray, time_keys: Ints) -> None:
        is_closed = self.time_keys.reshape(-1)[slots] == time_keys + 1
        for slot, time_key in zip(slots[is_closed].tolist(), time_keys[is_closed].tolist(), strict=True):
            self.incomplete_starts[divmod(slot, self.capacity)] = time_key // 2

    def _merge_into_candles(self, bars: OhlcvBars) -> OhlcvBars:
        """Merge each bar into its candle, or start a new candle with the bar.

        Return the candles that close because a later bar follows.
        """
        first, last = bars.slot_boundaries()
        before = self.candles_at(bars.slots[first])
        same = before.time_keys == bars.time_keys[first]
        bars.prepend(first[same], before.select(same))
        fill_unknown_closes(bars.ohlcv)
        ended = before.select(~same & (before.time_keys % 2 == 0))
        self.time_keys.reshape(-1)[bars.slots[last]] = bars.time_keys[last]
        self.ohlcv.reshape(-1, 5)[bars.slots[last]] = bars.ohlcv[last]
        over = np.ones(bars.size, bool)
        over[last] = False
        return concatenate_bars(ended, bars.select(over))
