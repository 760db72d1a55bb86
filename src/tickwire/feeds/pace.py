"""How market time passes: at the asked speed, held, let go, or one moment after the other.

Market time is the time in a feed's ticks. A feed gives its ticks to `Pace.parts`, which lets them go when they are due:
at an absolute moment of the clock, so that an hour at any speed ends on time however late single ticks went. What ticks
there are never depends on the pace.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tickwire.clock import Clock
from tickwire.core.tick import Ticks
from tickwire.errors import InputError

BATCH_ROWS = 500
FASTEST = 1000.0
# A step of more than an hour in market time (a night, a weekend, a wrong date) is passed in one second.
LONGEST_PAUSE_NS = 3600 * 10**9
SHORT_PAUSE_NS = 10**9
_MOST_BEHIND = 1.0  # seconds: what is further behind (a suspended laptop, a slow disk) is late for good, not hurried
_ATTENTION = 0.05  # seconds: how soon a sleeping pace heeds another speed
_TOLERANCE = 1e-6  # seconds: due so soon is due now; a sleep could be too short to move the clock
_NEVER = -1.0

Motion = Literal["running", "paused", "stopped", "ended"]
_AT_REST = ("stopped", "ended")


class Pace:
    """One feed's way through market time, and the hands that control it.

    `speed` is market seconds a second; 0 does not wait. `moment` is the market time of the newest tick let go (None
    before the first), `behind` the seconds by which the feed is late for good. `over` says that the stretch which
    `begin` began has been ended from outside: the feed is to begin another.
    """

    def __init__(self, clock: Clock, speed: float = 1.0) -> None:
        self.speed = check_speed(speed)
        self.motion: Motion = "running"
        self.moment: int | None = None
        self.behind = 0.0
        self.over = False
        self._clock = clock
        self._anchor = (clock.monotonic(), 0.0)  # a moment of the clock, and the market seconds passed by then
        self._newest: int | None = None  # the latest time that was given a due moment
        self._due = 0  # when that is: market nanoseconds after the start
        self._steps = 0
        self._granted = _NEVER  # while held: what is due by then may go
        self._changed = asyncio.Event()

    def begin(self, moment: int | None = None) -> None:
        """Begin another stretch: its first tick is due now; with a `moment`, what comes up to that is due now.

        What comes up to `moment` goes even while held, so that the market can be looked at as it was then.
        """
        self.over = False
        self._newest = moment
        self._due = round(self._passed() * 1e9)
        if moment is not None:
            self._granted = self._due / 1e9

    async def parts(self, ticks: Ticks) -> AsyncIterator[Ticks]:
        """The ticks in order, in parts of at most BATCH_ROWS, each when due; one that steps back is due at once.

        Ends early when the stretch is over.
        """
        due, begin = self._schedule(ticks["ts"]), 0
        while begin < len(ticks):
            await self._reach(float(due[begin]))
            if self.over:
                return
            ready = int(np.searchsorted(due, self._open(float(due[begin])), "right"))
            end = min(max(begin + 1, ready), begin + BATCH_ROWS)
            if not self.speed:
                self._anchor = (self._clock.monotonic(), float(due[end - 1]))
            self.moment = int(ticks["ts"][end - 1])
            yield ticks[begin:end]
            begin = end

    async def idle(self, moment: int) -> None:
        """Let time pass until `moment`, at which there is nothing to play."""
        await self._reach(float(self._schedule(np.array([moment]))[0]), empty=True)

    def pause(self) -> None:
        """Hold. Nothing goes until `resume` or `step`; market time stands still."""
        self._hold("paused")
        self._steps, self._granted = 0, _NEVER

    def stop(self) -> None:
        """Hold until `start`, which begins anew."""
        self._hold("stopped")
        self._steps, self._granted = 0, _NEVER

    def resume(self) -> None:
        """Go on exactly where it was held."""
        if self.motion != "running":
            self._anchor = (self._clock.monotonic(), self._passed())
            self.motion, self._steps, self._granted = "running", 0, _NEVER
            self._wake()

    def start(self) -> None:
        """Run; after `stop` or the end from the feed's beginning."""
        self.over |= self.motion in _AT_REST
        self.resume()

    def step(self, count: int = 1) -> None:
        """Hold, but let the ticks of the next `count` moments go; after `stop` or the end from the feed's beginning."""
        self.over |= self.motion in _AT_REST
        self._hold("paused")
        self._steps += count
        self._wake()

    def end(self) -> None:
        """Nothing is left to play: hold until the feed is to begin anew."""
        self._hold("ended")
        self._steps, self._granted = 0, _NEVER

    async def anew(self) -> None:
        """Return when the stretch is over."""
        while not self.over:
            self._changed.clear()
            await self._changed.wait()

    def accelerate(self, speed: float) -> None:
        """Another speed, from now on."""
        speed = check_speed(speed)
        self._anchor = (self._clock.monotonic(), self._passed())
        self.speed = speed
        self._wake()

    def leap(self) -> None:
        """End the stretch: the feed begins somewhere else. A held one stays held."""
        self.over = True
        if self.motion == "running":
            self._wake()
        else:
            self._hold("paused")

    def _hold(self, motion: Motion) -> None:
        self._anchor = (self._clock.monotonic(), self._passed())
        self.motion = motion
        self._wake()

    def _wake(self) -> None:
        self._changed.set()

    def _passed(self) -> float:
        """Market seconds since the start."""
        since, passed = self._anchor
        return passed + (self._clock.monotonic() - since) * self.speed if self.motion == "running" else passed

    async def _reach(self, due: float, *, empty: bool = False) -> None:
        """Return when what is due at `due` may go, or when the stretch is over."""
        while not self.over:
            if self.motion == "running":
                if await self._waited(due):
                    return
            elif self._stepped(due, empty=empty):
                await self._clock.sleep(0)
                return
            else:
                self._changed.clear()
                await self._changed.wait()

    async def _waited(self, due: float) -> bool:
        """Whether it is time; if not, some of it has passed then."""
        late = self._passed() - due
        if self.speed == 0:
            self._anchor = (self._clock.monotonic(), max(due, self._anchor[1]))
        elif late < -_TOLERANCE:
            await self._clock.sleep(min(-late / self.speed, _ATTENTION))
            return False
        elif late > _MOST_BEHIND * self.speed:
            self.behind += late / self.speed
            self._anchor = (self._clock.monotonic(), due)
        await self._clock.sleep(0)
        return self.motion == "running"

    def _stepped(self, due: float, *, empty: bool) -> bool:
        """While held: whether this moment may go, because a step was asked for."""
        if due > self._granted:
            if not self._steps or self.motion == "stopped":
                return False
            if not empty:
                self._steps -= 1
                self._granted = due
            self._anchor = (self._clock.monotonic(), max(due, self._anchor[1]))
        return True

    def _open(self, due: float) -> float:
        """Up to when what is due may go, now that `due` may."""
        if self.motion != "running":
            return self._granted
        return max(self._passed(), due) if self.speed else float("inf")

    def _schedule(self, ts: NDArray[np.int64]) -> NDArray[np.float64]:
        """Market seconds after the start at which each time is due."""
        if not len(ts):
            return np.zeros(0)
        before = int(ts[0]) if self._newest is None else self._newest
        newest = np.maximum.accumulate(np.concatenate(([before], ts)))
        steps = np.diff(newest)
        steps[steps > LONGEST_PAUSE_NS] = SHORT_PAUSE_NS
        due = self._due + np.cumsum(steps)
        self._newest, self._due = int(newest[-1]), int(due[-1])
        return due / 1e9


def check_speed(speed: float) -> float:
    """`speed` itself if a pace can have it, else InputError."""
    if not 0 <= speed <= FASTEST:
        raise InputError(f"speed {speed:g}: from 0 (no waiting) to {FASTEST:g}", field="speed")
    return speed
