"""Screens over a day of recorded data, for a person who handles only what enters and what leaves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tickwire.core.quote import Quote
from tickwire.feeds.recording import Recording
from tickwire.market.board import Board
from tickwire.screens.index import ScreenIndex
from tickwire.screens.screen import screen

IEX = Path(__file__).parents[3] / "shared" / "data" / "r1_clear" / "iex_tops_20260713_events_A.csv.gz"
_BATCH = 400

# Each as a filter and as anyone would write it for one quote; an unknown number there is None.
FILTERS: dict[str, Callable[[Quote], bool]] = {
    "last > 100": lambda q: q.last is not None and q.last > 100,
    "volume > 1K and last < 50": lambda q: q.volume > 1_000 and q.last is not None and q.last < 50,
    "(ask - bid) / last < 0.1%": lambda q: None not in (q.ask, q.bid, q.last) and (q.ask - q.bid) / q.last < 0.001,
    "not bid > 0": lambda q: not (q.bid is not None and q.bid > 0),
    "ask != last": lambda q: None not in (q.ask, q.last) and q.ask != q.last,
    'symbol like "A%" and (bid_size >= 500 or ask_size >= 500)': lambda q: (
        q.symbol.startswith("A") and any(size is not None and size >= 500 for size in (q.bid_size, q.ask_size))
    ),
    "last = high and volume between 100 and 20K": lambda q: (
        q.last is not None and q.last == q.high and 100 <= q.volume <= 20_000
    ),
    "max(bid, last) > vwap": lambda q: None not in (q.bid, q.last, q.vwap) and max(q.bid, q.last) > q.vwap,
}


@pytest.mark.skipif(not IEX.exists(), reason=f"the recorded market data are not at {IEX.parent}")
@pytest.mark.realdata
def test_enter_and_leave_alone_keep_the_matching_sets_right() -> None:
    """After every batch of the day, for filters of every kind and for every symbol."""
    board = Board()
    index = ScreenIndex(board.symbols, board.instruments)
    tests = {index.add(screen(text)): test for text, test in FILTERS.items()}
    held: dict[int, set[int]] = {number: set() for number in tests}
    moves, expected = 0, {number: set() for number in tests}
    with Recording(IEX) as recording:
        for chunk in recording.chunks():
            for begin in range(0, len(chunk), _BATCH):
                quotes = board.apply(chunk[begin : begin + _BATCH], 1)
                found = index.apply(quotes.rows, quotes.numbers())
                moves += follow(held, found, quotes.rows.tolist())
                note(expected, tests, board, quotes.rows)
                assert held == expected
    assert len(board) > 100
    assert moves > 5_000
    assert all(held.values())


def follow(held: dict[int, set[int]], found, rows: list[int]) -> int:
    """Do as the events say, one after the other; how many there were."""
    moves = 0
    for place, row in enumerate(rows):
        for number in found.entered.get(place, np.empty(0)).tolist():
            assert row not in held[number]
            held[number].add(row)
            moves += 1
        for number in found.left.get(place, np.empty(0)).tolist():
            held[number].remove(row)
            moves += 1
    return moves


def note(expected: dict[int, set[int]], tests: dict[int, Callable], board: Board, rows: np.ndarray) -> None:
    """Look at every quote that the batch changed."""
    changed = np.unique(rows)
    for row, quote in zip(changed.tolist(), board.quotes(changed).quotes(), strict=True):
        known = Quote(**{name: None if getattr(quote, name) != getattr(quote, name) else getattr(quote, name)
                         for name in Quote.__struct_fields__})  # fmt: skip
        for number, test in tests.items():
            (expected[number].add if test(known) else expected[number].discard)(row)
