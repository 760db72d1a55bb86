"""A simulated market, one step at a time: geometric Brownian motion on a price grid, all symbols at once.

Between two steps dt apart a price moves as

    S' = S * exp((mu - sigma**2 / 2) * dt + sigma * sqrt(dt) * Z),    Z standard normal

with mu and sigma a year (J. C. Hull, "Options, Futures, and Other Derivatives", chapter on the lognormal property of
stock prices; the exact solution, so steps of any length agree). Time is trading time: a year has 252 sessions of six
and a half hours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tickwire.core.instrument import Instrument
from tickwire.core.tick import Ticks, empty
from tickwire.market.derive import decimals_of
from tickwire.market.runs import Floats

YEAR = 252 * 6.5 * 3600.0  # seconds of trading in a year
_DRIFT = 0.06  # a year; what a broad market of shares has brought in the long run, near enough
_VOLATILITY = 0.25  # a year, where an instrument says none
_SPREAD_OF_VOLATILITY = 4e-4  # half a spread over price, for a volatility of 1: Apple some 2 basis points wide in all
_SIZE_LOG_MEAN, _SIZE_LOG_DEVIATION = 0.6, 1.1  # of lots: the median trade has two, one in twenty more than ten
_LOT_VALUE = 10_000.0  # a round lot is the power of ten nearest to this much money, so that crypto has fractions
_SMALLEST_PRICE_STEPS = 2  # a price cannot fall below two steps of its grid, so that a bid fits under it


class Walk:
    """The prices of some instruments on their random way. Equal seeds and equal steps give equal ticks.

    `prices` are where symbols start that should not start at their previous close.
    """

    def __init__(
        self, instruments: Sequence[Instrument], rng: np.random.Generator, prices: Mapping[str, float] | None = None
    ) -> None:
        start = prices or {}
        self._rng = rng
        self._symbols = np.array([each.symbol.encode() for each in instruments], "S16")
        steps = [each.tick_size or 0.01 for each in instruments]
        self._step = np.array(steps)
        self._scale = 10.0 ** np.array([decimals_of(step) for step in steps])
        self._price = np.array([start.get(each.symbol) or each.prev_close or 100.0 for each in instruments])
        sigma = np.array([each.volatility or _VOLATILITY for each in instruments])
        self._sigma = sigma / np.sqrt(YEAR)
        self._mu = (_DRIFT - sigma**2 / 2) / YEAR
        self._half_spread = sigma * _SPREAD_OF_VOLATILITY
        self._lot = 10.0 ** np.clip(np.rint(np.log10(_LOT_VALUE / self._price)), -3, 2)
        self._lot_scale = np.maximum(1.0 / self._lot, 1.0)

    def __len__(self) -> int:
        return len(self._symbols)

    def step(self, seconds: float, share: float = 1.0) -> Ticks:
        """Let `seconds` pass for every symbol; answers ticks of those that trade, each with the chance `share`.

        The ticks have no time yet.
        """
        move = self._rng.standard_normal(len(self))
        move *= self._sigma * np.sqrt(seconds)
        move += self._mu * seconds
        np.exp(move, out=move)
        self._price *= move
        np.maximum(self._price, self._step * _SMALLEST_PRICE_STEPS, out=self._price)
        if share >= 1.0:
            return self._ticks(slice(None), len(self))
        trading = np.flatnonzero(self._rng.random(len(self)) < share)
        return self._ticks(trading, len(trading))

    def _ticks(self, which: NDArray[np.intp] | slice, count: int) -> Ticks:
        """The symbols' order book and a trade at one of its sides."""
        price, step, scale = self._price[which], self._step[which], self._scale[which]
        half = price * self._half_spread[which]
        bid = np.floor((price - half) / step)
        ask = np.maximum(np.ceil((price + half) / step), bid + 1)
        ticks = empty(count)
        ticks["symbol"] = self._symbols[which]
        ticks["bid"] = _on_grid(bid, step, scale)
        ticks["ask"] = _on_grid(ask, step, scale)
        bought = self._rng.random(count) < 0.5
        ticks["last"] = np.where(bought, ticks["ask"], ticks["bid"])
        lots = np.exp(self._rng.normal(_SIZE_LOG_MEAN, _SIZE_LOG_DEVIATION, (3, count)))
        sizes = _on_grid(np.ceil(lots), self._lot[which], self._lot_scale[which])
        ticks["size"], ticks["bid_size"], ticks["ask_size"] = sizes
        return ticks


def _on_grid(steps: Floats, step: Floats, scale: Floats) -> Floats:
    """`steps` steps of the grid: a whole number over a power of ten, which is the double that prints short."""
    return np.rint(steps * step * scale) / scale
