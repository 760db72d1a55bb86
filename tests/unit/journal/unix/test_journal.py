"""A process that follows the owner of a journal: takeover by another owner, and faults of the owner."""

from __future__ import annotations

import asyncio
import contextlib
import os

import pytest

from tickwire.clock import SystemClock
from tickwire.core.event import named_entry
from tickwire.errors import JournalBusy, JournalEntryRejected, JournalError, JournalUnavailable
from tickwire.journal.base import Retention
from tickwire.journal.memory import MemoryJournal
from tickwire.journal.sqlite.journal import SQLiteJournal
from tickwire.journal.unix import journal as journal_module
from tickwire.journal.unix import owner as owner_module
from tickwire.journal.unix import owner_connection as owner_connection_module
from tickwire.journal.unix.open import follow_journal, share_journal, wait_for_lock
from tickwire.journal.unix.socket_file import socket_path
from tickwire.testing.journal_contract import collect_records, sample_entry
from tickwire.testing.waiting import wait_until


@pytest.fixture
def path(tmp_path):
    return tmp_path / "x.journal"


@contextlib.asynccontextmanager
async def owning(path):
    """Open the journal as its owner. At the end, the owner disappears as if it was killed."""
    journal = await SQLiteJournal.open(path, Retention(), SystemClock())
    try:
        async with share_journal(journal, socket_path(path)):
            yield journal
    finally:
        await journal.close()


def following(path):
    return follow_journal(socket_path(path), print)


async def test_a_follower_continues_with_the_next_owner(path):
    """The tail has no gap, and an append waits while there is no owner."""
    async with contextlib.AsyncExitStack() as stack:
        async with owning(path):
            one, _ = await stack.enter_async_context(following(path))
            two, _ = await stack.enter_async_context(following(path))
            await one.append(sample_entry(3))
        await wait_until(lambda: not one.connection.is_connected)
        assert "cannot be reached" in one.unavailable_reason()
        waiting = asyncio.create_task(two.append(sample_entry(2)))
        reading = asyncio.create_task(one.last_key("feed"))
        async with owning(path) as journal:
            assert await waiting == (4, 5, True)
            assert await reading is None
            for each in (one, two):
                assert [record.first for record in await collect_records(each, 0, 5)] == [1, 4]
                assert each.unavailable_reason() is None
            assert journal.head == 5


async def test_appends_that_wait_for_the_owner_keep_their_order(path):
    """An append that begins when the next owner has answered does not overtake an append that waits for it."""
    async with contextlib.AsyncExitStack() as stack:
        async with owning(path):
            journal, _ = await stack.enter_async_context(following(path))
        await wait_until(lambda: not journal.connection.is_connected)

        async def append_when_connected():
            # This task runs in each turn of the event loop, and so before a task that the connection wakes.
            await wait_until(lambda: journal.connection.is_connected, poll_interval_s=0)
            return await journal.append(sample_entry(2))

        appends = asyncio.create_task(journal.append(sample_entry(1))), asyncio.create_task(append_when_connected())
        async with owning(path):
            assert await asyncio.gather(*appends) == [(1, 1, True), (2, 3, True)]


async def test_an_append_without_an_owner_fails_after_a_time(path, monkeypatch):
    monkeypatch.setattr(journal_module, "_REQUEST_TIMEOUT_S", 0.05)
    async with contextlib.AsyncExitStack() as stack:
        async with owning(path):
            journal, _ = await stack.enter_async_context(following(path))
        await wait_until(lambda: not journal.connection.is_connected)
        with pytest.raises(JournalUnavailable, match=r"x.journal-socket\) cannot be reached \(waited for 0.05 s\)"):
            await journal.append(sample_entry(1))


class SlowJournal(MemoryJournal):
    """A journal that stores entries, but whose appends do not return."""

    async def append(self, entry):
        span = await super().append(entry)
        if entry.source == "slow":
            await asyncio.get_running_loop().create_future()
        return span


@contextlib.asynccontextmanager
async def owning_until_killed(journal, path):
    """Share `journal`. At the end, close all connections without answers, as a killed process does."""
    async with share_journal(journal, socket_path(path)):
        yield
        for task in asyncio.all_tasks():
            if "_answer" in str(task.get_coro()):
                task.cancel()


async def test_an_append_with_a_key_is_repeated_at_the_next_owner(path):
    """The entry is stored once.

    For an entry without a key, the append fails, and the caller decides whether to repeat it.
    """
    stored = SlowJournal(Retention(), SystemClock())
    async with contextlib.AsyncExitStack() as stack:
        async with owning_until_killed(stored, path):
            journal, _ = await stack.enter_async_context(following(path))
            with_key = asyncio.create_task(journal.append(sample_entry(1, source="slow", key="k")))
            without_key = asyncio.create_task(journal.append(sample_entry(1, source="slow")))
            await wait_until(lambda: stored.head == 2)
            stored.append = lambda entry: MemoryJournal.append(stored, entry)
        async with owning_until_killed(stored, path):
            assert await with_key == (1, 1, True)
            with pytest.raises(JournalUnavailable, match="ended before it answered"):
                await without_key
            assert stored.head == 2
            assert await journal.append(sample_entry(1, source="slow", key="k")) == (1, 1, False)


async def test_an_append_that_is_sent_again_comes_before_later_appends(path):
    """The later appends already wait for the next owner when the earlier ones learn that their owner has ended."""
    stored = MemoryJournal(Retention(), SystemClock())
    async with contextlib.AsyncExitStack() as stack:
        async with owning_until_killed(stored, path):
            journal, _ = await stack.enter_async_context(following(path))
            received = []

            async def append_never(entry):
                received.append(entry)
                await asyncio.get_running_loop().create_future()

            stored.append = append_never
            keyed = [asyncio.create_task(journal.append(sample_entry(1, key=f"{number}"))) for number in range(3)]
            await wait_until(lambda: len(received) == 3)
            later, on_lost = [], journal.connection._on_lost

            def append_then_lose():
                # The tasks of the later appends run before the tasks of the earlier ones wake.
                later.extend(asyncio.create_task(journal.append(sample_entry(2))) for _ in range(3))
                asyncio.get_running_loop().call_soon(on_lost)
                journal.connection._connected.clear()

            append_then_lose()
            await asyncio.sleep(0)
        stored.append = lambda entry: MemoryJournal.append(stored, entry)
        async with owning_until_killed(stored, path):
            spans = await asyncio.gather(*keyed, *later)
    assert [span.first for span in spans] == [1, 2, 3, 4, 6, 8]


async def test_a_follower_fails_after_a_new_epoch(path):
    """The follower's board contains events of another history, so its process must be restarted."""
    async with contextlib.AsyncExitStack() as stack:
        async with share_journal(MemoryJournal(Retention(), SystemClock()), socket_path(path)):
            journal, _ = await stack.enter_async_context(following(path))
        following_task = asyncio.ensure_future(anext(journal.follow(0)))
        async with share_journal(MemoryJournal(Retention(), SystemClock()), socket_path(path)):
            with pytest.raises(JournalError, match="now has the epoch"):
                await following_task
            with pytest.raises(JournalError, match="must be restarted"):
                await journal.append(sample_entry(1))
            assert "now has the epoch" in journal.unavailable_reason()


async def test_a_silent_owner_is_a_fault(path, monkeypatch):
    """A suspended owner keeps its lock and its connections, so followers detect the fault by the owner's silence."""
    async with owning(path), following(path) as (journal, _):
        monkeypatch.setattr(owner_module, "STATE_INTERVAL_S", 1_000)
        monkeypatch.setattr(owner_connection_module, "_SILENCE_TIMEOUT_S", 0.02)
        await wait_until(lambda: "has not answered for 0.02 s" in (journal.unavailable_reason() or ""))
        assert await journal.append(sample_entry(1)) == (1, 1, True)


async def test_errors_of_the_owner_reach_the_follower(path):
    async with owning(path), following(path) as (journal, _):
        with pytest.raises(JournalEntryRejected, match="invalid journal entry"):
            await journal.append(named_entry("note", 1)._replace(data=b"x"))
        assert journal.unavailable_reason() is None


async def test_a_second_owner_waits_for_the_lock(path):
    reasons = []

    async def open_once():
        return await SQLiteJournal.open(path, Retention(), SystemClock())

    async with owning(path):
        waiting = asyncio.create_task(wait_for_lock(open_once, reasons.append))
        await wait_until(lambda: reasons)
        with pytest.raises(JournalBusy):
            await open_once()
        assert not waiting.done()
    await (await waiting).close()
    owner = f"process {os.getpid()} is the owner of the journal"
    assert reasons == [f"{owner}: this process takes over when that process ends"]


async def test_requests_reach_all_processes(path):
    """A process that has ended does not count as missing in the replies."""
    async with (
        share_journal(MemoryJournal(Retention(), SystemClock()), socket_path(path)) as owner,
        following(path) as (_, first),
        contextlib.AsyncExitStack() as stack,
    ):
        _, second = await stack.enter_async_context(following(path))
        clusters = (owner, first, second)
        for number, cluster in enumerate(clusters):
            cluster.peers.register_handler("name", reply_with(str(number).encode()))
        await wait_until(lambda: all(cluster.peers.count == 3 for cluster in clusters))
        for cluster in clusters:
            assert sorted((await cluster.peers.request_all("name")).replies) == [b"0", b"1", b"2"]
        await stack.aclose()
        await wait_until(lambda: first.peers.count == 2)
        assert await first.peers.request_all("name") == ([b"1", b"0"], set(), set())


def reply_with(data):
    async def handle(_data):
        return data

    return handle
