"""A model as columns of numbers, ready for arithmetic on all symbols at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tickwire.market.derive import decimals_of
from tickwire.market.model import Model, SymbolModel
from tickwire.market.runs import Floats

_LOT_VALUE = 10_000.0  # a round lot is the power of ten nearest to this much money, so that crypto has fractions
_MEDIAN_LOTS = 2.0  # of a trade, where the model says no size


class Parameters(NamedTuple):
    """One number a symbol in each column. Rates and variances are a year's; prices as logarithms where named so."""

    symbols: NDArray[np.bytes_]
    tick: Floats  # the price grid
    scale: Floats  # powers of ten that make its multiples whole
    growth: Floats  # of the log price, without jumps
    market: Floats  # standard deviation that comes from the market factor
    sector: Floats  # likewise from the sector's
    sectors: NDArray[np.intp]  # which sector
    own: Floats  # likewise from nobody else
    jump_rate: Floats
    jump_mean: Floats
    jump_deviation: Floats
    half_spread: Floats  # over price, at normal volatility
    median_lots: Floats
    lot: Floats
    lot_scale: Floats
    activity: Floats  # 1 on average

    @property
    def sector_count(self) -> int:
        """How many sectors there are."""
        return int(self.sectors.max()) + 1

    @property
    def diffusion(self) -> Floats:
        """Standard deviation of a year's log return, without jumps."""
        return np.sqrt(self.market**2 + self.sector**2 + self.own**2)


def parameters(model: Model) -> Parameters:
    """The columns of `model`."""
    every = model.symbols
    rate, mean, deviation = _jumps(every)
    volatility = _column([each.volatility for each in every])
    diffusion = np.sqrt(volatility**2 - rate * (mean**2 + deviation**2))
    market, sector = _column([each.market for each in every]), _column([each.sector_loading for each in every])
    lot = 10.0 ** np.clip(np.rint(np.log10(_LOT_VALUE / _column([each.price for each in every]))), -3, 2)
    activity = _column([each.activity for each in every])
    return Parameters(
        symbols=np.array([each.symbol.encode() for each in every], "S16"),
        tick=_column([each.tick_size for each in every]),
        scale=10.0 ** _column([decimals_of(each.tick_size) for each in every]),
        growth=_column([each.drift for each in every]) - rate * mean,
        market=diffusion * market,
        sector=diffusion * sector,
        sectors=_numbered([each.sector or "" for each in every]),
        own=diffusion * np.sqrt(np.maximum(1 - market**2 - sector**2, 0.0)),
        jump_rate=rate,
        jump_mean=mean,
        jump_deviation=deviation,
        half_spread=_column([each.normal_spread / 2 for each in every]),
        median_lots=_column([each.size or 0.0 for each in every]) / lot + _MEDIAN_LOTS * _unsaid(every),
        lot=lot,
        lot_scale=np.maximum(1.0 / lot, 1.0),
        activity=activity / activity.mean(),
    )


def _jumps(every: tuple[SymbolModel, ...]) -> tuple[Floats, Floats, Floats]:
    found = [
        (0.0, 0.0, 0.0) if (jumps := each.jumps) is None else (jumps.per_year, jumps.mean, jumps.deviation)
        for each in every
    ]
    rate, mean, deviation = _column(found).T
    return rate, mean, deviation


def _unsaid(every: tuple[SymbolModel, ...]) -> Floats:
    return _column([each.size is None for each in every])


def _numbered(names: list[str]) -> NDArray[np.intp]:
    places = {name: place for place, name in enumerate(dict.fromkeys(names))}
    return np.array([places[name] for name in names], np.intp)


def _column(values: list[float] | list[int] | list[bool] | list[tuple[float, float, float]]) -> Floats:
    return np.array(values, np.float64)
