"""The hub compared with a simple model: random markets, and readers that stall, disconnect, return and change."""

from __future__ import annotations

import asyncio
import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickwire.core.event_id import EventId
from tickwire.hub import dispatcher
from tickwire.hub.catchup import catch_up, history_replayer, replay_cache, step_queue
from tickwire.hub.catchup.resume import StreamStart, start_after, start_at_earliest, start_fresh
from tickwire.hub.client_list import ClientQuery
from tickwire.hub.fanout.reader import Reader
from tickwire.hub.fanout.reader_state import READER_TRANSITIONS, ReaderState
from tickwire.sessions.admin_events import SubscriptionChanged
from tickwire.sessions.subscription import Subscription
from tickwire.sse.compression import CODINGS, IDENTITY, ContentCoding
from tickwire.testing.hub_harness import HubHarness
from tickwire.testing.manual_sink import ManualSink
from tickwire.testing.marks import short_and_long

SYMBOLS = ("A", "B", "C", "D", "E")


def is_subscribed(subscription: Subscription, symbol: str) -> bool:
    return subscription.includes_all_symbols or symbol in subscription.symbols or subscription.matches_pattern(symbol)


def filter_threshold(subscription: Subscription) -> float | None:
    """Return the bound of a filter `last > bound`; None without a filter."""
    found = re.search(r"last > (\S+)", str(subscription.screen))
    return None if found is None else float(found[1])


class SimulatedClient:
    """A client that applies events to its own state, across connections, as a program with an EventSource does.

    `requested` is the subscription that the client requests, and `subscription` is the current one. After the event
    `subscribed_since[symbol]`, the client must receive every event of the symbol. After the event `opened_at`, the
    client must receive every message. `candles` maps a symbol and a start to the candle. `members` are the symbols that
    match the filter according to the `matches`, `enter` and `leave` events alone.
    """

    def __init__(self, market: HubHarness, subscription: Subscription, name: str, coding: ContentCoding) -> None:
        self.market = market
        self.requested = self.subscription = subscription
        self.client_id = f"{name}-{len(market.all_readers)}"
        self.name = name
        self.coding = coding
        self.messages: list[int] = []
        self.opened_at = 0
        self.quotes: list[tuple[int, str, float]] = []
        self.state: dict[str, float] = {}
        self.subscribed_since = dict.fromkeys(SYMBOLS, 0)
        self.pending_change: SubscriptionChanged | None = None
        self.candles: dict[tuple[str, int], dict] = {}
        self.closed_candles: list[tuple[int, dict]] = []
        self.members: set[str] = set()
        self.threshold = filter_threshold(subscription)
        self.statuses: list[int] = []
        self.last: EventId | None = None
        self.connect()

    def connect(self) -> None:
        history = self.market.hub.journal_range()
        if self.last is not None:
            start = start_after(history, self.last, self.requested)
            # A client that was disconnected during its snapshot receives the messages since its last id.
            self.opened_at = min(self.opened_at, self.last.sequence)
        elif self.requested.delivery == "all":
            start = start_at_earliest(history, self.requested)
        else:
            start = start_fresh(history, needs_snapshot=True)
            # A client without an id is a new reader, which receives only later messages.
            self.opened_at = self.market.hub.head.sequence
        # A client that reconnects without an id has its requested subscription. The server publishes this change.
        if self.last is None and self.subscription != self.requested:
            self.subscription = self.requested
            self.subscribed_since = dict.fromkeys(SYMBOLS, 0)
            self.pending_change = SubscriptionChanged(
                self.client_id, self.requested.describe(), self.requested.describe(), f"user:{self.name}"
            )
        self.threshold = self.threshold_in_force = filter_threshold(self.subscription)
        self.sink = ManualSink()
        self.start: StreamStart | None = start
        if self.pending_change is None:
            self.open_if_pending()

    def open_if_pending(self) -> None:
        """Open the reader, unless it is open. A pending change must be published before this call."""
        if self.start is not None:
            self.reader = self.market.open_reader(
                self.requested, self.start, self.sink, self.client_id, self.name, self.coding
            )
            self.start = None

    def receive(self, share: float) -> None:
        """Receive a part of the written events. The remaining events are lost with the connection."""
        events = self.sink.events(self.coding)
        for number, name, data in events[: round(len(events) * share)]:
            self._apply_event(number, name, data)
            # After a change, the `subscription` event and the old quotes of added symbols have no ids.
            if number is None:
                continue
            assert self.last is None or number > self.last.sequence, "ids never go back"
            if name == "quote":
                self.quotes.append((number, data["symbol"], data["last"]))
            elif name == "status":
                self.statuses.append(number)
            elif name == "note":
                self.messages.append(number)
            self.last = EventId(self.market.journal.epoch, number)
        self.sink.clear()

    def _apply_event(self, number: int | None, name: str, data: dict) -> None:
        if name == "quote":
            self.state[data["symbol"]] = data["last"]
            assert number is None or self.threshold_in_force is None or data["last"] > self.threshold_in_force
        elif name == "candle":
            self._apply_candle(number, data)
        elif name == "matches":
            self.members = set(data["symbols"])
        elif name == "subscription":
            self.threshold_in_force = data["filter"] and filter_threshold(Subscription(filter=data["filter"]))
        elif name == "enter":
            assert data["symbol"] not in self.members
            assert data["quote"]["last"] > self.threshold_in_force
            self.members.add(data["symbol"])
        elif name == "leave":
            self.members.remove(data["symbol"])

    def _apply_candle(self, number: int | None, data: dict) -> None:
        assert data["interval"] == self.requested.describe()["candles"]
        assert data["closed"] == (number is not None)
        before = self.candles.get((data["symbol"], data["start"]))
        assert before is None or not before["closed"], "nothing changes a closed candle"
        self.candles[data["symbol"], data["start"]] = data
        if number is not None:
            self.closed_candles.append((number, data))

    def stall(self, _: float) -> None:
        self.sink.writes_left = 1

    def drip(self, share: float) -> None:
        self.sink.drain(writes=1 + round(share * 2))

    def drain(self, _: float) -> None:
        self.sink.drain()

    def receive_all(self, _: float) -> None:
        self.receive(1.0)

    def change(self, share: float) -> None:
        """Change the symbols, the pace or the filter."""
        rng = random.Random(share)
        interval = self.subscription.interval_ms and rng.choice([1_000, 3_000])
        symbols = rng.sample(SYMBOLS, rng.randint(0, 4))
        text = self.subscription.describe()["filter"]
        if self.requested.delivery == "latest":
            text = text and f"last > {rng.randint(0, 40)}"
        changed = self.subscription.with_changes(symbols=symbols, interval=interval, filter=text)
        self.threshold = filter_threshold(changed)
        self.pending_change = SubscriptionChanged(
            self.client_id, self.requested.describe(), changed.describe(), f"user:{self.name}"
        )
        for symbol in SYMBOLS:
            if not is_subscribed(self.subscription, symbol):
                self.subscribed_since[symbol] = self.market.hub.head.sequence
        self.subscription = changed

    def disconnect(self, share: float) -> None:
        self.receive(share)
        self.reader.on_disconnected()
        self.connect()


def check_client(client: SimulatedClient, market: HubHarness) -> None:
    sent_statuses = market.status_sequences if "status" in client.requested.events else []
    # A new reader receives the newest status, and every later status.
    since = client.statuses[0] if client.statuses else max(sent_statuses, default=0)
    assert client.statuses == [number for number in sent_statuses if number >= since]
    check_candles(client, market)
    sent_messages = market.published_messages if "message" in client.requested.events else []
    assert client.messages == [
        number
        for number, target in sent_messages
        if number > client.opened_at and target in (None, client.client_id, f"user:{client.name}")
    ]
    log = [event for event in market.published_trades if is_subscribed(client.subscription, event[1])]
    newest = {symbol: last for _, symbol, last in log if client.threshold is None or last > client.threshold}
    expected = [event for event in log if client.threshold is None or event[2] > client.threshold]
    last = {symbol: last for _, symbol, last in log}
    newest = {symbol: price for symbol, price in newest.items() if last[symbol] == price}
    if client.threshold is not None:
        assert client.members == {symbol for symbol, price in last.items() if price > client.threshold}
    assert {symbol: client.state.get(symbol) for symbol in newest} == newest
    if client.requested.delivery == "all":
        due = [event for event in expected if event[0] > client.subscribed_since[event[1]]]
        assert [event for event in client.quotes if event in set(due)] == due


def check_candles(client: SimulatedClient, market: HubHarness) -> None:
    """The client has each closed candle once, and the current open candle of each symbol."""
    interval = client.requested.describe()["candles"]
    due = [
        (number, candle)
        for number, candle in market.closed_candles
        if candle["interval"] == interval
        and is_subscribed(client.subscription, candle["symbol"])
        and number > max(client.opened_at, client.subscribed_since[candle["symbol"]])
    ]
    assert [event for event in client.closed_candles if event in due] == due
    if interval is None:
        assert client.closed_candles == []
        return
    numbers = [number for number, _ in client.closed_candles]
    assert numbers == sorted(set(numbers))
    for symbol, candle in market.open_candles(interval).items():
        if is_subscribed(client.subscription, symbol):
            assert client.candles[symbol, candle["start"]] == candle


@short_and_long("examples", 15, 500)
def test_readers_end_with_the_state_and_events_of_their_requests(examples: int) -> None:
    settings(max_examples=examples)(given(st.integers(0, 2**32))(_check_random_history))()


def _check_random_history(seed: int) -> None:
    """Check that clients receive each event once with `delivery=all`, and the exact state with `delivery=latest`."""
    rng = random.Random(seed)
    with pytest.MonkeyPatch.context() as patch:
        # With few symbols, a catch-up has several batches only if the batches are small.
        patch.setattr(catch_up, "_MAX_BATCH_EVENTS", rng.choice([1, 2, 16]))
        patch.setattr(catch_up, "_MAX_BATCH_EVENTS_AFTER_STALL", rng.choice([1, 2, 16]))
        patch.setattr(history_replayer, "_MAX_RECORDS", rng.choice([1, 64]))
        patch.setattr(history_replayer, "_MIN_READ_EVENTS", rng.choice([1, 64]))
        patch.setattr(replay_cache, "_MAX_EVENTS", rng.choice([5, 20_000]))
        patch.setattr(dispatcher, "MIN_DEFERRED_PAIRS", rng.choice([0, 4, 256]))
        # Each turn performs either one step or all steps, so that a seed always leads to the same history.
        patch.setattr(step_queue, "_MAX_TURN_S", rng.choice([0.0, 1e9]))
        transitions = record_transitions(patch)
        asyncio.run(_random_history(rng))
        assert all(state in READER_TRANSITIONS[before] for before, state in transitions)


def record_transitions(patch: pytest.MonkeyPatch) -> set[tuple[ReaderState, ReaderState]]:
    """Record every requested transition. A broad `except` may hide the error that a forbidden transition raises."""
    transitions: set[tuple[ReaderState, ReaderState]] = set()
    enter = Reader.enter

    def recorded_enter(reader: Reader, state: ReaderState) -> None:
        transitions.add((reader.state, state))
        enter(reader, state)

    patch.setattr(Reader, "enter", recorded_enter)
    return transitions


async def _step(market: HubHarness, rng: random.Random, step: int) -> None:
    for _ in range(rng.randint(0, 3)):
        await market.append_trades(
            *[(rng.choice(SYMBOLS), float(rng.randint(0, 40))) for _ in range(rng.randint(1, 6))]
        )
    market.market_time_s += rng.choice([0.0, 0.4, 3.0, 70.0])
    if rng.random() < 0.2:
        await market.append_clock_event()
    if rng.random() < 0.7:
        await market.append_closed_candles()
    if rng.random() < 0.1:
        await market.save_snapshot()
    if rng.random() < 0.2:
        await market.append_named_event("status", {"step": step})
    if rng.random() < 0.3:
        await market.append_named_event(
            "note", {"step": step}, kind="message", target=rng.choice(["user:x", "user:y", "user:z", "x-3", None])
        )
    if rng.random() < 0.5:
        market.flush_paced_channels()


async def _random_history(rng: random.Random) -> None:
    market = HubHarness(recent_events=rng.choice([3, 30, 1_000]))
    clients = [
        SimulatedClient(
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
        for text in [rng.choice([None, "last > 20", "last > 5", 'symbol like "_%" and last > 5'])]
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
        action = rng.choice(
            [client.stall, client.drain, client.drip, client.disconnect, client.receive_all, client.change]
        )
        action(rng.random())
        if client.pending_change is not None:
            await market.append_admin_event(client.pending_change)
            client.pending_change = None
            client.open_if_pending()
        if rng.random() < 0.7:
            await market.run_until_idle()
    await market.append_closed_candles()
    for client in clients:
        client.sink.drain()
    for _ in range(8):
        await market.run_until_idle()
        market.flush_paced_channels(3.0)
    for client in clients:
        client.receive(1.0)
        check_client(client, market)
        assert client.reader.is_live
    await check_totals(market)
    await market.close()


async def check_totals(market: HubHarness) -> None:
    """The totals of the hub equal the sums over all readers, including closed readers."""
    roster = market.hub.roster
    connected, stats = await roster.query_clients(ClientQuery()), market.hub.stats()
    for name, listed in (("stalls", "stalls"), ("conflated_quotes", "conflated"), ("gaps", "gaps")):
        closed = sum(getattr(reader, name) for reader in market.all_readers if reader not in roster.channels)
        assert getattr(stats, name) == closed + sum(getattr(client, listed) for client in connected)
