"""Sets of screen ids, stored as bits. The time for a small change does not depend on the size of the set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tickwire.core.arrays import Bools, RowArray

Bitset: TypeAlias = NDArray[np.uint8]
"""A set of ids as bytes. Id n is bit n % 8 of byte n // 8."""
EMPTY_BITSET: Bitset = np.empty(0, np.uint8)
_MAX_UNPACKED_BYTES = 8 * 1024 * 1024


def to_bitset(members: RowArray, size_bytes: int) -> Bitset:
    """Return a set of `size_bytes` bytes that contains the ids in `members`."""
    mask = np.zeros(8 * size_bytes, np.bool_)
    mask[members] = True
    return np.packbits(mask, bitorder="little")


def list_members(bits: Bitset) -> RowArray:
    """Return the ids in the set, in ascending order."""
    return np.flatnonzero(_to_mask(bits))


def list_all_members(sets: Sequence[Bitset] | NDArray[np.uint8]) -> tuple[RowArray, RowArray]:
    """Return two arrays with one element for each member of each set.

    The first array contains the index of the set in `sets`, and the second array contains the member. The arrays are
    sorted by index, and then by member. All sets must have the same size.
    """
    if len(sets) == 1:
        members = list_members(sets[0])
        return np.zeros(len(members), np.intp), members
    size_bytes = len(sets[0]) if len(sets) else 0
    if not size_bytes:
        return np.empty(0, np.intp), np.empty(0, np.intp)
    # Unpack only some of the sets at a time, because an unpacked set needs eight times as much memory.
    count = max(1, _MAX_UNPACKED_BYTES // (8 * size_bytes))
    parts = [
        np.flatnonzero(np.unpackbits(np.array(sets[begin : begin + count]), bitorder="little")) + begin * 8 * size_bytes
        for begin in range(0, len(sets), count)
    ]
    indexes, members = np.divmod(np.concatenate(parts), 8 * size_bytes)
    return indexes, members


def toggle_members(bits: Bitset, toggled: RowArray) -> Bitset:
    """Return a copy of the set in which the membership of each id in `toggled` is inverted."""
    changed = bits.copy()
    np.bitwise_xor.at(changed, toggled >> 3, np.left_shift(1, toggled & 7).astype(np.uint8))
    return changed


def replace_members(bits: Bitset, candidates: RowArray, members: RowArray, size_bytes: int) -> Bitset:
    """Return a copy of the set without the ids in `candidates`, but with all ids in `members`.

    The copy has `size_bytes` bytes.
    """
    mask = np.zeros(8 * size_bytes, np.bool_)
    mask[: 8 * len(bits)] = _to_mask(bits)
    mask[candidates] = False
    mask[members] = True
    return np.packbits(mask, bitorder="little")


def _to_mask(bits: Bitset) -> Bools:
    return np.unpackbits(bits, bitorder="little").view(np.bool_)
