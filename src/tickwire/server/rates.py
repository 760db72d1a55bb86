"""How often, or how much, somebody may ask: token buckets, for each address and for each user."""

from __future__ import annotations

from collections import OrderedDict

from tickwire.server.refusal import TooOften

MOST_KEPT = 50_000  # addresses and users, some 200 bytes each: who was not heard of for longest is forgotten first
BURST_SECONDS = 5.0  # as many requests may come at once as in this time: a page that is opened asks for several things


class Rates:
    """Lets each name have `rate` of something a second, and `burst` at once; rate 0 counts nobody."""

    def __init__(self, rate: float, what: str, burst: float | None = None) -> None:
        self._rate = rate
        self._most = max(1.0, rate * BURST_SECONDS) if burst is None else burst
        self._what = what
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # what is left, as of a monotonic time

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, name: str | None, now: float, count: float = 1) -> None:
        """Count `count` more of `name` (None is not counted); TooOften where that is too many. `now` is monotonic."""
        if not self._rate or not name:
            return
        left, at = self._buckets.pop(name, (self._most, now))
        left = min(self._most, left + (now - at) * self._rate)
        self._buckets[name] = (left - count if left >= count else left, now)
        if len(self._buckets) > MOST_KEPT:
            self._buckets.popitem(last=False)
        if left < count:
            raise TooOften(f"more than {self._rate:,g} {self._what} a second", (count - left) / self._rate)
