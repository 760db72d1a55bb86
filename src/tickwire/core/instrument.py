"""The reference data of a symbol, and the syntax of symbols."""

from __future__ import annotations

import re

import msgspec

from tickwire.errors import InputError

# The width of a symbol in packed ticks and candles, in bytes.
SYMBOL_BYTES = 32
# The characters that exchanges use in symbols, except characters that need quoting in a comma-separated list, a glob
# pattern or a CSV file. A symbol may contain spaces (NIFTY 50), but not at its ends.
_SYMBOL_CHARACTERS = "A-Za-z0-9._:/^=+#&@$!~-"
_SYMBOL_REGEX = rf"[{_SYMBOL_CHARACTERS}](?:[ {_SYMBOL_CHARACTERS}]{{0,{SYMBOL_BYTES - 2}}}[{_SYMBOL_CHARACTERS}])?"
# This pattern is for `re.search`. Without the lookahead, `$` would also match before a newline at the end.
SYMBOL_PATTERN = rf"^{_SYMBOL_REGEX}$(?!\n)"
SYMBOL_DESCRIPTION = f"a symbol: 1 to {SYMBOL_BYTES} ASCII letters, digits, inner spaces or ._:/^=+#&@$!~-"
_SYMBOL_MATCHER = re.compile(_SYMBOL_REGEX, re.ASCII)


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """The reference data of a symbol. Every field except `symbol` may be unknown (None).

    `name_zh` is the name in Chinese. `tick_size` is the price increment in `currency`. `prev_close` is the last price
    of the previous session. `eps` is the earnings per share of the last year. `shares` is the number of shares
    outstanding. `lot_size` is the number of shares in a lot, the unit in which Chinese pages show volumes. `volatility`
    is the annual standard deviation of log returns (0.25 is 25 %). `source` is the name of the vendor that sends the
    symbol's prices.
    """

    symbol: str
    name: str | None = None
    name_zh: str | None = None
    exchange: str | None = None
    sector: str | None = None
    currency: str | None = None
    tick_size: float | None = None
    prev_close: float | None = None
    eps: float | None = None
    shares: float | None = None
    lot_size: float | None = None
    volatility: float | None = None
    source: str | None = None


def is_symbol(text: str) -> bool:
    """Return True if `text` is a valid symbol."""
    return _SYMBOL_MATCHER.fullmatch(text) is not None


def check_symbol(text: str, *, field: str = "symbols") -> str:
    """Return `text` if it is a valid symbol. Otherwise raise an InputError.

    The error names `field`, the parameter or key that contained the text.
    """
    if not is_symbol(text):
        shown = text if len(text) <= 40 else text[:40] + "..."
        raise InputError(
            f"{shown!r} cannot be a symbol: use 1 to {SYMBOL_BYTES} ASCII letters, digits, inner spaces or "
            "._:/^=+#&@$!~-",
            field=field,
        )
    return text
