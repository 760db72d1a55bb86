"""The rule and the counter of each kind of dirty tick. Each row of the table is one case."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from tickwire.core.codec import decode_json
from tickwire.core.tick import Tick, pack_ticks
from tickwire.market.board import Board
from tickwire.market.dirty_ticks import DirtyTick

T0_US = 1_767_366_000_000_000  # 2026-01-02 15:00 UTC
MINUTE_US = 60_000_000


class Case(NamedTuple):
    """Ticks that arrive at T0, each in its own batch, and the quote after the last tick."""

    kind: DirtyTick | None
    ticks: list[dict]
    quote: dict
    count: int = 1


def trade(price: float, *, minutes: float = 0, size: float = 1.0, **fields: object) -> dict:
    return {"ts": T0_US + round(minutes * MINUTE_US), "last": price, "size": size, **fields}


def book(bid: float | None, ask: float | None, *, minutes: float = 0, size: float = 5.0) -> dict:
    return {"ts": T0_US + round(minutes * MINUTE_US), "bid": bid, "ask": ask, "bid_size": size, "ask_size": size}


CASES = {
    "a trade ten minutes late": Case(
        DirtyTick.LATE_TRADE,
        [trade(10.0), trade(12.0, minutes=-10)],
        {"last": 10.0, "ts": T0_US, "open": 10.0, "high": 12.0, "low": 10.0, "volume": 2, "turnover": 22.0},
    ),
    "a late trade with a total": Case(
        DirtyTick.LATE_TRADE,
        [trade(10.0, volume=500.0), trade(9.0, minutes=-1, volume=400.0, size=0.0)],
        {"last": 10.0, "volume": 500, "low": 9.0},
    ),
    "a late quote": Case(
        DirtyTick.LATE_QUOTE,
        [book(10.0, 10.1), book(9.0, 9.1, minutes=-1, size=7.0)],
        {"bid": 10.0, "ask": 10.1, "bid_size": 5, "ask_size": 5, "ts": T0_US},
    ),
    "a late empty side": Case(
        DirtyTick.LATE_QUOTE, [book(10.0, 10.1), book(None, 9.1, minutes=-1)], {"bid": 10.0, "ask": 10.1}
    ),
    "a trade after a newer quote is in time": Case(
        None, [book(10.0, 10.1), trade(10.05, minutes=-0.1)], {"last": 10.05, "bid": 10.0}
    ),
    "two trades at the same time are in time": Case(None, [trade(10.0), trade(11.0)], {"last": 11.0}),
    "a tick dated an hour ahead makes no later tick late": Case(
        DirtyTick.FUTURE, [trade(10.0, minutes=60), trade(11.0)], {"last": 11.0, "ts": T0_US}
    ),
    "a crossed book": Case(DirtyTick.CROSSED, [book(10.2, 10.1)], {"bid": 10.2, "ask": 10.1}),
    "a trade in a crossed book counts once": Case(DirtyTick.CROSSED, [book(10.2, 10.1), trade(10.1)], {"last": 10.1}),
    "a locked book": Case(None, [book(10.1, 10.1)], {"bid": 10.1, "ask": 10.1}),
    "a zero side": Case(
        DirtyTick.ZERO_SIDED,
        [{"ts": T0_US, "bid": 0.0, "bid_size": 0.0, "ask": 10.1, "ask_size": 3.0}],
        {"bid": None, "bid_size": None, "ask": 10.1, "ask_size": 3},
    ),
    "a bid of 0 with a size": Case(None, [book(0.0, 0.05)], {"bid": 0.0, "ask": 0.05}),
    "oil at -37.63": Case(
        DirtyTick.NEGATIVE, [trade(-37.0), trade(-37.63)], {"last": -37.63, "low": -37.63, "high": -37.0}, count=2
    ),
    "a jump": Case(DirtyTick.JUMP, [trade(10.0), trade(1000.0)], {"last": 1000.0, "high": 1000.0}),
    "a split": Case(DirtyTick.JUMP, [trade(400.0), trade(100.0)], {"last": 100.0}),
    "a move of half the price": Case(None, [trade(10.0), trade(15.0)], {"last": 15.0}),
}


@pytest.mark.parametrize("at_once", [False, True], ids=["one by one", "one batch"])
@pytest.mark.parametrize("name", CASES)
def test_each_kind_has_a_rule_and_a_counter(name: str, at_once: bool) -> None:
    case = CASES[name]
    board, ticks = Board(), [Tick(symbol="A", **fields) for fields in case.ticks]
    for batch in [ticks] if at_once else [[tick] for tick in ticks]:
        board.apply(pack_ticks(batch, now=0), 1, T0_US * 1000)
    quote = decode_json(board.quotes().to_json_lines()[0], dict)
    assert {field: quote[field] for field in case.quote} == case.quote
    counted = {kind: count for kind, count in board.dirty_ticks.counts.items() if count}
    assert counted == ({} if case.kind is None else {case.kind: case.count})


def test_only_the_late_symbol_of_a_batch_is_late() -> None:
    """Ticks of different symbols may be out of order."""
    board = Board()
    ticks = [Tick(symbol=symbol, **trade(price, minutes=minutes)) for symbol, price, minutes in (
        ("A", 1.0, 0), ("B", 5.0, -10), ("A", 2.0, -1), ("B", 6.0, -9)
    )]  # fmt: skip
    board.apply(pack_ticks(ticks, now=0), 1)
    assert board.last_prices() == {"A": 1.0, "B": 6.0}
    assert board.dirty_ticks.counts[DirtyTick.LATE_TRADE] == 1


def test_a_restored_board_knows_which_ticks_are_late() -> None:
    board, other = Board(), Board()
    board.apply(pack_ticks([Tick(symbol="A", **trade(10.0))], now=0), 1)
    other.restore(board.save())
    other.apply(pack_ticks([Tick(symbol="A", **trade(12.0, minutes=-10))], now=0), 2)
    assert other.last_prices() == {"A": 10.0}
