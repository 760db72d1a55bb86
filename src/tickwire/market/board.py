"""The board stores the newest quote of every symbol, and computes quotes from ticks.

One array has a column for each symbol, and the column stores the symbol's prices and totals. The board therefore
applies a batch of ticks in a few dozen whole-array operations. The number of operations does not depend on the number
of ticks.

Boards that apply the same batches in the same order compute the same quotes, to the last bit. A replay of stored ticks
therefore sends the same bytes as the server sent when the ticks were new.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from math import isnan
from typing import Any

import msgspec
import numpy as np

from tickwire.core.arrays import Bools, Floats, Ints, RowArray, Timestamps
from tickwire.core.codec import LargeBytes, encode_large_struct
from tickwire.core.instrument import SYMBOL_BYTES, Instrument
from tickwire.core.tick import NOT_REPORTED, TICK_DTYPE, PackedTicks, are_resets
from tickwire.market.derived_fields import count_decimals
from tickwire.market.dirty_ticks import DirtyTick, DirtyTickCounter, empty_zero_sides
from tickwire.market.quote_columns import QuoteColumns, concatenate_quotes
from tickwire.market.quote_state import (
    EPS,
    HIGH,
    LAST,
    LOW,
    PREV_CLOSE,
    PRICE_SCALE,
    SESSION_PRICE_ROWS,
    SESSION_TOTAL_ROWS,
    SHARES,
    STATE_ROWS,
    TURNOVER,
    VOLUME,
)
from tickwire.market.segmented_scan import Segments, last_known
from tickwire.market.session_extremes import SessionExtremes
from tickwire.market.single_tick import apply_tick, begin_session
from tickwire.market.sorted_batch import SortedBatch, compute_states, omit_earlier_sessions
from tickwire.market.symbol_column import SymbolColumn
from tickwire.market.tick_order import NO_LIMIT_NS, TickOrder
from tickwire.market.trading_sessions import TradingSessions

# In a packed tick, the numbers follow the symbol and the time. Both occupy whole words of 8 bytes.
_FIRST_NUMBER_WORD = SYMBOL_BYTES // 8 + 1
_INITIAL_CAPACITY = 128
_SESSION_SCAN_ROWS = 256
# The maximum number of ticks for which a loop over the ticks is faster than operations on arrays.
_MAX_FEW_TICKS = 8


class _BoardSnapshot(msgspec.Struct, frozen=True):
    """The format of the bytes that `Board.save` returns and `Board.restore` reads."""

    symbols: list[str]
    state: LargeBytes
    sequences: LargeBytes
    ts: LargeBytes
    days: LargeBytes
    # The times of the newest trades and of the newest bids and asks. Snapshots of earlier versions lack these times.
    trade_ts: LargeBytes = b""
    quote_ts: LargeBytes = b""
    # The highest and lowest trade prices of the sessions. Snapshots of earlier versions lack these prices.
    extremes: LargeBytes = b""


def _encode_snapshot(snapshot: _BoardSnapshot, encode_extremes: Callable[[], bytes]) -> bytes:
    return encode_large_struct(msgspec.structs.replace(snapshot, extremes=encode_extremes()))


class Board:
    """The newest quote of every symbol.

    `instruments` contains the reference data of symbols. The first tick of a symbol adds the symbol to the board, even
    if the symbol has no reference data. A session is a UTC day unless `sessions` define other sessions. The first tick
    of a symbol in a later session resets the symbol's open, high, low, volume and turnover. At this tick, the symbol's
    last price becomes `prev_close`. A tick that resets a symbol returns the symbol to the state before the symbol's
    first tick. `dirty_ticks` counts the applied ticks that are late or have unusual prices.
    """

    def __init__(self, instruments: Iterable[Instrument] = (), sessions: TradingSessions | None = None) -> None:
        self._sessions = sessions or TradingSessions()
        self.instruments = {instrument.symbol: instrument for instrument in instruments}
        self.symbols: list[str] = []
        self._row_by_symbol: dict[bytes, int] = {}
        self._state = np.empty((len(STATE_ROWS), 0))
        self._sequences = np.empty(0, np.int64)
        self._ts = np.empty(0, np.int64)
        self._session_days = np.empty(0, np.int64)
        self._uniqueness_marks = np.empty(0, np.intp)
        self._symbol_column = SymbolColumn()
        self._order = TickOrder()
        self._extremes = SessionExtremes()
        self.dirty_ticks = DirtyTickCounter()

    def __len__(self) -> int:
        return len(self.symbols)

    @property
    def sequences(self) -> Ints:
        """The sequence number of each symbol's newest tick, in the order of `symbols`."""
        return self._sequences[: len(self)]

    @property
    def newest_ts(self) -> int:
        """The time of the newest tick of all symbols, in nanoseconds since the Unix epoch, or 0 without ticks."""
        return int(self._ts[: len(self)].max(initial=0))

    @property
    def symbol_column(self) -> SymbolColumn:
        """The symbols as a column, in which one search finds all symbols that match a pattern."""
        self._symbol_column.extend(self.symbols[len(self._symbol_column) :])
        return self._symbol_column

    def find_row(self, symbol: str) -> int | None:
        """Return the index of a symbol on the board, or None before the symbol's first tick."""
        return self._row_by_symbol.get(symbol.encode())

    def find_rows(self, symbols: Iterable[bytes]) -> list[int]:
        """Return the board index of each symbol in `symbols`. Raise KeyError if a symbol is not on the board."""
        return [self._row_by_symbol[symbol] for symbol in symbols]

    def find_leading_rows(self, symbols: Iterable[bytes]) -> list[int]:
        """Return the row of each symbol on the board, up to the first symbol that is not on the board."""
        rows = list[int]()
        for symbol in symbols:
            row = self._row_by_symbol.get(symbol)
            if row is None:
                break
            rows.append(row)
        return rows

    def unknown_symbols(self, symbols: Iterable[bytes]) -> set[str]:
        """Return the set of the symbols in `symbols` that are not on the board."""
        return {symbol.decode("ascii") for symbol in set(symbols).difference(self._row_by_symbol)}

    def new_symbols(self, symbols: Iterable[bytes]) -> list[str]:
        """Return the symbols in `symbols` that are not on the board, in the order in which `apply` adds them."""
        known = self._row_by_symbol
        return [symbol.decode("ascii") for symbol in dict.fromkeys(symbols) if symbol not in known]

    def apply(self, ticks: PackedTicks, first_sequence: int, now: int = NO_LIMIT_NS) -> QuoteColumns:
        """Apply ticks in order, and return the quote after each tick.

        The first tick has the sequence number `first_sequence`, and each later tick has the next number. `now` is the
        time at which the ticks arrived, in nanoseconds since the Unix epoch. The time of a tick may be later than
        `now`.
        """
        if len(ticks) <= _MAX_FEW_TICKS:
            tuples = ticks.tolist()
            row_list = self._find_or_add_rows([symbol for symbol, *_ in tuples])
            is_plain = self._order.advance_if_plain(tuples, row_list, now)
            if is_plain and len(tuples) == 1:
                return self._apply_single(tuples[0], ticks["ts"], row_list[0], first_sequence)
        else:
            row_list, is_plain = self._find_or_add_rows(ticks["symbol"].tolist()), False
        rows = np.array(row_list, np.intp)
        if are_resets(ticks):
            return self._reset(ticks, rows, first_sequence)
        days = self._sessions.days(ticks["ts"])
        marks = None
        if not is_plain:
            self.dirty_ticks.count_times(ticks["ts"], now)
            ticks, marks = self._omit_late_values(ticks, rows, now)
        parts, begin = [], 0
        while begin < len(ticks):
            end = begin + self._session_prefix_length(rows[begin:], days[begin:])
            parts.append(
                self._apply_within_session(
                    ticks[begin:end],
                    rows[begin:end],
                    days[begin:end],
                    first_sequence + begin,
                    None if marks is None else marks[:, begin:end],
                    is_plain=is_plain,
                )
            )
            begin = end
        return concatenate_quotes(parts) if parts else self.quotes([])

    def quotes(self, rows: Sequence[int] | RowArray | None = None) -> QuoteColumns:
        """Return the newest quotes of the symbols at the indexes `rows` of the board.

        If `rows` is None, return the quotes of all symbols.
        """
        at = np.arange(len(self)) if rows is None else np.asarray(rows, np.intp)
        return QuoteColumns(at, self.symbols, self._state[:, at], self._ts[at])

    def newest_trade_ts(self, symbol: bytes) -> int | None:
        """Return the time of a symbol's newest trade in nanoseconds since the Unix epoch, or None without a trade."""
        row = self._row_by_symbol.get(symbol)
        return None if row is None else self._order.newest_trade_ts(row)

    def last_prices(self) -> dict[str, float]:
        """Return the last price of each symbol as a dict, without the symbols whose last price is unknown."""
        last = self._state[LAST, : len(self)].tolist()
        return {symbol: price for symbol, price in zip(self.symbols, last, strict=True) if not isnan(price)}

    def tick_times(self) -> dict[str, int]:
        """Return the time of each symbol's newest tick as a dict, in nanoseconds since the Unix epoch."""
        return dict(zip(self.symbols, self._ts[: len(self)].tolist(), strict=True))

    def capture(self) -> Callable[[], bytes]:
        """Copy the state of the board, and return a function that encodes the copy for `restore`.

        The copy takes a few milliseconds. A call of the function takes longer. Any thread may call it.
        """
        count = len(self)
        snapshot = _BoardSnapshot(
            symbols=list(self.symbols),
            state=self._state[:, :count].tobytes(),
            sequences=self._sequences[:count].tobytes(),
            ts=self._ts[:count].tobytes(),
            days=self._session_days[:count].tobytes(),
            trade_ts=self._order.trade_ts[:count].tobytes(),
            quote_ts=self._order.quote_ts[:count].tobytes(),
        )
        return partial(_encode_snapshot, snapshot, self._extremes.capture(count))

    def save(self) -> bytes:
        """Return the state of the board as bytes, which `restore` accepts."""
        return self.capture()()

    def restore(self, data: LargeBytes) -> None:
        """Restore the state in `data`, the result of an earlier call of `save`.

        The reference data of `instruments` replaces the reference data in the state.
        """
        snapshot = msgspec.msgpack.decode(data, type=_BoardSnapshot)
        count = len(snapshot.symbols)
        self.symbols = snapshot.symbols
        self._row_by_symbol = {symbol.encode(): row for row, symbol in enumerate(snapshot.symbols)}
        self._state = np.frombuffer(snapshot.state).reshape(len(STATE_ROWS), count).copy()
        self._sequences = np.frombuffer(snapshot.sequences, np.int64).copy()
        self._ts = np.frombuffer(snapshot.ts, np.int64).copy()
        self._session_days = np.frombuffer(snapshot.days, np.int64).copy()
        self._uniqueness_marks = np.zeros(count, np.intp)
        self._symbol_column = SymbolColumn()
        self._order = TickOrder()
        self._order.grow(count)
        if snapshot.trade_ts:
            self._order.trade_ts = np.frombuffer(snapshot.trade_ts, np.int64).copy()
            self._order.quote_ts = np.frombuffer(snapshot.quote_ts, np.int64).copy()
        if snapshot.extremes:
            self._extremes.restore(snapshot.extremes)
        else:
            self._extremes.restore_bounds(
                last_known(np.full(count, np.inf), self._state[LOW]),
                last_known(np.full(count, -np.inf), self._state[HIGH]),
            )
        self._refresh_reference_data()

    def _refresh_reference_data(self) -> None:
        """Replace the earnings and shares of all symbols. Add the previous close of symbols that have none yet."""
        known = [(self._row_by_symbol.get(symbol.encode()), each) for symbol, each in self.instruments.items()]
        rows = [row for row, _ in known if row is not None]
        # NumPy converts None to NaN, which stands for an unknown number.
        numbers = np.array(
            [(each.eps, each.shares, each.prev_close) for row, each in known if row is not None], np.float64
        ).reshape(-1, 3)
        eps, shares, prev_close = numbers.T
        self._state[EPS, rows] = last_known(self._state[EPS, rows], eps)
        self._state[SHARES, rows] = last_known(self._state[SHARES, rows], shares)
        self._state[PREV_CLOSE, rows] = last_known(prev_close, self._state[PREV_CLOSE, rows])

    def _omit_late_values(self, ticks: PackedTicks, rows: RowArray, now: int) -> tuple[PackedTicks, Bools | None]:
        """Return the ticks without the values that are too late to change a quote, and two rows of marks.

        If the batch has no late tick and no withdrawal, return None instead of the marks. The first row of marks is
        True for each tick that reports a late trade or withdraws a trade. Such a tick does not change the last price.
        The tick keeps its own price, because the price may change the high and the low of the session. The second row
        of marks is True for each tick that restates the last price after a cancel. In the returned ticks, the time of a
        late tick is the time of its symbol's quote.
        """
        is_withdrawal = ticks["size"] < 0.0
        late = self._order.advance(ticks, rows, now)
        if late is None:
            return ticks, None
        is_restated = _restated_mask(ticks)
        late.trades[is_restated] = False
        self.dirty_ticks.add(DirtyTick.WITHDRAWAL, int(np.count_nonzero(is_withdrawal)))
        self.dirty_ticks.add(DirtyTick.LATE_TRADE, int(np.count_nonzero(late.trades)))
        self.dirty_ticks.add(DirtyTick.LATE_QUOTE, int(np.count_nonzero(late.quotes)))
        timely = ticks.copy()
        timely["ts"] = late.ts
        for name in ("bid", "ask", "bid_size", "ask_size"):
            timely[name][late.quotes] = NOT_REPORTED
        timely["volume"][late.trades] = NOT_REPORTED
        return timely, np.stack([late.trades | is_withdrawal, is_restated])

    def _apply_single(self, tick: tuple[Any, ...], times: Timestamps, row: int, sequence: int) -> QuoteColumns:
        """Apply a batch of one tick that is not late and has usual numbers. `times` contains the time of the tick.

        Most publishers of single ticks wait for the answer, so this path must be fast. In this path, the method `item`
        of an array is faster than an index, because it returns a Python number.
        """
        _, ts, *numbers = tick
        day, state = self._sessions.session_at(ts).day, self._state[:, row].tolist()
        if day > self._session_days.item(row):
            begin_session(state)
            self._forget_extremes(np.array([row]))
            self._session_days[row] = day
        before = state[LAST]
        apply_tick(state, numbers)
        self._extremes.add_single(row, numbers[0])
        self.dirty_ticks.count_single(before, state, numbers)
        column = np.array(state)
        self._state[:, row] = column
        self._sequences[row], self._ts[row] = sequence, ts
        return QuoteColumns(np.array([row]), self.symbols, column[:, np.newaxis], times)

    def _reset(self, ticks: PackedTicks, rows: RowArray, first_sequence: int) -> QuoteColumns:
        """Reset the symbols to the state before their first tick. The returned quotes have the times of `ticks`."""
        state = _initial_states([self.instruments.get(self.symbols[row]) for row in rows.tolist()])
        self._store_states(rows, state, first_sequence + np.arange(len(rows)), ticks["ts"])
        self._forget_extremes(rows)
        self._session_days[rows] = -1
        self._order.reset(rows)
        return QuoteColumns(rows, self.symbols, state, ticks["ts"])

    def _apply_within_session(
        self,
        ticks: PackedTicks,
        rows: RowArray,
        days: Ints,
        first_sequence: int,
        marks: Bools | None,
        *,
        is_plain: bool,
    ) -> QuoteColumns:
        words = ticks.view("<f8").reshape(len(ticks), TICK_DTYPE.itemsize // 8)
        if self._are_unique(rows):
            batch = self._build_batch(words, rows, marks, unique=True, is_plain=is_plain)
            state = self._compute_states(batch, days)
            self._store_states(rows, state, first_sequence + np.arange(len(rows)), ticks["ts"])
            return QuoteColumns(rows, self.symbols, state, ticks["ts"])
        order = np.argsort(rows, kind="stable")
        marks = None if marks is None else marks[:, order]
        batch = self._build_batch(words[order], rows[order], marks, is_plain=is_plain)
        state = self._compute_states(batch, days[order])
        last = batch.segments.last_rows
        self._store_states(batch.rows[last], state[:, last], first_sequence + order[last], ticks["ts"][order[last]])
        inverse = np.empty_like(order)
        inverse[order] = np.arange(len(order))
        return QuoteColumns(rows, self.symbols, state[:, inverse], ticks["ts"])

    def _are_unique(self, rows: RowArray) -> bool:
        """Return whether `rows` contains no index twice.

        The method writes a different mark into an array at each index in `rows`, and then reads the marks. If an index
        occurs twice, its second mark has replaced its first mark.
        """
        marks = np.arange(len(rows))
        self._uniqueness_marks[rows] = marks
        return bool((self._uniqueness_marks[rows] == marks).all())

    def _build_batch(
        self, words: Floats, rows: RowArray, marks: Bools | None, *, unique: bool = False, is_plain: bool
    ) -> SortedBatch:
        reported = np.array(words[:, _FIRST_NUMBER_WORD:].T, order="C")
        if not is_plain:
            self.dirty_ticks.add(DirtyTick.ZERO_SIDED, empty_zero_sides(reported))
        unpriced, restated = (None, None) if marks is None else marks
        return SortedBatch(
            rows, Segments(rows, unique=unique), reported, self._state[:, rows], unpriced, restated, None, is_plain
        )

    def _compute_states(self, batch: SortedBatch, days: Ints) -> Floats:
        """Return the state of each tick's symbol after the tick."""
        self._start_new_sessions(batch, days)
        if batch.unpriced is not None:
            batch = omit_earlier_sessions(batch, days < self._session_days[batch.rows])
        state = compute_states(batch)
        self._extremes.apply(batch, state)
        count = self.dirty_ticks.count_few_prices if batch.is_plain else self.dirty_ticks.count_prices
        count(batch.segments, batch.reported, state, batch.prior_state)
        return state

    def _store_states(self, rows: RowArray, state: Floats, sequences: RowArray, ts: Ints) -> None:
        self._state[:, rows] = state
        self._sequences[rows] = sequences
        self._ts[rows] = ts

    def _session_prefix_length(self, rows: RowArray, days: Ints) -> int:
        """Count the ticks, from the start of the batch, that can be applied together.

        Two ticks of a symbol cannot be applied together if a new session begins between them. `rows` contains the index
        of each tick's symbol. `days` contains the day of each tick's session.
        """
        if days[0] == days[-1] and days.min() == days.max():
            return len(rows)
        newest: dict[int, int] = {}
        # Read the ticks in parts, because the first part often determines the result. The caller calls this method
        # again for the remaining ticks, so a scan of all ticks would be repeated each time.
        for begin in range(0, len(rows), _SESSION_SCAN_ROWS):
            part = zip(
                rows[begin : begin + _SESSION_SCAN_ROWS].tolist(),
                days[begin : begin + _SESSION_SCAN_ROWS].tolist(),
                strict=True,
            )
            for index, (row, day) in enumerate(part, begin):
                if day > newest.setdefault(row, max(day, int(self._session_days[row]))):
                    return index
        return len(rows)

    def _start_new_sessions(self, batch: SortedBatch, days: Ints) -> None:
        # Only the first tick of a symbol can begin a session, because `_session_prefix_length` has cut the batch before
        # a tick that would begin another session.
        later = batch.segments.broadcast_first(days > self._session_days[batch.rows])
        if not later.any():
            return
        prior = batch.prior_state
        prior[PREV_CLOSE, later] = last_known(prior[PREV_CLOSE, later], prior[LAST, later])
        prior[SESSION_PRICE_ROWS, later] = np.nan
        prior[SESSION_TOTAL_ROWS, later] = 0.0
        self._forget_extremes(batch.rows[later])
        np.maximum.at(self._session_days, batch.rows, days)

    def _forget_extremes(self, rows: RowArray) -> None:
        """Forget the highest and lowest prices of the sessions that end.

        Skip symbols without ticks, which have no such prices.
        """
        ended = rows[self._session_days[rows] >= 0]
        if len(ended):
            self._extremes.remove_symbols(ended)

    def _find_or_add_rows(self, symbols: list[bytes]) -> list[int]:
        try:
            return list(map(self._row_by_symbol.__getitem__, symbols))
        except KeyError:
            self._add_symbols(self.new_symbols(symbols))
            return self._find_or_add_rows(symbols)

    def _add_symbols(self, symbols: Sequence[str]) -> None:
        first, end = len(self), len(self) + len(symbols)
        if end > self._state.shape[1]:
            self._grow_capacity(max(_INITIAL_CAPACITY, first * 2, end))
        self._state[:, first:end] = _initial_states([self.instruments.get(symbol) for symbol in symbols])
        self._sequences[first:end] = self._ts[first:end] = 0
        self._session_days[first:end] = -1
        self._row_by_symbol.update(zip(map(str.encode, symbols), range(first, end), strict=True))
        self.symbols += symbols

    def _grow_capacity(self, capacity: int) -> None:
        more = capacity - self._state.shape[1]
        self._state = np.pad(self._state, ((0, 0), (0, more)))
        self._order.grow(capacity)
        self._extremes.grow(capacity)
        self._sequences, self._ts, self._session_days, self._uniqueness_marks = (
            np.pad(array, (0, more))
            for array in (self._sequences, self._ts, self._session_days, self._uniqueness_marks)
        )


def _restated_mask(ticks: PackedTicks) -> Bools:
    """Return a boolean array that is True for each tick that reports the last price after a cancel.

    Such a tick has a price and no size. It follows the tick that withdraws the trade, and has the same symbol and time.
    Its price is the price of an earlier trade, and always becomes the last price, even if the cancelled trade is old.
    """
    before, after = ticks[:-1], ticks[1:]
    is_restated = (before["size"] < 0.0) & (before["symbol"] == after["symbol"]) & (before["ts"] == after["ts"])
    is_restated &= np.isnan(after["size"]) & np.isfinite(after["last"])
    return np.append(False, is_restated)


def _initial_states(instruments: Sequence[Instrument | None]) -> Floats:
    """Return the state of symbols before their first tick: one column for each symbol.

    `instruments` contains the reference data of the symbols. An element is None for a symbol without reference data.
    """
    states = np.full((len(STATE_ROWS), len(instruments)), np.nan)
    states[[VOLUME, TURNOVER]] = 0.0
    states[PRICE_SCALE] = 1.0
    known = [(column, instrument) for column, instrument in enumerate(instruments) if instrument is not None]
    if known:
        columns = [column for column, _ in known]
        # NumPy converts None to NaN, which stands for an unknown number.
        values = [(each.prev_close, each.eps, each.shares, each.tick_size or 1.0) for _, each in known]
        numbers = np.array(values, np.float64).T
        states[np.ix_([PREV_CLOSE, EPS, SHARES], columns)] = numbers[:3]
        sizes, places = np.unique(numbers[3], return_inverse=True)
        states[PRICE_SCALE, columns] = np.array([10.0 ** count_decimals(size) for size in sizes.tolist()])[places]
    return states
