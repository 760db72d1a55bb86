"""The trading sessions of a simulated market. A session is the time from one open of the market to the next close."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from tickwire.core.timestamps import to_nanoseconds
from tickwire.simulation.model import TradingHours

_SATURDAY = 5
# The number of sessions per year in a market that never closes. In such a market, every day is a session.
_ALWAYS_OPEN_SESSIONS_PER_YEAR = 365


class SessionSpan(NamedTuple):
    """One session, from the time `open` to the time `close`, in nanoseconds since the Unix epoch."""

    open: int
    close: int


class SessionSchedule:
    """The trading sessions of a market.

    If the market has no trading hours, each UTC day is a session. A session then begins when the previous session ends.
    """

    def __init__(self, trading_hours: TradingHours | None) -> None:
        self.has_close = trading_hours is not None
        self.sessions_per_year = _ALWAYS_OPEN_SESSIONS_PER_YEAR if trading_hours is None else trading_hours.days
        self.overnight_variance_share = 0.0 if trading_hours is None else trading_hours.overnight
        self._zone = ZoneInfo("UTC" if trading_hours is None else trading_hours.timezone)
        self._open_time = time(0) if trading_hours is None else time.fromisoformat(trading_hours.open)
        self._close_time = None if trading_hours is None else time.fromisoformat(trading_hours.close)

    def session_at_or_before(self, ts: int) -> SessionSpan:
        """Return the session in progress at `ts`.

        If the market is closed at `ts`, return the newest session before `ts`.
        """
        day = self._local_date(ts)
        while (span := self._session_on(day)) is None or span.open > ts:
            day -= timedelta(1)
        return span

    def session_at_or_after(self, ts: int) -> SessionSpan:
        """Return the session in progress at `ts`. If the market is closed at `ts`, return the next session."""
        day = self._local_date(ts)
        while (span := self._session_on(day)) is None or span.close <= ts:
            day += timedelta(1)
        return span

    def _local_date(self, ts: int) -> date:
        return datetime.fromtimestamp(ts // 10**9, UTC).astimezone(self._zone).date()

    def _session_on(self, day: date) -> SessionSpan | None:
        if self.has_close and day.weekday() >= _SATURDAY:
            return None
        close_day = day if self._close_time else day + timedelta(1)
        opening = datetime.combine(day, self._open_time, self._zone)
        return SessionSpan(
            to_nanoseconds(opening),
            to_nanoseconds(datetime.combine(close_day, self._close_time or time(0), self._zone)),
        )
