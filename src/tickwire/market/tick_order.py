"""Detects ticks that arrive late: after a newer tick of the same symbol."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan
from typing import Any, NamedTuple

import numpy as np

from tickwire.core.arrays import Bools, Ints, RowArray, Timestamps
from tickwire.core.tick import NO_PRICE, PackedTicks
from tickwire.market.dirty_ticks import FUTURE_TOLERANCE_NS
from tickwire.market.ohlcv import running_maximum_by_group

NO_LIMIT_NS = 2**63 - 1
# A sentinel: the newest time of a symbol without trades or quotes. Every tick is later, even in recordings that begin
# before 1970.
_NEVER_NS = -(2**63)


class LateTicks(NamedTuple):
    """The late ticks of a batch with at least one late tick.

    Each array has one element for each tick. `trades` is True if the tick has a trade, and its symbol already had a
    trade with a newer timestamp. `quotes` is True if the tick has a bid or ask, and its symbol already had a bid or ask
    with a newer timestamp. `ts` is the time of the symbol's quote after the tick. Late ticks, and ticks that withdraw a
    trade, do not change this time.
    """

    trades: Bools
    quotes: Bools
    ts: Timestamps


class TickOrder:
    """The time of the newest trade, and of the newest bid or ask, of each symbol.

    Trades and quotes have separate times, because many vendors send trades and quotes on separate channels. The methods
    identify a symbol by its row on the board. If the time of a tick is after its arrival, the time of arrival replaces
    this time. Otherwise, one wrong time in the future would make all following ticks late. After the server's clock was
    set back, the newest time of a symbol may be later than the arrival of its next tick. The order of the symbol then
    begins again with this tick.
    """

    def __init__(self) -> None:
        self.trade_ts = np.empty(0, np.int64)
        self.quote_ts = np.empty(0, np.int64)

    def grow(self, capacity: int) -> None:
        """Allocate memory for the times of `capacity` symbols."""
        more = capacity - len(self.trade_ts)
        self.trade_ts = np.pad(self.trade_ts, (0, more), constant_values=_NEVER_NS)
        self.quote_ts = np.pad(self.quote_ts, (0, more), constant_values=_NEVER_NS)

    def reset(self, rows: RowArray) -> None:
        """Forget the times of symbols, because their market begins again at an earlier time."""
        self.trade_ts[rows] = self.quote_ts[rows] = _NEVER_NS

    def newest_trade_ts(self, row: int) -> int | None:
        """Return the time of the newest trade of a symbol, or None if the symbol has no trade yet."""
        ts = int(self.trade_ts[row])
        return None if ts == _NEVER_NS else ts

    def advance_if_plain(self, ticks: Sequence[tuple[Any, ...]], rows: Sequence[int], now: int) -> bool:
        """Record the times of a few ticks, which are tuples of the fields of `TICK_DTYPE`.

        Return False if a tick is late, or has a time or a number that only `advance` can handle. The method has then
        recorded no time, and the caller must call `advance`. For a few ticks, this method takes a tenth of the time of
        `advance`.
        """
        limit, trade_ts, quote_ts = now + FUTURE_TOLERANCE_NS, dict[int, int](), dict[int, int]()
        for row, (_, ts, last, bid, ask, bid_size, ask_size, size, volume) in zip(rows, ticks, strict=True):
            # NaN passes these checks, because every comparison with NaN is false.
            if ts > limit or size < 0.0 or last < 0.0 or last == NO_PRICE or bid <= 0.0 or ask <= 0.0:
                return False
            newest_trade_ts, newest_quote_ts = self.trade_ts.item(row), self.quote_ts.item(row)
            if newest_trade_ts > limit or newest_quote_ts > limit:
                return False
            arrival = min(ts, now)
            if not (isnan(last) and isnan(volume) and isnan(size)):
                if arrival < trade_ts.get(row, newest_trade_ts):
                    return False
                trade_ts[row] = arrival
            if not (isnan(bid) and isnan(ask) and isnan(bid_size) and isnan(ask_size)):
                if arrival < quote_ts.get(row, newest_quote_ts):
                    return False
                quote_ts[row] = arrival
        for row, ts in trade_ts.items():
            self.trade_ts[row] = ts
        for row, ts in quote_ts.items():
            self.quote_ts[row] = ts
        return True

    def advance(self, ticks: PackedTicks, rows: RowArray, now: int) -> LateTicks | None:
        """Record the times of a batch. Return the late ticks of the batch, or None if no tick is late.

        `now` is the time at which the batch arrived, in nanoseconds since the Unix epoch.
        """
        ts = np.minimum(ticks["ts"], now)
        is_withdrawal = ticks["size"] < 0.0
        has_trade = ~(np.isnan(ticks["last"]) & np.isnan(ticks["volume"]) & np.isnan(ticks["size"])) & ~is_withdrawal
        has_quote = ~(
            np.isnan(ticks["bid"]) & np.isnan(ticks["ask"]) & np.isnan(ticks["bid_size"]) & np.isnan(ticks["ask_size"])
        )
        for newest_ts in (self.trade_ts, self.quote_ts):
            newest_ts[rows[newest_ts[rows] > min(now + FUTURE_TOLERANCE_NS, NO_LIMIT_NS)]] = _NEVER_NS
        is_new = (ts >= np.maximum(self.trade_ts[rows], self.quote_ts[rows])).all() and not is_withdrawal.any()
        if is_new and _is_in_order(rows, ts):
            # If `rows` contains a row several times, NumPy stores the value of the row's last tick, which is the
            # newest.
            self.trade_ts[rows[has_trade]] = ts[has_trade]
            self.quote_ts[rows[has_quote]] = ts[has_quote]
            return None
        late_trades, newest_trade = _find_late(self.trade_ts, rows, ts, has_trade)
        late_quotes, newest_quote = _find_late(self.quote_ts, rows, ts, has_quote)
        is_late = late_trades | late_quotes | is_withdrawal
        if not is_late.any():
            return None
        newest = np.maximum(newest_trade, newest_quote)
        # A tick that withdraws a trade keeps its own time if the symbol has no newest time yet.
        keeps_ts = is_late & (newest != _NEVER_NS)
        return LateTicks(late_trades, late_quotes, np.where(keeps_ts, newest, ticks["ts"]))


def _is_in_order(rows: RowArray, ts: Timestamps) -> bool:
    """Return whether the times of each symbol ascend. Times of different symbols may be out of order."""
    if (ts[1:] >= ts[:-1]).all():
        return True
    order = np.argsort(rows, kind="stable")
    sorted_rows, sorted_ts = rows[order], ts[order]
    return bool(((sorted_ts[1:] >= sorted_ts[:-1]) | (sorted_rows[1:] != sorted_rows[:-1])).all())


def _find_late(newest_ts: Ints, rows: RowArray, ts: Timestamps, is_reported: Bools) -> tuple[Bools, Ints]:
    """Return whether each tick is late, and the newest time of each tick's symbol after the tick.

    Ticks for which `is_reported` is False have no effect. Update the array `newest_ts`, which has one time for each row
    of the board.
    """
    order = np.argsort(rows, kind="stable")
    sorted_rows = rows[order]
    candidates = np.where(is_reported[order], np.maximum(ts[order], newest_ts[sorted_rows]), newest_ts[sorted_rows])
    newest = running_maximum_by_group(sorted_rows, candidates)
    newest_ts[sorted_rows] = newest
    after = np.empty_like(newest)
    after[order] = newest
    return is_reported & (ts < after), after
