"""An exchange's trading days, from the exchange-calendars library where that is installed."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from tickwire.errors import InputError
from tickwire.market.session import DAY_NS, Sessions

_YEARS_BACK = 40  # for recordings; a calendar that begins later begins there
_YEARS_AHEAD = 1  # as far as exchanges have said what they do
_YEAR_NS = 365 * DAY_NS + DAY_NS // 4


def load_sessions(name: str, now: int) -> Sessions:
    """The sessions of the exchange `name`, a market identifier code such as XNYS, around `now`; UTC days for "".

    InputError for an unknown name, or where the library is missing.
    """
    if not name:
        return Sessions()
    try:
        import exchange_calendars  # an extra: with what it needs it is larger than everything else together
    except ImportError:
        raise InputError(
            "trading calendars need exchange-calendars", field="calendar", hint="pip install 'tickwire[calendar]'"
        ) from None
    known = exchange_calendars.get_calendar_names(include_aliases=True)
    if name not in known:
        raise InputError(
            f"calendar {name!r} is not known",
            field="calendar",
            hint="choose a code such as XNYS, XLON, XTKS, XHKG, 24/7",
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # between the library and pandas: nobody here can mend it
        return _sessions(_calendar(exchange_calendars, name, now))


def _calendar(library: Any, name: str, now: int) -> Any:
    bound = library.get_calendar(name).bound_min()
    start = np.datetime64(now - _YEARS_BACK * _YEAR_NS, "ns").astype("datetime64[D]")
    if bound is not None:
        start = max(start, np.datetime64(bound.to_datetime64(), "D"))
    end = np.datetime64(now + _YEARS_AHEAD * _YEAR_NS, "ns").astype("datetime64[D]")
    return library.get_calendar(name, start=str(start), end=str(end))


def _sessions(calendar: Any) -> Sessions:
    """A trading day begins at its date's midnight at the exchange, or with its opening where that is the evening
    before, though never before the day before has closed.
    """
    dates = calendar.sessions
    midnights = _moments(dates.tz_localize(calendar.tz).tz_convert("UTC").tz_localize(None))
    starts = np.minimum(midnights, _moments(calendar.opens.dt.tz_localize(None)))
    starts[1:] = np.maximum(starts[1:], _moments(calendar.closes.dt.tz_localize(None))[:-1])
    return Sessions(starts, _moments(dates) // DAY_NS)


def _moments(times: Any) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Nanoseconds since the Unix epoch."""
    return np.asarray(times.to_numpy(), "datetime64[ns]").astype(np.int64)
