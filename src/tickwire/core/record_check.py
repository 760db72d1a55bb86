"""Checks that the data of a journal record is complete and valid.

A journal checks each entry before the append, and each record after the journal has read the record from its storage.
Other programs can write to the storage of a journal, for example to the stream of a NATS server. The code that applies
records must not fail for any record that has passed this check.
"""

from __future__ import annotations

from math import isfinite
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from tickwire.core.candle import INTERVAL_NAMES, PackedCandles, candles_from_bytes
from tickwire.core.codec import decode_json
from tickwire.core.correction import TradeCorrection
from tickwire.core.event import NamedEvent, RecordKind
from tickwire.core.event_kinds import CLOCK_EVENT, RESERVED_EVENT_NAMES, EventKind, FeedState, StreamEvent
from tickwire.core.instrument import SYMBOL_BYTES, is_symbol
from tickwire.core.tick import (
    EMPTY_SIDE,
    MAX_PRICE,
    MAX_SIZE,
    NO_PRICE,
    TICK_DTYPE,
    Microseconds,
    PackedTicks,
    Symbol,
    are_resets,
    unpack_tick,
)
from tickwire.core.tick import ticks_from_bytes as parse_ticks
from tickwire.core.timestamps import MAX_TIMESTAMP_NS
from tickwire.errors import InputError

# A symbol may contain spaces, but not at its start or end.
_IS_SYMBOL_BYTE = np.array([is_symbol(f"A{chr(byte)}A") for byte in range(256)])
_SPACE = ord(" ")
_IS_INTERVAL = frozenset(INTERVAL_NAMES)
# In a packed tick, the numbers come after the symbol and the time. The symbol and the time occupy whole 8-byte words.
_TICK_WORDS, _FIRST_NUMBER_WORD = TICK_DTYPE.itemsize // 8, SYMBOL_BYTES // 8 + 1
_NUMBER_FIELDS = (TICK_DTYPE.names or ())[2:]
_IS_SIZE = np.array(["size" in name or name == "volume" for name in _NUMBER_FIELDS])
# A tick may have a negative size, which withdraws a trade (see `correction`).
_IS_TRADE_SIZE = np.array([name == "size" for name in _NUMBER_FIELDS])
_MIN_NUMBERS = np.where(_IS_TRADE_SIZE, -MAX_SIZE, np.where(_IS_SIZE, 0.0, -MAX_PRICE))
_MAX_NUMBERS = np.where(_IS_SIZE, MAX_SIZE, MAX_PRICE)
# Only these fields may have the value EMPTY_SIDE.
_MAY_BE_EMPTY = np.array([name.startswith(("bid", "ask")) for name in _NUMBER_FIELDS])
_NUMBER_LIMITS = list(zip(_MIN_NUMBERS.tolist(), _MAX_NUMBERS.tolist(), _MAY_BE_EMPTY.tolist(), strict=True))
_SYMBOL_BYTES = bytes(np.flatnonzero(_IS_SYMBOL_BYTE).tolist())
_CANDLE_NUMBERS = ("open", "high", "low", "close", "volume")


class _StatusData(msgspec.Struct):
    """The fields of a status event that servers use. Readers receive the whole JSON of the event."""

    symbol: Symbol | None
    state: FeedState
    speed: Annotated[float, msgspec.Meta(ge=0)]
    halted: list[Symbol]
    model: str | None
    notice: str | None
    scenario: str | None = None
    connection: str | None = None
    sources: dict[str, str] = {}


class _ClockData(msgspec.Struct):
    """The data of a clock event, which closes candles when no ticks arrive."""

    ts: Microseconds


_DATA_TYPES: dict[str, type] = {
    EventKind.STATUS: _StatusData,
    EventKind.CORRECTION: TradeCorrection,
    CLOCK_EVENT: _ClockData,
}
# A named event never has a kind in _UNNAMED_KINDS, because a journal stores quotes as packed ticks and candles as
# packed candles, and stores no screen events. Earlier versions accepted messages with the name `heartbeat`, so a
# journal may contain such messages.
_INVALID_MESSAGE_NAMES = RESERVED_EVENT_NAMES - {StreamEvent.HEARTBEAT}
_UNNAMED_KINDS = frozenset(EventKind) - {EventKind.STATUS, EventKind.CORRECTION, EventKind.MESSAGE}


def check_record(kind: int, event_count: int, appended_ts: int, data: bytes) -> None:
    """Raise InputError if a record is not valid. The error contains the reason.

    `appended_ts` is the time at which the journal appended the record, in nanoseconds since the Unix epoch.
    """
    if event_count < 1:
        raise InputError(f"the record has {event_count} events: expected at least one event")
    if not 0 <= appended_ts <= MAX_TIMESTAMP_NS:
        raise InputError(f"the append time {appended_ts} is not between 1970 and 2100")
    if kind == RecordKind.TICKS:
        # If `_is_valid_tick` returns False, `_check_ticks` raises an error that describes the invalid tick.
        tick = unpack_tick(data)
        if event_count != 1 or tick is None or not _is_valid_tick(*tick):
            _check_ticks(parse_ticks(data, event_count), event_count)
    elif kind == RecordKind.CANDLES:
        _check_candles(candles_from_bytes(data, event_count), event_count)
    elif kind == RecordKind.NAMED_EVENT:
        _check_named_event(data, event_count)
    else:
        raise InputError(f"the record has the unknown kind {kind}")


def _check_ticks(ticks: PackedTicks, event_count: int) -> None:
    _check_rows(ticks, event_count)
    _check_times(ticks["ts"])
    numbers = ticks.view("<f8").reshape(-1, _TICK_WORDS)[:, _FIRST_NUMBER_WORD:]
    if are_resets(ticks):
        if not ((numbers[:, 0] == NO_PRICE).all() and np.isnan(numbers[:, 1:]).all()):
            raise InputError("the record contains ticks that reset a symbol, but also other ticks")
        return
    too_large = (numbers > _MAX_NUMBERS) & ~(_MAY_BE_EMPTY & (numbers == EMPTY_SIDE))
    # A NaN means that the feed did not report the number. Comparisons with NaN are false, so a NaN is valid.
    invalid = (numbers < _MIN_NUMBERS) | too_large
    if invalid.any():
        row, column = np.argwhere(invalid)[0].tolist()
        raise InputError(f"tick {row} has an invalid {_NUMBER_FIELDS[column]}: {numbers[row, column]:g}")


def _is_valid_tick(symbol: bytes, ts: int, *numbers: float) -> bool:
    """Return whether a single packed tick is valid.

    For a single tick, the array operations that check a batch would take five times as long.
    """
    if not _is_valid_row(symbol, ts):
        return False
    for value, (low, high, may_be_empty) in zip(numbers, _NUMBER_LIMITS, strict=True):
        if value < low or (value > high and not (may_be_empty and value == EMPTY_SIDE)):
            return False
    return True


def _is_valid_candle(symbol: bytes, interval_s: int, start: int, *numbers: float) -> bool:
    return _is_valid_row(symbol, start) and interval_s in _IS_INTERVAL and all(map(isfinite, numbers))


def _is_valid_row(symbol: bytes, time: int) -> bool:
    has_valid_bytes = bool(symbol) and not symbol.translate(None, _SYMBOL_BYTES) and symbol.strip(b" ") == symbol
    return has_valid_bytes and 0 <= time <= MAX_TIMESTAMP_NS


def _check_candles(candles: PackedCandles, event_count: int) -> None:
    if len(candles) == event_count == 1 and _is_valid_candle(*candles.tolist()[0]):
        return
    _check_rows(candles, event_count)
    _check_times(candles["start"])
    unknown = set(candles["interval"].tolist()) - _IS_INTERVAL
    if unknown:
        raise InputError(f"a candle has the unknown interval {min(unknown)} s")
    if not all(np.isfinite(candles[name]).all() for name in _CANDLE_NUMBERS):
        raise InputError("a candle contains a number that is not finite")


def _check_rows(rows: PackedTicks | PackedCandles, event_count: int) -> None:
    if len(rows) != event_count:
        raise InputError(f"the record contains {len(rows)} ticks or candles, but its number of events is {event_count}")
    symbols = np.ascontiguousarray(rows["symbol"])
    text = symbols.view(np.uint8).reshape(-1, SYMBOL_BYTES)
    # A symbol is padded with zeros to SYMBOL_BYTES. In nearly all records, every symbol fits in the first half of these
    # bytes. A check of only this half takes half the time.
    if not symbols.view(np.uint64).reshape(-1, SYMBOL_BYTES // 8)[:, SYMBOL_BYTES // 16 :].any():
        text = text[:, : SYMBOL_BYTES // 2]
    is_used = text != 0
    # A symbol ends at its first zero byte, so all later bytes must be zero.
    is_contiguous = is_used[:, 0].all() and not (is_used[:, 1:] > is_used[:, :-1]).any()
    is_space = text == _SPACE
    has_outer_space = is_space.any() and (
        is_space[:, 0].any() or is_space[:, -1].any() or (is_space[:, :-1] & ~is_used[:, 1:]).any()
    )
    if has_outer_space or not (is_contiguous and (_IS_SYMBOL_BYTE[text] | ~is_used).all()):
        raise InputError("a tick or candle contains an invalid symbol")


def _check_times(times: NDArray[np.int64]) -> None:
    if times.min() < 0 or times.max() > MAX_TIMESTAMP_NS:
        raise InputError("a tick or candle contains a time that is not between 1970 and 2100")


def _check_named_event(data: bytes, event_count: int) -> None:
    if event_count != 1:
        raise InputError(
            f"a journal record of a named event must contain one event, but this record contains {event_count}"
        )
    try:
        # Check the encoding of the whole text, because the decoder does not check all bytes of the raw data in a named
        # event.
        data.decode()
        event = decode_json(data, NamedEvent)
        kind = event.kind or event.name
        msgspec.json.decode(event.data, type=_DATA_TYPES.get(kind, object))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"invalid named event: {error}") from None
    if kind in _UNNAMED_KINDS or (kind == EventKind.MESSAGE and event.name in _INVALID_MESSAGE_NAMES):
        raise InputError(f"invalid named event: an event of the kind {kind!r} cannot have the name {event.name!r}")
