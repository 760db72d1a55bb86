"""What can be told to a running feed: commands, and for a simulation another model."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from tickwire.clock import Clock
from tickwire.core.codec import encode
from tickwire.errors import InputError
from tickwire.feeds.base import Feed
from tickwire.feeds.control import Control, Paced, read_command
from tickwire.feeds.simulator import Simulator
from tickwire.feeds.sources import Source
from tickwire.feeds.status import FeedStatus
from tickwire.market.model import Model, read_model
from tickwire.market.scenario import read_scenario

log = logging.getLogger(__name__)

_MOST_TOLD = 60  # characters of a command: a time has 35 at most


class Desk:
    """The one place from which a feed is controlled; `tell` is called after each change of its status, with the command
    that made it, if one did.

    `swaps` counts the models that took over, `rejected` those that would not do, `unreachable` the polls that found no
    file.
    """

    def __init__(
        self, feed: Feed | None, status: FeedStatus, clock: Clock, tell: Callable[[str | None], Awaitable[None]]
    ) -> None:
        self._status = status
        self._clock = clock
        self._tell = tell
        self.swaps = self.rejected = self.unreachable = 0
        self.take(feed)

    def take(self, feed: Feed | None) -> None:
        """Control this feed from now on, or none."""
        self._feed = feed
        self._control = Control(feed, self._status) if isinstance(feed, Paced) else None
        if isinstance(feed, Simulator):
            self._status.model = feed.model.version
            self._status.scenario = None if feed.scenario is None else feed.scenario.name

    @property
    def held(self) -> bool:
        """Whether somebody holds the feed, so that market time stands still."""
        return isinstance(self._feed, Paced) and self._feed.pace.motion in ("paused", "stopped")

    @property
    def ended(self) -> bool:
        """Whether the feed has come to its end, and would have to be begun anew."""
        return isinstance(self._feed, Paced) and self._feed.pace.motion == "ended"

    async def obey(self, text: str) -> None:
        """Do what the command says; InputError where it is none, or this feed cannot."""
        command = read_command(text)
        if self._control is None:
            raise InputError(f"the feed {self._status.feed} comes from outside: nothing here controls it")
        self._control.obey(command, self._clock.now())
        log.info("the feed %s: %s", self._status.feed, text.strip())
        await self._tell("=".join(part.strip() for part in text.upper().split("="))[:_MOST_TOLD])

    def describe(self) -> dict[str, Any]:
        """The feed's state, its clock and its model, for people and programs; a feed from outside has our clock."""
        status = self._status
        plain = {"feed": status.feed, "mode": status.mode, "state": status.state, "time": self._clock.now() // 1000}
        known = plain | {"commands": []} if self._control is None else self._control.describe()
        counts = self.counts()
        return known | {
            "model": None if status.model is None else {"version": status.model, **counts},
            "scenario": status.scenario,
            "notice": status.notice,
        }

    def counts(self) -> dict[str, int]:
        """What became of the models that were offered, and how many looks found none."""
        return {"swaps": self.swaps, "rejected": self.rejected, "unreachable": self.unreachable}

    def model(self) -> bytes | None:
        """The model in use as JSON; None where nothing is simulated."""
        return encode(self._feed.model) if isinstance(self._feed, Simulator) else None

    async def put(self, data: bytes) -> None:
        """Use the model that `data` says; InputError, counted and told to readers, where it will not do."""
        if not isinstance(self._feed, Simulator):
            raise InputError(f"the feed {self._status.feed} has no model: only the simulator has")
        try:
            model = read_model(data)
        except InputError as error:
            self.rejected += 1
            await self._notice(f"another model was rejected, {self._status.model} stays: {error}")
            raise
        await self._swap(self._feed, model)

    async def stage(self, text: str | None) -> None:
        """Play the scenario that the TOML `text` says, or none for None; InputError where it will not do."""
        if not isinstance(self._feed, Simulator):
            raise InputError(f"the feed {self._status.feed} plays no scenario: only the simulator does")
        scenario = None if text is None else read_scenario(text)
        self._feed.stage(scenario)
        self._status.scenario = None if scenario is None else scenario.name
        log.info("the scenario is now %s", self._status.scenario or "none")
        await self._tell(None)

    async def watch(self, source: Source, mark: str, seconds: float) -> None:
        """For ever: look every so often whether the model at `source` has changed from the one with `mark`."""
        known: str | None = mark
        while True:
            await self._clock.sleep(seconds)
            try:
                found = await source.fetch(known)
            except InputError as error:
                self.unreachable += 1
                await self._notice(str(error))
                continue
            if found is not None:
                known = found.mark
                await self._try(found.data)

    async def _try(self, data: bytes) -> None:
        try:
            await self.put(data)
        except InputError:
            return  # put has said so

    async def _swap(self, feed: Simulator, model: Model) -> None:
        feed.swap(model)
        self.swaps += 1
        log.info("the model is now %s, after %s", model.version, self._status.model)
        self._status.model, self._status.notice = model.version, None
        await self._tell(None)

    async def _notice(self, said: str) -> None:
        if said != self._status.notice:  # a source that stays away is told once
            log.warning("%s", said)
            self._status.notice = said
            await self._tell(None)
