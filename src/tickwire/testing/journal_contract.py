"""The sentences of `tickwire.journal.base.Journal` as tests. Every implementation passes the same ones.

A test module makes a subclass named `Test...` whose `journals` fixture gives a `JournalMaker`; pytest collects the
methods from there.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest

from tickwire.core.candle import CANDLE
from tickwire.core.event import Entry, Kind, Record, Span, candles_entry, named_entry, ticks_entry
from tickwire.core.tick import empty
from tickwire.errors import JournalError
from tickwire.journal.base import Journal, Retention, State
from tickwire.testing.clock import ManualClock

JournalMaker = Callable[[Retention, ManualClock], Coroutine[Any, Any, Journal]]
"""Opens a new, empty journal; the fixture closes it at the end of the test."""

_ROOMY = Retention(1_000_000, 86_400.0)
_MANY_TURNS = 10_000


def batch(count: int, *, key: str | None = None, source: str = "feed") -> Entry:
    """An entry of `count` ticks of the symbol A."""
    ticks = empty(count)
    ticks["symbol"] = b"A"
    ticks["last"] = range(count)
    return ticks_entry(ticks, source=source, key=key)


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until the condition holds; the test's own timeout bounds it."""
    while not condition():
        await asyncio.sleep(0)


async def take(journal: Journal, after: int, upto: int) -> list[Record]:
    """What `follow(after)` yields up to the event `upto`."""
    found: list[Record] = []
    async for records in journal.follow(after):
        found += records
        if found[-1].last >= upto:
            break
    return found


class JournalContract:
    """What must hold for every journal."""

    @pytest.fixture
    def clock(self) -> ManualClock:
        """The journal's time."""
        return ManualClock()

    @pytest.fixture
    async def journal(self, journals: JournalMaker, clock: ManualClock) -> Journal:
        """An empty journal that keeps everything."""
        return await journals(_ROOMY, clock)

    async def test_empty(self, journal: Journal) -> None:
        """A new journal has an epoch, no events, and says so."""
        assert (journal.head, journal.first) == (0, 1)
        assert journal.epoch
        assert list(await journal.read(0)) == []
        assert await journal.last_key("feed") is None
        assert await journal.load_state() is None

    async def test_numbers_are_given_in_order(self, journal: Journal) -> None:
        """Events are numbered from 1 on without holes, also when appends are made at the same time."""
        assert await journal.append(batch(3)) == Span(1, 3)
        spans = await asyncio.gather(*(journal.append(batch(count)) for count in (1, 5, 2)))
        assert spans == [Span(4, 4), Span(5, 9), Span(10, 11)]
        assert journal.head == 11

    async def test_records_come_back_as_they_were(self, journal: Journal, clock: ManualClock) -> None:
        """Kind, count, data and the time of taking survive."""
        ticks, named = batch(2), named_entry("status", {"state": "running"})
        await journal.append(ticks)
        await clock.advance(1.5)
        await journal.append(named)
        first, second = await journal.read(0)
        assert first == Record(1, 2, Kind.TICKS, clock.now() - 1_500_000_000, ticks.data)
        assert second == Record(3, 1, Kind.NAMED, clock.now(), named.data)

    async def test_read_respects_position_limit_and_kind(self, journal: Journal) -> None:
        """A record that straddles the position comes whole; one record comes even beyond the limit."""
        for count in (4, 4, 4):
            await journal.append(batch(count))
        await journal.append(named_entry("status", {}))
        assert [record.first for record in await journal.read(5)] == [5, 9, 13]
        assert [record.first for record in await journal.read(0, limit=5)] == [1, 5]
        assert [record.first for record in await journal.read(0, limit=1)] == [1]
        assert [record.first for record in await journal.read(0, kind=Kind.NAMED)] == [13]
        assert list(await journal.read(13)) == []

    async def test_candles_are_a_kind_of_their_own(self, journal: Journal) -> None:
        """Candles come back as they were, each an event, and can be read without the ticks between them."""
        candles = np.zeros(3, CANDLE)
        candles["symbol"], candles["interval"], candles["start"] = b"A", 60, range(3)
        entry = candles_entry(candles, source="candles", key="1")
        await journal.append(batch(4))
        assert await journal.append(entry) == Span(5, 7)
        await journal.append(batch(4))
        assert await journal.append(entry) == Span(5, 7, fresh=False)
        await journal.append(candles_entry(candles[:1]))
        one, other = await journal.read(0, kind=Kind.CANDLES)
        assert (one.first, one.last, one.kind, one.data) == (5, 7, Kind.CANDLES, entry.data)
        assert (other.first, other.last) == (12, 12)
        assert [record.first for record in await journal.read(5, kind=Kind.CANDLES)] == [5, 12]
        assert [record.first for record in await journal.read(7, kind=Kind.CANDLES)] == [12]

    async def test_times_are_found(self, journal: Journal, clock: ManualClock) -> None:
        """The last event taken before a moment, by whole records; the ends where the moment is outside."""
        start = clock.now()
        assert await journal.find(start) == 0
        for _ in range(20):
            await journal.append(batch(3))
            await clock.advance(10)
        for second, expected in ((-5, 0), (0, 0), (1, 3), (10, 3), (11, 6), (95, 30), (190, 57), (191, 60), (900, 60)):
            assert await journal.find(start + second * 10**9) == expected

    async def test_same_key_is_appended_once(self, journal: Journal) -> None:
        """A repeated (source, key) answers the span it had, whether it was committed before or is under way."""
        once = await journal.append(batch(2, key="a"))
        again = await journal.append(batch(2, key="a"))
        assert again == once._replace(fresh=False)
        both = await asyncio.gather(journal.append(batch(1, key="b")), journal.append(batch(1, key="b")))
        assert sorted(span.fresh for span in both) == [False, True]
        assert len({span.first for span in both}) == 1
        assert (await journal.append(batch(2, key="a", source="other"))).fresh
        assert journal.head == 5

    async def test_last_key_is_the_newest(self, journal: Journal) -> None:
        """`last_key` is that of the newest entry of the source that had one."""
        await journal.append(batch(1, key="1"))
        await journal.append(batch(1, key="2"))
        await journal.append(batch(1))
        await journal.append(batch(1, key="x", source="other"))
        assert await journal.last_key("feed") == "2"
        assert await journal.last_key("other") == "x"

    async def test_follow_gives_past_and_future_once(self, journal: Journal) -> None:
        """Followers that start at any time see every record after their position exactly once, in order."""
        seed = random.randrange(2**32)
        print(f"seed {seed}")  # noqa: T201  # pytest shows it with a failure
        rng = random.Random(seed)  # a test's choices
        total = 300
        followers = []
        for number in range(total):
            if rng.random() < 0.05:
                after = rng.randint(0, journal.head)
                followers.append((after, asyncio.create_task(take(journal, after, total))))
            append = asyncio.create_task(journal.append(batch(1, key=str(number))))
            if rng.random() < 0.5:
                await append
        followers.append((0, asyncio.create_task(take(journal, 0, total))))
        for after, follower in followers:
            assert [record.first for record in await follower] == list(range(after + 1, total + 1))

    async def test_a_cancelled_wait_loses_nothing(self, journal: Journal) -> None:
        """A follower whose wait was cancelled goes on where it stood."""
        following = journal.follow(0)
        waiting = asyncio.ensure_future(anext(following))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await journal.append(batch(1))
        assert [record.first for record in await anext(following)] == [1]

    async def test_a_cancelled_append_is_not_undone(self, journal: Journal) -> None:
        """Whoever cancels an append may find its events all the same, and numbers stay without holes."""
        append = asyncio.create_task(journal.append(batch(1)))
        await asyncio.sleep(0)
        append.cancel()
        await asyncio.gather(append, return_exceptions=True)
        span = await journal.append(batch(1))
        assert [record.first for record in await journal.read(0)] == list(range(1, span.last + 1))

    async def test_an_empty_entry_is_refused(self, journal: Journal) -> None:
        """An entry without events cannot be numbered."""
        with pytest.raises(JournalError, match="at least one event"):
            await journal.append(Entry(Kind.TICKS, 0, b""))
        assert journal.head == 0

    async def test_states_are_found_by_sequence(self, journal: Journal) -> None:
        """The newest summary at or before a sequence number is loaded; one from the future is refused."""
        await journal.append(batch(10))
        await journal.save_state(State(4, b"four"))
        await journal.save_state(State(10, b"ten"))
        assert await journal.load_state() == State(10, b"ten")
        assert await journal.load_state(9) == State(4, b"four")
        assert await journal.load_state(3) is None
        with pytest.raises(JournalError, match="newest event is 10"):
            await journal.save_state(State(11, b""))

    async def test_retention_by_count(self, journals: JournalMaker, clock: ManualClock) -> None:
        """Old records go once a summary covers them, never more than the count allows, and `first` tells it."""
        journal = await journals(Retention(100, 86_400.0), clock)
        await _fill(journal, 50, 10)
        await _settle(journal, lambda: journal.first > 300)
        assert journal.first <= journal.head - 100 + 1
        kept = await journal.read(0, limit=1_000)
        assert kept[0].first == journal.first
        assert kept[-1].last == 500
        state = await journal.load_state(journal.first - 1)
        assert state is not None, "the oldest kept event can be rebuilt from a summary"
        assert journal.stats().expired == journal.first - 1

    async def test_retention_by_age(self, journals: JournalMaker, clock: ManualClock) -> None:
        """Records older than the age go, the newest stays whatever its age."""
        journal = await journals(Retention(1_000_000, 60.0), clock)
        await _fill(journal, 3, 10)
        await clock.advance(120)
        await _fill(journal, 1, 1)
        await _settle(journal, lambda: journal.first > 20)
        assert [record.last for record in await journal.read(journal.first - 1)][-1] == 31

    async def test_retention_by_size(self, journals: JournalMaker, clock: ManualClock) -> None:
        """However many events may be kept, what is more than the bytes goes from the oldest on, once it is covered."""
        journal = await journals(Retention(1_000_000, 86_400.0, 200_000), clock)
        await journal.append(batch(4_000))
        await _settle(journal, lambda: True)
        assert journal.first == 1, "nothing covers it"
        await _fill(journal, 50, 100)
        kept: list[Record] = []
        while not kept or sum(len(record.data) for record in kept) > 200_000:
            await asyncio.sleep(0)
            kept = list(await journal.read(journal.first - 1, limit=10_000))
        assert kept[-1].last == 9_000
        assert sum(len(record.data) for record in kept) > 100_000, "no more goes than has to"
        assert await journal.load_state(kept[0].first - 1) is not None, "the oldest kept event can be rebuilt"

    async def test_an_expired_key_may_come_again(self, journals: JournalMaker, clock: ManualClock) -> None:
        """Idempotency lasts as long as history."""
        journal = await journals(Retention(10, 86_400.0), clock)
        await journal.append(batch(1, key="old"))
        await _fill(journal, 40, 5)
        await _settle(journal, lambda: journal.first > 1)
        assert (await journal.append(batch(1, key="old"))).fresh

    async def test_follow_says_when_history_is_gone(self, journals: JournalMaker, clock: ManualClock) -> None:
        """A follower that needs expired events gets an error, never a hole."""
        journal = await journals(Retention(10, 86_400.0), clock)
        await _fill(journal, 40, 5)
        await _settle(journal, lambda: journal.first > 1)
        with pytest.raises(JournalError, match="has expired: the oldest kept event is"):
            await anext(journal.follow(0))

    async def test_close_ends_followers_and_refuses_more(self, journal: Journal) -> None:
        """What was appended is seen, then followers end; a second close does nothing."""
        seen: list[int] = []

        async def follow() -> None:
            async for records in journal.follow(0):
                seen.extend(record.first for record in records)

        follower = asyncio.create_task(follow())
        last = asyncio.create_task(journal.append(batch(1)))
        await asyncio.sleep(0)
        await journal.close()
        await follower
        await last
        assert seen == [1]
        await journal.close()
        with pytest.raises(JournalError, match="closed"):
            await journal.append(batch(1))

    async def test_stats_count(self, journal: Journal) -> None:
        """The counts are those of what happened."""
        await journal.append(batch(7))
        await journal.append(named_entry("status", {}))
        stats = journal.stats()
        assert (stats.first, stats.head, stats.appended, stats.expired) == (1, 8, 8, 0)
        assert stats.batches >= 1
        assert stats.bytes > 0
        assert stats.epoch == journal.epoch


async def _fill(journal: Journal, batches: int, count: int) -> None:
    """Append batches of `count`, each covered by a summary, so that retention may act."""
    for _ in range(batches):
        await journal.append(batch(count))
        await journal.save_state(State(journal.head, b"x"))


async def _settle(journal: Journal, condition: Callable[[], bool]) -> None:
    """Retention may work behind the scenes: append until it has done its part."""
    for _ in range(_MANY_TURNS):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError(f"retention did not act: {journal.stats()}")
