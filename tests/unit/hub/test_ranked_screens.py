"""Top-N screens compared with a simple model, and the streams of their readers."""

from __future__ import annotations

import math
import random

import pytest

from tickwire.core.event_id import EventId
from tickwire.errors import ScreenLimitReached
from tickwire.hub import pacer
from tickwire.hub.catchup import catch_up
from tickwire.hub.catchup.resume import start_after, start_fresh
from tickwire.hub.catchup.state_changes import StateChanges
from tickwire.hub.fanout import ranked_screens
from tickwire.sessions.admin_events import SubscriptionChanged
from tickwire.sessions.rights import Rights
from tickwire.sessions.subscription import Subscription
from tickwire.testing.hub_harness import HubHarness
from tickwire.testing.manual_sink import ManualSink
from tickwire.testing.marks import short_and_long

EVENTS = ("quote", "screen")
SYMBOLS = [f"{letter}{number}" for letter in "AB" for number in range(6)]


def rank(prices: dict[str, float], subscription: Subscription) -> list[str]:
    """Return the symbols of the top-N screen of a subscription, the best first."""
    assert subscription.ranking is not None
    bound = float(str(subscription.screen).rpartition(" ")[2]) if subscription.screen else -math.inf
    key, _, direction = subscription.ranking.order.rpartition(" ")
    sign = -1 if direction == "desc" else 1

    def sort_key(symbol: str) -> tuple[float, str]:
        last = prices[symbol]
        value = last if key == "last" else None if last == 5 else 1 / (last - 5)
        return (math.inf if value is None else sign * value, symbol)

    included = [symbol for symbol, last in prices.items() if last > bound and subscription.includes(symbol)]
    return sorted(included, key=sort_key)[: subscription.ranking.top]


class Client:
    """A client that applies the events of a top-N screen, and resumes after its last id."""

    def __init__(self, market: HubHarness, subscription: Subscription, number: int) -> None:
        self.market, self.requested, self.subscription = market, subscription, subscription
        self.client_id = f"c{number}"
        self.members: set[str] = set()
        self.quotes: dict[str, float] = {}
        self.last: EventId | None = None
        self.connect()

    def connect(self) -> None:
        history = self.market.hub.journal_range()
        start = start_fresh(history, needs_snapshot=True)
        if self.last is not None:
            start = start_after(history, self.last, self.requested)
        self.sink = ManualSink()
        self.reader = self.market.open_reader(
            self.requested, start, self.sink, self.client_id, rights=Rights(user="ann")
        )

    def receive(self, share: float = 1.0) -> None:
        events = self.sink.events()
        for number, name, data in events[: round(len(events) * share)]:
            if number is not None:
                assert self.last is None or number > self.last.sequence, "ids never go back"
                self.last = EventId(self.market.journal.epoch, number)
            if name == "matches":
                self.members = set(data["symbols"])
            elif name == "enter":
                assert data["symbol"] not in self.members
                self.members.add(data["symbol"])
                self.quotes[data["symbol"]] = data["quote"]["last"]
            elif name == "leave":
                self.members.remove(data["symbol"])
            elif name == "quote":
                self.quotes[data["symbol"]] = data["last"]
        self.sink.clear()

    def disconnect(self, share: float) -> None:
        self.receive(share)
        self.reader.on_disconnected()
        self.connect()

    async def change(self, rng: random.Random) -> None:
        self.subscription = self.subscription.with_changes(
            order=rng.choice(["last desc", "last asc"]), top=rng.choice([1, 3, 20]),
            filter=rng.choice([None, "last > 4"]), symbols=rng.choice([["*"], ["A*"], ["A1", "B2", "B3"]]),
        )  # fmt: skip
        await self.market.append_admin_event(
            SubscriptionChanged(self.client_id, self.requested.describe(), self.subscription.describe(), "user:ann")
        )

    def check(self, prices: dict[str, float]) -> None:
        self.receive()
        expected = rank(prices, self.subscription)
        if "screen" in self.subscription.events:
            assert self.members == {*expected}
        if "quote" in self.subscription.events:
            assert {symbol: self.quotes.get(symbol) for symbol in expected} == {
                symbol: prices[symbol] for symbol in expected
            }


def random_subscription(rng: random.Random) -> Subscription:
    return Subscription(
        rng.choice([["*"], ["A*"], ["A1", "A2", "B9", "B1"]]),
        events=rng.choice([["quote", "screen"], ["quote"], ["screen"], ["quote", "screen", "status"], ["status"]]),
        filter=rng.choice([None, None, "last > 4"]),
        order=rng.choice(["last desc", "last asc", "1 / (last - 5) desc", "1 / (last - 5)"]),
        top=rng.choice([1, 2, 5, 50]),
        interval=rng.choice([0, 1_000]),
    )


async def settle(market: HubHarness) -> None:
    """Let every reader join its channel, and flush every channel."""
    for _ in range(6):
        await market.run_until_idle()
        market.flush_paced_channels(2.0)


@short_and_long("seed_count", 12, 400)
async def test_readers_end_with_the_symbols_and_quotes_of_their_screen(seed_count, monkeypatch) -> None:
    monkeypatch.setattr(pacer, "_MAX_RANKING_S", 60.0)
    first_seed = random.randrange(2**32)
    for seed in range(first_seed, first_seed + seed_count):
        print(f"seed {seed}")
        rng = random.Random(seed)
        monkeypatch.setattr(ranked_screens, "_CANDIDATES_PER_SYMBOL", rng.choice([1, 2, 4]))
        monkeypatch.setattr(catch_up, "_MAX_BATCH_EVENTS", rng.choice([1, 2, 16]))
        monkeypatch.setattr(catch_up, "_MAX_BATCH_EVENTS_AFTER_STALL", rng.choice([1, 2, 16]))
        await check_random_history(rng)


async def check_random_history(rng: random.Random) -> None:
    market, prices = HubHarness(recent_events=rng.choice([5, 1_000])), dict[str, float]()
    clients = [Client(market, random_subscription(rng), number) for number in range(8)]
    for step in range(rng.randint(5, 40)):
        trades = [(rng.choice(SYMBOLS), float(rng.randint(0, 9))) for _ in range(rng.randint(0, 4))]
        if trades:
            await market.append_trades(*trades)
            prices.update(trades)
        if rng.random() < 0.1:
            await market.append_named_event("status", {"step": step})
        await act(rng.choice(clients), rng)
        if rng.random() < 0.6:
            await market.run_until_idle()
        if rng.random() < 0.2:
            await check_all(market, clients, prices)
    await check_all(market, clients, prices)
    for client in clients:
        assert client.reader.is_live
        client.reader.on_disconnected()
    await market.run_until_idle()
    assert len(market.hub._router.screen_router._ranked_screens) == 0
    assert not market.hub._router.screen_router.is_in_use
    await market.close()


async def act(client: Client, rng: random.Random) -> None:
    """Let a client or the network do something."""
    match rng.randrange(7):
        case 0:
            client.sink.writes_left = 1
        case 1:
            client.sink.drain(writes=rng.choice([None, 1, 2]))
        case 2:
            client.disconnect(rng.random())
        case 3 if client.last is not None and client.reader.close_reason is None:
            await client.change(rng)
        case 4:
            client.receive()
        case 5:
            client.market.flush_paced_channels(rng.choice([0.1, 1.0]))


async def check_all(market: HubHarness, clients: list[Client], prices: dict[str, float]) -> None:
    for client in clients:
        client.sink.drain()
    await settle(market)
    for client in clients:
        client.check(prices)


async def test_a_screen_of_many_symbols_equals_a_sort() -> None:
    """With many equal and missing values, the order of the symbols decides."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng, market, prices = random.Random(seed), HubHarness(), dict[str, float]()
    subscription = Subscription(["*"], events=EVENTS, filter="last > 1", order=rng.choice(["last desc", "last"]), top=7)
    client = Client(market, subscription, 1)
    for _ in range(60):
        trades = [(f"S{rng.randrange(3000)}" * rng.choice([1, 2]), float(rng.randint(0, 3))) for _ in range(200)]
        await market.append_trades(*trades)
        prices.update(trades)
        await settle(market)
        client.check(prices)
        assert client.members == {*rank(prices, subscription)}
    await market.close()


async def test_matches_lists_the_best_symbol_first() -> None:
    market = HubHarness()
    await market.append_trades(("A", 1), ("B", 3), ("C", 2), ("D", 3))
    client = Client(market, Subscription(events=EVENTS, order="last desc", top=3), 1)
    await market.run_until_idle()
    assert client.sink.events()[0] == (None, "matches", {"filter": None, "symbols": ["B", "D", "C"]})
    await market.close()


async def test_channels_with_the_same_screen_evaluate_it_once(monkeypatch) -> None:
    """Many readers with different fields of the same top-N screen cost one evaluation."""
    monkeypatch.setattr(pacer, "_MAX_RANKING_S", 60.0)
    market = HubHarness()
    await market.append_trades(*[(f"S{number}", number) for number in range(50)])
    evaluated = list[int]()
    for name in ("_search", "_update"):
        method = getattr(ranked_screens.RankedScreen, name)

        def counted(screen, *arguments, method=method):
            evaluated.append(market.hub.head.sequence)
            return method(screen, *arguments)

        monkeypatch.setattr(ranked_screens.RankedScreen, name, counted)
    clients = [
        Client(market, Subscription(order="last desc", top=5, fields=fields), number)
        for number, fields in enumerate([("last",), ("bid",), None] * 300)
    ]
    await settle(market)
    await market.append_trades(("S1", 99))
    market.flush_paced_channels()
    assert len(evaluated) == 2
    assert all(client.sink.events()[-1][2]["symbol"] == "S1" for client in clients)
    await market.close()


async def test_the_number_of_screens_is_limited(monkeypatch) -> None:
    monkeypatch.setattr(ranked_screens, "MAX_RANKED_SCREENS", 2)
    market = HubHarness()
    for top in (1, 2):
        Client(market, Subscription(order="last desc", top=top), top)
    with pytest.raises(ScreenLimitReached, match="top-N"):
        Client(market, Subscription(order="last desc", top=3), 3)
    with pytest.raises(ScreenLimitReached):
        await market.hub.reserve_screen(Subscription(order="last desc", top=3), None)
    await market.close()
    assert len(market.hub._router.channels) == 0
    with await market.hub.reserve_screen(Subscription(order="last desc", top=3), None):
        assert market.hub._router.screen_router.is_in_use
    assert not market.hub._router.screen_router.is_in_use


async def test_a_flush_leaves_screens_for_the_next_flush_if_they_take_too_long(monkeypatch) -> None:
    monkeypatch.setattr(pacer, "_MAX_RANKING_S", 1e-9)
    market = HubHarness()
    await market.append_trades(("A", 1.0))
    clients = [Client(market, Subscription(order="last desc", top=top), top) for top in (1, 2, 3)]
    await market.run_until_idle()
    for live in (1, 2, 3):
        market.flush_paced_channels(0.001)
        assert sum(client.reader.state.name == "LIVE" for client in clients) == live
    await market.close()


async def test_every_screen_has_its_turn_if_the_evaluation_of_all_takes_longer_than_their_intervals(
    monkeypatch,
) -> None:
    monkeypatch.setattr(pacer, "_MAX_RANKING_S", 1e-9)
    market = HubHarness()
    await market.append_trades(("A", 1.0))
    clients = [Client(market, Subscription(order="last desc", top=top), top) for top in (1, 2, 3)]
    await market.run_until_idle()
    # All screens are due again at each of these flushes, and a flush evaluates only one of them.
    for _ in clients:
        market.flush_paced_channels(0.2)
    assert all(client.reader.state.name == "LIVE" for client in clients)
    for price in (2.0, 3.0):
        await market.append_trades(("A", price))
        for _ in clients:
            market.flush_paced_channels(0.2)
        for client in clients:
            client.receive()
            assert client.quotes == {"A": price}
    await market.close()


@pytest.mark.parametrize("screen", [{"order": "last desc", "top": 2}, {"filter": "last > 1", "interval": 1_000}])
async def test_readers_that_reconnect_together_share_their_missed_frames(screen, monkeypatch) -> None:
    market = HubHarness()
    await market.append_trades(("A", 1.0), ("B", 2.0), ("C", 3.0))
    clients = [Client(market, Subscription(events=EVENTS, **screen), number) for number in range(20)]
    await settle(market)
    for client in clients:
        client.disconnect(1.0)
    await market.append_trades(("B", 9.0))
    await market.run_until_idle()
    calls, screen_matches = list[object](), StateChanges.screen_matches
    monkeypatch.setattr(StateChanges, "screen_matches", lambda *each: calls.append(each) or screen_matches(*each))
    market.flush_paced_channels(2.0)
    assert len(calls) == 1
    for client in clients:
        client.receive()
        assert client.reader.state.name == "LIVE"
        assert (client.members, client.quotes["B"]) == ({"B", "C"}, 9.0)
    await market.close()


async def test_a_reader_without_quotes_does_not_change_the_screen_of_other_readers() -> None:
    """Both channels share the screen, but the channel without quotes has no board rows."""
    market = HubHarness()
    await market.append_trades(("A", 1.0), ("B", 2.0))
    screen = {"symbols": ["A", "B"], "order": "last desc", "top": 1}
    clients = [
        Client(market, Subscription(events=["status"], **screen), 1),
        Client(market, Subscription(events=EVENTS, **screen), 2),
    ]
    await settle(market)
    for prices in ({"A": 3.0, "B": 2.0}, {"A": 3.0, "B": 4.0}):
        await market.append_trades(*prices.items())
        await settle(market)
        for client in clients:
            client.check(prices)
    await market.close()
