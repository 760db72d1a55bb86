"""Subscriptions that were changed while their readers were connected, for when these come back.

A reader comes back with the request it first made. So what it was changed to since must be known here, or it would be
taken to have seen symbols that it was not sent for a while. A change is kept while its reader is connected, and after
that until the journal no longer reaches back to where the reader left: whoever comes later than that is given the whole
state anyway.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import msgspec

from tickwire.hub.control import Change
from tickwire.hub.reader import Who
from tickwire.hub.subscription import Subscription

MOST_CHANGES = 10_000  # one more is refused
MOST_NAMES = 500_000  # symbols and patterns in all of them: some 35 MB, and 70 ms whenever the state is saved

_Key: TypeAlias = tuple[str, str | None, Subscription]  # client id, user, and what was asked for


class _Changed(msgspec.Struct):
    """`at` is the number of the newest change, `left` where the hub stood when its reader was first seen gone."""

    at: int
    now: Subscription
    left: int | None = None


class Changes:
    """Who has another subscription than it asked for; both as they are before rights narrow them."""

    def __init__(self) -> None:
        self._known: dict[_Key, _Changed] = {}
        self._names = 0

    def __len__(self) -> int:
        return len(self._known)

    @property
    def full(self) -> bool:
        """Whether no more should be made."""
        return len(self._known) >= MOST_CHANGES or self._names >= MOST_NAMES

    def take(self, change: Change, at: int) -> tuple[Subscription, Subscription]:
        """Note a change that is event `at`; the subscription it is for, and the new one."""
        asked, now = Subscription(**change.asked), Subscription(**change.now)
        key = (change.client_id, change.user, asked)
        self._drop(key)
        self._known[key] = _Changed(at, now)
        self._names += len(asked.names) + len(now.names)
        return asked, now

    def resumed(self, who: Who, asked: Subscription, position: int) -> tuple[Subscription, bool]:
        """What a reader that comes back has now, and whether it has not seen all of that as of `position`."""
        known = self._known.get((who.client_id, who.user, asked))
        return (asked, False) if known is None else (known.now, position < known.at)

    def forget(self, head: int, first: int, connected: Callable[[str], bool]) -> None:
        """Let go of changes whose readers left before event `first`, the oldest that the journal still holds."""
        for key, known in list(self._known.items()):
            if connected(key[0]):
                known.left = None
            elif known.left is None:
                known.left = head
            elif known.left < first:
                self._drop(key)

    def _drop(self, key: _Key) -> None:
        known = self._known.pop(key, None)
        if known is not None:
            self._names -= len(key[2].names) + len(known.now.names)

    def save(self) -> list[tuple[int, Change]]:
        """All of them, with their numbers."""
        return [
            (known.at, Change(client_id, asked.describe(), known.now.describe(), user))
            for (client_id, user, asked), known in self._known.items()
        ]

    def restore(self, saved: list[tuple[int, Change]]) -> None:
        """Take what `save` gave."""
        for at, change in saved:
            self.take(change, at)
