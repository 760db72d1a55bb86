"""A model beside the data it was made of: the same figures of both."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import numpy as np

from tickwire.market.hours import Hours
from tickwire.market.model import Model
from tickwire.market.price_bars import Days
from tickwire.market.runs import Floats
from tickwire.market.statistics import LAGS, autocorrelation, correlation, excess_kurtosis, pairs, volatility
from tickwire.market.walk import Walk

_STEPS = 13  # a simulated session has so many: half-hours, for one of six and a half
_START = 1_767_366_000 * 10**9  # any time: the first session after it is the first that is simulated
_RARELY = 1e-9  # trades a second: only those at the open and the close count here


class Figures(NamedTuple):
    """What daily returns are like: one number a symbol, a pair, or a lag."""

    days: int
    returns: Floats
    volatility: Floats
    correlation: Floats
    kurtosis: Floats
    autocorrelation: Floats

    @property
    def mean_correlation(self) -> float:
        """Of all pairs; NaN for one symbol."""
        return float(self.correlation.mean()) if len(self.correlation) else float("nan")


class Comparison(NamedTuple):
    """Data and model, and the model they are of."""

    symbols: list[str]
    data: Figures
    model: Figures
    of: Model


def compare(model: Model, days: Days, seed: int) -> Comparison:
    """The figures of the data, and of as many simulated days."""
    count = len(days.dates)
    year = model.session.days if model.session else Hours(None).days
    simulated = simulate_days(model, count, np.random.default_rng(seed))
    return Comparison(
        days.symbols, figures(days.returns, year), figures(np.diff(np.log(simulated), axis=0), year), model
    )


def figures(returns: Floats, year: int) -> Figures:
    """The figures of daily log `returns`, of which a year has `year`."""
    lags = min(LAGS, len(returns) - 1)
    return Figures(
        len(returns),
        returns,
        volatility(returns, year),
        pairs(correlation(returns)),
        excess_kurtosis(returns),
        autocorrelation(returns, lags),
    )


def simulate_days(model: Model, count: int, rng: np.random.Generator) -> Floats:
    """Closing prices of `count` simulated sessions of a model that has a session; shape (count, symbols)."""
    hours = Hours(model.session)
    session = hours.coming(hours.coming(_START).close)
    step = -(-(session.close - session.open) // _STEPS)
    walk = Walk(msgspec.structs.replace(model, halts=None), rng, session.open, rate=_RARELY, step=step, steps=_STEPS)
    places = {symbol.encode(): row for row, symbol in enumerate(walk.symbols)}
    closes = np.empty((count, len(walk)))
    for day in range(count):
        ticks = walk.block().ticks[-len(walk) :]
        closes[day, [places[symbol] for symbol in ticks["symbol"].tolist()]] = ticks["last"]
    return closes
