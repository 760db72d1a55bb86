"""Compute how long a client waits before a retry."""

from __future__ import annotations

import random

# The longest wait. Clients should reconnect soon after a long outage, but must not send a request every second during
# the outage.
MAX_WAIT_S = 30.0
_MAX_DOUBLINGS = 30


class Backoff:
    """Exponential backoff with full jitter. Times are in seconds.

    After n earlier failures, the next wait is a random number between 0 and initial_wait_s * 2**n, but at most
    max_wait_s. Full jitter means that all waits from 0 to this limit are equally likely. Therefore clients that lost
    their server at the same time reconnect at different times (M. Brooker, "Exponential Backoff And Jitter", AWS
    Architecture Blog, 2015).
    """

    def __init__(
        self, initial_wait_s: float = 0.5, max_wait_s: float = MAX_WAIT_S, rng: random.Random | None = None
    ) -> None:
        self.initial_wait_s = initial_wait_s
        self.failures = 0
        self._max_wait_s = max_wait_s
        self._rng = rng or random.Random()  # noqa: S311  # jitter need not be unpredictable

    def fresh_copy(self) -> Backoff:
        """Return a new backoff with the same initial and maximum waits. The new backoff has counted no failures."""
        return Backoff(self.initial_wait_s, self._max_wait_s, self._rng)

    def next_wait(self) -> float:
        """Count a failure, and return the seconds to wait before the next attempt."""
        bound = min(self._max_wait_s, self.initial_wait_s * 2.0 ** min(self.failures, _MAX_DOUBLINGS))
        self.failures += 1
        return self._rng.uniform(0.0, bound)

    def reset(self) -> None:
        """Set the number of failures to 0 after a success."""
        self.failures = 0
