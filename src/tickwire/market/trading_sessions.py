"""Trading sessions, and the lookup of the session that contains a time.

In this module, a session is a whole trading day, from one boundary to the next. Every moment therefore belongs to
exactly one session. A trade before the opening belongs to the session that opens next. A trade after the close belongs
to the session that closed last.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tickwire.core.arrays import Bools, Ints, RowArray, Timestamps
from tickwire.errors import InputError

DAY_NS = 86_400 * 10**9
_SECOND_NS = 10**9


class TradingSession(NamedTuple):
    """One session: its day (days since 1970-01-01), its start and its end (nanoseconds since the Unix epoch)."""

    day: int
    start: int
    end: int


class TradingSessions:
    """The trading sessions of a market.

    The constructor receives a list of sessions. Before the first and after the last listed session, every UTC day is a
    session.

    Session i lasts from `starts[i]` (nanoseconds since the Unix epoch, whole seconds, ascending) to `starts[i + 1]`.
    Its calendar day is `days[i]` (days since 1970-01-01). The constructor raises InputError if the arrays are
    inconsistent.
    """

    def __init__(self, starts: Timestamps | None = None, days: Ints | None = None) -> None:
        self._starts = np.empty(0, np.int64) if starts is None else np.asarray(starts, np.int64)
        self._days = np.empty(0, np.int64) if days is None else np.asarray(days, np.int64)
        if len(self._starts) != len(self._days):
            raise InputError(f"{len(self._starts)} session starts, but {len(self._days)} days: pass one day per start")
        if (np.diff(self._starts) <= 0).any() or (np.diff(self._days) <= 0).any():
            raise InputError(
                "each session must start later, and belong to a later day, than the session before it: "
                "sort the sessions"
            )
        if (self._starts % _SECOND_NS).any():
            raise InputError("a session must start on a whole second")
        # A cache for `session_at`: most ticks belong to the same session as the previous tick.
        self._newest_session = TradingSession(0, 0, 0)
        # The last session lasts one day, because the arrays do not contain its end.
        if len(self._starts):
            self._first_start, self._last_end = int(self._starts[0]), int(self._starts[-1]) + DAY_NS

    def session_at(self, ts: int) -> TradingSession:
        """Return the session to which the time `ts` belongs."""
        newest = self._newest_session
        if not newest.start <= ts < newest.end:
            times = np.array([ts], np.int64)
            newest = TradingSession(*(int(found(times)[0]) for found in (self.days, self.starts, self.ends)))
            self._newest_session = newest
        return newest

    def days(self, ts: Timestamps) -> Ints:
        """Return, for each time in `ts`, the day of the session to which the time belongs, in days since 1970-01-01.

        A later time never has an earlier day.
        """
        utc: Ints = ts // DAY_NS
        if not len(self._starts):
            return utc
        covered = self._days[self._session_indices(ts)]
        outside = np.where(ts < self._first_start, np.minimum(utc, self._days[0] - 1), np.maximum(utc, self._days[-1]))
        return np.where(self._is_covered(ts), covered, outside)

    def starts(self, ts: Timestamps) -> Timestamps:
        """Return, for each time in `ts`, the start of the session to which the time belongs."""
        utc: Timestamps = ts - ts % DAY_NS
        if not len(self._starts):
            return utc
        outside = np.where(ts < self._first_start, utc, np.maximum(utc, self._last_end))
        return np.where(self._is_covered(ts), self._starts[self._session_indices(ts)], outside)

    def starts_of_days(self, days: Ints) -> Timestamps:
        """Return the start of the session of each calendar day in `days`.

        If a day has no session, return the start of the day in UTC.
        """
        utc: Timestamps = days * DAY_NS
        if not len(self._starts):
            return utc
        indices = np.minimum(np.searchsorted(self._days, days), len(self._days) - 1)
        return np.where(self._days[indices] == days, self._starts[indices], utc)

    def ends(self, ts: Timestamps) -> Timestamps:
        """Return, for each time in `ts`, the end of the session to which the time belongs.

        The end of a session is also the start of the next session.
        """
        utc: Timestamps = ts - ts % DAY_NS + DAY_NS
        if not len(self._starts):
            return utc
        following = np.append(self._starts, self._last_end)[self._session_indices(ts) + 1]
        outside = np.where(ts < self._first_start, np.minimum(utc, self._first_start), utc)
        return np.where(self._is_covered(ts), following, outside)

    def _is_covered(self, ts: Timestamps) -> Bools:
        return (ts >= self._first_start) & (ts < self._last_end)

    def _session_indices(self, ts: Timestamps) -> RowArray:
        return np.maximum(np.searchsorted(self._starts, ts, "right") - 1, 0)
