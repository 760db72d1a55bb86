"""Measure the time to evaluate top-N screens on a large board.

The evaluation either follows a batch of ticks, or searches all symbols.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from itertools import cycle

import numpy as np

from benchmarks.report import Row
from tickwire.core.tick import Tick, pack_ticks
from tickwire.hub.fanout.position import HubPosition
from tickwire.hub.fanout.ranked_screens import RankedScreen
from tickwire.market.board import Board
from tickwire.screens.index.screen_index import ScreenIndex
from tickwire.sessions.subscription import Subscription

COLUMNS = {"ms": "median ms", "p99_ms": "p99 ms", "evaluations": "evaluations"}
SYMBOL_COUNT = 100_000
# The number of ticks between two evaluations, at 10,000 ticks a second and with an interval of 100 ms.
_TICKS_PER_BATCH = 1_000
_TOP = 10
_MIN_EVALUATIONS = 5

_SCREENS = {
    "a field": Subscription(order="last desc", top=_TOP),
    "a calculation": Subscription(order="abs(last - open) / open desc", top=_TOP),
    "a field, with a filter": Subscription(order="volume desc", filter="last > 50", top=_TOP),
    "a field without values": Subscription(order="bid desc", top=_TOP),
}


class _Market:
    """A board of many symbols with random prices, and an index of its screens."""

    def __init__(self, symbol_count: int) -> None:
        self.board, self.head = Board(), HubPosition("bench")
        self.index = ScreenIndex(self.board.symbols, self.board.instruments)
        self._symbols = [f"S{number}" for number in range(symbol_count)]
        self._generator = np.random.default_rng(1)
        for begin in range(0, symbol_count, _TICKS_PER_BATCH):
            self._apply(self._symbols[begin : begin + _TICKS_PER_BATCH])

    def tick(self) -> None:
        """Apply one batch of random ticks."""
        rows = self._generator.integers(0, len(self._symbols), _TICKS_PER_BATCH)
        self._apply([self._symbols[row] for row in rows.tolist()])

    def _apply(self, symbols: list[str]) -> None:
        prices = np.round(self._generator.lognormal(4, 1, len(symbols)), 2).tolist()
        pairs = zip(symbols, prices, strict=True)
        ticks = pack_ticks([Tick(symbol=symbol, ts=1, last=last, size=100) for symbol, last in pairs], now=1)
        quotes = self.board.apply(ticks, self.head.sequence + 1)
        self.index.apply(quotes.rows, quotes.to_numbers())
        self.head.sequence += len(ticks)


def measure_top_screens(seconds: float, symbol_count: int = SYMBOL_COUNT) -> list[Row]:
    """Measure the milliseconds per evaluation of each top-N screen."""
    market = _Market(symbol_count)
    rows: list[Row] = []
    for name, subscription in _SCREENS.items():
        selection = subscription.ranked_selection

        create = partial(RankedScreen, selection, market.head, market.board, market.index)
        screens = [create()]
        screens[0].rows(None)
        rows += [
            _time(f"{name}: {_TICKS_PER_BATCH:,} ticks", market, partial(next, cycle(screens)), seconds),
            _time(f"{name}: new screen", market, create, seconds),
        ]
    return rows


def _time(name: str, market: _Market, find_screen: Callable[[], RankedScreen], seconds: float) -> Row:
    times = list[float]()
    while sum(times) < seconds / 8 or len(times) < _MIN_EVALUATIONS:
        market.tick()
        screen = find_screen()
        started_at = time.perf_counter()
        screen.rows(None)
        times.append(time.perf_counter() - started_at)
    ms, p99_ms = 1e3 * float(np.median(times)), 1e3 * float(np.percentile(times, 99))
    return {"name": name, "ms": round(ms, 3), "p99_ms": round(p99_ms, 3), "evaluations": len(times)}
