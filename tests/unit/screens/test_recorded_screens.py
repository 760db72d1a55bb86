"""The index over a day of recorded data: enter and leave events alone give the set of matching symbols."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tickwire.core.quote import Quote
from tickwire.market.board import Board
from tickwire.recordings.tick_reader import Recording
from tickwire.screens.index.screen_changes import ScreenChanges
from tickwire.screens.index.screen_index import ScreenIndex
from tickwire.screens.screen import parse_screen

IEX = Path(__file__).parents[4] / "shared" / "data" / "r1_clear" / "iex_tops_20260713_events_A.csv.gz"
BATCH_TICKS = 400

# Each filter, and the equivalent predicate for one quote, whose missing numbers are None.
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
def test_enter_and_leave_events_reproduce_the_matching_sets() -> None:
    board = Board()
    index = ScreenIndex(board.symbols, board.instruments)
    predicates = {index.add(parse_screen(text)): predicate for text, predicate in FILTERS.items()}
    seen: dict[int, set[int]] = {screen_id: set() for screen_id in predicates}
    expected: dict[int, set[int]] = {screen_id: set() for screen_id in predicates}
    event_count = 0
    with Recording(IEX) as recording:
        for chunk in recording.chunks():
            for begin in range(0, len(chunk), BATCH_TICKS):
                quotes = board.apply(chunk[begin : begin + BATCH_TICKS], 1)
                changes = index.apply(quotes.rows, quotes.to_numbers())
                event_count += apply_events(seen, changes, quotes.rows.tolist())
                update_expected(expected, predicates, board, quotes.rows)
                assert seen == expected
    assert len(board) > 100
    assert event_count > 5_000
    assert all(seen.values())


def apply_events(seen: dict[int, set[int]], changes: ScreenChanges, rows: list[int]) -> int:
    """Apply the events of a batch in order, and return their number."""
    event_count = 0
    for index, row in enumerate(rows):
        for screen_id in changes.entered.get(index, np.empty(0)).tolist():
            assert row not in seen[screen_id]
            seen[screen_id].add(row)
            event_count += 1
        for screen_id in changes.left.get(index, np.empty(0)).tolist():
            seen[screen_id].remove(row)
            event_count += 1
    return event_count


def update_expected(
    expected: dict[int, set[int]], predicates: dict[int, Callable], board: Board, rows: np.ndarray
) -> None:
    """Evaluate all predicates for each quote that the batch changed."""
    changed = np.unique(rows)
    for row, quote in zip(changed.tolist(), board.quotes(changed).to_quotes(), strict=True):
        fields = {name: getattr(quote, name) for name in Quote.__struct_fields__}
        # NaN is the only value that differs from itself.
        without_nan = Quote(**{name: None if value != value else value for name, value in fields.items()})
        for screen_id, predicate in predicates.items():
            (expected[screen_id].add if predicate(without_nan) else expected[screen_id].discard)(row)
