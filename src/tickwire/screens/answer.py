"""What is answered to somebody who asks what a filter means: the server makes it, the client reads it."""

from __future__ import annotations

import msgspec

from tickwire.screens.screen import Cost, Reason


class Explained(msgspec.Struct, frozen=True):
    """Whether one symbol matches, and each single condition for it. Without a quote it matches nothing."""

    symbol: str
    traded: bool
    matches: bool
    reasons: list[Reason]


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """A filter that is one: its normal form, what it looks at, and the symbols that match now.

    It is always `valid`, one that is not is answered with an error; the member is there for who reads no status.
    """

    valid: bool = True
    filter: str
    fields: tuple[str, ...]
    cost: Cost
    symbols: list[str]
    explained: Explained | None = None
