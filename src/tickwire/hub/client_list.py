"""The list of connected clients: its queries and its entries.

`GET /v1/clients` returns the list. The servers of a cluster exchange their lists.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple, TypeAlias

import msgspec

ClientSortField: TypeAlias = Literal["id", "behind", "conflated", "stalls", "gaps", "since"]

MAX_PAGE_SIZE = 1_000
"""The maximum number of readers on one page. The server describes and encodes this many readers in about 10 ms."""


class ClientSortKey(NamedTuple):
    """The sort key of a reader.

    `rank` is the negative value of the sort field, so that the largest value comes first.
    """

    rank: int
    id: str
    since: int


class ClientQuery(msgspec.Struct, frozen=True):
    """A query for one page of readers: the first `limit` readers after the sort key `after`.

    The page is in the order of the field `sort`. The order by `id` is alphabetical. Every other order starts with the
    largest value. If `search` is not empty, the page contains only readers whose id or user contains that text,
    ignoring case.
    """

    sort: ClientSortField = "id"
    limit: int = MAX_PAGE_SIZE
    search: str = ""
    after: ClientSortKey | None = None

    def matches(self, sort_key: ClientSortKey, user: str | None) -> bool:
        """Whether a reader with this sort key and user matches the query. The result does not depend on `limit`."""
        if self.after is not None and sort_key <= self.after:
            return False
        text = self.search.casefold()
        return not text or text in sort_key.id.casefold() or (user is not None and text in user.casefold())


class ClientInfo(msgspec.Struct, frozen=True):
    """One connected reader.

    `position` is the event id up to which the reader has received all events that it requested. `behind` is the number
    of events from `position` to the head (the newest event that the hub has applied); 0 for a live reader. `since` is
    the time when the reader connected, in microseconds since the Unix epoch. `subscription` is encoded, because many
    readers of a list often share one subscription with a thousand symbols.
    """

    id: str
    user: str | None
    since: int
    subscription: msgspec.Raw
    position: str
    behind: int
    live: bool
    stalls: int
    conflated: int
    gaps: int
    compression: str

    def sort_key(self, query: ClientQuery) -> ClientSortKey:
        """Return the key by which the query sorts this reader."""
        return ClientSortKey(0 if query.sort == "id" else -getattr(self, query.sort), self.id, self.since)


def merge_query_results(clients: Iterable[ClientInfo], query: ClientQuery) -> list[ClientInfo]:
    """Merge the results that several hubs or servers returned for one query. Return the first page."""
    return sorted(clients, key=lambda client: client.sort_key(query))[: query.limit]
