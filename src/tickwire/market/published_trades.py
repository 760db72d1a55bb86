"""Applies the sale conditions and the cancels of published ticks to their packed form.

A packed tick contains neither conditions nor cancels. The conditions therefore change the values of the packed tick, as
the feed of a vendor does (see `tickwire.market.sale_conditions`), and a cancel becomes a tick with a negative size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isnan

import msgspec

from tickwire.core.correction import LEAST_SIZE
from tickwire.core.published_tick import PublishedTick
from tickwire.core.tick import NOT_REPORTED, PackedTicks
from tickwire.market.sale_conditions import FULL_EFFECT, SaleEffect, sale_effect

LATE_NS = 10**9
"""A trade that must not change the last price is dated this long before the newest trade. A shorter time would not be
enough, because candles compare times in whole seconds."""


def withdraw_cancelled(ticks: Sequence[PublishedTick], packed: PackedTicks) -> None:
    """Set the size of each cancel in `packed`, the packed form of `ticks`, to a negative number."""
    for index, tick in enumerate(ticks):
        if tick.is_cancel:
            packed["size"][index] = -max(float(packed["size"][index]), LEAST_SIZE)


def apply_conditions(
    ticks: Sequence[PublishedTick],
    packed: PackedTicks,
    newest_trade_ts: Callable[[bytes], int | None],
    now: int,
) -> int:
    """Remove from each packed trade the values that the sale conditions of the trade exclude.

    `packed` is the packed form of `ticks`. Return the number of trades whose conditions exclude a value.
    `newest_trade_ts` returns the time of the newest trade of a symbol before the batch, or None. This time may be too
    early, but not too late. `now` is the present time. All times are in nanoseconds since the Unix epoch.

    If a trade may change the high and low but not the last price, the function moves its time before the newest trade.
    The board and the candles then treat it as a late trade, even if other processes append newer trades first. If the
    symbol has no other trade, this trade also changes the last price. The cancel of such a trade keeps its time,
    because no cancel changes the last price.
    """
    restricted = 0
    newest: dict[bytes, int | None] = {}
    # Use Python lists, because the access to single elements of an array is slow.
    symbols, times, volumes = packed["symbol"].tolist(), packed["ts"].tolist(), packed["volume"].tolist()
    prices, sizes = packed["last"].tolist(), packed["size"].tolist()
    for index, tick in enumerate(ticks):
        symbol, effect = symbols[index], _effect_of(tick)
        if symbol not in newest:
            newest[symbol] = newest_trade_ts(symbol)
        earlier = newest[symbol]
        if effect is not FULL_EFFECT:
            restricted += 1
            if effect.range and not effect.last and not tick.is_cancel and earlier is not None:
                times[index] = min(times[index], earlier - LATE_NS)
            prices[index], sizes[index] = _allowed_values(prices[index], sizes[index], effect)
        is_trade = not (isnan(prices[index]) and isnan(sizes[index]) and isnan(volumes[index]))
        if is_trade and not tick.is_cancel:
            ts = min(times[index], now)
            newest[symbol] = ts if earlier is None else max(earlier, ts)
    packed["ts"], packed["last"], packed["size"] = times, prices, sizes
    return restricted


def count_conditions(ticks: Sequence[PublishedTick]) -> int:
    """Return the number of trades whose conditions exclude a value."""
    return sum(_effect_of(tick) is not FULL_EFFECT for tick in ticks)


def _effect_of(tick: PublishedTick) -> SaleEffect:
    if tick.conditions is msgspec.UNSET or not tick.conditions:
        return FULL_EFFECT
    return sale_effect("" if tick.tape is msgspec.UNSET else tick.tape, tick.conditions)


def _allowed_values(price: float, size: float, effect: SaleEffect) -> tuple[float, float]:
    """Return the price and the size of a tick without the values that the conditions exclude."""
    if not effect.volume:
        # A cancel needs a negative size, even if the conditions exclude the size but not the price. In this case, use
        # the smallest size.
        size = -LEAST_SIZE if size < 0.0 and effect.range else NOT_REPORTED
    return price if effect.range else NOT_REPORTED, size
