"""The values that screens compare: all numeric fields of quotes and instruments, and the text fields of instruments."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence

import numpy as np

from tickwire.core.arrays import Bools, Floats
from tickwire.core.instrument import Instrument
from tickwire.core.text_column import TextColumn
from tickwire.screens.compiler import CompiledFilter, evaluate_shape, match_texts, text_field
from tickwire.screens.evaluator import evaluate
from tickwire.screens.fields import INSTRUMENT_NUMBER_FIELDS, NUMBER_FIELDS, QUOTE_NUMBER_FIELDS

SYMBOLS_PER_TABLE = 4_096
"""The number of symbols that a request tests together.

The number is high, because a text condition takes nearly as long to test with 256 symbols as with 4,096 symbols.
"""
# The number of text conditions that one step tests. For SYMBOLS_PER_TABLE symbols, the slowest conditions take about
# 2 ms each.
_TEXTS_PER_STEP = 8


class FieldTable:
    """The field values of some symbols, one column per symbol.

    `quotes` has shape (len(QUOTE_NUMBER_FIELDS), n): one row per field in the order of QUOTE_NUMBER_FIELDS, and one
    column per symbol. `field_values` contains the fields of quotes and instruments, in an array of shape
    (len(NUMBER_FIELDS), n). NaN is a missing value.
    """

    def __init__(self, symbols: Sequence[str], instruments: Mapping[str, Instrument], quotes: Floats) -> None:
        self.symbols = symbols
        self.field_values = np.empty((len(NUMBER_FIELDS), len(symbols)))
        self.field_values[: len(QUOTE_NUMBER_FIELDS)] = quotes
        self.field_values[len(QUOTE_NUMBER_FIELDS) :] = instrument_numbers(symbols, instruments)
        self._instruments = instruments
        self._text_columns: dict[str, TextColumn] = {}

    def match_mask(self, compiled: CompiledFilter, texts: Sequence[Bools] | None = None) -> Bools:
        """Return a boolean array that is True for each column (symbol) that matches the filter.

        `texts` contains the results of the filter's text conditions, if they are known.
        """
        if texts is not None:
            return evaluate_shape(compiled.shape, self._test_intervals(compiled), texts)
        steps = self.match_stepwise(compiled)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                mask: Bools = end.value
                return mask

    def match_stepwise(self, compiled: CompiledFilter) -> Generator[None, None, Bools]:
        """Compute the result of `match_mask` in steps. A step tests at most _TEXTS_PER_STEP text conditions."""
        intervals = self._test_intervals(compiled)
        texts = list[Bools]()
        for text in compiled.text_conditions:
            if len(texts) % _TEXTS_PER_STEP == _TEXTS_PER_STEP - 1:
                yield
            texts.append(match_texts(text, self._text_column(text_field(text))))
        return evaluate_shape(compiled.shape, intervals, texts)

    def _test_intervals(self, compiled: CompiledFilter) -> list[Bools]:
        return [_within(evaluate(value, self.field_values), low, high) for value, low, high in compiled.intervals]

    def _text_column(self, name: str) -> TextColumn:
        if name not in self._text_columns:
            self._text_columns[name] = TextColumn(self.texts(name))
        return self._text_columns[name]

    def texts(self, name: str) -> Sequence[str | None]:
        """Return the values of a text field, one per symbol."""
        return read_text_field(name, self.symbols, self._instruments)


def _within(values: Floats, low: float, high: float) -> Bools:
    return (low <= values) & (values <= high)


def instrument_numbers(symbols: Sequence[str], instruments: Mapping[str, Instrument]) -> Floats:
    """Return the numeric fields of n instruments, in an array of shape (len(INSTRUMENT_NUMBER_FIELDS), n).

    Each row contains one field. The rows are in the order of INSTRUMENT_NUMBER_FIELDS.
    """
    numbers = np.full((len(INSTRUMENT_NUMBER_FIELDS), len(symbols)), np.nan)
    known = [(index, instruments[symbol]) for index, symbol in enumerate(symbols) if symbol in instruments]
    columns = [index for index, _ in known]
    for row, name in enumerate(INSTRUMENT_NUMBER_FIELDS):
        values = [getattr(instrument, name) for _, instrument in known]
        numbers[row, columns] = [np.nan if value is None else value for value in values]
    return numbers


def read_text_field(name: str, symbols: Sequence[str], instruments: Mapping[str, Instrument]) -> Sequence[str | None]:
    """Return the values of a text field, one per symbol."""
    return symbols if name == "symbol" else [getattr(instruments.get(symbol), name, None) for symbol in symbols]
