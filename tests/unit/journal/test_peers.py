"""Requests to other processes, over a channel in memory."""

from __future__ import annotations

import asyncio
import contextlib
import itertools

import pytest

from tickwire.errors import InputError, JournalUnavailable
from tickwire.journal.shared.peers import SharedPeers


class MemoryBroker:
    """Passes messages on to the subscribers of an address."""

    def __init__(self):
        self.subscribers = {}
        self.inbox_numbers = itertools.count()
        self.channels = []


class MemoryChannel:
    """A PeerChannel: the connection of one process to a MemoryBroker."""

    server = "the broker in memory"
    limit_setting = "max_message_bytes"
    max_message_bytes = 1_000_000

    def __init__(self, broker):
        self.is_connected = True
        self._broker = broker
        broker.channels.append(self)

    def topic_address(self, topic):
        return f"topic.{topic}"

    def create_inbox(self):
        return f"inbox.{next(self._broker.inbox_numbers)}"

    async def publish(self, address, data, *, reply_to=""):
        if not self.is_connected:
            raise JournalUnavailable("not connected")
        for callback in list(self._broker.subscribers.get(address, ())):
            await callback(data, reply_to)

    async def subscribe(self, address, callback):
        callbacks = self._broker.subscribers.setdefault(address, [])
        callbacks.append(callback)

        async def unsubscribe():
            callbacks.remove(callback)

        return unsubscribe


@contextlib.asynccontextmanager
async def run_peers(broker, *nodes):
    """Run the peers of several processes until they know each other."""
    members = [SharedPeers(MemoryChannel(broker), node) for node in nodes]
    tasks = [asyncio.create_task(each.run()) for each in members]
    try:
        while any(each.count < len(nodes) for each in members):
            await asyncio.sleep(0)
        yield members
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def reply_with(reply):
    async def handler(data):
        return reply

    return handler


async def test_request_all_returns_every_reply():
    async with run_peers(MemoryBroker(), "a", "b", "c") as (a, b, c):
        a.register_handler("topic", reply_with(b"a"))
        b.register_handler("topic", reply_with(b"b"))
        c.register_handler("topic", reply_with(None))
        replies = await a.request_all("topic", b"x")
        assert (sorted(replies.replies), replies.missing_count, replies.silent) == ([b"a", b"b"], 0, {"c"})


async def test_request_all_joins_the_chunks_of_a_large_reply():
    large = bytes(range(256)) * 4096
    async with run_peers(MemoryBroker(), "a", "b") as (a, b):
        b.register_handler("topic", reply_with(large))
        assert (await a.request_all("topic")).replies == [large]


async def test_request_all_raises_the_input_error_of_a_peer():
    async def reject(data):
        raise InputError("no such reader", field="client", hint="list them")

    async with run_peers(MemoryBroker(), "a", "b") as (a, b):
        b.register_handler("topic", reject)
        with pytest.raises(InputError, match="no such reader") as caught:
            await a.request_all("topic")
        assert (caught.value.field, caught.value.hint) == ("client", "list them")


async def test_request_all_returns_no_reply_of_a_failed_handler(caplog):
    async def fail(data):
        raise ValueError("a bug")

    async with run_peers(MemoryBroker(), "a", "b") as (a, b):
        a.register_handler("topic", reply_with(b"a"))
        b.register_handler("topic", fail)
        assert await a.request_all("topic") == ([b"a"], set(), {"b"})
    assert "cannot answer a request of another process (topic: topic)" in caplog.text


async def test_request_all_rejects_a_request_above_the_size_limit():
    async with run_peers(MemoryBroker(), "a", "b") as (a, _):
        with pytest.raises(InputError, match=r"exceeds the message limit of .* \(max_message_bytes is 1000000 bytes\)"):
            await a.request_all("topic", bytes(1_000_001))


async def test_request_all_counts_other_processes_as_missing_without_a_connection():
    broker = MemoryBroker()
    async with run_peers(broker, "a", "b") as (a, b):
        a.register_handler("topic", reply_with(b"a"))
        b.register_handler("topic", reply_with(b"b"))
        broker.channels[0].is_connected = False
        assert await a.request_all("topic") == ([b"a"], {"b"}, set())


async def test_process_that_leaves_is_not_missing():
    broker = MemoryBroker()
    async with run_peers(broker, "a") as (a,):
        async with run_peers(broker, "b"):
            while a.count < 2:
                await asyncio.sleep(0)
        assert a.count == 1
        assert await a.request_all("topic") == ([], set(), set())
