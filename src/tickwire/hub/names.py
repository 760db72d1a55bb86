"""A set of symbols, some listed and some by pattern."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import translate
from functools import cached_property


class Names:
    """Symbols, and patterns such as `BTC-*` that stand for all symbols they match. With `*` there is nothing else."""

    def __init__(self, names: Iterable[str] = ("*",)) -> None:
        found = sorted(set(names))
        self.globs = ("*",) if "*" in found else tuple(name for name in found if is_glob(name))
        self.symbols = () if self.everything else tuple(name for name in found if not is_glob(name))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Names) and self.all == other.all

    def __hash__(self) -> int:
        return hash(self.all)

    def __repr__(self) -> str:
        return f"Names({list(self.all)})"

    @property
    def all(self) -> tuple[str, ...]:
        """The patterns and the symbols."""
        return (*self.globs, *self.symbols)

    @property
    def everything(self) -> bool:
        """Whether these are all symbols there are."""
        return self.globs == ("*",)

    def matches(self, symbol: str) -> bool:
        """Whether one of the patterns takes this symbol."""
        return self._pattern is not None and self._pattern.match(symbol) is not None

    def takes(self, symbol: str) -> bool:
        """Whether the symbol is in the set."""
        return symbol in self._listed or self.matches(symbol)

    @cached_property
    def _listed(self) -> frozenset[str]:
        return frozenset(self.symbols)

    @cached_property
    def _pattern(self) -> re.Pattern[str] | None:
        return re.compile("|".join(translate(glob) for glob in self.globs)) if self.globs else None


ALL = Names()
"""Every symbol."""


def is_glob(name: str) -> bool:
    """Whether this is a pattern, not a symbol."""
    return "*" in name or "?" in name
