"""The hub against a plain model: random markets, readers that stall, cut and come back, and what must hold anyway."""

from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickwire.core.ids import EventId
from tickwire.hub import catchup, made, past, recent
from tickwire.hub.control import Change
from tickwire.hub.selection import Selection
from tickwire.hub.start import Start, after, earliest, fresh
from tickwire.hub.subscription import Subscription
from tickwire.sse.coding import CODINGS, IDENTITY, Coding
from tickwire.testing.market import Market
from tickwire.testing.sink import HandSink

SYMBOLS = ("A", "B", "C", "D", "E")


def wanted(subscription: Subscription, symbol: str) -> bool:
    return subscription.everything or symbol in subscription.symbols or subscription.matches(symbol)


async def test_a_new_reader_gets_the_state_and_then_what_changes() -> None:
    """A snapshot in the order of ids, then live events."""
    market = Market()
    await market.trade(("A", 1.0), ("B", 1.0), ("A", 2.0))
    sink = HandSink()
    market.read(Subscription(["A", "B"]), fresh(market.hub.history(), snapshot=True), sink)
    await market.settle()
    await market.trade(("C", 9.0), ("B", 2.0))
    assert [(number, data["symbol"], data["last"]) for number, _, data in sink.events()] == [
        (2, "B", 1.0), (3, "A", 2.0), (5, "B", 2.0),
    ]  # fmt: skip
    await market.close()


async def test_without_a_snapshot_only_what_comes_is_sent() -> None:
    """snapshot=false starts at the head."""
    market = Market()
    await market.trade(("A", 1.0))
    sink = HandSink()
    market.read(Subscription(), fresh(market.hub.history(), snapshot=False), sink)
    await market.settle()
    await market.trade(("A", 2.0))
    assert [data["last"] for _, _, data in sink.events()] == [2.0]
    await market.close()


async def test_a_symbol_that_nobody_knew_starts_when_it_first_trades() -> None:
    """Unknown symbols and globs are filled in later."""
    market = Market()
    sinks = [HandSink(), HandSink()]
    market.read(Subscription(["NEW"]), fresh(market.hub.history(), snapshot=True), sinks[0])
    market.read(Subscription(["N*"]), fresh(market.hub.history(), snapshot=True), sinks[1])
    await market.settle()
    await market.trade(("OLD", 1.0), ("NEW", 1.0))
    assert [data["symbol"] for _, _, data in sinks[0].events()] == ["NEW"]
    assert sinks[0].bytes == sinks[1].bytes
    await market.close()


async def test_equal_subscriptions_share_a_channel_and_the_last_reader_takes_it_along() -> None:
    """Channels come and go with their readers."""
    market = Market()
    await market.trade(("A", 1.0))
    readers = [
        market.read(Subscription(names), fresh(market.hub.history(), snapshot=True), HandSink())
        for names in (["A", "B"], ["B", "A", "A"], ["Z*"], ["*"])
    ]
    await market.settle()
    assert market.hub.stats().channels == 3
    assert market.hub.stats().live == 4
    for reader in readers:
        reader.lost()
    await market.settle()
    stats = market.hub.stats()
    assert (stats.readers, stats.channels, stats.closed) == (0, 0, {"lost": 4})
    assert market.hub._router.plans == {}
    assert market.hub._router._waiting == {}
    await market.trade(("A", 2.0), ("ZZ", 1.0))
    await market.close()


async def test_a_gap_is_told_and_followed_by_the_state() -> None:
    """A reader of everything whose next event has expired gets a gap and the current state, then live."""
    market = Market(recent=4, keep=1_000)
    for price in range(3_000):
        await market.trade(("A", float(price)))
        if price % 100 == 0:
            await market.save()
    history = market.hub.history()
    assert history.first > 1
    sink = HandSink()
    start = after(history, EventId(history.epoch, 5), Subscription(delivery="all"))
    market.read(Subscription(delivery="all"), start, sink)
    await market.settle()
    await market.trade(("A", -1.0))
    (none, name, gap), *rest = sink.events()
    assert (none, name, gap["reason"]) == (None, "gap", "expired")
    assert gap["from"] == f"{history.epoch}-5"
    assert [(number, data["last"]) for number, _, data in rest] == [(3_000, 2999.0), (3_001, -1.0)]
    assert market.hub.stats().gaps == 1
    await market.close()


async def test_a_history_that_expires_under_a_slow_reader_is_a_gap() -> None:
    """A reader of everything that stalls for longer than the journal reaches back is told so."""
    market = Market(recent=4, keep=1_000)
    await market.trade(("A", 0.0))
    sink = HandSink()
    market.read(Subscription(delivery="all"), fresh(market.hub.history(), snapshot=True), sink)
    await market.settle()
    sink.fill()
    for price in range(1, 3_000):
        await market.trade(("A", float(price)))
        if price % 100 == 0:
            await market.save()
    sink.drain()
    await market.settle()
    names = [name for _, name, _ in sink.events()]
    assert names == ["quote", "gap", "quote"]
    assert sink.events()[-1][0] == 3_000
    await market.close()


async def test_an_id_of_another_history_is_a_gap_of_its_own_kind() -> None:
    """An id with another epoch, or one that was never given, says nothing about this history."""
    market = Market()
    await market.trade(("A", 1.0))
    history = market.hub.history()
    for asked in (EventId("other", 1), EventId(history.epoch, 99)):
        for delivery in ("latest", "all"):
            start = after(history, asked, Subscription(delivery=delivery))
            assert start.gap is not None
            assert (start.gap.reason, start.snapshot, start.resume.complete) == ("epoch", True, False)
    await market.close()


async def test_named_events_reach_those_who_ask_and_none_is_skipped() -> None:
    """A newest-only reader that was away gets every status in the order of ids, from far back too."""
    market = Market(recent=10)
    await market.trade(("A", 1.0))
    first = await market.tell("status", {"state": "running"})
    for price in range(50):
        await market.trade(("A", float(price)))
    second = await market.tell("status", {"state": "stale"})
    await market.trade(("A", 60.0))
    sinks = [HandSink(), HandSink(), HandSink()]
    history = market.hub.history()
    both = Subscription(events=["quote", "status"])
    market.read(both, after(history, EventId(history.epoch, 1), Subscription(delivery="latest")), sinks[0])
    market.read(both, fresh(history, snapshot=True), sinks[1])
    market.read(Subscription(), fresh(history, snapshot=True), sinks[2])
    await market.settle()
    third = await market.tell("status", {"state": "running"})
    head = market.hub.head.sequence
    assert [number for number, _, _ in sinks[0].events()] == [first, second, head - 1, third]
    assert [number for number, _, _ in sinks[1].events()] == [second, head - 1, third]
    assert [number for number, _, _ in sinks[2].events()] == [head - 1]
    await market.close()


async def test_bye_reaches_everyone_and_ends_them() -> None:
    """A drain tells each reader when to come back, and lets its stream end."""
    market = Market()
    sink = HandSink()
    reader = market.read(Subscription(), fresh(market.hub.history(), snapshot=True), sink)
    await market.settle()
    market.hub.control.end_all("drain", lambda: 1234)
    await market.settle()
    assert reader.closing == "drain"
    assert sink.bytes.startswith(b"retry: 1234\n")
    assert b'event: bye\ndata: {"reason":"drain","reconnect_in_ms":1234}' in sink.bytes
    await market.close()


async def test_heartbeats_go_to_the_silent_only() -> None:
    """A channel that was written to lately gets none."""
    market = Market()
    sink = HandSink()
    market.read(Subscription(["A"]), fresh(market.hub.history(), snapshot=True), sink)
    await market.settle()
    market.hub.beat(1005.0, 76, silence=15.0)
    market.hub.beat(1010.0, 76, silence=15.0)
    assert sink.bytes == b""
    market.hub.beat(1020.0, 77, silence=15.0)
    market.hub.beat(1030.0, 78, silence=15.0)
    assert sink.bytes == f": hb 77 {market.journal.epoch}-0\n\n".encode()
    await market.close()


async def test_one_failing_write_costs_nobody_else() -> None:
    """A sink that raises does not keep the event from the sinks after it."""
    market = Market()
    sinks = [HandSink() for _ in range(3)]
    for sink in sinks:
        market.read(Subscription(), fresh(market.hub.history(), snapshot=True), sink)

    def fail(_: bytes) -> None:
        raise RuntimeError("the handler is closed")

    sinks[1].write = fail
    await market.settle()
    await market.trade(("A", 1.0))
    assert [len(sink.events()) for sink in sinks] == [1, 0, 1]
    await market.close()


def limit_of(subscription: Subscription) -> float | None:
    """What `last` has to be above for the subscription's filter."""
    return None if subscription.screen is None else float(str(subscription.screen).rpartition(" ")[2])


class Client:
    """A program that keeps what it was sent, across connections, as an EventSource does."""

    def __init__(self, market: Market, subscription: Subscription, name: str, coding: Coding) -> None:
        self.market = market
        self.asked = self.subscription = subscription  # what it always asks for, and what is in force
        self.own_id = f"{name}-{len(market.tasks)}"
        self.name = name
        self.coding = coding
        self.messages: list[int] = []
        self.came = 0
        self.seen: list[tuple[int, str, float]] = []
        self.state: dict[str, float] = {}
        self.since = dict.fromkeys(SYMBOLS, 0)  # by symbol: after which event it is to have each of its events
        self.pending_change: Change | None = None
        self.candles: dict[tuple[str, int], dict] = {}  # by symbol and start, as a chart has them
        self.closed: list[tuple[int, dict]] = []
        self.members: set[str] = set()  # who matches its filter, by `matches`, `enter` and `leave` alone
        self.above = limit_of(subscription)
        self.statuses: list[int] = []
        self.last: EventId | None = None
        self.connect()

    def connect(self) -> None:
        history = self.market.hub.history()
        if self.last is not None:
            start = after(history, self.last, self.asked)
            self.came = min(
                self.came, self.last.sequence
            )  # cut within its snapshot, it gets the messages since that id
        elif self.asked.delivery == "all":
            start = earliest(history, self.asked)
        else:
            start = fresh(history, snapshot=True)
            self.came = self.market.hub.head.sequence  # without an id it is a new reader: messages from here on
        if self.last is None and self.subscription != self.asked:  # and it has what it asks for, as the edge sees to
            self.subscription = self.asked
            self.since = dict.fromkeys(SYMBOLS, 0)
            self.pending_change = Change(self.own_id, self.asked.describe(), self.asked.describe(), f"user:{self.name}")
        self.above = self.in_force = limit_of(self.subscription)
        self.sink = HandSink()
        self.start: Start | None = start
        if self.pending_change is None:
            self.arrive()

    def arrive(self) -> None:
        """Be let in: where something was changed before, once it is written down that this is over."""
        if self.start is not None:
            self.reader = self.market.read(self.asked, self.start, self.sink, self.own_id, self.name, self.coding)
            self.start = None

    def take(self, share: float) -> None:
        """Receive a share of the bytes on the way; what is cut inside an event is lost with the connection."""
        events = self.sink.events(self.coding)
        for number, name, data in events[: round(len(events) * share)]:
            self._learn(number, name, data)
            if number is None:  # told of a change, or given a quote because of one
                continue
            assert self.last is None or number > self.last.sequence, "ids never go back"
            if name == "quote":
                self.seen.append((number, data["symbol"], data["last"]))
            elif name == "status":
                self.statuses.append(number)
            elif name == "note":
                self.messages.append(number)
            self.last = EventId(self.market.journal.epoch, number)
        self.sink.forget()

    def _learn(self, number: int | None, name: str, data: dict) -> None:
        if name == "quote":
            self.state[data["symbol"]] = data["last"]
            assert number is None or self.in_force is None or data["last"] > self.in_force
        elif name == "candle":
            self._learn_candle(number, data)
        elif name == "matches":
            self.members = set(data["symbols"])
        elif name == "subscription":
            self.in_force = data["filter"] and limit_of(Subscription(filter=data["filter"]))
        elif name == "enter":
            assert data["symbol"] not in self.members
            assert data["quote"]["last"] > self.in_force
            self.members.add(data["symbol"])
        elif name == "leave":
            self.members.remove(data["symbol"])

    def _learn_candle(self, number: int | None, data: dict) -> None:
        assert data["interval"] == self.asked.describe()["candles"]
        assert data["closed"] == (number is not None)
        before = self.candles.get((data["symbol"], data["start"]))
        assert before is None or not before["closed"], "nothing changes a closed candle"
        self.candles[data["symbol"], data["start"]] = data
        if number is not None:
            self.closed.append((number, data))

    def stall(self, _: float) -> None:
        self.sink.room = 1

    def drip(self, share: float) -> None:
        self.sink.drain(room=1 + round(share * 2))

    def drain(self, _: float) -> None:
        self.sink.drain()

    def take_all(self, _: float) -> None:
        self.take(1.0)

    def change(self, share: float) -> None:
        """Its owner wants other symbols, or another pace."""
        rng = random.Random(share)
        interval = self.subscription.interval and rng.choice([1_000, 3_000])
        symbols = rng.sample(SYMBOLS, rng.randint(0, 4))
        text = self.subscription.describe()["filter"]
        if self.asked.delivery == "latest":
            text = text and f"last > {rng.randint(0, 40)}"
        now = self.subscription.changed(symbols=symbols, interval=interval, filter=text)
        self.above = limit_of(now)
        self.pending_change = Change(self.own_id, self.asked.describe(), now.describe(), f"user:{self.name}")
        for symbol in SYMBOLS:
            if not wanted(self.subscription, symbol):
                self.since[symbol] = self.market.hub.head.sequence
        self.subscription = now

    def cut(self, share: float) -> None:
        self.take(share)
        self.reader.lost()
        self.connect()


def check(client: Client, market: Market) -> None:
    told = market.statuses if "status" in client.asked.events else []
    # A new reader gets the newest status; from then on it misses none.
    since = client.statuses[0] if client.statuses else max(told, default=0)
    assert client.statuses == [number for number in told if number >= since]
    check_candles(client, market)
    sent = market.messages if "message" in client.asked.events else []
    assert client.messages == [
        number
        for number, target in sent
        if number > client.came and target in (None, client.own_id, f"user:{client.name}")
    ]
    log = [event for event in market.log if wanted(client.subscription, event[1])]
    newest = {symbol: last for _, symbol, last in log if client.above is None or last > client.above}
    expected = [event for event in log if client.above is None or event[2] > client.above]
    last = {symbol: last for _, symbol, last in log}
    newest = {symbol: price for symbol, price in newest.items() if last[symbol] == price}
    if client.above is not None:
        assert client.members == {symbol for symbol, price in last.items() if price > client.above}
    assert {symbol: client.state.get(symbol) for symbol in newest} == newest
    if client.asked.delivery == "all":
        due = [event for event in expected if event[0] > client.since[event[1]]]
        assert [event for event in client.seen if event in set(due)] == due


def check_candles(client: Client, market: Market) -> None:
    """Each closed candle once, and for each symbol the one that forms as it is."""
    interval = client.asked.describe()["candles"]
    due = [
        (number, candle)
        for number, candle in market.closed
        if candle["interval"] == interval
        and wanted(client.subscription, candle["symbol"])
        and number > max(client.came, client.since[candle["symbol"]])
    ]
    assert [event for event in client.closed if event in due] == due
    if interval is None:
        assert client.closed == []
        return
    numbers = [number for number, _ in client.closed]
    assert numbers == sorted(set(numbers))
    for symbol, candle in market.forming(interval).items():
        if wanted(client.subscription, symbol):
            assert client.candles[symbol, candle["start"]] == candle


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_whatever_happens_readers_end_with_what_they_asked_for(seed: int) -> None:
    """Random trades, stalls, cuts and returns: everything exactly once for `all`, the exact state for `latest`."""
    rng = random.Random(seed)
    with pytest.MonkeyPatch.context() as patch:  # with few symbols, pieces have to be small to be several
        patch.setattr(catchup, "_PIECE", rng.choice([1, 2, 16]))
        patch.setattr(past, "_MOST_ITEMS", rng.choice([1, 64]))
        patch.setattr(past, "_FEW", rng.choice([1, 64]))
        patch.setattr(made, "_MOST_EVENTS", rng.choice([5, 20_000]))
        asyncio.run(_random_history(rng))


async def _step(market: Market, rng: random.Random, step: int) -> None:
    for _ in range(rng.randint(0, 3)):
        await market.trade(*[(rng.choice(SYMBOLS), float(rng.randint(0, 40))) for _ in range(rng.randint(1, 6))])
    market.second += rng.choice([0.0, 0.4, 3.0, 70.0])
    if rng.random() < 0.2:
        await market.pass_time()
    if rng.random() < 0.7:
        await market.tell_closed()
    if rng.random() < 0.1:
        await market.save()
    if rng.random() < 0.2:
        await market.tell("status", {"step": step})
    if rng.random() < 0.3:
        await market.tell(
            "note", {"step": step}, kind="message", target=rng.choice(["user:x", "user:y", "user:z", "x-3", None])
        )
    if rng.random() < 0.5:
        market.pace()


async def _random_history(rng: random.Random) -> None:
    market = Market(recent=rng.choice([3, 30, 1_000]))
    clients = [
        Client(
            market,
            Subscription(
                names, delivery=delivery, fields=fields, events=events, interval=interval, filter=text, candles=candles
            ),
            rng.choice("xyz"),
            rng.choice([IDENTITY, *CODINGS]),
        )
        for names in (["*"], ["A", "C"], ["E"], ["[", "B*"][1:], ["A", "B", "Q"])
        for delivery, interval in (("latest", 0), ("all", 0), ("latest", 1_000), ("latest", 3_000))
        for fields in [rng.choice([None, ("last",), ("last", "ts", "volume")])]
        for text in [rng.choice([None, "last > 20", "last > 5"])]
        for candles in [rng.choice([None, "1s", "5s", "1m"])]
        for events in [
            rng.choice([(), ("status",), ("status", "message")])
            + (("quote", "screen") if text else ("quote",))
            + (("candle",) if candles else ())
        ]
    ]
    for step in range(rng.randint(5, 40)):
        await _step(market, rng, step)
        client = rng.choice(clients)
        act = rng.choice([client.stall, client.drain, client.drip, client.cut, client.take_all, client.change])
        act(rng.random())
        if client.pending_change is not None:
            await market.order(client.pending_change)
            client.pending_change = None
            client.arrive()
        if rng.random() < 0.7:
            await market.settle()
    await market.tell_closed()
    for client in clients:
        client.sink.drain()
    for _ in range(8):
        await market.settle()
        market.pace(3.0)
    for client in clients:
        client.take(1.0)
        check(client, market)
        assert client.reader.live
    await check_totals(market)
    await market.close()


async def check_totals(market: Market) -> None:
    """What is counted for all is the sum of what is counted for each, those who are gone among them."""
    roster = market.hub.roster
    here, stats = await roster.select(Selection()), market.hub.stats()
    for name in ("stalls", "conflated", "gaps"):
        gone = sum(getattr(reader, name) for reader in market.readers if reader not in roster.channels)
        assert getattr(stats, name) == gone + sum(getattr(each, name) for each in here)


async def test_many_who_resume_from_far_back_walk_the_past_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A crowd of readers from the same distant id costs about as many applied records as one of them."""
    applied = []
    real = past.apply
    monkeypatch.setattr(past, "apply", lambda *given: applied.append(given) or real(*given))
    market = Market(recent=10)
    for price in range(100):
        await market.trade(("A", float(price)))
    history = market.hub.history()
    sinks = [HandSink() for _ in range(50)]
    for sink in sinks:
        subscription = Subscription(["A"], delivery="all")
        market.read(subscription, after(history, EventId(history.epoch, 20), subscription), sink)
    for _ in range(20):
        await market.settle()
    assert {len(sink.events()) for sink in sinks} == {80}
    assert len(applied) <= 100
    await market.close()


async def test_a_paced_reader_gets_the_newest_of_each_symbol_once_an_interval() -> None:
    """Between flushes nothing; with a flush each changed symbol once, newest, in the order of ids; equal for equals."""
    market = Market()
    await market.trade(("A", 1.0), ("B", 1.0))
    subscription = Subscription(["A", "B"], interval=1_000)
    sinks = [HandSink(), HandSink()]
    market.read(subscription, fresh(market.hub.history(), snapshot=True), sinks[0])
    await market.settle()
    assert [data["last"] for _, _, data in sinks[0].events()] == [1.0, 1.0]
    market.pace()
    market.read(subscription, fresh(market.hub.history(), snapshot=True), sinks[1])
    await market.settle()
    for sink in sinks:
        sink.bytes = b""
    for price in range(2, 6):
        await market.trade(("B", float(price)), ("A", float(price)))
        market.pace(0.1)
    assert sinks[0].bytes == sinks[1].bytes == b""
    market.pace(0.7)
    assert [(data["symbol"], data["last"]) for _, _, data in sinks[0].events()] == [("B", 5.0), ("A", 5.0)]
    assert sinks[0].bytes == sinks[1].bytes
    market.pace()
    assert len(sinks[0].events()) == 2
    assert market.hub.stats().channels == 1
    await market.close()


async def test_a_walker_that_retention_has_overtaken_is_let_go() -> None:
    """A reader from far back, then a cut just above where it stood, then another: served from a newer state."""
    market = Market(recent=10, keep=1_000)
    everything = Subscription(delivery="all")
    for number in range(40):
        await market.trade(*[("A", float(number))] * 100)
        await market.save()
        if number == 15:
            history = market.hub.history()
            sink = HandSink()
            sink.room = 1
            start = after(history, EventId(history.epoch, history.first + 50), everything)
            reader = market.read(everything, start, sink)
            await market.settle()
            reader.lost()
    assert market.journal.first > 1_600
    sink = HandSink()
    market.read(Subscription(delivery="all"), earliest(market.hub.history(), Subscription(delivery="all")), sink)
    for _ in range(20):
        await market.settle()
    numbers = [number for number, _, _ in sink.events()]
    assert numbers == list(range(market.hub.history().first, 4_001))
    await market.close()


async def test_a_gap_within_a_stream_does_not_send_ids_back() -> None:
    """A reader of all events that stalled beyond what is kept: a gap, then only what changed after its position."""
    market = Market(recent=10, keep=1_000)
    await market.trade(("OLD", 1.0))
    sink = HandSink()
    market.read(Subscription(delivery="all"), earliest(market.hub.history(), Subscription(delivery="all")), sink)
    await market.settle()
    sink.room = 1
    for number in range(40):
        await market.trade(*[("A", float(number))] * 100)
        await market.save()
    sink.drain()
    for _ in range(20):
        await market.settle()
    events = sink.events()
    assert [name for _, name, _ in events].count("gap") == 1
    numbers = [number for number, name, _ in events if name == "quote"]
    assert numbers == sorted(set(numbers))
    assert (numbers[0], numbers[-1]) == (1, 4_001)
    await market.close()


async def test_a_newest_only_reader_is_told_of_messages_that_expired() -> None:
    """Its quotes are there as they are now, but what was said meanwhile is gone: a gap, and ids that do not go back."""
    market = Market(recent=10, keep=1_000)
    await market.trade(("A", 1.0))
    sink = HandSink()
    subscription = Subscription(("A",), events=("quote", "message"))
    reader = market.read(subscription, fresh(market.hub.history(), snapshot=True), sink)
    await market.settle()
    sink.fill()
    await market.tell("note", {"n": 1}, kind="message")
    for number in range(40):
        await market.trade(*[("A", float(number))] * 100)
        await market.save()
    sink.forget()
    sink.drain()
    await market.settle()
    await market.tell("note", {"n": 2}, kind="message")
    assert [name for _, name, _ in sink.events()] == ["gap", "quote", "note"]
    assert (reader.gaps, reader.live) == (1, True)
    await market.close()


async def test_readers_that_change_together_share_what_is_due() -> None:
    """What a change owes them is there once, however many they are and however large the board."""
    market = Market()
    await market.trade(*[(f"S{number}", 1.0) for number in range(500)])
    asked, sinks = Subscription(("A",)), [HandSink() for _ in range(3)]
    readers = [market.read(asked, fresh(market.hub.history(), snapshot=True), sink) for sink in sinks]
    await market.settle()
    for sink in sinks:
        sink.fill()
    await market.order(Change("test", asked.describe(), Subscription(("*",)).describe()))
    assert all(reader.owed is readers[0].owed for reader in readers)
    await market.order(Change("test", asked.describe(), Subscription(("S1", "S2")).describe()))
    for sink in sinks:
        sink.forget()
        sink.drain()
    await market.settle()
    for sink in sinks:
        assert [data["symbol"] for _, name, data in sink.events() if name == "quote"] == ["S1", "S2"]
    await market.close()


async def test_who_starts_while_somebody_changes_it_has_the_change() -> None:
    """It is written down that all of them have it: who comes back with an id after it is taken to have seen it all."""
    market = Market()
    await market.trade(("A", 1.0), ("B", 1.0))
    asked, sink = Subscription(("A",)), HandSink()
    start = fresh(market.hub.history(), snapshot=True)  # the change before is over; then comes another
    await market.order(Change("test", asked.describe(), Subscription(("B",)).describe()))
    market.read(asked, start, sink)
    await market.settle()
    assert [data["symbol"] for _, name, data in sink.events() if name == "quote"] == ["B"]
    await market.close()


async def test_big_messages_make_the_recent_window_shorter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its memory is bounded in bytes too; what it let go is found in the journal."""
    monkeypatch.setattr(recent, "MOST_BYTES", 10_000)
    market = Market()
    await market.trade(("A", 1.0))
    start = after(market.hub.history(), EventId(market.journal.epoch, 1), Subscription(events=("message",)))
    for _ in range(100):
        await market.tell("note", {"text": "x" * 1_000}, kind="message")
    assert market.hub._recent.first > 90
    sink = HandSink()
    market.read(Subscription(events=("message",)), start, sink)
    await market.settle()
    assert [number for number, _, _ in sink.events()] == list(range(2, 102))
    await market.close()


@pytest.mark.parametrize("delivery", ["latest", "all"])
async def test_a_new_reader_gets_no_old_message_however_long_its_snapshot(delivery) -> None:
    """The state comes in pieces; what was said before the reader came is no part of it, the newest status is."""
    market = Market()
    for number in range(50):
        await market.trade((f"S{number}", 1.0))
        if number in (25, 40):
            await market.tell("note", {"n": number}, kind="message")
            await market.tell("status", {"n": number})
    sink = HandSink()
    subscription = Subscription(events=("quote", "status", "message"), delivery=delivery)
    market.read(subscription, fresh(market.hub.history(), snapshot=True), sink)
    await market.settle()
    await market.tell("note", {"n": 50}, kind="message")
    named = [(name, data["n"]) for _, name, data in sink.events() if name != "quote"]
    assert named == [("status", 40), ("note", 50)]
    await market.close()


@pytest.mark.parametrize("recent", [10, 1_000])
@pytest.mark.parametrize("delivery", ["latest", "all"])
async def test_many_big_messages_come_in_pieces(delivery, recent: int) -> None:
    """Whoever was away for long is not given all of them at once, from memory or from the journal: each in its turn."""
    market = Market(recent=recent)
    await market.trade(("A", 1.0))
    subscription = Subscription(events=("quote", "message"), delivery=delivery)
    start = after(market.hub.history(), EventId(market.journal.epoch, 1), subscription)
    for _ in range(150):
        await market.tell("note", {"text": "x" * 5_000}, kind="message")
    sink = HandSink()
    sink.room = 1
    reader = market.read(subscription, start, sink)
    numbers = []
    while not reader.live:
        await market.settle()
        assert len(sink.bytes) <= 100_000
        numbers += [number for number, _, _ in sink.events()]
        sink.forget()
        sink.drain(1)
    assert numbers == list(range(2, 152))
    await market.close()
