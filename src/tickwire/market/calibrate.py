"""From price bars to a model: drift, volatility, correlation, jumps, the shape of the day."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np

from tickwire.core.instrument import Instrument
from tickwire.market.model import FORMAT, Jumps, Model, Profile, Session, SymbolModel
from tickwire.market.price_bars import Days, Intraday
from tickwire.market.runs import Floats
from tickwire.market.statistics import LAGS, autocorrelation, correlation, loadings, robust_deviation, volatility
from tickwire.market.swing import fit

_JUMP_DEVIATIONS = 5.0  # of the bulk of the returns: what is beyond is no noise
# By how much jumps may make one year's volatility differ from another's (one standard deviation). Real markets allow
# more, but then a simulated year would hardly ever have the volatility of its data.
_JUMP_NOISE = 0.025
_DIGITS = 6


def calibrate(
    days: Days,
    session: Session,
    shape: Intraday | None,
    known: Mapping[str, Instrument],
    *,
    version: str,
    about: str,
    clusters: bool = False,
) -> Model:
    """The model whose days are like `days`, with the intraday `shape` if there is one.

    `known` has reference data of symbols; those of one sector there get a sector's factor. With `clusters` its days are
    calm and busy in turn, as those of the data.
    """
    returns, every = days.returns, days.symbols
    sigma = volatility(returns, session.days)
    jumps = [_jumps(returns[:, row], sigma[row], session.days) for row in range(len(every))]
    diffusion = np.sqrt(sigma**2 - np.array([each.variance if each else 0.0 for each in jumps]))
    scale = sigma / diffusion
    market, sector = _factors(correlation(returns) * np.outer(scale, scale), [_sector(known, each) for each in every])
    drift = returns.mean(axis=0) * session.days
    symbols = tuple(
        msgspec.structs.replace(
            _described(symbol, known.get(symbol), round(float(days.closes[-1, row]), 4)),
            drift=_short(drift[row]),
            volatility=_short(sigma[row]),
            market=_short(market[row]),
            sector_loading=_short(sector[row]),
            jumps=jumps[row],
        )
        for row, symbol in enumerate(every)
    )
    hours = msgspec.structs.replace(session, overnight=_short(days.overnight))
    return Model(
        format=FORMAT,
        version=version,
        about=about,
        symbols=symbols,
        session=hours,
        profile=_profile(shape),
        clusters=fit(autocorrelation(returns, min(LAGS, len(returns) - 1))) if clusters else None,
    )


def _jumps(returns: Floats, sigma: float, days: int) -> Jumps | None:
    """Moves that the bulk of the returns does not explain: as often, and as large as they may be."""
    sizes = np.abs(returns - np.median(returns))
    found = sizes[sizes > _JUMP_DEVIATIONS * robust_deviation(returns)]
    if not len(found):
        return None
    rate = len(found) * days / len(returns)
    # A year's sum of squares of Poisson many normal jumps has a relative deviation of sqrt(3 / rate), half that in its
    # root, and only their share of the variance counts.
    share = 2 * _JUMP_NOISE * np.sqrt(rate / 3)
    deviation = min(float(np.sqrt(np.mean(found**2))), sigma * float(np.sqrt(share / rate)))
    return Jumps(per_year=_short(rate), deviation=_short(deviation))


def _factors(matrix: Floats, sectors: list[str | None]) -> tuple[Floats, Floats]:
    """Each symbol's loading on the market, and on its sector for what the market leaves."""
    matrix = np.clip(matrix, -1.0, 1.0)
    market = loadings(matrix)
    rest = matrix - np.outer(market, market)
    sector = np.zeros(len(market))
    for name in {each for each in sectors if each is not None}:
        rows = np.array([row for row, each in enumerate(sectors) if each == name])
        found = loadings(rest[np.ix_(rows, rows)])
        room = np.sqrt(np.maximum(0.99 - market[rows] ** 2, 0.0))
        sector[rows] = np.clip(found, -room, room)
    return market, sector


def _sector(known: Mapping[str, Instrument], symbol: str) -> str | None:
    return known[symbol].sector if symbol in known else None


def _described(symbol: str, known: Instrument | None, price: float) -> SymbolModel:
    if known is None:
        return SymbolModel(symbol=symbol, price=price)
    return SymbolModel(
        symbol=symbol,
        price=price,
        name=known.name,
        exchange=known.exchange,
        sector=known.sector,
        currency=known.currency,
        tick_size=known.tick_size or 0.01,
        eps=known.eps,
        shares=known.shares,
    )


def _profile(shape: Intraday | None) -> Profile:
    if shape is None:
        return Profile()
    volume, sigma = (tuple(_short(max(each, 1e-3)) for each in column) for column in shape)
    return Profile(volume=volume, volatility=sigma)


def _short(value: float) -> float:
    return round(float(value), _DIGITS)
