"""Builds the chunks for many readers with a C function."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tickwire.server.transport.senders.chunk_pieces import (
    MAX_SIZE_LINE_BYTES,
    ChunkBuilder,
    ChunkPieces,
    build_chunks,
)
from tickwire.server.transport.senders.native_call import LIBRARY_FILE, load_send_library
from tickwire.server.transport.senders.send_call import IOVEC, SendCallUnavailable, bytes_addresses


class NativeChunkBuilder:
    """Builds the same chunks as `build_chunks`, with a C function."""

    def __init__(self, library: Path = LIBRARY_FILE) -> None:
        """Load the library. Raise SendCallUnavailable if it does not exist or does not fit the machine."""
        self._function = load_send_library(library).tickwire_build_chunks

    def __call__(self, frames: Sequence[bytes], routes: Sequence[NDArray[np.int32]]) -> ChunkPieces:
        """Return the chunks; see `build_chunks`."""
        groups = np.concatenate(routes)
        group_count = int(groups.max()) + 1
        addresses = bytes_addresses(frames)
        frame_lengths = np.fromiter(map(len, frames), np.uint64, len(frames))
        route_sizes = np.fromiter(map(len, routes), np.int64, len(routes))
        counts, sizes = np.zeros(group_count, np.int32), np.zeros(group_count, np.uint32)
        begins, cursors = np.empty(group_count, np.int64), np.empty(group_count, np.int64)
        lines = np.empty(MAX_SIZE_LINE_BYTES * group_count, np.uint8)
        pieces = np.empty(len(groups) + 2 * group_count, IOVEC)
        piece_count = self._function(
            addresses.ctypes.data, frame_lengths.ctypes.data, route_sizes.ctypes.data, len(frames),
            groups.ctypes.data, len(groups), group_count, counts.ctypes.data, begins.ctypes.data, sizes.ctypes.data,
            cursors.ctypes.data, lines.ctypes.data, pieces.ctypes.data,
        )  # fmt: skip
        if piece_count < 0:
            raise ValueError("the routes contain an invalid group number: this is a bug in the hub")
        group_numbers = counts.nonzero()[0]
        return ChunkPieces(
            group_numbers=group_numbers,
            pieces=pieces[:piece_count],
            begins=begins[group_numbers],
            counts=counts[group_numbers],
            lengths=sizes[group_numbers],
            memory=(frames, lines),
        )


def open_chunk_builder() -> ChunkBuilder:
    """Return the builder in C, or the builder in Python if the C library is not usable."""
    try:
        return NativeChunkBuilder()
    except SendCallUnavailable:
        return build_chunks
