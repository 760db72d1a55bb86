"""Computes the same statistics for a model and for the data that the model was fitted to."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import numpy as np

from tickwire.calibration.daily_bars import DailyPrices
from tickwire.calibration.statistics import (
    MAX_LAG_DAYS,
    absolute_return_autocorrelation,
    annual_volatility,
    correlation_matrix,
    excess_kurtosis,
    upper_triangle,
)
from tickwire.core.arrays import Floats
from tickwire.simulation.model import MarketModel
from tickwire.simulation.price_process import PriceProcess
from tickwire.simulation.session_schedule import SessionSchedule

# The number of time steps per session. In a session of six and a half hours, each step is half an hour.
_STEPS_PER_SESSION = 13
# An arbitrary start time. The simulation starts with the second session after this time.
_SIMULATION_START_NS = 1_767_366_000 * 10**9
# The trade rate of the simulation, in trades per second. A low rate is enough, because the comparison needs only the
# trades at the open and the close, which always occur.
_NEGLIGIBLE_TRADE_RATE = 1e-9


class ReturnStatistics(NamedTuple):
    """Statistics of daily returns.

    `returns` has the shape (days, symbols). `annual_volatility` and `excess_kurtosis` contain one number for each
    symbol. `pair_correlations` contains one number for each pair of symbols. `autocorrelation` contains one number for
    each lag of 1, 2, ... days.
    """

    day_count: int
    returns: Floats
    annual_volatility: Floats
    pair_correlations: Floats
    excess_kurtosis: Floats
    autocorrelation: Floats

    @property
    def mean_pair_correlation(self) -> float:
        """The mean of the correlations of all pairs of symbols, or NaN if there is only one symbol."""
        return float(self.pair_correlations.mean()) if len(self.pair_correlations) else float("nan")


class ModelComparison(NamedTuple):
    """Statistics of daily returns in market data, and in a simulation with the model fitted to this data."""

    symbols: list[str]
    data_statistics: ReturnStatistics
    model_statistics: ReturnStatistics
    calibrated_model: MarketModel


def compare_with_data(model: MarketModel, days: DailyPrices, seed: int) -> ModelComparison:
    """Return statistics of the prices `days`, and of a simulation of `model` over equally many days."""
    count = len(days.dates)
    year = model.session.days if model.session else SessionSchedule(None).sessions_per_year
    simulated = simulate_closes(model, count, np.random.default_rng(seed))
    return ModelComparison(
        days.symbols,
        return_statistics(days.returns, year),
        return_statistics(np.diff(np.log(simulated), axis=0), year),
        model,
    )


def return_statistics(returns: Floats, sessions_per_year: int) -> ReturnStatistics:
    """Compute the statistics of the daily log returns `returns`, an array of shape (days, symbols)."""
    lags = min(MAX_LAG_DAYS, len(returns) - 1)
    return ReturnStatistics(
        len(returns),
        returns,
        annual_volatility(returns, sessions_per_year),
        upper_triangle(correlation_matrix(returns)),
        excess_kurtosis(returns),
        absolute_return_autocorrelation(returns, lags),
    )


def simulate_closes(model: MarketModel, count: int, rng: np.random.Generator) -> Floats:
    """Simulate `count` trading sessions. Return the closing prices as an array of shape (count, symbols).

    The model must have trading hours.
    """
    hours = SessionSchedule(model.session)
    session = hours.session_at_or_after(hours.session_at_or_after(_SIMULATION_START_NS).close)
    step = -(-(session.close - session.open) // _STEPS_PER_SESSION)
    process = PriceProcess(
        msgspec.structs.replace(model, halts=None),
        rng,
        session.open,
        trades_per_second=_NEGLIGIBLE_TRADE_RATE,
        step_ns=step,
        steps_per_block=_STEPS_PER_SESSION,
    )
    columns = {symbol.encode(): row for row, symbol in enumerate(process.symbols)}
    closes = np.empty((count, len(process)))
    for day in range(count):
        ticks = process.simulate_block().ticks[-len(process) :]
        closes[day, [columns[symbol] for symbol in ticks["symbol"].tolist()]] = ticks["last"]
    return closes
