"""Subscriptions that were put down here for a stream to name: for watchlists longer than a URL should be."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import msgspec

from tickwire.core.codec import encode

UNUSED_SECONDS = 60.0
MOST_BYTES = 32 * 1024 * 1024  # of parameters in all
_ID_BYTES = 16  # two lists will not meet, not even by intent


class _Entry(msgspec.Struct):
    parameters: Mapping[str, str]
    size: int
    readers: int = 0
    idle_since: float | None = None  # monotonic seconds; None until it is first looked at


class Kept:
    """Parameters of stream requests by id. What no reader uses for UNUSED_SECONDS is let go.

    The id is made from the parameters: whoever puts down the same list gets the same id, however often.
    """

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def has_room(self, parameters: Mapping[str, str]) -> bool:
        """Whether these parameters can be taken too."""
        return identify(parameters) in self._entries or self._bytes + _size(parameters) <= MOST_BYTES

    def put(self, id: str, parameters: Mapping[str, str]) -> None:  # noqa: A002  # the word for it
        """Keep parameters, or keep them for another while."""
        known = self._entries.get(id)
        if known is not None:
            known.idle_since = None
            return
        self._entries[id] = _Entry(parameters, _size(parameters))
        self._bytes += _size(parameters)

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
                self._bytes -= entry.size
                del self._entries[name]

    def save(self) -> dict[str, dict[str, str]]:
        """All of them."""
        return {name: dict(entry.parameters) for name, entry in self._entries.items()}

    def restore(self, saved: Mapping[str, dict[str, str]]) -> None:
        """Take what `save` gave."""
        for name, parameters in saved.items():
            self.put(name, parameters)


def identify(parameters: Mapping[str, str]) -> str:
    """The id of these parameters."""
    return hashlib.sha256(encode(sorted(parameters.items()))).hexdigest()[: 2 * _ID_BYTES]


def _size(parameters: Mapping[str, str]) -> int:
    return sum(len(name) + len(value) for name, value in parameters.items())
