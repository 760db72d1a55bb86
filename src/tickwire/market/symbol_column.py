"""A column of a board's symbols. The column stores which symbols match a pattern."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tickwire.core.arrays import Bools
from tickwire.core.text_column import TextColumn, TextPattern

# The maximum number of patterns with stored results. For 100,000 symbols, the result of a pattern occupies 12.5 KB. The
# largest subscription needs 32 results: 16 of its own patterns, and 16 of the token.
MAX_STORED_PATTERNS = 256
# The number of symbols that one step tests. The slowest patterns take about 2 ms for these symbols.
MAX_ROWS_PER_STEP = 8_192


class _Result(NamedTuple):
    """The result for the first `row_count` symbols: bit i is 1 if symbol i matches the pattern."""

    row_count: int
    bits: NDArray[np.uint8]


_EMPTY = _Result(0, np.empty(0, np.uint8))


class SymbolColumn(TextColumn):
    """A column of symbols, to which symbols can be appended.

    The slowest patterns take up to 30 ms for 100,000 symbols, and a subscription may have many patterns. A request
    therefore first exhausts `test_stepwise` for each pattern, and other tasks run between the steps. After that,
    `matches` returns the stored result. A result stays valid, because symbols are never removed.
    """

    def __init__(self) -> None:
        # The least recently used result is first.
        self._results: OrderedDict[TextPattern, _Result] = OrderedDict()
        super().__init__()

    def test_stepwise(self, pattern: TextPattern) -> Iterator[None]:
        """Match all symbols against the pattern in steps of a few milliseconds, and store the result."""
        while self._results.get(pattern, _EMPTY).row_count < len(self):
            self._extend_result(pattern, self._results.get(pattern, _EMPTY).row_count + MAX_ROWS_PER_STEP)
            yield

    def matches(self, pattern: TextPattern, first: int = 0, end: int | None = None) -> Bools:
        """Return one boolean for each symbol from row `first` to row `end` - 1. If `end` is None, include the last row.

        An element is True if the symbol matches the pattern.
        """
        end = len(self) if end is None else end
        # The caller needs only the last rows. So do not test all rows merely to store a result for the pattern.
        if first and pattern not in self._results:
            return self.evaluate(pattern, first, end)
        result = self._extend_result(pattern, end)
        begin = first // 8
        bits = np.unpackbits(result.bits[begin:], count=end - 8 * begin, bitorder="little")
        return bits[first - 8 * begin :].view(np.bool_)

    def _extend_result(self, pattern: TextPattern, end: int) -> _Result:
        """Test the pattern on the symbols before row `end` without a stored result, and store the results."""
        result, end = self._results.pop(pattern, _EMPTY), min(end, len(self))
        if result.row_count < end:
            whole_bytes = result.row_count // 8
            tail = np.packbits(self.evaluate(pattern, 8 * whole_bytes, end), bitorder="little")
            result = _Result(end, np.concatenate([result.bits[:whole_bytes], tail]))
        self._results[pattern] = result
        if len(self._results) > MAX_STORED_PATTERNS:
            self._results.popitem(last=False)
        return result
