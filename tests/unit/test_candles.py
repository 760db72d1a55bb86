"""Candles against a plain model, one trade at a time; boundaries, lateness, sessions, restarts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickwire.core.candle import CANDLE, INTERVALS, check_interval, read_candles
from tickwire.core.tick import Tick, pack
from tickwire.errors import InputError
from tickwire.market.candles import PATIENCE, Candles
from tickwire.market.session import DAY_NS, Sessions

SECOND = 10**9
T0 = 1_767_366_000 * SECOND  # 2026-01-02 15:00 UTC
LATER = 2**62
# Two sessions that are no UTC days, an hour before T0 and two hours after it.
ODD = Sessions(np.array([T0 - 3600 * SECOND, T0 + 7200 * SECOND]), np.array([20_455, 20_458]))


class Plain:
    """Candles as anyone would write them down: the rules of the module, a trade at a time."""

    def __init__(self, sessions: Sessions) -> None:
        self.sessions = sessions
        self.forming: dict[tuple[str, int], list] = {}
        self.done: dict[tuple[str, int], int] = {}  # the start of the newest closed candle
        self.closed: list[tuple] = []
        self.late = dict.fromkeys(INTERVALS.values(), 0)
        self.newest = self.passed = 0

    def bounds(self, ts: int, seconds: int) -> tuple[int, int]:
        if seconds == 86_400:
            at = np.array([ts])
            return int(self.sessions.starts(at)[0]), int(self.sessions.ends(at)[0])
        width = seconds * SECOND
        return ts - ts % width, ts - ts % width + width

    def batch(self, ticks: list[Tick], now: int) -> None:
        for tick in ticks:
            self.newest = max(self.newest, tick.ts * 1000)
            if isinstance(tick.last, float):
                for seconds in INTERVALS.values():
                    self.trade(tick, seconds)
        self.time(min(self.newest, now) - PATIENCE)

    def trade(self, tick: Tick, seconds: int) -> None:
        key = (tick.symbol, seconds)
        start, end = self.bounds(tick.ts * 1000, seconds)
        bar = self.forming.get(key)
        if start <= self.done.get(key, -1) or (bar is not None and start < bar[0]):
            self.late[seconds] += 1
            return
        if bar is not None and start > bar[0]:
            self.close(key)
            bar = None
        if bar is None:
            bar = self.forming[key] = [start, tick.last, tick.last, tick.last, tick.last, 0.0, end]
        bar[2], bar[3], bar[4] = max(bar[2], tick.last), min(bar[3], tick.last), tick.last
        bar[5] += tick.size if isinstance(tick.size, float) else 0.0

    def time(self, ts: int) -> None:
        if ts // SECOND > self.passed:
            self.passed = ts // SECOND
            for key in [key for key, bar in self.forming.items() if bar[6] <= self.passed * SECOND]:
                self.close(key)

    def close(self, key: tuple[str, int]) -> None:
        bar = self.forming.pop(key)
        self.done[key] = bar[0]
        self.closed.append((*key, *bar[:6]))


def rows(packed: np.ndarray) -> list[tuple]:
    return [(symbol.decode(), *rest) for symbol, *rest in packed.tolist()]


def forming(candles: Candles) -> list[tuple]:
    everything = range(len(candles))
    return [row for seconds in INTERVALS.values() for row in rows(candles.forming(everything, seconds))]


def plain_forming(plain: Plain) -> list[tuple]:
    return [(*key, *bar[:6]) for key, bar in plain.forming.items()]


@st.composite
def ticks(draw):
    near = st.integers(-3_000_000, 12_000_000)
    far = st.sampled_from([0, 59_999_999, 60_000_000, 299_999_999, 3_600_000_000, 7_199_999_999, 7_200_000_000, 10**11])
    said = {}
    if draw(st.integers(0, 3)):
        said = {"last": draw(st.integers(1, 99)) / 4}
    if draw(st.booleans()):
        said["size"] = draw(st.integers(0, 400)) / 4
    moment = draw(st.one_of(near, near, near, far))
    return Tick(symbol=draw(st.sampled_from("ABC")), ts=T0 // 1000 + moment, **said)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(ticks(), min_size=1, max_size=14), min_size=1, max_size=8), st.sampled_from([Sessions(), ODD]))
def test_every_candle_is_what_plain_arithmetic_says(batches: list[list[Tick]], sessions: Sessions) -> None:
    """Whatever the batches: closed and forming candles at all intervals, and what came too late, as in the model."""
    candles, plain = Candles(sessions), Plain(sessions)
    closed, first = [], 1
    for batch in batches:
        now = T0 + 3600 * SECOND
        closed += rows(candles.apply(pack(batch, now=0), first, now))
        plain.batch(batch, now)
        first += len(batch)
        assert sorted(forming(candles)) == sorted(plain_forming(plain))
        assert sorted(closed) == sorted(plain.closed)
    closed += rows(candles.pass_time(LATER))
    plain.time(LATER)
    assert sorted(closed) == sorted(plain.closed)
    assert dict(zip(INTERVALS.values(), candles.late.tolist(), strict=True)) == plain.late
    assert candles.next_end() is None
    for key in plain.done:
        starts = [row[2] for row in closed if row[:2] == key]
        assert starts == sorted(set(starts))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(ticks(), min_size=1, max_size=14), min_size=2, max_size=8), st.data())
def test_a_restart_changes_nothing(batches: list[list[Tick]], data) -> None:
    """Saved after any batch and restored into others: the same candles from there on, to the byte."""
    through, first = Candles(), 1
    other = through
    cut = data.draw(st.integers(0, len(batches) - 1))
    for place, batch in enumerate(batches):
        packed = pack(batch, now=0)
        if place == cut:
            other = Candles()
            other.restore(through.save())
        closed = through.apply(packed, first, LATER).tobytes()
        if other is not through:
            assert other.apply(packed, first, LATER).tobytes() == closed
        first += len(batch)
    assert other.save() == through.save()


def trade(symbol: str, ts: int, price: float, **more: float):
    return pack([Tick(symbol=symbol, ts=ts // 1000, last=price, **more)], now=0)


def test_boundaries_are_exact() -> None:
    """A microsecond before the end belongs to the candle, the end itself to the next one."""
    candles = Candles()
    candles.apply(trade("A", T0, 1.0, size=1), 1, LATER)
    candles.apply(trade("A", T0 + 60 * SECOND - 1000, 2.0, size=1), 2, LATER)
    closed = candles.apply(trade("A", T0 + 60 * SECOND, 3.0, size=1), 3, LATER)
    (minute,) = closed[closed["interval"] == 60]
    assert (minute["start"], minute["open"], minute["close"], minute["volume"]) == (T0, 1.0, 2.0, 2.0)
    (bar,) = read_candles(candles.forming([0], 60), closed=False)
    assert (bar.interval, bar.start, bar.open, bar.volume, bar.closed) == ("1m", T0 // 1000 + 60_000_000, 3.0, 1, False)


def test_a_late_trade_does_not_rewrite_history() -> None:
    """It is counted at the intervals whose candle has closed, and taken where the candle still forms."""
    candles = Candles()
    for sequence, (second, price) in enumerate([(0, 1.0), (7, 2.0), (3, 9.0)], 1):
        candles.apply(trade("A", T0 + second * SECOND, price, size=1), sequence, LATER)
    candles.apply(trade("B", T0 + 20 * SECOND, 1.0), 4, LATER)
    assert candles.late.tolist() == [1, 1, 0, 0, 0, 0, 0, 0]
    (minute,) = candles.forming([0], 60)
    assert (minute["high"], minute["close"], minute["volume"]) == (9.0, 9.0, 3.0)


def test_time_closes_candles_of_a_silent_symbol() -> None:
    """Other symbols' ticks do it with patience, `pass_time` at once; a tick from the future does not."""
    candles = Candles()
    candles.apply(trade("A", T0, 1.0), 1, T0)
    assert candles.next_end() == T0 + SECOND
    assert not len(candles.apply(trade("B", T0 + 60 * SECOND, 1.0), 2, T0))
    assert not len(candles.apply(trade("B", T0 + 60 * SECOND, 1.0), 3, T0 + SECOND + PATIENCE - 1))
    (closed,) = candles.apply(trade("B", T0 + 60 * SECOND, 1.0), 4, T0 + SECOND + PATIENCE)
    assert (closed["symbol"], closed["interval"]) == (b"A", 1)
    assert set(candles.pass_time(T0 + 300 * SECOND)["interval"].tolist()) == {1, 5, 15, 60, 300}
    assert not len(candles.pass_time(T0 + 300 * SECOND))


def test_volume_follows_a_total_where_the_feed_says_one() -> None:
    """The first total tells no amount; a lower one is a correction; a new session counts from 0; sizes win."""
    candles = Candles()
    totals = [(0, {"volume": 500.0}), (1, {"volume": 530.0}), (2, {"volume": 520.0}), (3, {"volume": 525.0, "size": 4})]
    for sequence, (second, said) in enumerate(totals, 1):
        candles.apply(trade("A", T0 + second * SECOND, 1.0, **said), sequence, LATER)
    assert candles.forming([0], 60)["volume"].tolist() == [34.0]
    candles.apply(trade("A", T0 + DAY_NS, 1.0, volume=70.0), 5, LATER)
    assert candles.forming([0], 86_400)["volume"].tolist() == [70.0]


def test_the_newest_trade_gives_a_candle_its_sequence() -> None:
    """So that a reader can be told what changed since its position; quotes alone change nothing."""
    candles = Candles()
    both = np.concatenate([trade("A", T0, 1.0), trade("B", T0, 1.0), trade("A", T0, 2.0)])
    candles.apply(both, 11, LATER)
    candles.apply(pack([Tick(symbol="B", ts=T0 // 1000, bid=1.0)], now=0), 14, LATER)
    assert candles.symbols == [b"A", b"B"]
    assert candles.sequences.tolist() == [13, 12]
    assert candles.row("C") is None


def test_daily_candles_follow_the_sessions() -> None:
    """A session's candle begins at its boundary, whatever the hour; outside the calendar it is the UTC day's."""
    candles, closed = Candles(ODD), []
    for sequence, second in enumerate([-7200, -1, 7199, 7200, 40 * 86_400], 1):
        closed += rows(candles.apply(trade("A", T0 + second * SECOND, float(sequence)), sequence, LATER))
    closed += rows(candles.pass_time(LATER))
    midnight = T0 - T0 % DAY_NS
    starts = [midnight, T0 - 3600 * SECOND, T0 + 7200 * SECOND, midnight + 40 * DAY_NS]
    assert [row[2] for row in closed if row[1] == 86_400] == starts


def test_sessions_must_follow_one_another() -> None:
    """Arrays that do not fit are refused, with the reason."""
    with pytest.raises(InputError, match="2 sessions begin, but 1 have a day"):
        Sessions(np.array([0, 1]), np.array([0]))
    with pytest.raises(InputError, match="follow one another"):
        Sessions(np.array([SECOND, 0]), np.array([0, 1]))
    with pytest.raises(InputError, match="on a whole second"):
        Sessions(np.array([5]), np.array([0]))
    with pytest.raises(InputError, match="'2m' is no interval: choose one of 1s, 5s"):
        check_interval("2m")
    assert CANDLE.itemsize == 72


@given(st.lists(st.integers(T0 - 9 * DAY_NS, T0 + 9 * DAY_NS), min_size=1), st.sampled_from([Sessions(), ODD]))
def test_every_moment_is_in_one_session(moments: list[int], sessions: Sessions) -> None:
    """It lies between its session's start and end, the end is the next one's start, and days never go back."""
    ts = np.sort(np.array(moments))
    starts, ends = sessions.starts(ts), sessions.ends(ts)
    assert ((starts <= ts) & (ts < ends)).all()
    assert (sessions.starts(starts) == starts).all()
    assert (sessions.starts(ends) == ends).all()
    assert (sessions.ends(starts) == ends).all()
    assert (np.diff(sessions.days(ts)) >= 0).all()
