"""Sets of screen numbers as bits: one can be changed in a few places without a look at the rest."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tickwire.screens.bounds import Integers
from tickwire.screens.compiler import Bools

Bits: TypeAlias = NDArray[np.uint8]
"""Number n is bit n % 8 of byte n // 8."""


def bits_of(numbers: Integers, size: int) -> Bits:
    """The set of these numbers, in `size` bytes."""
    marks = np.zeros(8 * size, np.bool_)
    marks[numbers] = True
    return np.packbits(marks, bitorder="little")


def numbers_of(bits: Bits) -> Integers:
    """The numbers in the set, in order."""
    return np.flatnonzero(_marks(bits))


def flipped(bits: Bits, numbers: Integers) -> Bits:
    """The set with those of `numbers` that it had not, and without those that it had."""
    changed = bits.copy()
    np.bitwise_xor.at(changed, numbers >> 3, np.left_shift(1, numbers & 7).astype(np.uint8))
    return changed


def replaced(bits: Bits, numbers: Integers, present: Integers, size: int) -> Bits:
    """The set, now in `size` bytes, with those of `numbers` that are `present`, and without the others of them."""
    marks = np.zeros(8 * size, np.bool_)
    marks[: 8 * len(bits)] = _marks(bits)
    marks[numbers] = False
    marks[present] = True
    return np.packbits(marks, bitorder="little")


def _marks(bits: Bits) -> Bools:
    return np.unpackbits(bits, bitorder="little").view(np.bool_)
