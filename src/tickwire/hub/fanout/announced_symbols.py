"""Symbols that a board is about to append, and the channels whose patterns match them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from tickwire.core.arrays import RowArray
from tickwire.core.step_budget import StepBudget
from tickwire.hub.fanout.channel import Channel
from tickwire.market.symbol_column import MAX_ROWS_PER_STEP, SymbolColumn
from tickwire.sessions.subscription import Subscription

# The minimum number of symbols for which a search through a column is faster than a separate test of each symbol.
_MIN_SEARCHED_ROWS = 32


class AnnouncedSymbols:
    """Symbols that the board is about to append, starting at row `first_row`.

    A batch of 10,000 new symbols and 20 channels with 16 patterns each need 3 million tests. `test_stepwise` does this
    work in steps before the board applies the batch.
    """

    def __init__(self, symbols: Sequence[str], first_row: int, channels: dict[Channel, None]) -> None:
        self.symbols = symbols
        self.first_row = first_row
        self.untested_channels = dict(channels)
        self._column = SymbolColumn()
        self._column.extend(symbols)
        # Maps each tested channel to the announced board rows that the channel includes. Channels without such rows are
        # missing.
        self._matches: dict[Channel, RowArray] = {}

    def covers(self, board_symbols: Sequence[str], rows: range) -> bool:
        """Whether the board rows `rows` contain the announced symbols. `board_symbols` lists the symbols of the whole
        board."""
        begin, end = rows.start - self.first_row, rows.stop - self.first_row
        return (
            0 <= begin < end <= len(self.symbols) and board_symbols[rows.start : rows.stop] == self.symbols[begin:end]
        )

    def test_stepwise(self) -> Iterator[None]:
        """Test the patterns of the untested channels with the symbols, in steps of a few milliseconds."""
        budget, count = StepBudget(), len(self.symbols)
        while self.untested_channels:
            channel = next(reversed(self.untested_channels))
            if count >= _MIN_SEARCHED_ROWS:
                for _ in channel.subscription.test_patterns_stepwise(self._column):
                    if budget.spend(min(count, MAX_ROWS_PER_STEP)):
                        yield
            elif budget.spend(count):
                yield
            # Check again, because the channel may have been removed during a pause.
            if channel in self.untested_channels:
                del self.untested_channels[channel]
                matches = find_matches(channel.subscription, self.symbols, self._column)
                if matches:
                    self._matches[channel] = np.array(matches, np.intp) + self.first_row

    def matching_rows(self, rows: range) -> Iterator[tuple[Channel, list[int]]]:
        """Yield pairs: a tested channel, and those board rows in `rows` that the channel includes."""
        for channel, matching in self._matches.items():
            begin, end = np.searchsorted(matching, (rows.start, rows.stop)).tolist()
            if begin < end:
                yield channel, matching[begin:end].tolist()

    def discard(self, channel: Channel) -> None:
        """Forget a channel and its results of `test_stepwise`."""
        self.untested_channels.pop(channel, None)
        self._matches.pop(channel, None)


def find_matches(subscription: Subscription, symbols: Sequence[str], column: SymbolColumn, first: int = 0) -> list[int]:
    """Return the indexes of symbols that match a pattern of the subscription, starting at index `first`.

    `column` contains the same symbols as `symbols`.
    """
    if len(symbols) - first < _MIN_SEARCHED_ROWS:
        return [index for index in range(first, len(symbols)) if subscription.matches_pattern(symbols[index])]
    indexes: list[int] = (np.flatnonzero(subscription.pattern_mask(column, first)) + first).tolist()
    return indexes
