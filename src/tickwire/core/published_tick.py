"""Ticks with the additional facts that a publisher may know: sale conditions, the time of the receipt, and cancels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

import msgspec

from tickwire.core.correction import TradeCorrection
from tickwire.core.tick import Microseconds, Tick

# A trade of the US tape has at most four conditions. The limit is larger, because other tapes have more.
MAX_CONDITIONS = 8
# The maximum number of cancels in a batch. Each of them is a separate event in the journal, and one turn of the event
# loop corrects the candles of all of them.
MAX_CANCELS = 100

SaleConditionCode = Annotated[str, msgspec.Meta(min_length=1, max_length=4, pattern=r"^[\x20-\x7e]*$")]


class PublishedTick(Tick, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tick that a publisher sends, with facts that a packed tick does not contain.

    `conditions` contains the codes of the trade's sale conditions, and `tape` the US tape (A, B or C) that defines the
    codes. `recv_ts` is the time at which the publisher received the tick from its own source, in microseconds since the
    Unix epoch. If `cancel` is true, the tick cancels the trade with this `ts`, `last` and `size`. If the next tick is a
    trade with the same symbol and `ts`, it is the corrected trade.
    """

    conditions: Annotated[list[SaleConditionCode], msgspec.Meta(max_length=MAX_CONDITIONS)] | msgspec.UnsetType = (
        msgspec.UNSET
    )
    tape: Literal["A", "B", "C"] | msgspec.UnsetType = msgspec.UNSET
    recv_ts: Microseconds | msgspec.UnsetType = msgspec.UNSET
    cancel: bool | msgspec.UnsetType = msgspec.UNSET

    @property
    def is_trade(self) -> bool:
        """Whether the tick reports a trade with a price and a size, and is no cancel."""
        return self.last is not msgspec.UNSET and self.size is not msgspec.UNSET and not self.is_cancel

    @property
    def is_cancel(self) -> bool:
        return self.cancel is True


def published_corrections(ticks: Sequence[PublishedTick]) -> list[TradeCorrection]:
    """Return the corrections that a batch of ticks contains. Each cancel must have a time, a price and a size."""
    corrections = []
    for tick, following in zip(ticks, [*ticks[1:], None], strict=True):
        if not tick.is_cancel:
            continue
        values = {"symbol": tick.symbol, "ts": tick.ts, "last": tick.last, "size": tick.size}
        if following is not None and is_replacement(following, tick):
            values |= {"corrected_last": following.last, "corrected_size": following.size}
        corrections.append(msgspec.convert(values, TradeCorrection))
    return corrections


def is_replacement(tick: PublishedTick, cancel: PublishedTick) -> bool:
    """Return whether a tick is the corrected trade of the cancel before it."""
    return tick.is_trade and (tick.symbol, tick.ts) == (cancel.symbol, cancel.ts)


def split_many_cancels(ticks: Sequence[Tick]) -> Iterator[Sequence[Tick]]:
    """Divide ticks into batches with at most `MAX_CANCELS` cancels each.

    A batch never begins with the corrected trade of a cancel.
    """
    begin = cancels = 0
    for index, tick in enumerate(ticks):
        if isinstance(tick, PublishedTick) and tick.is_cancel:
            if cancels == MAX_CANCELS:
                yield ticks[begin:index]
                begin, cancels = index, 0
            cancels += 1
    yield ticks[begin:]
