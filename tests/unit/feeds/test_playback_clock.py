"""The playback clock: punctuality over hours, pauses, steps and speeds."""

from __future__ import annotations

import asyncio
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickwire.core.tick import blank_ticks
from tickwire.errors import InputError
from tickwire.feeds.playback_clock import PlaybackClock
from tickwire.testing.clock import ManualClock

SECOND = 10**9


class OversleepingClock(ManualClock):
    """A clock whose sleeps return at once. Each sleep advances the time by slightly more than requested."""

    def __init__(self, max_lateness_s: float = 0.0) -> None:
        super().__init__()
        self.max_lateness_s = max_lateness_s
        self.rng = random.Random(5)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)
        if seconds > 0:
            self._elapsed_s += seconds + self.rng.uniform(0, self.max_lateness_s)


def ticks_at(*seconds: float) -> np.ndarray:
    ticks = blank_ticks(len(seconds))
    ticks["ts"] = [round(each * SECOND) for each in seconds]
    return ticks


class TickPlayer:
    """Plays ticks through a playback clock, and records the real time and the market time of each."""

    def __init__(self, playback_clock: PlaybackClock, clock: ManualClock, ticks: np.ndarray) -> None:
        self.releases: list[tuple[float, float]] = []
        self._clock = clock
        playback_clock.begin_pass()
        self.task = asyncio.create_task(self._play(playback_clock, ticks))

    async def _play(self, playback_clock: PlaybackClock, ticks: np.ndarray) -> None:
        async for part in playback_clock.release_when_due(ticks):
            self.releases += [(round(self._clock.monotonic(), 3), ts / SECOND) for ts in part["ts"].tolist()]

    async def wait(self, seconds: float) -> None:
        """Let the last command take effect, then advance the clock."""
        await self._clock.advance(0)
        await self._clock.advance(seconds)

    @classmethod
    async def start(cls, playback_clock: PlaybackClock, clock: ManualClock, ticks: np.ndarray) -> TickPlayer:
        player = cls(playback_clock, clock, ticks)
        await clock.advance(0)
        return player

    @property
    def market_times(self) -> list[float]:
        return [ts for _, ts in self.releases]


@pytest.mark.parametrize("speed", [0.3, 1.0, 7.0, 1000.0])
async def test_an_hour_ends_on_time(speed: float) -> None:
    """The delays of single sleeps do not accumulate."""
    clock = OversleepingClock(max_lateness_s=0.004)
    playback_clock = PlaybackClock(clock, speed)
    playback_clock.begin_pass()
    steps = 1_000
    for number in range(1, steps + 1):
        async for _ in playback_clock.release_when_due(ticks_at(3600 * speed * number / steps)):
            pass
    assert clock.monotonic() == pytest.approx(3600 * (steps - 1) / steps, abs=0.005)
    assert playback_clock.lag_s == 0


async def test_a_pause_delays_all_ticks_and_loses_none() -> None:
    clock = ManualClock()
    playback_clock = PlaybackClock(clock)
    player = await TickPlayer.start(playback_clock, clock, ticks_at(0, 1, 2, 3))
    await player.wait(1.5)
    playback_clock.pause()
    await player.wait(100)
    assert player.market_times == [0, 1]
    playback_clock.resume()
    await player.wait(3)
    assert player.releases[2:] == [(102.0, 2), (103.0, 3)]


async def test_a_step_plays_one_moment() -> None:
    """A step plays all ticks of the next moment, regardless of their number. n steps play n moments."""
    clock = ManualClock()
    playback_clock = PlaybackClock(clock)
    playback_clock.pause()
    player = await TickPlayer.start(playback_clock, clock, ticks_at(*[0] * 700, 5, 5, 9, 12, 20))
    await player.wait(1)
    assert player.market_times == []
    for steps, tick_count in ((1, 700), (1, 702), (2, 704)):
        playback_clock.step(steps)
        await player.wait(1)
        assert len(player.market_times) == tick_count
    playback_clock.resume()
    await player.wait(7)
    assert len(player.market_times) == 704
    await player.wait(1)
    assert len(player.market_times) == 705


async def test_a_speed_change_applies_to_the_rest_of_a_wait() -> None:
    clock = ManualClock()
    playback_clock = PlaybackClock(clock)
    player = await TickPlayer.start(playback_clock, clock, ticks_at(0, 10, 20, 30, 31))
    await player.wait(5)
    playback_clock.set_speed(0.5)
    await player.wait(10)
    assert player.releases[1] == (15.0, 10)
    playback_clock.set_speed(10)
    await player.wait(1)
    assert player.releases[2] == (16.0, 20)
    playback_clock.set_speed(0)
    await player.wait(0.1)
    assert len(player.releases) == 5


async def test_playback_does_not_catch_up_after_a_leap_of_the_clock() -> None:
    """After a suspended laptop wakes, playback continues from the last tick and reports the lag."""
    clock = ManualClock()
    playback_clock = PlaybackClock(clock)
    player = await TickPlayer.start(playback_clock, clock, ticks_at(*range(20)))
    await player.wait(2)
    clock._elapsed_s += 3600
    await player.wait(1)
    assert player.market_times == [0, 1, 2, 3, 4]
    assert playback_clock.lag_s == pytest.approx(3600, abs=1)
    await player.wait(1)
    assert player.market_times == [0, 1, 2, 3, 4, 5]


async def test_starting_after_a_stop_ends_the_pass() -> None:
    clock = ManualClock()
    playback_clock = PlaybackClock(clock)
    player = await TickPlayer.start(playback_clock, clock, ticks_at(0, 1, 2))
    await player.wait(1)
    playback_clock.stop()
    await player.wait(5)
    assert player.market_times == [0, 1]
    playback_clock.start()
    await player.wait(5)
    assert playback_clock.is_pass_over
    assert player.task.done()
    assert player.market_times == [0, 1]


@pytest.mark.parametrize("speed", [-1, 1000.1, float("nan"), float("inf")])
def test_an_invalid_speed_is_rejected(speed: float) -> None:
    with pytest.raises(InputError, match=f"invalid speed {speed:g}: use a number from 0"):
        PlaybackClock(ManualClock(), speed)
    with pytest.raises(InputError, match=f"invalid speed {speed:g}: use a number from 0"):
        PlaybackClock(ManualClock()).set_speed(speed)


@settings(max_examples=40)
@given(
    gaps=st.lists(st.sampled_from([0.0, 0.02, 0.5, 1.0]), min_size=1, max_size=40),
    commands=st.lists(st.tuples(st.sampled_from("prsqx0"), st.floats(0, 2)), max_size=15),
)
def test_commands_do_not_change_the_ticks(gaps: list[float], commands: list[tuple[str, float]]) -> None:
    """With any pauses, steps and speeds, each tick is played once, in order, and not before its time."""

    async def play() -> list[tuple[float, float]]:
        clock = ManualClock()
        playback_clock = PlaybackClock(clock)
        player = await TickPlayer.start(playback_clock, clock, ticks_at(*np.cumsum(gaps)))
        actions = {
            "p": playback_clock.pause,
            "r": playback_clock.resume,
            "s": playback_clock.step,
            "q": lambda: playback_clock.set_speed(0.25),
            "x": lambda: playback_clock.set_speed(4),
            "0": lambda: playback_clock.set_speed(0),
        }
        for command, seconds in commands:
            actions[command]()
            count = len(player.releases)
            await player.wait(seconds)
            assert command != "p" or len(player.releases) == count
        playback_clock.set_speed(1)
        playback_clock.resume()
        await player.wait(200)
        assert player.task.done()
        return player.releases

    releases = asyncio.run(play())
    assert [ts for _, ts in releases] == [round(each * SECOND) / SECOND for each in np.cumsum(gaps)]
    assert [moment for moment, _ in releases] == sorted(moment for moment, _ in releases)


@pytest.mark.parametrize("place", [0, 1, 498, 499, 500, 999])
async def test_a_correction_is_released_in_one_batch(place: int) -> None:
    """The tick at `place` withdraws a trade, and the next tick replaces the trade."""
    ticks = ticks_at(*range(1_100))
    ticks["last"], ticks["size"][place] = 1.0, -1.0
    ticks["ts"][place : place + 2] = 0
    playback_clock = PlaybackClock(ManualClock(), speed=0)
    playback_clock.begin_pass()
    batches = [batch async for batch in playback_clock.release_when_due(ticks)]
    assert np.array_equal(np.concatenate(batches)["ts"], ticks["ts"])
    assert max(map(len, batches)) <= 500
    assert not any(batch["size"][-1] < 0.0 for batch in batches)
