"""The response to a request that checks a filter. The server encodes the response, and the client decodes it."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

ScreenCost: TypeAlias = Literal["bounds", "calculated"]
"""The cost class of a screen. With `bounds`, the server tests the screen only when a value crosses a constant of the
screen. With `calculated`, the server computes a value for every tick."""


class ConditionResult(msgspec.Struct, frozen=True):
    """One condition of a screen, its result for one symbol, and the compared values. None means a missing value."""

    condition: str
    values: dict[str, float | str | None]
    holds: bool


class SymbolExplanation(msgspec.Struct, frozen=True):
    """Whether a symbol matches a filter, and the result of each condition. A symbol without a quote never matches."""

    symbol: str
    traded: bool
    matches: bool
    reasons: list[ConditionResult]


class FilterCheckResult(msgspec.Struct, frozen=True, kw_only=True):
    """The normal form of a valid filter, the fields that the filter reads, and the symbols that match the filter now.

    `valid` is always true, because the server answers an invalid filter with an error. Clients that ignore the HTTP
    status can read `valid` instead.
    """

    valid: bool = True
    filter: str
    fields: tuple[str, ...]
    cost: ScreenCost
    symbols: list[str]
    explained: SymbolExplanation | None = None
