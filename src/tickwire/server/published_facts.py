"""Checks the facts that only a PublishedTick contains: sale conditions, receive times and cancels."""

from __future__ import annotations

from collections.abc import Sequence, Set

import msgspec

from tickwire.core.published_tick import MAX_CANCELS, PublishedTick
from tickwire.errors import BatchRowError, InputError
from tickwire.market.dirty_ticks import DirtyTick
from tickwire.server.tick_decoder import DirtyTickRejected

# The earliest time that a tick may have: see `tickwire.server.publishing`.
MIN_TS_US = 10**14
_QUOTE_FIELDS = ("bid", "ask", "bid_size", "ask_size", "volume")


def check_facts(ticks: Sequence[PublishedTick], max_ts_us: int, now_us: int) -> None:
    """Raise BatchRowError for the first tick with invalid facts. All times are in microseconds since the Unix epoch."""
    cancels = sum(tick.is_cancel for tick in ticks)
    if cancels > MAX_CANCELS:
        raise InputError(
            f"the batch has {cancels} cancels: send at most {MAX_CANCELS} in a request, or use POST /v1/uploads",
            field="cancel",
        )
    for index, tick in enumerate(ticks):
        if tick.recv_ts is not msgspec.UNSET:
            _check_receive_time(index, tick.recv_ts, max_ts_us, now_us)
        if tick.is_cancel:
            _check_cancel(index, tick)
        if tick.conditions is not msgspec.UNSET:
            _check_has_only_trade(index, tick, "conditions", "a trade with conditions")
        elif tick.tape is not msgspec.UNSET:
            raise _error(index, "tape", "a tape requires conditions: add conditions, or leave out tape")


def check_cancelled_symbols(ticks: Sequence[PublishedTick], new_symbols: Set[str]) -> None:
    """Raise BatchRowError if a tick cancels a trade of a symbol that has no tick yet.

    `new_symbols` contains the symbols of the batch that the board does not contain.
    """
    unknown = set(new_symbols)
    for index, tick in enumerate(ticks):
        if tick.is_cancel and tick.symbol in unknown:
            raise _error(index, "symbol", f"{tick.symbol!r} has no trades to cancel: publish its trades first")
        unknown.discard(tick.symbol)


def too_early(index: int, field: str, ts_us: int) -> DirtyTickRejected:
    """Return the error for a tick whose time `ts_us`, in microseconds since the Unix epoch, is before `MIN_TS_US`."""
    reason = f"{ts_us} is before 1973: send microseconds since 1970"
    return DirtyTickRejected(DirtyTick.WRONG_TIME, f"tick {index}, {field}: {reason}", index=index, field=field)


def too_far_ahead(index: int, field: str, ts_us: int, now_us: int) -> DirtyTickRejected:
    """Return the error for a tick whose time `ts_us`, in microseconds, is too far ahead of the server's clock."""
    reason = f"{ts_us} is more than a day ahead of the server's clock ({now_us})"
    return DirtyTickRejected(DirtyTick.WRONG_TIME, f"tick {index}, {field}: {reason}", index=index, field=field)


def _check_receive_time(index: int, recv_ts: int, max_ts_us: int, now_us: int) -> None:
    if recv_ts < MIN_TS_US:
        raise too_early(index, "recv_ts", recv_ts)
    if recv_ts > max_ts_us:
        raise too_far_ahead(index, "recv_ts", recv_ts, now_us)


def _check_cancel(index: int, tick: PublishedTick) -> None:
    if tick.ts is None:
        raise _error(index, "ts", "a cancel needs the ts of the trade that it cancels")
    for field in ("last", "size"):
        if getattr(tick, field) is msgspec.UNSET:
            raise _error(index, field, f"a cancel needs the {field} of the trade that it cancels")
    _check_has_only_trade(index, tick, "cancel", "a cancel")


def _check_has_only_trade(index: int, tick: PublishedTick, field: str, what: str) -> None:
    for other in _QUOTE_FIELDS:
        if getattr(tick, other) is not msgspec.UNSET:
            raise _error(index, other, f"{what} must not contain {other}: send {other} in another tick")
    if tick.last is msgspec.UNSET:
        raise _error(index, field, f"{what} needs the price of the trade: add last, or leave out {field}")


def _error(index: int, field: str, reason: str) -> BatchRowError:
    return BatchRowError(f"tick {index}, {field}: {reason}", index=index, field=field)
