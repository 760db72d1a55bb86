"""Batches: the bytes that one call sends to the sockets of many readers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from tickwire.server.transport.senders.chunk_pieces import ChunkPieces
from tickwire.server.transport.senders.send_call import (
    Addresses,
    Descriptors,
    Lengths,
    Results,
    SendCall,
    bytes_address,
    bytes_addresses,
)
from tickwire.server.transport.sinks import SocketSink

# A group with at least this many sinks also stores its handles in an array.
MIN_ARRAY_SINKS = 32
_NO_ADDRESSES: Addresses = np.zeros(0, np.uint64)
_NO_LENGTHS: Lengths = np.zeros(0, np.uint32)


class RegisteredSinks:
    """Registered sinks that receive the same bytes, and their handles."""

    __slots__ = ("handle_array", "handles", "sinks")

    def __init__(self, sinks: list[SocketSink]) -> None:
        self.sinks = sinks
        self.handles = [sink.handle for sink in sinks]
        self.handle_array = np.array(self.handles, np.int64) if len(sinks) >= MIN_ARRAY_SINKS else None


class Batch:
    """The bytes of one send call: groups of sinks, and one bytes object for each group.

    Batches have consecutive numbers.
    """

    __slots__ = ("_addresses", "_lengths", "bodies", "groups", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.groups: list[RegisteredSinks] = []
        self.bodies: list[bytes] = []
        self._addresses = _NO_ADDRESSES
        self._lengths = _NO_LENGTHS

    def __len__(self) -> int:
        return sum(len(group.sinks) for group in self.groups)

    @property
    def memory(self) -> object:
        """The objects whose bytes the system call reads. Keep them until the batch is sent."""
        return self.bodies

    def sinks(self) -> list[SocketSink]:
        """Return one sink for each send of the batch, in the order of the sends."""
        return _all_sinks(self.groups)

    def sends_at(self, indexes: Sequence[int]) -> list[tuple[SocketSink, bytes]]:
        """For each index of a send in `indexes`, return a pair: the sink, and the bytes of this send."""
        return [(sink, self.bodies[number]) for sink, number in _sinks_at(self.groups, indexes)]

    def prepare(self) -> tuple[NDArray[np.int64], Lengths]:
        """For each send, return the handle of its sink and the number of its bytes.

        Call this method once, before `transmit`.
        """
        groups, bodies = self.groups, self.bodies
        if len(groups) == 1 and groups[0].handle_array is not None:
            count, body = len(groups[0].handles), bodies[0]
            self._addresses = np.full(count, bytes_address(body), np.uint64)
            self._lengths = np.full(count, len(body), np.uint32)
            return groups[0].handle_array, self._lengths
        handles = _all_handles(groups)
        addresses, lengths = bytes_addresses(bodies), np.fromiter(map(len, bodies), np.uint32, len(bodies))
        if len(handles) > len(groups):
            counts = [len(group.handles) for group in groups]
            addresses, lengths = addresses.repeat(counts), lengths.repeat(counts)
        self._addresses, self._lengths = addresses, lengths
        return handles, lengths

    def transmit(self, call: SendCall, fds: Descriptors, chosen: slice | NDArray[np.bool_]) -> Results:
        """Pass the chosen sends and their descriptors `fds` to `call`, and return the results."""
        return call.send(fds, self._addresses[chosen], self._lengths[chosen])


class ChunksBatch:
    """Chunks that the kernel joins from pieces of memory, and the sinks that receive them.

    `handles[i]` is the handle of the sink that receives chunk `chunk_indexes[i]`. `sinks_of(number)` returns all sinks
    of a group, in the order of their handles.
    """

    __slots__ = ("_chunk_indexes", "_chunks", "_handles", "_sinks_of")

    def __init__(
        self,
        chunks: ChunkPieces,
        handles: NDArray[np.int64],
        chunk_indexes: NDArray[np.intp],
        sinks_of: Callable[[int], list[SocketSink]],
    ) -> None:
        self._chunks = chunks
        self._handles = handles
        self._chunk_indexes = chunk_indexes
        self._sinks_of = sinks_of

    @property
    def memory(self) -> object:
        """The objects whose memory the call reads."""
        return self._chunks

    def __len__(self) -> int:
        return len(self._handles)

    def sinks(self) -> list[SocketSink]:
        """Return one sink for each send of the batch, in the order of the sends."""
        numbers = self._chunks.group_numbers[np.unique(self._chunk_indexes)].tolist()
        return [sink for number in numbers for sink in self._sinks_of(number)]

    def sends_at(self, indexes: Sequence[int]) -> list[tuple[SocketSink, bytes]]:
        """For each index of a send in `indexes`, return a pair: the sink, and the bytes of this send."""
        sinks, chunk_indexes = self.sinks(), self._chunk_indexes
        return [(sinks[index], self._chunks.join(int(chunk_indexes[index]))) for index in indexes]

    def prepare(self) -> tuple[NDArray[np.int64], Lengths]:
        """Return the handle and the number of bytes of each send."""
        return self._handles, self._chunks.lengths[self._chunk_indexes]

    def transmit(self, call: SendCall, fds: Descriptors, chosen: slice | NDArray[np.bool_]) -> Results:
        """Pass the chosen sends and their descriptors `fds` to `call`, and return the results."""
        chunks, at = self._chunks, self._chunk_indexes[chosen]
        return call.send_pieces(fds, chunks.pieces, chunks.begins[at], chunks.counts[at])


def _all_sinks(groups: Sequence[RegisteredSinks]) -> list[SocketSink]:
    return [sink for group in groups for sink in group.sinks]


def _all_handles(groups: Sequence[RegisteredSinks]) -> NDArray[np.int64]:
    return np.array([*chain.from_iterable([group.handles for group in groups])], np.int64)


def _sinks_at(groups: Sequence[RegisteredSinks], indexes: Sequence[int]) -> list[tuple[SocketSink, int]]:
    """For each index of a send in `indexes`, return a pair: the sink of the send, and the index of its group."""
    pairs = [(sink, number) for number, group in enumerate(groups) for sink in group.sinks]
    return [pairs[index] for index in indexes]
