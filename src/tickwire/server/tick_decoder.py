"""Decode published ticks: a JSON array, or NDJSON (one JSON object per line)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec

from tickwire.core.codec import NonNumber, find_non_number
from tickwire.core.instrument import SYMBOL_DESCRIPTION, is_symbol
from tickwire.core.published_tick import PublishedTick
from tickwire.core.tick import Tick
from tickwire.errors import BatchRowError, InputError, suggest_name
from tickwire.market.dirty_ticks import DirtyTick
from tickwire.server.transport.body import JSON_DECODE_ERRORS

# These patterns match the error messages of msgspec, which contain the path to an invalid value, or the name of an
# unknown field.
_ERROR_LOCATION_PATTERN = re.compile(r"`\$(?:\[(?P<index>\d+)\])?(?:\.(?P<field>\w+))?")
_UNKNOWN_FIELD_PATTERN = re.compile(r"unknown field `(\w+)`")
# The maximum number of symbols in the cache, which occupies about 0.5 MB.
_MAX_CACHED_SYMBOLS = 4_096


class DirtyTickRejected(BatchRowError):
    """The server rejects the whole batch, because one of its ticks is dirty. `kind` is the kind of the dirty tick."""

    def __init__(
        self, kind: DirtyTick, message: str, *, index: int, field: str | None, hint: str | None = None
    ) -> None:
        super().__init__(message, index=index, field=field, hint=hint)
        self.kind = kind


def decode_ticks(body: bytes) -> Sequence[Tick]:
    """Decode the ticks in a request body, which is a JSON array or NDJSON.

    If any tick has a field that only PublishedTick declares, all ticks have the class PublishedTick. Otherwise, all
    ticks have the class Tick. Raise BatchRowError with the index and the field of the first invalid tick.
    """
    text = body.lstrip()
    try:
        ticks = _decode_valid(text)
        if ticks is None:
            # Decode the body again with other decoders, whose errors contain the place of the first invalid value.
            ticks = _ARRAY_DECODER.decode(text) if text.startswith(b"[") else _LINE_DECODER.decode_lines(text)
    except msgspec.ValidationError as error:
        raise _row_error(str(error)) from None
    except JSON_DECODE_ERRORS as error:
        found = find_non_number(text, error)
        if found is None:
            raise InputError(f"the body is neither a JSON array of ticks nor NDJSON: {error}") from None
        # Count the opening braces before the position. A tick is an object without nested objects, so their number is
        # the index of the tick plus one.
        raise _non_number_error(found, text.count(b"{", 0, found.position) - 1) from None
    if not ticks:
        raise InputError("the body has no ticks", hint='example: [{"symbol":"AAPL","last":187.25,"size":100}]')
    return ticks


def decode_tick_lines(lines: Sequence[bytes]) -> Sequence[Tick]:
    """Decode exactly one tick from each line, as `decode_ticks` does.

    Raise BatchRowError with the index of the first invalid line.
    """
    for decoder in (_UNCHECKED_LINE_DECODER, _UNCHECKED_PUBLISHED_LINE_DECODER):
        try:
            # Do not decode the lines together, because one line could then contain several objects or a part of an
            # object.
            ticks = [decoder.decode(line) for line in lines]
        except JSON_DECODE_ERRORS:
            continue
        if _have_valid_symbols(ticks):
            return ticks
    return [_decode_line(index, line) for index, line in enumerate(lines)]


def _decode_line(index: int, line: bytes) -> PublishedTick:
    try:
        return _LINE_DECODER.decode(line)
    except msgspec.ValidationError as error:
        raise _row_error(str(error), index) from None
    except JSON_DECODE_ERRORS as error:
        found = find_non_number(line, error)
        if found is None:
            raise BatchRowError(f"tick {index}: expected one JSON object: {error}", index=index) from None
        raise _non_number_error(found, index) from None


def _decode_valid(text: bytes) -> Sequence[Tick] | None:
    """Return the ticks of a JSON array or of NDJSON, or None if the body is invalid."""
    is_array = text.startswith(b"[")
    # Try the decoder for the class Tick first. It is faster, and most bodies have only the fields of Tick.
    for array_decoder, line_decoder in _UNCHECKED_DECODERS:
        try:
            ticks: Sequence[Tick] = array_decoder.decode(text) if is_array else line_decoder.decode_lines(text)
        except JSON_DECODE_ERRORS:
            continue
        if _have_valid_symbols(ticks):
            return ticks
    return None


def _have_valid_symbols(ticks: Sequence[Tick]) -> bool:
    return all(map(_is_symbol, {tick.symbol for tick in ticks}))


class _UncheckedTick(Tick, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tick whose symbol was not checked. With the type Tick, msgspec would match a regular expression for each
    symbol, and the decoding would take twice as long. The endpoint instead checks each different symbol of a batch
    once.
    """

    symbol: str


class _UncheckedPublishedTick(PublishedTick, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A PublishedTick whose symbol was not checked."""

    symbol: str


_ARRAY_DECODER = msgspec.json.Decoder(list[PublishedTick])
_LINE_DECODER = msgspec.json.Decoder(PublishedTick)
_UNCHECKED_LINE_DECODER = msgspec.json.Decoder(_UncheckedTick)
_UNCHECKED_PUBLISHED_LINE_DECODER = msgspec.json.Decoder(_UncheckedPublishedTick)
_UNCHECKED_DECODERS: Sequence[tuple[msgspec.json.Decoder[Any], msgspec.json.Decoder[Any]]] = (
    (msgspec.json.Decoder(list[_UncheckedTick]), _UNCHECKED_LINE_DECODER),
    (msgspec.json.Decoder(list[_UncheckedPublishedTick]), _UNCHECKED_PUBLISHED_LINE_DECODER),
)
_is_symbol = lru_cache(maxsize=_MAX_CACHED_SYMBOLS)(is_symbol)


def _non_number_error(found: NonNumber, index: int) -> DirtyTickRejected:
    return DirtyTickRejected(
        DirtyTick.NOT_A_NUMBER,
        f"tick {index}, {found.field}: {found.text} is not a number",
        index=index,
        field=found.field,
        hint="leave out a field that has no value, and send null only for an empty side of the order book",
    )


def _row_error(message: str, index: int | None = None) -> InputError:
    """Convert an error message of msgspec to a BatchRowError with the index and the field of the invalid tick.

    If `index` is None, the message contains the index.
    """
    location = _ERROR_LOCATION_PATTERN.search(message)
    if index is None:
        if location is None or location["index"] is None:
            return InputError(message)
        index = int(location["index"])
    field, hint = None if location is None else location["field"], None
    place = f"tick {index}" + (f", {field}" if field else "")
    reason = message.rsplit(" - at ", 1)[0]
    reason = f"expected {SYMBOL_DESCRIPTION}" if "matching regex" in reason else f"{reason[0].lower()}{reason[1:]}"
    unknown = _UNKNOWN_FIELD_PATTERN.search(reason)
    if unknown:
        field, hint = unknown[1], suggest_name(unknown[1], PublishedTick.__struct_fields__)
    return BatchRowError(f"{place}: {reason}", index=index, field=field, hint=hint)
