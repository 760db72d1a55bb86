"""Calm and busy times: a market's volatility swings, and forgets its swings slowly.

The logarithm of all volatility over its normal level is an Ornstein-Uhlenbeck process, as in S. J. Taylor, "Modelling
Financial Time Series" (1986): normal with the rule's deviation, correlated over time by 2 ** (-sessions / half_life).
"""

from __future__ import annotations

import numpy as np

from tickwire.market.model import Clusters
from tickwire.market.runs import Floats

_OF_NORMAL = 2 / np.pi  # the square of a standard normal variable's mean size


class Swing:
    """Where volatility stands now; it begins anywhere the rule allows, or at `level`."""

    def __init__(self, rule: Clusters, rng: np.random.Generator, level: float | None = None) -> None:
        self._rule = rule
        self._rng = rng
        self.level = rule.deviation * rng.standard_normal() if level is None else level

    def advance(self, sessions: float) -> float:
        """Let time pass; answers by how much variance passes faster than normal, which is 1 on average."""
        rule, kept = self._rule, 2.0 ** (-sessions / self._rule.half_life)
        noise = rule.deviation * np.sqrt(1 - kept**2) * self._rng.standard_normal()
        self.level = float(self.level * kept + noise)
        return float(np.exp(2 * self.level - 2 * rule.deviation**2))


def fit(autocorrelation: Floats) -> Clusters | None:
    """The rule whose daily returns have nearly this autocorrelation of sizes at lags 1, 2, ...; None where none has.

    For returns sigma * z with log-normal sigma: acf(k) = (2/pi) (exp(s² r(k)) - 1) / (exp(s²) - 2/pi).
    """
    lags = np.arange(1, len(autocorrelation) + 1)
    deviations, half_lives = np.linspace(0.05, 1.0, 96), np.geomspace(2, 250, 80)
    squares = deviations[:, None, None] ** 2
    kept = 2.0 ** (-lags / half_lives[:, None])
    expected = _OF_NORMAL * np.expm1(squares * kept) / (np.exp(squares) - _OF_NORMAL)
    errors = np.sum((expected - autocorrelation) ** 2, axis=2)
    if not len(lags) or errors.min() >= np.sum(autocorrelation**2):
        return None
    row, column = np.unravel_index(np.argmin(errors), errors.shape)
    return Clusters(deviation=round(float(deviations[row]), 3), half_life=round(float(half_lives[column]), 2))
