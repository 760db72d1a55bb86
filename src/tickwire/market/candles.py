"""Candles of every symbol at every interval, made from ticks a batch at a time.

The rules, which hold for each symbol and interval by itself:

- Trades make candles: ticks that say a last price. A candle is what arrived of `[start, next start)`; its open is the
  price that arrived first, its close the one that arrived last.
- A candle closes when a later trade of its symbol arrives, or when time has passed its end (`pass_time`). Ticks of
  other symbols let time pass too, PATIENCE later, because feeds interleave symbols out of order by milliseconds.
- A closed candle is history. A trade that comes late for it changes nothing and is counted in `late`; the longer
  intervals, whose candles are still forming, take it.

The same batches in the same order always give the same candles, to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from tickwire.core.candle import CANDLE, INTERVALS, PackedCandles
from tickwire.core.tick import Ticks
from tickwire.market.bars import Bars, Ints, Places, changes, joined, running_maximum
from tickwire.market.session import Sessions
from tickwire.market.traded import Traded

PATIENCE = 2 * 10**9  # nanoseconds; more than any feed in the recordings at hand steps back between symbols
_SECOND = 10**9
_SECONDS = np.array(list(INTERVALS.values()))
_COUNT = len(_SECONDS)
_DAILY = _COUNT - 1  # the last interval follows the sessions
_FIRST_CAPACITY = 128
_NEVER = -1  # odd, so that it is a stage of nothing that forms


class _Saved(msgspec.Struct, frozen=True):
    """Candles as bytes: what `Candles.save` writes and `Candles.restore` reads."""

    symbols: list[bytes]
    stages: bytes
    values: bytes
    seconds: bytes
    waiting: bytes
    trades: bytes
    sequences: bytes
    late: list[int]
    newest: int
    passed: int
    traded: bytes


class Candles:
    """The forming candle of every symbol and interval; what closes is handed out and forgotten.

    The state of one is its `stage`, twice the second at which it starts while it forms, and one more once it has
    closed: what comes has a greater stage than a candle that it follows, an equal one to the candle that it belongs to,
    and a smaller one than a candle that it is too late for.

    A symbol's trades within one second gather in a bar that waits; only when the second is over does it settle into the
    candles of all intervals, so that a busy market costs one interval's work and not eight.
    """

    def __init__(self, sessions: Sessions | None = None) -> None:
        self.symbols: list[bytes] = []
        self.late: Ints = np.zeros(_COUNT, np.int64)  # trades that came too late, by interval
        self._sessions = sessions or Sessions()
        self._rows: dict[bytes, int] = {}
        self._names = np.empty(0, "S16")
        self._stages = np.empty((_COUNT, 0), np.int64)
        self._values = np.empty((_COUNT, 0, 5))
        self._seconds = np.empty(0, np.int64)  # of the bars that wait; _NEVER where none does
        self._waiting = np.empty((0, 5))
        self._trades = np.empty(0, np.int64)
        self._sequences = np.empty(0, np.int64)
        self._traded = Traded()
        self._newest = 0
        self._passed = 0  # the second up to which time has passed for everybody

    def __len__(self) -> int:
        return len(self.symbols)

    @property
    def newest(self) -> int:
        """The latest time that a tick said, in nanoseconds since the Unix epoch."""
        return self._newest

    @property
    def passed(self) -> int:
        """The second since the Unix epoch up to which time has closed candles."""
        return self._passed

    @property
    def sequences(self) -> Ints:
        """For each symbol, in the order of `symbols`, the sequence number of its newest trade."""
        return self._sequences[: len(self)]

    def row(self, symbol: str) -> int | None:
        """The symbol's place in `symbols`, or None while it has not traded."""
        return self._rows.get(symbol.encode())

    def apply(self, ticks: Ticks, first: int, now: int) -> PackedCandles:
        """Take `ticks`, the events from sequence number `first` on; answers the candles that closed.

        Those of one symbol and interval are in time order. `now` is when the ticks came, in nanoseconds since the Unix
        epoch: a tick from the future does not move time beyond it.
        """
        places = np.flatnonzero(np.isfinite(ticks["last"]))
        trades = ticks if len(places) == len(ticks) else ticks[places]
        closed = self._take(trades, first + places) if len(places) else np.empty(0, CANDLE)
        self._newest = max(self._newest, int(ticks["ts"].max(initial=0)))
        passed = self.pass_time(min(self._newest, now) - PATIENCE)
        return np.concatenate([closed, passed]) if len(passed) else closed

    def pass_time(self, ts: int) -> PackedCandles:
        """Close what ends at or before `ts` (nanoseconds since the Unix epoch); answers that."""
        second = ts // _SECOND
        if second <= self._passed:
            return np.empty(0, CANDLE)
        self._passed = second
        waiting = np.flatnonzero(self._seconds[: len(self)] != _NEVER)
        self._settle(self._waiting_at(waiting))
        self._seconds[waiting] = _NEVER
        intervals, rows = np.nonzero(self._forming() & (self._ends() <= second))
        return self._packed(self._close(intervals * self._capacity + rows))

    def next_end(self) -> int | None:
        """When the first of the forming candles ends, in nanoseconds since the Unix epoch; None if none forms."""
        seconds = self._seconds[: len(self)]
        ends = np.concatenate([self._ends()[self._forming()], seconds[seconds != _NEVER] + 1])
        return int(ends.min()) * _SECOND if len(ends) else None

    def forming(self, rows: Sequence[int] | Places, seconds: int) -> PackedCandles:
        """The forming candles of the symbols in `rows` at the interval of `seconds`, of those that have one."""
        interval = int(np.flatnonzero(seconds == _SECONDS)[0])
        at = np.asarray(rows, np.intp)
        settled = self._at(interval * self._capacity + at)
        waiting = self._waiting_at(at)
        stages = np.where(waiting.stages == _NEVER, _NEVER, 2 * self._starts(waiting.stages)[interval])
        waiting = waiting._replace(places=settled.places, stages=stages)
        going_on = np.flatnonzero(waiting.stages == settled.stages)
        waiting.put_before(going_on, settled.at(going_on))
        newer = waiting.stages >= settled.stages
        values = np.where(newer[:, None], waiting.values, settled.values)
        found = Bars(settled.places, np.maximum(settled.stages, stages), values, settled.trades)
        return self._packed(found.at(found.stages % 2 == 0))

    def closed_until(self, symbol: str, seconds: int) -> int:
        """All candles of the symbol that start before this moment, at the interval of `seconds`, have closed.

        In nanoseconds since the Unix epoch; none that starts at it or later has. 0 for a symbol that has not traded.
        """
        row = self.row(symbol)
        stage = _NEVER if row is None else int(self._stages[seconds == _SECONDS, row].item())
        return 0 if stage == _NEVER else stage // 2 * _SECOND + stage % 2

    def save(self) -> bytes:
        """Everything as bytes."""
        count = len(self)
        saved = _Saved(
            symbols=self.symbols,
            stages=self._stages[:, :count].tobytes(),
            values=self._values[:, :count].tobytes(),
            seconds=self._seconds[:count].tobytes(),
            waiting=self._waiting[:count].tobytes(),
            trades=self._trades[:count].tobytes(),
            sequences=self._sequences[:count].tobytes(),
            late=self.late.tolist(),
            newest=self._newest,
            passed=self._passed,
            traded=self._traded.save(count),
        )
        return msgspec.msgpack.encode(saved)

    def restore(self, data: bytes) -> None:
        """Take the state that `save` wrote, in place of one's own."""
        saved = msgspec.msgpack.decode(data, type=_Saved)
        count = len(saved.symbols)
        self.symbols = saved.symbols
        self._rows = {symbol: row for row, symbol in enumerate(saved.symbols)}
        self._names = np.array(saved.symbols, "S16")
        self._stages = _ints(saved.stages).reshape(_COUNT, count)
        self._values = np.frombuffer(saved.values).reshape(_COUNT, count, 5).copy()
        self._waiting = np.frombuffer(saved.waiting).reshape(count, 5).copy()
        self._seconds, self._trades = _ints(saved.seconds), _ints(saved.trades)
        self._sequences, self.late = _ints(saved.sequences), np.array(saved.late, np.int64)
        self._newest, self._passed = saved.newest, saved.passed
        self._traded.restore(saved.traded)

    @property
    def _capacity(self) -> int:
        return len(self._seconds)

    def _take(self, ticks: Ticks, sequences: Ints) -> PackedCandles:
        """Take trades: what belongs to a second that is over settles, the rest waits."""
        parts = self._parts(ticks, sequences)
        first, last = parts.borders()
        waiting = self._waiting_at(parts.places[first])
        same = waiting.stages == parts.stages[first]
        parts.put_before(first[same], waiting.at(same))
        self._wait(parts.at(last))
        moved = ~same | (first != last)
        if not moved.any():
            return np.empty(0, CANDLE)
        over = np.ones(parts.size, bool)
        over[last] = False
        older = joined(waiting.at(~same & (waiting.stages != _NEVER)), parts.at(over))
        closed = self._settle(older.at(np.argsort(older.places, kind="stable")))
        followed = self._follow(parts.at(last[moved]))
        return self._packed(joined(closed, followed))

    def _parts(self, ticks: Ticks, sequences: Ints) -> Bars:
        """A bar for each run of a symbol's trades within one second; a bar's place is the row, its stage the second."""
        rows = self._rows_of(ticks["symbol"].tolist())
        order = np.argsort(rows, kind="stable")
        rows, ts = rows[order], ticks["ts"][order]
        self._sequences[rows] = sequences[order]  # the last one counts, which is the newest
        values = np.empty((len(rows), 5))
        values[:, :4] = ticks["last"][order, None]
        days, sizes, totals = self._sessions.days(ts), ticks["size"][order], ticks["volume"][order]
        values[:, 4] = self._traded.amounts(rows, days, sizes, totals)
        return Bars(rows, ts // _SECOND, values, np.ones(len(rows), np.int64)).reduced()

    def _waiting_at(self, rows: Places) -> Bars:
        return Bars(rows, self._seconds[rows], self._waiting[rows], self._trades[rows])

    def _wait(self, bars: Bars) -> None:
        self._seconds[bars.places] = bars.stages
        self._waiting[bars.places] = bars.values
        self._trades[bars.places] = bars.trades

    def _settle(self, parts: Bars) -> Bars:
        """Let bars become part of the candles of all intervals; answers those that closed by it."""
        timely = self._timely(self._spread(parts))
        return self._merge(timely.reduced()) if timely.size else timely

    def _spread(self, parts: Bars) -> Bars:
        """The bars once for each interval, with places and stages as they are there."""
        places = parts.places + np.arange(_COUNT)[:, None] * self._capacity
        stages = 2 * self._starts(parts.stages)
        values = np.tile(parts.values, (_COUNT, 1))
        return Bars(places.reshape(-1), stages.reshape(-1), values, np.tile(parts.trades, _COUNT))

    def _starts(self, seconds: Ints) -> Ints:
        """For each interval, the second at which the candle begins that each of `seconds` belongs to."""
        starts = np.empty((_COUNT, len(seconds)), np.int64)
        np.subtract(seconds, seconds % _SECONDS[:_DAILY, None], out=starts[:_DAILY])
        starts[_DAILY] = self._sessions.starts(seconds * _SECOND) // _SECOND
        return starts

    def _timely(self, coming: Bars) -> Bars:
        """What is not too late for its candle; the rest is counted."""
        first, _ = coming.borders()
        before = np.empty_like(coming.stages)
        before[1:] = coming.stages[:-1]
        before[first] = self._stages.reshape(-1)[coming.places[first]]
        if (coming.stages >= before).all():
            return coming
        newest = running_maximum(coming.places, np.maximum(before, coming.stages))
        before[1:] = np.where(changes(coming.places)[1:], before[1:], newest[:-1])
        late = coming.stages < before
        np.add.at(self.late, coming.places[late] // self._capacity, coming.trades[late])
        return coming.at(~late)

    def _merge(self, bars: Bars) -> Bars:
        """Let bars go on or begin where they belong; answers those that are followed by another."""
        first, last = bars.borders()
        before = self._at(bars.places[first])
        same = before.stages == bars.stages[first]
        bars.put_before(first[same], before.at(same))
        ended = before.at(~same & (before.stages % 2 == 0))
        self._stages.reshape(-1)[bars.places[last]] = bars.stages[last]
        self._values.reshape(-1, 5)[bars.places[last]] = bars.values[last]
        over = np.ones(bars.size, bool)
        over[last] = False
        return joined(ended, bars.at(over))

    def _follow(self, parts: Bars) -> Bars:
        """Close the candles that the waiting `parts` are later than."""
        places = parts.places + np.arange(_COUNT)[:, None] * self._capacity
        forming = self._stages[:, parts.places]
        ended = (2 * self._starts(parts.stages) > forming) & (forming % 2 == 0)
        return self._close(places[ended])

    def _close(self, places: Places) -> Bars:
        closed = self._at(places)
        self._stages.reshape(-1)[places] += 1
        return closed

    def _at(self, places: Places) -> Bars:
        stages = self._stages.reshape(-1)[places]
        return Bars(places, stages, self._values.reshape(-1, 5)[places], np.zeros_like(stages))

    def _forming(self) -> NDArray[np.bool_]:
        forming: NDArray[np.bool_] = self._stages[:, : len(self)] % 2 == 0
        return forming

    def _ends(self) -> Ints:
        """The second at which each candle ends."""
        starts = self._stages[:, : len(self)] // 2
        ends: Ints = starts + _SECONDS[:, None]
        ends[_DAILY] = self._sessions.ends(starts[_DAILY] * _SECOND) // _SECOND
        return ends

    def _packed(self, bars: Bars) -> PackedCandles:
        """The bars as candles, those that end first before the others."""
        packed = np.empty(bars.size, CANDLE)
        if not len(packed):
            return packed
        intervals, rows = np.divmod(bars.places, self._capacity)
        order = np.argsort(bars.stages // 2 + _SECONDS[intervals], kind="stable")
        packed["symbol"] = self._names[rows[order]]
        packed["interval"] = _SECONDS[intervals[order]]
        packed["start"] = bars.stages[order] // 2 * _SECOND
        for column, name in enumerate(("open", "high", "low", "close", "volume")):
            packed[name] = bars.values[order, column]
        return packed

    def _rows_of(self, symbols: list[bytes]) -> Places:
        try:
            return np.array(list(map(self._rows.__getitem__, symbols)), np.intp)
        except KeyError:
            for symbol in symbols:
                if symbol not in self._rows:
                    self._add(symbol)
            return self._rows_of(symbols)

    def _add(self, symbol: bytes) -> None:
        row = len(self)
        if row >= self._capacity:
            self._grow(max(_FIRST_CAPACITY, row * 2))
        self._rows[symbol] = row
        self._names[row] = symbol
        self.symbols.append(symbol)

    def _grow(self, capacity: int) -> None:
        more = capacity - self._capacity
        self._names = np.concatenate([self._names, np.zeros(more, "S16")])
        self._stages = np.pad(self._stages, ((0, 0), (0, more)), constant_values=_NEVER)
        self._values = np.pad(self._values, ((0, 0), (0, more), (0, 0)))
        self._waiting = np.pad(self._waiting, ((0, more), (0, 0)))
        self._seconds = np.pad(self._seconds, (0, more), constant_values=_NEVER)
        self._trades, self._sequences = (np.pad(each, (0, more)) for each in (self._trades, self._sequences))
        self._traded.grow(capacity)


def _ints(data: bytes) -> Ints:
    return np.frombuffer(data, np.int64).copy()
