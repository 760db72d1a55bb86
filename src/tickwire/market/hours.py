"""When a simulated market is open."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from tickwire.core.moment import nanoseconds
from tickwire.market.model import Session

_WEEKEND = 5
_DAYS_OF_ALL = 365  # sessions a year of a market that never closes: every day is one


class Span(NamedTuple):
    """One session: from `open` to `close`, in nanoseconds since the Unix epoch."""

    open: int
    close: int


class Hours:
    """The sessions of a market; without a `session` each UTC day is one, and no night lies between them."""

    def __init__(self, session: Session | None) -> None:
        self.closes = session is not None
        self.days = _DAYS_OF_ALL if session is None else session.days
        self.overnight = 0.0 if session is None else session.overnight
        self._zone = ZoneInfo("UTC" if session is None else session.timezone)
        self._open = time(0) if session is None else time.fromisoformat(session.open)
        self._close = None if session is None else time.fromisoformat(session.close)

    def latest(self, ts: int) -> Span:
        """The session that is on at `ts`, else the newest before it."""
        day = self._day(ts)
        while (span := self._span(day)) is None or span.open > ts:
            day -= timedelta(1)
        return span

    def coming(self, ts: int) -> Span:
        """The session that is on at `ts`, else the next after it."""
        day = self._day(ts)
        while (span := self._span(day)) is None or span.close <= ts:
            day += timedelta(1)
        return span

    def _day(self, ts: int) -> date:
        return datetime.fromtimestamp(ts // 10**9, UTC).astimezone(self._zone).date()

    def _span(self, day: date) -> Span | None:
        if self.closes and day.weekday() >= _WEEKEND:
            return None
        close_day = day if self._close else day + timedelta(1)
        opening = datetime.combine(day, self._open, self._zone)
        return Span(nanoseconds(opening), nanoseconds(datetime.combine(close_day, self._close or time(0), self._zone)))
