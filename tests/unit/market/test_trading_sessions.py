"""Trading sessions and their boundaries."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickwire.errors import InputError
from tickwire.market.trading_sessions import DAY_NS, TradingSessions

SECOND = 10**9
T0 = 1_767_366_000 * SECOND  # 2026-01-02 15:00 UTC
# Two sessions that differ from UTC days. They start an hour before T0 and two hours after it.
SESSIONS = TradingSessions(np.array([T0 - 3600 * SECOND, T0 + 7200 * SECOND]), np.array([20_455, 20_458]))


def test_inconsistent_sessions_raise() -> None:
    with pytest.raises(InputError, match="2 session starts, but 1 days"):
        TradingSessions(np.array([0, 1]), np.array([0]))
    with pytest.raises(InputError, match="each session must start later"):
        TradingSessions(np.array([SECOND, 0]), np.array([0, 1]))
    with pytest.raises(InputError, match="on a whole second"):
        TradingSessions(np.array([5]), np.array([0]))


@given(
    st.lists(st.integers(T0 - 9 * DAY_NS, T0 + 9 * DAY_NS), min_size=1), st.sampled_from([TradingSessions(), SESSIONS])
)
def test_every_moment_is_in_exactly_one_session(moments: list[int], sessions: TradingSessions) -> None:
    """The end of a session is the start of the next session, and days never decrease."""
    ts = np.sort(np.array(moments))
    starts, ends = sessions.starts(ts), sessions.ends(ts)
    assert ((starts <= ts) & (ts < ends)).all()
    assert (sessions.starts(starts) == starts).all()
    assert (sessions.starts(ends) == ends).all()
    assert (sessions.ends(starts) == ends).all()
    assert (np.diff(sessions.days(ts)) >= 0).all()


@given(
    st.lists(st.integers(T0 - 9 * DAY_NS, T0 + 9 * DAY_NS), min_size=1), st.sampled_from([TradingSessions(), SESSIONS])
)
def test_session_of_one_moment_equals_that_of_many(moments: list[int], sessions: TradingSessions) -> None:
    """The lookup has a shortcut for a moment in the session of the previous lookup."""
    ts = np.array(moments)
    columns = zip(sessions.days(ts).tolist(), sessions.starts(ts).tolist(), sessions.ends(ts).tolist(), strict=True)
    assert [sessions.session_at(moment) for moment in moments] == list(columns)
