"""A straight line through samples over time, and how certain its slope is."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import NamedTuple

import numpy as np

# The interval around the slope extends by this many standard deviations to each side. With many samples, such an
# interval contains the true slope in 99 % of the cases.
_Z_99 = 2.576


class LinearFit(NamedTuple):
    """The least-squares line `start` + `slope` * x. `margin` is half the width of the slope's 99 % interval."""

    start: float
    slope: float
    margin: float

    @property
    def min_slope(self) -> float:
        """The lower end of the interval. If it is above 0, the values grow with 99.5 % certainty."""
        return self.slope - self.margin

    def growth(self, xs: Sequence[float]) -> float:
        """Return the increase of a line with the slope `min_slope` from the first to the last x.

        The increase is a fraction of the value of the fitted line at the first x.
        """
        first = self.start + self.slope * xs[0]
        return self.min_slope * (xs[-1] - xs[0]) / first if first else 0.0


def fit_line(xs: Sequence[float], ys: Sequence[float]) -> LinearFit:
    """Fit a line to at least three samples. Neighbouring samples depend on each other, which widens the interval.

    If successive errors have the correlation r, n samples count as n(1 - r)/(1 + r) independent samples.
    """
    x, y = np.asarray(xs, float), np.asarray(ys, float)
    slope, start = np.polyfit(x, y, 1)
    errors = y - (start + slope * x)
    variance = float(errors @ errors) / max(1, len(x) - 2)
    correlation = _autocorrelation(errors)
    widening = sqrt((1 + correlation) / (1 - correlation))
    deviation = sqrt(variance / float(((x - x.mean()) ** 2).sum())) * widening
    return LinearFit(float(start), float(slope), _Z_99 * deviation)


def _autocorrelation(errors: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    """Return the correlation between successive errors. The result is between 0 and 0.99."""
    energy = float(errors @ errors)
    return min(0.99, max(0.0, float(errors[1:] @ errors[:-1]) / energy)) if energy else 0.0
