"""What a tick costs with many different filters, beside simpler ways to find those that match.

The filters are `volume > a and change_rate > b`, a spread over twice the market's volumes and b from -5 % to 5 %, in a
market that is a trading day old and ticks once a second. About a quarter of them match each tick: what users write is
choosier, and costs less. Every way answers with a list of the filters that match. The index answers with the set, and
with those that the symbol entered and left; what it takes on top to list the set stands beside it. Ways that are slow
are timed on as many ticks as fit into the time.
"""

from __future__ import annotations

import operator
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from tickwire.cli.bench.local import bench_model
from tickwire.cli.bench.report import Row
from tickwire.market.board import Board
from tickwire.market.runs import Floats
from tickwire.market.walk import Walk
from tickwire.screens.bounds import Integers
from tickwire.screens.fields import PLACE
from tickwire.screens.index import ScreenIndex
from tickwire.screens.screen import screen

COLUMNS = {
    "us_per_tick": "us/tick",
    "us_to_list": "+ to list",
    "ticks": "ticks",
    "matches": "matches/tick",
    "changes": "changes/tick",
}
COUNTS = (1, 100, 10_000, 100_000)
_SYMBOLS = 500
_DAY_STEPS, _DAY_STEP = 40, 585.0  # seconds: a trading day before the filters come
_DAY_VOLUME = 5e6  # shares, of the median symbol
_LEAST_TICKS = 3
_RARELY = 1e-9  # trades a second beside those that are asked for
_VOLUME, _RATE = PLACE["volume"], PLACE["change_rate"]


class Batch(NamedTuple):
    """Quotes as the index takes them."""

    rows: Integers
    quotes: Floats


class Market:
    """A board that a simulated market moves."""

    def __init__(self) -> None:
        model = msgspec.structs.replace(bench_model(_SYMBOLS), session=None)
        self.board = Board(model.instruments())
        generator = np.random.default_rng(1)
        volumes = np.rint(generator.lognormal(np.log(_DAY_VOLUME), 1.0, _SYMBOLS))
        self._sequence = 1
        self._walk = Walk(model, generator, time.time_ns(), rate=_RARELY, step=round(_DAY_STEP * 1e9), steps=1)
        for _ in range(_DAY_STEPS):
            self.newest = self.batch(volumes)
        prices = self._walk.prices()
        self._walk = Walk(model, generator, time.time_ns(), rate=_RARELY, prices=prices, step=10**9, steps=1)

    def batch(self, volumes: Floats | None = None) -> Batch:
        """A tick of each symbol, a second after the one before, if need be with the day's volumes so far."""
        ticks = self._walk.block(everybody=True).ticks
        if volumes is not None:
            ticks["volume"] = volumes
        ticks["ts"] = time.time_ns()
        quotes = self.board.apply(ticks, self._sequence)
        self._sequence += len(ticks)
        return Batch(quotes.rows, quotes.numbers())


class Filters(NamedTuple):
    """The bounds of the filters: `volume > volumes[i] and change_rate > rates[i]`."""

    volumes: Floats
    rates: Floats


Way = Callable[[Filters], Callable[[float, float], object]]
"""Prepares for the filters; answers what finds those that match a volume and a change rate."""


def filters(seconds: float, counts: Sequence[int] = COUNTS) -> list[Row]:
    """Microseconds a tick with that many different filters."""
    rows = []
    for count in counts:
        market = Market()
        wanted = _filters(market, count)
        rows += [_timed(f"{count:,} filters: {name}", way(wanted), market, seconds) for name, way in WAYS.items()]
        rows += _index_rows(wanted, market, seconds)
    return rows


def _filters(market: Market, count: int) -> Filters:
    generator = np.random.default_rng(2)
    most = 2.0 * market.newest.quotes[_VOLUME].mean()
    return Filters(generator.uniform(0, most, count), generator.uniform(-5, 5, count))


def _timed(name: str, find: Callable[[float, float], object], market: Market, seconds: float) -> Row:
    ticks, spent = 0, 0.0
    while spent < seconds / 4 or ticks < _LEAST_TICKS:  # a quarter: these ways are many, and only for comparison
        _, quotes = market.batch()
        for volume, rate in zip(quotes[_VOLUME].tolist(), quotes[_RATE].tolist(), strict=True):
            start = time.perf_counter()
            find(volume, rate)
            spent += time.perf_counter() - start
            ticks += 1
            if spent >= seconds / 4 and ticks >= _LEAST_TICKS:
                break
    return {"name": name, "us_per_tick": round(1e6 * spent / ticks, 2), "ticks": ticks}


def _evaluated(wanted: Filters) -> Callable[[float, float], object]:
    codes = [compile(f"volume > {a!r} and change_rate > {b!r}", "", "eval") for a, b in _pairs(wanted)]

    def find(volume: float, rate: float) -> object:
        names = {"volume": volume, "change_rate": rate}
        return [number for number, code in enumerate(codes) if eval(code, names)]  # noqa: S307  # what is compared with

    return find


def _lambdas(wanted: Filters) -> Callable[[float, float], object]:
    tests = [_lambda(a, b) for a, b in _pairs(wanted)]
    return lambda volume, rate: [number for number, test in enumerate(tests) if test(volume, rate)]


def _lambda(least_volume: float, least_rate: float) -> Callable[[float, float], bool]:
    return lambda volume, rate: volume > least_volume and rate > least_rate


class Tag(NamedTuple):
    """A node of a filter on tags: `op` is and, or, or a comparison of the tag `key` with `value`."""

    op: str
    key: str = ""
    value: float = 0.0
    nodes: tuple[Any, ...] = ()


_OPERATORS = {"gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le, "eq": operator.eq}


def _accepts(node: Tag, tags: dict[str, float]) -> bool:
    if node.op == "and":
        return all(_accepts(part, tags) for part in node.nodes)
    if node.op == "or":
        return any(_accepts(part, tags) for part in node.nodes)
    return node.key in tags and _OPERATORS[node.op](tags[node.key], node.value)


def _tags(wanted: Filters) -> Callable[[float, float], object]:
    trees = [Tag("and", nodes=(Tag("gt", "volume", a), Tag("gt", "change_rate", b))) for a, b in _pairs(wanted)]

    def find(volume: float, rate: float) -> object:
        tags = {"volume": volume, "change_rate": rate}
        return [number for number, tree in enumerate(trees) if _accepts(tree, tags)]

    return find


def _columns(wanted: Filters) -> Callable[[float, float], object]:
    volumes, rates = wanted
    return lambda volume, rate: np.flatnonzero((volumes < volume) & (rates < rate))


def _sorted_columns(wanted: Filters) -> Callable[[float, float], object]:
    order = np.argsort(wanted.volumes)
    volumes, rates = wanted.volumes[order], wanted.rates[order]

    def find(volume: float, rate: float) -> object:
        return order[np.flatnonzero(rates[: np.searchsorted(volumes, volume)] < rate)]

    return find


WAYS: dict[str, Way] = {
    "eval": _evaluated,
    "lambdas, one by one": _lambdas,
    "trees of tags, one by one": _tags,
    "columns": _columns,
    "columns, sorted by the first bound": _sorted_columns,
}


def _index_rows(wanted: Filters, market: Market, seconds: float) -> list[Row]:
    index = ScreenIndex(market.board.symbols, market.board.instruments)
    index.load(*market.newest)
    for a, b in _pairs(wanted):
        index.add(screen(f"volume > {a!r} and change_rate > {b!r}"))
    index.apply(*market.batch())  # each symbol is looked at for the first time
    count = len(index)
    return [
        _index_row(f"{count:,} filters: tickwire, {name}", index, _parts(market, size), seconds)
        for name, size in (("500 ticks a batch", _SYMBOLS), ("10 ticks a batch", 10), ("a tick a batch", 1))
    ]


def _index_row(name: str, index: ScreenIndex, batches: Iterator[Batch], seconds: float) -> Row:
    ticks = matches = changes = 0
    spent = listing = 0.0
    while spent < seconds or ticks < _SYMBOLS:
        rows, quotes = next(batches)
        start = time.perf_counter()
        found = index.apply(rows, quotes)
        spent += time.perf_counter() - start
        ticks += len(rows)
        start = time.perf_counter()
        matches += sum(len(found.matching(place)) for place in range(len(rows)))
        listing += time.perf_counter() - start
        changes += sum(map(len, (*found.entered.values(), *found.left.values())))
    figures = {"us_per_tick": round(1e6 * spent / ticks, 2), "us_to_list": round(1e6 * listing / ticks, 2)}
    return {"name": name, **figures, "ticks": ticks, "matches": matches / ticks, "changes": changes / ticks}


def _parts(market: Market, size: int) -> Iterator[Batch]:
    while True:
        rows, quotes = market.batch()
        for begin in range(0, len(rows), size):
            yield Batch(rows[begin : begin + size], quotes[:, begin : begin + size])


def _pairs(wanted: Filters) -> list[tuple[float, float]]:
    return list(zip(wanted.volumes.tolist(), wanted.rates.tolist(), strict=True))
