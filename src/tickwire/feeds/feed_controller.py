"""Control of the running feed: playback commands, and the model and scenario of a simulation."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from tickwire.clock import Clock
from tickwire.core.codec import encode_json
from tickwire.errors import InputError
from tickwire.feeds.base import ConnectionState, Feed
from tickwire.feeds.feed_status import FeedStatus
from tickwire.feeds.model_source import ModelSource
from tickwire.feeds.playback_commands import PlaybackController, PlaybackFeed, parse_command
from tickwire.feeds.simulator import SimulatorFeed
from tickwire.simulation.model import MarketModel, parse_model
from tickwire.simulation.scenario import parse_scenario

log = logging.getLogger(__name__)

MODEL_REJECTED = "a new model was rejected, and the current model stays in use"
MODEL_UNREACHABLE = "the model cannot be fetched, and the current model stays in use"
"""Like MODEL_REJECTED, this text is a notice for all readers.

These notices contain no error text, because an error text may contain paths.
"""

# The maximum length of a command in a status event. Longer commands are truncated. A SEEK with a time has at most 40
# characters.
_MAX_COMMAND_CHARS = 60


class FeedController:
    """Applies commands, models and scenarios to a feed, and keeps the feed's status up to date.

    After each change of the status, the controller awaits `publish_status`. Its argument is the command that caused the
    change, or None. The controller awaits `publish_trading_changes` to halt and resume symbols. `models_replaced`
    counts the replacements of the model. `models_rejected` counts the invalid models. `failed_model_fetches` counts the
    polls that could not read the model.
    """

    def __init__(
        self,
        feed: Feed | None,
        status: FeedStatus,
        clock: Clock,
        publish_status: Callable[[str | None], Awaitable[None]],
        publish_trading_changes: Callable[[Mapping[str, bool]], Awaitable[None]],
    ) -> None:
        self._status = status
        self._clock = clock
        self._publish_status = publish_status
        self._publish_trading_changes = publish_trading_changes
        self.models_replaced = self.models_rejected = self.failed_model_fetches = 0
        self.attach(feed)

    def attach(self, feed: Feed | None) -> None:
        """Control `feed` from now on. If `feed` is None, the controller has no feed."""
        self._feed = feed
        self._playback_controller = PlaybackController(feed, self._status) if isinstance(feed, PlaybackFeed) else None
        if isinstance(feed, SimulatorFeed):
            self._status.model_version = feed.model.version
            self._status.scenario_name = None if feed.scenario is None else feed.scenario.name

    @property
    def is_held(self) -> bool:
        """Whether the feed is paused or stopped.

        In these states, market time does not advance. Market time is the time in the feed's ticks.
        """
        return isinstance(self._feed, PlaybackFeed) and self._feed.playback_clock.state in ("paused", "stopped")

    @property
    def has_ended(self) -> bool:
        """Whether the source of the feed has no more ticks."""
        return self._feed is not None and self._feed.connection.state is ConnectionState.ENDED

    async def apply_command(self, text: str) -> None:
        """Apply a playback command such as PAUSE to the feed.

        Raise InputError if the command is invalid, or if the feed does not support the command.
        """
        command = parse_command(text)
        if self._playback_controller is None:
            raise InputError(
                f"the feed {self._status.feed_name} accepts no commands: only the simulator and replays accept commands"
            )
        self._playback_controller.apply(command, self._clock.monotonic())
        log.info("applied a command to the feed %s: %s", self._status.feed_name, text.strip())
        await self._publish_status("=".join(part.strip() for part in text.upper().split("="))[:_MAX_COMMAND_CHARS])

    async def change_trading(self, trading_changes: Mapping[str, bool]) -> None:
        """Halt or resume symbols. `trading_changes` maps a symbol to False to halt it, and to True to resume it."""
        await self._publish_trading_changes(trading_changes)

    def describe(self) -> dict[str, Any]:
        """Return the state, the market time and the model of the feed as JSON data. Only admins may see the member
        `notice_detail`. If the feed does not support playback commands, the market time is the time of the server's
        clock.
        """
        status = self._status
        if self._playback_controller is None:
            playback = {
                "feed": status.feed_name,
                "mode": status.mode,
                "state": status.state,
                "time": self._clock.now() // 1000,
                "commands": [],
            }
        else:
            playback = self._playback_controller.describe()
        return playback | {
            "model": None if status.model_version is None else {"version": status.model_version, **self.model_counts()},
            "scenario": status.scenario_name,
            "notice": status.notice,
            "notice_detail": status.notice_detail,
        }

    def model_counts(self) -> dict[str, int]:
        """Return three counts as JSON data.

        "swaps" counts the accepted models, "rejected" the invalid models, and "unreachable" the failed attempts to
        fetch a model.
        """
        return {
            "swaps": self.models_replaced,
            "rejected": self.models_rejected,
            "unreachable": self.failed_model_fetches,
        }

    def model_json(self) -> bytes | None:
        """Return the current model of the simulation as JSON. Return None if the feed is not a simulation."""
        return encode_json(self._feed.model) if isinstance(self._feed, SimulatorFeed) else None

    async def replace_model(self, data: bytes) -> None:
        """Replace the model of the simulation by the model in the JSON `data`.

        If the model is invalid, count the rejected model, publish the error as a notice, and raise InputError. Also
        raise InputError if the feed is not a simulation.
        """
        if not isinstance(self._feed, SimulatorFeed):
            raise InputError(f"the feed {self._status.feed_name} has no model: only the simulator has a model")
        try:
            model = parse_model(data)
        except InputError as error:
            self.models_rejected += 1
            await self._publish_notice(MODEL_REJECTED, str(error))
            raise
        await self._apply_model(self._feed, model)

    async def play_scenario(self, text: str | None) -> None:
        """Play the scenario in the TOML `text`. If `text` is None, end the current scenario.

        Raise InputError if the scenario is invalid, or if the feed is not a simulation.
        """
        if not isinstance(self._feed, SimulatorFeed):
            raise InputError(f"the feed {self._status.feed_name} has no scenarios: only the simulator has scenarios")
        scenario = None if text is None else parse_scenario(text)
        self._feed.play_scenario(scenario)
        self._status.scenario_name = None if scenario is None else scenario.name
        log.info("the current scenario is now: %s", self._status.scenario_name or "none")
        await self._publish_status(None)

    async def watch_model(self, source: ModelSource, etag: str, interval_s: float) -> None:
        """Poll `source` forever, and apply each new model. `etag` identifies the content of the current model."""
        newest_etag: str | None = etag
        while True:
            await self._clock.sleep(interval_s)
            try:
                fetched = await source.fetch(newest_etag)
            except InputError as error:
                self.failed_model_fetches += 1
                await self._publish_notice(MODEL_UNREACHABLE, str(error))
                continue
            if fetched is not None:
                newest_etag = fetched.etag
                await self._try_replace_model(fetched.data)

    async def _try_replace_model(self, data: bytes) -> None:
        try:
            await self.replace_model(data)
        except InputError:
            # Ignore the error, because `replace_model` has already published it as a notice.
            return

    async def _apply_model(self, feed: SimulatorFeed, model: MarketModel) -> None:
        feed.replace_model(model)
        self.models_replaced += 1
        log.info("the model %s replaces the model %s", model.version, self._status.model_version)
        self._status.model_version = model.version
        self._status.notice = self._status.notice_detail = None
        await self._publish_status(None)

    async def _publish_notice(self, notice: str, detail: str) -> None:
        # If a source is unavailable for a long time, each poll causes the same notice. Log and publish this notice only
        # once.
        status = self._status
        if (notice, detail) != (status.notice, status.notice_detail):
            log.warning("%s: %s", notice, detail)
            status.notice, status.notice_detail = notice, detail
            await self._publish_status(None)
