"""The pace: on time for hours, held and let go without a trace, one moment after the other."""

from __future__ import annotations

import asyncio
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickwire.core.tick import empty
from tickwire.errors import InputError
from tickwire.feeds.pace import Pace
from tickwire.testing.clock import ManualClock

SECOND = 10**9


class Hurried(ManualClock):
    """A clock on which a sleep is over at once, and takes a little longer than asked, as real ones do."""

    def __init__(self, lateness: float = 0.0) -> None:
        super().__init__()
        self.lateness = lateness
        self.chance = random.Random(5)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)
        if seconds > 0:
            self._passed += seconds + self.chance.uniform(0, self.lateness)


def at(*seconds: float) -> np.ndarray:
    ticks = empty(len(seconds))
    ticks["ts"] = [round(each * SECOND) for each in seconds]
    return ticks


class Player:
    """Plays ticks through a pace, and notes when each came."""

    def __init__(self, pace: Pace, clock: ManualClock, ticks: np.ndarray) -> None:
        self.came: list[tuple[float, float]] = []
        self._clock = clock
        pace.begin()
        self.task = asyncio.create_task(self._play(pace, ticks))

    async def _play(self, pace: Pace, ticks: np.ndarray) -> None:
        async for part in pace.parts(ticks):
            self.came += [(round(self._clock.monotonic(), 3), ts / SECOND) for ts in part["ts"].tolist()]

    async def wait(self, seconds: float) -> None:
        """Let time pass, once what hands did has been heeded."""
        await self._clock.advance(0)
        await self._clock.advance(seconds)

    @classmethod
    async def of(cls, pace: Pace, clock: ManualClock, ticks: np.ndarray) -> Player:
        """One that has begun."""
        player = cls(pace, clock, ticks)
        await clock.advance(0)
        return player

    @property
    def played(self) -> list[float]:
        return [ts for _, ts in self.came]


@pytest.mark.parametrize("speed", [0.3, 1.0, 7.0, 1000.0])
async def test_an_hour_ends_on_time(speed: float) -> None:
    """However late single sleeps end, an hour at any speed is over when it should be, and nothing is left behind."""
    clock = Hurried(lateness=0.004)
    pace = Pace(clock, speed)
    pace.begin()
    steps = 1_000
    for number in range(1, steps + 1):
        async for _ in pace.parts(at(3600 * speed * number / steps)):
            pass
    assert clock.monotonic() == pytest.approx(3600 * (steps - 1) / steps, abs=0.005)
    assert pace.behind == 0


async def test_a_pause_holds_everything_and_loses_nothing() -> None:
    """What would have come during a pause comes after it, as much later as the pause was long."""
    clock = ManualClock()
    pace = Pace(clock)
    player = await Player.of(pace, clock, at(0, 1, 2, 3))
    await player.wait(1.5)
    pace.pause()
    await player.wait(100)
    assert player.played == [0, 1]
    pace.resume()
    await player.wait(3)
    assert player.came[2:] == [(102.0, 2), (103.0, 3)]


async def test_a_step_plays_one_moment() -> None:
    """All ticks of the next moment and no other, however many there are; several steps that many moments."""
    clock = ManualClock()
    pace = Pace(clock)
    pace.pause()
    player = await Player.of(pace, clock, at(*[0] * 700, 5, 5, 9, 12, 20))
    await player.wait(1)
    assert player.played == []
    for steps, seen in ((1, 700), (1, 702), (2, 704)):
        pace.step(steps)
        await player.wait(1)
        assert len(player.played) == seen
    pace.resume()
    await player.wait(7)
    assert len(player.played) == 704
    await player.wait(1)
    assert len(player.played) == 705


async def test_another_speed_counts_from_now_on() -> None:
    """The part of a wait that is over stays over; 0 does not wait, and from there one can go back."""
    clock = ManualClock()
    pace = Pace(clock)
    player = await Player.of(pace, clock, at(0, 10, 20, 30, 31))
    await player.wait(5)
    pace.accelerate(0.5)
    await player.wait(10)
    assert player.came[1] == (15.0, 10)
    pace.accelerate(10)
    await player.wait(1)
    assert player.came[2] == (16.0, 20)
    pace.accelerate(0)
    await player.wait(0.1)
    assert len(player.came) == 5


async def test_a_clock_that_leaps_is_not_caught_up_with() -> None:
    """After a suspended laptop wakes, the market goes on where it was, and says by how much it is behind."""
    clock = ManualClock()
    pace = Pace(clock)
    player = await Player.of(pace, clock, at(*range(20)))
    await player.wait(2)
    clock._passed += 3600
    await player.wait(1)
    assert player.played == [0, 1, 2, 3, 4]
    assert pace.behind == pytest.approx(3600, abs=1)
    await player.wait(1)
    assert player.played == [0, 1, 2, 3, 4, 5]


async def test_stop_and_start_begin_anew() -> None:
    """A stretch that was stopped ends when it is started again: its rest is not played."""
    clock = ManualClock()
    pace = Pace(clock)
    player = await Player.of(pace, clock, at(0, 1, 2))
    await player.wait(1)
    pace.stop()
    await player.wait(5)
    assert player.played == [0, 1]
    pace.start()
    await player.wait(5)
    assert pace.over
    assert player.task.done()
    assert player.played == [0, 1]


@pytest.mark.parametrize("speed", [-1, 1000.1, float("nan"), float("inf")])
def test_a_speed_that_cannot_be_is_refused(speed: float) -> None:
    """From 0 to 1000, and nothing else."""
    with pytest.raises(InputError, match="from 0"):
        Pace(ManualClock(), speed)
    with pytest.raises(InputError, match="from 0"):
        Pace(ManualClock()).accelerate(speed)


@settings(max_examples=40, deadline=None)
@given(
    gaps=st.lists(st.sampled_from([0.0, 0.02, 0.5, 1.0]), min_size=1, max_size=40),
    hands=st.lists(st.tuples(st.sampled_from("prsqx0"), st.floats(0, 2)), max_size=15),
)
def test_whatever_hands_do_the_ticks_are_the_same(gaps: list[float], hands: list[tuple[str, float]]) -> None:
    """Pauses, steps and speeds at any moment: in the end all ticks have come, once, in order, none before its time."""

    async def play() -> list[tuple[float, float]]:
        clock = ManualClock()
        pace = Pace(clock)
        player = await Player.of(pace, clock, at(*np.cumsum(gaps)))
        moves = {
            "p": pace.pause,
            "r": pace.resume,
            "s": pace.step,
            "q": lambda: pace.accelerate(0.25),
            "x": lambda: pace.accelerate(4),
            "0": lambda: pace.accelerate(0),
        }
        for move, seconds in hands:
            moves[move]()
            before = len(player.came)
            await player.wait(seconds)
            assert move != "p" or len(player.came) == before
        pace.accelerate(1)
        pace.resume()
        await player.wait(200)
        assert player.task.done()
        return player.came

    came = asyncio.run(play())
    assert [ts for _, ts in came] == [round(each * SECOND) / SECOND for each in np.cumsum(gaps)]
    assert [moment for moment, _ in came] == sorted(moment for moment, _ in came)
