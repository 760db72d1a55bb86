"""The symbols that readers want from a vendor. The vendor limits the number of symbols per connection."""

from __future__ import annotations

from collections.abc import Set

LINGER_S = 60.0
"""A symbol stays subscribed for this time after its last reader has left. The reader may return soon, for example after
it has reloaded a page."""


class SymbolDemand:
    """The symbols to subscribe to: each symbol that readers want now or wanted in the last `LINGER_S` seconds.

    At most `max_symbols` symbols are subscribed. A wanted symbol replaces a symbol that only lingers. If all subscribed
    symbols are wanted, the feed does not subscribe to further symbols. `unserved_count` is the current number of wanted
    symbols without a subscription.
    """

    def __init__(self, max_symbols: int) -> None:
        self.unserved_count = 0
        self._max_symbols = max_symbols
        # For each symbol: the monotonic time at which a reader most recently wanted it. The symbols are in the order of
        # their subscription.
        self._wanted_at_s: dict[str, float] = {}

    def update(self, wanted: Set[str], now_s: float) -> list[str]:
        """Record the symbols that readers want at the monotonic time `now_s`. Return the symbols to subscribe to."""
        self._wanted_at_s = {
            symbol: now_s if symbol in wanted else at_s
            for symbol, at_s in self._wanted_at_s.items()
            if symbol in wanted or now_s - at_s < LINGER_S
        }
        lingering = [symbol for symbol in self._wanted_at_s if symbol not in wanted]
        lingering.sort(key=self._wanted_at_s.__getitem__, reverse=True)
        self.unserved_count = 0
        for symbol in sorted(wanted - self._wanted_at_s.keys()):
            if len(self._wanted_at_s) < self._max_symbols:
                self._wanted_at_s[symbol] = now_s
            elif lingering:
                del self._wanted_at_s[lingering.pop()]
                self._wanted_at_s[symbol] = now_s
            else:
                self.unserved_count += 1
        return [*self._wanted_at_s]
