"""What a filter can speak of: the fields of a quote and of its instrument, each a number or a text."""

from __future__ import annotations

from difflib import get_close_matches

from tickwire.core.quote import QUOTE_FIELDS

MOVING = QUOTE_FIELDS[1:]
"""The numbers of a quote, in its order: what a tick can change. `ts` is in microseconds, as on the wire."""
FIXED = ("tick_size", "eps", "shares", "volatility")
"""The numbers of an instrument that its quotes do not repeat."""
NUMBERS = (*MOVING, *FIXED)
TEXTS = ("symbol", "name", "exchange", "sector", "currency")
PERCENT = frozenset({"change_rate"})
"""Fields whose unit is the percent: 5 in them is what `5%` says."""

PLACE = {name: place for place, name in enumerate(NUMBERS)}


def nearest(name: str) -> str | None:
    """The known field that `name` is likeliest to mean, if any is near."""
    near = get_close_matches(name[:40].lower(), (*NUMBERS, *TEXTS), 1)
    return near[0] if near else None
