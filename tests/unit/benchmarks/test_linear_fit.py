"""The straight line of the soak test and of the load test, and the leaks that it finds."""

from __future__ import annotations

import random

import pytest

from benchmarks.linear_fit import fit_line
from benchmarks.soak import MAX_GROWTH, Sample, find_leaks


def noisy_line(start: float, slope: float, noise: float, seed: int) -> tuple[list[float], list[float]]:
    """Return 200 samples whose errors depend on each other, as the samples of a process do."""
    rng, error = random.Random(seed), 0.0
    times = [float(number) for number in range(200)]
    values = []
    for time in times:
        error = 0.8 * error + rng.gauss(0, noise)
        values.append(start + slope * time + error)
    return times, values


@pytest.mark.parametrize("slope", [0.0, 0.1, -0.1])
def test_the_interval_contains_the_true_slope(slope: float) -> None:
    misses = 0
    for seed in range(100):
        fit = fit_line(*noisy_line(100, slope, 1, seed))
        misses += abs(fit.slope - slope) > fit.margin
    # On average, the true slope is outside the 99 % interval in 1 of 100 cases.
    assert misses < 8


def test_only_a_certain_growth_is_a_leak() -> None:
    def leaks(slope: float) -> list[str]:
        times, values = noisy_line(100, slope, 1, seed=1)
        return find_leaks([Sample(time, value, 50, 8) for time, value in zip(times, values, strict=True)])

    assert leaks(0.0) == leaks(-0.5) == []
    (leak,) = leaks(0.5)
    assert leak.startswith("memory: at least ")
    assert next(iter(MAX_GROWTH)) == "memory"


def test_constant_values_do_not_grow() -> None:
    assert abs(fit_line([0, 1, 2, 3], [5, 5, 5, 5]).growth([0, 1, 2, 3])) < 1e-9
