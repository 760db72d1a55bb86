"""The cost of leaving readers, and the rows of channels with patterns."""

from __future__ import annotations

from time import thread_time

from tickwire.core.tick import Tick, pack_ticks
from tickwire.hub.fanout.counters import HubCounters
from tickwire.hub.fanout.position import HubPosition
from tickwire.hub.fanout.router import Router
from tickwire.hub.fanout.sender import TransportSender
from tickwire.market.board import Board
from tickwire.sessions.subscription import Subscription

SYMBOLS = [f"S{number}" for number in range(40)]
KINDS_OF_SUBSCRIPTIONS = {
    "lists": lambda number: Subscription([*SYMBOLS, f"X{number}"]),
    "unseen symbols": lambda number: Subscription([f"X{number}", *(f"U{place}" for place in range(20))]),
    "patterns": lambda number: Subscription([f"S{number}*", "S1*"]),
    "candles": lambda number: Subscription([*SYMBOLS, f"X{number}"], events=["candle"]),
    "all symbols": lambda number: Subscription(
        ["*"], fields=["last"], events=["quote", "candle"], filter=f"last>{number}"
    ),
}


def build_router(symbols) -> tuple[Router, Board]:
    board = Board()
    board.apply(pack_ticks([Tick(symbol=symbol, ts=10**15, last=1.0) for symbol in symbols], now=0), 1)
    router = Router(board, HubPosition("e", 0), HubCounters(), TransportSender())
    router.add_new_rows(board.symbols)
    return router, board


def removal_time(kind: str, count: int) -> float:
    """Return the CPU time of removing `count` channels with different subscriptions."""
    router, _ = build_router(SYMBOLS)
    channels = [router.find_or_create_channel(KINDS_OF_SUBSCRIPTIONS[kind](number)) for number in range(count)]
    started_at = thread_time()
    # Remove the newest channels first. If the router stored channels in a list, the search for each of these channels
    # would pass all others.
    for channel in reversed(channels):
        router.remove_channel(channel)
    elapsed = thread_time() - started_at
    assert (router.channels, router.quote_tables, router.candle_tables) == ({}, {}, {})
    assert (router._channels_by_unseen_symbol, router._pattern_channels) == ({}, {})
    return elapsed


def test_the_cost_of_a_leaving_reader_does_not_grow_with_the_number_of_readers() -> None:
    """The time of all removals together is linear. A quadratic time would grow 64 times as the number grows 8 times."""
    for kind in KINDS_OF_SUBSCRIPTIONS:
        small = min(removal_time(kind, 150) for _ in range(3))
        large = min(removal_time(kind, 1_200) for _ in range(2))
        assert large < 24 * small, (kind, small, large)


def test_a_pattern_channel_has_the_rows_that_the_subscription_includes() -> None:
    symbols = [f"{first}{second}" for first in "ABC" for second in "XYZ"]
    router, board = build_router(symbols)
    for requested, allowed in ((["A*"], ["*"]), (["A*", "?Z", "BX"], ["*"]), (["*Z"], ["A*", "BZ"]), (["Q*"], ["*"])):
        subscription = Subscription(requested, allowed=allowed)
        channel = router.find_or_create_channel(subscription)
        expected = {row for row, symbol in enumerate(board.symbols) if subscription.includes(symbol)}
        assert channel.rows == expected, (requested, allowed)
