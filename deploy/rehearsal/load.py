"""Readers and a publisher that use a cluster during a rehearsal. No reader may lose an event."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

from tickwire.client.publisher import Publisher
from tickwire.testing.storm import ProgressTracker, RoamingReader
from tickwire.testing.waiting import wait_until

# The maximum time until every reader has received the events that were published before.
_CATCH_UP_TIMEOUT_S = 60


class Endpoint(NamedTuple):
    """The address that readers connect to."""

    url: str


class Load:
    """Readers that come and go, and a publisher. `published` contains the sequence numbers of the published events."""

    def __init__(self, url: str, readers: int, *, publish_every_s: float) -> None:
        self.readers = [RoamingReader(random.Random(number), [Endpoint(url)]) for number in range(readers)]
        self.published: list[int] = []
        self._url = url
        self._publish_every_s = publish_every_s
        self._publisher: asyncio.Task[None] | None = None

    @property
    def reconnects(self) -> int:
        return sum(reader.reconnects for reader in self.readers)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the readers and the publisher. The block begins when every reader has received an event."""
        progress = ProgressTracker()
        self._publisher = asyncio.create_task(self._publish())
        tasks = [self._publisher, *(asyncio.create_task(reader.run(progress)) for reader in self.readers)]
        try:
            await self._wait(lambda: all(reader.sequences for reader in self.readers))
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def check(self) -> int:
        """Wait until every reader has each event that is published now. Return the number of these events.

        Fail if a reader missed an event, received an event twice, or saw a gap.
        """
        newest = self.published[-1]
        async with asyncio.timeout(_CATCH_UP_TIMEOUT_S):
            await self._wait(lambda: all(reader.sequences[-1] >= newest for reader in self.readers))
        for reader in self.readers:
            assert (reader.gaps, reader.ids_back, reader.new_epochs) == (0, 0, 0)
            first, last = reader.sequences[0], reader.sequences[-1]
            expected = [number for number in self.published if first <= number <= newest]
            assert [number for number in reader.sequences if number <= newest] == expected, (
                f"a reader did not receive every event from {first} to {last} exactly once"
            )
        return len(self.published)

    async def _wait(self, condition: Callable[[], bool]) -> None:
        def is_met() -> bool:
            if self._publisher is not None and self._publisher.done():
                self._publisher.result()
            return condition()

        await wait_until(is_met, poll_interval_s=0.05)

    async def _publish(self) -> None:
        async with Publisher(self._url) as publisher:
            for price in itertools.count(1):
                receipt = await publisher.publish([{"symbol": "A", "last": float(price)}])
                self.published.append(int(receipt.last_id.rpartition("-")[2]))
                await asyncio.sleep(self._publish_every_s)
