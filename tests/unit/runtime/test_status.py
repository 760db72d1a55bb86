"""The status publisher appends each change of the status once, even if the journal is slow."""

from __future__ import annotations

import asyncio
import contextlib
from typing import cast

from tickwire.core.codec import decode_json
from tickwire.core.event import JournalEntry, NamedEvent, SequenceRange, named_entry
from tickwire.errors import JournalError
from tickwire.feeds.feed_status import FeedStatus
from tickwire.hub.hub_pool import HubPool
from tickwire.journal.base import Journal
from tickwire.journal.memory import MemoryJournal
from tickwire.journal.retention import Retention
from tickwire.journal.retrying_appender import RetryingAppender
from tickwire.runtime.leadership import Leadership
from tickwire.runtime.status import APPEND_TIMEOUT_S, StatusPublisher
from tickwire.testing.clock import ManualClock


class SlowJournal(MemoryJournal):
    """A journal in memory whose appends wait for permission. `is_broken` makes an append fail."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(Retention(1_000, 1e9), clock)
        self.may_append = asyncio.Event()
        self.is_broken = False
        self.states: list[str] = []

    async def append(self, entry: JournalEntry) -> SequenceRange:
        await self.may_append.wait()
        if self.is_broken:
            raise JournalError("the disk is full")
        self.states.append(decode_json(bytes(decode_json(entry.data, NamedEvent).data), dict)["state"])
        return await super().append(entry)


@contextlib.asynccontextmanager
async def running_publisher():
    clock = ManualClock()
    journal = SlowJournal(clock)
    appender = RetryingAppender(cast(Journal, journal), clock, named_entry("probe", {}))
    status = FeedStatus("f", "live", 10.0, has_prices=True)
    publisher = StatusPublisher(
        status, hub_pool=cast(HubPool, ()), journal=cast(Journal, journal), appender=appender,
        leadership=Leadership("f", is_shared=False), clock=clock, stale_after_s=10.0,
    )  # fmt: skip
    task = asyncio.create_task(publisher.run())
    try:
        await clock.advance(0.5)
        yield clock, journal, publisher
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_check_during_an_append_does_not_append_the_status_again() -> None:
    async with running_publisher() as (clock, journal, publisher):
        publishing = asyncio.create_task(publisher.publish())
        assert APPEND_TIMEOUT_S > 1
        await clock.advance(3)
        journal.may_append.set()
        await publishing
        await clock.advance(3)
        assert journal.states == ["waiting"]


async def test_a_change_during_an_append_is_appended_after_it() -> None:
    async with running_publisher() as (clock, journal, publisher):
        publishing = asyncio.create_task(publisher.publish())
        # The status becomes stale while the append waits.
        await clock.advance(12)
        journal.may_append.set()
        await publishing
        await clock.advance(3)
        assert journal.states == ["waiting", "stale"]


async def test_a_failed_append_is_repeated() -> None:
    async with running_publisher() as (clock, journal, publisher):
        journal.is_broken = True
        journal.may_append.set()
        await publisher.publish()
        journal.is_broken = False
        # Another entry shows the appender that the journal works again.
        await publisher._appender.append(named_entry("status", publisher.feed_status.describe()))
        await clock.advance(1)
        assert journal.states == ["waiting", "waiting"]
