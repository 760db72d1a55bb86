"""Checks the ticks of a vendor, because the journal rejects a whole batch if one of its ticks is invalid."""

from __future__ import annotations

import numpy as np

from tickwire.core.tick import EMPTY_SIDE, MAX_PRICE, MAX_SIZE, NOT_REPORTED, PackedTicks
from tickwire.market.dirty_ticks import DirtyTick, DirtyTickCounter

# A tick with a time before 1973 is not valid. Published ticks have the same limit.
_MIN_TS_NS = 10**17
_MAX_AHEAD_NS = 86_400 * 10**9
_LIMITS = {
    "last": (-MAX_PRICE, MAX_PRICE),
    "bid": (-MAX_PRICE, MAX_PRICE),
    "ask": (-MAX_PRICE, MAX_PRICE),
    "bid_size": (0.0, MAX_SIZE),
    "ask_size": (0.0, MAX_SIZE),
    # A tick may have a negative size, which withdraws a trade.
    "size": (-MAX_SIZE, MAX_SIZE),
    "volume": (0.0, MAX_SIZE),
}


def drop_invalid_ticks(ticks: PackedTicks, now: int, counter: DirtyTickCounter) -> PackedTicks:
    """Remove implausible times and numbers from the ticks, and count the removals. Return the remaining ticks.

    `now` is in nanoseconds. A tick with a wrong time is dropped. An invalid number is replaced by NaN, as if the feed
    had not reported the number. A tick without any number is dropped.
    """
    if not len(ticks):
        return ticks
    ts = ticks["ts"]
    wrong_time = (ts < _MIN_TS_NS) | (ts > now + _MAX_AHEAD_NS)
    if wrong_time.any():
        counter.add(DirtyTick.WRONG_TIME, int(np.count_nonzero(wrong_time)))
        ticks = ticks[~wrong_time]
    has_number = np.zeros(len(ticks), bool)
    for name, (least, greatest) in _LIMITS.items():
        values = ticks[name]
        invalid = (values < least) | (values > greatest)
        if name.startswith(("bid", "ask")):
            invalid &= values != EMPTY_SIDE
        if invalid.any():
            counter.add(DirtyTick.NOT_A_NUMBER, int(np.count_nonzero(invalid)))
            values[invalid] = NOT_REPORTED
        has_number |= ~np.isnan(values)
    return ticks if has_number.all() else ticks[has_number]
