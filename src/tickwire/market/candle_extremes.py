"""The highest and lowest trade prices of each symbol's newest candles, which change if a trade is cancelled.

The newest candles of a symbol, one for each interval, overlap. The set of the candles that contain a trade is the group
of the trade. When a candle ends, two groups may become one group, and no group is ever divided. For each group, the
`PRICES_PER_SIDE` highest and lowest different prices are stored, each with its number of trades. The high and the low
of a candle are therefore exact, unless all stored prices on one side of one of its groups are cancelled.

Trades are collected, and added to the stored prices of many symbols later in one operation, like the prices of sessions
(see `tickwire.market.session_extremes`). The operation happens after a fixed number of trades, so all processes that
apply the same batches store the same prices. A cancel is collected as a trade with a negative count.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from tickwire.core.arrays import Bools, Floats, Ints, RowArray
from tickwire.core.codec import LargeBytes, encode_large_struct
from tickwire.market.trade_collector import TradeCollector

PRICES_PER_SIDE = 8
# The number of symbols whose prices are stored in one table. If each symbol has 80 prices, a change of the table takes
# 5 ms.
_SYMBOLS_PER_TABLE = 512
# The collected trades of a table are in several parts, and each cancel reads all of them. If a table has more parts
# than this number, a cancel first joins them.
_MAX_PARTS = 8
_ALWAYS_KNOWN = -(2**63)


class CandleWindows(NamedTuple):
    """The newest candles of some symbols.

    `starts` contains the start of each candle in seconds, and has the shape (intervals, symbols). If there is no
    candle, the start is a sentinel that is later than every trade. `pending_seconds` contains one second for each
    symbol. The candles do not contain the trades of this second yet.
    """

    starts: Ints
    pending_seconds: Ints


class StoredTrades(NamedTuple):
    """Trades of several symbols. `counts` contains the number of trades with the same symbol, group and price.

    A cancelled trade has the count -1. The arrays never change.
    """

    rows: RowArray
    seconds: Ints
    prices: Floats
    counts: NDArray[np.int32]

    def select(self, selection: Bools | RowArray | slice) -> StoredTrades:
        return StoredTrades(
            self.rows[selection], self.seconds[selection], self.prices[selection], self.counts[selection]
        )


# The types of the numbers in the columns of `StoredTrades`.
_DTYPES = (np.int32, np.int64, np.float64, np.int32)


class _Snapshot(msgspec.Struct, frozen=True):
    """The format of the bytes in a snapshot.

    `sizes` contains two numbers for each table: its stored and its collected trades. The last element of `sizes` is the
    number of trades that do not belong to a table yet.
    """

    sizes: list[int]
    uncompacted_count: int
    unknown_until: LargeBytes
    rows: LargeBytes = b""
    seconds: LargeBytes = b""
    prices: LargeBytes = b""
    counts: LargeBytes = b""


def _concatenate(parts: list[StoredTrades]) -> StoredTrades:
    if not parts:
        return StoredTrades(np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0), np.empty(0, np.int32))
    if len(parts) == 1:
        return parts[0]
    rows, seconds, prices, counts = zip(*parts, strict=True)
    return StoredTrades(*map(np.concatenate, (rows, seconds, prices, counts)))


class _Table:
    """The stored trades of some symbols, sorted by row, and the collected trades of these symbols."""

    def __init__(self) -> None:
        self.stored = _concatenate([])
        self.collected: list[StoredTrades] = []
        self.collected_count = 0

    def collect(self, trades: StoredTrades) -> None:
        self.collected.append(trades)
        self.collected_count += len(trades.rows)

    def compact(self, windows: CandleWindows) -> None:
        """Add the collected trades to the stored trades, and remove the trades that no candle contains."""
        trades = _concatenate([self.stored, *self.collected])
        self.collected, self.collected_count = [], 0
        groups = (trades.seconds == windows.pending_seconds[trades.rows]).astype(np.uint16)
        for starts in windows.starts:
            groups = 2 * groups + (trades.seconds >= starts[trades.rows])
        is_needed = groups != 0
        if not is_needed.all():
            trades, groups = trades.select(is_needed), groups[is_needed]
        self.stored = _limit(*_merge_equal(trades, groups.astype(np.uint16)))

    def read(self, row: int) -> StoredTrades:
        """Return all trades of a symbol."""
        begin, end = np.searchsorted(self.stored.rows, [row, row + 1]).tolist()
        if len(self.collected) > _MAX_PARTS:
            self.collected = [_concatenate(self.collected)]
        collected = [part.select(part.rows == row) for part in self.collected]
        return _concatenate([self.stored.select(slice(begin, end)), *collected])

    def remove_rows(self, is_removed: Bools) -> None:
        self.stored = self.stored.select(~is_removed[self.stored.rows])
        parts, self.collected, self.collected_count = self.collected, [], 0
        for part in parts:
            self.collect(part.select(~is_removed[part.rows]))


def _merge_equal(trades: StoredTrades, groups: Ints) -> tuple[StoredTrades, Ints]:
    """Sort trades by row, group and price, and merge the trades in which all three are equal."""
    # NumPy sorts numbers of 16 bits in linear time.
    order = np.argsort(trades.prices)
    order = order[np.argsort(groups[order], kind="stable")]
    order = order[np.argsort(trades.rows[order].astype(np.uint16), kind="stable")]
    trades, groups = trades.select(order), groups[order]
    if not len(order):
        return trades, groups
    is_new = np.append(True, trades.prices[1:] != trades.prices[:-1])
    is_new[1:] |= (groups[1:] != groups[:-1]) | (trades.rows[1:] != trades.rows[:-1])
    begins = np.flatnonzero(is_new)
    counts = np.add.reduceat(trades.counts, begins).astype(np.int32)
    # The sort is not stable, so trades at equal prices are in no particular order. Use the earliest second of these
    # trades.
    seconds = np.minimum.reduceat(trades.seconds, begins)
    return trades.select(begins)._replace(counts=counts, seconds=seconds), groups[begins]


def _limit(trades: StoredTrades, groups: Ints) -> StoredTrades:
    """Remove the prices between the highest and the lowest prices of each group."""
    count = len(trades.rows)
    if not count:
        return trades
    is_first = np.append(True, (groups[1:] != groups[:-1]) | (trades.rows[1:] != trades.rows[:-1]))
    begins = np.flatnonzero(is_first)
    sizes = np.diff(np.append(begins, count))
    if sizes.max() <= 2 * PRICES_PER_SIDE:
        return trades
    places = np.arange(count) - np.repeat(begins, sizes)
    from_end = np.repeat(sizes, sizes) - places
    return trades.select((places < PRICES_PER_SIDE) | (from_end <= PRICES_PER_SIDE))


class CandleExtremes:
    """The highest and lowest prices of the newest candles. A symbol is identified by its row in the aggregator.

    `unknown_until` contains a time in seconds for each symbol. Trades up to this time may be missing here.
    """

    def __init__(self) -> None:
        self.unknown_until: Ints = np.empty(0, np.int64)
        self._tables: list[_Table] = []
        self._collector = TradeCollector(StoredTrades, _DTYPES, _SYMBOLS_PER_TABLE)

    @property
    def is_full(self) -> bool:
        """Whether the caller should call `compact`."""
        return self._collector.is_full

    def grow(self, capacity: int) -> None:
        """Create tables for `capacity` symbols."""
        more = capacity - len(self.unknown_until)
        self.unknown_until = np.pad(self.unknown_until, (0, more), constant_values=_ALWAYS_KNOWN)
        while len(self._tables) * _SYMBOLS_PER_TABLE < capacity:
            self._tables.append(_Table())

    def collect(self, rows: RowArray, seconds: Ints, prices: Floats) -> None:
        """Collect trades. The method stores the three arrays, so the caller must not change them."""
        self._collector.collect(StoredTrades(rows, seconds, prices, np.ones(len(rows), np.int32)))

    def collect_single(self, row: int, second: int, price: float) -> None:
        """Collect one trade."""
        self._collector.collect_single(row, second, price, 1)

    def collect_correction(self, row: int, second: int, price: float, count: int) -> None:
        """Collect a trade of a correction.

        `count` is 1 if the correction adds the trade, and -1 if it withdraws the trade.
        """
        columns = (np.array([row % _SYMBOLS_PER_TABLE]), np.array([second]), np.array([price]))
        self._tables[row // _SYMBOLS_PER_TABLE].collect(StoredTrades(*columns, np.array([count], np.int32)))
        self._collector.uncompacted_count += 1

    def compact(self, find_windows: Callable[[slice], CandleWindows]) -> None:
        """Add collected trades to the stored prices, for the tables with the most collected trades.

        `find_windows` returns the newest candles of some symbols.
        """
        for number in self._collector.select_fullest(self._tables):
            part = slice(number * _SYMBOLS_PER_TABLE, (number + 1) * _SYMBOLS_PER_TABLE)
            self._tables[number].compact(find_windows(part))

    def read_trades(self, row: int) -> StoredTrades:
        """Return all trades of a symbol."""
        self._collector.distribute(self._tables)
        return self._tables[row // _SYMBOLS_PER_TABLE].read(row % _SYMBOLS_PER_TABLE)

    def remove_rows(self, rows: RowArray) -> None:
        """Forget the trades of symbols whose market begins again."""
        self._collector.distribute(self._tables)
        self.unknown_until[rows] = _ALWAYS_KNOWN
        numbers, table_rows = np.divmod(rows, _SYMBOLS_PER_TABLE)
        for number in np.unique(numbers).tolist():
            is_removed = np.zeros(_SYMBOLS_PER_TABLE, bool)
            is_removed[table_rows[numbers == number]] = True
            self._tables[number].remove_rows(is_removed)

    def capture(self, count: int) -> Callable[[], bytes]:
        """Return a function that encodes the trades of the first `count` symbols for `restore`.

        Any thread may call the function.

        Arrays of trades never change, so a copy of the lists suffices. The call must not change the stored trades,
        because all processes must store the same prices, even those that save no snapshots.
        """
        stored = [part for table in self._tables for part in (table.stored, *table.collected)]
        waiting = self._collector.read_waiting()
        sizes = [size for table in self._tables for size in (len(table.stored.rows), table.collected_count)]
        sizes.append(sum(len(part.rows) for part in waiting))
        snapshot = _Snapshot(sizes, self._collector.uncompacted_count, self.unknown_until[:count].tobytes())
        return partial(_encode, snapshot, [*stored, *waiting])

    def restore(self, data: LargeBytes) -> None:
        """Restore the trades that `data` contains. `capture` returned the function that encoded `data`."""
        snapshot = msgspec.msgpack.decode(data, type=_Snapshot)
        self.unknown_until = np.frombuffer(snapshot.unknown_until, np.int64).copy()
        trades = StoredTrades(
            np.frombuffer(snapshot.rows, np.int32),
            np.frombuffer(snapshot.seconds, np.int64),
            np.frombuffer(snapshot.prices),
            np.frombuffer(snapshot.counts, np.int32),
        )
        ends = np.cumsum(snapshot.sizes).tolist()
        parts = [trades.select(slice(end - size, end)) for size, end in zip(snapshot.sizes, ends, strict=True)]
        self._tables = [_Table() for _ in parts[:-1:2]]
        for table, stored, collected in zip(self._tables, parts[:-1:2], parts[1:-1:2], strict=True):
            table.stored = stored
            table.collect(collected)
        self._collector.restore([parts[-1]], snapshot.uncompacted_count)

    def restore_unknown(self, unknown_until: Ints) -> None:
        """Restore symbols whose trades up to `unknown_until` are not stored."""
        self.unknown_until = unknown_until
        self._tables = []
        self._collector.restore([], 0)
        self.grow(len(unknown_until))


def _encode(snapshot: _Snapshot, parts: list[StoredTrades]) -> bytes:
    rows = b"".join([part.rows.astype(np.int32, copy=False).tobytes() for part in parts])
    seconds, prices, counts = (
        b"".join([part[column].tobytes() for part in parts]) for column in range(1, len(StoredTrades._fields))
    )
    return encode_large_struct(
        msgspec.structs.replace(snapshot, rows=rows, seconds=seconds, prices=prices, counts=counts)
    )
