"""Figures of daily returns: what a model should have in common with the data it was made of."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tickwire.market.runs import Floats

LAGS = 20  # days over which clusters of volatility are looked at: a month
_NORMAL_MAD = 0.6745  # the median absolute deviation of a standard normal variable
_MOST_SHARED = 0.98  # of a symbol's variance: something is always its own


def volatility(returns: Floats, days: int) -> Floats:
    """Standard deviation of a year's log return, for daily ones of shape (days, symbols)."""
    deviation: Floats = returns.std(axis=0, ddof=1)
    return np.asarray(deviation * np.sqrt(days))


def excess_kurtosis(returns: Floats) -> Floats:
    """How much fatter than a normal variable's the tails are: 0 for a normal one."""
    centred = returns - returns.mean(axis=0)
    second: Floats = np.mean(centred**2, axis=0)
    fourth: Floats = np.mean(centred**4, axis=0)
    return np.asarray(fourth / second**2 - 3.0)


def robust_deviation(returns: Floats) -> Floats:
    """The standard deviation of the bulk of the returns, which a few huge ones do not move."""
    middle = np.median(returns, axis=0)
    spread: Floats = np.median(np.abs(returns - middle), axis=0)
    return spread / _NORMAL_MAD


def autocorrelation(returns: Floats, lags: int) -> Floats:
    """Of absolute returns, at lags 1 to `lags`, the mean over symbols: above 0 where calm and busy days cluster."""
    sizes = np.abs(returns) - np.abs(returns).mean(axis=0)
    variance = np.mean(sizes**2, axis=0)
    return np.array([np.mean(np.mean(sizes[lag:] * sizes[:-lag], axis=0) / variance) for lag in range(1, lags + 1)])


def pairs(matrix: Floats) -> Floats:
    """The numbers above the diagonal."""
    upper: Floats = matrix[np.triu_indices(len(matrix), 1)]
    return upper


def correlation(returns: Floats) -> Floats:
    """The correlation of every symbol with every other, shape (symbols, symbols)."""
    if returns.shape[1] == 1:
        return np.ones((1, 1))
    return np.asarray(np.corrcoef(returns, rowvar=False))


def loadings(matrix: Floats, *, rounds: int = 200) -> Floats:
    """The correlations with one common factor whose products come nearest to a correlation matrix's off-diagonal.

    Iterated principal factors (H. H. Harman, "Modern Factor Analysis", chapter 8).
    """
    count = len(matrix)
    if count == 1:
        return np.zeros(1)
    reduced = matrix.copy()
    diagonal: NDArray[np.intp] = np.arange(count)
    reduced[diagonal, diagonal] = 0.0
    shared = np.abs(reduced).max(axis=0)
    found: Any = np.zeros(count)
    for _ in range(rounds):
        reduced[diagonal, diagonal] = shared
        values, vectors = np.linalg.eigh(reduced)
        found = vectors[:, -1] * np.sqrt(max(values[-1], 0.0))
        shared = np.minimum(found**2, _MOST_SHARED)
    most = np.sqrt(_MOST_SHARED)
    found = np.clip(found if found.sum() >= 0 else -found, -most, most)
    return np.asarray(found)
