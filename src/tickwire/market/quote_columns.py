"""Quotes as columns, and their encoding as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import isnan
from typing import Any, NamedTuple

import msgspec
import numpy as np

from tickwire.core.arrays import Floats, RowArray, Timestamps
from tickwire.core.codec import encode_json, encode_json_lines
from tickwire.core.quote import QUOTE_FIELDS, Quote, QuoteProjection
from tickwire.market import native_json
from tickwire.market.derived_fields import NUMBER_FIELDS, derive_field, derive_fields, derive_single
from tickwire.market.native_json import NumberedFrame

# The positions of the fields that are counts in the result of `derive_fields`. The encoder converts these fields
# together, and `_FIELD_ORDER` then restores the order of all fields.
_COUNT_ROWS = np.flatnonzero([field.is_count for field in NUMBER_FIELDS])
_OTHER_ROWS = np.flatnonzero([not field.is_count for field in NUMBER_FIELDS])
_COUNT_ROW_LIST: list[int] = _COUNT_ROWS.tolist()
_FIELD_ORDER: list[int] = np.argsort(np.concatenate([_COUNT_ROWS, _OTHER_ROWS])).tolist()

# The minimum number of quotes for which the C function is faster than the encoding of Python objects.
_MIN_NATIVE_QUOTES = 4


class QuoteColumns(NamedTuple):
    """Quotes, one for each column of the array `state` (see `quote_state`).

    `rows` contains the index of each quote's symbol on the board. `symbols` contains all symbols of the board. `ts`
    contains the times of the ticks in nanoseconds since the Unix epoch. Derived fields, symbols and JSON are computed
    only when a method needs them.
    """

    rows: RowArray
    symbols: Sequence[str]
    state: Floats
    ts: Timestamps

    def __len__(self) -> int:
        return len(self.rows)

    def select(self, places: Sequence[int]) -> QuoteColumns:
        """Return the quotes with the indexes in `places`, in the order of `places`."""
        if len(places) == len(self):
            return self
        at = np.asarray(places, np.intp)
        return QuoteColumns(self.rows[at], self.symbols, self.state[:, at], self.ts[at])

    def to_quotes(self) -> list[Quote]:
        """Return the quotes as objects. An unknown number is NaN or None. JSON encodes both as null."""
        if len(self) == 1:
            return [self._single_quote()]
        derived = derive_fields(self.state)
        columns = [*_integers_where_exact(derived[_COUNT_ROWS]), *derived[_OTHER_ROWS].tolist()]
        numbers = [columns[place] for place in _FIELD_ORDER]
        symbols = self.symbols
        return list(map(Quote, [symbols[row] for row in self.rows.tolist()], *numbers, (self.ts // 1000).tolist()))

    def _single_quote(self) -> Quote:
        values: list[Any] = [self.symbols[self.rows.item()], *derive_single(self.state[:, 0]), self.ts.item() // 1000]
        for row in _COUNT_ROW_LIST:
            values[row + 1] = _integer_where_exact(values[row + 1])
        return Quote(*values)

    def to_numbers(self) -> Floats:
        """Return an array with one row for each field except the symbol, in the order of `Quote`.

        The times in the row `ts` are in microseconds since the Unix epoch.
        """
        if len(self) == 1:
            return np.array([*derive_single(self.state[:, 0]), self.ts.item() // 1000])[:, np.newaxis]
        return np.vstack([derive_fields(self.state), self.ts // 1000])

    def to_json_lines(self, fields: QuoteProjection = None) -> list[bytes]:
        """Return one line of JSON for each quote, without the newline.

        `fields` lists the fields in the lines. If `fields` is None, the lines contain all fields.
        """
        if self._can_write_natively(fields):
            return self._write_natively(None)
        quotes = self.to_quotes() if fields is None else self._project(fields)
        return encode_json_lines(quotes).split(b"\n")[: len(self)]

    def to_numbered_json(self, frame: NumberedFrame, fields: QuoteProjection = None) -> list[bytes]:
        """Return the JSON of each quote, enclosed in the texts of `frame`. `fields` selects the fields."""
        if self._can_write_natively(fields):
            return self._write_natively(frame)
        return _add_frame(frame, self.to_json_lines(fields))

    def _can_write_natively(self, fields: QuoteProjection) -> bool:
        return fields is None and len(self) >= _MIN_NATIVE_QUOTES and native_json.is_available()

    def _write_natively(self, frame: NumberedFrame | None) -> list[bytes]:
        symbols = self.symbols
        texts = native_json.write_quotes(
            [symbols[row] for row in self.rows.tolist()], derive_fields(self.state), self.ts // 1000, frame
        )
        missing = [place for place, text in enumerate(texts) if text is None]
        if missing:
            lines = [*map(encode_json, self.select(missing).to_quotes())]
            if frame is not None:
                lines = _add_frame(frame._replace(numbers=[frame.numbers[place] for place in missing]), lines)
            for place, line in zip(missing, lines, strict=True):
                texts[place] = line
        return texts  # type: ignore[return-value]  # no None is left

    def _project(self, fields: tuple[str, ...]) -> list[msgspec.Struct]:
        return list(map(_projection_type(fields), *map(self._field_values, fields)))

    def _field_values(self, name: str) -> list[Any]:
        if name == "symbol":
            return [self.symbols[row] for row in self.rows.tolist()]
        if name == "ts":
            ts: list[Any] = (self.ts // 1000).tolist()
            return ts
        column = derive_field(name, self.state)
        values: list[Any] = (
            _integers_where_exact(column[np.newaxis])[0] if QUOTE_FIELDS[name].is_count else column.tolist()
        )
        return values


@lru_cache(maxsize=256)
def _projection_type(fields: tuple[str, ...]) -> type[msgspec.Struct]:
    return msgspec.defstruct("Projection", fields, frozen=True, gc=False)


def concatenate_quotes(parts: Sequence[QuoteColumns]) -> QuoteColumns:
    """Return one QuoteColumns with the quotes of all parts, in order. All parts must come from the same board."""
    if len(parts) == 1:
        return parts[0]
    return QuoteColumns(
        np.concatenate([part.rows for part in parts]),
        parts[0].symbols,
        np.concatenate([part.state for part in parts], axis=1),
        np.concatenate([part.ts for part in parts]),
    )


def _add_frame(frame: NumberedFrame, lines: Sequence[bytes]) -> list[bytes]:
    template = _frame_template(frame.before, frame.between, frame.after)
    return [template % pair for pair in zip(frame.numbers, lines, strict=True)]


# Cache the templates, because all frames of a journal have the same texts.
@lru_cache(maxsize=16)
def _frame_template(before: bytes, between: bytes, after: bytes) -> bytes:
    return b"%b%%d%b%%b%b" % tuple(part.replace(b"%", b"%%") for part in (before, between, after))


def _integers_where_exact(columns: Floats) -> list[list[Any]]:
    """Convert the rows of an array to lists. Whole numbers become int (5, not 5.0), and NaN becomes None."""
    # The conversion of NaN returns an arbitrary integer, which is not equal to NaN. So `is_exact` is False for a row
    # with NaN.
    with np.errstate(invalid="ignore"):
        integers = columns.astype(np.int64)
    is_exact = (integers == columns).all(axis=1).tolist()
    values: list[list[Any]] = integers.tolist()
    for row, exact in enumerate(is_exact):
        if not exact:
            # Repeat the code of `_integer_where_exact`, because a call for each number would take longer than the
            # conversion.
            values[row] = [
                None if isnan(value) else int(value) if value.is_integer() else value for value in columns[row].tolist()
            ]
    return values


def _integer_where_exact(value: float) -> float | None:
    """Return a whole number as int, and NaN as None."""
    return None if isnan(value) else int(value) if value.is_integer() else value
