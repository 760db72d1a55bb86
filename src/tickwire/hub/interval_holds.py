"""Enforces the interval in a reader's token after the subscription of the reader has changed.

The claim `interval` of a token is the shortest time between two updates of a symbol. While a reader stays in a paced
channel, the channel observes the interval. But if the subscription changes, the reader catches up in another channel,
and would receive newer quotes too early. The catch-up therefore pauses until the interval since the reader's last
quotes has passed. The reader waits in the same way as a reader whose send buffer is full.
"""

from __future__ import annotations

from collections.abc import Mapping

from tickwire.hub.fanout.channel import Channel
from tickwire.hub.fanout.heartbeat import HeartbeatFrames
from tickwire.hub.fanout.reader import Reader


class IntervalHolds:
    """The readers that wait until they may receive quotes again. All times are monotonic, in seconds."""

    def __init__(self) -> None:
        # Maps each waiting reader to the time of its last heartbeat. Before the first heartbeat, this is the time at
        # which the reader began to wait.
        self._last_write_at: dict[Reader, float] = {}

    def hold(self, reader: Reader, now: float) -> None:
        """Delay the next quotes of a reader whose subscription changes, if its token requires an interval.

        The caller must call this method before the reader leaves its channel.
        """
        if not reader.min_interval_s or reader.is_held:
            return
        # A reader that is catching up, or that has had no flush since its catch-up, may have just received quotes. Its
        # interval therefore begins now. When a live reader leaves its channel, the channel sets `quotes_due_at` again.
        if not reader.is_live or not reader.quotes_due_at:
            reader.quotes_due_at = now + reader.min_interval_s
        reader.is_held = True
        self._last_write_at[reader] = now

    def release_due(self, now: float) -> None:
        """Resume the catch-up of the readers whose interval has passed."""
        for reader in list(self._last_write_at):
            if reader.is_closing or reader.quotes_due_at <= now:
                del self._last_write_at[reader]
                reader.release()

    def write_heartbeats(
        self, heartbeat: HeartbeatFrames, now: float, max_silence_s: float, channels: Mapping[Reader, Channel]
    ) -> None:
        """Write a heartbeat to each waiting reader that has received nothing for `max_silence_s`.

        `channels` maps each reader to its channel. The subscription of the channel determines the form of the
        heartbeat, because the reader's subscription has changed since its request.
        """
        for reader, last_write_at in self._last_write_at.items():
            if now - last_write_at >= max_silence_s and not reader.is_closing:
                self._last_write_at[reader] = now
                reader.write(heartbeat.frame_for(channels[reader].subscription))
