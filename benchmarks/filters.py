"""Measure the cost of a tick with many different filters, for the screen index and for simpler matchers.

The filters have the form `volume > a and change_rate > b`. The bound `a` varies up to twice the market's volumes, and
`b` varies from -5 % to 5 %. The market is one trading day old, and each symbol ticks once per second. About a quarter
of the filters match each tick. Real filters are more selective and cost less.

Every simple matcher returns a list of the matching filters. The index returns the set of matching filters, and the
filters that the symbol entered and left. A separate column shows the time to convert the set to a list. The time limit
determines the number of ticks that each matcher processes.
"""

from __future__ import annotations

import operator
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from benchmarks.in_process import bench_model
from benchmarks.report import Row
from tickwire.core.arrays import Floats, RowArray
from tickwire.market.board import Board
from tickwire.screens.fields import FIELD_INDEX
from tickwire.screens.index.screen_index import ScreenIndex
from tickwire.screens.screen import parse_screen
from tickwire.simulation.price_process import PriceProcess

COLUMNS = {
    "us_per_tick": "us/tick",
    "us_to_list": "+ to list",
    "ticks": "ticks",
    "matches": "matches/tick",
    "changes": "changes/tick",
}
FILTER_COUNTS = (1, 100, 10_000, 100_000)
_SYMBOL_COUNT = 500
# The benchmark simulates one trading day before it adds the filters. The day has this number of steps, and each step
# has this length in seconds.
_WARM_UP_STEPS, _WARM_UP_STEP_S = 40, 585.0
# The daily volume of the median symbol, in shares.
_MEDIAN_DAY_VOLUME = 5e6
_MIN_TICKS = 3
# `all_symbols_trade` makes every symbol trade once in each step. With this low trade rate, no symbol trades a second
# time.
_MIN_TRADE_RATE = 1e-9
_VOLUME_ROW, _CHANGE_RATE_ROW = FIELD_INDEX["volume"], FIELD_INDEX["change_rate"]


class QuoteBatch(NamedTuple):
    """A batch of quotes in the format that the index accepts."""

    rows: RowArray
    quotes: Floats


class SimulatedMarket:
    """A board with the quotes of a simulated market."""

    def __init__(self) -> None:
        model = msgspec.structs.replace(bench_model(_SYMBOL_COUNT), session=None)
        self.board = Board(model.instruments())
        generator = np.random.default_rng(1)
        volumes = np.rint(generator.lognormal(np.log(_MEDIAN_DAY_VOLUME), 1.0, _SYMBOL_COUNT))
        self._next_sequence = 1
        self._price_process = PriceProcess(
            model,
            generator,
            time.time_ns(),
            trades_per_second=_MIN_TRADE_RATE,
            step_ns=round(_WARM_UP_STEP_S * 1e9),
            steps_per_block=1,
        )
        for _ in range(_WARM_UP_STEPS):
            self.newest_batch = self.next_batch(volumes)
        prices = self._price_process.prices()
        self._price_process = PriceProcess(
            model,
            generator,
            time.time_ns(),
            trades_per_second=_MIN_TRADE_RATE,
            start_prices=prices,
            step_ns=10**9,
            steps_per_block=1,
        )

    def next_batch(self, volumes: Floats | None = None) -> QuoteBatch:
        """Simulate the next second, and apply one tick of each symbol. `volumes` sets the volumes of the day."""
        ticks = self._price_process.simulate_block(all_symbols_trade=True).ticks
        if volumes is not None:
            ticks["volume"] = volumes
        ticks["ts"] = time.time_ns()
        quotes = self.board.apply(ticks, self._next_sequence)
        self._next_sequence += len(ticks)
        return QuoteBatch(quotes.rows, quotes.to_numbers())


class FilterBounds(NamedTuple):
    """The bounds of the filters: `volume > volumes[i] and change_rate > rates[i]`."""

    volumes: Floats
    rates: Floats


MatcherFactory = Callable[[FilterBounds], Callable[[float, float], object]]
"""Prepare the filters. Return a function that finds the filters that match a volume and a change rate."""


def measure_filters(seconds: float, counts: Sequence[int] = FILTER_COUNTS) -> list[Row]:
    """Measure the microseconds per tick for each number of filters."""
    rows = []
    for count in counts:
        market = SimulatedMarket()
        bounds = _random_bounds(market, count)
        rows += [
            _time_matcher(f"{count:,} filters: {name}", create(bounds), market, seconds)
            for name, create in MATCHER_FACTORIES.items()
        ]
        rows += _measure_index(bounds, market, seconds)
    return rows


def _random_bounds(market: SimulatedMarket, count: int) -> FilterBounds:
    generator = np.random.default_rng(2)
    max_volume = 2.0 * market.newest_batch.quotes[_VOLUME_ROW].mean()
    return FilterBounds(generator.uniform(0, max_volume, count), generator.uniform(-5, 5, count))


def _time_matcher(name: str, find: Callable[[float, float], object], market: SimulatedMarket, seconds: float) -> Row:
    # Run each matcher for a quarter of the time, because there are many matchers, and they serve only as a comparison.
    ticks, elapsed_s, max_s = 0, 0.0, seconds / 4
    while elapsed_s < max_s or ticks < _MIN_TICKS:
        _, quotes = market.next_batch()
        for volume, rate in zip(quotes[_VOLUME_ROW].tolist(), quotes[_CHANGE_RATE_ROW].tolist(), strict=True):
            start = time.perf_counter()
            find(volume, rate)
            elapsed_s += time.perf_counter() - start
            ticks += 1
            if elapsed_s >= max_s and ticks >= _MIN_TICKS:
                break
    return {"name": name, "us_per_tick": round(1e6 * elapsed_s / ticks, 2), "ticks": ticks}


def _eval_matcher(bounds: FilterBounds) -> Callable[[float, float], object]:
    codes = [compile(f"volume > {a!r} and change_rate > {b!r}", "", "eval") for a, b in _bound_pairs(bounds)]

    def find(volume: float, rate: float) -> object:
        names = {"volume": volume, "change_rate": rate}
        return [number for number, code in enumerate(codes) if eval(code, names)]

    return find


def _lambda_matcher(bounds: FilterBounds) -> Callable[[float, float], object]:
    tests = [_bounds_lambda(a, b) for a, b in _bound_pairs(bounds)]
    return lambda volume, rate: [number for number, test in enumerate(tests) if test(volume, rate)]


def _bounds_lambda(min_volume: float, min_rate: float) -> Callable[[float, float], bool]:
    return lambda volume, rate: volume > min_volume and rate > min_rate


class TagFilterNode(NamedTuple):
    """A node of a filter on tags: `op` is `and`, `or`, or a comparison of the tag `key` with `value`."""

    op: str
    key: str = ""
    value: float = 0.0
    children: tuple[Any, ...] = ()


_OPERATORS = {"gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le, "eq": operator.eq}


def _node_matches(node: TagFilterNode, tags: dict[str, float]) -> bool:
    if node.op == "and":
        return all(_node_matches(part, tags) for part in node.children)
    if node.op == "or":
        return any(_node_matches(part, tags) for part in node.children)
    return node.key in tags and _OPERATORS[node.op](tags[node.key], node.value)


def _tag_tree_matcher(bounds: FilterBounds) -> Callable[[float, float], object]:
    trees = [
        TagFilterNode("and", children=(TagFilterNode("gt", "volume", a), TagFilterNode("gt", "change_rate", b)))
        for a, b in _bound_pairs(bounds)
    ]

    def find(volume: float, rate: float) -> object:
        tags = {"volume": volume, "change_rate": rate}
        return [number for number, tree in enumerate(trees) if _node_matches(tree, tags)]

    return find


def _column_matcher(bounds: FilterBounds) -> Callable[[float, float], object]:
    volumes, rates = bounds
    return lambda volume, rate: np.flatnonzero((volumes < volume) & (rates < rate))


def _sorted_column_matcher(bounds: FilterBounds) -> Callable[[float, float], object]:
    order = np.argsort(bounds.volumes)
    volumes, rates = bounds.volumes[order], bounds.rates[order]

    def find(volume: float, rate: float) -> object:
        return order[np.flatnonzero(rates[: np.searchsorted(volumes, volume)] < rate)]

    return find


MATCHER_FACTORIES: dict[str, MatcherFactory] = {
    "eval": _eval_matcher,
    "lambdas, one by one": _lambda_matcher,
    "trees of tags, one by one": _tag_tree_matcher,
    "columns": _column_matcher,
    "columns, sorted by the first bound": _sorted_column_matcher,
}


def _measure_index(bounds: FilterBounds, market: SimulatedMarket, seconds: float) -> list[Row]:
    index = ScreenIndex(market.board.symbols, market.board.instruments)
    index.load(*market.newest_batch)
    for a, b in _bound_pairs(bounds):
        index.add(parse_screen(f"volume > {a!r} and change_rate > {b!r}"))
    # The first batch evaluates every symbol for the first time, so it is not measured.
    index.apply(*market.next_batch())
    count = len(index)
    return [
        _time_index(f"{count:,} filters: tickwire, {name}", index, _split_batches(market, size), seconds)
        for name, size in (("500 ticks a batch", _SYMBOL_COUNT), ("10 ticks a batch", 10), ("a tick a batch", 1))
    ]


def _time_index(name: str, index: ScreenIndex, batches: Iterator[QuoteBatch], seconds: float) -> Row:
    ticks = matches = changes = 0
    elapsed_s = listing_s = 0.0
    while elapsed_s < seconds or ticks < _SYMBOL_COUNT:
        rows, quotes = next(batches)
        start = time.perf_counter()
        changed = index.apply(rows, quotes)
        elapsed_s += time.perf_counter() - start
        ticks += len(rows)
        start = time.perf_counter()
        matches += sum(len(changed.matching_screens(position)) for position in range(len(rows)))
        listing_s += time.perf_counter() - start
        changes += sum(map(len, (*changed.entered.values(), *changed.left.values())))
    figures = {"us_per_tick": round(1e6 * elapsed_s / ticks, 2), "us_to_list": round(1e6 * listing_s / ticks, 2)}
    return {"name": name, **figures, "ticks": ticks, "matches": matches / ticks, "changes": changes / ticks}


def _split_batches(market: SimulatedMarket, size: int) -> Iterator[QuoteBatch]:
    while True:
        rows, quotes = market.next_batch()
        for begin in range(0, len(rows), size):
            yield QuoteBatch(rows[begin : begin + size], quotes[:, begin : begin + size])


def _bound_pairs(bounds: FilterBounds) -> list[tuple[float, float]]:
    return list(zip(bounds.volumes.tolist(), bounds.rates.tolist(), strict=True))
