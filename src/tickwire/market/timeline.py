"""The time of a simulated market, cut into steps: when they are, and how much variance passes in each."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tickwire.market.hours import Hours
from tickwire.market.model import Model
from tickwire.market.runs import Floats

STEP_NS = 20_000_000  # of market time: ticks of one step share their time. Short enough to look continuous
STEPS = 10  # in a block: a fifth of a second
BLOCK_NS = STEPS * STEP_NS


class Stretch(NamedTuple):
    """Some steps: their times, the variance in years that passes before each, and volatility over the session's mean.

    `opens` and `closes` say whether the market does, at the first and at the last step. `volume` is over the session's
    mean too; `seconds` is how long it all takes.
    """

    times: NDArray[np.int64]
    variance: Floats
    opens: bool
    closes: bool
    volume: float
    volatility: Floats
    seconds: float


class Timeline:
    """A model's sessions from `start` on, nights left out, in stretches of `steps` steps of `step` nanoseconds."""

    def __init__(self, model: Model, start: int, *, step: int = STEP_NS, steps: int = STEPS) -> None:
        self.step = step
        self.steps = steps
        self._hours = Hours(model.session)
        self.sessions = self._hours.days
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
        times = np.arange(start, end, self.step)
        places = (times - session.open) / (session.close - session.open)
        volatility = _at(self._volatility, places)
        lengths = np.diff(times, append=end) / (session.close - session.open)
        variance = lengths * (1 - hours.overnight) / hours.days * volatility**2
        variance[0] += night
        closes = hours.closes and end == session.close
        if closes:
            times, variance = np.append(times, end), np.append(variance, 0.0)
            volatility = np.append(volatility, volatility[-1])
        self.now = end
        opens = hours.closes and start == session.open
        volume = float(_at(self._volume, places).mean())
        return Stretch(times, variance, opens, closes, volume, volatility, (end - start) / 1e9)


def _at(weights: Floats, places: Floats) -> Floats:
    return weights[(places * len(weights)).astype(np.intp)]


def _relative(weights: tuple[float, ...], power: int) -> Floats:
    """The weights over their mean; of squares, where it is squares that add up."""
    column: Floats = np.array(weights)
    scale: float = np.mean(column**power).item() ** (1 / power)
    return column / scale
