"""The state of a feed as status events report it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from tickwire.core.event_kinds import FeedState
from tickwire.market.market_hours import MarketHours


class FeedStatus:
    """The state of a feed, and the time of its newest tick.

    A method that may change the state returns True if the state has changed. These are the states:

    - `waiting`: no tick has arrived since the start.
    - `running`: ticks arrive.
    - `stale`: the market is open and there are prices, but no tick has arrived for `stale_after_s` seconds.
    - `closed`: the market is closed (see `hours`). Ticks may arrive, for example before the opening.
    - `paused`: a client paused the feed.
    - `halted`: a client stopped the feed, or the feed has ended or failed. `problem` describes a failure.

    Each process of a cluster checks by itself whether ticks arrive, because the process that runs the feed may have
    died.

    `last_tick_ns` is the time at which the newest tick arrived, in nanoseconds since the Unix epoch. The time in the
    tick may be different. A replay of an old recording is therefore not stale. All arguments `now_s` are monotonic
    seconds, because the wall clock may be set back. Only a simulation has a `model_version` and a `scenario_name`.

    `connection` is the state of the feed's connection to its source, or None before the start. `part_states` contains
    the state of each connection to a vendor.

    `notice` is a message for everybody. The text is fixed and contains no paths and addresses. `notice_detail` explains
    the notice to admins. Only the process that runs the feed knows the detail, because status events do not contain it.
    """

    def __init__(
        self,
        feed_name: str,
        mode: str,
        stale_after_s: float,
        *,
        speed: float = 1.0,
        hours: MarketHours | None = None,
        started_at_s: float = 0.0,
        started_at_ns: int = 0,
        has_prices: bool = False,
    ) -> None:
        """Start in the state `waiting`, or in the state `closed` outside `hours`.

        If `hours` is None, the market is always open. `has_prices` means that the board already has prices.
        """
        self.feed_name = feed_name
        self.mode = mode
        self.speed = speed
        self.problem: str | None = None
        self.last_tick_ns: int | None = None
        self.halted_symbols: set[str] = set()
        self.model_version: str | None = None
        self.scenario_name: str | None = None
        self.connection: str | None = None
        self.part_states: dict[str, str] = {}
        self.notice: str | None = None
        self.notice_detail: str | None = None
        # The state of the feed, without this process's own check for missing ticks.
        self._state: FeedState = "waiting"
        self._has_prices = has_prices
        self._is_silent = False
        self._hours = hours or MarketHours()
        self._is_market_open = self._hours.is_open(started_at_ns)
        self._stale_after_s = stale_after_s
        self._last_tick_s: float | None = None
        # The time of the newest tick, resume command or opening of the market, whichever is latest. The feed becomes
        # stale `stale_after_s` seconds after this time.
        self._last_activity_s = started_at_s

    @property
    def state(self) -> FeedState:
        if not self._is_market_open and self._state in ("waiting", "running", "stale"):
            return "closed"
        return "stale" if self.is_silent else self._state

    @property
    def is_idle(self) -> bool:
        """Whether the feed has subscribed to no symbol at any vendor, because no reader wants a symbol."""
        return bool(self.part_states) and set(self.part_states.values()) == {"idle"}

    @property
    def is_silent(self) -> bool:
        """Whether no tick has arrived for `stale_after_s` seconds, although the feed runs and the market is open.

        A waiting feed is silent only if this process has prices. A feed that is idle, paused or stopped, or has ended,
        is not silent.
        """
        is_expected = self._state == "running" or (self._state == "waiting" and self._has_prices)
        return self._is_silent and self._is_market_open and is_expected and not self.is_idle

    def record_tick(self, now_s: float, now_ns: int) -> bool:
        """Record that a tick arrives now. `now_ns` is in nanoseconds since the Unix epoch."""
        before = self.state
        self.last_tick_ns = now_ns
        self._last_tick_s = self._last_activity_s = now_s
        self._is_silent = False
        if self._state in ("waiting", "stale", "closed"):
            self._state = "running"
        return self.state != before

    def check_staleness(self, now_s: float, now_ns: int) -> bool:
        """Update the state from the time since the newest tick, and from the hours of the market.

        `now_ns` is in nanoseconds since the Unix epoch. The opening of the market starts a new wait of `stale_after_s`
        seconds for a tick.
        """
        before = self.state
        was_open, self._is_market_open = self._is_market_open, self._hours.is_open(now_ns)
        if self._is_market_open and not was_open:
            self._last_activity_s = now_s
            if self._state == "closed":
                self._state = "running"
        self._is_silent = now_s - self._last_activity_s > self._stale_after_s
        return self.state != before

    def last_tick_age_s(self, now_s: float) -> float | None:
        """Return the seconds since the newest tick arrived, or None before the first tick."""
        return None if self._last_tick_s is None else now_s - self._last_tick_s

    def mark_held(self, state: Literal["paused", "halted"]) -> bool:
        """Record that a client paused or stopped the feed.

        The feed then does not become stale, although no ticks arrive.
        """
        return self._set_state(state)

    def mark_resumed(self, now_s: float) -> bool:
        self._last_activity_s = now_s
        self._is_silent = False
        return self._set_state("waiting" if self.last_tick_ns is None else "running")

    def mark_halted(self, problem: str | None = None) -> bool:
        """Record that the feed ended, or that it failed because of `problem`."""
        self.problem = problem
        return self._set_state("halted")

    def update_from_event(self, event_data: dict[str, Any]) -> None:
        """Copy the status from a status event. The process that runs the feed has published this event."""
        if event_data["symbol"] is None:
            self._state, self.speed = event_data["state"], event_data["speed"]
            self.halted_symbols = set(event_data["halted"])
            self.model_version, self.notice = event_data["model"], event_data["notice"]
            self.notice_detail = None
            self.scenario_name = event_data.get("scenario")
            self.connection = event_data.get("connection")
            self.part_states = event_data.get("sources", {})

    def describe(self, symbol: str | None = None, *, command: str | None = None) -> dict[str, Any]:
        """Return the data of a status event. If `symbol` is set, the event describes this symbol; otherwise, it
        describes the feed.

        `command` is the command that caused the event. In the data, `last_tick_ts` is in microseconds.
        """
        state = self.state if symbol is None else "halted" if symbol in self.halted_symbols else "running"
        return {
            "feed": self.feed_name,
            "mode": self.mode,
            "state": state,
            "speed": self.speed,
            "symbol": symbol,
            "last_tick_ts": None if self.last_tick_ns is None else self.last_tick_ns // 1000,
            "halted": sorted(self.halted_symbols),
            "model": self.model_version,
            "scenario": self.scenario_name,
            "notice": self.notice,
            "command": command,
            "connection": self.connection,
            "sources": self.part_states,
        }

    def describe_earlier(self, event_data: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return the status of the feed at an earlier time, in the format of `describe`.

        `event_data` is the data of the newest status event up to that time, or None if there was no status event. The
        result contains no information from after this time.
        """
        if event_data is None:
            return FeedStatus(self.feed_name, self.mode, 0).describe()
        # An event about a symbol does not contain the feed's state. But symbols halt and resume only in a running feed,
        # so the state was `running`.
        state = event_data["state"] if event_data["symbol"] is None else "running"
        # The time of the newest tick is unknown, because a status event does not describe the ticks that arrived after
        # it.
        return {**event_data, "state": state, "symbol": None, "last_tick_ts": None, "command": None}

    def _set_state(self, state: FeedState) -> bool:
        before = self.state
        self._state = state
        return self.state != before
