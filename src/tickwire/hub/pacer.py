"""Paced channels: at most one update of a symbol in their interval, always the newest.

A paced channel takes no part in the live flow. When its interval has passed it is flushed: what changed since the last
time is joined once and written to every reader, which is catch-up for a whole channel. Readers that have caught up come
in with a flush, which brings each what it has missed since: all stand at the same place then, and ids never go back.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from tickwire.hub.catchup import CatchUp
from tickwire.hub.channel import Channel
from tickwire.hub.forming import FORMING, Forming
from tickwire.hub.head import Head
from tickwire.hub.reader import LATER_MS, Reader
from tickwire.hub.tally import Tally

log = logging.getLogger(__name__)

IDLE = 0.05  # seconds between looks when nothing is due: a new channel waits no longer


class Pacer:
    """Flushes paced channels when they are due."""

    def __init__(self, head: Head, catch_up: CatchUp, forming: Forming, tally: Tally) -> None:
        self._head = head
        self._tally = tally
        self._catch_up = catch_up
        self._forming = forming

    def run(self, channels: Iterable[Channel], now: float) -> float:
        """Flush those that are due; the seconds until it should be called again."""
        wait = IDLE
        for channel in channels:
            if channel.due <= now:
                self._try_flush(channel, now)
            wait = min(wait, channel.due - now)
        return max(wait, 0.001)

    def at_hand(self, reader: Reader, channel: Channel) -> bool:
        """Whether the next flush can bring the reader up by itself."""
        unchanged = reader.owed is None
        return channel.paced and unchanged and self._catch_up.at_hand(reader) is not None

    def _try_flush(self, channel: Channel, now: float) -> None:
        try:
            self._flush(channel, now)
        except Exception:  # the next one's flush is due too
            log.exception("readers of a paced channel are sent away: %s", channel.subscription.describe())
            channel.fail()

    def _flush(self, channel: Channel, now: float) -> None:
        channel.due = max(channel.due, now - IDLE) + channel.subscription.interval / 1000
        counted, channel.counted = channel.counted, channel.count()
        frames: list[bytes] = []
        if channel.live:
            frames, quotes = self._catch_up.flushed(channel)
            channel.skip(channel.counted - counted - quotes)
            frames += self._formed(channel, now)
        elif channel.tells:
            self._catch_up.note(channel)
        channel.named = []
        channel.position = self._head.sequence
        self._tally.delivered += len(frames) * len(channel.live)
        if frames:
            channel.write(b"".join(frames), now)
        for reader in list(channel.arriving):
            self._try_arrive(reader, channel)

    def _formed(self, channel: Channel, now: float) -> list[bytes]:
        """The forming candles that have changed since the channel was shown them, unless that was only just now."""
        too_soon = channel.subscription.interval < FORMING * 1000 and now < channel.form_due
        if not channel.candles or too_soon:
            return []
        channel.form_due = now + FORMING
        after, channel.formed_at = channel.formed_at, self._head.sequence
        return self._forming.since(channel, after)

    def _try_arrive(self, reader: Reader, channel: Channel) -> None:
        del channel.arriving[reader]
        try:
            self._arrive(reader, channel)
        except Exception:  # the others come in
            log.exception("a reader of a paced channel is sent away: %s", channel.subscription.describe())
            reader.dismiss("error", LATER_MS)

    def _arrive(self, reader: Reader, channel: Channel) -> None:
        """Bring a reader from where it has been waiting to where the channel is, and let it in."""
        named = self._catch_up.at_hand(reader)
        if named is None:  # it was away for long: catch-up first
            reader.live = False
            reader.drained()
            return
        frames, quotes = self._catch_up.changes(channel, reader.position, named)
        matches = self._catch_up.matches(channel)
        reader.position = channel.position
        reader.sent += quotes
        if channel.candles:
            frames += self._forming.since(channel, reader.formed)
            reader.formed = self._head.sequence
        channel.admit(reader)
        if frames or matches:
            reader.write(matches + b"".join(frames))
            self._tally.delivered += len(frames)
