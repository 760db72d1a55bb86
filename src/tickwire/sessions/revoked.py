"""Revoked tokens, which the server rejects although they have not expired."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from tickwire.sessions.admin_events import TokensRevoked
from tickwire.sessions.rights import TOKEN_PREFIX, Rights

# The maximum number of revocations, which occupy about 3 MB. At this number, the server rejects further revocations. If
# it dropped old revocations instead, it would accept revoked tokens again.
MAX_REVOCATIONS = 20_000


class _Revocation(msgspec.Struct):
    """One revocation.

    By the time `expires_at`, all tokens that the revocation covers have expired. `expires_at` and `revoked_at` are
    seconds since the Unix epoch. `age_s` is the time for which servers have stored the revocation. `counted_at` is the
    monotonic time up to which `age_s` counts, or None before the first count in this process.
    """

    revoked_at: float
    expires_at: float
    age_s: float = 0.0
    counted_at: float | None = None


class RevokedTokens:
    """Users and token ids that were revoked.

    The revocation of a user covers all tokens that were issued up to the time of the revocation, and all tokens without
    an issue time. The user can therefore connect again with a new token. The revocation of a token id covers every
    token with that id.

    A revocation is stored until all tokens that it covers have expired. The age of a revocation is counted with a
    monotonic clock, because a wall clock may jump ahead and back. The age does not include times in which no server
    runs.
    """

    def __init__(self) -> None:
        self._revocations: dict[str, _Revocation] = {}

    def __len__(self) -> int:
        return len(self._revocations)

    def apply(self, event: TokensRevoked) -> None:
        """Add a revocation. A second revocation of a name never ends earlier than the first one."""
        old = self._revocations.get(event.name, _Revocation(event.at, event.until))
        self._revocations[event.name] = _Revocation(max(event.at, old.revoked_at), max(event.until, old.expires_at))

    def is_revoked(self, rights: Rights) -> bool:
        """Whether the token of these rights is revoked."""
        if not self._revocations:
            return False
        if rights.token is not None and TOKEN_PREFIX + rights.token in self._revocations:
            return True
        revocation = self._revocations.get(rights.user_target or "")
        return revocation is not None and (rights.issued is None or rights.issued <= revocation.revoked_at)

    def remove_expired(self, now: float) -> None:
        """Drop the revocations whose tokens have all expired. `now` is monotonic, in seconds."""
        for name, revocation in list(self._revocations.items()):
            if revocation.counted_at is not None:
                revocation.age_s += now - revocation.counted_at
            revocation.counted_at = now
            if revocation.age_s > revocation.expires_at - revocation.revoked_at:
                del self._revocations[name]

    def save(self) -> list[TokensRevoked]:
        """Return all revocations as an argument for `restore`."""
        return [
            TokensRevoked(name, revocation.revoked_at, revocation.expires_at, 0)
            for name, revocation in self._revocations.items()
        ]

    def ages(self) -> dict[str, float]:
        """Return a dict from the name of each revocation to its age in seconds.

        The result omits revocations with the age 0.
        """
        return {name: revocation.age_s for name, revocation in self._revocations.items() if revocation.age_s}

    def restore(self, saved: Iterable[TokensRevoked], ages: Mapping[str, float]) -> None:
        """Add the revocations that `save` and `ages` returned."""
        for event in saved:
            self.apply(event)
            self._revocations[event.name].age_s = ages.get(event.name, 0.0)


def revocation_event(name: str, now: float, *, max_token_age_s: float, leeway_s: float, retry_ms: int) -> TokensRevoked:
    """Return the event that revokes the tokens of a user or a token id.

    `now` is in seconds since the Unix epoch. The clock of the issuer may be ahead by `leeway_s`, so the issue time of a
    token that exists now is at most `now + leeway_s`. A token is valid for at most `max_token_age_s` after its issue,
    and servers accept the token for another `leeway_s`.
    """
    newest_issue = now + leeway_s
    # Servers store the revocation for the time between `at` and `until` of the event. After this time, all affected
    # tokens have expired.
    return TokensRevoked(name, newest_issue, newest_issue + max_token_age_s + 2 * leeway_s, retry_ms)
