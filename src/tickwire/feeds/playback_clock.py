"""The clock that controls when a feed releases its ticks. The clock runs at any speed, pauses and single-steps.

Market time is the time in a feed's ticks. A feed passes its ticks to `PlaybackClock.release_when_due`, which returns
the ticks when they are due. The clock computes the due time of every tick from the start of playback, not from the
previous tick. A replay of an hour therefore ends on time at any speed, even if some ticks are late. The clock never
adds, drops or changes ticks.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tickwire.clock import Clock
from tickwire.core.correction import end_of_part
from tickwire.core.tick import PackedTicks
from tickwire.errors import InputError

MAX_BATCH_ROWS = 500
MAX_SPEED = 1000.0
# If the time between two ticks is longer than this (a night, a weekend, a wrong date), the clock shortens the wait to
# one market second.
MAX_GAP_NS = 3600 * 10**9
SHORTENED_GAP_NS = 10**9
# If playback is delayed by more than this number of seconds, for example by a suspended laptop or a slow disk, it
# continues at normal speed and does not catch up.
_MAX_LAG_S = 1.0
# The longest delay before a speed change takes effect.
_MAX_SLEEP_S = 0.05
# If the time until a tick is due is shorter than this time, the clock releases the tick now. Such a short sleep could
# return at once.
_DUE_TOLERANCE_S = 1e-6
_NOTHING_RELEASED = -1.0

PlaybackState = Literal["running", "paused", "stopped", "ended"]
_RESTART_STATES = ("stopped", "ended")


class PlaybackClock:
    """The clock of one feed, with the playback commands.

    `speed` is the number of market seconds per real second. With speed 0, the clock releases every tick at once.
    `market_time` is the time of the newest released tick in nanoseconds, or None before the first tick. After a seek,
    `market_time` is at least the target of the seek, until the ticks end. Playback does not catch up after a long
    delay. `lag_s` is the sum of such delays in seconds.

    A pass is one run through the feed's ticks, from some position to the end. A command that moves the feed to another
    position ends the pass and sets `is_pass_over`. The feed then calls `begin_pass` for the next pass.
    """

    def __init__(self, clock: Clock, speed: float = 1.0) -> None:
        self.speed = check_speed(speed)
        self.state: PlaybackState = "running"
        self.market_time: int | None = None
        self.lag_s = 0.0
        self.is_pass_over = False
        # The first value is the target of the newest seek. The second value is the time of the newest released tick.
        self._seek_target: int | None = None
        self._released_ts: int | None = None
        self._clock = clock
        # The position of playback at one moment: a reading of the real clock, and the market seconds since the start of
        # playback.
        self._anchor = (clock.monotonic(), 0.0)
        # The newest tick for which the clock has computed a due time: its time, and its due time in market nanoseconds
        # since the start of playback.
        self._newest_ts: int | None = None
        self._newest_due_ns = 0
        self._pending_steps = 0
        # While playback is paused or stopped, the clock releases a tick only if the due time of the tick is at most
        # this value.
        self._released_until = _NOTHING_RELEASED
        self._changed = asyncio.Event()

    def begin_pass(self, seek_target: int | None = None) -> None:
        """Begin another run through the feed's ticks. The first tick of this run is due immediately.

        If playback moves to another time, `seek_target` is the new time, in nanoseconds. All ticks up to `seek_target`
        are then due immediately. The clock releases them even while playback is paused or stopped, so that readers see
        the prices at that time.
        """
        self.is_pass_over = False
        self._newest_ts = self._seek_target = seek_target
        self._newest_due_ns = round(self._elapsed_market_s() * 1e9)
        if seek_target is not None:
            self._released_until = self._newest_due_ns / 1e9

    async def release_when_due(self, ticks: PackedTicks) -> AsyncIterator[PackedTicks]:
        """Yield the ticks in order, each tick when it is due.

        Each yielded array contains at most MAX_BATCH_ROWS ticks. If a tick has an earlier time than the previous tick,
        the clock releases the tick without waiting. The iteration ends early if a command ends this run through the
        feed's ticks.
        """
        due, begin = self._schedule_due_times(ticks["ts"]), 0
        while begin < len(ticks):
            await self._wait_until_due(float(due[begin]))
            if self.is_pass_over:
                return
            due_count = int(np.searchsorted(due, self._release_limit(float(due[begin])), "right"))
            end = _avoid_split_correction(ticks, begin, min(max(begin + 1, due_count), begin + MAX_BATCH_ROWS))
            if not self.speed:
                self._anchor = (self._clock.monotonic(), float(due[end - 1]))
            self._released_ts = int(ticks["ts"][end - 1])
            self.market_time = max(self._released_ts, self._seek_target or 0)
            yield ticks[begin:end]
            begin = end

    async def wait_until(self, market_time: int) -> None:
        """Wait until playback reaches `market_time`, even if the feed has no tick at this time."""
        await self._wait_until_due(float(self._schedule_due_times(np.array([market_time]))[0]), is_empty=True)

    def pause(self) -> None:
        """Hold all ticks, and stop market time, until `resume`, `start` or `step` is called."""
        self._enter_state("paused")
        self._pending_steps, self._released_until = 0, _NOTHING_RELEASED

    def stop(self) -> None:
        """Hold all ticks until a command continues playback.

        The command `resume` continues at the same position, and `start` begins at the first tick of the feed.
        """
        self._enter_state("stopped")
        self._pending_steps, self._released_until = 0, _NOTHING_RELEASED

    def resume(self) -> None:
        """Continue playback at the position at which it was paused or stopped."""
        if self.state != "running":
            self._anchor = (self._clock.monotonic(), self._elapsed_market_s())
            self.state, self._pending_steps, self._released_until = "running", 0, _NOTHING_RELEASED
            self._wake()

    def start(self) -> None:
        """Continue playback. If playback was stopped or had ended, begin another run through the feed's ticks."""
        self.is_pass_over |= self.state in _RESTART_STATES
        self.resume()

    def step(self, count: int = 1) -> None:
        """Pause, but release the ticks with the next `count` different times.

        If playback was stopped or had ended, first begin another run through the feed's ticks.
        """
        self.is_pass_over |= self.state in _RESTART_STATES
        self._enter_state("paused")
        self._pending_steps += count
        self._wake()

    def mark_ended(self) -> None:
        """Record that the feed has no more ticks. Playback waits until a command begins another run."""
        self._enter_state("ended")
        self.market_time = self._released_ts
        self._pending_steps, self._released_until = 0, _NOTHING_RELEASED

    async def wait_until_pass_over(self) -> None:
        while not self.is_pass_over:
            self._changed.clear()
            await self._changed.wait()

    def set_speed(self, speed: float) -> None:
        speed = check_speed(speed)
        self._anchor = (self._clock.monotonic(), self._elapsed_market_s())
        self.speed = speed
        self._wake()

    def interrupt_pass(self, market_time: int) -> None:
        """End the current run through the feed's ticks, because the feed seeks to `market_time` (in nanoseconds).

        If playback was stopped or had ended, playback is paused afterwards.
        """
        self.is_pass_over = True
        self.market_time = market_time
        if self.state == "running":
            self._wake()
        else:
            self._enter_state("paused")

    def _enter_state(self, state: PlaybackState) -> None:
        self._anchor = (self._clock.monotonic(), self._elapsed_market_s())
        self.state = state
        self._wake()

    def _wake(self) -> None:
        self._changed.set()

    def _elapsed_market_s(self) -> float:
        """Return how many seconds of market time have passed since the start of playback."""
        since, elapsed = self._anchor
        return elapsed + (self._clock.monotonic() - since) * self.speed if self.state == "running" else elapsed

    async def _wait_until_due(self, due: float, *, is_empty: bool = False) -> None:
        """Wait until the clock may release ticks with the due time `due`, or until this run through the ticks ends."""
        while not self.is_pass_over:
            if self.state == "running":
                if await self._sleep_towards(due):
                    return
            elif self._try_step(due, is_empty=is_empty):
                await self._clock.sleep(0)
                return
            else:
                self._changed.clear()
                await self._changed.wait()

    async def _sleep_towards(self, due: float) -> bool:
        """Return whether playback is running and has reached the due time `due`.

        If playback has not reached `due`, sleep for a part of the remaining time, and return False.
        """
        late = self._elapsed_market_s() - due
        if self.speed == 0:
            self._anchor = (self._clock.monotonic(), max(due, self._anchor[1]))
        elif late < -_DUE_TOLERANCE_S:
            await self._clock.sleep(min(-late / self.speed, _MAX_SLEEP_S))
            return False
        elif late > _MAX_LAG_S * self.speed:
            self.lag_s += late / self.speed
            self._anchor = (self._clock.monotonic(), due)
        await self._clock.sleep(0)
        return self.state == "running"

    def _try_step(self, due: float, *, is_empty: bool) -> bool:
        """Return whether the clock may release ticks with the due time `due` while playback is paused or stopped.

        If a step command causes the release, also reduce the number of remaining steps.
        """
        if due > self._released_until:
            if not self._pending_steps or self.state == "stopped":
                return False
            if not is_empty:
                self._pending_steps -= 1
                self._released_until = due
            self._anchor = (self._clock.monotonic(), max(due, self._anchor[1]))
        return True

    def _release_limit(self, due: float) -> float:
        """Return a due time. The clock may now release all ticks that are due by then.

        `due` is the due time of the next tick.
        """
        if self.state != "running":
            return self._released_until
        return max(self._elapsed_market_s(), due) if self.speed else float("inf")

    def _schedule_due_times(self, ts: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the due time of each tick. `ts` contains the times of the ticks.

        Due times are in seconds of market time since the start of playback.
        """
        if not len(ts):
            return np.zeros(0)
        before = int(ts[0]) if self._newest_ts is None else self._newest_ts
        newest = np.maximum.accumulate(np.concatenate(([before], ts)))
        steps = np.diff(newest)
        steps[steps > MAX_GAP_NS] = SHORTENED_GAP_NS
        due = self._newest_due_ns + np.cumsum(steps)
        self._newest_ts, self._newest_due_ns = int(newest[-1]), int(due[-1])
        return due / 1e9


def check_speed(speed: float) -> float:
    """Return `speed` unchanged. Raise InputError if `speed` is not between 0 and MAX_SPEED."""
    if not 0 <= speed <= MAX_SPEED:
        raise InputError(f"invalid speed {speed:g}: use a number from 0 (no waiting) to {MAX_SPEED:g}", field="speed")
    return speed


def _avoid_split_correction(ticks: PackedTicks, begin: int, end: int) -> int:
    """Return the end of a batch. Move the end by one tick if it would separate a withdrawn trade from its replacement.

    Candles recognize a replacement only if it is in the same batch as the withdrawn trade.
    """
    later_end = end_of_part(ticks, end)
    return end - 1 if later_end > end > begin + 1 else later_end
