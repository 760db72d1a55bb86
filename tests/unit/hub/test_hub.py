"""The events that the hub sends to readers, in fixed cases. test_random_histories.py has random cases."""

from __future__ import annotations

import pytest

from tickwire.core.close_reasons import CloseReason
from tickwire.core.event_id import EventId
from tickwire.hub.catchup import event_window
from tickwire.hub.catchup.resume import start_after, start_fresh
from tickwire.sessions.admin_events import SubscriptionChanged
from tickwire.sessions.subscription import Heartbeats, Subscription
from tickwire.testing.hub_harness import HubHarness
from tickwire.testing.manual_sink import ManualSink


async def test_a_new_reader_receives_a_snapshot_and_then_changes() -> None:
    """The quotes of the snapshot are in the order of their ids."""
    market = HubHarness()
    await market.append_trades(("A", 1.0), ("B", 1.0), ("A", 2.0))
    sink = ManualSink()
    market.open_reader(Subscription(["A", "B"]), start_fresh(market.hub.journal_range(), needs_snapshot=True), sink)
    await market.run_until_idle()
    await market.append_trades(("C", 9.0), ("B", 2.0))
    assert [(number, data["symbol"], data["last"]) for number, _, data in sink.events()] == [
        (2, "B", 1.0), (3, "A", 2.0), (5, "B", 2.0),
    ]  # fmt: skip
    await market.close()


async def test_a_reader_without_a_snapshot_receives_live_events_only() -> None:
    market = HubHarness()
    await market.append_trades(("A", 1.0))
    sink = ManualSink()
    market.open_reader(Subscription(), start_fresh(market.hub.journal_range(), needs_snapshot=False), sink)
    await market.run_until_idle()
    await market.append_trades(("A", 2.0))
    assert [data["last"] for _, _, data in sink.events()] == [2.0]
    await market.close()


async def test_an_unknown_symbol_starts_with_its_first_trade() -> None:
    """The subscription may contain the symbol, or a pattern that matches it."""
    market = HubHarness()
    sinks = [ManualSink(), ManualSink()]
    market.open_reader(Subscription(["NEW"]), start_fresh(market.hub.journal_range(), needs_snapshot=True), sinks[0])
    market.open_reader(Subscription(["N*"]), start_fresh(market.hub.journal_range(), needs_snapshot=True), sinks[1])
    await market.run_until_idle()
    await market.append_trades(("OLD", 1.0), ("NEW", 1.0))
    assert [data["symbol"] for _, _, data in sinks[0].events()] == ["NEW"]
    assert sinks[0].written_bytes == sinks[1].written_bytes
    await market.close()


async def test_equal_subscriptions_share_a_channel_until_the_last_reader_leaves() -> None:
    market = HubHarness()
    await market.append_trades(("A", 1.0))
    readers = [
        market.open_reader(
            Subscription(names), start_fresh(market.hub.journal_range(), needs_snapshot=True), ManualSink()
        )
        for names in (["A", "B"], ["B", "A", "A"], ["Z*"], ["*"])
    ]
    await market.run_until_idle()
    assert market.hub.stats().channels == 3
    assert market.hub.stats().live_readers == 4
    for reader in readers:
        reader.on_disconnected()
    await market.run_until_idle()
    stats = market.hub.stats()
    assert (stats.readers, stats.channels, stats.streams_closed) == (0, 0, {"lost": 4})
    assert market.hub._router.quote_tables == {}
    assert market.hub._router._channels_by_unseen_symbol == {}
    await market.append_trades(("A", 2.0), ("ZZ", 1.0))
    await market.close()


async def test_a_resume_after_an_expired_id_sends_a_gap_and_the_state() -> None:
    """With `delivery=all`, the reader receives a gap, the current state, and then live events."""
    market = HubHarness(recent_events=4, retained_events=1_000)
    for start in range(0, 3_000, 20):
        await market.append_trades(*(("A", float(price)) for price in range(start, start + 20)))
        if start % 100 == 0:
            await market.save_snapshot()
    history = market.hub.journal_range()
    assert history.first > 1
    sink = ManualSink()
    start = start_after(history, EventId(history.epoch, 5), Subscription(delivery="all"))
    market.open_reader(Subscription(delivery="all"), start, sink)
    await market.run_until_idle()
    await market.append_trades(("A", -1.0))
    (none, name, gap), *rest = sink.events()
    assert (none, name, gap["reason"]) == (None, "gap", "expired")
    assert gap["from"] == f"{history.epoch}-5"
    assert [(number, data["last"]) for number, _, data in rest] == [(3_000, 2999.0), (3_001, -1.0)]
    assert market.hub.stats().gaps == 1
    await market.close()


async def test_a_slow_reader_receives_a_gap_when_its_history_expires() -> None:
    market = HubHarness(recent_events=4, retained_events=1_000)
    await market.append_trades(("A", 0.0))
    sink = ManualSink()
    market.open_reader(Subscription(delivery="all"), start_fresh(market.hub.journal_range(), needs_snapshot=True), sink)
    await market.run_until_idle()
    sink.mark_full()
    for start in range(1, 3_001, 20):
        await market.append_trades(*(("A", float(price)) for price in range(start, start + 20)))
        if start % 100 == 1:
            await market.save_snapshot()
    sink.drain()
    await market.run_until_idle()
    names = [name for _, name, _ in sink.events()]
    assert names == ["quote", "gap", "quote"]
    assert sink.events()[-1][0] == 3_001
    await market.close()


async def test_an_id_of_another_epoch_is_a_gap_with_its_own_reason() -> None:
    """An id that is not assigned yet counts as an id of another epoch."""
    market = HubHarness()
    await market.append_trades(("A", 1.0))
    history = market.hub.journal_range()
    for requested in (EventId("other", 1), EventId(history.epoch, 99)):
        for delivery in ("latest", "all"):
            start = start_after(history, requested, Subscription(delivery=delivery))
            assert start.gap is not None
            assert (start.gap.reason, start.snapshot, start.resume.complete) == ("epoch", True, False)
    await market.close()


async def test_subscribers_receive_every_named_event() -> None:
    """With `delivery=latest`, a returning reader receives every status that it missed, in the order of ids."""
    market = HubHarness(recent_events=10)
    await market.append_trades(("A", 1.0))
    first = await market.append_named_event("status", {"state": "running"})
    for price in range(50):
        await market.append_trades(("A", float(price)))
    second = await market.append_named_event("status", {"state": "stale"})
    await market.append_trades(("A", 60.0))
    sinks = [ManualSink(), ManualSink(), ManualSink()]
    history = market.hub.journal_range()
    both = Subscription(events=["quote", "status"])
    market.open_reader(both, start_after(history, EventId(history.epoch, 1), Subscription(delivery="latest")), sinks[0])
    market.open_reader(both, start_fresh(history, needs_snapshot=True), sinks[1])
    market.open_reader(Subscription(), start_fresh(history, needs_snapshot=True), sinks[2])
    await market.run_until_idle()
    third = await market.append_named_event("status", {"state": "running"})
    head = market.hub.head.sequence
    assert [number for number, _, _ in sinks[0].events()] == [first, second, head - 1, third]
    assert [number for number, _, _ in sinks[1].events()] == [second, head - 1, third]
    assert [number for number, _, _ in sinks[2].events()] == [head - 1]
    await market.close()


async def test_a_drain_sends_each_reader_a_bye_and_ends_its_stream() -> None:
    market = HubHarness()
    sink = ManualSink()
    reader = market.open_reader(Subscription(), start_fresh(market.hub.journal_range(), needs_snapshot=True), sink)
    await market.run_until_idle()
    market.hub.reader_admin.dismiss_all(CloseReason.DRAIN, lambda: 1234)
    await market.run_until_idle()
    assert reader.close_reason == "drain"
    assert sink.written_bytes.startswith(b"retry: 1234\n")
    assert b'event: bye\ndata: {"reason":"drain","reconnect_in_ms":1234}' in sink.written_bytes
    await market.close()


async def test_only_silent_channels_receive_heartbeats() -> None:
    market = HubHarness()
    sink = ManualSink()
    market.open_reader(Subscription(["A"]), start_fresh(market.hub.journal_range(), needs_snapshot=True), sink)
    await market.run_until_idle()
    market.hub.write_heartbeats(1005.0, 76, max_silence_s=15.0)
    market.hub.write_heartbeats(1010.0, 76, max_silence_s=15.0)
    assert sink.written_bytes == b""
    market.hub.write_heartbeats(1020.0, 77, max_silence_s=15.0)
    market.hub.write_heartbeats(1030.0, 78, max_silence_s=15.0)
    assert sink.written_bytes == f": hb 77 {market.journal.epoch}-0\n\n".encode()
    await market.close()


async def test_each_reader_receives_heartbeats_in_its_form() -> None:
    market = HubHarness()
    sinks = {form: ManualSink() for form in Heartbeats}
    for form, sink in sinks.items():
        start = start_fresh(market.hub.journal_range(), needs_snapshot=True)
        market.open_reader(Subscription(["A"], heartbeats=form), start, sink, form)
    await market.run_until_idle()
    market.hub.write_heartbeats(1005.0, 76, max_silence_s=15.0)
    market.hub.write_heartbeats(1020.0, 77, max_silence_s=15.0)
    head = f"{market.journal.epoch}-0"
    assert sinks[Heartbeats.COMMENT].written_bytes == f": hb 77 {head}\n\n".encode()
    assert sinks[Heartbeats.EVENT].written_bytes == (
        f'event: heartbeat\ndata: {{"ts":77,"head":"{head}"}}\n\n'.encode()
    )
    await market.close()


async def test_a_failed_write_does_not_affect_other_readers() -> None:
    market = HubHarness()
    sinks = [ManualSink() for _ in range(3)]
    for sink in sinks:
        market.open_reader(Subscription(), start_fresh(market.hub.journal_range(), needs_snapshot=True), sink)

    def fail(_: bytes) -> None:
        raise RuntimeError("the handler is closed")

    sinks[1].write = fail
    await market.run_until_idle()
    await market.append_trades(("A", 1.0))
    assert [len(sink.events()) for sink in sinks] == [1, 0, 1]
    await market.close()


async def test_a_paced_reader_receives_the_newest_quotes_once_an_interval() -> None:
    """Each flush has every changed symbol once, in the order of ids, with equal bytes for all readers."""
    market = HubHarness()
    await market.append_trades(("A", 1.0), ("B", 1.0))
    subscription = Subscription(["A", "B"], interval=1_000)
    sinks = [ManualSink(), ManualSink()]
    market.open_reader(subscription, start_fresh(market.hub.journal_range(), needs_snapshot=True), sinks[0])
    await market.run_until_idle()
    assert [data["last"] for _, _, data in sinks[0].events()] == [1.0, 1.0]
    market.flush_paced_channels()
    market.open_reader(subscription, start_fresh(market.hub.journal_range(), needs_snapshot=True), sinks[1])
    await market.run_until_idle()
    for sink in sinks:
        sink.written_bytes = b""
    for price in range(2, 6):
        await market.append_trades(("B", float(price)), ("A", float(price)))
        market.flush_paced_channels(0.1)
    assert sinks[0].written_bytes == sinks[1].written_bytes == b""
    market.flush_paced_channels(0.7)
    assert [(data["symbol"], data["last"]) for _, _, data in sinks[0].events()] == [("B", 5.0), ("A", 5.0)]
    assert sinks[0].written_bytes == sinks[1].written_bytes
    market.flush_paced_channels()
    assert len(sinks[0].events()) == 2
    assert market.hub.stats().channels == 1
    await market.close()


async def test_readers_with_one_change_share_their_pending_rows() -> None:
    """All readers of a change share one copy of its pending rows."""
    market = HubHarness()
    await market.append_trades(*[(f"S{number}", 1.0) for number in range(500)])
    requested, sinks = Subscription(("A",)), [ManualSink() for _ in range(3)]
    readers = [
        market.open_reader(requested, start_fresh(market.hub.journal_range(), needs_snapshot=True), sink)
        for sink in sinks
    ]
    await market.run_until_idle()
    for sink in sinks:
        sink.mark_full()
    await market.append_admin_event(SubscriptionChanged("test", requested.describe(), Subscription(("*",)).describe()))
    assert all(reader.pending_rows is readers[0].pending_rows for reader in readers)
    await market.append_admin_event(
        SubscriptionChanged("test", requested.describe(), Subscription(("S1", "S2")).describe())
    )
    for sink in sinks:
        sink.clear()
        sink.drain()
    await market.run_until_idle()
    for sink in sinks:
        assert [data["symbol"] for _, name, data in sink.events() if name == "quote"] == ["S1", "S2"]
    await market.close()


async def test_a_reader_that_opens_during_a_change_has_the_change() -> None:
    """The journal contains the change. At a later resume, the hub therefore assumes that the reader has applied it."""
    market = HubHarness()
    await market.append_trades(("A", 1.0), ("B", 1.0))
    requested, sink = Subscription(("A",)), ManualSink()
    start = start_fresh(market.hub.journal_range(), needs_snapshot=True)
    await market.append_admin_event(SubscriptionChanged("test", requested.describe(), Subscription(("B",)).describe()))
    market.open_reader(requested, start, sink)
    await market.run_until_idle()
    assert [data["symbol"] for _, name, data in sink.events() if name == "quote"] == ["B"]
    await market.close()


async def test_large_messages_shorten_the_event_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """The size of the window in bytes is also limited. The hub reads evicted events from the journal."""
    monkeypatch.setattr(event_window, "MAX_NAMED_BYTES", 10_000)
    market = HubHarness()
    await market.append_trades(("A", 1.0))
    start = start_after(market.hub.journal_range(), EventId(market.journal.epoch, 1), Subscription(events=("message",)))
    for _ in range(100):
        await market.append_named_event("note", {"text": "x" * 1_000}, kind="message")
    assert market.hub._event_window.first > 90
    sink = ManualSink()
    market.open_reader(Subscription(events=("message",)), start, sink)
    await market.run_until_idle()
    assert [number for number, _, _ in sink.events()] == list(range(2, 102))
    await market.close()


@pytest.mark.parametrize("delivery", ["latest", "all"])
async def test_a_new_reader_receives_no_old_message(delivery) -> None:
    """The snapshot takes several batches. It contains the newest status, but no messages."""
    market = HubHarness()
    for number in range(50):
        await market.append_trades((f"S{number}", 1.0))
        if number in (25, 40):
            await market.append_named_event("note", {"n": number}, kind="message")
            await market.append_named_event("status", {"n": number})
    sink = ManualSink()
    subscription = Subscription(events=("quote", "status", "message"), delivery=delivery)
    market.open_reader(subscription, start_fresh(market.hub.journal_range(), needs_snapshot=True), sink)
    await market.run_until_idle()
    await market.append_named_event("note", {"n": 50}, kind="message")
    named = [(name, data["n"]) for _, name, data in sink.events() if name != "quote"]
    assert named == [("status", 40), ("note", 50)]
    await market.close()


@pytest.mark.parametrize("recent", [10, 1_000])
@pytest.mark.parametrize("delivery", ["latest", "all"])
async def test_large_messages_are_sent_in_batches(delivery, recent: int) -> None:
    """A returning reader receives the messages in several batches, both from memory and from the journal."""
    market = HubHarness(recent_events=recent)
    await market.append_trades(("A", 1.0))
    subscription = Subscription(events=("quote", "message"), delivery=delivery)
    start = start_after(market.hub.journal_range(), EventId(market.journal.epoch, 1), subscription)
    for _ in range(150):
        await market.append_named_event("note", {"text": "x" * 5_000}, kind="message")
    sink = ManualSink()
    sink.writes_left = 1
    reader = market.open_reader(subscription, start, sink)
    numbers = []
    while not reader.is_live:
        await market.run_until_idle()
        assert len(sink.written_bytes) <= 100_000
        numbers += [number for number, _, _ in sink.events()]
        sink.clear()
        sink.drain(1)
    assert numbers == list(range(2, 152))
    await market.close()
