"""The parameters of a model as columns of numbers, for arithmetic on all symbols together."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tickwire.core.arrays import Floats, RowArray
from tickwire.core.tick import TICK_DTYPE
from tickwire.market.derived_fields import count_decimals
from tickwire.simulation.model import MarketModel, SymbolModel

# The target value of a lot. The number of units in a lot is the power of ten that brings the lot's value nearest to the
# target. A lot of an expensive cryptocurrency is therefore a fraction of a unit.
_TARGET_LOT_VALUE = 10_000.0
# The median trade size in lots, for symbols without a trade size in the model.
_DEFAULT_MEDIAN_LOTS = 2.0


class SymbolParameters(NamedTuple):
    """The parameters of a model in columns. Each column has one number for each symbol.

    Rates, drifts and deviations are annual. Drifts and deviations describe log prices.
    """

    symbols: NDArray[np.bytes_]
    tick_size: Floats
    # A power of ten for each symbol. The product of this power and a price of the symbol is a whole number.
    price_scale: Floats
    drift_without_jumps: Floats
    # The standard deviations that the market factor and the sector factor cause.
    market_deviation: Floats
    sector_deviation: Floats
    sector_indices: RowArray
    # The standard deviation of a symbol's own price moves, without jumps.
    idiosyncratic_deviation: Floats
    jump_rate: Floats
    jump_mean: Floats
    jump_deviation: Floats
    # Half of the relative spread at normal volatility.
    half_spread: Floats
    median_lots: Floats
    lot_size: Floats
    lot_scale: Floats
    # The number of trades, relative to the mean over all symbols.
    activity: Floats

    @property
    def sector_count(self) -> int:
        return int(self.sector_indices.max()) + 1

    @property
    def diffusive_volatility(self) -> Floats:
        """The standard deviation of the annual log return, without jumps."""
        return np.sqrt(self.market_deviation**2 + self.sector_deviation**2 + self.idiosyncratic_deviation**2)


def parameters_from_model(model: MarketModel) -> SymbolParameters:
    """Return the parameters of all symbols of a model, in the order of the model."""
    every = model.symbols
    rate, mean, deviation = _jump_columns(every)
    volatility = _float_column([each.volatility for each in every])
    diffusion = np.sqrt(volatility**2 - rate * (mean**2 + deviation**2))
    market = _float_column([each.market for each in every])
    sector = _float_column([each.sector_loading for each in every])
    lot = 10.0 ** np.clip(np.rint(np.log10(_TARGET_LOT_VALUE / _float_column([each.price for each in every]))), -3, 2)
    activity = _float_column([each.activity for each in every])
    return SymbolParameters(
        symbols=np.array([each.symbol.encode() for each in every], TICK_DTYPE["symbol"]),
        tick_size=_float_column([each.tick_size for each in every]),
        price_scale=10.0 ** _float_column([count_decimals(each.tick_size) for each in every]),
        drift_without_jumps=_float_column([each.drift for each in every]) - rate * mean,
        market_deviation=diffusion * market,
        sector_deviation=diffusion * sector,
        sector_indices=_index_by_name([each.sector or "" for each in every]),
        idiosyncratic_deviation=diffusion * np.sqrt(np.maximum(1 - market**2 - sector**2, 0.0)),
        jump_rate=rate,
        jump_mean=mean,
        jump_deviation=deviation,
        half_spread=_float_column([each.normal_spread / 2 for each in every]),
        median_lots=_float_column([each.size or 0.0 for each in every]) / lot
        + _DEFAULT_MEDIAN_LOTS * _size_missing_column(every),
        lot_size=lot,
        lot_scale=np.maximum(1.0 / lot, 1.0),
        activity=activity / activity.mean(),
    )


def _jump_columns(every: tuple[SymbolModel, ...]) -> tuple[Floats, Floats, Floats]:
    rows = [
        (0.0, 0.0, 0.0) if (jumps := each.jumps) is None else (jumps.per_year, jumps.mean, jumps.deviation)
        for each in every
    ]
    rate, mean, deviation = _float_column(rows).T
    return rate, mean, deviation


def _size_missing_column(every: tuple[SymbolModel, ...]) -> Floats:
    return _float_column([each.size is None for each in every])


def _index_by_name(names: list[str]) -> RowArray:
    indices = {name: index for index, name in enumerate(dict.fromkeys(names))}
    return np.array([indices[name] for name in names], np.intp)


def _float_column(values: list[float] | list[int] | list[bool] | list[tuple[float, float, float]]) -> Floats:
    return np.array(values, np.float64)
