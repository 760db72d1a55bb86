"""A token with the claim `interval`: no action of a reader updates a symbol before the interval has passed."""

from __future__ import annotations

from random import Random, randrange
from typing import Any

from tickwire.hub.catchup.resume import start_fresh
from tickwire.hub.pacer import IDLE_POLL_S
from tickwire.sessions.admin_events import SubscriptionChanged
from tickwire.sessions.rights import Rights
from tickwire.sessions.subscription import Subscription
from tickwire.testing.hub_harness import HubHarness
from tickwire.testing.manual_sink import ManualSink
from tickwire.testing.marks import short_and_long

SYMBOLS = ["A", "B", "C"]
INTERVAL_S = 1.0
RIGHTS = Rights(user="ann", interval=int(INTERVAL_S * 1000))
REQUESTED = Subscription(interval=int(INTERVAL_S * 1000), events=("quote", "candle"), candles="1d")
CHANGES: list[dict[str, Any]] = [
    {"fields": ("symbol", "last")},
    {"fields": None},
    {"symbols": ("A",)},
    {"symbols": ("B", "C")},
    {"symbols": ("*",)},
    {"interval": 0},
    {"interval": 3000},
    {"filter": "last > 5", "events": ("quote", "screen", "candle")},
    {"filter": None, "events": ("quote", "candle")},
]


class QuoteLog:
    """The times at which a reader received the quotes of each symbol."""

    def __init__(self, sink: ManualSink) -> None:
        self.sink = sink
        # The key of a quote is its symbol, and the key of an open candle is the name of the event and its symbol.
        self.last_at: dict[tuple[str, str], float] = {}

    def check(self, now: float) -> None:
        """Record the prices written since the previous call. Fail if two prices of a symbol are too close in time."""
        prices = [event for event in self.sink.events() if event[1] in ("quote", "enter", "leave", "candle")]
        self.sink.clear()
        # A quote event of the same symbol may follow an `enter` event.
        for key in {("candle" if name == "candle" else "quote", _symbol(data)) for _, name, data in prices}:
            waited_s = now - self.last_at.get(key, -INTERVAL_S)
            # The pacer may be late by one check, and the next flush is then on time.
            assert waited_s >= INTERVAL_S - IDLE_POLL_S - 1e-6, (key, waited_s)
            self.last_at[key] = now


def _symbol(data: dict[str, Any]) -> str:
    return data.get("quote", data)["symbol"]


async def change(market: HubHarness, client_id: str, changes: dict[str, Any], current: Subscription) -> Subscription:
    new = current.with_changes(**changes)
    event = SubscriptionChanged(client_id, REQUESTED.describe(), new.describe(), "user:ann")
    await market.append_admin_event(event)
    return new


@short_and_long("count", 10, 300)
async def test_no_change_gives_quotes_before_the_interval_has_passed(count: int) -> None:
    """Random changes at random times by two readers, whose channels have different phases, with slow connections."""
    for _ in range(count):
        seed = randrange(2**32)
        # pytest shows the output of a failed test.
        print(f"seed {seed}")
        await _run_random_changes(Random(seed))


async def _run_random_changes(random: Random) -> None:
    market = HubHarness()
    try:
        await market.append_trades(*((symbol, 1.0) for symbol in SYMBOLS))
        current, logs = {}, {}
        for step in range(120):
            market.flush_paced_channels(0.05)
            if step in (0, 7):
                name, sink = f"reader{step}", ManualSink()
                start = start_fresh(market.hub.journal_range(), needs_snapshot=True)
                market.open_reader(REQUESTED, start, sink, name, rights=RIGHTS)
                current[name], logs[name] = REQUESTED, QuoteLog(sink)
            await market.append_trades(*((symbol, random.uniform(1, 10)) for symbol in SYMBOLS))
            for name, log in logs.items():
                if random.random() < 0.3:
                    current[name] = await change(market, name, random.choice(CHANGES), current[name])
                if random.random() < 0.1:
                    log.sink.mark_full()
                elif random.random() < 0.5:
                    log.sink.drain(random.choice([None, 1, 2]))
            await market.run_until_idle()
            for log in logs.values():
                log.check(market.pacing_time_s)
    finally:
        await market.close()


async def test_a_changed_reader_receives_its_quotes_after_the_interval() -> None:
    """Until the interval has passed, the reader receives heartbeats only; then all quotes of its new subscription."""
    market, sink = HubHarness(), ManualSink()
    try:
        await market.append_trades(*((symbol, 1.0) for symbol in SYMBOLS))
        start = start_fresh(market.hub.journal_range(), needs_snapshot=True)
        market.open_reader(REQUESTED, start, sink, rights=RIGHTS)
        await market.run_until_idle()
        for _ in range(60):
            market.flush_paced_channels(0.05)
            await market.run_until_idle()
        sink.clear()
        await market.append_trades(("A", 2.0))
        await change(market, "test", {"fields": ("symbol", "last")}, REQUESTED)
        await market.run_until_idle()
        market.hub.write_heartbeats(market.pacing_time_s + 15, 1, 15.0)
        assert sink.written_bytes.startswith(b": hb 1 ")
        assert b"data:" not in sink.written_bytes
        sink.clear()
        for _ in range(20):
            market.flush_paced_channels(0.05)
            await market.run_until_idle()
        assert [(name, data.get("last")) for _, name, data in sink.events()] == [
            *[("quote", 1.0)] * 2, ("subscription", None), ("quote", 2.0), *[("candle", None)] * 3,
        ]  # fmt: skip
    finally:
        await market.close()


async def test_a_held_reader_receives_heartbeats_in_the_form_of_its_changed_subscription() -> None:
    market, sink = HubHarness(), ManualSink()
    await market.append_trades(*((symbol, 1.0) for symbol in SYMBOLS))
    start = start_fresh(market.hub.journal_range(), needs_snapshot=True)
    reader = market.open_reader(REQUESTED, start, sink, rights=RIGHTS)
    await market.run_until_idle()
    await change(market, "test", {"heartbeats": "event"}, REQUESTED)
    await market.run_until_idle()
    assert reader.is_held
    sink.clear()
    market.hub.write_heartbeats(market.pacing_time_s + 15, 1, 15.0)
    assert [name for _, name, _ in sink.events()] == ["heartbeat"]
    await market.close()
