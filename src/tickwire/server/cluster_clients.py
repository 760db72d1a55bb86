"""Search for readers (clients with an open stream) in all server processes.

A process sends a query to all processes. Each process answers for its own readers.

A query contains no rights, because the processes that share a journal trust each other. The process that received the
HTTP request checks the rights of the client. For this check, every answer contains the user of each reader.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from tickwire.core.codec import decode_json, encode_json
from tickwire.errors import JournalError
from tickwire.hub.client_list import ClientInfo, ClientQuery, merge_query_results
from tickwire.hub.fanout.reader import Reader
from tickwire.journal.cluster import Peers
from tickwire.runtime.runtime import Runtime
from tickwire.sessions.rights import TOKEN_PREFIX, USER_PREFIX
from tickwire.sessions.subscription import Subscription

UNANSWERED_HEADER = "tickwire-unanswered"
_CLIENTS_TOPIC = "clients"
_CLIENT_PAGE_TOPIC = "selection"
_AUDIENCE_TOPIC = "audience"
_REQUESTS_TOPIC = "held"
_TOKEN_HOLDERS_TOPIC = "bearers"  # noqa: S105  # no secret
# If a query names an event that the process has not applied yet, the process waits for the event for at most this time.
# After that, the process answers with its current state. The time must be shorter than the timeout of the process that
# sent the query.
_MAX_APPLY_WAIT_S = 1.0

T = TypeVar("T")


class ClusterResult(NamedTuple, Generic[T]):
    """The combined answers of all processes to a query.

    `value` is the combined answer. `unanswered_count` is the number of processes that did not answer. The readers of
    these processes are missing in `value`.
    """

    value: T
    unanswered_count: int

    @property
    def headers(self) -> dict[str, str]:
        """Return a dict with the response header that contains the number of processes that did not answer.

        If all processes answered, the dict is empty.
        """
        return {UNANSWERED_HEADER: str(self.unanswered_count)} if self.unanswered_count else {}


class _NameQuery(msgspec.Struct, frozen=True):
    """A query for the readers of one client id or user.

    A process answers after it has applied the event with the number `min_sequence`.
    """

    name: str
    min_sequence: int = msgspec.field(name="after", default=0)


class _AudienceQuery(msgspec.Struct, frozen=True):
    """A query for the number of readers that receive events of a kind.

    `name` is the client id or user to which the event is addressed. None addresses all readers.
    """

    name: str | None
    kind: str


class ReaderRequest(msgspec.Struct, frozen=True):
    """The subscription that a reader requested, before the server restricted it to the reader's rights.

    `own` is True if the client chose the client id, and False if the server generated the client id.
    """

    own: bool
    user: str | None
    asked: dict[str, Any]

    @property
    def user_target(self) -> str | None:
        """The address for messages to all streams of the user."""
        return None if self.user is None else USER_PREFIX + self.user


class ClusterClients:
    """Sends queries about readers to all processes, and combines the answers of the processes.

    Each process searches both its readers of live data and its readers of delayed data.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._hub_pool = runtime.hub_pool
        self._peers: Peers = runtime.cluster.peers
        self._peers.register_handler(_CLIENTS_TOPIC, self._answer_clients)
        self._peers.register_handler(_CLIENT_PAGE_TOPIC, self._answer_client_page)
        self._peers.register_handler(_AUDIENCE_TOPIC, self._answer_audience)
        self._peers.register_handler(_REQUESTS_TOPIC, self._answer_requests)
        self._peers.register_handler(_TOKEN_HOLDERS_TOPIC, self._answer_token_holders)

    async def find_clients(self, name: str, *, min_sequence: int = 0) -> ClusterResult[list[ClientInfo]]:
        """Return the readers of one client id or user.

        Each process answers after it has applied the event with the number `min_sequence`.
        """
        return await self._gather_lists(_CLIENTS_TOPIC, _NameQuery(name, min_sequence), list[ClientInfo])

    async def query_clients(self, query: ClientQuery) -> ClusterResult[list[ClientInfo]]:
        """Return the readers that match the query, in the order that the query requests."""
        result = await self._gather_lists(_CLIENT_PAGE_TOPIC, query, list[ClientInfo])
        return result._replace(value=merge_query_results(result.value, query))

    async def count_audience(self, kind: str, target: str | None) -> ClusterResult[int]:
        """Return the number of readers that receive an event of this kind.

        `target` is the client id or user to which the event is addressed; None addresses all readers.
        """
        return await self._gather_count(_AUDIENCE_TOPIC, _AudienceQuery(target, kind))

    async def find_requests(self, name: str) -> ClusterResult[list[ReaderRequest]]:
        """Return the subscriptions that the readers of one client id or user requested."""
        return await self._gather_lists(_REQUESTS_TOPIC, _NameQuery(name), list[ReaderRequest])

    async def count_token_holders(self, name: str) -> ClusterResult[int]:
        """Return the number of readers that a revocation affects.

        `name` is `user:NAME` for readers with any token of a user, or `token:ID` for readers with one token.
        """
        return await self._gather_count(_TOKEN_HOLDERS_TOPIC, _NameQuery(name))

    async def _gather_lists(
        self, topic: str, query: msgspec.Struct, answer_type: type[list[T]]
    ) -> ClusterResult[list[T]]:
        answer = await self._peers.request_all(topic, encode_json(query))
        items = [item for reply in answer.replies for item in decode_json(reply, answer_type)]
        return ClusterResult(items, answer.missing_count)

    async def _gather_count(self, topic: str, query: msgspec.Struct) -> ClusterResult[int]:
        answer = await self._peers.request_all(topic, encode_json(query))
        return ClusterResult(sum(decode_json(reply, int) for reply in answer.replies), answer.missing_count)

    async def _answer_clients(self, data: bytes) -> bytes:
        query = decode_json(data, _NameQuery)
        await self._wait_briefly_until_applied(query.min_sequence)
        return encode_json(await self._hub_pool.clients(query.name))

    async def _answer_client_page(self, data: bytes) -> bytes:
        return encode_json(await self._hub_pool.select(decode_json(data, ClientQuery)))

    async def _answer_audience(self, data: bytes) -> bytes:
        query = decode_json(data, _AudienceQuery)
        return encode_json(self._hub_pool.count_recipients(query.kind, query.name))

    async def _answer_requests(self, data: bytes) -> bytes:
        name = decode_json(data, _NameQuery).name
        requests: dict[tuple[bool, str | None, Subscription], ReaderRequest] = {}
        for reader in [reader for hub in self._hub_pool for reader in hub.roster.find_readers(name)]:
            key = (reader.identity.client_chosen, reader.identity.user_address, reader.requested)
            if key not in requests:
                requests[key] = _reader_request(reader)
                # Let other tasks run after each reader, because the server needs a fraction of a millisecond to
                # describe a reader with many symbols.
                await asyncio.sleep(0)
        return encode_json([*requests.values()])

    async def _answer_token_holders(self, data: bytes) -> bytes:
        name = decode_json(data, _NameQuery).name
        return encode_json(
            sum(name in _revocation_subjects(reader) for hub in self._hub_pool for reader in hub.roster.channels)
        )

    async def _wait_briefly_until_applied(self, sequence: int) -> None:
        with contextlib.suppress(JournalError, TimeoutError):
            async with asyncio.timeout(_MAX_APPLY_WAIT_S):
                await self._runtime.wait_until_applied(self._hub_pool.live_hub, sequence)


def _reader_request(reader: Reader) -> ReaderRequest:
    return ReaderRequest(reader.identity.client_chosen, reader.identity.rights.user, reader.requested.describe())


def _revocation_subjects(reader: Reader) -> tuple[str | None, str | None]:
    """Return the two names under which an admin can revoke a reader's token: the user, and the id of the token."""
    token = reader.identity.rights.token
    return reader.identity.user_address, None if token is None else TOKEN_PREFIX + token
