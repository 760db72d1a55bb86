"""The stream contains invalid messages: no process ends, readers receive a gap, and a restarted process continues."""

from __future__ import annotations

import contextlib
import re

import httpx2
import msgspec
import numpy as np

from tickwire.core.candle import CANDLE_DTYPE
from tickwire.core.codec import encode_json
from tickwire.core.event import NamedEvent, candles_entry
from tickwire.journal.codecs.commit import Commit, CommitItem, encode_packed, item_from_entry
from tickwire.journal.nats.address import parse_nats_address
from tickwire.journal.nats.connection import NatsConnection
from tickwire.testing.journal_contract import sample_entry
from tickwire.testing.server import run_server
from tickwire.testing.waiting import wait_until
from tickwire.testing.wire import open_stream

NOW = 1_767_366_000_000_000_000


def commit(first, *items):
    return encode_packed(Commit(first, "stranger", [*items]))


def named(name, data, kind=None):
    event = NamedEvent(name=name, data=msgspec.Raw(data), kind=kind)
    return CommitItem(2, 1, NOW, encode_json(event))


def candle_of_an_unknown_symbol():
    packed = np.zeros(1, CANDLE_DTYPE)
    packed["symbol"], packed["interval"] = b"NOPE", 60
    return item_from_entry(candles_entry(packed), NOW)


MESSAGES = [
    lambda _: b"",
    lambda _: b"\x94\xaatickwire.1\xff\xff",
    lambda _: b"{",
    lambda first: commit(first + 99, item_from_entry(sample_entry(1), NOW)),
    commit,
    lambda first: commit(first, CommitItem(1, 50, NOW, sample_entry(1).data)),
    lambda first: commit(first, named("status", b"[]")),
    lambda first: commit(first, named("a\nid: 5-5", b"1", "message")),
    lambda first: commit(first, candle_of_an_unknown_symbol()),
]


async def post_price(server, price):
    async with httpx2.AsyncClient(base_url=server.url) as client:
        answer = await client.post("/v1/quotes", json=[{"symbol": "A", "last": price, "size": 1}])
        assert answer.status_code == 201, answer.text
        return answer.json()["last_id"]


async def test_unreadable_messages_cause_gaps_and_end_no_process(nats, name):
    """The feed, an edge and a restarted edge assign the same event numbers.

    Each reader receives one gap event for each unreadable message.
    """
    journal = f"{nats.url}/{name}"
    connection = await NatsConnection.open(parse_nats_address(journal, name))
    async with contextlib.AsyncExitStack() as stack:
        feed = await stack.enter_async_context(run_server(journal=journal))
        edge = await stack.enter_async_context(run_server(journal=journal, role="edge"))
        await wait_until(lambda: feed.runtime.leadership.runs_feed)
        first_id = await post_price(edge, 1)
        streams = [
            await stack.enter_async_context(open_stream(server.url, query))
            for server in (feed, edge)
            for query in (
                {"delivery": "all", "events": "quote,candle,status,message", "candles": "1m"},
                {"delivery": "latest"},
                {"delivery": "latest", "interval": "100ms"},
            )
        ]
        for stream in streams:
            await stream.next_events(1, name="quote")
        for make in MESSAGES:
            head = feed.runtime.journal.head
            await connection.publish_to_stream(f"{name}.e", make(head + 1))
            await wait_until(lambda head=head: feed.runtime.journal.head == head + 1)
        last_id = await post_price(edge, 2)
        assert int(last_id.split("-")[1]) > int(first_id.split("-")[1]) + len(MESSAGES)
        restarted = await stack.enter_async_context(run_server(journal=journal, role="edge"))
        assert restarted.runtime.hub.head.sequence >= int(last_id.split("-")[1])
        await post_price(restarted, 3)
        for stream in streams:
            gaps = await stream.next_events(len(MESSAGES), name="gap")
            assert {gap.data["reason"] for gap in gaps} == {"unreadable"}
            assert len({gap.data["to"] for gap in gaps}) == len(MESSAGES)
        resumed = {
            delivery: await stack.enter_async_context(
                open_stream(restarted.url, {"delivery": delivery}, headers={"Last-Event-ID": first_id})
            )
            for delivery in ("all", "latest")
        }
        assert len(await resumed["all"].next_events(len(MESSAGES), name="gap")) == len(MESSAGES)
        assert [quote.data["last"] for quote in await resumed["all"].next_events(2, name="quote")] == [2, 3]
        (gap,) = await resumed["latest"].next_events(1, name="gap")
        assert gap.data["reason"] == "unreadable"
        assert [quote.data["last"] for quote in await resumed["latest"].next_events(1, name="quote")] == [3]
        async with httpx2.AsyncClient() as client:
            for server in (feed, edge, restarted):
                metrics = (await client.get(f"{server.url}/metrics")).text
                (count,) = re.findall(r"^tickwire_unreadable_events_total (\d+)", metrics, re.MULTILINE)
                assert int(count) == len(MESSAGES)
                assert (await client.get(f"{server.url}/readyz")).status_code == 200
    await connection.close()
