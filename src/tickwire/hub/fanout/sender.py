"""The interface through which channels write bytes to the sinks of readers."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from tickwire.core.arrays import RowArray
from tickwire.hub.fanout.frame_bodies import group_frames
from tickwire.hub.fanout.sink import Sink
from tickwire.sse.frame import encode_chunk

MAX_SINKS_PER_GROUP = 3
"""The maximum number of sinks in a group of a sink table.

For a larger group, it is faster to join the frames once and to pass the result to all sinks.
"""

log = logging.getLogger(__name__)


class SinkGroup(Protocol):
    """Sinks that receive the same bytes."""

    def queue(self, body: bytes) -> None:
        """Send `body` to all sinks of the group, at once or with the next `submit` of the sender."""
        ...


class SentFrames(NamedTuple):
    """The frames that a sink table has queued: their number and size over all sinks, and the groups that receive them.

    The size includes the chunk framing.
    """

    deliveries: int
    size_bytes: int
    group_numbers: RowArray

    def add(self, other: SentFrames) -> SentFrames:
        """Return the total of `self` and `other`: the sums of their frame counts and sizes, and the groups of both."""
        return SentFrames(
            self.deliveries + other.deliveries,
            self.size_bytes + other.size_bytes,
            np.concatenate([self.group_numbers, other.group_numbers]),
        )


NOTHING_SENT = SentFrames(0, 0, np.empty(0, np.intp))


class SinkTable(Protocol):
    """Many small groups of sinks, each with a number. Each group receives some of the frames of each batch.

    A sink belongs to at most one group.
    """

    def set_group(self, number: int, group: SinkGroup, sink_count: int) -> None:
        """Assign a group of at most MAX_SINKS_PER_GROUP sinks to the number `number`."""
        ...

    def remove_group(self, number: int) -> None:
        """Remove the group with this number, if there is one."""
        ...

    def queue(self, frames: Sequence[bytes], routes: Sequence[NDArray[np.int32]]) -> SentFrames:
        """Send each group its frames, in order and as one body.

        The bytes are sent at once, or when `submit` of the sender is called.

        `routes[i]` contains the numbers of the groups that receive frame i. The table ignores numbers without a group.
        """
        ...


class Sender(Protocol):
    """Writes bytes to groups of sinks. All calls occur on one event loop.

    A sink receives its bytes in the order of the calls, even if some calls go to the group of the sink, and other calls
    to the sink itself.
    """

    @property
    def name(self) -> str:
        """The value of the setting `sender` that selects this sender."""
        ...

    def create_group(self, sinks: Sequence[Sink]) -> SinkGroup:
        """Return a group that contains `sinks`. Each sink must have a listener."""
        ...

    def create_table(self, *, is_chunked: bool) -> SinkTable:
        """Return an empty table. If `is_chunked` is True, its groups add the chunk framing of HTTP/1.1."""
        ...

    def submit(self) -> None:
        """Send all queued bytes. Sinks that become full notify their listeners before the call returns."""
        ...

    def release(self, sink: Sink) -> None:
        """Forget a sink, because no group of this sink will be used any more. A second call does nothing."""
        ...

    def limit_descriptors(self, count: int) -> None:
        """Occupy at most `count` descriptors (open files) from now on."""
        ...

    def close(self) -> None:
        """Send the queued bytes, and release all resources. The sender still accepts bytes afterwards.

        A second call does nothing.
        """
        ...


class JoiningTable:
    """A sink table that joins the frames for each group into one body, and passes the body to the group."""

    def __init__(self, *, is_chunked: bool) -> None:
        self._is_chunked = is_chunked
        self._groups: dict[int, tuple[SinkGroup, int]] = {}

    def __len__(self) -> int:
        return len(self._groups)

    def set_group(self, number: int, group: SinkGroup, sink_count: int) -> None:
        self._groups[number] = (group, sink_count)

    def remove_group(self, number: int) -> None:
        self._groups.pop(number, None)

    def queue(self, frames: Sequence[bytes], routes: Sequence[NDArray[np.int32]]) -> SentFrames:
        if not self._groups or not any(map(len, routes)):
            return NOTHING_SENT
        deliveries, size_bytes, numbers = 0, 0, list[int]()
        for number, own_frames in group_frames(frames, routes).split():
            if number not in self._groups:
                continue
            group, sink_count = self._groups[number]
            body = b"".join(own_frames)
            if self._is_chunked:
                body = encode_chunk(body)
            group.queue(body)
            deliveries += len(own_frames) * sink_count
            size_bytes += len(body) * sink_count
            numbers.append(number)
        return SentFrames(deliveries, size_bytes, np.array(numbers, np.intp))


class TransportSender:
    """Calls `write` of each sink immediately, without a queue. This sender works with every sink."""

    name = "transport"

    def create_group(self, sinks: Sequence[Sink]) -> SinkGroup:
        return WriteGroup(sinks)

    def create_table(self, *, is_chunked: bool) -> SinkTable:
        return JoiningTable(is_chunked=is_chunked)

    def submit(self) -> None:
        """Do nothing, because a group sends at once."""

    def release(self, sink: Sink) -> None:
        """Do nothing, because the sender stores no sinks."""

    def limit_descriptors(self, count: int) -> None:
        """Do nothing, because the sender occupies no descriptors."""

    def close(self) -> None:
        """Do nothing, because the sender has no resources."""


class WriteGroup:
    """Writes the bytes to one sink after the other."""

    __slots__ = ("_sinks", "_writes")

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = sinks
        # Store the bound methods, because the loop in `queue` runs for every delivery.
        self._writes = [sink.write for sink in sinks]

    def queue(self, body: bytes) -> None:
        for write in self._writes:
            try:
                write(body)
            except Exception:
                # A failed write to one sink must not prevent the writes to the next sinks.
                log.debug("a write to the sink of a reader failed", exc_info=True)
                self._report_error(write)

    def _report_error(self, write: object) -> None:
        for sink in self._sinks:
            if sink.write == write and sink.listener is not None:
                sink.listener.on_write_error()
