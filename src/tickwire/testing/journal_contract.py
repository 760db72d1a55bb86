"""Tests of the behaviour that `tickwire.journal.base.Journal` requires of every journal (a durable log of events).

To test a journal, write a subclass of `JournalContract` in a test module. The name of the subclass begins with `Test`.
The subclass has a fixture `journal_factory`, which returns a `JournalFactory`. Pytest then runs the inherited tests.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest

from tickwire.core.candle import CANDLE_DTYPE
from tickwire.core.event import (
    JournalEntry,
    JournalRecord,
    RecordKind,
    SequenceRange,
    candles_entry,
    named_entry,
    ticks_entry,
)
from tickwire.core.tick import blank_ticks
from tickwire.errors import JournalError
from tickwire.journal.base import Journal, Retention, Snapshot
from tickwire.testing.clock import ManualClock
from tickwire.testing.waiting import wait_until

JournalFactory = Callable[[Retention, ManualClock], Coroutine[Any, Any, Journal]]
"""Opens a new, empty journal. The fixture closes the journal at the end of the test."""

_LONG_RETENTION = Retention(1_000_000, 86_400.0)
_RETENTION_TIMEOUT_S = 30.0


def sample_entry(count: int, *, key: str | None = None, source: str = "feed") -> JournalEntry:
    """Return a journal entry with `count` ticks of the symbol A."""
    ticks = blank_ticks(count)
    ticks["symbol"] = b"A"
    ticks["last"] = range(count)
    return ticks_entry(ticks, source=source, key=key)


async def collect_records(journal: Journal, after: int, last_sequence: int) -> list[JournalRecord]:
    """Return records from `journal.follow(after)`, up to the event with the number `last_sequence`.

    `journal.follow` yields lists of records. The result contains the whole list with the event `last_sequence`, so it
    may contain some later events.
    """
    collected: list[JournalRecord] = []
    async for records in journal.follow(after):
        collected += records
        if collected[-1].last >= last_sequence:
            break
    return collected


class JournalContract:
    """The tests that every journal must pass."""

    @pytest.fixture
    def clock(self) -> ManualClock:
        return ManualClock()

    @pytest.fixture
    async def journal(self, journal_factory: JournalFactory, clock: ManualClock) -> Journal:
        """An empty journal whose events do not expire during the test."""
        return await journal_factory(_LONG_RETENTION, clock)

    async def test_new_journal_has_an_epoch_and_no_events(self, journal: Journal) -> None:
        assert (journal.head, journal.first) == (0, 1)
        assert journal.epoch
        assert list(await journal.read(0)) == []
        assert await journal.last_key("feed") is None
        assert await journal.load_snapshot() is None

    async def test_append_numbers_events_without_gaps(self, journal: Journal) -> None:
        assert await journal.append(sample_entry(3)) == SequenceRange(1, 3)
        spans = await asyncio.gather(*(journal.append(sample_entry(count)) for count in (1, 5, 2)))
        assert spans == [SequenceRange(4, 4), SequenceRange(5, 9), SequenceRange(10, 11)]
        assert journal.head == 11

    async def test_read_returns_kind_count_data_and_append_time(self, journal: Journal, clock: ManualClock) -> None:
        ticks, named = sample_entry(2), named_entry("note", {"state": "running"})
        await journal.append(ticks)
        await clock.advance(1.5)
        await journal.append(named)
        first, second = await journal.read(0)
        assert first == JournalRecord(1, 2, RecordKind.TICKS, clock.now() - 1_500_000_000, ticks.data, ticks.source)
        assert second == JournalRecord(3, 1, RecordKind.NAMED_EVENT, clock.now(), named.data)

    async def test_followers_receive_the_traceparents_of_entries(self, journal: Journal) -> None:
        traceparent = f"00-{1:032x}-{1:016x}-01"
        follower = journal.follow(0)
        for traceparents in ((), (traceparent,), ()):
            await journal.append(sample_entry(2)._replace(traceparents=traceparents))
        records: list[JournalRecord] = []
        while len(records) < 3:
            records += await anext(follower)
        assert [record.traceparents for record in records] == [(), (traceparent,), ()]

    async def test_read_applies_position_limit_and_kind(self, journal: Journal) -> None:
        """The journal returns whole records, even if the start position or the limit is inside a record."""
        for count in (4, 4, 4):
            await journal.append(sample_entry(count))
        await journal.append(named_entry("note", {}))
        assert [record.first for record in await journal.read(5)] == [5, 9, 13]
        assert [record.first for record in await journal.read(0, limit=5)] == [1, 5]
        assert [record.first for record in await journal.read(0, limit=1)] == [1]
        assert [record.first for record in await journal.read(0, kind=RecordKind.NAMED_EVENT)] == [13]
        assert list(await journal.read(13)) == []

    async def test_read_returns_candles_without_the_ticks_between(self, journal: Journal) -> None:
        candles = np.zeros(3, CANDLE_DTYPE)
        candles["symbol"], candles["interval"], candles["start"] = b"A", 60, range(3)
        entry = candles_entry(candles, source="candles", key="1")
        await journal.append(sample_entry(4))
        assert await journal.append(entry) == SequenceRange(5, 7)
        await journal.append(sample_entry(4))
        assert await journal.append(entry) == SequenceRange(5, 7, is_new=False)
        await journal.append(candles_entry(candles[:1]))
        first, second = await journal.read(0, kind=RecordKind.CANDLES)
        assert (first.first, first.last, first.kind, first.data) == (5, 7, RecordKind.CANDLES, entry.data)
        assert (second.first, second.last) == (12, 12)
        assert [record.first for record in await journal.read(5, kind=RecordKind.CANDLES)] == [5, 12]
        assert [record.first for record in await journal.read(7, kind=RecordKind.CANDLES)] == [12]

    async def test_find_sequence_before_finds_whole_records_by_time(self, journal: Journal, clock: ManualClock) -> None:
        start = clock.now()
        assert await journal.find_sequence_before(start) == 0
        for _ in range(20):
            await journal.append(sample_entry(3))
            await clock.advance(10)
        for second, expected in ((-5, 0), (0, 0), (1, 3), (10, 3), (11, 6), (95, 30), (190, 57), (191, 60), (900, 60)):
            assert await journal.find_sequence_before(start + second * 10**9) == expected

    async def test_append_with_a_repeated_key_returns_the_first_range(self, journal: Journal) -> None:
        """Check that the journal stores only one of two entries that have the same source and key.

        The test appends such entries first one after the other, and then concurrently.
        """
        first = await journal.append(sample_entry(2, key="a"))
        repeated = await journal.append(sample_entry(2, key="a"))
        assert repeated == first._replace(is_new=False)
        both = await asyncio.gather(journal.append(sample_entry(1, key="b")), journal.append(sample_entry(1, key="b")))
        assert sorted(span.is_new for span in both) == [False, True]
        assert len({span.first for span in both}) == 1
        assert (await journal.append(sample_entry(2, key="a", source="other"))).is_new
        assert journal.head == 5

    async def test_last_key_is_the_newest_key_of_the_source(self, journal: Journal) -> None:
        await journal.append(sample_entry(1, key="1"))
        await journal.append(sample_entry(1, key="2"))
        await journal.append(sample_entry(1))
        await journal.append(sample_entry(1, key="x", source="other"))
        assert await journal.last_key("feed") == "2"
        assert await journal.last_key("other") == "x"

    async def test_follow_from_any_position_yields_every_record_once_in_order(self, journal: Journal) -> None:
        seed = random.randrange(2**32)
        print(f"seed {seed}")  # noqa: T201  # pytest shows it for a failed test
        rng = random.Random(seed)
        total = 300
        followers = []
        for number in range(total):
            if rng.random() < 0.05:
                after = rng.randint(0, journal.head)
                followers.append((after, asyncio.create_task(collect_records(journal, after, total))))
            append = asyncio.create_task(journal.append(sample_entry(1, key=str(number))))
            if rng.random() < 0.5:
                await append
        followers.append((0, asyncio.create_task(collect_records(journal, 0, total))))
        for after, follower in followers:
            assert [record.first for record in await follower] == list(range(after + 1, total + 1))

    async def test_follow_continues_after_a_cancelled_wait(self, journal: Journal) -> None:
        following = journal.follow(0)
        waiting = asyncio.ensure_future(anext(following))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await journal.append(sample_entry(1))
        assert [record.first for record in await anext(following)] == [1]

    async def test_cancelled_append_leaves_no_gap(self, journal: Journal) -> None:
        """Check that the sequence numbers of the journal have no gap after a cancelled append.

        The test does not check whether the journal contains the events of the cancelled append.
        """
        append = asyncio.create_task(journal.append(sample_entry(1)))
        await asyncio.sleep(0)
        append.cancel()
        await asyncio.gather(append, return_exceptions=True)
        span = await journal.append(sample_entry(1))
        assert [record.first for record in await journal.read(0)] == list(range(1, span.last + 1))

    async def test_append_rejects_an_entry_without_events(self, journal: Journal) -> None:
        with pytest.raises(JournalError, match="at least one event"):
            await journal.append(JournalEntry(RecordKind.TICKS, 0, b""))
        assert journal.head == 0

    async def test_load_snapshot_finds_the_newest_at_or_before_a_sequence(self, journal: Journal) -> None:
        await journal.append(sample_entry(10))
        await journal.save_snapshot(Snapshot(4, b"four"))
        await journal.save_snapshot(Snapshot(10, b"ten"))
        assert await journal.load_snapshot() == Snapshot(10, b"ten")
        assert await journal.load_snapshot(9) == Snapshot(4, b"four")
        assert await journal.load_snapshot(3) is None

    async def test_save_snapshot_rejects_a_sequence_after_the_head(self, journal: Journal) -> None:
        await journal.append(sample_entry(10))
        with pytest.raises(JournalError, match="newest event in the journal is 10"):
            await journal.save_snapshot(Snapshot(11, b""))

    async def test_retention_deletes_covered_records_beyond_the_count(
        self, journal_factory: JournalFactory, clock: ManualClock
    ) -> None:
        journal = await journal_factory(Retention(100, 86_400.0), clock)
        await _append_and_snapshot(journal, 50, 10)
        await _wait_for_retention(journal, lambda: journal.first > 300)
        assert journal.first <= journal.head - 100 + 1
        remaining = await journal.read(0, limit=1_000)
        assert remaining[0].first == journal.first
        assert remaining[-1].last == 500
        snapshot = await journal.load_snapshot(journal.first - 1)
        assert snapshot is not None, "a snapshot covers the deleted records"
        assert journal.stats().expired_events == journal.first - 1

    async def test_retention_deletes_old_records_except_the_newest(
        self, journal_factory: JournalFactory, clock: ManualClock
    ) -> None:
        journal = await journal_factory(Retention(1_000_000, 60.0), clock)
        await _append_and_snapshot(journal, 3, 10)
        await clock.advance(120)
        await _append_and_snapshot(journal, 1, 1)
        await _wait_for_retention(journal, lambda: journal.first > 20)
        assert [record.last for record in await journal.read(journal.first - 1)][-1] == 31

    async def test_retention_deletes_covered_records_beyond_the_size(
        self, journal_factory: JournalFactory, clock: ManualClock
    ) -> None:
        """Retention deletes records if the journal has too many bytes, even if it has few events.

        Retention deletes no more records than the limit of bytes requires, and only records before a snapshot.
        """
        journal = await journal_factory(Retention(1_000_000, 86_400.0, 200_000), clock)
        await journal.append(sample_entry(4_000))
        await _wait_for_retention(journal, lambda: True)
        assert journal.first == 1, "no snapshot covers the record"
        await _append_and_snapshot(journal, 50, 100)
        remaining: list[JournalRecord] = []
        while not remaining or sum(len(record.data) for record in remaining) > 200_000:
            await asyncio.sleep(0)
            remaining = list(await journal.read(journal.first - 1, limit=10_000))
        assert remaining[-1].last == 9_000
        assert sum(len(record.data) for record in remaining) > 100_000, "retention deletes no more than necessary"
        assert await journal.load_snapshot(remaining[0].first - 1) is not None, "a snapshot covers the deleted records"

    async def test_append_accepts_the_key_of_an_expired_entry(
        self, journal_factory: JournalFactory, clock: ManualClock
    ) -> None:
        journal = await journal_factory(Retention(10, 86_400.0), clock)
        await journal.append(sample_entry(1, key="old"))
        await _append_and_snapshot(journal, 40, 5)
        await _wait_for_retention(journal, lambda: journal.first > 1)
        assert (await journal.append(sample_entry(1, key="old"))).is_new

    async def test_follow_fails_if_its_history_has_expired(
        self, journal_factory: JournalFactory, clock: ManualClock
    ) -> None:
        journal = await journal_factory(Retention(10, 86_400.0), clock)
        await _append_and_snapshot(journal, 40, 5)
        await _wait_for_retention(journal, lambda: journal.first > 1)
        with pytest.raises(JournalError, match=r"no longer contains event .*: its oldest event is"):
            await anext(journal.follow(0))

    async def test_close_finishes_appends_and_ends_followers(self, journal: Journal) -> None:
        """A second `close` does nothing. An append after `close` fails."""
        seen: list[int] = []

        async def follow() -> None:
            async for records in journal.follow(0):
                seen.extend(record.first for record in records)

        follower = asyncio.create_task(follow())
        last = asyncio.create_task(journal.append(sample_entry(1)))
        await asyncio.sleep(0)
        await journal.close()
        await follower
        await last
        assert seen == [1]
        await journal.close()
        with pytest.raises(JournalError, match="closed"):
            await journal.append(sample_entry(1))

    async def test_stats_count_events_commits_and_bytes(self, journal: Journal) -> None:
        await journal.append(sample_entry(7))
        await journal.append(named_entry("note", {}))
        stats = journal.stats()
        assert (stats.first, stats.head, stats.appended_events, stats.expired_events) == (1, 8, 8, 0)
        assert stats.commits >= 1
        assert stats.size_bytes > 0
        assert stats.epoch == journal.epoch


async def _append_and_snapshot(journal: Journal, batches: int, count: int) -> None:
    """Append `batches` entries with `count` events each. Store a snapshot after each entry.

    Retention (the deletion of old events) deletes only events before a snapshot. So retention can delete these entries.
    """
    for _ in range(batches):
        await journal.append(sample_entry(count))
        await journal.save_snapshot(Snapshot(journal.head, b"x"))


async def _wait_for_retention(journal: Journal, condition: Callable[[], bool]) -> None:
    """Wait until retention has deleted so many events that `condition` returns true.

    Retention may run in another thread or process. Raise AssertionError if `condition` does not become true.
    """
    try:
        async with asyncio.timeout(_RETENTION_TIMEOUT_S):
            await wait_until(condition, poll_interval_s=0)
    except TimeoutError:
        raise AssertionError(f"retention did not delete the expected events: {journal.stats()}") from None
