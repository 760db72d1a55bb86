"""Whether a feed is alive, as readers are told."""

from __future__ import annotations

from typing import Any, Literal

State = Literal["waiting", "running", "paused", "stale", "halted"]


class FeedStatus:
    """A feed's state and the time of its newest tick. Each method answers whether the state changed.

    `waiting` before the first tick, `running` while ticks come, `stale` when they stay away for `stale_after` seconds,
    `paused` while somebody holds it, `halted` when the feed was stopped, ended or failed (`problem` says how). Times
    are nanoseconds since the Unix epoch, taken when ticks arrive: a recording's own times do not make it stale.
    `halted` are symbols that do not trade, `model` and `scenario` name a simulation's, `notice` is what a person should
    know.
    """

    def __init__(self, feed: str, mode: str, stale_after: float, *, speed: float = 1.0) -> None:
        self.feed = feed
        self.mode = mode
        self.speed = speed
        self.state: State = "waiting"
        self.problem: str | None = None
        self.last_tick: int | None = None
        self.halted: set[str] = set()
        self.model: str | None = None
        self.scenario: str | None = None
        self.notice: str | None = None
        self._stale_after = int(stale_after * 1e9)
        self._alive = 0  # the newest sign of life: a tick, or that it was let go

    def ticked(self, now: int) -> bool:
        """A tick came."""
        self.last_tick = self._alive = now
        return self._become("running") if self.state in ("waiting", "stale") else False

    def check(self, now: int) -> bool:
        """Time passed."""
        silent = self.last_tick is not None and now - self._alive > self._stale_after
        return self._become("stale") if silent and self.state == "running" else False

    def hold(self, state: Literal["paused", "halted"]) -> bool:
        """Somebody holds the feed, or stopped it: its silence is meant."""
        return self._become(state)

    def let_go(self, now: int) -> bool:
        """Nobody holds the feed any more."""
        self._alive = now
        return self._become("waiting" if self.last_tick is None else "running")

    def halt(self, problem: str | None = None) -> bool:
        """The feed came to its end, or failed."""
        self.problem = problem
        return self._become("halted")

    def heard(self, said: dict[str, Any]) -> None:
        """Take what the process that runs the feed said of it."""
        if said["symbol"] is None:
            self.state, self.speed = said["state"], said["speed"]
            self.halted, self.model, self.notice = set(said["halted"]), said["model"], said["notice"]
            self.scenario = said.get("scenario")

    def describe(self, symbol: str | None = None, *, command: str | None = None) -> dict[str, Any]:
        """The data of a status event, of the feed or of one `symbol`; `last_tick_ts` is in microseconds.

        `command` is what was just done to the feed, where that is why it is told.
        """
        state = self.state if symbol is None else "halted" if symbol in self.halted else "running"
        return {
            "feed": self.feed,
            "mode": self.mode,
            "state": state,
            "speed": self.speed,
            "symbol": symbol,
            "last_tick_ts": None if self.last_tick is None else self.last_tick // 1000,
            "halted": sorted(self.halted),
            "model": self.model,
            "scenario": self.scenario,
            "notice": self.notice,
            "command": command,
        }

    def _become(self, state: State) -> bool:
        changed = state != self.state
        self.state = state
        return changed
