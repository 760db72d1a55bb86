"""Tests of the behaviour that `tickwire.feeds.base.Feed` requires of every feed (a source of ticks).

To test a feed, write a subclass of `FeedContract` in a test module. The name of the subclass begins with `Test`. The
subclass has a fixture `open_feed`, which returns a `FeedOpener`. Pytest then runs the inherited tests.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from tickwire.core.instrument import check_symbol
from tickwire.core.tick import NO_PRICE, TICK_DTYPE, PackedTicks, are_resets
from tickwire.feeds.base import ConnectionState, Feed, FeedBatch, FeedMode
from tickwire.feeds.playback_commands import PlaybackFeed, Seekable
from tickwire.testing.clock import ManualClock

FeedOpener = Callable[[ManualClock], Feed]
"""Opens a new feed. Every call opens the same source.

Each feed sends the same ticks: at least MIN_TICKS, in time order, in several batches. The feed must send these ticks
without an advance of the clock: a local feed runs at speed 0, and a vendor's feed reads recorded messages.
"""

MIN_TICKS = 1_500
_LOOP_TURNS = 50


class FeedContract:
    """The tests that every feed must pass. `is_finite` is True if the source of the feed has an end."""

    is_finite: bool

    @property
    def _max_ticks(self) -> int | None:
        return None if self.is_finite else MIN_TICKS

    @pytest.fixture
    def clock(self) -> ManualClock:
        return ManualClock()

    @pytest.fixture
    def feed(self, open_feed: FeedOpener, clock: ManualClock) -> Feed:
        return open_feed(clock)

    async def test_feed_has_a_name_and_a_mode(self, feed: Feed) -> None:
        assert feed.name
        assert feed.name == feed.name.strip().lower()
        assert feed.mode in get_args(FeedMode)

    async def test_batches_are_packed_ticks(self, feed: Feed) -> None:
        async for batch in _read_batches(feed):
            ticks = batch.ticks
            assert (ticks.dtype, ticks.ndim) == (TICK_DTYPE, 1)
            assert (ticks["ts"] > 0).all()
            for symbol in [*np.unique(ticks["symbol"]).tolist(), *(name.encode() for name in batch.trading_changes)]:
                check_symbol(symbol.decode("ascii"))

    async def test_times_of_a_symbol_do_not_decrease(self, feed: Feed) -> None:
        ticks = _join([batch async for batch in _read_batches(feed)])
        for symbol in np.unique(ticks["symbol"]):
            assert (np.diff(ticks["ts"][ticks["symbol"] == symbol]) >= 0).all()

    async def test_empty_batches_report_a_change(self, feed: Feed) -> None:
        connection = feed.connection
        async for batch in _read_batches(feed, max_ticks=self._max_ticks):
            assert len(batch.ticks) or batch.trading_changes or batch.notice or feed.connection != connection
            connection = feed.connection

    async def test_feed_is_connected_while_ticks_arrive(self, feed: Feed) -> None:
        assert feed.connection.state in (ConnectionState.CONNECTING, ConnectionState.CONNECTED)
        async for batch in _read_batches(feed, max_ticks=self._max_ticks):
            state, reason = feed.connection
            assert (reason is not None) == (state is ConnectionState.DISCONNECTED)
            if len(batch.ticks):
                assert state in (ConnectionState.CONNECTED, ConnectionState.ENDED)

    async def test_a_finite_feed_ends(self, feed: Feed) -> None:
        """A feed whose source has an end is in the state ENDED after its last batch.

        A feed whose source has no end is never in this state.
        """
        async for _ in _read_batches(feed, max_ticks=self._max_ticks):
            pass
        assert (feed.connection.state is ConnectionState.ENDED) == self.is_finite

    async def test_keys_are_unique(self, feed: Feed) -> None:
        """Check that either all batches with ticks have keys, which are unique, or that none of them has a key."""
        keys = [batch.key async for batch in _read_batches(feed) if len(batch.ticks)]
        assert len(keys) > 1
        assert keys == [None] * len(keys) or (None not in keys and len(set(keys)) == len(keys))

    async def test_resuming_after_a_key_neither_repeats_nor_loses_a_tick(
        self, open_feed: FeedOpener, clock: ManualClock
    ) -> None:
        batches = [batch async for batch in _read_batches(open_feed(clock)) if len(batch.ticks)]
        if batches[0].key is None:
            pytest.skip("this feed has no keys")
        seed = random.randrange(2**32)
        print(f"seed {seed}")  # noqa: T201  # pytest shows it with a failure
        for place in random.Random(seed).sample(range(len(batches) - 1), min(4, len(batches) - 1)):
            expected = _join(batches[place + 1 :])
            resumed = _read_batches(open_feed(clock), after=batches[place].key, max_ticks=len(expected))
            assert _join([batch async for batch in resumed])[: len(expected)].tobytes() == expected.tobytes()

    async def test_resuming_after_the_last_key_sends_nothing(self, open_feed: FeedOpener, clock: ManualClock) -> None:
        if not self.is_finite:
            pytest.skip("this feed has no end")
        keys = [batch.key async for batch in _read_batches(open_feed(clock), max_ticks=None) if len(batch.ticks)]
        if keys[-1] is None:
            pytest.skip("this feed has no keys")
        resumed = open_feed(clock)
        assert [len(batch.ticks) async for batch in _read_batches(resumed, after=keys[-1], max_ticks=None)] in ([], [0])
        assert resumed.connection.state is ConnectionState.ENDED

    async def test_cancelling_closes_the_source(self, open_feed: FeedOpener, clock: ManualClock) -> None:
        """After the test has cancelled the task that reads a feed, no task and no open file of the feed remains."""
        tasks, files = asyncio.all_tasks(), _open_file_count()
        for turns in (0, 1, 2, 3, 5, 8, 13, 50):
            async with _BackgroundReader(open_feed(clock)):
                for _ in range(turns):
                    await asyncio.sleep(0)
            await _wait_until(lambda: asyncio.all_tasks() == tasks and _open_file_count() == files)

    async def test_leaving_between_batches_closes_the_source(self, feed: Feed) -> None:
        tasks, files = asyncio.all_tasks(), _open_file_count()
        iteration = feed.batches()
        await anext(iteration)
        await iteration.aclose()  # type: ignore[attr-defined]  # an async generator
        del iteration
        await _wait_until(lambda: asyncio.all_tasks() == tasks and _open_file_count() == files)

    async def test_a_slow_consumer_loses_nothing(self, open_feed: FeedOpener, clock: ManualClock) -> None:
        expected = _join([batch async for batch in _read_batches(open_feed(clock))])
        batches = []
        async for batch in _read_batches(open_feed(clock)):
            batches.append(batch)
            await _run_loop()
        # Compare the ticks instead of the batches, because a feed may divide a vendor's messages into batches in
        # another way.
        assert _join(batches)[:MIN_TICKS].tobytes() == expected[:MIN_TICKS].tobytes()

    async def test_pausing_stops_the_ticks_and_loses_none(self, open_feed: FeedOpener, clock: ManualClock) -> None:
        expected = _join([batch async for batch in _read_batches(open_feed(clock))])
        feed = _playback_feed(open_feed(clock))
        async with _BackgroundReader(feed) as reader:
            await reader.wait_for_ticks(1)
            feed.playback_clock.pause()
            await _run_loop()
            count = len(reader.ticks)
            await clock.advance(60)
            await _run_loop()
            assert len(reader.ticks) == count
            assert feed.connection.state is ConnectionState.CONNECTED
            feed.playback_clock.resume()
            await reader.wait_for_ticks(len(expected))
        assert reader.ticks[: len(expected)].tobytes() == expected.tobytes()

    async def test_a_step_plays_one_moment(self, open_feed: FeedOpener, clock: ManualClock) -> None:
        moments = np.unique(_join([batch async for batch in _read_batches(open_feed(clock))])["ts"])
        feed = _playback_feed(open_feed(clock))
        feed.playback_clock.pause()
        async with _BackgroundReader(feed) as reader:
            for moment in moments[:3]:
                feed.playback_clock.step()
                await reader.wait_for_time(moment)
                await _run_loop()
                assert reader.ticks["ts"].max() == moment

    async def test_a_start_after_a_stop_continues_or_resets_the_market(
        self, open_feed: FeedOpener, clock: ManualClock
    ) -> None:
        feed = _playback_feed(open_feed(clock))
        async with _BackgroundReader(feed) as reader:
            await reader.wait_for_ticks(1)
            feed.playback_clock.stop()
            await _run_loop()
            count = len(reader.ticks)
            feed.playback_clock.start()
            await reader.wait_for_ticks(count + 1)
        before, after = reader.ticks[:count], reader.ticks[count:]
        if are_resets(after):
            assert after["symbol"][after["last"] == NO_PRICE].tolist() == np.unique(before["symbol"]).tolist()
        else:
            assert after["ts"][0] > before["ts"].max()

    async def test_a_seek_stops_at_its_time_while_paused(self, open_feed: FeedOpener, clock: ManualClock) -> None:
        ticks = _join([batch async for batch in _read_batches(open_feed(clock))])
        feed = _playback_feed(open_feed(clock))
        if not isinstance(feed, Seekable):
            pytest.skip("this feed cannot seek")
        target = int(ticks["ts"][len(ticks) // 2])
        feed.playback_clock.pause()
        async with _BackgroundReader(feed) as reader:
            feed.seek(target)
            await reader.wait_for_time(target)
            await _run_loop()
        assert reader.ticks["ts"].max() == target

    async def test_a_seek_backwards_resets_the_market_and_repeats_the_same_ticks(
        self, open_feed: FeedOpener, clock: ManualClock
    ) -> None:
        """The reader receives a reset of each symbol.

        Then the feed repeats the earlier ticks, up to the time of the seek.
        """
        expected = _join([batch async for batch in _read_batches(open_feed(clock))])
        feed = _playback_feed(open_feed(clock))
        if not isinstance(feed, Seekable):
            pytest.skip("this feed cannot seek")
        target = int(expected["ts"][len(expected) // 3])
        async with _BackgroundReader(feed) as reader:
            await reader.wait_for_ticks(len(expected) // 2)
            feed.playback_clock.pause()
            await _run_loop()
            before = reader.ticks
            assert before["ts"].max() > target
            feed.seek(target)
            await _wait_until(lambda: target in reader.ticks["ts"][len(before) :])
            await _run_loop()
            after = reader.ticks[len(before) :]
        symbols = np.unique(before["symbol"])
        assert after["symbol"][: len(symbols)].tolist() == symbols.tolist()
        assert (after["last"][: len(symbols)] == NO_PRICE).all()
        repeated = after[len(symbols) :]
        assert repeated.tobytes() == expected[: len(repeated)].tobytes()
        assert repeated["ts"].max() == target


async def _read_batches(
    feed: Feed, after: str | None = None, max_ticks: int | None = MIN_TICKS
) -> AsyncIterator[FeedBatch]:
    """Yield batches until they contain `max_ticks` ticks or the feed ends.

    If `max_ticks` is None, only the end of the feed ends the iteration.
    """
    count = 0
    async for batch in feed.batches(after):
        yield batch
        count += len(batch.ticks)
        if feed.connection.state is ConnectionState.ENDED or (max_ticks is not None and count >= max_ticks):
            return


def _join(batches: list[FeedBatch]) -> PackedTicks:
    return np.concatenate([np.zeros(0, TICK_DTYPE), *(batch.ticks for batch in batches)])


def _playback_feed(feed: Feed) -> PlaybackFeed:
    if not isinstance(feed, PlaybackFeed):
        pytest.skip("this feed has no playback clock")
    return feed


class _BackgroundReader:
    """Reads a feed in a background task until the `async with` block ends."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._batches: list[FeedBatch] = []

    async def __aenter__(self) -> _BackgroundReader:
        self._task = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    @property
    def ticks(self) -> PackedTicks:
        return _join(self._batches)

    async def wait_for_ticks(self, count: int) -> None:
        await _wait_until(lambda: self._task.done() or len(self.ticks) >= count)

    async def wait_for_time(self, ts: int) -> None:
        await _wait_until(lambda: self._task.done() or ts in self.ticks["ts"])

    async def _read(self) -> None:
        async for batch in self._feed.batches():
            self._batches.append(batch)


async def _wait_until(condition: Callable[[], bool]) -> None:
    """Run the event loop until `condition` returns true. The test's own timeout limits the wait."""
    while not condition():
        await asyncio.sleep(0)


async def _run_loop() -> None:
    """Run the event loop long enough for a running feed to send a batch of ticks."""
    for _ in range(_LOOP_TURNS):
        await asyncio.sleep(0)


def _open_file_count() -> int:
    """Return the number of open file descriptors, or 0 if the operating system does not list open file descriptors."""
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0
