"""Subscriptions that were changed while their readers were connected, for when these come back.

A reader comes back with the request it first made. So what it was changed to since must be known here, or it would be
taken to have seen symbols that it was not sent for a while. A change is kept while its reader is connected, and after
that until the journal no longer reaches back to where the hub stood a minute later: whoever comes then is given the
whole state anyway. That it is let go of stands in the journal too, so that all processes know the same at each event,
and one that starts again from an older state comes to the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Literal, TypeAlias

import msgspec

from tickwire.hub.control import Change
from tickwire.hub.subscription import Subscription

MOST_CHANGES = 10_000  # one more is refused
MOST_NAMES = 500_000  # symbols and patterns in all of them: some 35 MB, and 70 ms whenever the state is saved
USER_CHANGES, USER_NAMES = 500, 50_000  # of these, for one user
LEAST_SECONDS = 60.0
_MOST_VOID = MOST_CHANGES  # who made a void change asks at once, though there may be one for each

Asked: TypeAlias = tuple[str | None, Subscription]
"""Whose request, and for what."""

_Key: TypeAlias = tuple[str, str | None, Subscription]  # the client id before that


class _Changed(msgspec.Struct):
    """`at` is the number of the newest change.

    `held` is the event that last said that its reader is somewhere. `gone` is when it was first seen to be nowhere, in
    monotonic seconds; None while it is somewhere. `left` is where the hub stood LEAST_SECONDS after that.
    """

    at: int
    now: Subscription
    held: int = 0
    gone: float | None = None
    left: int = 0


class Changes:
    """Who has another subscription than it asked for; both as they are before rights narrow them."""

    def __init__(self) -> None:
        self._known: dict[_Key, _Changed] = {}
        self._names = 0
        self._user_changes = Counter[str | None]()
        self._user_names = Counter[str | None]()
        self._void: dict[int, None] = {}  # the oldest first

    def __len__(self) -> int:
        return len(self._known)

    def lacks_room(self, client_id: str, wanted: Mapping[Asked, Subscription]) -> Literal["server", "user"] | None:
        """Whose room it would exceed to change a client's requests to these, all together.

        None where there is enough, as there is for what takes less than before.
        """
        more, names = Counter[str | None](), Counter[str | None]()
        for (user, asked), now in wanted.items():
            known = self._known.get((client_id, user, asked))
            more[user] += known is None
            names[user] += len(now.names) - len(known.now.names) if known else len(asked.names) + len(now.names)
        if not more.total() and names.total() <= 0:
            return None
        if len(self._known) + more.total() > MOST_CHANGES or self._names + names.total() > MOST_NAMES:
            return "server"
        users = [user for user in more if user is not None]
        over = any(self._user_changes[user] + more[user] > USER_CHANGES for user in users)
        return "user" if over or any(self._user_names[user] + names[user] > USER_NAMES for user in users) else None

    def take(self, change: Change, at: int) -> bool:
        """Note a change that is event `at`; whether it holds. One whose maker had not seen the newest is void."""
        key, now = _read(change)
        known = self._known.get(key)
        if change.after is not None and known is not None and known.at > change.after:
            self._void[at] = None
            if len(self._void) > _MOST_VOID:
                del self._void[next(iter(self._void))]
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

    def heard(self, client_id: str, user: str | None, asked: Subscription) -> int:
        """The event that last said something of such readers' change; 0 without any."""
        known = self._known.get((client_id, user, asked))
        return 0 if known is None else max(known.at, known.held)

    def clients(self) -> set[str]:
        """The ids of those that have changes."""
        return {client_id for client_id, _, _ in self._known}

    def hold(self, clients: Collection[str], at: int) -> None:
        """Readers with these ids are connected somewhere, as event `at` says."""
        for (client_id, _, _), known in self._known.items():
            if client_id in clients:
                known.held, known.gone = at, None

    def over(self, now: float, head: int, first: int, connected: Callable[[str], bool]) -> list[int]:
        """The numbers of changes to which nobody comes back who is not given the whole state: see the top of this file.

        `first` is the oldest event that the journal still holds, `now` is monotonic, in seconds.
        """
        found = []
        for (client_id, _, _), known in self._known.items():
            if connected(client_id):
                known.gone = None
            elif known.gone is None:
                known.gone, known.left = now, head
            elif now - known.gone < LEAST_SECONDS:
                known.left = head
            elif known.left + 1 < first:
                found.append(known.at)
        return found

    def forget(self, numbers: Collection[int], after: int) -> None:
        """Let go of the changes with these numbers whose readers were not seen since event `after`."""
        for key, known in list(self._known.items()):
            if known.at in numbers and known.held <= after:
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

    def held(self) -> list[int]:
        """The events that last said that the readers of those are somewhere, 0 for none."""
        return [known.held for known in self._known.values()]

    def restore(self, saved: list[tuple[int, Change]], held: list[int]) -> None:
        """Take what `save` and `held` gave (an old state has nothing of the latter)."""
        for at, change in saved:
            self.take(change, at)
        for known, number in zip(self._known.values(), held, strict=False):
            known.held = number


def _read(change: Change) -> tuple[_Key, Subscription]:
    return (change.client_id, change.user, Subscription(**change.asked)), Subscription(**change.now)


def _size(key: _Key, now: Subscription) -> int:
    return len(key[2].names) + len(now.names)
