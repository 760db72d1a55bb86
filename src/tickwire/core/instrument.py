"""Reference data of a symbol."""

from __future__ import annotations

import re

import msgspec

from tickwire.errors import InputError

SYMBOL_BYTES = 16  # the width of a symbol in the packed form of a tick
# What a symbol may contain: what exchanges use, without what would need quoting in a URL list, a glob or a CSV.
_CHARACTERS = r"[A-Za-z0-9._:/^=+#&@$!~-]{1,16}"
SYMBOL_PATTERN = rf"^{_CHARACTERS}$(?!\n)"  # for searching: `$` alone would let a newline at the end pass
SYMBOL_WORDS = f"a symbol: 1 to {SYMBOL_BYTES} ASCII letters, digits or ._:/^=+#&@$!~-"
_SYMBOL = re.compile(_CHARACTERS, re.ASCII)


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a symbol before it trades. Everything but the symbol may be unknown.

    `tick_size` is the price grid in `currency`; `prev_close` the last price of the session before; `eps` the earnings
    a share of the last year; `shares` the shares outstanding; `volatility` the standard deviation of a year's log
    returns (0.25 is 25 %).
    """

    symbol: str
    name: str | None = None
    exchange: str | None = None
    sector: str | None = None
    currency: str | None = None
    tick_size: float | None = None
    prev_close: float | None = None
    eps: float | None = None
    shares: float | None = None
    volatility: float | None = None


def check_symbol(text: str, *, field: str = "symbols") -> str:
    """`text` itself if it can be a symbol, else InputError."""
    if _SYMBOL.fullmatch(text) is None:
        shown = text if len(text) <= 40 else text[:40] + "..."
        raise InputError(
            f"{shown!r} cannot be a symbol: 1 to {SYMBOL_BYTES} ASCII letters, digits or ._:/^=+#&@$!~-", field=field
        )
    return text
