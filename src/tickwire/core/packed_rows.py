"""Reads packed rows (ticks or candles), including rows of earlier versions, whose symbols had at most 16 bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tickwire.errors import InputError

NARROW_SYMBOL_BYTES = 16
"""The width of a symbol in the rows of Tickwire 0.1.0."""


def narrow_dtype(dtype: np.dtype[np.void]) -> np.dtype[np.void]:
    """Return the layout that rows of the type `dtype` had in Tickwire 0.1.0."""
    fields: list[Any] = [(name, dtype[name]) for name in dtype.names or () if name != "symbol"]
    return np.dtype([("symbol", f"S{NARROW_SYMBOL_BYTES}"), *fields])


def rows_from_bytes(
    data: bytes | memoryview, dtype: np.dtype[np.void], narrow: np.dtype[np.void], count: int | None, name: str
) -> NDArray[np.void]:
    """Return an array of the packed rows in `data`.

    If the rows have the layout `dtype`, the array uses the memory of `data`. If `count`, the number of rows, is given,
    the rows may also have the layout `narrow`, and the array is then a converted copy. `name` is the word for the rows
    in error messages. Raise InputError if the length of `data` fits neither layout.
    """
    if count is not None and len(data) == count * narrow.itemsize:
        return np.frombuffer(data, narrow).astype(dtype)
    if len(data) % dtype.itemsize:
        raise InputError(f"expected packed {name} with a multiple of {dtype.itemsize} bytes, found {len(data)} bytes")
    return np.frombuffer(data, dtype)
