"""Sessions of real exchanges, where the calendar library is installed."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

import numpy as np
import pytest

from tickwire.core.tick import Tick, pack
from tickwire.errors import InputError
from tickwire.history.calendar import load_sessions
from tickwire.market.board import Board
from tickwire.market.session import DAY_NS, Sessions

NOW = 1_767_366_000_000_000_000  # 2026-01-02 15:00 UTC


@pytest.fixture(scope="module")
def calendars():
    return pytest.importorskip("exchange_calendars")


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * 10**9


def day(sessions: Sessions, text: str) -> str:
    """The date of the session that the moment belongs to."""
    number = int(sessions.days(np.array([at(text)]))[0])
    return datetime.fromtimestamp(number * 86_400, UTC).date().isoformat()


def test_without_a_name_sessions_are_utc_days() -> None:
    """So that nothing needs to be installed."""
    assert day(load_sessions("", NOW), "2026-01-03T23:59:59Z") == "2026-01-03"


@pytest.mark.parametrize(
    ("moment", "date"),
    [
        ("2025-07-03T09:30:00-04:00", "2025-07-03"),
        ("2025-07-03T04:00:00-04:00", "2025-07-03"),  # before the opening
        ("2025-07-03T19:59:59-04:00", "2025-07-03"),  # after the close, next day in UTC
        ("2025-07-04T12:00:00-04:00", "2025-07-03"),  # a holiday, and the weekend after it
        ("2025-07-06T23:59:59-04:00", "2025-07-03"),
        ("2025-07-07T00:00:00-04:00", "2025-07-07"),
        ("2016-04-15T13:30:00+00:00", "2016-04-15"),
    ],
)
def test_new_york(calendars, moment: str, date: str) -> None:
    """A day begins at midnight there; what trades on no trading day counts to the one before."""
    assert day(load_sessions("XNYS", NOW), moment) == date


def test_days_that_begin_the_evening_before(calendars) -> None:
    """Futures of Chicago open at 17:00 for the next day."""
    sessions = load_sessions("CMES", NOW)
    assert day(sessions, "2025-12-01T16:59:59-06:00") == "2025-12-01"
    assert day(sessions, "2025-12-01T17:00:00-06:00") == "2025-12-02"
    assert day(load_sessions("24/7", NOW), "2025-12-06T12:00:00+00:00") == "2025-12-06"


def test_the_board_begins_its_sessions_there(calendars) -> None:
    """Open, volume and prev_close change at midnight in New York, not in London."""
    board = Board(sessions=load_sessions("XNYS", NOW))
    moments = ["2025-12-01T15:00:00-05:00", "2025-12-01T19:30:00-05:00", "2025-12-02T09:30:00-05:00"]
    ticks = [
        Tick(symbol="A", ts=at(moment) // 1000, last=price, size=1)
        for moment, price in zip(moments, (1.0, 2.0, 3.0), strict=True)
    ]
    quotes = board.apply(pack(ticks, now=0), 1).quotes()
    assert [(quote.open, quote.volume) for quote in quotes] == [(1.0, 1), (1.0, 2), (3.0, 1)]
    assert quotes[2].prev_close == 2.0


def test_what_cannot_be_had_is_said(calendars, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown exchange, or no library."""
    with pytest.raises(InputError, match="calendar 'NYSE2' is not known"):
        load_sessions("NYSE2", NOW)
    monkeypatch.setitem(sys.modules, "exchange_calendars", None)
    with pytest.raises(InputError, match="need exchange-calendars") as caught:
        load_sessions("XNYS", NOW)
    assert caught.value.hint == "pip install 'tickwire[calendar]'"


def test_a_known_day_is_as_long_as_it_is(calendars) -> None:
    """With the change to summer time a day has 23 hours."""
    sessions = load_sessions("XNYS", NOW)
    moment = np.array([at("2025-03-10T12:00:00-04:00")])
    assert (sessions.ends(moment) - sessions.starts(moment)).tolist() == [DAY_NS]
    friday = np.array([at("2025-03-07T12:00:00-05:00")])
    assert (sessions.ends(friday) - sessions.starts(friday)).tolist() == [3 * DAY_NS - 3600 * 10**9]
