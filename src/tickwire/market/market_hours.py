"""The hours in which a market trades."""

from __future__ import annotations

import numpy as np

from tickwire.core.arrays import Timestamps
from tickwire.errors import InputError


class MarketHours:
    """The periods in which a market is open. Without periods, the market is always open.

    Period i lasts from `opens[i]` to `closes[i]`, in nanoseconds since the Unix epoch. The periods are in ascending
    order and do not overlap. A lunch break separates two periods. A time before the first period or after the last
    period counts as open, because the hours at that time are unknown.

    The constructor raises InputError if the periods are inconsistent.
    """

    def __init__(self, opens: Timestamps | None = None, closes: Timestamps | None = None) -> None:
        self._opens = np.empty(0, np.int64) if opens is None else np.asarray(opens, np.int64)
        self._closes = np.empty(0, np.int64) if closes is None else np.asarray(closes, np.int64)
        if len(self._opens) != len(self._closes):
            raise InputError(f"{len(self._opens)} openings, but {len(self._closes)} closes: pass one close per opening")
        boundaries = np.stack([self._opens, self._closes], axis=1).reshape(-1)
        if (np.diff(boundaries) < 0).any():
            raise InputError("the trading periods of a market must be ascending, and must not overlap")

    def is_open(self, ts: int) -> bool:
        """Return whether the market is open at the time `ts`, in nanoseconds since the Unix epoch."""
        period = int(np.searchsorted(self._opens, ts, "right")) - 1
        if period < 0 or ts >= self._closes[-1]:
            return True
        return bool(ts < self._closes[period])
