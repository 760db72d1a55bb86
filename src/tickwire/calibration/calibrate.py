"""Fits a market model to daily prices.

The fit finds the drift, volatility, correlation, jumps and intraday profile.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np

from tickwire.calibration.daily_bars import DailyPrices, IntradayShape
from tickwire.calibration.statistics import (
    MAX_LAG_DAYS,
    absolute_return_autocorrelation,
    annual_volatility,
    correlation_matrix,
    factor_loadings,
    robust_deviation,
)
from tickwire.core.arrays import Floats
from tickwire.core.instrument import Instrument
from tickwire.simulation.model import MODEL_FORMAT, IntradayProfile, Jumps, MarketModel, SymbolModel, TradingHours
from tickwire.simulation.stochastic_volatility import fit_clustering

# A return is a jump if it differs from the median return by more than this many standard deviations. `robust_deviation`
# estimates the standard deviation.
_JUMP_THRESHOLD_DEVIATIONS = 5.0
# Jumps make the volatility differ from year to year. This number limits the standard deviation of the yearly
# volatility, as a fraction of the mean volatility. Real markets exceed this limit. But without the limit, the
# volatility of a simulated year would seldom be near the volatility of the data.
_MAX_JUMP_VOLATILITY_NOISE = 0.025
_MODEL_DECIMALS = 6


def calibrate_model(
    days: DailyPrices,
    session: TradingHours,
    intraday_shape: IntradayShape | None,
    instruments: Mapping[str, Instrument],
    *,
    version: str,
    about: str,
    fit_clusters: bool = False,
) -> MarketModel:
    """Return the model that fits the daily prices `days` and the intraday profile `intraday_shape`.

    `instruments` contains the reference data of the symbols. The symbols of one sector share a random factor. With
    `fit_clusters`, the volatility of the model changes over time, like the volatility of the data.
    """
    returns, every = days.returns, days.symbols
    sigma = annual_volatility(returns, session.days)
    jumps = [_fit_jumps(returns[:, row], sigma[row], session.days) for row in range(len(every))]
    diffusion = np.sqrt(sigma**2 - np.array([each.variance if each else 0.0 for each in jumps]))
    scale = sigma / diffusion
    market, sector = _fit_factors(
        correlation_matrix(returns) * np.outer(scale, scale), [_sector_name(instruments, each) for each in every]
    )
    drift = returns.mean(axis=0) * session.days
    symbols = tuple(
        msgspec.structs.replace(
            _symbol_model(symbol, instruments.get(symbol), round(float(days.closes[-1, row]), 4)),
            drift=_round_parameter(drift[row]),
            volatility=_round_parameter(sigma[row]),
            market=_round_parameter(market[row]),
            sector_loading=_round_parameter(sector[row]),
            jumps=jumps[row],
        )
        for row, symbol in enumerate(every)
    )
    hours = msgspec.structs.replace(session, overnight=_round_parameter(days.overnight_variance_share))
    return MarketModel(
        format=MODEL_FORMAT,
        version=version,
        about=about,
        symbols=symbols,
        session=hours,
        profile=_intraday_profile(intraday_shape),
        clusters=fit_clustering(absolute_return_autocorrelation(returns, min(MAX_LAG_DAYS, len(returns) - 1)))
        if fit_clusters
        else None,
    )


def _fit_jumps(returns: Floats, sigma: float, days: int) -> Jumps | None:
    """Return a jump process that explains the outliers of one symbol's returns. Return None if there are no outliers.

    The number of jumps per year equals the number of outliers per year. The jumps are as large as the outliers, unless
    such jumps would make the volatility differ too much from year to year (`_MAX_JUMP_VOLATILITY_NOISE`).
    """
    sizes = np.abs(returns - np.median(returns))
    outliers = sizes[sizes > _JUMP_THRESHOLD_DEVIATIONS * robust_deviation(returns)]
    if not len(outliers):
        return None
    rate = len(outliers) * days / len(returns)
    # The number of jumps in a year has a Poisson distribution, and the sizes of the jumps have a normal distribution.
    # So the sum of the squared sizes has the relative standard deviation sqrt(3 / rate). For the square root of the
    # sum, the relative standard deviation is half as large. Jumps cause only a fraction of the variance, so the effect
    # on the volatility is multiplied by this fraction.
    share = 2 * _MAX_JUMP_VOLATILITY_NOISE * np.sqrt(rate / 3)
    deviation = min(float(np.sqrt(np.mean(outliers**2))), sigma * float(np.sqrt(share / rate)))
    return Jumps(per_year=_round_parameter(rate), deviation=_round_parameter(deviation))


def _fit_factors(correlations: Floats, sectors: list[str | None]) -> tuple[Floats, Floats]:
    """Return two arrays: each symbol's correlation with the market factor, and with the factor of its sector.

    A factor is a random price move that several symbols share. The market factor explains a part of the correlations
    between symbols. The sector factors explain the rest of the correlations within each sector.
    """
    correlations = np.clip(correlations, -1.0, 1.0)
    market = factor_loadings(correlations)
    rest = correlations - np.outer(market, market)
    sector = np.zeros(len(market))
    for name in {each for each in sectors if each is not None}:
        rows = np.array([row for row, each in enumerate(sectors) if each == name])
        loadings = factor_loadings(rest[np.ix_(rows, rows)])
        room = np.sqrt(np.maximum(0.99 - market[rows] ** 2, 0.0))
        sector[rows] = np.clip(loadings, -room, room)
    return market, sector


def _sector_name(instruments: Mapping[str, Instrument], symbol: str) -> str | None:
    return instruments[symbol].sector if symbol in instruments else None


def _symbol_model(symbol: str, instrument: Instrument | None, price: float) -> SymbolModel:
    if instrument is None:
        return SymbolModel(symbol=symbol, price=price)
    return SymbolModel(
        symbol=symbol,
        price=price,
        name=instrument.name,
        exchange=instrument.exchange,
        sector=instrument.sector,
        currency=instrument.currency,
        tick_size=instrument.tick_size or 0.01,
        eps=instrument.eps,
        shares=instrument.shares,
    )


def _intraday_profile(shape: IntradayShape | None) -> IntradayProfile:
    if shape is None:
        return IntradayProfile()
    volume, sigma = (tuple(_round_parameter(max(each, 1e-3)) for each in column) for column in shape)
    return IntradayProfile(volume=volume, volatility=sigma)


def _round_parameter(value: float) -> float:
    return round(float(value), _MODEL_DECIMALS)
