"""Isolation: failures of one reader, one event or one channel do not affect other readers."""

from __future__ import annotations

import pytest

from tickwire.core.close_reasons import CloseReason
from tickwire.core.event import named_entry, ticks_entry
from tickwire.core.event_kinds import ADMIN_EVENT_KIND
from tickwire.core.tick import Tick, pack_ticks
from tickwire.hub.catchup.resume import start_fresh
from tickwire.sessions.subscription import Subscription
from tickwire.testing.hub_harness import HubHarness
from tickwire.testing.manual_sink import ManualSink

SCREEN_EVENTS = ("quote", "screen")


@pytest.mark.parametrize("interval", [0, 100])
async def test_a_projection_to_the_symbol_has_screen_events(interval: int) -> None:
    market = HubHarness()
    await market.append_trades(("A", 1.0))
    sink = ManualSink()
    subscription = Subscription(events=SCREEN_EVENTS, filter="last > 5", fields=["symbol"], interval=interval)
    market.open_reader(subscription, start_fresh(market.hub.journal_range(), needs_snapshot=True), sink)
    await market.run_until_idle()
    market.flush_paced_channels()
    sink.clear()
    for last in (9.0, 1.0):
        await market.append_trades(("A", last))
        market.flush_paced_channels()
    received = [(name, data["symbol"]) for _, name, data in sink.events()]
    assert received == [("enter", "A"), ("quote", "A"), ("leave", "A")]
    await market.close()


async def test_a_heartbeat_may_fill_the_sinks_of_joining_readers() -> None:
    """The hub writes the heartbeat to each reader in the set of joining readers. Meanwhile, readers leave the set."""
    market = HubHarness()
    await market.append_trades(("A", 1.0))
    sinks = [ManualSink() for _ in range(3)]
    for sink in sinks:
        market.open_reader(
            Subscription(interval=60_000), start_fresh(market.hub.journal_range(), needs_snapshot=True), sink
        )
    await market.run_until_idle()
    market.hub.write_heartbeats(100.0, 1, max_silence_s=15.0)
    for sink in sinks:
        sink.clear()
        sink.writes_left = 1
    market.hub.write_heartbeats(200.0, 2, max_silence_s=15.0)
    assert all(sink.written_bytes.startswith(b": hb 2 ") for sink in sinks)
    await market.close()


@pytest.mark.parametrize("interval", [0, 60_000])
async def test_a_sink_that_raises_ends_its_stream(interval: int) -> None:
    """No bytes may follow lost bytes, so the stream ends. The client resumes after its last event before the loss."""
    market = HubHarness()
    await market.append_trades(("A", 1.0))
    sinks = [ManualSink(), ManualSink()]
    readers = [
        market.open_reader(
            Subscription(interval=interval), start_fresh(market.hub.journal_range(), needs_snapshot=True), sink
        )
        for sink in sinks
    ]
    await market.run_until_idle()
    market.hub.write_heartbeats(100.0, 1, max_silence_s=15.0)
    for sink in sinks:
        sink.clear()

    def fail(_: bytes) -> None:
        raise RuntimeError("the handler is closed")

    # Let the reader join again, because the channel stores the earlier write call of each live reader.
    market.hub.roster.channels[readers[0]].leave(readers[0])
    sinks[0].write = fail
    market.hub.roster.channels[readers[0]].join(readers[0])
    market.hub.write_heartbeats(200.0, 2, max_silence_s=15.0)
    assert readers[0].close_reason == "lost"
    assert sinks[1].written_bytes.startswith(b": hb 2 ")
    await market.close()


async def test_a_message_to_a_user_reaches_a_stream_whose_sink_it_fills() -> None:
    """Before the message, a flush writes to all readers of the channel, and may fill the sink of the second reader."""
    market = HubHarness()
    await market.append_trades(("A", 1.0))
    sinks = [ManualSink(), ManualSink()]
    for number, sink in enumerate(sinks):
        subscription = Subscription(["A"], events=["quote", "message"])
        market.open_reader(
            subscription, start_fresh(market.hub.journal_range(), needs_snapshot=True), sink, f"c{number}", "ann"
        )
    await market.run_until_idle()
    for sink in sinks:
        sink.clear()
    sinks[1].writes_left = 1
    await market.journal.append(ticks_entry(pack_ticks([Tick(symbol="A", ts=1, last=2.0)], now=0)))
    await market.journal.append(named_entry("note", {}, kind="message", target="user:ann"))
    market.hub.apply(await market.journal.read(market.hub.head.sequence), 0.0)
    await market.run_until_idle()
    sinks[1].drain()
    await market.run_until_idle()
    assert [[name for _, name, _ in sink.events()] for sink in sinks] == [["quote", "note"]] * 2
    await market.close()


@pytest.mark.parametrize("interval", [0, 100])
async def test_a_channel_that_cannot_be_rendered_disconnects_its_own_readers_only(interval: int) -> None:
    """The readers of the channel receive a `bye` with the reason `error`."""
    market = HubHarness()
    await market.append_trades(("A", 1.0))
    sinks = [ManualSink(), ManualSink()]
    broken, other = (
        market.open_reader(
            Subscription(events=SCREEN_EVENTS, filter=f"last > {threshold}", interval=interval),
            start_fresh(market.hub.journal_range(), needs_snapshot=True),
            sink,
        )
        for threshold, sink in zip((5, 6), sinks, strict=True)
    )
    await market.run_until_idle()
    market.flush_paced_channels()
    for sink in sinks:
        sink.clear()
    # Simulate a defect of the hub.
    market.hub.roster.channels[broken].filter_json = None  # type: ignore[assignment]
    await market.append_trades(("A", 9.0))
    market.flush_paced_channels()
    assert sinks[0].written_bytes.startswith(b"retry: ")
    assert b'event: bye\ndata: {"reason":"error",' in sinks[0].written_bytes
    assert [name for _, name, _ in sinks[1].events()] == ["enter", "quote"]
    assert other.is_live
    assert market.hub.head.sequence == 2
    await market.close()
    assert market.hub.stats().streams_closed["error"] == 1


async def test_an_unknown_admin_event_is_skipped() -> None:
    """An unknown event must not end the server, because the journal would deliver it again after each restart."""
    market = HubHarness()
    sink = ManualSink()
    market.open_reader(Subscription(), start_fresh(market.hub.journal_range(), needs_snapshot=True), sink)
    await market.run_until_idle()
    await market.append_named_event("another-version", {}, kind=ADMIN_EVENT_KIND)
    await market.append_trades(("A", 1.0))
    assert market.hub.head.sequence == 2
    assert [name for _, name, _ in sink.events()] == ["quote"]
    await market.close()


async def test_a_reader_that_opens_during_a_drain_receives_a_bye() -> None:
    """The request passed admission before the drain began."""
    market = HubHarness()
    market.hub.reader_admin.dismiss_all(CloseReason.DRAIN, lambda: 1234)
    sink = ManualSink()
    market.open_reader(Subscription(), start_fresh(market.hub.journal_range(), needs_snapshot=True), sink)
    await market.run_until_idle()
    assert b'data: {"reason":"drain","reconnect_in_ms":1234}' in sink.written_bytes
    assert not market.hub.roster
    await market.close()
