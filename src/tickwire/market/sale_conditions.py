"""The rules of the consolidated US tape: which values of a quote a trade changes, according to its sale conditions.

Two processors distribute the tape. The CTA processes the tapes A and B (securities of NYSE and the regional exchanges),
and the UTP plan the tape C (securities of Nasdaq). Their specifications define the conditions and the rules: "Trade
Reporting: Sale Condition Matrix" of the UTP Data Feed Interface Specification (https://utpplan.com), and "Sale
Conditions" of the CTS Pillar Output Specification (https://www.ctaplan.com).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple


class SaleEffect(NamedTuple):
    """The values of a quote that a trade changes: the last price, the high and low of the session, and the volume."""

    last: bool = True
    range: bool = True
    volume: bool = True


FULL_EFFECT = SaleEffect()
"""The effect of a trade without conditions. `sale_effect` returns this object for each such trade."""
_VOLUME_ONLY = SaleEffect(last=False, range=False)
# The effect of a trade that is reported out of sequence. Under the rules of the processors, such a trade changes the
# last price if it is the first trade of the day. Tickwire does not implement this exception.
_OUT_OF_SEQUENCE = SaleEffect(last=False)
_UTP_TAPE = "C"
# Maps each condition to its effect. A condition that is not in this table excludes no value.
_EFFECTS = {
    # Price variation, odd lot, cash sale, next day, Form T, extended hours, contingent, qualified contingent trade.
    **dict.fromkeys("HICNTUV7", _VOLUME_ONLY),
    # Bunched sold, prior reference price, seller, sold out of sequence, derivatively priced.
    **dict.fromkeys("GPRZ4", _OUT_OF_SEQUENCE),
    # Reports of the official opening and closing prices repeat earlier trades.
    **dict.fromkeys("MQ", SaleEffect(last=False, range=False, volume=False)),
    # Corrected consolidated close.
    "9": SaleEffect(volume=False),
}
# The code of an average price trade depends on the tape. On tape C, the code B means a bunched trade instead.
_AVERAGE_PRICE_CODE = {_UTP_TAPE: "W", "A": "B", "B": "B"}
# The maximum size of the cache. Trades have only a few combinations of conditions, so the cache is rarely full.
_MAX_CACHED_COMBINATIONS = 1_024


def sale_effect(tape: str, conditions: Sequence[str]) -> SaleEffect:
    """Return which values of the quote a trade changes.

    A trade changes each value that none of its conditions excludes.
    """
    return _combined_effect(tape, "".join(conditions))


@lru_cache(maxsize=_MAX_CACHED_COMBINATIONS)
def _combined_effect(tape: str, codes: str) -> SaleEffect:
    effects = [_EFFECTS.get(code, FULL_EFFECT) for code in codes]
    if _AVERAGE_PRICE_CODE.get(tape, "W") in codes:
        effects.append(_VOLUME_ONLY)
    effect = SaleEffect(*(all(values) for values in zip(FULL_EFFECT, *effects, strict=True)))
    return FULL_EFFECT if effect == FULL_EFFECT else effect
