"""The states of a reader: every pair of states, and the transitions of readers that become live, stall or close."""

from __future__ import annotations

import asyncio
from itertools import product

import pytest

from tickwire.core.close_reasons import CloseReason
from tickwire.core.event_id import EventId
from tickwire.hub.catchup.resume import start_after, start_fresh
from tickwire.hub.fanout.reader import Reader
from tickwire.hub.fanout.reader_state import READER_TRANSITIONS, ImpossibleTransition, ReaderState
from tickwire.sessions.subscription import Subscription
from tickwire.testing.hub_harness import HubHarness
from tickwire.testing.manual_sink import ManualSink


async def open_reader(market: HubHarness, subscription: Subscription, *, needs_snapshot: bool = True) -> Reader:
    start = start_fresh(market.hub.journal_range(), needs_snapshot=needs_snapshot)
    return market.open_reader(subscription, start, ManualSink())


@pytest.mark.parametrize(("current", "following"), [*product(ReaderState, ReaderState)])
async def test_a_reader_enters_only_the_states_of_the_table(current: ReaderState, following: ReaderState) -> None:
    market = HubHarness()
    reader = await open_reader(market, Subscription())
    reader.state = current
    if following in READER_TRANSITIONS[current]:
        reader.enter(following)
        assert reader.state is following
    else:
        with pytest.raises(ImpossibleTransition, match=f"from {current.name} to {following.name}"):
            reader.enter(following)
        assert reader.state is current
    reader.state = ReaderState.CATCHING_UP
    await market.close()


async def test_a_new_reader_passes_through_the_snapshot_to_live() -> None:
    market = HubHarness()
    await market.append_trades(("A", 1.0))
    reader = await open_reader(market, Subscription())
    assert (reader.state, reader.needs_snapshot, reader.is_live) == (ReaderState.SNAPSHOT, True, False)
    await market.run_until_idle()
    assert (reader.state, reader.needs_snapshot, reader.is_live) == (ReaderState.LIVE, False, True)
    reader.on_disconnected()
    assert (reader.state, reader.is_live) == (ReaderState.CLOSING, False)
    await market.close()


async def test_a_paced_reader_is_arriving_until_the_flush() -> None:
    market = HubHarness()
    await market.append_trades(("A", 1.0))
    reader = await open_reader(market, Subscription(interval=1_000))
    assert reader.state is ReaderState.SNAPSHOT
    await market.run_until_idle()
    assert (reader.state, reader.is_live) == (ReaderState.ARRIVING, True)
    market.flush_paced_channels()
    assert reader.state is ReaderState.LIVE
    await market.close()


@pytest.mark.parametrize("interval", [0, 1_000])
async def test_a_full_sink_returns_the_reader_to_catch_up(interval: int) -> None:
    market = HubHarness()
    await market.append_trades(("A", 1.0))
    sink = ManualSink()
    start = start_fresh(market.hub.journal_range(), needs_snapshot=False)
    reader = market.open_reader(Subscription(interval=interval), start, sink)
    await market.run_until_idle()
    sink.mark_full()
    assert reader.state is ReaderState.CATCHING_UP
    sink.drain()
    await market.run_until_idle()
    assert reader.is_live
    await market.close()


async def test_a_reader_that_closes_while_the_journal_is_read_gets_nothing_after_its_bye(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`bye` is the last event of a stream, and a reader that is closing does not join its channel."""
    market = HubHarness(recent_events=1)
    for price in range(50):
        await market.append_named_event("status", {"n": price})
        await market.append_trades(("A", float(price)))
    is_reading, may_answer = asyncio.Event(), asyncio.Event()
    read = market.journal.read

    async def read_slowly(*args: object, **kwargs: object) -> object:
        is_reading.set()
        await may_answer.wait()
        return await read(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(market.journal, "read", read_slowly)
    sink = ManualSink()
    subscription = Subscription(events=["quote", "status"])
    start = start_after(market.hub.journal_range(), EventId(market.journal.epoch, 2), subscription)
    reader = market.open_reader(subscription, start, sink)
    await is_reading.wait()
    market.hub.reader_admin.dismiss_all(CloseReason.DRAIN, lambda: 1_000)
    may_answer.set()
    await market.run_until_idle()
    assert sink.written_bytes.startswith(b"retry: 1000\nevent: bye\n")
    assert sink.written_bytes.count(b"data: ") == 1
    assert reader.state is ReaderState.CLOSING
    assert market.hub.stats().readers == 0
    await market.close()
