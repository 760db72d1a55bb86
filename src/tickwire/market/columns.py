"""Quotes as columns, and their JSON."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tickwire.core.codec import encode_lines
from tickwire.core.quote import QUOTE_FIELDS, Quote
from tickwire.market.runs import Floats

_NUMBERS = QUOTE_FIELDS[1:-1]  # all but the symbol and the time
_COUNTS = frozenset({"bid_size", "ask_size", "volume", "turnover", "market_cap"})  # written as 5, not as 5.0


class QuoteColumns(NamedTuple):
    """Quotes, one a row: `symbols` and times `ts` (microseconds), and `numbers`, shape (16, rows), NaN for unknown.

    `rows` are the symbols' row numbers on the board the quotes come from.
    """

    rows: NDArray[np.intp]
    symbols: Sequence[str]
    numbers: Floats
    ts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, places: NDArray[np.intp] | Sequence[int]) -> QuoteColumns:
        """Only the quotes at `places`, in that order."""
        at = np.asarray(places, np.intp)
        return QuoteColumns(
            self.rows[at], [self.symbols[place] for place in at.tolist()], self.numbers[:, at], self.ts[at]
        )

    def quotes(self) -> list[Quote]:
        """The quotes as objects; an unknown number is NaN or None, which JSON both writes as null."""
        numbers = [
            _whole(column) if name in _COUNTS else column.tolist()
            for name, column in zip(_NUMBERS, self.numbers, strict=True)
        ]
        return list(map(Quote, self.symbols, *numbers, self.ts.tolist()))

    def json(self) -> list[bytes]:
        """Each quote as one line of JSON, without the newline."""
        return encode_lines(self.quotes()).split(b"\n")[: len(self)]


def concatenate(parts: Sequence[QuoteColumns]) -> QuoteColumns:
    """The quotes of all parts, one after the other."""
    if len(parts) == 1:
        return parts[0]
    return QuoteColumns(
        np.concatenate([part.rows for part in parts]),
        [symbol for part in parts for symbol in part.symbols],
        np.concatenate([part.numbers for part in parts], axis=1),
        np.concatenate([part.ts for part in parts]),
    )


def _whole(column: Floats) -> list[Any]:
    """The column's values, those without a fraction as int and the unknown as None."""
    with np.errstate(invalid="ignore"):  # NaN has no integer value; it fails the comparison, as it should
        whole = column.astype(np.int64)
    if np.array_equal(whole, column):
        counts: list[Any] = whole.tolist()
        return counts
    return [None if isnan(value) else int(value) if value.is_integer() else value for value in column.tolist()]
