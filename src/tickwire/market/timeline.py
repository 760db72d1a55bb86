"""The time of a simulated market, cut into steps: when they are, and how much variance passes in each."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tickwire.market.hours import Hours
from tickwire.market.model import Model
from tickwire.market.runs import Floats

STEP_NS = 20_000_000  # of market time: ticks of one step share their time. Short enough to look continuous
STEPS = 10  # in a block


class Stretch(NamedTuple):
    """Some steps: their times, and the variance in years that passes before each.

    `opens` and `closes` say whether the market does, at the first and at the last step. `volume` and `volatility` are
    those of the moment over those of the session's mean; `seconds` is how long it all takes.
    """

    times: NDArray[np.int64]
    variance: Floats
    opens: bool
    closes: bool
    volume: float
    volatility: float
    seconds: float


class Timeline:
    """A model's sessions from `start` on, nights left out, in stretches of `steps` steps of `step` nanoseconds."""

    def __init__(self, model: Model, start: int, *, step: int = STEP_NS, steps: int = STEPS) -> None:
        self.step = step
        self.steps = steps
        self._hours = Hours(model.session)
        self._session = self._hours.coming(start)
        self._volume = _relative(model.profile.volume, 1)
        self._volatility = _relative(model.profile.volatility, 2)
        self.now = max(start, self._session.open)

    def stretch(self) -> Stretch:
        """The next steps; time has passed then."""
        hours, session, night = self._hours, self._session, 0.0
        if self.now >= session.close:
            self._session = session = hours.coming(self.now)
            self.now, night = max(self.now, session.open), hours.overnight / hours.days
        start, end = self.now, min(self.now + self.steps * self.step, session.close)
        place = session.place(start)
        volatility = self._volatility[int(place * len(self._volatility))]
        times = np.arange(start, end, self.step)
        lengths = np.diff(times, append=end) / (session.close - session.open)
        variance = lengths * (1 - hours.overnight) / hours.days * volatility**2
        variance[0] += night
        closes = hours.closes and end == session.close
        if closes:
            times, variance = np.append(times, end), np.append(variance, 0.0)
        self.now = end
        opens = hours.closes and start == session.open
        volume = self._volume[int(place * len(self._volume))]
        return Stretch(times, variance, opens, closes, float(volume), float(volatility), (end - start) / 1e9)


def _relative(weights: tuple[float, ...], power: int) -> Floats:
    """The weights over their mean; of squares, where it is squares that add up."""
    column: Floats = np.array(weights)
    scale: float = np.mean(column**power).item() ** (1 / power)
    return column / scale
