"""Rate limits per address and per user, implemented as token buckets."""

from __future__ import annotations

from collections import OrderedDict

from tickwire.server.http_errors import RateLimited

# The maximum number of buckets. A bucket occupies about 200 bytes. If there are more, the limiter deletes the least
# recently used bucket.
MAX_BUCKETS = 50_000
# A burst may contain as many requests as the rate allows in this many seconds. Bursts are common: a web page sends
# several requests together when a browser opens the page.
BURST_S = 5.0


class RateLimiter:
    """Limits how many units (such as requests) each client may consume. Each client has its own token bucket.

    A bucket contains at most `burst` units and receives `rate_per_s` units a second. A rate of 0 sets no limit.
    `unit` is the plural noun for error messages, such as "requests".
    """

    def __init__(self, rate_per_s: float, unit: str, burst: float | None = None) -> None:
        self._rate_per_s = rate_per_s
        self._burst = max(1.0, rate_per_s * BURST_S) if burst is None else burst
        self._unit = unit
        # For each client: the number of available units at the last update, and the monotonic time of this update.
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    @property
    def is_enabled(self) -> bool:
        """Whether there is a limit. A rate of 0 sets no limit."""
        return self._rate_per_s > 0

    def consume(self, key: str | None, now: float, amount: float = 1) -> None:
        """Remove `amount` units from the token bucket of a client. Raise RateLimited if the bucket contains fewer
        units.

        `key` identifies the client; a request without a key is not limited. `now` is the monotonic time.
        """
        missing = self._remove(key, now, amount)
        if missing:
            message = f"too many {self._unit}: the limit is {self._rate_per_s:,g} per second"
            raise RateLimited(message, missing / self._rate_per_s)

    def try_consume(self, key: str, now: float, amount: float = 1) -> bool:
        """Remove `amount` units like `consume`, but return False instead of raising RateLimited."""
        return not self._remove(key, now, amount)

    def _remove(self, key: str | None, now: float, amount: float) -> float:
        """Remove `amount` units from a bucket, and return 0. If the bucket has too few units, return the number of
        missing units."""
        if not self._rate_per_s or not key:
            return 0
        available, updated_at = self._buckets.pop(key, (self._burst, now))
        available = min(self._burst, available + (now - updated_at) * self._rate_per_s)
        self._buckets[key] = (available - amount if available >= amount else available, now)
        if len(self._buckets) > MAX_BUCKETS:
            self._buckets.popitem(last=False)
        return max(0, amount - available)
