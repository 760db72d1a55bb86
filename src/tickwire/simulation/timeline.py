"""The timeline of a simulated market: time steps, and the variance of prices from step to step."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tickwire.core.arrays import Floats, Timestamps
from tickwire.simulation.model import MarketModel
from tickwire.simulation.session_schedule import SessionSchedule

# The market time between steps. All ticks of a step have the same time. The steps are so short that prices look
# continuous.
STEP_NS = 20_000_000
# The number of steps in a block. A block lasts a fifth of a second of market time.
STEPS_PER_BLOCK = 10
BLOCK_NS = STEPS_PER_BLOCK * STEP_NS


class TimeSteps(NamedTuple):
    """Consecutive steps of market time, within one trading session.

    `times` are in nanoseconds since the Unix epoch. `variances` contains the variance of prices between the previous
    step and each step, as a fraction of the annual variance. `includes_open` means that the market opens at the first
    step. `includes_close` means that the market closes at the last step. `relative_volume` is relative to the mean over
    a session. `relative_volatility` is relative to the root mean square over a session.
    """

    times: Timestamps
    variances: Floats
    includes_open: bool
    includes_close: bool
    relative_volume: float
    relative_volatility: Floats
    duration_s: float


class Timeline:
    """The market time of a model, beginning at `start`. Market time skips the time between trading sessions.

    Market time advances in blocks. A block has `steps_per_block` steps of `step_ns` nanoseconds.
    """

    def __init__(
        self, model: MarketModel, start: int, *, step_ns: int = STEP_NS, steps_per_block: int = STEPS_PER_BLOCK
    ) -> None:
        self.step_ns = step_ns
        self.steps_per_block = steps_per_block
        self._schedule = SessionSchedule(model.session)
        self.sessions_per_year = self._schedule.sessions_per_year
        self._session = self._schedule.session_at_or_after(start)
        self._volume_profile = _normalize_weights(model.profile.volume, 1)
        self._volatility_profile = _normalize_weights(model.profile.volatility, 2)
        self.now = max(start, self._session.open)

    def advance(self) -> TimeSteps:
        """Advance market time by one block. Return the steps of the block."""
        hours, session, night = self._schedule, self._session, 0.0
        if self.now >= session.close:
            self._session = session = hours.session_at_or_after(self.now)
            self.now, night = max(self.now, session.open), hours.overnight_variance_share / hours.sessions_per_year
        start, end = self.now, min(self.now + self.steps_per_block * self.step_ns, session.close)
        times = np.arange(start, end, self.step_ns)
        positions = (times - session.open) / (session.close - session.open)
        volatility = _weights_at(self._volatility_profile, positions)
        lengths = np.diff(times, append=end) / (session.close - session.open)
        variance = lengths * (1 - hours.overnight_variance_share) / hours.sessions_per_year * volatility**2
        variance[0] += night
        closes = hours.has_close and end == session.close
        if closes:
            times, variance = np.append(times, end), np.append(variance, 0.0)
            volatility = np.append(volatility, volatility[-1])
        self.now = end
        opens = hours.has_close and start == session.open
        volume = float(_weights_at(self._volume_profile, positions).mean())
        return TimeSteps(times, variance, opens, closes, volume, volatility, (end - start) / 1e9)


def _weights_at(weights: Floats, positions: Floats) -> Floats:
    return weights[(positions * len(weights)).astype(np.intp)]


def _normalize_weights(weights: tuple[float, ...], power: int) -> Floats:
    """Divide weights by their mean if `power` is 1, or by their root mean square if `power` is 2."""
    column: Floats = np.array(weights)
    scale: float = np.mean(column**power).item() ** (1 / power)
    return column / scale
