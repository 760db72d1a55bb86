"""The hub tests new symbols in steps before it applies a batch. These steps do not change the readers' events."""

from __future__ import annotations

import random

import pytest

from tickwire.core import step_budget
from tickwire.core.event import ticks_entry
from tickwire.core.text_column import TextColumn
from tickwire.core.tick import Tick, pack_ticks
from tickwire.hub.catchup.resume import start_at_earliest, start_fresh
from tickwire.hub.fanout.reader import Reader
from tickwire.sessions.admin_events import SubscriptionChanged, admin_event_entry
from tickwire.sessions.subscription import Subscription
from tickwire.testing.hub_harness import HubHarness
from tickwire.testing.manual_sink import ManualSink

FILTERS = ['symbol like "%1%"', 'not symbol like "%2%" and last > 5', 'symbol != "S7"', 'symbol in ("S1", "S90")', None]
PATTERNS = [["S1*", "*3"], ["*?2*", "S5"], ["*"], ["S7", "S200"], ["*Q*"]]


class TestCounter:
    """Counts the texts that are tested with patterns."""

    __test__ = False

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.tested = 0
        evaluate = TextColumn.evaluate

        def counted(column: TextColumn, pattern, first: int = 0, end: int | None = None):
            self.tested += (len(column) if end is None else end) - first
            return evaluate(column, pattern, first, end)

        patch.setattr(TextColumn, "evaluate", counted)


def subscriptions() -> list[Subscription]:
    return [
        Subscription(symbols, filter=text, events=["quote", "screen"] if text else ["quote"], interval=interval)
        for symbols in PATTERNS
        for text in FILTERS
        for interval in (0, 1_000)
    ]


def open_sink(market: HubHarness, subscription: Subscription, name: str) -> tuple[Reader, ManualSink]:
    sink = ManualSink()
    start = start_fresh(market.hub.journal_range(), needs_snapshot=True)
    return market.open_reader(subscription, start, sink, name), sink


async def append(market: HubHarness, symbols: list[str], last: float) -> list:
    await market.journal.append(
        ticks_entry(pack_ticks([Tick(symbol=each, ts=1, last=last) for each in symbols], now=0))
    )
    return list(await market.journal.read(market.hub.head.sequence))


async def random_events(rng: random.Random, *, prepares: bool) -> list[list]:
    """Return the events that each reader receives. Readers open and leave while the hub tests new symbols."""
    market, sinks, readers = HubHarness(), list[ManualSink](), list[Reader]()
    wanted = rng.sample(subscriptions(), 12)
    for number, subscription in enumerate(wanted[:6]):
        reader, sink = open_sink(market, subscription, f"r{number}")
        readers.append(reader)
        sinks.append(sink)
    await market.run_until_idle()
    size = 0
    for step in range(6):
        added = rng.choice([1, 5, 40, 300])
        names = [f"S{number}" for number in range(size, size + added)]
        size += added
        records = await append(market, [*names, *rng.sample(names, 1)], rng.randint(0, 10))
        changed_at = rng.randint(0, 3)
        for turn, _ in enumerate(market.hub.prepare_stepwise(records) if prepares else ()):
            if turn == changed_at:
                # Add and remove a channel without readers.
                channel = market.hub._router.find_or_create_channel(
                    Subscription([f"*{turn}*"], filter='symbol like "_"')
                )
                market.hub._router.remove_channel(channel)
        market.hub.apply(records, market.pacing_time_s)
        reader, sink = open_sink(market, wanted[6 + step], f"n{step}")
        readers.append(reader)
        sinks.append(sink)
        await market.run_until_idle()
        market.flush_paced_channels()
    events = [sink.events() for sink in sinks]
    await market.close()
    return events


async def test_a_prepared_batch_has_the_same_events(monkeypatch: pytest.MonkeyPatch) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    # With a small limit, the tests of a batch need many steps.
    monkeypatch.setattr(step_budget, "_MAX_STEP_COST", 600)
    for each in range(10):
        expected = await random_events(random.Random(seed + each), prepares=False)
        assert await random_events(random.Random(seed + each), prepares=True) == expected


@pytest.mark.parametrize("count", [1, 20, 5_000, 30_000])
async def test_a_batch_needs_no_tests_after_its_preparation(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """The number of tests in each step is limited, for any number of patterns, filters and new symbols."""
    market = HubHarness()
    await market.append_trades(("A", 1.0))
    filters = [" or ".join(f'symbol like "%{number}%{each}"' for each in range(60)) for number in range(3)]
    wanted = [Subscription(filter=text) for text in filters]
    wanted += [Subscription([f"*{number}?{each}*" for each in range(16)]) for number in range(20)]
    for number, subscription in enumerate(wanted):
        open_sink(market, subscription, f"r{number}")
    await market.run_until_idle()
    records = await append(market, [f"S{number}" for number in range(count)], 1.0)
    counter, longest = TestCounter(monkeypatch), 0
    for _ in market.hub.prepare_stepwise(records):
        longest, counter.tested = max(longest, counter.tested), 0
    assert longest <= step_budget._MAX_STEP_COST + 8_192
    counter.tested = 0
    market.hub.apply(records, 0.0)
    # The counter excludes channels without a text column, which test up to 31 symbols one by one.
    assert counter.tested == 0
    await market.close()


async def test_a_changed_subscription_needs_no_tests_after_its_preparation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every process of a cluster prepares the change, not only the process that received the request."""
    market = HubHarness()
    await market.append_trades(*[(f"S{number}", 1.0) for number in range(20_000)])
    subscription = Subscription(["S1"])
    reader, _ = open_sink(market, subscription, "c")
    await market.run_until_idle()
    text = " or ".join(f'symbol like "%{number}%"' for number in range(100))
    changed = subscription.with_changes(symbols=[f"*{number}*" for number in range(16)], filter=text)
    event = SubscriptionChanged("c", subscription.describe(), changed.describe(), None)
    await market.journal.append(admin_event_entry(event))
    records = await market.journal.read(market.hub.head.sequence)
    counter, longest = TestCounter(monkeypatch), 0
    for _ in market.hub.prepare_stepwise(records):
        longest, counter.tested = max(longest, counter.tested), 0
    assert 0 < longest <= 2 * 20_000
    counter.tested = 0
    market.hub.apply(records, 0.0)
    assert counter.tested == 0
    assert market.hub.roster.channels[reader].subscription == changed
    # The reservation of the filter ends with the change, so only the reader's channel refers to the filter.
    assert list(market.hub._router.screen_router._index._reference_counts.values()) == [1]
    await market.close()


async def test_a_replay_uses_the_stored_results_of_text_conditions(monkeypatch: pytest.MonkeyPatch) -> None:
    """A replay of old quotes tests no text again, and sends exactly the quotes that match."""
    market = HubHarness(recent_events=3)
    await market.save_snapshot()
    for number in range(30):
        await market.append_trades(*[(f"S{each}", float(each % 7)) for each in range(number, number + 40)])
    subscription = Subscription(delivery="all", filter='(symbol like "%1%" or symbol = "S5") and last > 2')
    await market.run_until_idle()
    sink = ManualSink()
    reader = market.open_reader(subscription, start_at_earliest(market.hub.journal_range(), subscription), sink)
    counter = TestCounter(monkeypatch)
    while not reader.is_live:
        await market.run_until_idle()
    received = [(number, data["symbol"]) for number, name, data in sink.events() if name == "quote"]
    assert received == [
        (number, symbol)
        for number, symbol, last in market.published_trades
        if ("1" in symbol or symbol == "S5") and last > 2
    ]
    assert counter.tested == 0
    await market.close()
