"""The stored trades of one symbol while a trade is cancelled or corrected."""

from __future__ import annotations

from collections.abc import Sequence

from tickwire.market.candle_extremes import PRICES_PER_SIDE, StoredTrades
from tickwire.market.ohlcv import PriceRange


class SymbolTrades:
    """The trades of one symbol, in groups. The trades of a group belong to the same candles.

    Only the highest and the lowest prices of a group are stored. A cancelled price stays stored with a count of 0. So
    the number of stored prices still shows whether there may be further prices that are not stored.
    """

    def __init__(self, trades: StoredTrades, groups: Sequence[int]) -> None:
        """`groups` contains the group of each trade as a bit mask."""
        self._counts: dict[int, dict[float, int]] = {}
        # The cached price range of each group. After a change of the trades, this is None.
        self._ranges: list[tuple[int, PriceRange]] | None = None
        for group, price, count in zip(groups, trades.prices.tolist(), trades.counts.tolist(), strict=True):
            if group:
                self._add(group, price, count)
        self._limit()

    def has(self, group: int, price: float) -> bool:
        """Return whether the group contains a stored trade with this price that was not cancelled."""
        return self._counts.get(group, {}).get(price, 0) > 0

    def may_lack(self, group: int, price: float) -> bool:
        """Return whether the group may contain trades with this price that are not stored."""
        prices = sorted(self._counts.get(group, {}))
        is_limited = len(prices) >= 2 * PRICES_PER_SIDE
        return is_limited and prices[PRICES_PER_SIDE - 1] < price < prices[-PRICES_PER_SIDE]

    def withdraw(self, group: int, price: float) -> None:
        """Remove one trade at a price. The price must be stored."""
        self._ranges = None
        self._counts[group][price] -= 1

    def add(self, group: int, price: float) -> None:
        """Add a trade."""
        self._ranges = None
        self._add(group, price, 1)
        self._limit()

    def price_range(self, candle: int) -> PriceRange | None:
        """Return the lowest and the highest price of the trades in a candle.

        `candle` is the bit of the candle in the bit mask of a group. Return None if no trade is left, or if no trade
        was stored.
        """
        if self._ranges is None:
            ranges = [(group, self._range_of(counts)) for group, counts in self._counts.items()]
            self._ranges = [(group, known) for group, known in ranges if known is not None]
        known = [each for group, each in self._ranges if group & candle]
        if not known:
            return None
        return PriceRange(min(each.low for each in known), max(each.high for each in known))

    def _add(self, group: int, price: float, count: int) -> None:
        counts = self._counts.setdefault(group, {})
        counts[price] = counts.get(price, 0) + count

    def _limit(self) -> None:
        for counts in self._counts.values():
            for price in sorted(counts)[PRICES_PER_SIDE:-PRICES_PER_SIDE]:
                del counts[price]

    @staticmethod
    def _range_of(counts: dict[float, int]) -> PriceRange | None:
        prices = sorted(counts)
        left = [price for price in prices if counts[price]]
        if len(prices) < 2 * PRICES_PER_SIDE:
            # All prices of the group are stored.
            return PriceRange(left[0], left[-1]) if left else None
        low_side, high_side = prices[:PRICES_PER_SIDE], prices[-PRICES_PER_SIDE:]
        # If all stored prices on one side are cancelled, use the innermost of them. All remaining trades have prices
        # further inside.
        return PriceRange(
            next((price for price in low_side if counts[price]), low_side[-1]),
            next((price for price in reversed(high_side) if counts[price]), high_side[0]),
        )
