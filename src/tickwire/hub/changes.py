"""Subscriptions that were changed while their readers were connected, for when these come back.

A reader comes back with the request it first made. So what it was changed to since must be known here, or it would be
taken to have seen symbols that it was not sent for a while. A change is kept while its reader is connected, and after
that until the journal no longer reaches back to where the reader left, and for a minute at least: whoever comes later
than that is given the whole state anyway.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Collection
from typing import Literal, TypeAlias

import msgspec

from tickwire.hub.control import Change
from tickwire.hub.reader import Who
from tickwire.hub.subscription import Subscription

MOST_CHANGES = 10_000  # one more is refused
MOST_NAMES = 500_000  # symbols and patterns in all of them: some 35 MB, and 70 ms whenever the state is saved
USER_CHANGES, USER_NAMES = 500, 50_000  # of these, for one user
LEAST_SECONDS = 60.0
_MOST_VOID = 1_000  # who made a void change asks at once

_Key: TypeAlias = tuple[str, str | None, Subscription]  # client id, user, and what was asked for


class _Changed(msgspec.Struct):
    """`at` is the number of the newest change.

    `left` is where the hub stood when its reader was first seen to be nowhere, and `gone` when that was, in monotonic
    seconds; None while it is somewhere.
    """

    at: int
    now: Subscription
    left: int | None = None
    gone: float = 0.0


class Changes:
    """Who has another subscription than it asked for; both as they are before rights narrow them."""

    def __init__(self) -> None:
        self._known: dict[_Key, _Changed] = {}
        self._names = 0
        self._user_changes = Counter[str | None]()
        self._user_names = Counter[str | None]()
        self._void = deque[int](maxlen=_MOST_VOID)

    def __len__(self) -> int:
        return len(self._known)

    def lacks_room(self, change: Change) -> Literal["server", "user"] | None:
        """Whose room a change would exceed; None where there is enough, as there is for what takes less than before."""
        key, now = _read(change)
        known = self._known.get(key)
        more = int(known is None)
        names = _size(key, now) - (0 if known is None else _size(key, known.now))
        if not more and names <= 0:
            return None
        if len(self._known) + more > MOST_CHANGES or self._names + names > MOST_NAMES:
            return "server"
        user = change.user
        over = self._user_changes[user] + more > USER_CHANGES or self._user_names[user] + names > USER_NAMES
        return "user" if over and user is not None else None

    def take(self, change: Change, at: int) -> bool:
        """Note a change that is event `at`; whether it holds. One that does not follow the newest is void."""
        key, now = _read(change)
        known = self._known.get(key)
        if change.after not in (None, 0 if known is None else known.at):
            self._void.append(at)
            return False
        self._drop(key)
        self._known[key] = _Changed(at, now)
        self._count(key, now, 1)
        return True

    def void(self, at: int) -> bool:
        """Whether the change that was event `at`, a moment ago, is void."""
        return at in self._void

    def newest(self, client_id: str, user: str | None, asked: Subscription) -> tuple[Subscription, int]:
        """What such readers have now, and the event of the change to it; what they asked for and 0 without any."""
        known = self._known.get((client_id, user, asked))
        return (asked, 0) if known is None else (known.now, known.at)

    def resumed(self, who: Who, asked: Subscription, position: int) -> tuple[Subscription, bool]:
        """What a reader that comes back has now, and whether it has not seen all of that as of `position`."""
        now, at = self.newest(who.client_id, who.user, asked)
        return now, position < at

    def clients(self) -> set[str]:
        """The ids of those that have changes."""
        return {client_id for client_id, _, _ in self._known}

    def hold(self, clients: Collection[str]) -> None:
        """Readers with these ids are connected somewhere."""
        for (client_id, _, _), known in self._known.items():
            if client_id in clients:
                known.left = None

    def forget(self, now: float, head: int, first: int, connected: Callable[[str], bool]) -> None:
        """Let go of changes whose readers left before event `first`, the oldest that the journal still holds.

        `now` is monotonic, in seconds.
        """
        for key, known in list(self._known.items()):
            if connected(key[0]):
                known.left = None
            elif known.left is None:
                known.left, known.gone = head, now
            elif known.left < first and now - known.gone >= LEAST_SECONDS:
                self._drop(key)

    def _drop(self, key: _Key) -> None:
        known = self._known.pop(key, None)
        if known is not None:
            self._count(key, known.now, -1)

    def _count(self, key: _Key, now: Subscription, sign: int) -> None:
        user, names = key[1], sign * _size(key, now)
        self._names += names
        self._user_names[user] += names
        self._user_changes[user] += sign
        if not self._user_changes[user]:
            del self._user_changes[user], self._user_names[user]

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


def _read(change: Change) -> tuple[_Key, Subscription]:
    return (change.client_id, change.user, Subscription(**change.asked)), Subscription(**change.now)


def _size(key: _Key, now: Subscription) -> int:
    return len(key[2].names) + len(now.names)
