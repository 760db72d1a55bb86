"""Encodes quotes as JSON with a function in C. Without the compiled library, `QuoteColumns` encodes Python objects."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tickwire.core.arrays import Floats, Ints
from tickwire.core.codec import encode_json
from tickwire.core.native_library import NativeLibraryUnavailable, Signatures, load_library
from tickwire.market.derived_fields import NUMBER_FIELDS

LIBRARY_FILE = Path(__file__).with_name("quote_json.so")
"""The compiled `quote_json.c`. `hatch_build.py` compiles it if the machine has a C compiler."""
# The maximum length, in bytes, of a number that the C function writes.
_MAX_NUMBER_BYTES = 32
_KEYS = [b',"%b":' % name.encode() for name in (*(field.name for field in NUMBER_FIELDS), "ts")]
_ALL_KEYS = b"".join(_KEYS)
_KEY_ENDS = np.cumsum([len(key) for key in _KEYS], dtype=np.int64)
_IS_COUNT = np.array([field.is_count for field in NUMBER_FIELDS], np.uint8)
_ARRAY, _TEXT, _SIZE = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int64
_FUNCTIONS: Signatures = {
    "tickwire_quote_json": (
        [
            _ARRAY, _ARRAY, _SIZE, _SIZE, _TEXT, _ARRAY, _TEXT, _ARRAY, _ARRAY,
            _TEXT, _SIZE, _ARRAY, _TEXT, _SIZE, _TEXT, _SIZE, _ARRAY, _SIZE, _ARRAY,
        ],
        _SIZE,
    ),
}  # fmt: skip


class NumberedFrame(NamedTuple):
    """The texts around the JSON of each quote.

    The frame of a quote consists of `before`, the quote's number from `numbers`, `between`, the JSON, and `after`. The
    numbers must not be negative.
    """

    before: bytes
    numbers: Sequence[int]
    between: bytes
    after: bytes


_NO_FRAME = NumberedFrame(b"", (), b"", b"")


def _load() -> Any | None:
    """Return the C function, or None if the library does not exist or does not fit the machine."""
    try:
        return load_library(LIBRARY_FILE, _FUNCTIONS).tickwire_quote_json
    except NativeLibraryUnavailable:
        return None


_function = _load()


def is_available() -> bool:
    """Whether the library was compiled."""
    return _function is not None


def write_quotes(
    symbols: Sequence[str], values: Floats, times_us: Ints, frame: NumberedFrame | None = None
) -> list[bytes | None]:
    """Return the JSON of each quote, enclosed in the texts of `frame`.

    `values` has one row for each of `NUMBER_FIELDS`, and one column for each quote. An element of the result is None if
    a number of the quote needs an exponent or has more than 15 digits. Call this function only if `is_available`
    returns True.
    """
    assert _function is not None  # noqa: S101  # the caller has checked it
    heads = [*map(_encode_head, symbols)]
    head_ends = np.fromiter(map(len, heads), np.int64, len(heads)).cumsum()
    values, times_us = np.ascontiguousarray(values), np.ascontiguousarray(times_us)
    before, _, between, after = frame or _NO_FRAME
    numbers = np.array((frame or _NO_FRAME).numbers, np.int64)
    texts = len(before) + len(between) + len(after) + len(_ALL_KEYS) + 1
    room = int(head_ends[-1]) + len(heads) * (texts + (len(_KEYS) + 1) * _MAX_NUMBER_BYTES)
    text, ends = np.empty(room, np.uint8), np.empty(len(heads), np.int64)
    size = _function(
        values.ctypes.data, times_us.ctypes.data, len(heads), len(NUMBER_FIELDS), b"".join(heads),
        head_ends.ctypes.data, _ALL_KEYS, _KEY_ENDS.ctypes.data, _IS_COUNT.ctypes.data,
        before, len(before), numbers.ctypes.data if frame else None, between, len(between), after, len(after),
        text.ctypes.data, room, ends.ctypes.data,
    )  # fmt: skip
    if size < 0:
        raise ValueError("the buffer for the JSON of quotes is too small: this is a bug")
    joined, texts_of_quotes, begin = text[:size].tobytes(), list[bytes | None](), 0
    for end in ends.tolist():
        texts_of_quotes.append(joined[begin:end] if end > begin else None)
        begin = abs(end)
    return texts_of_quotes


@lru_cache(maxsize=16_384)
def _encode_head(symbol: str) -> bytes:
    return b'{"symbol":' + encode_json(symbol)
