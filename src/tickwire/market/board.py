"""The board: the latest quote of every symbol, and the arithmetic that makes quotes of ticks.

All symbols' states stand in one array, a column a symbol, so that a batch of ticks costs a few dozen whole-array
operations however many ticks it has. The same batches in the same order always give the same quotes, to the last bit:
history that is read again yields the bytes that went out live.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isnan
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from tickwire.core.instrument import Instrument
from tickwire.core.tick import TICK, Ticks
from tickwire.market.columns import QuoteColumns, concatenate
from tickwire.market.derive import (
    ASK,
    ASK_SIZE,
    EPS,
    HIGH,
    LAST,
    LOW,
    OPEN,
    PREV_CLOSE,
    SCALE,
    SHARES,
    STATE_ROWS,
    TURNOVER,
    VOLUME,
    decimals_of,
    tidied,
)
from tickwire.market.runs import Floats, Runs, filled, opening, or_zero
from tickwire.market.session import Sessions

_CARRIED = ASK_SIZE + 1  # the first rows of a state are last, bid, ask and their sizes, in the order of TICK
_SIZE, _SAID_VOLUME = 5, 6  # where a packed tick has them among its numbers
_NUMBERS_AT = 3  # the words of a packed tick before its numbers: the symbol's two and the time
_FIRST_CAPACITY = 128

_LOOK = 256


class _Saved(msgspec.Struct, frozen=True):
    """A board as bytes: what `Board.save` writes and `Board.restore` reads."""

    symbols: list[str]
    state: bytes
    sequences: bytes
    ts: bytes
    days: bytes


class _Step(NamedTuple):
    """One batch on its way: sorted by symbol, with each symbol's state from before beside its ticks."""

    rows: NDArray[np.intp]
    runs: Runs
    said: Floats
    prior: Floats


class Board:
    """The latest quote of every symbol, and what makes it from ticks.

    `instruments` give what is known beforehand. A symbol that none of them names starts when it first trades. With a
    symbol's first tick of a later session (a UTC day, unless `sessions` say otherwise), its open, high, low, volume and
    turnover start anew and its last price becomes prev_close.
    """

    def __init__(self, instruments: Iterable[Instrument] = (), sessions: Sessions | None = None) -> None:
        self._sessions = sessions or Sessions()
        self.instruments = {instrument.symbol: instrument for instrument in instruments}
        self.symbols: list[str] = []
        self._rows: dict[bytes, int] = {}
        self._state = np.empty((STATE_ROWS, 0))
        self._sequences = np.empty(0, np.int64)
        self._ts = np.empty(0, np.int64)
        self._days = np.empty(0, np.int64)
        self._marks = np.empty(0, np.intp)

    def __len__(self) -> int:
        return len(self.symbols)

    @property
    def sequences(self) -> NDArray[np.int64]:
        """For each row the sequence number of its newest tick."""
        return self._sequences[: len(self)]

    @property
    def newest(self) -> int:
        """The time of the newest tick of all, in nanoseconds since the Unix epoch; 0 while there is none."""
        return int(self._ts[: len(self)].max(initial=0))

    def row(self, symbol: str) -> int | None:
        """The symbol's row, or None while it has not traded."""
        return self._rows.get(symbol.encode())

    def rows(self, symbols: Iterable[bytes]) -> list[int]:
        """The rows of symbols that have been on the board; KeyError for one that has not."""
        return [self._rows[symbol] for symbol in symbols]

    def missing(self, symbols: Iterable[bytes]) -> set[str]:
        """Those of the symbols that have not been on the board."""
        return {symbol.decode("ascii") for symbol in set(symbols).difference(self._rows)}

    def apply(self, ticks: Ticks, first: int) -> QuoteColumns:
        """The quotes after each of `ticks`, which are the events from sequence number `first` on."""
        rows = self._rows_of(ticks["symbol"].tolist())
        days = self._sessions.days(ticks["ts"])
        parts, done = [], 0
        while done < len(ticks):
            end = done + self._one_session(rows[done:], days[done:])
            parts.append(self._apply(ticks[done:end], rows[done:end], days[done:end], first + done))
            done = end
        return concatenate(parts) if parts else self.quotes([])

    def quotes(self, rows: Sequence[int] | NDArray[np.intp] | None = None) -> QuoteColumns:
        """The latest quotes of the given rows (all, if None)."""
        at = np.arange(len(self)) if rows is None else np.asarray(rows, np.intp)
        return QuoteColumns(at, self.symbols, self._state[:, at], self._ts[at])

    def prices(self) -> dict[str, float]:
        """The last price of every symbol that has one."""
        last = self._state[LAST, : len(self)].tolist()
        return {symbol: price for symbol, price in zip(self.symbols, last, strict=True) if not isnan(price)}

    def times(self) -> dict[str, int]:
        """When each symbol's newest tick was, in nanoseconds since the Unix epoch."""
        return dict(zip(self.symbols, self._ts[: len(self)].tolist(), strict=True))

    def save(self) -> bytes:
        """The whole board as bytes."""
        count = len(self)
        return msgspec.msgpack.encode(
            _Saved(
                symbols=self.symbols,
                state=np.ascontiguousarray(self._state[:, :count]).tobytes(),
                sequences=self._sequences[:count].tobytes(),
                ts=self._ts[:count].tobytes(),
                days=self._days[:count].tobytes(),
            )
        )

    def restore(self, data: bytes) -> None:
        """Take the state that `save` wrote, in place of this board's own."""
        saved = msgspec.msgpack.decode(data, type=_Saved)
        count = len(saved.symbols)
        self.symbols = saved.symbols
        self._rows = {symbol.encode(): row for row, symbol in enumerate(saved.symbols)}
        self._state = np.frombuffer(saved.state).reshape(STATE_ROWS, count).copy()
        self._sequences = np.frombuffer(saved.sequences, np.int64).copy()
        self._ts = np.frombuffer(saved.ts, np.int64).copy()
        self._days = np.frombuffer(saved.days, np.int64).copy()
        self._marks = np.zeros(count, np.intp)

    def _apply(self, ticks: Ticks, rows: NDArray[np.intp], days: NDArray[np.int64], first: int) -> QuoteColumns:
        words = ticks.view("<f8").reshape(len(ticks), TICK.itemsize // 8)
        if self._all_different(rows):
            step = self._step(words, rows, single=True)
            state = self._advance(step, days)
            self._keep(rows, state, first + np.arange(len(rows)), ticks["ts"])
            return QuoteColumns(rows, self.symbols, state, ticks["ts"])
        order = np.argsort(rows, kind="stable")
        step = self._step(words[order], rows[order])
        state = self._advance(step, days[order])
        last = step.runs.last
        self._keep(step.rows[last], state[:, last], first + order[last], ticks["ts"][order[last]])
        inverse = np.empty_like(order)
        inverse[order] = np.arange(len(order))
        return QuoteColumns(rows, self.symbols, state[:, inverse], ticks["ts"])

    def _all_different(self, rows: NDArray[np.intp]) -> bool:
        """Whether no row comes twice: each finds the mark it left."""
        places = np.arange(len(rows))
        self._marks[rows] = places
        return bool((self._marks[rows] == places).all())

    def _step(self, words: Floats, rows: NDArray[np.intp], *, single: bool = False) -> _Step:
        return _Step(
            rows, Runs(rows, single=single), np.ascontiguousarray(words[:, _NUMBERS_AT:].T), self._state[:, rows]
        )

    def _advance(self, step: _Step, days: NDArray[np.int64]) -> Floats:
        """The states after each tick of the step."""
        self._begin_sessions(step, days)
        state = step.prior.copy()
        _carry(step, state)
        _accumulate(step, state)
        _learn_decimals(step.runs, state)
        return state

    def _keep(self, rows: NDArray[np.intp], state: Floats, sequences: NDArray[np.intp], ts: NDArray[np.int64]) -> None:
        self._state[:, rows] = state
        self._sequences[rows] = sequences
        self._ts[rows] = ts

    def _one_session(self, rows: NDArray[np.intp], days: NDArray[np.int64]) -> int:
        """How many of the rows can go together: until a symbol begins a second session among them."""
        if days[0] == days[-1] and days.min() == days.max():
            return len(rows)
        newest: dict[int, int] = {}
        for begin in range(0, len(rows), _LOOK):  # not all at once: it may be over soon, and again for the rest
            part = zip(rows[begin : begin + _LOOK].tolist(), days[begin : begin + _LOOK].tolist(), strict=True)
            for place, (row, day) in enumerate(part, begin):
                if day > newest.setdefault(row, max(day, int(self._days[row]))):
                    return place
        return len(rows)

    def _begin_sessions(self, step: _Step, days: NDArray[np.int64]) -> None:
        later = step.runs.leading(days > self._days[step.rows])  # a batch is cut so that no other row begins one
        if not later.any():
            return
        prior = step.prior
        prior[PREV_CLOSE, later] = filled(prior[PREV_CLOSE, later], prior[LAST, later])
        prior[OPEN : LOW + 1, later] = np.nan
        prior[VOLUME : TURNOVER + 1, later] = 0.0
        np.maximum.at(self._days, step.rows, days)

    def _rows_of(self, symbols: list[bytes]) -> NDArray[np.intp]:
        try:
            return np.array(list(map(self._rows.__getitem__, symbols)), np.intp)
        except KeyError:
            for symbol in symbols:
                if symbol not in self._rows:
                    self._add(symbol)
            return self._rows_of(symbols)

    def _add(self, symbol: bytes) -> None:
        row, text = len(self), symbol.decode("ascii")
        if row >= self._state.shape[1]:
            self._grow(max(_FIRST_CAPACITY, row * 2))
        instrument = self.instruments.get(text)
        self._state[:, row] = _initial(instrument)
        self._sequences[row] = self._ts[row] = 0
        self._days[row] = -1
        self._rows[symbol] = row
        self.symbols.append(text)

    def _grow(self, capacity: int) -> None:
        more = capacity - self._state.shape[1]
        self._state = np.pad(self._state, ((0, 0), (0, more)))
        self._sequences, self._ts, self._days, self._marks = (
            np.pad(array, (0, more)) for array in (self._sequences, self._ts, self._days, self._marks)
        )


def _initial(instrument: Instrument | None) -> Floats:
    state = np.full(STATE_ROWS, np.nan)
    state[[VOLUME, TURNOVER]] = 0.0
    state[SCALE] = 1.0
    if instrument is not None:
        known = (instrument.prev_close, instrument.eps, instrument.shares)
        state[[PREV_CLOSE, EPS, SHARES]] = [np.nan if value is None else value for value in known]
        state[SCALE] = 10.0 ** decimals_of(instrument.tick_size or 1.0)
    return state


def _carry(step: _Step, state: Floats) -> None:
    """Prices and sizes: what the tick said, else what stood before; infinity says that there is none now."""
    said = step.said[:_CARRIED]
    before = np.where(np.isnan(step.prior[:_CARRIED]), np.inf, step.prior[:_CARRIED])
    said = step.runs.first(filled(before, said), said)
    step.runs.scan(said, filled)
    said[np.isinf(said)] = np.nan
    state[:_CARRIED] = said


def _accumulate(step: _Step, state: Floats) -> None:
    """The session's open, high, low, volume and turnover. Only trades move them."""
    runs, prior, said = step.runs, step.prior, step.said
    traded = said[LAST]
    for row, combine in ((OPEN, opening), (HIGH, np.fmax), (LOW, np.fmin)):
        state[row] = runs.first(combine(prior[row], traded), traded)
        runs.scan(state[row], combine)
    before = _volume(step, state)
    grown = np.maximum(state[VOLUME] - before, 0.0) * or_zero(state[LAST])
    state[TURNOVER] = runs.first(prior[TURNOVER] + grown, grown)
    runs.scan(state[TURNOVER], np.add)


def _volume(step: _Step, state: Floats) -> Floats:
    """Set the session's volume: the total where the feed says it, else what was traded on top; answers those before."""
    runs, prior = step.runs, step.prior[VOLUME]
    total, size = step.said[_SAID_VOLUME], or_zero(step.said[_SIZE])
    added = runs.first(prior + size, size)
    if np.isnan(total).all():
        state[VOLUME] = added
        runs.scan(state[VOLUME], np.add)
    else:
        # A stated total makes all before it irrelevant: (total said, value) pairs combine left to right.
        pairs = np.stack([np.isfinite(total).astype(float), np.where(np.isnan(total), added, total)])
        runs.scan(pairs, _add_or_set)
        state[VOLUME] = pairs[1]
    state[VOLUME] = tidied(state[VOLUME])
    return runs.before(state[VOLUME], prior)


def _add_or_set(earlier: Floats, later: Floats) -> Floats:
    is_set = later[0] > 0
    return np.stack([np.maximum(earlier[0], later[0]), np.where(is_set, later[1], earlier[1] + later[1])])


def _learn_decimals(runs: Runs, state: Floats) -> None:
    """Derived prices get as many decimals as the tick size has, or as the feed's own prices show where that is more."""
    prices, scale = state[LAST : ASK + 1], state[SCALE]
    exact = np.rint(prices * scale) / scale
    unknown = (exact != prices) & ~np.isnan(prices)
    if unknown.any():
        for row, column in np.argwhere(unknown).tolist():
            scale[column] = max(scale[column], 10.0 ** decimals_of(prices[row, column]))
        runs.scan(scale, np.maximum)
