"""What is done to readers from outside: another subscription, an eviction, the end of their time or of the server's."""

from __future__ import annotations

from collections.abc import Callable
from random import uniform
from typing import Any

from tickwire.core.codec import encode
from tickwire.errors import ScreensFull
from tickwire.hub.applied import AppliedNamed
from tickwire.hub.changes import Changes
from tickwire.hub.channel import Channel
from tickwire.hub.control import Evict, Keep, read_control
from tickwire.hub.head import Head
from tickwire.hub.kept import Kept
from tickwire.hub.reader import Reader
from tickwire.hub.roster import Roster
from tickwire.hub.router import Router
from tickwire.hub.saved import Saved
from tickwire.hub.subscription import Subscription
from tickwire.sse.frame import frame

_LATER_MS = 5_000  # what a reader is told to wait for whose new subscription there was no room


class Controller:
    """Obeys the controls that come through the journal, and sends readers away.

    `lifetime` is how many seconds readers may stay (0: for ever), each a tenth more or less, so that they do not all
    come back at once.
    """

    def __init__(self, head: Head, roster: Roster, router: Router, lifetime: float) -> None:
        self.changes = Changes()
        self.kept = Kept()
        self.ending = False  # whether everybody was sent away
        self._head = head
        self._roster = roster
        self._router = router
        self._lifetime = lifetime

    def save(self, board: bytes, candles: bytes) -> Saved:
        """What was learned from controls, beside the saved board and candles."""
        return Saved(board, self.changes.save(), self.kept.save(), candles)

    def restore(self, saved: Saved) -> None:
        """Take what `save` gave."""
        self.changes.restore(saved.changes)
        self.kept.restore(saved.kept)

    def obey(self, item: AppliedNamed, now: float) -> None:
        """Do what an event of kind CONTROL says. `now` is monotonic, in seconds."""
        control = read_control(item.named)
        if isinstance(control, Keep):
            self.kept.put(control.id, control.parameters)
        elif isinstance(control, Evict):
            for reader in self._roster.named(control.name):
                self._dismiss(reader, "evicted", control.retry_ms)
        else:
            asked, wanted = self.changes.take(control, item.last)
            for reader in self._roster.named(control.client_id):
                if reader.asked == asked:
                    self._change(reader, wanted, now)

    def forget(self, now: float, first: int) -> None:
        """Let go of what nobody came back for. `now` is monotonic, in seconds; `first` the oldest event kept."""
        self.changes.forget(self._head.sequence, first, self._roster.__contains__)
        self.kept.forget(now)

    def end_all(self, reason: str, retry_of: Callable[[], int]) -> None:
        """Say `bye` to every reader and let its stream end; `retry_of` gives each its time to come back, in ms."""
        self.ending = True
        for reader in list(self._roster.channels):
            self._dismiss(reader, reason, retry_of())

    def retire(self, now: float, retry_of: Callable[[], int]) -> None:
        """Say `bye` to the readers whose time is up. `now` is monotonic, in seconds."""
        if not self._lifetime:
            return
        for reader in self._roster.channels:
            if not reader.expires:
                reader.expires = now + self._lifetime * uniform(0.9, 1.1)  # noqa: S311  # spreads load
            elif reader.expires <= now:
                self._dismiss(reader, "lifetime", retry_of())

    def tidy(self, channel: Channel) -> None:
        """A channel that nobody reads any more is dropped."""
        if not channel.readers:
            self._router.drop(channel)

    def _dismiss(self, reader: Reader, reason: str, retry_ms: int) -> None:
        if reader.closing is None:
            data: dict[str, Any] = {"reason": reason, "reconnect_in_ms": retry_ms}
            reader.write(frame(encode(data), event="bye", retry=retry_ms))
        reader.end(reason)

    def _change(self, reader: Reader, subscription: Subscription, now: float) -> None:
        """Another subscription for a reader, wherever it stands: it goes on from there, in another channel.

        Of symbols that are new to it the newest quotes are due, as far as they are from before where it stands.
        """
        old = self._roster.channels[reader]
        if reader.live:
            old.flush(now)
        if reader.live:  # the flush has not filled it
            old.leave(reader)
        was_counted = reader.counted is not None
        old.settle(reader)
        try:
            new = self._router.channel(subscription)
        except ScreensFull:  # others came first, between the answer to who wanted it and now
            self._dismiss(reader, "limit", _LATER_MS)
            return
        wanted = self._rows(new)
        reader.owed = (reader.owed or set()) & wanted | wanted - self._seen(old, new)
        reader.counted = new.count() if was_counted else None
        self._roster.move(reader, new)
        old.readers -= 1
        self.tidy(old)
        reader.move(new)

    def _rows(self, channel: Channel) -> set[int]:
        return set(self._router.rows(channel).tolist())

    def _seen(self, old: Channel, new: Channel) -> set[int]:
        """The rows whose quotes the old channel's readers have as the new one's get them."""
        return self._rows(old) if old.subscription.fields == new.subscription.fields else set()
