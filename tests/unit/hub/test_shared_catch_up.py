"""Readers of one channel that catch up from equal positions share cached batches. Each reader receives every event."""

from __future__ import annotations

import random

import pytest

from tickwire.core.event_id import EventId
from tickwire.hub.catchup import catch_up, step_queue
from tickwire.hub.catchup.resume import start_after
from tickwire.hub.fanout.reader import Reader
from tickwire.sessions.subscription import Subscription
from tickwire.testing.hub_harness import HubHarness
from tickwire.testing.manual_sink import ManualSink
from tickwire.testing.marks import short_and_long

SUBSCRIPTION = Subscription(events=["quote", "message"])


def open_reader_after(market: HubHarness, position: int, sink: ManualSink) -> Reader:
    history = market.hub.journal_range()
    start = start_after(history, EventId(history.epoch, position), SUBSCRIPTION)
    return market.open_reader(SUBSCRIPTION, start, sink)


async def test_a_reader_receives_the_messages_after_a_cached_batch() -> None:
    """The second reader caches a batch that ends at event 3, because the change plan of the first reader ends there."""
    market = HubHarness()
    await market.append_trades(("A", 1.0), ("B", 1.0))
    await market.append_named_event("note", {"number": 3}, kind="message")
    sinks = [ManualSink() for _ in range(3)]
    open_reader_after(market, 1, sinks[0])
    await market.run_until_idle()
    await market.append_named_event("note", {"number": 4}, kind="message")
    for sink in sinks[1:]:
        open_reader_after(market, 1, sink)
        await market.run_until_idle()
    for sink in sinks:
        assert [number for number, _, _ in sink.events()] == [2, 3, 4]
    await market.close()


@short_and_long("histories", 20, 1_000)
async def test_readers_that_share_batches_receive_each_message_once(
    histories: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(histories):
        seed = random.randrange(2**32)
        print(f"seed {seed}")
        rng = random.Random(seed)
        monkeypatch.setattr(catch_up, "_MAX_BATCH_EVENTS", rng.choice([2, 3, 64]))
        monkeypatch.setattr(catch_up, "_MAX_BATCH_EVENTS_AFTER_STALL", rng.choice([1, 2, 64]))
        monkeypatch.setattr(step_queue, "_MAX_TURN_S", rng.choice([0.0, 1e9]))
        await _check_shared_history(rng)


async def _check_shared_history(rng: random.Random) -> None:
    market = HubHarness()
    sinks = list[tuple[int, ManualSink]]()
    for _ in range(rng.randint(3, 8)):
        for _ in range(rng.randint(1, 6)):
            if rng.random() < 0.5:
                await market.append_trades(*[(rng.choice("ABCD"), 1.0) for _ in range(rng.randint(1, 3))])
            else:
                await market.append_named_event("note", {}, kind="message")
        position = rng.randint(0, market.hub.head.sequence)
        for _ in range(rng.randint(1, 4)):
            sink = ManualSink()
            sink.writes_left = rng.choice([None, None, 1, 2])
            sinks.append((position, sink))
            open_reader_after(market, position, sink)
            if rng.random() < 0.7:
                await market.run_until_idle()
    for _, sink in sinks:
        sink.drain()
    await market.run_until_idle()
    messages = [number for number, _ in market.published_messages]
    newest = {symbol: number for number, symbol, _ in market.published_trades}
    for position, sink in sinks:
        events = sink.events()
        numbers = [number or 0 for number, _, _ in events]
        assert numbers == sorted({*numbers})
        assert [number for number, name, _ in events if name == "note"] == [
            number for number in messages if number > position
        ]
        received = {data["symbol"]: number for number, name, data in events if name == "quote"}
        assert received == {symbol: number for symbol, number in newest.items() if number > position}
    await market.close()
