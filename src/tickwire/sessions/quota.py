"""Limits for the data that callers store on the server: quotas, and timers for unused entries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Literal, TypeAlias

import msgspec

ExceededLimit: TypeAlias = Literal["server", "user"]
"""The limit that a request would exceed: the limit of the server or the limit of one user."""


class Quota:
    """The used amount of one resource, in total and by user.

    An amount for the user None counts towards the total only.
    """

    def __init__(self) -> None:
        self._total = 0
        self._used_by_user = Counter[str]()

    def exceeded_limit(
        self, added: Mapping[str | None, int], *, max_total: int, max_per_user: int
    ) -> ExceededLimit | None:
        """Check whether an addition fits into the quota. Return the limit that it would exceed, or None.

        `added` contains the added amount of each user.
        """
        if self._total + sum(added.values()) > max_total:
            return "server"
        is_over = any(
            user is not None and self._used_by_user[user] + amount > max_per_user for user, amount in added.items()
        )
        return "user" if is_over else None

    def add(self, user: str | None, amount: int) -> None:
        """Add an amount for a user. A negative amount reduces the used amount."""
        self._total += amount
        if user is not None:
            self._used_by_user[user] += amount
            if not self._used_by_user[user]:
                del self._used_by_user[user]


def first_exceeded(limits: Iterable[ExceededLimit | None]) -> ExceededLimit | None:
    """Combine the results of several quota checks. Return an exceeded limit, or None if all checks succeeded.

    If both a limit of the server and a limit of a user are exceeded, return the limit of the server.
    """
    exceeded = set(limits)
    return "server" if "server" in exceeded else "user" if "user" in exceeded else None


class IdleTimer(msgspec.Struct):
    """A timer that measures how long an entry has been unused.

    `idle_since` is a monotonic time in seconds. After `reset`, `idle_since` is None until the next call of `elapsed_s`.
    """

    idle_since: float | None = None

    def reset(self) -> None:
        """Record that the entry is in use now.

        The idle time then starts at the next call of `elapsed_s`.
        """
        self.idle_since = None

    def elapsed_s(self, now: float) -> float:
        """Return the idle time in seconds.

        The idle time starts at the first call of this method after `reset`. `now` is monotonic, in seconds.
        """
        if self.idle_since is None:
            self.idle_since = now
        return now - self.idle_since
