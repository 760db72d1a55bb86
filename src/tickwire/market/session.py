"""When one session ends and the next begins: pure arithmetic over boundaries that come in as arrays.

A session here is a whole trading day, from its boundary to the next one, so that every moment belongs to exactly one:
what trades before the opening counts to the day that opens, what trades after the close to the day that closed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tickwire.errors import InputError

DAY_NS = 86_400 * 10**9
_SECOND_NS = 10**9

Moments = NDArray[np.int64]  # nanoseconds since the Unix epoch


class Sessions:
    """UTC days; or, given `starts` and `days`, those sessions, and UTC days before the first and after the last.

    Session i goes from `starts[i]` (nanoseconds since the Unix epoch, whole seconds, ascending) to `starts[i + 1]`, and
    is that of the calendar day `days[i]` (days since 1970-01-01). InputError where the arrays do not fit.
    """

    def __init__(self, starts: Moments | None = None, days: NDArray[np.int64] | None = None) -> None:
        self._starts = np.empty(0, np.int64) if starts is None else np.asarray(starts, np.int64)
        self._days = np.empty(0, np.int64) if days is None else np.asarray(days, np.int64)
        if len(self._starts) != len(self._days):
            raise InputError(f"{len(self._starts)} sessions begin, but {len(self._days)} have a day")
        if (np.diff(self._starts) <= 0).any() or (np.diff(self._days) <= 0).any():
            raise InputError("sessions must follow one another in time")
        if (self._starts % _SECOND_NS).any():
            raise InputError("a session must begin on a whole second")
        if len(self._starts):  # the last one is known only by its beginning: it is as long as a day
            self._first, self._end = int(self._starts[0]), int(self._starts[-1]) + DAY_NS

    def days(self, ts: Moments) -> NDArray[np.int64]:
        """The day, in days since 1970-01-01, of the session that each moment belongs to. Never goes back in time."""
        utc: NDArray[np.int64] = ts // DAY_NS
        if not len(self._starts):
            return utc
        found = self._days[self._places(ts)]
        outside = np.where(ts < self._first, np.minimum(utc, self._days[0] - 1), np.maximum(utc, self._days[-1]))
        return np.where(self._covers(ts), found, outside)

    def starts(self, ts: Moments) -> Moments:
        """When the session of each moment began."""
        utc: Moments = ts - ts % DAY_NS
        if not len(self._starts):
            return utc
        outside = np.where(ts < self._first, utc, np.maximum(utc, self._end))
        return np.where(self._covers(ts), self._starts[self._places(ts)], outside)

    def ends(self, ts: Moments) -> Moments:
        """When the session of each moment ends, and the next begins."""
        utc: Moments = ts - ts % DAY_NS + DAY_NS
        if not len(self._starts):
            return utc
        following = np.append(self._starts, self._end)[self._places(ts) + 1]
        outside = np.where(ts < self._first, np.minimum(utc, self._first), utc)
        return np.where(self._covers(ts), following, outside)

    def _covers(self, ts: Moments) -> NDArray[np.bool_]:
        return (ts >= self._first) & (ts < self._end)

    def _places(self, ts: Moments) -> NDArray[np.intp]:
        return np.maximum(np.searchsorted(self._starts, ts, "right") - 1, 0)
