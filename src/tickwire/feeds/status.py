"""Whether a feed is alive, as readers are told."""

from __future__ import annotations

from typing import Any, Literal

State = Literal["waiting", "running", "paused", "stale", "halted"]


class FeedStatus:
    """A feed's state and the time of its newest tick. Each method answers whether the state changed.

    `waiting` before the first tick, `running` while ticks come, `stale` when they stay away for `stale_after` seconds,
    `halted` when the feed ended or failed (`problem` says how). Times are nanoseconds since the Unix epoch, taken when
    ticks arrive: a recording's own times do not make it stale.
    """

    def __init__(self, feed: str, mode: str, stale_after: float, *, speed: float = 1.0) -> None:
        self.feed = feed
        self.mode = mode
        self.speed = speed
        self.state: State = "waiting"
        self.problem: str | None = None
        self.last_tick: int | None = None
        self._stale_after = int(stale_after * 1e9)

    def ticked(self, now: int) -> bool:
        """A tick came."""
        self.last_tick = now
        return self._become("running") if self.state in ("waiting", "stale") else False

    def check(self, now: int) -> bool:
        """Time passed."""
        silent = self.last_tick is not None and now - self.last_tick > self._stale_after
        return self._become("stale") if silent and self.state == "running" else False

    def halt(self, problem: str | None = None) -> bool:
        """The feed came to its end, or failed."""
        self.problem = problem
        return self._become("halted")

    def describe(self) -> dict[str, Any]:
        """The data of a status event; `last_tick_ts` is in microseconds."""
        return {
            "feed": self.feed,
            "mode": self.mode,
            "state": self.state,
            "speed": self.speed,
            "symbol": None,
            "last_tick_ts": None if self.last_tick is None else self.last_tick // 1000,
        }

    def _become(self, state: State) -> bool:
        changed = state != self.state
        self.state = state
        return changed
