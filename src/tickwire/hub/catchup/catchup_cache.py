"""The cache of catch-up batches. Readers with the same subscription and the same position share a batch."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from tickwire.hub.fanout.channel import Channel
from tickwire.hub.fanout.encoder import EncodedBlock, Encoder
from tickwire.hub.fanout.position import HubPosition

_MAX_BYTES = 8 * 2**20
# The memory of a cache entry, in bytes, without the rendered frames.
_ENTRY_OVERHEAD_BYTES = 300

_CacheKey: TypeAlias = tuple[Channel, int, int | None, int]


class CatchUpBatch(NamedTuple):
    """Frames (encoded events) that catch-up sends to a reader in one write.

    After this write, the reader's position is event `end_position`. `quote_count` is the number of newest quotes in the
    batch, and `gap_count` is the number of gap events. `encoded` maps an encoder to the body in its encoded form, so
    that stalled readers with the same encoder share their unsent bytes.
    """

    body: bytes
    end_position: int
    encoded: dict[Encoder, EncodedBlock]
    quote_count: int = 0
    gap_count: int = 0


class CatchUpCache:
    """Stores rendered batches of frames. A batch is valid until the hub applies the next event.

    Many readers often catch up from the same position, for example after a restart of the server. These readers can
    share a batch. The key of a batch consists of the channel, the position of the readers, a target and a limit. If the
    readers receive the newest quotes, the target is the sequence number of the last event to include, and the limit is
    the maximum number of quotes. If the readers receive every event, the target is None, and the limit is 0.
    """

    def __init__(self, head: HubPosition) -> None:
        self._head = head
        self._valid_at_sequence = head.sequence
        self._batches: dict[_CacheKey, CatchUpBatch] = {}
        self._total_bytes = 0

    def find(self, channel: Channel, position: int, target: int | None = None, limit: int = 0) -> CatchUpBatch | None:
        """Return the cached batch for readers of the channel at event `position`, or None if there is no such batch."""
        if self._valid_at_sequence != self._head.sequence:
            return None
        return self._batches.get((channel, position, target, limit))

    def add(
        self, channel: Channel, position: int, batch: CatchUpBatch, target: int | None = None, limit: int = 0
    ) -> None:
        """Cache a batch if the channel has several readers.

        The caller must not add a batch that contains an event for a single reader.
        """
        if channel.reader_count < 2:
            return
        if self._valid_at_sequence != self._head.sequence or self._total_bytes > _MAX_BYTES:
            self._valid_at_sequence, self._total_bytes = self._head.sequence, 0
            self._batches.clear()
        self._batches[channel, position, target, limit] = batch
        # A batch contains the body and may contain an encoded form of the body, which has about the same size.
        self._total_bytes += 2 * len(batch.body) + _ENTRY_OVERHEAD_BYTES
