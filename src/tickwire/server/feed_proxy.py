"""Forward requests for the feed (the source of prices) to the process that runs the feed."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from tickwire.core.codec import decode_json, encode_json
from tickwire.errors import JournalUnavailable
from tickwire.feeds.feed_controller import FeedController
from tickwire.journal.cluster import Peers
from tickwire.runtime.leadership import Leadership

_FEED_TOPIC = "feed"


class _FeedRequest(msgspec.Struct, frozen=True):
    """A request that one process forwards to the process that runs the feed."""

    operation: str = msgspec.field(name="do")
    text: str = ""


class FeedProxy:
    """Passes requests to the feed controller, which may run in another process.

    Every method raises JournalUnavailable if no process runs the feed, and InputError if the feed controller rejects
    the request.
    """

    def __init__(self, feed_controller: FeedController, peers: Peers, leadership: Leadership) -> None:
        self._feed_controller = feed_controller
        self._peers = peers
        self._leadership = leadership
        peers.register_handler(_FEED_TOPIC, self._answer_peer)

    async def run_command(self, command: str) -> bytes:
        """Run a playback command, such as PAUSE. Return the feed's new state as JSON."""
        return await self._forward(_FeedRequest("obey", command))

    async def replace_model(self, model: bytes) -> bytes:
        """Replace the simulator's model. Return the feed's new state as JSON."""
        return await self._forward(_FeedRequest("put", model.decode(errors="replace")))

    async def set_scenario(self, scenario: str | None) -> bytes:
        """Play the scenario in this TOML text. Return the feed's new state as JSON.

        If the text is None, end the current scenario.
        """
        return await self._forward(_FeedRequest("end") if scenario is None else _FeedRequest("stage", scenario))

    async def change_trading(self, trading_changes: Mapping[str, bool]) -> None:
        """Halt each symbol with the value False in the mapping, and resume each symbol with the value True."""
        await self._forward(_FeedRequest("trading", encode_json(trading_changes).decode()))

    async def describe(self) -> bytes:
        """Return the feed's state as JSON."""
        return await self._forward(_FeedRequest("describe"))

    async def read_model(self) -> bytes | None:
        """Return the simulator's model as JSON, or None if the feed is not a simulator."""
        return await self._forward(_FeedRequest("model")) or None

    async def _forward(self, request: _FeedRequest) -> bytes:
        if self._leadership.runs_feed:
            return await self._execute(request)
        replies = (await self._peers.request_all(_FEED_TOPIC, encode_json(request))).replies
        if not replies:
            raise JournalUnavailable(
                "no process runs the feed: wait until a process takes over the feed, or start a process with --role "
                "feed or --role all",
                is_public=True,
            )
        return replies[0]

    async def _answer_peer(self, data: bytes) -> bytes | None:
        return await self._execute(decode_json(data, _FeedRequest)) if self._leadership.runs_feed else None

    async def _execute(self, request: _FeedRequest) -> bytes:
        controller = self._feed_controller
        if request.operation == "obey":
            await controller.apply_command(request.text)
        elif request.operation == "put":
            await controller.replace_model(request.text.encode())
        elif request.operation in ("stage", "end"):
            await controller.play_scenario(request.text if request.operation == "stage" else None)
        elif request.operation == "trading":
            await controller.change_trading(decode_json(request.text.encode(), dict[str, bool]))
        elif request.operation == "model":
            return controller.model_json() or b""
        return encode_json(controller.describe())
