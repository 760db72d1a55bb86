"""Paced channels: at most one update of a symbol in their interval, always the newest.

A paced channel takes no part in the live flow. When its interval has passed it is flushed: what changed since the last
time is joined once and written to every reader, which is catch-up for a whole channel. Readers come in with a flush, so
that all stand at the same place and ids never go back.
"""

from __future__ import annotations

from collections.abc import Iterable

from tickwire.hub.catchup import CatchUp
from tickwire.hub.channel import Channel
from tickwire.hub.head import Head
from tickwire.hub.reader import Reader

IDLE = 0.05  # seconds between looks when nothing is due: a new channel waits no longer


class Pacer:
    """Flushes paced channels when they are due."""

    def __init__(self, head: Head, catch_up: CatchUp) -> None:
        self._head = head
        self._catch_up = catch_up

    def run(self, channels: Iterable[Channel], now: float) -> tuple[int, float]:
        """Flush those that are due; how many events that were, and the seconds until it should be called again."""
        events, wait = 0, IDLE
        for channel in channels:
            if channel.due <= now:
                events += self._flush(channel, now)
            wait = min(wait, channel.due - now)
        return events, max(wait, 0.001)

    def at_hand(self, reader: Reader, channel: Channel) -> bool:
        """Whether the next flush can bring the reader up by itself."""
        return channel.paced and self._catch_up.named_at_hand(reader, channel) is not None

    def _flush(self, channel: Channel, now: float) -> int:
        channel.due = max(channel.due, now - IDLE) + channel.subscription.interval / 1000
        frames = self._catch_up.changes(channel, channel.position, channel.named) if channel.live else []
        channel.named = []
        channel.position = self._head.sequence
        events = len(frames) * len(channel.live)
        if frames:
            channel.write(b"".join(frames), now)
        arrivals, channel.arriving = channel.arriving, {}
        return events + sum(self._arrive(reader, channel) for reader in arrivals)

    def _arrive(self, reader: Reader, channel: Channel) -> int:
        named = self._catch_up.named_at_hand(reader, channel)
        if named is None:  # it was away for long: catch-up first
            reader.live = False
            reader.drained()
            return 0
        frames = self._catch_up.changes(channel, reader.position, named)
        reader.position = channel.position
        channel.admit(reader)
        if frames:
            reader.write(b"".join(frames))
        return len(frames)
