"""The candles of every symbol at every interval, built from batches of ticks.

These rules apply to each symbol and interval separately:

- A trade is a tick that reports a last price. A candle consists of the trades with times in `[start, next start)`. Its
  open is the price of the trade that arrived first. Its close is the price of the trade with the latest time. Times are
  compared in whole seconds; if several trades have the latest time, the close is the price of the trade that arrived
  last. A late trade therefore does not move the close back.
- A candle closes when a trade of a later candle arrives, or when the watermark (see below) passes the candle's end. The
  watermark is the time of the newest tick of the symbol's source, minus `ALLOWED_LATENESS_NS`. The allowance is
  necessary because feeds send ticks of different symbols out of order by milliseconds. Each source (a feed or a
  publisher) has its own watermark, so no source closes the candles of symbols that it does not publish.
- A late trade never changes a closed candle. `late_trade_counts` counts the trades that arrive too late for a candle. A
  late trade still changes the open candles of longer intervals.
- A correction of a trade changes the open candle, or the newest closed candle, that contains the trade. The aggregator
  returns a changed closed candle again. The candle then has the volume, the high and the low of the other trades (see
  `tickwire.market.candle_extremes`).
- If a tick resets its symbol, the open candles of the symbol are discarded. Later trades may have earlier times.

Aggregators that apply the same batches in the same order produce the same candles, to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import isfinite
from typing import Any, TypeAlias

import numpy as np

from tickwire.core.arrays import Ints, RowArray
from tickwire.core.candle import CANDLE_DTYPE, PackedCandles
from tickwire.core.codec import LargeBytes
from tickwire.core.correction import find_replacement, split_trades
from tickwire.core.tick import NO_PRICE, PackedTicks, are_resets
from tickwire.market.candle_corrector import CandleCorrector
from tickwire.market.candle_extremes import CandleExtremes
from tickwire.market.candle_snapshot import CandleState, capture_candles, restore_candles
from tickwire.market.candle_table import INTERVAL_COUNT, INTERVAL_LENGTHS_S, NEVER, NO_CANDLE, CandleTable
from tickwire.market.ohlcv import OhlcvBars, concatenate_bars
from tickwire.market.pending_bars import PendingBars
from tickwire.market.single_trade import SymbolCandles, merge_bars, pack_closed
from tickwire.market.source_clocks import MAX_LIVE_LAG_NS, SourceClock, SourceClocks
from tickwire.market.trading_sessions import TradingSessions
from tickwire.market.volume_tracker import VolumeTracker

# In every recorded feed, ticks of different symbols are out of order by less than this time.
ALLOWED_LATENESS_NS = 2 * 10**9
_SECOND_NS = 10**9
_NO_CANDLES = np.empty(0, CANDLE_DTYPE)
_INITIAL_CAPACITY = 128
BARS_PER_STEP = 4_096
"""The number of symbols, or of closed candles, in one step of `CandleAggregator.apply_stepwise`.

A step takes a few milliseconds. Its arrays fit into the cache of a processor, so many small steps take less time than
one large step.
"""

ClosingSteps: TypeAlias = Iterator[PackedCandles | None]
"""Steps that close candles. An item contains closed candles, or is None if other tasks may run before the next step.

The caller must iterate over all items. The candles of all items, in order, are the candles that closed.
"""


class CandleAggregator:
    """Builds the open candle of every symbol and interval.

    A method that closes candles returns the closed candles. The aggregator does not store closed candles. A method that
    can close the candles of many symbols works in steps, and returns an iterator of these steps (`ClosingSteps`).
    Between two steps, other tasks may read the candles, although only some of them have closed.

    A bar is the summary of some trades of one symbol: open, high, low, close and volume. If several trades of a symbol
    have times in the same second, the aggregator collects these trades in a pending bar. The aggregator later merges
    the pending bar into the symbol's candles of all intervals. In a busy market, most trades therefore change one bar
    instead of eight candles.

    A `CandleTable` stores the candles. The index of a symbol in `symbols` is its column in the table.
    """

    def __init__(self, sessions: TradingSessions | None = None) -> None:
        self.symbols: list[bytes] = []
        self._sessions = sessions or TradingSessions()
        self._row_by_symbol: dict[bytes, int] = {}
        self._table = CandleTable(self._sessions)
        self._pending = PendingBars()
        self._sequences = np.empty(0, np.int64)
        self._volume_tracker = VolumeTracker()
        self._source_clocks = SourceClocks()
        self._extremes = CandleExtremes()
        self._corrector = CandleCorrector(self._table, self._pending, self._extremes)
        # Counts the steps that changed candles without a trade. If two reads return the same count, only trades have
        # changed the candles between the reads.
        self.advance_count = 0
        # A cache of pairs: a source, and the earliest end of its open candles in seconds. None after a change of the
        # candles.
        self._earliest_ends: list[tuple[SourceClock, int]] | None = None

    def __len__(self) -> int:
        return len(self.symbols)

    @property
    def sequences(self) -> Ints:
        """The sequence number of each symbol's newest trade, in the order of `symbols`."""
        return self._sequences[: len(self)]

    @property
    def late_trade_counts(self) -> Ints:
        """The number of trades that arrived too late for a candle: one count for each interval."""
        return self._table.late_trade_counts

    def find_row(self, symbol: str) -> int | None:
        """Return the index of a symbol in `symbols`, or None before the symbol's first trade."""
        return self._row_by_symbol.get(symbol.encode())

    def apply(self, ticks: PackedTicks, first_sequence: int, now: int, source: str = "") -> PackedCandles:
        """Do the work of `apply_stepwise` without pauses, and return the candles that closed."""
        return closed_candles(self.apply_stepwise(ticks, first_sequence, now, source))

    def apply_stepwise(self, ticks: PackedTicks, first_sequence: int, now: int, source: str = "") -> ClosingSteps:
        """Apply the ticks of one source in order, and close candles.

        The first tick has the sequence number `first_sequence`. `now` is the time at which the ticks arrived, in
        nanoseconds since the Unix epoch. If a tick has a wrong time in the future, candles close as if its time were
        `now`. For each symbol and interval, the closed candles are in time order.
        """
        self._earliest_ends = None
        tick: tuple[Any, ...] | None = ticks.tolist()[0] if len(ticks) == 1 else None
        if tick is not None and self._is_trade_in_order(tick):
            yield self._apply_single(tick, first_sequence, source)
        else:
            yield self._apply_batch(ticks, first_sequence, source)
        if self._extremes.is_full:
            self._corrector.compact()
        clock = self._source_clocks.find(source)
        if clock is not None:
            newest_ts = int(ticks["ts"].max(initial=0)) if tick is None else tick[1]
            clock.newest_ts = max(clock.newest_ts, newest_ts)
            clock.lag_ns = now - clock.newest_ts
            yield from self._advance(clock, min(clock.newest_ts, now) - ALLOWED_LATENESS_NS)

    def _reset(self, ticks: PackedTicks, source: str) -> None:
        """Discard the open candles of the symbols in `ticks`, and the time of the source, because the market of the
        source begins again.
        """
        rows = np.array(
            [row for symbol in ticks["symbol"].tolist() if (row := self._row_by_symbol.get(symbol)) is not None],
            np.intp,
        )
        self._table.time_keys[:, rows] = self._pending.seconds[rows] = NO_CANDLE
        self._volume_tracker.reset(rows)
        self._extremes.remove_rows(rows)
        self._table.forget_incomplete(rows)
        clock = self._source_clocks.find(source)
        if clock is not None:
            clock.newest_ts = clock.watermark_s = 0
        self.advance_count += 1

    def advance_watermark(self, ts: int) -> ClosingSteps:
        """Close all candles that end at or before `ts` (nanoseconds since the Unix epoch)."""
        for clock in self._source_clocks:
            yield from self._advance(clock, ts)
            yield None

    def advance_live_sources(self, now: int) -> ClosingSteps:
        """Close the finished candles of all live sources.

        A source is live if its ticks arrive soon after their own times. `now` is the wall-clock time in nanoseconds
        since the Unix epoch.
        """
        for clock in self._source_clocks:
            if clock.is_live:
                yield from self._advance(clock, clock.market_time(now) - ALLOWED_LATENESS_NS)
                yield None

    def _advance(self, clock: SourceClock, ts: int) -> ClosingSteps:
        """Close all candles of one source that end at or before `ts`. Sort the candles by the end of their interval."""
        second = ts // _SECOND_NS
        if second <= clock.watermark_s:
            return
        clock.watermark_s = second
        rows = self._source_clocks.rows_of(clock, len(self))
        is_ended = np.empty((INTERVAL_COUNT, len(rows)), bool)
        for begin in range(0, len(rows), BARS_PER_STEP):
            if begin:
                yield None
            step = slice(begin, begin + BARS_PER_STEP)
            self._earliest_ends = None
            self._pending.merge_into(self._table, rows[step])
            is_ended[:, step] = self._table.ended_mask(rows[step], second)
        starts = range(0, INTERVAL_COUNT * self._table.capacity, self._table.capacity)
        slots = np.concatenate([start + rows[ended] for start, ended in zip(starts, is_ended, strict=True)])
        slots = self._table.sort_by_end(slots)
        for begin in range(0, len(slots), BARS_PER_STEP):
            if begin or len(rows) > BARS_PER_STEP:
                yield None
            self.advance_count += 1
            self._earliest_ends = None
            yield self._table.pack(self._table.close_slots(slots[begin : begin + BARS_PER_STEP]))

    def overdue_market_time(self, now: int, lateness_ns: int) -> int | None:
        """Return the market time of a live source that has an overdue candle, or None if there is no such source.

        A candle is overdue if it is still open `lateness_ns` after its end. All times are in nanoseconds.
        """
        # In a quiet market, the candles of many symbols stay open for hours, so do not search them all each time.
        if self._earliest_ends is None:
            pending = self._pending.seconds[: len(self)]
            next_ends = np.minimum(self._table.next_ends(len(self)), np.where(pending == NO_CANDLE, NEVER, pending + 1))
            self._earliest_ends = list(self._source_clocks.earliest(next_ends))
        for clock, next_end in self._earliest_ends:
            if clock.is_live and next_end <= (clock.market_time(now) - lateness_ns) // _SECOND_NS:
                return clock.market_time(now)
        return None

    def open_candles(self, rows: Sequence[int] | RowArray, interval_s: int) -> PackedCandles:
        """Return the open candles of the symbols at the indexes `rows`, for one interval.

        The result omits symbols without an open candle.
        """
        interval = INTERVAL_LENGTHS_S.index(interval_s)
        return self._table.pack(self._pending.open_bars(self._table, interval, np.asarray(rows, np.intp)))

    def closed_until(self, symbol: str, interval_s: int) -> int:
        """Return the boundary between the closed and the open candles of one symbol at one interval.

        The boundary is a time in nanoseconds since the Unix epoch. All candles that start before the boundary have
        closed. No candle that starts at or after the boundary has closed. The boundary of a symbol without trades is 0.
        """
        row = self.find_row(symbol)
        time_key = NO_CANDLE if row is None else int(self._table.time_keys[INTERVAL_LENGTHS_S.index(interval_s), row])
        return 0 if time_key == NO_CANDLE else time_key // 2 * _SECOND_NS + time_key % 2

    def save(self) -> bytes:
        """Return the state of all candles as bytes, which `restore` accepts."""
        return self.capture()()

    def capture(self) -> Callable[[], bytes]:
        """Copy the state, and return a function that encodes the copy for `restore`.

        Any thread may call the function.
        """
        return capture_candles(self._state)

    def restore(self, data: LargeBytes, lag_ns: int = MAX_LIVE_LAG_NS) -> None:
        """Restore the state in `data`, the result of an earlier call of `save`.

        Earlier versions had one clock for all sources of ticks. If `data` is from such a version, `lag_ns` is the lag
        of this clock.
        """
        self.symbols, self._sequences = restore_candles(data, self._state, lag_ns)
        self._row_by_symbol = {symbol: row for row, symbol in enumerate(self.symbols)}
        self._earliest_ends = None

    @property
    def _state(self) -> CandleState:
        return CandleState(
            self.symbols,
            self._sequences,
            self._table,
            self._pending,
            self._volume_tracker,
            self._source_clocks,
            self._extremes,
        )

    def _is_trade_in_order(self, tick: tuple[Any, ...]) -> bool:
        """Return True if a tick neither withdraws a trade nor resets its symbol, and is not older than its symbol's
        newest trade.

        Times are compared in whole seconds.
        """
        symbol, ts, price, *_, size, _ = tick
        if size < 0.0 or price == NO_PRICE:
            return False
        row = self._row_by_symbol.get(symbol)
        if row is None:
            return True
        newest_second = max(self._table.time_keys.item(0, row) // 2, self._pending.seconds.item(row))
        return bool(ts // _SECOND_NS >= newest_second)

    def _apply_single(self, tick: tuple[Any, ...], sequence: int, source: str) -> PackedCandles:
        """Apply a batch of one tick. Return the candles that closed."""
        symbol, ts, price, *_, size, total = tick
        if not isfinite(price):
            return _NO_CANDLES
        row = self._row_by_symbol.get(symbol)
        if row is None:
            self._add_symbol(symbol)
            row = self._row_by_symbol[symbol]
        self._source_clocks.assign_row(row, source)
        self._sequences[row] = sequence
        second, pending_second = ts // _SECOND_NS, self._pending.seconds.item(row)
        self._extremes.collect_single(row, second, price)
        volume = self._volume_tracker.traded_amount(row, self._sessions.session_at(ts).day, size, total)
        bar, pending = [price, price, price, price, volume], self._pending.ohlcv[row].tolist()
        if pending_second == second:
            self._pending.ohlcv[row] = merge_bars(pending, bar)
            self._pending.trade_counts[row] += 1
            return _NO_CANDLES
        candles = SymbolCandles(self._table.time_keys[:, row], self._table.ohlcv[:, row])
        if pending_second != NO_CANDLE:
            pending_starts = self._table.starts_at(pending_second)
            late = candles.merge(pending, pending_starts)
            self.late_trade_counts[late] += self._pending.trade_counts[row]
            for interval in late:
                self._table.mark_incomplete(interval, row, pending_starts[interval])
        candles.close_preceding(self._table.starts_at(second))
        candles.store()
        self._pending.seconds[row], self._pending.ohlcv[row], self._pending.trade_counts[row] = second, bar, 1
        return pack_closed(symbol, candles.closed)

    def _apply_batch(self, ticks: PackedTicks, first_sequence: int, source: str) -> PackedCandles:
        """Apply a batch of any number of ticks. Return the candles that closed."""
        if are_resets(ticks):
            self._reset(ticks, source)
            return _NO_CANDLES
        is_trade, withdrawals = split_trades(ticks)
        indices = np.flatnonzero(is_trade)
        closed = _NO_CANDLES
        if len(indices):
            trades = ticks if len(indices) == len(ticks) else ticks[indices]
            rows = self._find_or_add_rows(trades["symbol"].tolist())
            self._source_clocks.assign(rows, source)
            closed = self._apply_trades(trades, rows, first_sequence + indices)
        if len(withdrawals):
            closed = np.concatenate([closed, self._apply_corrections(ticks, withdrawals, first_sequence)])
        return closed

    def _apply_trades(self, ticks: PackedTicks, symbol_rows: RowArray, sequences: Ints) -> PackedCandles:
        """Combine the trades of each symbol and second into one bar. Add these bars to the pending bars.

        The newest bar of a symbol stays pending. Older bars are merged into the candles. Return the candles that
        closed.
        """
        bars = self._bars_by_second(ticks, symbol_rows, sequences)
        self._pending.erase_late_closes(self._table, bars)
        first, last = bars.slot_boundaries()
        pending = self._pending.bars_at(bars.slots[first])
        same = pending.time_keys == bars.time_keys[first]
        bars.prepend(first[same], pending.select(same))
        self._pending.store(bars.select(last))
        moved = ~same | (first != last)
        if not moved.any():
            return _NO_CANDLES
        over = np.ones(bars.size, bool)
        over[last] = False
        older = concatenate_bars(pending.select(~same & (pending.time_keys != NO_CANDLE)), bars.select(over))
        closed = self._table.merge(older.select(np.argsort(older.slots, kind="stable")))
        followed = self._table.close_preceding(bars.select(last[moved]))
        return self._table.pack(concatenate_bars(closed, followed))

    def _apply_corrections(self, ticks: PackedTicks, withdrawals: RowArray, first_sequence: int) -> PackedCandles:
        """Correct the candles that contain withdrawn trades. Return the corrected candles that have closed.

        `withdrawals` contains the indexes of the ticks that withdraw a trade.
        """
        revised = list[int]()
        for index in withdrawals.tolist():
            row = self._row_by_symbol.get(ticks["symbol"][index])
            if row is None:
                continue
            self._sequences[row] = max(self._sequences[row], first_sequence + index)
            intervals = self._corrector.correct(row, ticks[index], find_replacement(ticks, index))
            revised += [interval * self._table.capacity + row for interval in intervals]
        return self._table.pack(self._table.candles_at(np.unique(np.array(revised, np.intp))))

    def _bars_by_second(self, ticks: PackedTicks, rows: RowArray, sequences: Ints) -> OhlcvBars:
        """Combine consecutive trades of a symbol into one bar if their times are in the same second. Return the bars.

        In the result, the slot of a bar is the index of its symbol. The time key of a bar is its time in seconds since
        the Unix epoch.
        """
        order = np.argsort(rows, kind="stable")
        rows, ts = rows[order], ticks["ts"][order]
        # If a symbol has several trades, NumPy stores the value of the last trade, which is the newest trade.
        self._sequences[rows] = sequences[order]
        values, prices, seconds = np.empty((len(rows), 5)), ticks["last"][order], ts // _SECOND_NS
        values[:, :4] = prices[:, None]
        self._extremes.collect(rows, seconds, prices)
        days, sizes, totals = self._sessions.days(ts), ticks["size"][order], ticks["volume"][order]
        values[:, 4] = self._volume_tracker.traded_amounts(rows, days, sizes, totals)
        return OhlcvBars(rows, seconds, values, np.ones(len(rows), np.int64)).merge_adjacent()

    def _find_or_add_rows(self, symbols: list[bytes]) -> RowArray:
        try:
            return np.array(list(map(self._row_by_symbol.__getitem__, symbols)), np.intp)
        except KeyError:
            for symbol in symbols:
                if symbol not in self._row_by_symbol:
                    self._add_symbol(symbol)
            return self._find_or_add_rows(symbols)

    def _add_symbol(self, symbol: bytes) -> None:
        row = len(self)
        if row >= self._table.capacity:
            self._grow_capacity(max(_INITIAL_CAPACITY, row * 2))
        self._row_by_symbol[symbol] = row
        self._table.symbols[row] = symbol
        self.symbols.append(symbol)

    def _grow_capacity(self, capacity: int) -> None:
        more = capacity - self._table.capacity
        self._table.grow(capacity)
        self._pending.grow(more)
        self._sequences = np.pad(self._sequences, (0, more))
        self._extremes.grow(capacity)
        self._volume_tracker.grow(capacity)
        self._source_clocks.grow(capacity)


def closed_candles(steps: ClosingSteps) -> PackedCandles:
    """Run all steps without pauses, and return the candles that closed."""
    return np.concatenate([_NO_CANDLES, *(part for part in steps if part is not None)])
