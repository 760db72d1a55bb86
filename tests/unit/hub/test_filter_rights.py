"""Readers whose tokens have a filter: they receive nothing about symbols that do not match, on any path."""

from __future__ import annotations

import random

import pytest

from tickwire.core.event_id import EventId
from tickwire.core.instrument import Instrument
from tickwire.errors import ScreenLimitReached
from tickwire.hub import pacer
from tickwire.hub.catchup import catch_up, history_replayer, step_queue
from tickwire.hub.catchup.resume import start_after, start_at_earliest, start_fresh
from tickwire.hub.fanout import ranked_screens
from tickwire.screens.screen import parse_screen
from tickwire.sessions.admin_events import SubscriptionChanged
from tickwire.sessions.rights import Rights
from tickwire.sessions.subscription import Subscription
from tickwire.testing.hub_harness import HubHarness
from tickwire.testing.manual_sink import ManualSink
from tickwire.testing.marks import short_and_long

SYMBOLS = ("A1", "A2", "A3", "B1", "B2")
EVENTS = ("quote", "screen")


def own_bound(subscription: Subscription) -> float:
    return float(str(subscription.screen).rpartition(" ")[2]) if subscription.screen else -1.0


class Client:
    """A client whose token allows symbols only while `last > bound`."""

    def __init__(self, market: HubHarness, subscription: Subscription, bound: int, number: int) -> None:
        self.market, self.requested, self.subscription, self.bound = market, subscription, subscription, bound
        self.rights = Rights(user="ann", filter=parse_screen(f"last > {bound}"))
        self.client_id = f"c{number}"
        self.members: set[str] = set()
        self.state: dict[str, float] = {}
        self.log: list[tuple[int, str, float]] = []
        self.last: EventId | None = None
        self.connect()

    def connect(self) -> None:
        history = self.market.hub.journal_range()
        if self.last is not None:
            start = start_after(history, self.last, self.requested)
        elif self.requested.delivery == "all":
            start = start_at_earliest(history, self.requested)
        else:
            start = start_fresh(history, needs_snapshot=True)
        self.sink = ManualSink()
        self.reader = self.market.open_reader(self.requested, start, self.sink, self.client_id, rights=self.rights)

    def receive(self, share: float = 1.0) -> None:
        events = self.sink.events()
        for number, name, data in events[: round(len(events) * share)]:
            if number is not None:
                assert self.last is None or number > self.last.sequence, "ids never go back"
                self.last = EventId(self.market.journal.epoch, number)
            if name == "leave":
                assert data["quote"] == {"symbol": data["symbol"]}, "the quote that does not match is hidden"
                self.members.remove(data["symbol"])
            elif name == "matches":
                self.members = {*data["symbols"]}
            elif name in ("enter", "quote"):
                quote = data["quote"] if name == "enter" else data
                assert quote["last"] > self.bound, (name, data)
                self._add(number, name, quote)
        self.sink.clear()

    def _add(self, number: int | None, name: str, quote: dict) -> None:
        self.state[quote["symbol"]] = quote["last"]
        if name == "enter":
            self.members.add(quote["symbol"])
        elif number is not None:
            self.log.append((number, quote["symbol"], quote["last"]))

    def disconnect(self, share: float) -> None:
        self.receive(share)
        self.reader.on_disconnected()
        self.connect()

    async def change(self, rng: random.Random) -> None:
        self.subscription = self.subscription.with_changes(
            filter=rng.choice([None, "last > 2", "last > 7"]), symbols=rng.choice([["*"], ["A*"], ["A1", "B2"]])
        )
        await self.market.append_admin_event(
            SubscriptionChanged(self.client_id, self.requested.describe(), self.subscription.describe(), "user:ann")
        )

    def check(self, prices: dict[str, float]) -> None:
        self.receive()
        bound = max(self.bound, own_bound(self.subscription))
        matching = {
            symbol: last for symbol, last in prices.items() if last > bound and self.subscription.includes(symbol)
        }
        if ranking := self.subscription.ranking:
            first = sorted(matching, key=lambda symbol: (-matching[symbol], symbol))[: ranking.top]
            matching = {symbol: matching[symbol] for symbol in first}
        if "screen" in self.subscription.events:
            assert self.members == {*matching}
        assert {symbol: self.state.get(symbol) for symbol in matching} == matching
        if self.requested.delivery == "all":
            included = [trade for trade in self.market.published_trades if self.subscription.includes(trade[1])]
            assert self.log == [trade for trade in included if trade[2] > bound]


def random_client(market: HubHarness, rng: random.Random, number: int) -> Client:
    delivery, interval = rng.choice([("latest", 0), ("all", 0), ("latest", 1_000)])
    own_filter = rng.choice([None, None, "last > 2", "last > 7"])
    is_ranked = delivery == "latest" and rng.random() < 0.3
    subscription = Subscription(
        rng.choice([["*"], ["A*"], ["A1", "B2", "Q"]]),
        events=EVENTS if (own_filter or is_ranked) and rng.random() < 0.7 else ("quote",),
        delivery=delivery,
        interval=interval,
        filter=own_filter,
        order="last desc" if is_ranked else None,
        top=rng.choice([1, 2, 3]),
    )
    return Client(market, subscription, rng.choice([3, 5]), number)


@short_and_long("seed_count", 12, 400)
async def test_no_reader_receives_a_quote_that_does_not_match(seed_count, monkeypatch) -> None:
    monkeypatch.setattr(pacer, "_MAX_RANKING_S", 60.0)
    first_seed = random.randrange(2**32)
    for seed in range(first_seed, first_seed + seed_count):
        print(f"seed {seed}")
        rng = random.Random(seed)
        monkeypatch.setattr(catch_up, "_MAX_BATCH_EVENTS", rng.choice([1, 2, 16]))
        monkeypatch.setattr(catch_up, "_MAX_BATCH_EVENTS_AFTER_STALL", rng.choice([1, 2, 16]))
        monkeypatch.setattr(history_replayer, "_MAX_RECORDS", rng.choice([1, 64]))
        monkeypatch.setattr(step_queue, "_MAX_TURN_S", rng.choice([0.0, 1e9]))
        market, prices = HubHarness(recent_events=rng.choice([5, 1_000])), dict[str, float]()
        clients = [random_client(market, rng, number) for number in range(8)]
        for _ in range(rng.randint(5, 40)):
            trades = [(rng.choice(SYMBOLS), float(rng.randint(0, 9))) for _ in range(rng.randint(0, 5))]
            if trades:
                await market.append_trades(*trades)
                prices.update(trades)
            await act(rng.choice(clients), rng)
            if rng.random() < 0.6:
                await market.run_until_idle()
            if rng.random() < 0.2:
                await check_all(market, clients, prices)
        await check_all(market, clients, prices)
        await market.close()
        assert not market.hub._router.screen_router.is_in_use
        assert not market.hub._router.screen_router._required_numbers


async def act(client: Client, rng: random.Random) -> None:
    """Let a client or the network do something."""
    match rng.randrange(6):
        case 0:
            client.sink.writes_left = 1
        case 1:
            client.sink.drain(writes=rng.choice([None, 1, 2]))
        case 2:
            client.disconnect(rng.random())
        case 3 if client.last is not None and client.requested.delivery == "latest":
            await client.change(rng)
        case 4:
            client.receive()
        case 5:
            client.market.flush_paced_channels(rng.choice([0.1, 1.0]))


async def check_all(market: HubHarness, clients: list[Client], prices: dict[str, float]) -> None:
    for client in clients:
        client.sink.drain()
    for _ in range(6):
        await market.run_until_idle()
        market.flush_paced_channels(2.0)
    for client in clients:
        client.check(prices)


def reader_of(market: HubHarness, rights: Rights, subscription: Subscription) -> ManualSink:
    sink = ManualSink()
    start = start_fresh(market.hub.journal_range(), needs_snapshot=True)
    market.open_reader(subscription, start, sink, rights=rights)
    return sink


async def test_a_status_lists_only_halted_symbols_that_match_now() -> None:
    market = HubHarness()
    await market.append_trades(("A", 1), ("B", 9), ("C", 8))
    sink = reader_of(market, Rights(filter=parse_screen("last > 5")), Subscription(events=["status"]))
    await market.append_named_event("status", {"halted": ["A", "B", "D"]})
    await market.append_named_event("status", {"symbol": "A", "halted": ["A"]})
    await market.append_trades(("B", 2))
    await market.append_named_event("status", {"symbol": "C", "halted": ["A", "B", "C"]})
    await market.run_until_idle()
    assert [(data["symbol"], data["halted"]) for _, _, data in sink.events()] == [(None, ["B"]), ("C", ["C"])]
    await market.close()


@pytest.mark.parametrize("interval", [0, 1_000])
async def test_candles_are_sent_only_for_symbols_that_match_reference_data(interval) -> None:
    market = HubHarness()
    market.board.instruments.update(
        {symbol: Instrument(symbol=symbol, exchange="NYSE" if symbol == "A" else "LSE") for symbol in ("A", "B")}
    )
    rights = Rights(filter=parse_screen('exchange = "NYSE"'))
    requested = Subscription(events=["quote", "candle", "message"], candles="1m", interval=interval)
    sinks = [reader_of(market, rights, requested)]
    await market.append_trades(("A", 1), ("B", 2))
    await market.append_named_event("note", {}, kind="message", target=None)
    sinks.append(reader_of(market, rights, requested))
    market.market_time_s += 90
    await market.append_trades(("A", 3), ("B", 4))
    await market.append_closed_candles()
    first = start_after(market.hub.journal_range(), EventId(market.journal.epoch, 1), requested)
    sinks.append(ManualSink())
    market.open_reader(requested, first, sinks[-1], "late", rights=rights)
    for _ in range(4):
        await market.run_until_idle()
        market.flush_paced_channels(2.0)
    for sink in sinks:
        events = sink.events()
        assert {data["symbol"] for _, name, data in events if name in ("quote", "candle")} == {"A"}
        assert {data["closed"] for _, name, data in events if name == "candle"} == {True, False}
    # Messages are not affected.
    assert [sum(name == "note" for _, name, _ in sink.events()) for sink in sinks] == [1, 0, 1]
    await market.close()


def test_a_filter_of_prices_allows_no_candles_and_corrections() -> None:
    rights = Rights(filter=parse_screen("last > 5"))
    allowed = rights.restrict(Subscription(events=["quote", "candle", "correction", "status"], candles="1m"))
    assert allowed.events == ("quote", "status")
    assert rights.event_kinds == ("quote", "screen", "status", "message")
    assert Rights(filter=parse_screen('sector = "Energy" or tick_size > 1')).event_kinds is None
    assert Rights(events=("quote", "candle"), filter=parse_screen("last > 5")).event_kinds == ("quote",)


async def test_a_channel_without_room_for_its_screen_leaves_no_filter_behind(monkeypatch) -> None:
    monkeypatch.setattr(ranked_screens, "MAX_RANKED_SCREENS", 0)
    market = HubHarness()
    with pytest.raises(ScreenLimitReached):
        reader_of(market, Rights(filter=parse_screen("last > 5")), Subscription(order="last", top=1))
    assert len(market.hub._router.screen_router._ensure_index()) == 0
    await market.close()
