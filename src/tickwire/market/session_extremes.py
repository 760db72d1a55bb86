"""The highest and lowest trade prices of each symbol's session, which change if a trade is cancelled or corrected.

For each symbol, the highest 32 and the lowest 32 different prices of the session are stored, each with its number of
trades. Prices between them are not stored, so the memory is bounded. The withdrawal of a trade reduces the number of
trades at its price. The high and the low of the session are therefore exact, unless all 32 prices on one side are
withdrawn.

Trades are collected, and added to the stored prices of many symbols later in one operation. The result does not depend
on the time of this operation, because the order of the added trades makes no difference.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Sequence
from functools import partial
from math import inf, isnan, nan
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from tickwire.core.arrays import Bools, Floats, Ints, RowArray
from tickwire.core.codec import LargeBytes, encode_large_struct
from tickwire.market.quote_state import LAST, SESSION_PRICE_ROWS
from tickwire.market.sorted_batch import SortedBatch
from tickwire.market.trade_collector import TradeCollector

PRICES_PER_SIDE = 32
# The number of symbols whose prices are stored in one table. A table has at most 65,536 prices, so a change takes a few
# milliseconds.
_SYMBOLS_PER_TABLE = 1_024
# A sentinel in the array of collected prices. An item with this price is not a trade: it marks the start of the
# symbol's next session.
_NEXT_SESSION = inf
_BOUND_BYTES = 8


class _ExtremesSnapshot(msgspec.Struct, frozen=True):
    """The format of the bytes in a snapshot. All symbols are in one table."""

    keys: LargeBytes
    counts: LargeBytes
    low_bounds: LargeBytes
    high_bounds: LargeBytes


class SymbolExtremes:
    """The stored prices of one symbol, as Python numbers.

    The stored prices are those at or below `low_bound`, and those at or above `high_bound`. If all prices of the
    session are stored, the bounds are infinite.
    """

    def __init__(self, counts: dict[float, int], low_bound: float, high_bound: float) -> None:
        self.counts = counts
        self.low_bound = low_bound
        self.high_bound = high_bound
        self._prices = sorted(counts)

    @property
    def is_empty(self) -> bool:
        """Whether the session is known to have no trades."""
        return not self._prices and self.low_bound == inf

    @property
    def highest(self) -> float | None:
        """The highest price, or None if it is not known."""
        return self._prices[-1] if self._prices and self._prices[-1] >= self.high_bound else None

    @property
    def lowest(self) -> float | None:
        """The lowest price, or None if it is not known."""
        return self._prices[0] if self._prices and self._prices[0] <= self.low_bound else None

    def add(self, price: float) -> None:
        """Add a trade."""
        if not (price <= self.low_bound or price >= self.high_bound):
            return
        count = self.counts.get(price, 0)
        self.counts[price] = count + 1
        if not count:
            insort(self._prices, price)
            self._limit()

    def withdraw(self, price: float) -> None:
        """Remove one trade at a price. Do nothing if the price is not stored."""
        count = self.counts.get(price, 0)
        if count > 1:
            self.counts[price] = count - 1
        elif count:
            del self.counts[price]
            self._prices.remove(price)

    def _limit(self) -> None:
        prices, limit = self._prices, PRICES_PER_SIDE
        if self.low_bound == inf:
            is_low_full = is_high_full = len(prices) > 2 * limit
        else:
            is_low_full = bisect_right(prices, self.low_bound) > limit
            is_high_full = len(prices) - bisect_left(prices, self.high_bound) > limit
        if is_low_full:
            self.low_bound = prices[limit - 1]
        if is_high_full:
            self.high_bound = prices[-limit]
        for price in prices[bisect_right(prices, self.low_bound) : bisect_left(prices, self.high_bound)]:
            del self.counts[price]
            self._prices.remove(price)


class _CollectedTrades(NamedTuple):
    """Trades in the order of their arrival. An item for a tick without a trade has the price NaN."""

    rows: RowArray
    prices: Floats


class _Table:
    """The stored prices of some symbols, and the collected trades of these symbols.

    A key is a complex number, because NumPy sorts complex numbers by their real parts, and then by their imaginary
    parts. The real part is the index of the symbol in the table, and the imaginary part is the price. `counts` contains
    the number of trades of each key. `SymbolExtremes` explains the bounds.
    """

    def __init__(self, symbol_count: int) -> None:
        self.keys = np.empty(0, np.complex128)
        self.counts = np.empty(0, np.int32)
        self.low_bounds = np.full(symbol_count, inf)
        self.high_bounds = np.full(symbol_count, -inf)
        self._collected: list[_CollectedTrades] = []
        self.collected_count = 0

    def copy(self) -> _Table:
        """Return a copy that another thread may use.

        The copy shares the arrays of keys, because no code changes these arrays in place.
        """
        copied = _Table(0)
        copied.keys, copied.counts = self.keys, self.counts.copy()
        copied.low_bounds, copied.high_bounds = self.low_bounds.copy(), self.high_bounds.copy()
        copied._collected, copied.collected_count = list(self._collected), self.collected_count
        return copied

    def collect(self, trades: _CollectedTrades) -> None:
        self._collected.append(trades)
        self.collected_count += len(trades.rows)

    def add_collected(self) -> None:
        """Add the collected trades to the stored prices."""
        if not self.collected_count:
            return
        rows, prices = map(np.concatenate, zip(*self._collected, strict=True))
        self._collected, self.collected_count = [], 0
        begins = np.flatnonzero(prices == _NEXT_SESSION)
        if len(begins):
            # The index of the item that begins the present session of each symbol, or -1 if all items belong to this
            # session.
            session_begins = np.full(len(self.low_bounds), -1)
            session_begins[rows[begins]] = begins
            self._remove_symbols(session_begins >= 0)
            is_present = np.arange(len(rows)) > session_begins[rows]
            rows, prices = rows[is_present], prices[is_present]
        self._add(rows, prices)

    def _add(self, rows: RowArray, prices: Floats) -> None:
        is_stored = self._is_stored(rows, prices)
        keys, counts = _count_keys(rows[is_stored], prices[is_stored])
        places = np.searchsorted(self.keys, keys)
        is_known = places < len(self.keys)
        is_known[is_known] = self.keys[places[is_known]] == keys[is_known]
        self.counts[places[is_known]] += counts[is_known]
        if not is_known.all():
            self.keys = np.insert(self.keys, places[~is_known], keys[~is_known])
            self.counts = np.insert(self.counts, places[~is_known], counts[~is_known])
            self._limit()

    def read_symbol(self, row: int) -> SymbolExtremes:
        """Return the stored prices of a symbol. They do not include the collected trades."""
        stored = self._slice_of(row)
        prices, counts = self.keys.imag[stored].tolist(), self.counts[stored].tolist()
        return SymbolExtremes(
            dict(zip(prices, counts, strict=True)), float(self.low_bounds[row]), float(self.high_bounds[row])
        )

    def store_symbol(self, row: int, extremes: SymbolExtremes) -> None:
        stored = self._slice_of(row)
        prices = np.array(sorted(extremes.counts), np.float64)
        keys = _make_keys(np.full(len(prices), row), prices)
        counts = np.array([extremes.counts[price] for price in prices.tolist()], np.int32)
        self.keys = np.concatenate([self.keys[: stored.start], keys, self.keys[stored.stop :]])
        self.counts = np.concatenate([self.counts[: stored.start], counts, self.counts[stored.stop :]])
        self.low_bounds[row], self.high_bounds[row] = extremes.low_bound, extremes.high_bound

    def _slice_of(self, row: int) -> slice:
        return slice(*np.searchsorted(self.keys, _make_keys(np.array([row, row + 1]), np.array([-inf, -inf]))).tolist())

    def _remove_symbols(self, is_removed: Bools) -> None:
        self._select(~is_removed[self._key_rows()])
        self.low_bounds[is_removed], self.high_bounds[is_removed] = inf, -inf

    def _limit(self) -> None:
        """Remove the prices between the highest and the lowest prices of each symbol (see `SymbolExtremes`)."""
        rows, limit, symbol_count = self._key_rows(), PRICES_PER_SIDE, len(self.low_bounds)
        counts = np.bincount(rows, minlength=symbol_count)
        if counts.max() <= limit:
            return
        prices = self.keys.imag
        low_counts = np.bincount(rows[prices <= self.low_bounds[rows]], minlength=symbol_count)
        high_counts = np.bincount(rows[prices >= self.high_bounds[rows]], minlength=symbol_count)
        is_overfull = np.isinf(self.low_bounds) & (counts > 2 * limit)
        is_limited = np.isfinite(self.low_bounds)
        low = np.flatnonzero(is_overfull | (is_limited & (low_counts > limit)))
        high = np.flatnonzero(is_overfull | (is_limited & (high_counts > limit)))
        if len(low) or len(high):
            ends = np.cumsum(counts)
            self.low_bounds[low] = prices[ends[low] - counts[low] + limit - 1]
            self.high_bounds[high] = prices[ends[high] - limit]
            self._select(self._is_stored(rows, prices))

    def _is_stored(self, rows: RowArray, prices: Floats) -> Bools:
        # A price of NaN is not stored, because every comparison with NaN is false.
        is_stored: Bools = (prices <= self.low_bounds[rows]) | (prices >= self.high_bounds[rows])
        return is_stored

    def _key_rows(self) -> RowArray:
        return self.keys.real.astype(np.intp)

    def _select(self, selection: Bools) -> None:
        self.keys, self.counts = self.keys[selection], self.counts[selection]


def _encode_tables(tables: Sequence[_Table], count: int) -> bytes:
    """Encode the prices of the first `count` symbols, table by table.

    The bytes of one table are few, so other threads can run between two tables.
    """
    for table in tables:
        table.add_collected()
    return encode_large_struct(
        _ExtremesSnapshot(
            b"".join([(table.keys + number * _SYMBOLS_PER_TABLE).tobytes() for number, table in enumerate(tables)]),
            b"".join([table.counts.tobytes() for table in tables]),
            b"".join([table.low_bounds.tobytes() for table in tables])[: count * _BOUND_BYTES],
            b"".join([table.high_bounds.tobytes() for table in tables])[: count * _BOUND_BYTES],
        )
    )


class SessionExtremes:
    """The highest and lowest trade prices of each symbol's session. A symbol is identified by its row on the board."""

    def __init__(self) -> None:
        self._tables: list[_Table] = []
        self._collector = TradeCollector(_CollectedTrades, (np.intp, np.float64), _SYMBOLS_PER_TABLE)

    def grow(self, capacity: int) -> None:
        """Create tables for `capacity` symbols."""
        while len(self._tables) * _SYMBOLS_PER_TABLE < capacity:
            self._tables.append(_Table(_SYMBOLS_PER_TABLE))

    def apply(self, batch: SortedBatch, state: Floats) -> None:
        """Add the trades of a batch.

        If the batch withdraws trades of a symbol, correct the open, high and low of the symbol in `state`, which has
        one column for each tick.
        """
        withdrawals, rows, prices = batch.withdrawals, batch.rows, batch.trade_prices
        if withdrawals is not None and withdrawals.any():
            corrected = np.unique(rows[withdrawals])
            is_corrected = np.isin(rows, corrected)
            for row in corrected.tolist():
                self._correct(row, np.flatnonzero(rows == row), batch, state)
            rows, prices = rows[~is_corrected], prices[~is_corrected]
        # Copy the prices, because they may be a part of a larger array.
        self._collect(_CollectedTrades(rows, prices.copy()))

    def add_single(self, row: int, price: float) -> None:
        """Add one trade. If the price is NaN, the tick reports no trade."""
        self._collector.collect_single(row, price)
        self._add_if_full()

    def remove_symbols(self, rows: RowArray) -> None:
        """Forget the trades of some symbols, because the next sessions of these symbols begin."""
        self._collect(_CollectedTrades(rows, np.full(len(rows), _NEXT_SESSION)))

    def capture(self, count: int) -> Callable[[], bytes]:
        """Copy the prices of the first `count` symbols, and return a function that encodes the copy for `restore`."""
        self._collector.distribute(self._tables)
        return partial(_encode_tables, [table.copy() for table in self._tables], count)

    def restore(self, data: LargeBytes) -> None:
        """Restore the prices that `data` contains. `capture` returned the function that encoded `data`."""
        snapshot = msgspec.msgpack.decode(data, type=_ExtremesSnapshot)
        keys, counts = np.frombuffer(snapshot.keys, np.complex128), np.frombuffer(snapshot.counts, np.int32)
        self.restore_bounds(np.frombuffer(snapshot.low_bounds), np.frombuffer(snapshot.high_bounds))
        begins = np.searchsorted(keys.real, np.arange(len(self._tables) + 1) * _SYMBOLS_PER_TABLE).tolist()
        for number, table in enumerate(self._tables):
            stored = slice(begins[number], begins[number + 1])
            table.keys = keys[stored] - number * _SYMBOLS_PER_TABLE
            table.counts = counts[stored].copy()

    def restore_bounds(self, low_bounds: Floats, high_bounds: Floats) -> None:
        """Restore symbols without stored prices. The trades between the bounds of a symbol are unknown."""
        self._collector.distribute(self._tables)
        self._tables.clear()
        self.grow(len(low_bounds))
        for number, table in enumerate(self._tables):
            part = slice(number * _SYMBOLS_PER_TABLE, (number + 1) * _SYMBOLS_PER_TABLE)
            for bounds, saved in ((table.low_bounds, low_bounds[part]), (table.high_bounds, high_bounds[part])):
                bounds[: len(saved)] = saved

    def _correct(self, row: int, columns: RowArray, batch: SortedBatch, state: Floats) -> None:
        """Apply the ticks of one symbol, some of which withdraw trades."""
        self._collector.distribute(self._tables)
        table, table_row = self._tables[row // _SYMBOLS_PER_TABLE], row % _SYMBOLS_PER_TABLE
        table.add_collected()
        extremes = table.read_symbol(table_row)
        session_prices = batch.prior_state[SESSION_PRICE_ROWS, columns[0]].tolist()
        restated = [False] * len(columns) if batch.restated is None else batch.restated[columns].tolist()
        sizes, prices = batch.sizes[columns].tolist(), batch.trade_prices[columns].tolist()
        reported = batch.reported[LAST, columns].tolist()
        ticks = zip(columns.tolist(), sizes, prices, reported, restated, strict=True)
        for column, size, price, reported_price, is_restated in ticks:
            if size < 0.0:
                extremes.withdraw(reported_price)
                session_prices = _session_prices_after_withdrawal(extremes, *session_prices)
            elif not isnan(price) and not is_restated:
                extremes.add(price)
                session_prices = _session_prices_after_trade(price, *session_prices)
            state[SESSION_PRICE_ROWS, column] = session_prices
        table.store_symbol(table_row, extremes)

    def _collect(self, trades: _CollectedTrades) -> None:
        if len(trades.rows):
            self._collector.collect(trades)
            self._add_if_full()

    def _add_if_full(self) -> None:
        if self._collector.is_full:
            for number in self._collector.select_fullest(self._tables):
                self._tables[number].add_collected()


def _session_prices_after_trade(price: float, opened: float, high: float, low: float) -> list[float]:
    """Return the open, high and low of a session after a trade. NaN means unknown."""
    return [
        price if isnan(opened) else opened,
        high if price <= high else price,
        low if price >= low else price,
    ]


def _session_prices_after_withdrawal(extremes: SymbolExtremes, opened: float, high: float, low: float) -> list[float]:
    """Return the open, high and low of a session after a withdrawal."""
    if extremes.is_empty:
        return [nan, nan, nan]
    highest, lowest = extremes.highest, extremes.lowest
    # If all stored prices on one side are withdrawn, the remaining trades lie beyond the bound, and their prices are
    # unknown. Then use the bound.
    return [
        opened,
        min(high, extremes.high_bound) if highest is None else highest,
        max(low, extremes.low_bound) if lowest is None else lowest,
    ]


def _count_keys(rows: RowArray, prices: Floats) -> tuple[NDArray[np.complex128], Ints]:
    """Count the trades of each pair of row and price.

    Return the distinct pairs in ascending order, as complex numbers (row + price * i), and the number of trades of each
    pair.
    """
    # Sort the trades by their prices, and then sort the result by the rows. The order of the prices in each row stays.
    # Together, these two sorts take a third of the time that NumPy needs to sort the keys, which are complex numbers.
    order = np.argsort(prices)
    order = order[np.argsort(rows[order].astype(np.uint16), kind="stable")]
    keys = _make_keys(rows[order], prices[order])
    begins = np.flatnonzero(np.append(True, keys[1:] != keys[:-1])) if len(keys) else np.empty(0, np.intp)
    return keys[begins], np.diff(np.append(begins, len(keys)))


def _make_keys(rows: RowArray, prices: Floats) -> NDArray[np.complex128]:
    keys = np.empty(len(rows), np.complex128)
    keys.real, keys.imag = rows, prices
    return keys
