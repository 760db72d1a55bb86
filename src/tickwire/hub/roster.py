"""The roster lists the connected readers, and counts closed readers."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from heapq import nsmallest
from itertools import chain
from operator import itemgetter
from typing import NamedTuple

import msgspec

from tickwire.core.close_reasons import CloseReason
from tickwire.core.codec import encode_json
from tickwire.core.event_id import EventId
from tickwire.hub.client_list import ClientInfo, ClientQuery, ClientSortKey
from tickwire.hub.fanout.channel import Channel
from tickwire.hub.fanout.position import HubPosition
from tickwire.hub.fanout.reader import Reader
from tickwire.hub.fanout.screen_shares import ScreenShares

# The number of readers that a query checks before other tasks run. These checks take about two milliseconds.
_READERS_PER_TURN = 1_000
# The number of readers that one turn describes. If each has a different list of 1,000 symbols, this takes about 5 ms.
_DESCRIPTIONS_PER_TURN = 128


class _ReaderProgress(NamedTuple):
    """The values by which the client list can sort a reader."""

    position: int
    behind: int
    conflated: int
    stalls: int
    gaps: int
    since: int
    # The rank for a list in the order of client ids. All readers have the same rank. So the next part of the sort key,
    # the client id, determines the order.
    id: int = 0


class Roster:
    """The connected readers and their channels, with an index by client id and by user.

    Other classes may read `channels`. Only `add`, `move` and `remove` may change `channels`.
    """

    def __init__(self, head: HubPosition) -> None:
        self.screen_shares = ScreenShares()
        self.channels: dict[Reader, Channel] = {}
        self.opened_count = 0
        self.closed_by_reason = Counter[str]()
        self._head = head
        # Most addresses have one reader. This reader is stored without a dict, which saves 0.2 KB. Several readers are
        # stored in a dict, because all readers may share one address, and removal from a long list would be slow.
        self._readers_by_address: dict[str, Reader | dict[Reader, None]] = {}

    def __len__(self) -> int:
        return len(self.channels)

    def __contains__(self, address: str) -> bool:
        return address in self._readers_by_address

    def add(self, reader: Reader, channel: Channel) -> None:
        self.move(reader, channel)
        for address in reader.identity.addresses:
            self._index(address, reader)
        self.opened_count += 1

    def move(self, reader: Reader, channel: Channel) -> None:
        """Assign the reader to another channel. The caller decrements `reader_count` of the old channel."""
        old = self.channels.get(reader)
        self.screen_shares.add(reader.identity.bearer, channel.subscription)
        if old is not None:
            self.screen_shares.remove(reader.identity.bearer, old.subscription)
        channel.reader_count += 1
        self.channels[reader] = channel

    def remove(self, reader: Reader) -> Channel:
        """Remove a closed reader, and decrement `reader_count` of its channel. Return the channel."""
        for address in reader.identity.addresses:
            self._unindex(address, reader)
        channel = self.channels.pop(reader)
        self.screen_shares.remove(reader.identity.bearer, channel.subscription)
        channel.reader_count -= 1
        self.closed_by_reason[(reader.close_reason or CloseReason.LOST).value] += 1
        return channel

    def find_readers(self, address: str | None) -> Iterable[Reader]:
        """Return the readers of a client id or of a user (`user:NAME`). If the argument is None, return all readers."""
        if address is None:
            return self.channels
        readers = self._readers_by_address.get(address, ())
        return (readers,) if isinstance(readers, Reader) else tuple(readers)

    async def describe_clients(self, address: str | None = None) -> list[ClientInfo]:
        """Return a description of each reader with a client id, or of each reader of a user (`user:NAME`).

        If `address` is None, describe all readers. Other tasks can run while the method describes the readers.
        """
        return await self._describe_all([*self.find_readers(address)])

    async def query_clients(self, query: ClientQuery) -> list[ClientInfo]:
        """Return a description of each reader that matches the query, in the order of the query.

        Other tasks can run while the method checks the readers. The result has fewer than `query.limit` readers only if
        no other reader matches.
        """
        clients = list[ClientInfo]()
        # A selected reader may close before its description. Later readers then fill the page.
        while missing := query.limit - len(clients):
            selected = await self._select(query, missing)
            clients += await self._describe_all([reader for _, reader in selected])
            if len(selected) < missing:
                break
            query = msgspec.structs.replace(query, after=selected[-1][0])
        return clients

    async def _select(self, query: ClientQuery, limit: int) -> list[tuple[ClientSortKey, Reader]]:
        """Return the first `limit` readers that match the query, with their sort keys."""
        selected: list[tuple[ClientSortKey, Reader]] = []
        readers = list(self.channels)
        for begin in range(0, len(readers), _READERS_PER_TURN):
            matches = self._match_readers(readers[begin : begin + _READERS_PER_TURN], query)
            selected = nsmallest(limit, chain(selected, matches), key=itemgetter(0))
            await asyncio.sleep(0)
        return selected

    def _match_readers(self, readers: Iterable[Reader], query: ClientQuery) -> Iterator[tuple[ClientSortKey, Reader]]:
        for reader in readers:
            # Check again, because the reader may have closed while another task ran.
            if reader in self.channels:
                rank = -getattr(self._progress(reader), query.sort)
                sort_key = ClientSortKey(rank, reader.identity.client_id, reader.identity.connected_at_us)
                if query.matches(sort_key, reader.identity.rights.user):
                    yield sort_key, reader

    def _index(self, address: str, reader: Reader) -> None:
        readers = self._readers_by_address.setdefault(address, reader)
        if isinstance(readers, dict):
            readers[reader] = None
        elif readers is not reader:
            self._readers_by_address[address] = {readers: None, reader: None}

    def _unindex(self, address: str, reader: Reader) -> None:
        readers = self._readers_by_address[address]
        if isinstance(readers, dict):
            del readers[reader]
        if not readers or readers is reader:
            del self._readers_by_address[address]

    async def _describe_all(self, readers: Sequence[Reader]) -> list[ClientInfo]:
        """Describe each of these readers that is still connected."""
        clients, encoded = list[ClientInfo](), dict[Channel, msgspec.Raw]()
        for number, reader in enumerate(readers, 1):
            # Other tasks may have removed the reader.
            if reader in self.channels:
                clients.append(self._describe(reader, encoded))
            if number % _DESCRIPTIONS_PER_TURN == 0:
                await asyncio.sleep(0)
        return clients

    def _describe(self, reader: Reader, encoded: dict[Channel, msgspec.Raw]) -> ClientInfo:
        """Describe a reader. `encoded` caches the encoded subscriptions of channels."""
        channel, progress = self.channels[reader], self._progress(reader)
        if channel not in encoded:
            encoded[channel] = msgspec.Raw(encode_json(channel.subscription.describe()))
        return ClientInfo(
            id=reader.identity.client_id,
            user=reader.identity.rights.user,
            since=progress.since,
            subscription=encoded[channel],
            position=str(EventId(self._head.epoch, progress.position)),
            behind=progress.behind,
            live=reader.is_live,
            stalls=progress.stalls,
            conflated=progress.conflated,
            gaps=progress.gaps,
            compression=reader.encoder.coding.name,
        )

    def _progress(self, reader: Reader) -> _ReaderProgress:
        channel, head = self.channels[reader], self._head.sequence
        position, skipped_by_pacing = reader.position, 0
        if reader in channel.live_readers:
            position = channel.position if channel.is_paced else head
            skipped_by_pacing = channel.skipped_quotes - reader.channel_skipped_at_join
        return _ReaderProgress(
            position=position,
            behind=0 if reader.is_live else head - position,
            conflated=reader.conflated_quotes + skipped_by_pacing,
            stalls=reader.stalls,
            gaps=reader.gaps,
            since=reader.identity.connected_at_us,
        )
