"""Quotes as columns, and their JSON."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import isnan
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from tickwire.core.codec import encode_lines
from tickwire.core.quote import QUOTE_FIELDS, Fields, Quote
from tickwire.market.derive import QUOTE_ROWS, derive
from tickwire.market.runs import Floats


class QuoteColumns(NamedTuple):
    """Quotes, one a column of `state` (see `derive`), of the symbols in board rows `rows`; `ts` in nanoseconds.

    `symbols` are the symbols of all board rows. Nothing is derived, named or encoded until somebody asks for it.
    """

    rows: NDArray[np.intp]
    symbols: Sequence[str]
    state: Floats
    ts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, places: Sequence[int]) -> QuoteColumns:
        """Only the quotes at `places`, in that order."""
        if len(places) == len(self):
            return self
        at = np.asarray(places, np.intp)
        return QuoteColumns(self.rows[at], self.symbols, self.state[:, at], self.ts[at])

    def quotes(self) -> list[Quote]:
        """The quotes as objects; an unknown number is NaN or None, which JSON both writes as null."""
        derived = derive(self.state)
        numbers = [
            column
            for rows, counts in QUOTE_ROWS
            for column in (_whole(derived[rows]) if counts else derived[rows].tolist())
        ]
        symbols = self.symbols
        return list(map(Quote, [symbols[row] for row in self.rows.tolist()], *numbers, (self.ts // 1000).tolist()))

    def numbers(self) -> Floats:
        """The quotes' numbers, of shape (17, n): all fields but the symbol, in their order, `ts` in microseconds."""
        return np.vstack([derive(self.state), self.ts // 1000])

    def json(self, fields: Fields = None) -> list[bytes]:
        """Each quote as one line of JSON, without the newline; with all fields, or with those named."""
        quotes = self.quotes() if fields is None else self._projected(fields)
        return encode_lines(quotes).split(b"\n")[: len(self)]

    def _projected(self, fields: tuple[str, ...]) -> list[msgspec.Struct]:
        derived = derive(self.state)
        columns = [self._column(name, derived) for name in fields]
        return list(map(_projection(fields), *columns))

    def _column(self, name: str, derived: Floats) -> list[Any]:
        if name == "symbol":
            return [self.symbols[row] for row in self.rows.tolist()]
        if name == "ts":
            ts: list[Any] = (self.ts // 1000).tolist()
            return ts
        row = QUOTE_FIELDS.index(name) - 1  # derived has no symbol
        counts = any(part.start <= row < part.stop for part, whole in QUOTE_ROWS if whole)
        part = derived[row : row + 1]
        column: list[Any] = (_whole(part) if counts else part.tolist())[0]
        return column


@lru_cache(maxsize=256)
def _projection(fields: tuple[str, ...]) -> type[msgspec.Struct]:
    return msgspec.defstruct("Projection", fields, frozen=True, gc=False)


def concatenate(parts: Sequence[QuoteColumns]) -> QuoteColumns:
    """The quotes of all parts, one after the other; the parts are of one board."""
    if len(parts) == 1:
        return parts[0]
    return QuoteColumns(
        np.concatenate([part.rows for part in parts]),
        parts[0].symbols,
        np.concatenate([part.state for part in parts], axis=1),
        np.concatenate([part.ts for part in parts]),
    )


def _whole(columns: Floats) -> list[list[Any]]:
    """The columns' values, those without a fraction as int (5, not 5.0) and the unknown as None."""
    with np.errstate(invalid="ignore"):  # NaN has no integer value; it fails the comparison, as it should
        whole = columns.astype(np.int64)
    exact = (whole == columns).all(axis=1).tolist()
    found: list[list[Any]] = whole.tolist()
    for row, fine in enumerate(exact):
        if not fine:
            found[row] = [
                None if isnan(value) else int(value) if value.is_integer() else value for value in columns[row].tolist()
            ]
    return found
