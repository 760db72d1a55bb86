"""Subscriptions that were put down here for a stream to name: for watchlists longer than a URL should be."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from tickwire.core.codec import encode

UNUSED_SECONDS = 60.0
MOST_BYTES = 32 * 1024 * 1024  # of parameters in all
USER_BYTES = 4 * 1024 * 1024  # of these, that one with a plain token has put down first
_ID_BYTES = 16  # two lists will not meet, not even by intent


class _Entry(msgspec.Struct):
    parameters: Mapping[str, str]
    size: int
    user: str | None = None  # who put it down first; None where that is not counted
    readers: int = 0
    idle_since: float | None = None  # monotonic seconds; None until it is first looked at


class Kept:
    """Parameters of stream requests by id. What no reader uses for UNUSED_SECONDS is let go.

    The id is made from the parameters: whoever puts down the same list gets the same id, however often.
    """

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._bytes = 0
        self._user_bytes = Counter[str]()

    def __len__(self) -> int:
        return len(self._entries)

    def lacks_room(self, parameters: Mapping[str, str], user: str | None) -> Literal["server", "user"] | None:
        """Whose room these parameters would exceed; None where there is enough. A `user` of None is not counted."""
        size = _size(parameters)
        if identify(parameters) in self._entries:
            return None
        if self._bytes + size > MOST_BYTES:
            return "server"
        return "user" if user is not None and self._user_bytes[user] + size > USER_BYTES else None

    def put(self, id: str, parameters: Mapping[str, str], user: str | None = None) -> None:  # noqa: A002  # the word
        """Keep parameters, or keep them for another while."""
        known = self._entries.get(id)
        if known is not None:
            known.idle_since = None
            return
        self._entries[id] = entry = _Entry(parameters, _size(parameters), user)
        self._count(entry, 1)

    def parameters(self, id: str) -> Mapping[str, str] | None:  # noqa: A002
        """What is kept under the id."""
        entry = self._entries.get(id)
        return None if entry is None else entry.parameters

    def use(self, id: str, parameters: Mapping[str, str]) -> None:  # noqa: A002
        """A reader has come that names it, or that found its `parameters` here before it was let go."""
        self.put(id, parameters)
        self._entries[id].readers += 1

    def release(self, id: str) -> None:  # noqa: A002
        """The reader is gone."""
        self._entries[id].readers -= 1
        self._entries[id].idle_since = None

    @property
    def used(self) -> list[str]:
        """The ids that readers here name."""
        return [name for name, entry in self._entries.items() if entry.readers]

    def user(self, id: str) -> str | None:  # noqa: A002
        """Who put it down, if that is counted."""
        return self._entries[id].user

    def hold(self, ids: Iterable[str]) -> None:
        """Readers elsewhere name these."""
        for name in ids:
            entry = self._entries.get(name)
            if entry is not None:
                entry.idle_since = None

    def forget(self, now: float) -> None:
        """Let go of what was not used for a while. `now` is monotonic, in seconds."""
        for name, entry in list(self._entries.items()):
            if entry.readers:
                continue
            if entry.idle_since is None:
                entry.idle_since = now
            elif now - entry.idle_since >= UNUSED_SECONDS:
                del self._entries[name]
                self._count(entry, -1)

    def _count(self, entry: _Entry, sign: int) -> None:
        self._bytes += sign * entry.size
        if entry.user is not None:
            self._user_bytes[entry.user] += sign * entry.size
            if not self._user_bytes[entry.user]:
                del self._user_bytes[entry.user]

    def save(self) -> dict[str, dict[str, str]]:
        """All of them."""
        return {name: dict(entry.parameters) for name, entry in self._entries.items()}

    def owners(self) -> dict[str, str]:
        """Who put them down, as far as that is counted."""
        return {name: entry.user for name, entry in self._entries.items() if entry.user is not None}

    def restore(self, saved: Mapping[str, dict[str, str]], owners: Mapping[str, str]) -> None:
        """Take what `save` and `owners` gave."""
        for name, parameters in saved.items():
            self.put(name, parameters, owners.get(name))


def identify(parameters: Mapping[str, str]) -> str:
    """The id of these parameters."""
    return hashlib.sha256(encode(sorted(parameters.items()))).hexdigest()[: 2 * _ID_BYTES]


def _size(parameters: Mapping[str, str]) -> int:
    return sum(len(name) + len(value) for name, value in parameters.items())
