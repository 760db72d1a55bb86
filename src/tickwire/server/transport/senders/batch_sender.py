"""The sender that passes the bytes of many readers to the kernel with one call."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tickwire.hub.fanout.sender import (
    MAX_SINKS_PER_GROUP,
    NOTHING_SENT,
    JoiningTable,
    SentFrames,
    SinkGroup,
    SinkTable,
    WriteGroup,
)
from tickwire.hub.fanout.sink import Sink
from tickwire.server.transport.senders.batches import Batch, ChunksBatch, RegisteredSinks
from tickwire.server.transport.senders.chunk_pieces import ChunkBuilder, build_chunks
from tickwire.server.transport.senders.send_call import UNKNOWN, SendCall
from tickwire.server.transport.sinks import SocketSink

log = logging.getLogger(__name__)

# The minimum number of sinks for a send call. For a smaller batch, the transports write the bytes, because building the
# arrays of a call takes as long as a few writes.
MIN_SINKS = 8
_INITIAL_SLOTS = 1024
# The slot of a sink occupies this number of bits at the lower end of the sink's handle. The higher bits contain the
# serial number of the registration.
_SLOT_BITS = 24
_SLOT_MASK = (1 << _SLOT_BITS) - 1
_NO_DIRECT_WRITE = 0


class BatchSender:
    """Collects bytes for the sockets of many readers, and sends them with one call.

    The sender registers the socket sinks of each group. A registered sink has its own descriptor, a duplicate of
    the connection's descriptor. The kernel therefore assigns this descriptor to no other connection while the sender
    uses it.

    A sink is *direct* while the buffer of its transport is empty. The sender writes only to the descriptors of direct
    sinks. If the socket accepts only some of the bytes, the transport writes the remaining bytes. Until then, the sink
    is not direct. Before a sink writes its own bytes, it submits the queued bytes. The sink is then not direct.

    Before each call, the sender compares the stored handles with the present handles of the sinks. A handle is valid
    for one registration of one sink, so the sender never writes to a descriptor that now belongs to another sink.

    A registered sink occupies a second descriptor, so `limit_descriptors` limits the number of registered sinks. All
    other sinks write through their transports.
    """

    def __init__(self, call: SendCall, build_chunks: ChunkBuilder = build_chunks) -> None:
        self._call: SendCall | None = call
        self.build_chunks = build_chunks
        self._max_registered = _SLOT_MASK
        # The registered sinks, in the order of their registration.
        self._registered: dict[SocketSink, None] = {}
        self._serial = 0
        # For each slot: the handle of its sink if the sender may write to the sink's socket directly, otherwise
        # _NO_DIRECT_WRITE. `_fds` contains the descriptor of each slot. Slot 0 is never used, so no handle is 0.
        self._direct_handles = np.zeros(_INITIAL_SLOTS, np.int64)
        self._fds = np.full(_INITIAL_SLOTS, -1, np.int32)
        self._slot_count = 1
        self._free_slots: list[int] = []
        # The groups that have queued bytes.
        self.batch = Batch(0)
        # Memory that the kernel may still read, because the results of its sends are unknown.
        self._unfinished_memory: list[object] = []

    @property
    def name(self) -> str:
        """The value of the setting `sender` that selects this sender."""
        return "transport" if self._call is None else self._call.name

    def create_group(self, sinks: Sequence[Sink]) -> SinkGroup:
        """Register the sinks that are sockets. Return a group that contains all sinks."""
        # Submit the queued bytes first, because a sink of the new group may also belong to a group with queued bytes.
        self.submit()
        registered, others = list[SocketSink](), list[Sink]()
        for sink in sinks:
            if isinstance(sink, SocketSink) and (sink.handle or self._register(sink)):
                registered.append(sink)
            else:
                others.append(sink)
        return (
            _BatchGroup(self, registered, WriteGroup(others) if others else None) if registered else WriteGroup(others)
        )

    def create_table(self, *, is_chunked: bool) -> SinkTable:
        """Return an empty table. The table will send frames to many groups of sinks."""
        return ChunkTable(self) if is_chunked else JoiningTable(is_chunked=False)

    def submit(self) -> None:
        """Send all queued bytes with one call. Sinks that become full notify their listeners."""
        if self.batch.groups:
            batch, self.batch = self.batch, Batch(self.batch.number + 1)
            self.send_at_once(batch)

    def send_at_once(self, batch: Batch | ChunksBatch) -> None:
        """Send a batch with one call, or a small batch through the transports. No other bytes may be queued."""
        if self._call is None or len(batch) < MIN_SINKS:
            for sink, body in batch.sends_at(range(len(batch))):
                self._write_to_transport(sink, body)
            return
        try:
            self._send(self._call, batch)
        except Exception:
            # After this error, the server does not know which readers have received their bytes. So all these readers
            # must reconnect.
            sinks = batch.sinks()
            log.exception("cannot send to %d readers, so the server disconnects them", len(sinks))
            self._unfinished_memory.append(batch.memory)
            for sink in sinks:
                sink.abort()

    def release(self, sink: Sink) -> None:
        """Close the descriptor of a sink, and forget the sink. A second call does nothing."""
        if not isinstance(sink, SocketSink) or not sink.handle:
            return
        self.submit()
        slot = sink.handle & _SLOT_MASK
        self._direct_handles[slot] = _NO_DIRECT_WRITE
        self._fds[slot] = -1
        self._free_slots.append(slot)
        del self._registered[sink]
        sink.unregister()

    def limit_descriptors(self, count: int) -> None:
        """Occupy at most `count` descriptors from now on.

        The sinks without a descriptor write through their transports.
        """
        self._max_registered = min(max(count, 0), _SLOT_MASK)
        while len(self._registered) > self._max_registered:
            self.release(next(reversed(self._registered)))

    def before_write(self, sink: SocketSink) -> None:
        """Send the queued bytes first, because the sink is about to write other bytes to its transport."""
        self.submit()
        self._direct_handles[sink.handle & _SLOT_MASK] = _NO_DIRECT_WRITE

    def close(self) -> None:
        """Send the queued bytes, and release all sinks. Later bytes go through the transports."""
        self.submit()
        self.limit_descriptors(0)
        if self._call is not None:
            self._call.close()
            self._call = None

    def _register(self, sink: SocketSink) -> bool:
        """Register a sink. Return False if the sink has no socket for direct writes, or if descriptors are scarce."""
        if self._call is None or len(self._registered) >= self._max_registered:
            return False
        slot = self._free_slots[-1] if self._free_slots else self._slot_count
        self._serial += 1
        fd = sink.register(self, self._serial << _SLOT_BITS | slot)
        if fd is None:
            return False
        if self._free_slots:
            self._free_slots.pop()
        else:
            self._slot_count += 1
        if slot >= len(self._fds):
            self._direct_handles = np.concatenate([self._direct_handles, np.zeros_like(self._direct_handles)])
            self._fds = np.concatenate([self._fds, np.full_like(self._fds, -1)])
        self._fds[slot], self._direct_handles[slot] = fd, _NO_DIRECT_WRITE
        self._registered[sink] = None
        return True

    def _send(self, call: SendCall, batch: Batch | ChunksBatch) -> None:
        handles, lengths = batch.prepare()
        slots = handles & _SLOT_MASK
        is_direct = self._direct_handles[slots] == handles
        if not is_direct.all():
            self._admit_drained(batch.sinks(), handles, is_direct)
        # Between the comparison of the handles and the call, no listener runs. So no descriptor can be closed and
        # assigned to another connection in this time.
        direct = slice(None) if is_direct.all() else is_direct
        results = np.zeros(len(handles), np.int32)
        results[direct] = batch.transmit(call, self._fds[slots[direct]], direct)
        (short,) = (results != lengths).nonzero()
        if not len(short):
            return
        if (results == UNKNOWN).any():
            self._unfinished_memory.append(batch.memory)
        for (sink, body), result in zip(batch.sends_at(short.tolist()), results[short].tolist(), strict=True):
            self._finish(sink, body, result)
        if not call.is_open:
            log.error("the sender %s failed: the server now uses the sender 'transport'", call.name)
            self._call = None
            self.limit_descriptors(0)

    def _admit_drained(
        self, sinks: Sequence[SocketSink], handles: NDArray[np.int64], is_direct: NDArray[np.bool_]
    ) -> None:
        """If the buffer of a sink's transport is empty, mark the sink as direct.

        The sender may then write to its socket.
        """
        for index in (~is_direct).nonzero()[0].tolist():
            sink = sinks[index]
            # If the handles differ, the sink was released after the group was created. Another sink may now have the
            # slot.
            if sink.handle == handles[index] and sink.has_empty_buffer():
                self._direct_handles[sink.handle & _SLOT_MASK] = sink.handle
                is_direct[index] = True

    def _write_to_transport(self, sink: SocketSink, body: bytes) -> None:
        self._direct_handles[sink.handle & _SLOT_MASK] = _NO_DIRECT_WRITE
        sink.write_to_transport(body)

    def _finish(self, sink: SocketSink, body: bytes, result: int) -> None:
        """Pass the bytes that the socket did not accept to the transport.

        The transport also reports errors of the socket.
        """
        if result == UNKNOWN:
            sink.abort()
        else:
            self._write_to_transport(sink, body[max(result, 0) :])


class _BatchGroup(RegisteredSinks):
    """A group of sinks that receive the same bytes.

    `others` is a second group, which contains the unregistered sinks, or None.

    `batch_number` is the number of the newest batch that contains the group.
    """

    __slots__ = ("_sender", "batch_number", "others")

    def __init__(self, sender: BatchSender, sinks: list[SocketSink], others: WriteGroup | None) -> None:
        super().__init__(sinks)
        self.batch_number = -1
        self.others = others
        self._sender = sender

    def queue(self, body: bytes) -> None:
        batch = self._sender.batch
        # Submit the batch if it already contains this group, because one call must not contain a socket twice.
        # Otherwise, the socket could accept a part of the first bytes and then all of the second bytes.
        if self.batch_number == batch.number:
            self._sender.submit()
            batch = self._sender.batch
        self.batch_number = batch.number
        batch.groups.append(self)
        # Convert every other type to `bytes`, because only the address of the characters of a `bytes` object is known.
        batch.bodies.append(body if type(body) is bytes else bytes(body))
        if self.others is not None:
            self.others.queue(body)


class ChunkTable:
    """A sink table that lets the kernel join the frames of a group.

    If a group contains an unregistered sink, a JoiningTable in this process joins the frames of this group instead.
    """

    def __init__(self, sender: BatchSender) -> None:
        self._sender = sender
        # Row n contains the handles of the sinks in group number n. The other elements of the row are 0.
        self._handles = np.zeros((0, MAX_SINKS_PER_GROUP), np.int64)
        self._groups: dict[int, _BatchGroup] = {}
        self._others = JoiningTable(is_chunked=True)

    def set_group(self, number: int, group: SinkGroup, sink_count: int) -> None:
        self.remove_group(number)
        if not isinstance(group, _BatchGroup) or group.others is not None:
            self._others.set_group(number, group, sink_count)
            return
        self._resize(number + 1)
        self._handles[number, :sink_count] = group.handles
        self._groups[number] = group

    def remove_group(self, number: int) -> None:
        self._others.remove_group(number)
        if self._groups.pop(number, None) is not None:
            self._handles[number] = 0

    def queue(self, frames: Sequence[bytes], routes: Sequence[NDArray[np.int32]]) -> SentFrames:
        """First send all bytes that are already queued. Then send the frames at once."""
        self._sender.submit()
        sent = self._send(frames, routes) if self._groups and any(map(len, routes)) else NOTHING_SENT
        return sent.add(self._others.queue(frames, routes)) if self._others else sent

    def _send(self, frames: Sequence[bytes], routes: Sequence[NDArray[np.int32]]) -> SentFrames:
        chunks = self._sender.build_chunks(frames, routes)
        self._resize(int(chunks.group_numbers[-1]) + 1)
        group_handles = self._handles[chunks.group_numbers]
        chunk_indexes, columns = group_handles.nonzero()
        if not len(chunk_indexes):
            return NOTHING_SENT
        self._sender.send_at_once(
            ChunksBatch(chunks, group_handles[chunk_indexes, columns], chunk_indexes, self._sinks_of)
        )
        return SentFrames(
            int(chunks.frame_counts[chunk_indexes].sum()),
            int(chunks.lengths[chunk_indexes].sum()),
            chunks.group_numbers[chunk_indexes],
        )

    def _resize(self, rows: int) -> None:
        if rows > len(self._handles):
            missing = max(rows, 2 * len(self._handles)) - len(self._handles)
            self._handles = np.pad(self._handles, ((0, missing), (0, 0)))

    def _sinks_of(self, number: int) -> list[SocketSink]:
        return self._groups[number].sinks
