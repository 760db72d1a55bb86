"""Publish a batch of decoded ticks: check the batch, append it to the journal, and wait until the board applies it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import TypeGuard

import numpy as np

from tickwire.core.correction import TradeCorrection
from tickwire.core.event import JournalEntry, SequenceRange, correction_key, named_entry, ticks_entry
from tickwire.core.event_kinds import EventKind
from tickwire.core.published_tick import PublishedTick, published_corrections
from tickwire.core.tick import PackedTicks, Tick, pack_ticks
from tickwire.errors import InputError
from tickwire.market.dirty_ticks import DirtyTick
from tickwire.market.published_trades import apply_conditions, count_conditions, withdraw_cancelled
from tickwire.market.symbol_column import SymbolColumn
from tickwire.server.http_errors import Forbidden, QuotaExceeded
from tickwire.server.loop_slices import run_steps
from tickwire.server.published_facts import MIN_TS_US, check_cancelled_symbols, check_facts, too_early, too_far_ahead
from tickwire.server.service import Service
from tickwire.sessions.rights import Rights

# The earliest accepted time is in 1973. If a client sends seconds or milliseconds instead of microseconds, the time is
# in 1970 and is rejected.
_MIN_TS_NS = MIN_TS_US * 1000
_DAY_NS = 86_400 * 10**9
# The maximum number of different days in one batch. The first tick of each day begins a trading session, which takes
# about as long as the application of a batch.
_MAX_DAYS = 250
# The maximum time by which a tick may be ahead of the server's clock. A tick in the far future would begin a future
# trading session, and the board would then reject current ticks as too old.
_MAX_AHEAD_NS = _DAY_NS
_SOURCE_PREFIX = "http"


def publisher_source(rights: Rights) -> str:
    """Return the source of a client's ticks: the user, or the token if the token names no user.

    The idempotency keys of different sources are independent.
    """
    return _SOURCE_PREFIX if rights.principal is None else f"{_SOURCE_PREFIX} {rights.principal}"


async def publish_ticks(
    service: Service,
    rights: Rights,
    ticks: Sequence[Tick],
    *,
    source: str,
    key: str | None,
    on_checked: Callable[[], None] = lambda: None,
) -> SequenceRange:
    """Publish all ticks of a batch, and return their sequence numbers once they are durable and on the board.

    If the journal already contains a batch with the same source and key, publish nothing, and return the sequence
    numbers of that batch. Raise InputError (for example BatchRowError) if the batch is invalid, and JournalError if the
    journal cannot store it. After any error except JournalUnavailable, the journal contains no tick of the batch. If
    the batch is valid, the function calls `on_checked` before any other task can append to the journal.
    """
    packed, arrival = _pack_with_checked_times(service, ticks)
    if not rights.symbols.includes_all:
        await _check_symbols_allowed(rights, ticks)
        await run_steps(rights.symbols.test_patterns_stepwise(service.live_hub.board.symbol_column))
    new_symbols = _new_symbols(service, packed, rights)
    corrections: Sequence[TradeCorrection] = ()
    if _have_facts(ticks):
        check_cancelled_symbols(ticks, new_symbols)
        corrections = published_corrections(ticks)
    service.pending_symbols.update(new_symbols)
    try:
        if corrections:
            await publish_corrections(service, corrections, source=source, key=key)
        restricted = _apply_facts(service, ticks, packed, arrival)
        on_checked()
        sequences = await service.runtime.publish(ticks_entry(packed, source=source, key=key))
    finally:
        service.pending_symbols.difference_update(new_symbols)
    if sequences.is_new and _have_facts(ticks):
        _record_facts(service, ticks, restricted, arrival)
    return sequences


async def publish_corrections(
    service: Service, corrections: Iterable[TradeCorrection], *, source: str, key: str | None
) -> None:
    """Append the events of corrections to the journal. The caller appends the ticks of the corrections later.

    If the client repeats a request with an idempotency key after a fault, the journal appends only the events that are
    missing.
    """
    entries = [named_entry(EventKind.CORRECTION, correction) for correction in corrections]
    await asyncio.gather(
        *(
            service.runtime.publish(_with_correction_key(entry, index, source, key))
            for index, entry in enumerate(entries)
        )
    )


def _with_correction_key(entry: JournalEntry, index: int, source: str, key: str | None) -> JournalEntry:
    if key is None:
        return entry._replace(source=source)
    return entry._replace(**correction_key(source, key, index)._asdict())


def _have_facts(ticks: Sequence[Tick]) -> TypeGuard[Sequence[PublishedTick]]:
    """Return whether the ticks may have receive times, conditions or cancels. Only a PublishedTick may have them.

    The function checks only the first tick, because all ticks of a batch have the same class.
    """
    return isinstance(ticks[0], PublishedTick)


def _apply_facts(service: Service, ticks: Sequence[Tick], packed: PackedTicks, now: int) -> int:
    """Apply the cancels and conditions of a batch to the packed ticks. Return how many conditions had an effect.

    If the board has not yet applied the newest events of the journal, its time of a symbol's newest trade is too early.
    The result is correct nevertheless: a trade that is older than the early time is also older than the correct, later
    time.
    """
    if not _have_facts(ticks):
        return 0
    withdraw_cancelled(ticks, packed)
    if not service.applies_conditions:
        return count_conditions(ticks)
    return apply_conditions(ticks, packed, service.live_hub.board.newest_trade_ts, now)


def _record_facts(service: Service, ticks: Sequence[PublishedTick], restricted: int, now: int) -> None:
    runtime = service.runtime
    runtime.publish_stats.record(ticks, now)
    if service.applies_conditions:
        runtime.published_dirty_ticks.add(DirtyTick.CONDITION, restricted)
    else:
        runtime.publish_stats.ignored_conditions += restricted


def _new_symbols(service: Service, ticks: PackedTicks, rights: Rights) -> set[str]:
    """Return the symbols of the batch that the board (the newest quote of every symbol) does not contain yet.

    Raise InputError if the board would contain too many symbols after the batch. Raise QuotaExceeded if the board would
    contain too many of the symbols in the client's token.
    """
    board, limit = service.live_hub.board, service.limits.max_board_symbols
    new = board.unknown_symbols(ticks["symbol"].tolist())
    if new and len(board) + len(service.pending_symbols | new) > limit:
        raise InputError(
            f"the limit of {limit} symbols is reached: publish only symbols that have a quote already", field="symbol"
        )
    if new and not rights.symbols.includes_all:
        share = service.limits.max_board_symbols_per_publisher
        # Of the pending symbols, count only the symbols that the client's token allows. The token allows all new
        # symbols of this batch.
        pending = len(new) + len(rights.symbols.select([*(service.pending_symbols - new)]))
        if int(rights.symbols.mask(board.symbol_column).sum()) + pending > share:
            raise QuotaExceeded(
                f"the limit of {share} symbols for a publisher is reached: publish only symbols that have a quote "
                "already",
                field="symbol",
            )
    return new


async def _check_symbols_allowed(rights: Rights, ticks: Sequence[Tick]) -> None:
    """Raise Forbidden if the client's rights do not allow the symbol of a tick. The error contains the tick's index.

    Other tasks can run during the check, which takes long if the token has many patterns.
    """
    symbols, column = list(dict.fromkeys(tick.symbol for tick in ticks)), SymbolColumn()
    column.extend(symbols)
    await run_steps(rights.symbols.test_patterns_stepwise(column))
    allowed = rights.symbols.mask(column)
    if not allowed.all():
        symbol = symbols[int(np.argmin(allowed))]
        index = next(index for index, tick in enumerate(ticks) if tick.symbol == symbol)
        raise Forbidden(f"tick {index}: the token does not allow {symbol!r}", field="symbol")


def _pack_with_checked_times(service: Service, ticks: Sequence[Tick]) -> tuple[PackedTicks, int]:
    """Return a pair: the ticks as an array, and the present time. Raise InputError if the time of a tick is
    implausible, or if the facts of a PublishedTick are invalid.

    A time before 1973 has the wrong unit. A time more than a day ahead of the clock belongs to a future trading day.
    After a tick from the future, the server would reject current ticks as too old. Also raise InputError for ticks on
    too many different days, because the server needs some time for each trading day that begins.
    """
    now = service.clock.now()
    packed = pack_ticks(ticks, now=now)
    ts = packed["ts"]
    oldest, newest = (ts.item(),) * 2 if len(ts) == 1 else (int(ts.min()), int(ts.max()))
    if oldest < _MIN_TS_NS:
        index = int(np.argmax(ts < _MIN_TS_NS))
        raise too_early(index, "ts", int(ts[index]) // 1000)
    if newest > now + _MAX_AHEAD_NS:
        index = int(np.argmax(ts > now + _MAX_AHEAD_NS))
        raise too_far_ahead(index, "ts", int(ts[index]) // 1000, now // 1000)
    if newest // _DAY_NS - oldest // _DAY_NS >= _MAX_DAYS and len(np.unique(ts // _DAY_NS)) > _MAX_DAYS:
        raise InputError(f"the batch has times on more than {_MAX_DAYS} days: send smaller batches", field="ts")
    if _have_facts(ticks):
        check_facts(ticks, (now + _MAX_AHEAD_NS) // 1000, now // 1000)
        # Return a copy that the caller can change, because the array of a single packed tick is read-only.
        return packed.copy(), now
    return packed, now
