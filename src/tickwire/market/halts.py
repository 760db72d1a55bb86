"""Which symbols do not trade, by the market's own rule or because somebody said so."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tickwire.market.model import Halts
from tickwire.market.runs import Floats

NEVER = np.iinfo(np.int64).max
Mask = NDArray[np.bool_]


class Trading:
    """For each of `logs` symbols whether it trades. `logs` are logarithms of prices, times nanoseconds.

    The rule is that of limit-up limit-down: a symbol that moved too far from where it was of late stops for a while.
    """

    def __init__(self, rule: Halts | None, logs: Floats) -> None:
        self._rule = rule
        self._reference = logs.copy()
        self._until = np.zeros(len(logs), np.int64)
        self.waiting: Mask = np.zeros(len(logs), np.bool_)

    def stop(self, which: Mask, until: int = NEVER) -> Mask:
        """Trading stops until then; answers for which it had not stopped before."""
        fresh = which & ~self.waiting
        self.waiting |= which
        self._until[which] = until
        return fresh

    @property
    def held(self) -> Mask:
        """Those that have stopped and were not released."""
        return self.waiting & (self._until > 0)

    def release(self, which: Mask) -> None:
        """Trading may go on with the next `reopened`."""
        self._until[which] = 0

    def reopened(self, now: int, logs: Floats) -> Mask:
        """Those whose time has come: they trade again, and what is of late begins anew for them."""
        back = self.waiting & (self._until <= now)
        self.waiting &= ~back
        self._reference[back] = logs[back]
        return back

    def begin(self, logs: Floats) -> None:
        """Prices are what they are: a session begins, or shares were split."""
        self._reference[:] = logs

    def check(self, now: int, seconds: float, logs: Floats) -> Mask:
        """Those that the rule stops, `seconds` after the last check."""
        rule = self._rule
        if rule is None:
            return np.zeros(len(logs), np.bool_)
        too_far = np.abs(logs - self._reference) > np.log1p(rule.move)
        self._reference += (logs - self._reference) * -np.expm1(-seconds / rule.window)
        return self.stop(too_far & ~self.waiting, now + round(rule.seconds * 1e9))

    def take(self, mine: NDArray[np.intp], other: Trading, theirs: NDArray[np.intp]) -> None:
        """For the symbols at `mine`, what stands for them at `theirs` in another."""
        self._until[mine], self.waiting[mine] = other._until[theirs], other.waiting[theirs]
