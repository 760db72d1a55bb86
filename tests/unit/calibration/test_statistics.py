"""Statistics of returns and factor loadings."""

from __future__ import annotations

import numpy as np
import pytest

from tickwire.calibration.statistics import excess_kurtosis, factor_loadings, upper_triangle


def test_factor_loadings_reproduce_the_matrix_of_one_factor() -> None:
    """Loadings may be negative. With two symbols, the matrix determines only the product of their loadings."""
    truth = np.array([0.9, 0.5, -0.3, 0.7])
    matrix = np.outer(truth, truth)
    np.fill_diagonal(matrix, 1.0)
    assert factor_loadings(matrix) == pytest.approx(truth, abs=1e-3)
    two = factor_loadings(np.array([[1.0, 0.36], [0.36, 1.0]]))
    assert two[0] * two[1] == pytest.approx(0.36, abs=1e-6)
    assert factor_loadings(np.ones((1, 1))).tolist() == [0.0]


def test_excess_kurtosis_of_known_distributions() -> None:
    """The excess kurtosis is 0 for the normal distribution and 3 for the Laplace distribution."""
    rng = np.random.default_rng(1)
    returns = np.column_stack([rng.standard_normal(200_000), rng.laplace(size=200_000)])
    assert excess_kurtosis(returns) == pytest.approx([0, 3], abs=0.2)


def test_upper_triangle_of_one_symbol_is_empty() -> None:
    assert not len(upper_triangle(np.ones((1, 1))))
