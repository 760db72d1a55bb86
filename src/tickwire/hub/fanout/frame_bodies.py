"""Joins frames into bodies, one body for each group of readers.

The groups receive different frames. For example, each watchlist receives only some quotes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tickwire.core.arrays import Bools, RowArray


class FrameBodies(NamedTuple):
    """The bodies that several groups of readers receive. A body consists of some of the frames in `frames`.

    Body i is for the group with the number `group_numbers[i]`, and consists of the frames with the numbers
    `frame_numbers[begins[i]:ends[i]]`. The group numbers are in ascending order.
    """

    frames: Sequence[bytes]
    group_numbers: NDArray[np.int32]
    frame_numbers: RowArray
    begins: RowArray
    ends: RowArray

    def split(self) -> Iterator[tuple[int, list[bytes]]]:
        """For each body, yield the number of its group and its frames."""
        frames = [*map(self.frames.__getitem__, self.frame_numbers.tolist())]
        for number, begin, end in zip(
            self.group_numbers.tolist(), self.begins.tolist(), self.ends.tolist(), strict=True
        ):
            yield number, frames[begin:end]


def group_frames(
    frames: Sequence[bytes], routes: Sequence[NDArray[np.int32]], is_chosen: Bools | None = None
) -> FrameBodies:
    """Return one body for each group that receives a frame.

    `routes[i]` contains the numbers of the groups that receive frame i. If `is_chosen` is given, the result contains
    only the bodies of groups for which `is_chosen[group_number]` is true.
    """
    groups = np.concatenate(routes)
    frame_numbers = np.arange(len(frames)).repeat(np.fromiter(map(len, routes), np.intp, len(routes)))
    if is_chosen is not None:
        pairs = is_chosen[groups].nonzero()[0]
        groups, frame_numbers = groups[pairs], frame_numbers[pairs]
    order = _stable_order(groups)
    groups, frame_numbers = groups[order], frame_numbers[order]
    is_first = np.ones(len(groups), np.bool_)
    np.not_equal(groups[1:], groups[:-1], out=is_first[1:])
    begins = is_first.nonzero()[0]
    return FrameBodies(frames, groups[begins], frame_numbers, begins, np.append(begins[1:], len(groups))[: len(begins)])


def _stable_order(numbers: NDArray[np.int32]) -> RowArray:
    """Return the indexes that sort `numbers`. The sort is stable.

    NumPy sorts 16-bit integers with a radix sort, which is much faster than its sort of 32-bit integers.
    """
    order = numbers.astype(np.uint16).argsort(kind="stable")
    upper = numbers >> 16
    return order[upper[order].astype(np.uint16).argsort(kind="stable")] if upper.any() else order
