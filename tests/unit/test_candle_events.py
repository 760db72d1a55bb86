"""Candle events: who gets which, when forming ones are shown, and how closed ones come into the journal."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickwire.core.candle import CANDLE, unpack_candles
from tickwire.core.ids import EventId
from tickwire.history.archive import Archive
from tickwire.history.chronicle import Chronicle
from tickwire.history.owed import MOST_IN_ENTRY, SOURCE, Owed
from tickwire.hub.changes import Changes
from tickwire.hub.control import Change
from tickwire.hub.names import Names
from tickwire.hub.rights import Rights
from tickwire.hub.start import after, fresh
from tickwire.hub.subscription import Subscription
from tickwire.testing.market import Market
from tickwire.testing.sink import HandSink

CANDLES = ["candle"]


def shown(sink: HandSink) -> list[tuple]:
    """What it was sent since it was last looked at: symbol, start in seconds, close, whether closed."""
    events = [data for _, name, data in sink.events() if name == "candle"]
    sink.forget()
    return [(data["symbol"], data["start"] // 10**6, data["close"], data["closed"]) for data in events]


async def read(market: Market, subscription: Subscription, **how: bool) -> HandSink:
    sink = HandSink()
    market.read(subscription, fresh(market.hub.history(), **{"snapshot": True, **how}), sink)
    await market.settle()
    return sink


async def test_forming_candles_are_shown_twice_a_second_if_they_changed() -> None:
    """At first those of all its symbols; then what traded since, newest only; unpaced readers and others alike."""
    market = Market()
    await market.trade(("A", 1.0), ("B", 1.0), ("C", 1.0))
    some = await read(market, Subscription(["A", "B"], events=CANDLES))
    everything = await read(market, Subscription(events=CANDLES, candles="1h"))
    assert shown(some) == [("A", 0, 1.0, False), ("B", 0, 1.0, False)]
    assert len(shown(everything)) == 3
    market.pace()
    assert shown(some) == shown(everything) == []
    for price in (2.0, 3.0):
        await market.trade(("B", price), ("C", price))
        market.pace(0.05)
        assert shown(some) == []
    market.pace(0.5)
    assert shown(some) == [("B", 0, 3.0, False)]
    assert shown(everything) == [("B", 0, 3.0, False), ("C", 0, 3.0, False)]
    await market.close()


async def test_a_reader_without_a_snapshot_is_shown_only_what_trades() -> None:
    """snapshot=false holds for forming candles too."""
    market = Market()
    await market.trade(("A", 1.0), ("B", 1.0))
    sink = await read(market, Subscription(events=CANDLES), snapshot=False)
    await market.trade(("B", 2.0))
    market.pace()
    assert shown(sink) == [("B", 0, 2.0, False)]
    await market.close()


async def test_a_closed_candle_is_an_event_for_those_of_its_interval_and_symbol() -> None:
    """With an id of its own; a filter does not keep it back."""
    market = Market()
    await market.trade(("A", 1.0), ("B", 1.0))
    sinks = [
        await read(market, Subscription(["A"], events=CANDLES, candles="1s")),
        await read(market, Subscription(["A", "B"], events=CANDLES, candles="1m", filter="last > 5")),
        await read(market, Subscription(events=["quote"])),
    ]
    for sink in sinks:
        sink.forget()
    market.second = 70
    await market.trade(("A", 2.0))
    await market.tell_closed()
    ((number, name, candle),) = sinks[0].events()
    assert number == market.closed[0][0]
    assert (name, candle) == ("candle", market.closed[0][1])
    assert shown(sinks[0]) == [("A", 1, 1.0, True)]
    assert shown(sinks[1]) == [("A", 0, 1.0, True), ("B", 0, 1.0, True)]
    assert [name for _, name, _ in sinks[2].events()] == ["quote"]
    await market.close()


async def test_a_resume_goes_on_within_what_closed_together() -> None:
    """Who has some of the candles of one closing gets the others, whether the recent window has them or the journal."""
    for recent in (1, 1_000):
        market = Market(recent=recent)
        names = [f"S{number}" for number in range(40)]
        await market.trade(*[(name, 1.0) for name in names])
        market.second = 70
        await market.trade(("X", 1.0))
        market.second = 100
        await market.trade(("X", 1.0))
        await market.tell_closed()
        minutes = [number for number, candle in market.closed if candle["interval"] == "1m"]
        await market.trade(("X", 2.0))
        history = market.hub.history()
        for delivery in ("latest", "all"):
            subscription = Subscription(["S*"], events=CANDLES, delivery=delivery)
            sink = HandSink()
            market.read(subscription, after(history, EventId(history.epoch, minutes[10]), subscription), sink)
            await market.settle()
            assert [number for number, _, _ in sink.events() if number] == minutes[11:]
        await market.close()


async def test_a_new_reader_gets_what_closes_after_it_came() -> None:
    """Of many symbols too, some of which have not traded for long: no old candle, message or status."""
    market = Market()
    for number in range(40):
        await market.trade((f"S{number}", 1.0))
        await market.tell("note", {}, kind="message", target=None)
        await market.tell("status", {"number": number})
        market.second += 2
    await market.tell_closed()
    events = ["quote", "candle", "message", "status"]
    sink = HandSink()
    market.read(Subscription(events=events, candles="1s"), fresh(market.hub.history(), snapshot=True), sink)
    market.second += 2
    await market.trade(("S0", 2.0))
    await market.tell_closed()
    await market.settle()
    named = [(name, data) for _, name, data in sink.events() if name != "quote"]
    assert [data for name, data in named if name == "status"] == [{"number": 39}]
    assert [name for name, _ in named if name == "note"] == []
    closed = [data["symbol"] for name, data in named if name == "candle" and data["closed"]]
    assert closed == [candle["symbol"] for _, candle in market.closed[-len(closed) :]]
    assert len(closed) < 5
    await market.close()


async def test_a_paced_reader_gets_candles_with_its_flush() -> None:
    """Closed ones all, forming ones as they are; the same for one that comes in with that flush."""
    market = Market()
    await market.trade(("A", 1.0))
    paced = Subscription(events=["quote", "candle"], candles="5s", interval=2_000)
    first = await read(market, paced)
    market.pace()
    first.forget()
    for second in (6, 12, 14):
        market.second = second
        await market.trade(("A", float(second)))
        await market.tell_closed()
        market.pace(0.1)
    second = await read(market, paced)
    second.forget()
    await market.trade(("A", 15.0))
    assert first.bytes == second.bytes == b""
    market.pace(2.0)
    assert shown(first) == [("A", 0, 1.0, True), ("A", 5, 6.0, True), ("A", 10, 15.0, False)]
    assert shown(second) == [("A", 10, 15.0, False)]
    await market.trade(("A", 16.0))
    market.pace(0.6)
    assert first.bytes == b""
    market.pace(1.4)
    assert first.bytes == second.bytes
    assert shown(first) == [("A", 10, 16.0, False)]
    await market.close()


async def test_a_fast_pace_shows_forming_candles_no_more_often() -> None:
    """Quotes every 50 ms, forming candles when it comes and then twice a second."""
    market = Market()
    sink = await read(market, Subscription(events=["quote", "candle"], interval=50))
    for price in range(40):
        await market.trade(("A", float(price)))
        market.pace(0.05)
    names = [name for _, name, _ in sink.events()]
    assert (names.count("quote"), names.count("candle")) == (40, 1 + 4)
    await market.close()


async def test_candles_alone_skip_no_quotes() -> None:
    """A slow reader of candles has had no quote taken from it."""
    market = Market()
    sink = await read(market, Subscription(events=CANDLES))
    sink.fill()
    for price in range(10):
        await market.trade(("A", float(price)))
    sink.drain()
    await market.settle()
    assert shown(sink) == [("A", 0, 9.0, False)]
    assert market.hub.stats().conflated == 0
    await market.close()


@pytest.mark.parametrize("delivery", ["latest", "all"])
async def test_a_reader_is_told_of_closed_candles_that_expired(delivery) -> None:
    """What closed while it halted is gone from the journal: a gap, then the state, and ids that do not go back."""
    market = Market(recent=10, keep=1_000)
    await market.trade(("A", 1.0))
    sink = await read(market, Subscription(["A"], events=["quote", "candle"], candles="1s", delivery=delivery))
    sink.fill()
    market.second = 70
    await market.trade(("A", 2.0))
    await market.tell_closed()
    for number in range(40):
        await market.trade(*[("B", float(number))] * 100)
        await market.save()
    assert market.journal.first > market.closed[0][0]
    sink.forget()
    sink.drain()
    await market.settle()
    assert [(name, data.get("closed")) for _, name, data in sink.events()][:2] == [("gap", None), ("quote", None)]
    assert shown(sink) == [("A", 70, 2.0, False)]
    market.second = 80
    await market.trade(("A", 3.0))
    await market.tell_closed()
    assert shown(sink) == [("A", 70, 2.0, True)]
    await market.close()


@pytest.mark.parametrize("recent", [10, 10_000])
@pytest.mark.parametrize("delivery", ["latest", "all"])
async def test_what_closed_meanwhile_comes_in_pieces(delivery, recent: int) -> None:
    """Whoever was away is not given all of it at once, from memory or from the journal; nothing twice, nothing left."""
    market = Market(recent=recent)
    await market.trade(*[(f"S{number}", 1.0) for number in range(300)])
    subscription = Subscription(["S*"], events=["quote", "candle"], candles="1s", delivery=delivery)
    start = after(market.hub.history(), EventId(market.journal.epoch, 300), subscription)
    market.second = 70
    await market.trade(("X", 1.0))
    await market.tell_closed()
    sink = HandSink()
    sink.room = 1
    reader = market.read(subscription, start, sink)
    numbers: list[int | None] = []
    while not reader.live:
        await market.settle()
        assert len(sink.bytes) <= 20_000
        numbers += [number for number, _, data in sink.events() if data["closed"]]
        sink.forget()
        sink.drain(1)
    assert numbers == [number for number, candle in market.closed if candle["interval"] == "1s"]
    assert len(numbers) == 300
    await market.close()


@pytest.mark.parametrize("delivery", ["latest", "all"])
async def test_rights_bound_candles(delivery) -> None:
    """Live, resumed, and after a change nobody is told of a symbol outside its rights; nor of candles without them."""
    market = Market()
    wanted = Subscription(events=["quote", "candle"], candles="1s", delivery=delivery)
    bounded, without = Rights(symbols=Names(["A*", "C"])), Rights(events=("quote",))
    sinks, start = [HandSink() for _ in range(3)], EventId(market.journal.epoch, 1)
    await market.trade(("AB", 1.0), ("B", 1.0), ("C", 1.0))
    market.read(wanted, fresh(market.hub.history(), snapshot=True), sinks[0], rights=bounded)
    market.read(wanted, fresh(market.hub.history(), snapshot=True), sinks[1], rights=without)
    await market.settle()
    for second in (70, 80):
        market.second = second
        await market.trade(("AB", 2.0), ("B", 2.0), ("C", 2.0))
        await market.tell_closed()
        market.pace()
    market.read(wanted, after(market.hub.history(), start, wanted), sinks[2], rights=bounded)
    await market.settle()
    for sink in (sinks[0], sinks[2]):
        seen = shown(sink)
        assert {symbol for symbol, *_ in seen} == {"AB", "C"}
        assert sum(closed for *_, closed in seen) == 4
    assert {name for _, name, _ in sinks[1].events()} == {"quote"}
    await market.order(Change("test", wanted.describe(), wanted.changed(symbols=["B", "C"]).describe()))
    market.second = 90
    await market.trade(("AB", 3.0), ("B", 3.0), ("C", 3.0))
    await market.tell_closed()
    await market.settle()
    assert {symbol for symbol, *_ in shown(sinks[0])} == {"C"}
    assert shown(sinks[1]) == []
    await market.close()


def test_a_change_keeps_the_interval() -> None:
    """What is remembered of a change, and saved with the state, has the candles that were asked for."""
    asked = Subscription(["A"], events=CANDLES, candles="5m")
    changes, other = Changes(), Changes()
    changes.take(Change("ann", asked.describe(), asked.changed(add=["B"]).describe()), 7)
    other.restore(changes.save(), changes.held())
    now, at = other.newest("ann", None, asked)
    assert (now, at) == (Subscription(["A", "B"], events=CANDLES, candles="5m"), 7)


@given(st.lists(st.one_of(st.integers(1, 900), st.tuples(st.integers(1, 900), st.booleans())), max_size=30))
def test_what_is_owed_comes_once_and_in_order(steps: list) -> None:
    """Closings and appends in any order, some appends repeated, saved and restored in between."""
    owed, closed, told, keys = Owed(), [], [], set()
    for number, step in enumerate(steps):
        if isinstance(step, int):
            candles = np.zeros(step, CANDLE)
            candles["start"] = np.arange(len(closed), len(closed) + step)
            closed += candles["start"].tolist()
            owed.add(candles, number)
            continue
        entry = owed.entry()
        assert (entry is None) == (len(owed) == 0)
        if entry is not None:
            assert (entry.source, entry.count <= MOST_IN_ENTRY) == (SOURCE, True)
            assert entry.key not in keys
            keys.add(entry.key)
            told += unpack_candles(entry.data)["start"].tolist()
            owed.settle(entry.count)
        if step[1]:
            saved, owed = owed.save(), Owed()
            owed.restore(saved)
    while (entry := owed.entry()) is not None:
        told += unpack_candles(entry.data)["start"].tolist()
        owed.settle(entry.count)
    assert told == closed
    owed.settle(3)
    assert len(owed) == 0


async def test_a_chronicle_knows_what_the_journal_lacks() -> None:
    """From a state before or after a closing, with the event there or not: what is owed is what is missing."""
    market = Market()
    states = []
    for second in range(1, 30):
        market.second = float(second)
        await market.trade(("A", 1.0))
        states.append((market.hub.head.sequence, market.chronicle.save()))
        if second % 5 == 0:
            await market.tell_closed()
            states.append((market.hub.head.sequence, market.chronicle.save()))
    expected = market.chronicle.owed.save()
    assert expected
    for sequence, saved in states:
        other = Chronicle(Archive(None, 0))
        await other.recover(market.journal, sequence, saved)
        assert other.owed.save() == expected
    await market.close()


@pytest.mark.parametrize("text", ["candle", "quote,candle"])
def test_the_interval_is_part_of_what_is_asked_for_only_with_candles(text: str) -> None:
    """Without candle events the interval makes no other channel; with them 1m is what is meant."""
    events = text.split(",")
    assert Subscription(events=events) == Subscription(events=events, candles="1m")
    assert Subscription(events=events) != Subscription(events=events, candles="5m")
    assert Subscription(candles="5m") == Subscription()
    described = Subscription(events=events, candles="1d").describe()
    assert described["candles"] == "1d"
    assert Subscription(**described) == Subscription(events=events, candles="1d")
