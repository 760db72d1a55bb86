"""How long to wait before trying again."""

from __future__ import annotations

import random

LONGEST = 30.0  # seconds: an outage of hours should not cost a returning server a rush every second


class Backoff:
    """Exponential backoff with full jitter: the n-th wait is anything between 0 and `first` * 2**n, at most `longest`.

    Full jitter spreads clients that lost their server together over the whole time (M. Brooker, "Exponential Backoff
    And Jitter", AWS Architecture Blog, 2015). Times are in seconds.
    """

    def __init__(self, first: float = 0.5, longest: float = LONGEST, rng: random.Random | None = None) -> None:
        self.first = first
        self.failures = 0
        self._longest = longest
        self._rng = rng or random.Random()  # noqa: S311  # spreads load; nothing depends on its being unguessable

    def anew(self) -> Backoff:
        """One with the same waits that has seen no failure."""
        return Backoff(self.first, self._longest, self._rng)

    def next(self) -> float:
        """The wait after one more failure."""
        bound = min(self._longest, self.first * 2.0 ** min(self.failures, 30))
        self.failures += 1
        return self._rng.uniform(0.0, bound)

    def reset(self) -> None:
        """It worked: the next failure is a first one again."""
        self.failures = 0
