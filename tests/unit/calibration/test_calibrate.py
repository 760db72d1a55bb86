"""Calibration: a simulation of a calibrated model has the statistics of the recorded data."""

from __future__ import annotations

import functools
from pathlib import Path

import msgspec
import numpy as np
import pytest

from tickwire.calibration.calibrate import calibrate_model
from tickwire.calibration.compare import compare_with_data, return_statistics, simulate_closes
from tickwire.calibration.daily_bars import DailyPrices, align_days, find_large_moves, measure_intraday_shape
from tickwire.core.codec import encode_json
from tickwire.recordings.bar_reader import read_bars
from tickwire.simulation.model import (
    IntradayProfile,
    Jumps,
    MarketModel,
    SymbolModel,
    TradingHours,
    VolatilityClustering,
    parse_model,
)
from tickwire.simulation.price_process import PriceProcess
from tickwire.simulation.stochastic_volatility import fit_clustering
from tickwire.simulation.universe import built_in_instruments
from tickwire.testing.marks import short_and_long

DATA = Path(__file__).parents[4] / "shared" / "data"
WIKI, MINUTE = DATA / "r1_clear" / "wiki_daily", DATA / "r2_permissive_repo" / "minute"
NEW_YORK = TradingHours(open="09:30", close="16:00", timezone="America/New_York")
INSTRUMENTS = {each.symbol: each for each in built_in_instruments()}
realdata = pytest.mark.realdata
needs_data = pytest.mark.skipif(not DATA.exists(), reason=f"the recorded market data are not at {DATA}")


@functools.cache
def wiki_days() -> DailyPrices:
    return align_days([read_bars(path) for path in sorted(WIKI.glob("*.gz"))])


@realdata
@needs_data
def test_statistics_of_real_prices() -> None:
    """The statistics of seven shares from 1998 to 2013 equal values from an independent calculation."""
    days = wiki_days()
    statistics = return_statistics(days.returns, 252)
    assert len(days.dates) == 3_799
    assert statistics.annual_volatility == pytest.approx([0.489, 0.329, 0.351, 0.428, 0.590, 0.461, 0.327], abs=6e-4)
    assert days.returns.mean(axis=0) * 252 == pytest.approx(
        [0.266, 0.107, 0.105, -0.055, 0.219, -0.019, 0.025], abs=6e-4
    )
    assert statistics.mean_pair_correlation == pytest.approx(0.35, abs=0.005)
    assert statistics.excess_kurtosis[0] == pytest.approx(86, abs=1)
    assert find_large_moves(days, 1.8) == ["AAPL 2000-09-29: -52%"]


@realdata
@needs_data
def test_simulated_prices_are_like_the_data() -> None:
    """One simulated year has the mean volatility and the mean correlation of the data.

    A simulation as long as the data also has the volatility of each symbol.
    """
    days = wiki_days()
    shape = measure_intraday_shape(
        [read_bars(MINUTE / f"{name}_INTRA_DAY.csv.gz") for name in ("AAPL", "MSFT")], NEW_YORK, 13
    )
    model = calibrate_model(days, NEW_YORK, shape, INSTRUMENTS, version="test", about="")
    assert parse_model(encode_json(model)) == model
    data = return_statistics(days.returns, 252)
    year = half_hour_log_prices(model, 252)
    realized_volatility = np.sqrt((np.diff(year, axis=0) ** 2).sum(axis=0))
    assert realized_volatility.mean() == pytest.approx(data.annual_volatility.mean(), rel=0.05)
    daily = return_statistics(np.diff(year[::13], axis=0), 252)
    assert daily.annual_volatility.mean() == pytest.approx(data.annual_volatility.mean(), rel=0.05)
    assert daily.mean_pair_correlation == pytest.approx(data.mean_pair_correlation, abs=0.05)
    compared = compare_with_data(model, days, seed=1)
    assert compared.model_statistics.annual_volatility == pytest.approx(data.annual_volatility, rel=0.05)
    assert compared.model_statistics.mean_pair_correlation == pytest.approx(data.mean_pair_correlation, abs=0.05)
    assert (compared.model_statistics.excess_kurtosis > 0).all()


def half_hour_log_prices(model: MarketModel, days: int) -> np.ndarray:
    """Return log prices at each half-hour of simulated sessions and at the first open: (13 * days + 1, symbols)."""
    opening = 1_767_364_200 * 10**9
    process = PriceProcess(
        model, np.random.default_rng(1), opening, trades_per_second=0.02, step_ns=180 * 10**9, steps_per_block=10
    )
    rows = []
    for _ in range(13 * days + 1):
        ticks = process.simulate_block().ticks[::-1]
        symbols, indices = np.unique(ticks["symbol"], return_index=True)
        assert len(symbols) == len(process)
        rows.append(np.log(ticks["last"][indices]))
    return np.array(rows)


def test_calibration_recovers_a_simulated_model() -> None:
    """The calibrated volatility, loadings and jumps are close to the values of the simulated model."""
    parameters = {"price": 1000.0, "volatility": 0.3, "drift": 0.1, "tick_size": 0.01}
    symbols = tuple(
        SymbolModel(symbol=name, market=0.7, sector_loading=0.0, jumps=Jumps(per_year=3, deviation=0.1), **parameters)
        for name in ("A", "B", "C", "D", "E")
    )
    truth = MarketModel(format=1, version="truth", symbols=symbols, session=NEW_YORK, profile=IntradayProfile())
    closes = simulate_closes(truth, 4_000, np.random.default_rng(2))
    days = DailyPrices(list("ABCDE"), np.arange(4_000), closes, closes)
    calibrated = calibrate_model(days, NEW_YORK, None, {}, version="calibrated", about="")
    jumps = [each.jumps or Jumps(per_year=0) for each in calibrated.symbols]
    # The model has three jumps a year, but the calibration cannot distinguish small jumps from noise.
    assert np.mean([each.per_year for each in jumps]) == pytest.approx(1.3, abs=0.4)
    volatility = np.array([each.volatility for each in calibrated.symbols])
    # Sixteen years contain only about fifty jumps of each symbol, so the tolerance is wide.
    assert volatility == pytest.approx(0.3, rel=0.12)
    jump_share = np.array([each.variance for each in jumps]) / volatility**2
    shared = np.array([each.market**2 for each in calibrated.symbols]) * (1 - jump_share)
    assert shared.mean() == pytest.approx(0.49 * (1 - 0.03 / 0.09), abs=0.05)


@short_and_long("days", 5_000, 10_000)
def test_calibration_recovers_volatility_clustering(days: int) -> None:
    """Clustering keeps the configured annual volatility and raises the kurtosis. A fit recovers its parameters."""
    rule = VolatilityClustering(deviation=0.4, half_life=30.0)
    symbols = tuple(SymbolModel(symbol=name, price=1000.0, volatility=0.3, drift=0.0) for name in "ABCDE")
    model = MarketModel(format=1, version="x", symbols=symbols, session=NEW_YORK, clusters=rule)
    returns = np.diff(np.log(simulate_closes(model, days, np.random.default_rng(3))), axis=0)
    statistics = return_statistics(returns, 252)
    assert statistics.annual_volatility == pytest.approx(0.3, rel=0.1)
    assert statistics.excess_kurtosis.mean() == pytest.approx(3 * np.expm1(4 * 0.4**2), rel=0.5)
    fitted = fit_clustering(statistics.autocorrelation)
    assert fitted is not None
    assert fitted.deviation == pytest.approx(0.4, abs=0.1)
    assert fitted.half_life == pytest.approx(30, rel=0.5)
    plain = msgspec.structs.replace(model, clusters=None)
    calm = np.diff(np.log(simulate_closes(plain, 3_000, np.random.default_rng(3))), axis=0)
    assert np.abs(return_statistics(calm, 252).autocorrelation).max() < 0.03
    assert fit_clustering(-np.abs(statistics.autocorrelation)) is None


@realdata
@needs_data
def test_fitted_clusters_are_like_those_of_the_data() -> None:
    """In the model, absolute returns have the same autocorrelation as in the data, and returns have fat tails."""
    days = wiki_days()
    model = calibrate_model(days, NEW_YORK, None, INSTRUMENTS, version="test", about="", fit_clusters=True)
    compared = compare_with_data(model, days, seed=1)
    assert compared.model_statistics.autocorrelation.mean() == pytest.approx(
        compared.data_statistics.autocorrelation.mean(), abs=0.08
    )
    assert np.median(compared.model_statistics.excess_kurtosis) > 1.5
    assert compared.model_statistics.mean_pair_correlation == pytest.approx(
        compared.data_statistics.mean_pair_correlation, abs=0.05
    )
