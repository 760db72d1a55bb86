"""Tokens that are refused although their time is not up."""

from __future__ import annotations

from typing import NamedTuple

from tickwire.hub.control import Revoke
from tickwire.hub.rights import TOKEN, Rights

MOST_REVOKED = 20_000  # some 3 MB; one more is refused, because to forget one would let somebody in


class _Entry(NamedTuple):
    at: float
    until: float


class Revoked:
    """Users and token ids that were revoked. Times are seconds since the Unix epoch.

    Of a user, tokens issued up to the moment are refused (those that do not say when, too), so that the user can be let
    in again with a new one; of a token id, all that carry it. An entry is kept until no such token can be good any
    more.
    """

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def take(self, revoke: Revoke) -> None:
        """Refuse from now on what `revoke` names."""
        self._entries[revoke.name] = _Entry(revoke.at, revoke.until)

    def refuses(self, rights: Rights) -> bool:
        """Whether the token of these rights was revoked."""
        if not self._entries:
            return False
        if rights.token is not None and TOKEN + rights.token in self._entries:
            return True
        entry = self._entries.get(rights.address or "")
        return entry is not None and (rights.issued is None or rights.issued <= entry.at)

    def forget(self, now: float) -> None:
        """Let go of what no token can carry any more."""
        for name, entry in list(self._entries.items()):
            if entry.until < now:
                del self._entries[name]

    def save(self) -> list[Revoke]:
        """All of them."""
        return [Revoke(name, entry.at, entry.until, 0) for name, entry in self._entries.items()]

    def restore(self, saved: list[Revoke]) -> None:
        """Take what `save` gave."""
        for revoke in saved:
            self.take(revoke)
