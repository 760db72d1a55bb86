"""Some of the readers in an order, a page at a time: whoever has fifty thousand looks at the worst hundred."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

import msgspec

Sort: TypeAlias = Literal["id", "behind", "conflated", "stalls", "gaps", "since"]

MOST = 1_000
"""Readers on a page: described and encoded in some 10 ms."""


class Place(NamedTuple):
    """Where a reader stands in an order. `rank` is what it is sorted by, negative, so that the most comes first."""

    rank: int
    id: str
    since: int


class Selection(msgspec.Struct, frozen=True):
    """Readers whose id or user has `search` in it, in the order of `sort`, at most `limit` of those behind `after`.

    By `id` they are in the order of the alphabet; by anything else the largest come first.
    """

    sort: Sort = "id"
    limit: int = MOST
    search: str = ""
    after: Place | None = None

    def takes(self, place: Place, user: str | None) -> bool:
        """Whether a reader in this place is among them, but for the limit."""
        if self.after is not None and place <= self.after:
            return False
        sought = self.search.casefold()
        return not sought or sought in place.id.casefold() or (user is not None and sought in user.casefold())
