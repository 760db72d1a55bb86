"""Chunks of HTTP/1.1. Each chunk is a list of pieces of memory, which the kernel joins."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tickwire.core.arrays import RowArray
from tickwire.hub.fanout.frame_bodies import group_frames
from tickwire.server.transport.senders.send_call import (
    IOVEC,
    Begins,
    Counts,
    Lengths,
    Pieces,
    bytes_address,
    bytes_addresses,
)

_LINE_BREAK = b"\r\n"
_DIGITS = np.frombuffer(b"0123456789abcdef", np.uint8)
# The shift counts for the hexadecimal digits of a 32-bit length, first digit first. After each shift, the lowest four
# bits are the value of the digit.
_DIGIT_SHIFTS = np.arange(28, -1, -4)
MAX_SIZE_LINE_BYTES = len(_DIGIT_SHIFTS) + len(_LINE_BREAK)
"""The maximum length of the first line of a chunk."""


class ChunkPieces(NamedTuple):
    """One chunk for each group that receives a frame, in the order of the group numbers.

    Chunk i is for the group `group_numbers[i]`, and consists of the pieces `pieces[begins[i] : begins[i] + counts[i]]`:
    the line with the size, the frames, and a line break. `lengths` contains the number of bytes of each chunk. `memory`
    refers to the objects that contain the pieces, so that Python does not free them.
    """

    group_numbers: RowArray
    pieces: Pieces
    begins: Begins
    counts: Counts
    lengths: Lengths
    memory: tuple[object, ...]

    @property
    def frame_counts(self) -> Counts:
        """The number of frames in each chunk."""
        return self.counts - 2

    def join(self, index: int) -> bytes:
        """Return the bytes of one chunk."""
        begin = int(self.begins[index])
        pieces = self.pieces[begin : begin + int(self.counts[index])].tolist()
        return b"".join([ctypes.string_at(address, length) for address, length in pieces])


ChunkBuilder: TypeAlias = Callable[[Sequence[bytes], Sequence[NDArray[np.int32]]], ChunkPieces]
"""A function that builds chunks from frames, with the same arguments and result as `build_chunks`."""


def build_chunks(frames: Sequence[bytes], routes: Sequence[NDArray[np.int32]]) -> ChunkPieces:
    """Return one chunk for each group that receives a frame.

    `routes[i]` contains the numbers of the groups that receive frame i. At least one group receives a frame.
    """
    bodies = group_frames(frames, routes)
    counts = bodies.ends - bodies.begins
    last_pieces = (counts + 2).cumsum() - 1
    begins = last_pieces - counts - 1
    pieces = np.empty(int(last_pieces[-1]) + 1, IOVEC)
    is_frame = np.ones(len(pieces), np.bool_)
    is_frame[begins] = is_frame[last_pieces] = False
    pieces["address"][is_frame] = bytes_addresses(frames)[bodies.frame_numbers]
    frame_lengths = np.fromiter(map(len, frames), np.uintp, len(frames))
    pieces["length"][is_frame] = frame_lengths[bodies.frame_numbers]
    pieces["length"][begins] = pieces["length"][last_pieces] = 0
    sizes = np.add.reduceat(pieces["length"], begins).astype(np.int64)

    lines, line_begins = _encode_size_lines(sizes)
    line_lengths = MAX_SIZE_LINE_BYTES * np.arange(1, len(sizes) + 1) - line_begins
    pieces["address"][begins], pieces["length"][begins] = lines.ctypes.data + line_begins, line_lengths
    pieces["address"][last_pieces], pieces["length"][last_pieces] = bytes_address(_LINE_BREAK), len(_LINE_BREAK)
    return ChunkPieces(
        group_numbers=bodies.group_numbers.astype(np.intp),
        pieces=pieces,
        begins=begins,
        counts=(counts + 2).astype(np.int32),
        lengths=(sizes + line_lengths + len(_LINE_BREAK)).astype(np.uint32),
        memory=(frames, lines),
    )


def _encode_size_lines(sizes: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return two arrays: the first lines of the chunks, and the indexes at which these lines begin.

    Each row of the first array contains one line, padded with leading zeros. The indexes in the second array count
    bytes from the beginning of the whole first array, and skip the leading zeros.
    """
    digits = sizes[:, np.newaxis] >> _DIGIT_SHIFTS & 15
    lines = np.empty((len(sizes), MAX_SIZE_LINE_BYTES), np.uint8)
    lines[:, : len(_DIGIT_SHIFTS)] = _DIGITS[digits]
    lines[:, len(_DIGIT_SHIFTS) :] = np.frombuffer(_LINE_BREAK, np.uint8)
    return lines, MAX_SIZE_LINE_BYTES * np.arange(len(sizes)) + (digits != 0).argmax(axis=1)
