"""The trading days and trading hours of exchanges, from the exchange-calendars library."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np

from tickwire.errors import InputError
from tickwire.market.market_hours import MarketHours
from tickwire.market.trading_sessions import DAY_NS, TradingSessions

# Recordings may be up to this many years old. A calendar of the library may cover fewer years.
_YEARS_BACK = 40
# Exchanges publish their holidays about one year ahead.
_YEARS_AHEAD = 1
_YEAR_NS = 365 * DAY_NS + DAY_NS // 4


class ExchangeCalendar(NamedTuple):
    """The calendar of an exchange: its sessions, which are whole trading days, and the hours in which it trades."""

    sessions: TradingSessions
    hours: MarketHours


def load_calendar(name: str, now: int) -> ExchangeCalendar:
    """Load the calendar of an exchange from 40 years before `now` to one year after `now`.

    `name` is a market identifier code such as XNYS. If `name` is empty, the sessions are UTC days, and the market is
    always open. `now` is in nanoseconds since the Unix epoch. Raise InputError if the name is unknown, or if
    exchange-calendars is not installed.
    """
    if not name:
        return ExchangeCalendar(TradingSessions(), MarketHours())
    try:
        # The library is an optional dependency, because the library and its dependencies are larger than all other
        # packages together.
        import exchange_calendars
    except ImportError:
        raise InputError(
            "trading calendars need the exchange-calendars package",
            field="calendar",
            hint="pip install 'tickwire[calendar]'",
        ) from None
    if name not in exchange_calendars.get_calendar_names(include_aliases=True):
        raise InputError(
            f"unknown trading calendar {name!r}",
            field="calendar",
            hint="choose a code such as XNYS, XLON, XTKS, XHKG, 24/7",
        )
    with warnings.catch_warnings():
        # Hide deprecation warnings, because the exchange-calendars library calls deprecated functions of pandas.
        warnings.simplefilter("ignore", DeprecationWarning)
        calendar = _read_calendar(exchange_calendars, name, now)
        return ExchangeCalendar(_build_sessions(calendar), _build_hours(calendar))


def _read_calendar(library: Any, name: str, now: int) -> Any:
    earliest = library.get_calendar(name).bound_min()
    start = np.datetime64(now - _YEARS_BACK * _YEAR_NS, "ns").astype("datetime64[D]")
    if earliest is not None:
        start = max(start, np.datetime64(earliest.to_datetime64(), "D"))
    end = np.datetime64(now + _YEARS_AHEAD * _YEAR_NS, "ns").astype("datetime64[D]")
    return library.get_calendar(name, start=str(start), end=str(end))


def _build_sessions(calendar: Any) -> TradingSessions:
    """Convert a calendar of the exchange-calendars library to TradingSessions.

    A trading day starts at midnight in the time zone of the exchange. If the exchange opens on the previous evening,
    the trading day starts at that opening. A trading day never starts before the previous trading day has closed.
    """
    dates = calendar.sessions
    midnights = _to_nanoseconds(dates.tz_localize(calendar.tz).tz_convert("UTC").tz_localize(None))
    starts = np.minimum(midnights, _to_nanoseconds(calendar.opens.dt.tz_localize(None)))
    starts[1:] = np.maximum(starts[1:], _to_nanoseconds(calendar.closes.dt.tz_localize(None))[:-1])
    return TradingSessions(starts, _to_nanoseconds(dates) // DAY_NS)


def _build_hours(calendar: Any) -> MarketHours:
    """Convert a calendar of the exchange-calendars library to MarketHours. A lunch break divides a day in two."""
    schedule = calendar.schedule
    opens, closes, break_starts, break_ends = (
        _to_nanoseconds(schedule[name].dt.tz_localize(None)) for name in ("open", "close", "break_start", "break_end")
    )
    has_break = ~schedule["break_start"].isna().to_numpy()
    boundaries = np.concatenate(
        [
            np.stack([opens, np.where(has_break, break_starts, closes)], axis=1),
            np.stack([break_ends, closes], axis=1)[has_break],
        ]
    )
    ordered = boundaries[np.argsort(boundaries[:, 0], kind="stable")]
    return MarketHours(ordered[:, 0], ordered[:, 1])


def _to_nanoseconds(times: Any) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Convert a pandas index or series to nanoseconds since the Unix epoch."""
    return np.asarray(times.to_numpy(), "datetime64[ns]").astype(np.int64)
