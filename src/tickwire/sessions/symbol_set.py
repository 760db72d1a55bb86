"""A set of symbols and of symbol patterns."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Sequence
from fnmatch import translate
from functools import cached_property

import numpy as np

from tickwire.core.arrays import Bools
from tickwire.core.text_column import GLOB, TextColumn, parse_pattern
from tickwire.market.symbol_column import SymbolColumn

# The minimum number of symbols for which a search through a column is faster than a separate test of each symbol.
_MIN_SEARCHED_SYMBOLS = 32


class SymbolSet:
    """A set of symbols and of patterns. A pattern such as `BTC-*` includes all symbols that match.

    The pattern `*` includes every symbol, so it replaces all other entries.
    """

    def __init__(self, names: Iterable[str] = ("*",)) -> None:
        unique = sorted(set(names))
        self.patterns = ("*",) if "*" in unique else tuple(name for name in unique if is_pattern(name))
        self.symbols = () if self.includes_all else tuple(name for name in unique if not is_pattern(name))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SymbolSet) and self.symbols_and_patterns == other.symbols_and_patterns

    def __hash__(self) -> int:
        return hash(self.symbols_and_patterns)

    def __repr__(self) -> str:
        return f"SymbolSet({list(self.symbols_and_patterns)})"

    @property
    def symbols_and_patterns(self) -> tuple[str, ...]:
        """All patterns and symbols that the set lists."""
        return (*self.patterns, *self.symbols)

    @property
    def includes_all(self) -> bool:
        return self.patterns == ("*",)

    def matches_pattern(self, symbol: str) -> bool:
        """Whether one of the patterns matches the symbol."""
        return self._pattern_regex is not None and self._pattern_regex.match(symbol) is not None

    def includes(self, symbol: str) -> bool:
        return self.lists(symbol) or self.matches_pattern(symbol)

    def test_patterns_stepwise(self, column: SymbolColumn) -> Generator[None, None, None]:
        """Test the patterns on all symbols of the column, in steps that take a few milliseconds each.

        The column stores the results, so that `pattern_mask` and `mask` are fast afterwards.
        """
        for pattern in () if self.includes_all else self.patterns:
            yield from column.test_stepwise(parse_pattern(pattern, GLOB))

    def pattern_mask(self, column: TextColumn, first: int = 0) -> Bools:
        """Return a boolean array with one element for each symbol of the column, starting at the index `first`.

        An element is True if one of the patterns matches the symbol.
        """
        mask = np.full(len(column) - first, self.includes_all)
        for pattern in () if self.includes_all else self.patterns:
            mask |= column.matches(parse_pattern(pattern, GLOB), first)
        return mask

    def mask(self, column: TextColumn, first: int = 0) -> Bools:
        """Return a boolean array with one element for each symbol of the column, starting at the index `first`.

        An element is True if the symbol is in the set.
        """
        mask = self.pattern_mask(column, first)
        return mask | column.equal_to_any(self._symbol_lookup, first) if self.symbols else mask

    def select(self, symbols: Sequence[str]) -> list[str]:
        """Return the elements of `symbols` that are in the set, in the order of `symbols`."""
        if self.includes_all:
            return [*symbols]
        if not self.patterns or len(symbols) < _MIN_SEARCHED_SYMBOLS:
            return [symbol for symbol in symbols if self.includes(symbol)]
        mask = self.mask(TextColumn(symbols)).tolist()
        return [symbol for symbol, is_selected in zip(symbols, mask, strict=True) if is_selected]

    def lists(self, symbol: str) -> bool:
        """Whether the set lists the symbol by name."""
        return symbol in self._symbol_lookup

    @cached_property
    def _symbol_lookup(self) -> frozenset[str]:
        return frozenset(self.symbols)

    @cached_property
    def _pattern_regex(self) -> re.Pattern[str] | None:
        return re.compile("|".join(translate(pattern) for pattern in self.patterns)) if self.patterns else None


ALL_SYMBOLS = SymbolSet()
"""Every symbol."""


def is_pattern(name: str) -> bool:
    """Whether `name` is a pattern. All other names are symbols."""
    return "*" in name or "?" in name
