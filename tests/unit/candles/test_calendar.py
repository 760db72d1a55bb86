"""The sessions of real exchanges. Most tests need the exchange-calendars package."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

import numpy as np
import pytest

from tickwire.candles.calendar import load_calendar
from tickwire.core.tick import Tick, pack_ticks
from tickwire.errors import InputError
from tickwire.market.board import Board
from tickwire.market.trading_sessions import DAY_NS, TradingSessions

# 2026-01-02 15:00 UTC
NOW = 1_767_366_000_000_000_000


@pytest.fixture(scope="module")
def calendars():
    return pytest.importorskip("exchange_calendars")


def nanoseconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * 10**9


def session_date(sessions: TradingSessions, text: str) -> str:
    day = int(sessions.days(np.array([nanoseconds(text)]))[0])
    return datetime.fromtimestamp(day * 86_400, UTC).date().isoformat()


def test_default_sessions_are_utc_days() -> None:
    """The default sessions do not need the exchange-calendars package."""
    assert session_date(load_calendar("", NOW).sessions, "2026-01-03T23:59:59Z") == "2026-01-03"


@pytest.mark.parametrize(
    ("moment", "date"),
    [
        ("2025-07-03T09:30:00-04:00", "2025-07-03"),
        # Before the opening.
        ("2025-07-03T04:00:00-04:00", "2025-07-03"),
        # After the close, and on the next day in UTC.
        ("2025-07-03T19:59:59-04:00", "2025-07-03"),
        # On a holiday, and on the weekend after it.
        ("2025-07-04T12:00:00-04:00", "2025-07-03"),
        ("2025-07-06T23:59:59-04:00", "2025-07-03"),
        ("2025-07-07T00:00:00-04:00", "2025-07-07"),
        ("2016-04-15T13:30:00+00:00", "2016-04-15"),
    ],
)
def test_new_york_sessions_start_at_local_midnight(calendars, moment: str, date: str) -> None:
    """Trades on a day without a session belong to the previous session."""
    assert session_date(load_calendar("XNYS", NOW).sessions, moment) == date


def test_sessions_can_start_on_the_evening_before(calendars) -> None:
    """In Chicago, the futures session of a day opens at 17:00 on the day before."""
    sessions = load_calendar("CMES", NOW).sessions
    assert session_date(sessions, "2025-12-01T16:59:59-06:00") == "2025-12-01"
    assert session_date(sessions, "2025-12-01T17:00:00-06:00") == "2025-12-02"
    assert session_date(load_calendar("24/7", NOW).sessions, "2025-12-06T12:00:00+00:00") == "2025-12-06"


def test_board_starts_a_session_at_midnight_of_the_exchange(calendars) -> None:
    """Open, volume and prev_close change at midnight in New York, not in London."""
    board = Board(sessions=load_calendar("XNYS", NOW).sessions)
    moments = ["2025-12-01T15:00:00-05:00", "2025-12-01T19:30:00-05:00", "2025-12-02T09:30:00-05:00"]
    ticks = [
        Tick(symbol="A", ts=nanoseconds(moment) // 1000, last=price, size=1)
        for moment, price in zip(moments, (1.0, 2.0, 3.0), strict=True)
    ]
    quotes = board.apply(pack_ticks(ticks, now=0), 1).to_quotes()
    assert [(quote.open, quote.volume) for quote in quotes] == [(1.0, 1), (1.0, 2), (3.0, 1)]
    assert quotes[2].prev_close == 2.0


def test_unknown_calendar_and_missing_package_raise_input_error(calendars, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="unknown trading calendar 'NYSE2'"):
        load_calendar("NYSE2", NOW)
    monkeypatch.setitem(sys.modules, "exchange_calendars", None)
    with pytest.raises(InputError, match="need the exchange-calendars package") as caught:
        load_calendar("XNYS", NOW)
    assert caught.value.hint == "pip install 'tickwire[calendar]'"


def test_session_length_follows_daylight_saving_time(calendars) -> None:
    """The session of a Friday includes the weekend, which is an hour shorter when daylight saving time starts."""
    sessions = load_calendar("XNYS", NOW).sessions
    monday = np.array([nanoseconds("2025-03-10T12:00:00-04:00")])
    assert (sessions.ends(monday) - sessions.starts(monday)).tolist() == [DAY_NS]
    friday = np.array([nanoseconds("2025-03-07T12:00:00-05:00")])
    assert (sessions.ends(friday) - sessions.starts(friday)).tolist() == [3 * DAY_NS - 3600 * 10**9]


@pytest.mark.parametrize(
    ("name", "moment", "is_open"),
    [
        ("XNYS", "2025-12-01T09:29:59-05:00", False),
        ("XNYS", "2025-12-01T09:30:00-05:00", True),
        ("XNYS", "2025-12-01T15:59:59-05:00", True),
        ("XNYS", "2025-12-01T16:00:00-05:00", False),
        # A weekend, a holiday, and the early close of the day after Thanksgiving.
        ("XNYS", "2025-12-07T12:00:00-05:00", False),
        ("XNYS", "2025-12-25T12:00:00-05:00", False),
        ("XNYS", "2025-11-28T12:59:59-05:00", True),
        ("XNYS", "2025-11-28T13:00:00-05:00", False),
        # The lunch break of Hong Kong.
        ("XHKG", "2025-12-01T11:59:59+08:00", True),
        ("XHKG", "2025-12-01T12:30:00+08:00", False),
        ("XHKG", "2025-12-01T13:00:00+08:00", True),
        # A session over midnight.
        ("CMES", "2025-12-01T23:59:59-06:00", True),
        ("24/7", "2025-12-07T00:00:00+00:00", True),
        ("", "2025-12-07T00:00:00+00:00", True),
    ],
)
def test_market_hours_follow_the_exchange(calendars, name: str, moment: str, is_open: bool) -> None:
    assert load_calendar(name, NOW).hours.is_open(nanoseconds(moment)) is is_open
