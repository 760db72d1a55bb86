"""A feed that merges the feeds of several vendors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence, Set

from tickwire.errors import InputError
from tickwire.feeds.base import ConnectionState, FeedBatch, FeedConnection, FeedMode, FeedPart, RemoteFeed

# The maximum number of unread batches. If the queue is full, the feeds wait. A batch of a vendor has at most 10,000
# ticks.
_MAX_WAITING_BATCHES = 16


class MergedFeed:
    """A feed that yields the batches of several feeds in the order of their arrival.

    The feed is connected as soon as one of its parts is connected. `parts` reports the state of each part.
    """

    mode: FeedMode = "live"

    def __init__(self, feeds: Sequence[RemoteFeed]) -> None:
        """Raise InputError if two feeds have the same vendor."""
        names = [feed.name for feed in feeds]
        if len({*names}) < len(names):
            raise InputError(
                f"the feeds {', '.join(names)} name a vendor twice: write all symbols of a vendor in one --feed",
                field="feed",
            )
        self.name = "+".join(names)
        self._feeds = feeds

    @property
    def parts(self) -> Sequence[FeedPart]:
        return [part for feed in self._feeds for part in feed.parts]

    @property
    def follows_demand(self) -> bool:
        return any(feed.follows_demand for feed in self._feeds)

    def update_demand(self, wanted: Set[str]) -> None:
        for feed in self._feeds:
            feed.update_demand(wanted)

    @property
    def connection(self) -> FeedConnection:
        connections = [feed.connection for feed in self._feeds]
        states = {each.state for each in connections}
        for state in (ConnectionState.CONNECTED, ConnectionState.CONNECTING):
            if state in states:
                return FeedConnection(state)
        reasons = (f"{feed.name}: {each.reason}" for feed, each in zip(self._feeds, connections, strict=True))
        return FeedConnection(ConnectionState.DISCONNECTED, "; ".join(reasons))

    async def batches(self, after: str | None = None) -> AsyncIterator[FeedBatch]:
        """Return the batches of all feeds from now on. The feeds cannot resume, so `after` has no effect."""
        queue = asyncio.Queue[FeedBatch | None](_MAX_WAITING_BATCHES)
        readers = [asyncio.create_task(_read(feed, after, queue)) for feed in self._feeds]
        try:
            while (batch := await queue.get()) is not None:
                yield batch
            # If a task that reads a feed ends with an error, the error is a bug. Raise this error here.
            for reader in readers:
                if reader.done():
                    reader.result()
        finally:
            for reader in readers:
                reader.cancel()
            await asyncio.gather(*readers, return_exceptions=True)


async def _read(feed: RemoteFeed, after: str | None, queue: asyncio.Queue[FeedBatch | None]) -> None:
    """Put the batches of a feed into the queue, and None after the last batch or an error."""
    try:
        async for batch in feed.batches(after):
            await queue.put(batch)
    finally:
        if not asyncio.current_task().cancelling():  # type: ignore[union-attr]  # inside a task
            await queue.put(None)
