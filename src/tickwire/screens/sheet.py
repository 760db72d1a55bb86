"""What screens look at: for some rows of a board, the numbers of their quotes and the texts of their instruments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tickwire.core.instrument import Instrument
from tickwire.screens.arithmetic import Floats, evaluate
from tickwire.screens.compiler import Bools, Form, holds, text_test
from tickwire.screens.fields import FIXED, MOVING, NUMBERS
from tickwire.screens.grammar import Node


class Sheet:
    """A column a symbol. `quotes` are their numbers, of shape (17, n), in the order of MOVING; NaN is missing."""

    def __init__(self, symbols: Sequence[str], instruments: Mapping[str, Instrument], quotes: Floats) -> None:
        self.symbols = symbols
        self.numbers = np.empty((len(NUMBERS), len(symbols)))
        self.numbers[: len(MOVING)] = quotes
        self.numbers[len(MOVING) :] = fixed_numbers(symbols, instruments)
        self._instruments = instruments

    def matching(self, form: Form) -> Bools:
        """For each column, whether the filter takes it."""
        intervals = [_within(evaluate(value, self.numbers), low, high) for value, low, high in form.intervals]
        texts = [text_matches(text, self.symbols, self._instruments) for text in form.texts]
        return holds(form.shape, intervals, texts)

    def text(self, name: str) -> Sequence[str | None]:
        """A text field of each column."""
        return texts_of(name, self.symbols, self._instruments)


def _within(values: Floats, low: float, high: float) -> Bools:
    return (low <= values) & (values <= high)


def fixed_numbers(symbols: Sequence[str], instruments: Mapping[str, Instrument]) -> Floats:
    """The numbers of the symbols' instruments, of shape (4, n), in the order of FIXED."""
    known = [instruments.get(symbol) for symbol in symbols]
    rows = [[np.nan if (value := getattr(each, name, None)) is None else value for each in known] for name in FIXED]
    return np.array(rows, np.float64).reshape(len(FIXED), len(symbols))


def text_matches(condition: Node, symbols: Sequence[str], instruments: Mapping[str, Instrument]) -> Bools:
    """For each symbol, whether a condition on one of its texts holds."""
    name, test = text_test(condition)
    return np.fromiter(map(test, texts_of(name, symbols, instruments)), np.bool_, len(symbols))


def texts_of(name: str, symbols: Sequence[str], instruments: Mapping[str, Instrument]) -> Sequence[str | None]:
    """A text field of each symbol."""
    return symbols if name == "symbol" else [getattr(instruments.get(symbol), name, None) for symbol in symbols]
