"""Stochastic volatility: calm and busy times of a whole market.

The logarithm of the relative volatility is an Ornstein-Uhlenbeck process, as in S. J. Taylor, "Modelling Financial Time
Series" (1986). The values of the process are normally distributed. The class `VolatilityClustering` declares the
standard deviation of the values and the attribute `half_life`. The correlation of two values is 2 ** (-sessions /
half_life), where `sessions` is the number of trading sessions between the two values.
"""

from __future__ import annotations

import numpy as np

from tickwire.core.arrays import Floats
from tickwire.simulation.model import VolatilityClustering

# The square of the mean absolute value of a standard normal variable.
_SQUARED_MEAN_ABS_NORMAL = 2 / np.pi


class StochasticVolatility:
    """The current level of volatility.

    The argument `log_volatility` is the logarithm of the initial level, which is random by default.
    """

    def __init__(
        self, rule: VolatilityClustering, rng: np.random.Generator, log_volatility: float | None = None
    ) -> None:
        self._rule = rule
        self._rng = rng
        self.log_volatility = rule.deviation * rng.standard_normal() if log_volatility is None else log_volatility

    def advance(self, sessions: float) -> float:
        """Advance the process by a number of sessions. Return the current variance relative to the normal variance.

        The mean of this relative variance is 1.
        """
        rule, correlation = self._rule, 2.0 ** (-sessions / self._rule.half_life)
        noise = rule.deviation * np.sqrt(1 - correlation**2) * self._rng.standard_normal()
        self.log_volatility = float(self.log_volatility * correlation + noise)
        return float(np.exp(2 * self.log_volatility - 2 * rule.deviation**2))


def fit_clustering(autocorrelation: Floats) -> VolatilityClustering | None:
    """Return the volatility clustering that fits the autocorrelation of absolute daily returns.

    Return None if no volatility clustering fits.

    `autocorrelation` contains the autocorrelations at lags of 1, 2, ... days.

    The fit assumes that a return is sigma * z, where sigma is log-normal and z is normal. Then the autocorrelation at
    lag k is acf(k) = (2/pi) (exp(s² r(k)) - 1) / (exp(s²) - 2/pi). Here s is the standard deviation of log sigma, and
    r(k) is the correlation of log sigma at lag k.
    """
    lags = np.arange(1, len(autocorrelation) + 1)
    deviations, half_lives = np.linspace(0.05, 1.0, 96), np.geomspace(2, 250, 80)
    squares = deviations[:, None, None] ** 2
    decay = 2.0 ** (-lags / half_lives[:, None])
    expected = _SQUARED_MEAN_ABS_NORMAL * np.expm1(squares * decay) / (np.exp(squares) - _SQUARED_MEAN_ABS_NORMAL)
    errors = np.sum((expected - autocorrelation) ** 2, axis=2)
    if not len(lags) or errors.min() >= np.sum(autocorrelation**2):
        return None
    row, column = np.unravel_index(np.argmin(errors), errors.shape)
    return VolatilityClustering(
        deviation=round(float(deviations[row]), 3), half_life=round(float(half_lives[column]), 2)
    )
