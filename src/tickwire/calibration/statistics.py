"""Statistics of daily returns. A good model has the same statistics as the data that it was fitted to."""

from __future__ import annotations

from typing import Any

import numpy as np

from tickwire.core.arrays import Floats, RowArray

# The maximum lag: a month of trading days. A period of high or low volatility lasts for about this time.
MAX_LAG_DAYS = 20
# The median absolute deviation of a standard normal variable.
_NORMAL_MAD = 0.6745
# A factor explains at most this fraction of a symbol's variance.
_MAX_SHARED_VARIANCE = 0.98


def annual_volatility(returns: Floats, sessions_per_year: int) -> Floats:
    """Return the annual standard deviation of each symbol's log returns.

    `returns` contains daily log returns, in an array of shape (days, symbols).
    """
    deviation: Floats = returns.std(axis=0, ddof=1)
    return np.asarray(deviation * np.sqrt(sessions_per_year))


def excess_kurtosis(returns: Floats) -> Floats:
    """Return the excess kurtosis of each symbol's returns.

    The excess kurtosis is 0 for normally distributed returns, and positive for fat tails.
    """
    centred = returns - returns.mean(axis=0)
    second: Floats = np.mean(centred**2, axis=0)
    fourth: Floats = np.mean(centred**4, axis=0)
    return np.asarray(fourth / second**2 - 3.0)


def robust_deviation(returns: Floats) -> Floats:
    """Return a robust estimate of the standard deviation of each symbol's returns.

    Outliers hardly affect the estimate, because it is computed from the median absolute deviation.
    """
    middle = np.median(returns, axis=0)
    spread: Floats = np.median(np.abs(returns - middle), axis=0)
    return spread / _NORMAL_MAD


def absolute_return_autocorrelation(returns: Floats, max_lag: int) -> Floats:
    """Return the autocorrelation of absolute returns at each lag from 1 to `max_lag`, as the mean over all symbols.

    The autocorrelation is positive if large returns tend to follow large returns.
    """
    sizes = np.abs(returns) - np.abs(returns).mean(axis=0)
    variance = np.mean(sizes**2, axis=0)
    return np.array([np.mean(np.mean(sizes[lag:] * sizes[:-lag], axis=0) / variance) for lag in range(1, max_lag + 1)])


def upper_triangle(matrix: Floats) -> Floats:
    """Return the numbers above the diagonal of a square matrix, as a one-dimensional array."""
    upper: Floats = matrix[np.triu_indices(len(matrix), 1)]
    return upper


def correlation_matrix(returns: Floats) -> Floats:
    """Return the correlation matrix of the symbols' returns, of shape (symbols, symbols)."""
    if returns.shape[1] == 1:
        return np.ones((1, 1))
    return np.asarray(np.corrcoef(returns, rowvar=False))


def factor_loadings(correlations: Floats, *, iterations: int = 200) -> Floats:
    """Return the loading of each symbol on a random factor that all symbols share.

    A loading is the correlation of a symbol with the factor. The product of two symbols' loadings approximates the
    correlation of the two symbols. The method is "iterated principal factors" (H. H. Harman, "Modern Factor Analysis",
    chapter 8).
    """
    count = len(correlations)
    if count == 1:
        return np.zeros(1)
    reduced = correlations.copy()
    diagonal: RowArray = np.arange(count)
    reduced[diagonal, diagonal] = 0.0
    shared = np.abs(reduced).max(axis=0)
    loadings: Any = np.zeros(count)
    for _ in range(iterations):
        reduced[diagonal, diagonal] = shared
        values, vectors = np.linalg.eigh(reduced)
        loadings = vectors[:, -1] * np.sqrt(max(values[-1], 0.0))
        shared = np.minimum(loadings**2, _MAX_SHARED_VARIANCE)
    limit = np.sqrt(_MAX_SHARED_VARIANCE)
    return np.asarray(np.clip(loadings if loadings.sum() >= 0 else -loadings, -limit, limit))
