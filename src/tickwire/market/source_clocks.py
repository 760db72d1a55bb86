"""The market time of each source of ticks.

A source is a feed, or a publisher. Each source has its own time, because one publisher may publish the trades of today
while another publisher publishes the trades of last year. A tick therefore advances only the time of the symbols of its
source.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np

from tickwire.core.arrays import Ints, RowArray

# A source whose lag reaches this limit is not live: it replays or publishes history.
MAX_LIVE_LAG_NS = 60 * 10**9


# A sentinel: no real source has this name. Snapshots of earlier versions do not name the source of their symbols.
_UNKNOWN_SOURCE = "?"
# A sentinel: no clock has this number, and a row without a clock has the number -1.
_NO_CLOCK = -2


class SourceClock(msgspec.Struct, array_like=True):
    """The time of one source.

    `newest_ts` is the latest time of the source's ticks, in nanoseconds since the Unix epoch. `lag_ns` is the age that
    the newest tick had when the newest batch arrived. All candles of the source's symbols that end at or before
    `watermark_s` (seconds since the Unix epoch) have closed. `symbol_count` is the number of the source's symbols.
    """

    source: str
    newest_ts: int = 0
    lag_ns: int = MAX_LIVE_LAG_NS
    watermark_s: int = 0
    symbol_count: int = 0

    @property
    def is_live(self) -> bool:
        """Whether the ticks of the source arrive soon after their own times."""
        return abs(self.lag_ns) < MAX_LIVE_LAG_NS

    def market_time(self, now: int) -> int:
        """Return the market time of the source when the wall clock shows `now`. Both are in nanoseconds.

        After a pause, the market time of a simulated market lags behind the wall clock by the length of the pause.
        """
        return now - max(self.lag_ns, 0)


class _ClocksSnapshot(msgspec.Struct, frozen=True, array_like=True):
    clocks: list[SourceClock]
    numbers: bytes


class SourceClocks:
    """The clocks of all sources that have symbols. Each symbol belongs to the source of its newest trade.

    The methods identify a symbol by its row in the arrays of candles. The clock of a source without symbols is deleted.
    """

    def __init__(self) -> None:
        self._clocks: dict[int, SourceClock] = {}
        self._numbers: dict[str, int] = {}
        # The number of each row's clock; -1 for a row without a clock.
        self._number_by_row = np.empty(0, np.int32)

    def __iter__(self) -> Iterator[SourceClock]:
        return iter(self._clocks.values())

    def grow(self, capacity: int) -> None:
        """Allocate memory for the clocks of `capacity` symbols."""
        more = capacity - len(self._number_by_row)
        self._number_by_row = np.pad(self._number_by_row, (0, more), constant_values=-1)

    def find(self, source: str) -> SourceClock | None:
        """Return the clock of a source, or None if no symbol belongs to the source."""
        return self._clocks.get(self._numbers.get(source, -1))

    def assign_row(self, row: int, source: str) -> None:
        """Record that the symbol in one row belongs to `source` from now on."""
        if self._number_by_row.item(row) != self._numbers.get(source, _NO_CLOCK):
            self.assign(np.array([row]), source)

    def assign(self, rows: RowArray, source: str) -> None:
        """Record that the symbols in the rows `rows` belong to `source` from now on."""
        number = self._numbers.get(source)
        if number is None and _UNKNOWN_SOURCE in self._numbers:
            number = self._numbers[source] = self._numbers.pop(_UNKNOWN_SOURCE)
            self._clocks[number].source = source
        if number is None:
            number = self._add_clock(source)
        moved = rows[self._number_by_row[rows] != number]
        if not len(moved):
            return
        moved = np.unique(moved)
        previous = self._number_by_row[moved]
        self._number_by_row[moved] = number
        self._clocks[number].symbol_count += len(moved)
        for old, count in zip(*np.unique(previous[previous >= 0], return_counts=True), strict=True):
            clock = self._clocks[int(old)]
            clock.symbol_count -= int(count)
            if not clock.symbol_count:
                del self._clocks[int(old)], self._numbers[clock.source]

    def rows_of(self, clock: SourceClock, count: int) -> RowArray:
        """Return the rows whose symbols belong to the source of `clock`. `count` is the number of rows in use."""
        return np.flatnonzero(self._number_by_row[:count] == self._numbers[clock.source])

    def earliest(self, times: Ints) -> Iterator[tuple[SourceClock, int]]:
        """Yield pairs of a clock and the earliest time of its symbols. `times` contains a time for each row in use."""
        # Rows without a clock have the number -1, which selects the last element of the array.
        earliest = np.full(max(self._clocks, default=-1) + 2, np.iinfo(np.int64).max)
        np.minimum.at(earliest, self._number_by_row[: len(times)], times)
        for number, clock in self._clocks.items():
            yield clock, int(earliest[number])

    def save(self, count: int) -> bytes:
        """Return the clocks of the first `count` rows as bytes."""
        # Renumber the clocks consecutively. Rows without a clock have the number -1, which selects the last element of
        # the array, whose value is also -1.
        order = np.full(max(self._clocks, default=-1) + 2, -1, np.int32)
        order[[*self._clocks]] = np.arange(len(self._clocks))
        numbers = order[self._number_by_row[:count]]
        return msgspec.msgpack.encode(_ClocksSnapshot([*self._clocks.values()], numbers.tobytes()))

    def restore(self, data: bytes) -> None:
        """Restore the clocks in `data`, the result of an earlier call of `save`."""
        snapshot = msgspec.msgpack.decode(data, type=_ClocksSnapshot)
        self._clocks = dict(enumerate(snapshot.clocks))
        self._numbers = {clock.source: number for number, clock in self._clocks.items()}
        self._number_by_row = np.frombuffer(snapshot.numbers, np.int32).copy()

    def restore_single(self, count: int, newest_ts: int, lag_ns: int, watermark_s: int) -> None:
        """Replace all clocks by a single clock. The first `count` symbols then belong to its source, which is unknown.

        The first source that publishes a trade then becomes the source of these symbols.
        """
        self._clocks = {0: SourceClock(_UNKNOWN_SOURCE, newest_ts, lag_ns, watermark_s, count)} if count else {}
        self._numbers = {_UNKNOWN_SOURCE: 0} if count else {}
        self._number_by_row = np.zeros(count, np.int32)

    def _add_clock(self, source: str) -> int:
        number = self._numbers[source] = max(self._clocks, default=-1) + 1
        self._clocks[number] = SourceClock(source)
        return number
