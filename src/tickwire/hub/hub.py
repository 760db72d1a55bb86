"""The hub: from applied events to every reader that wants them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import uniform
from typing import Any, NamedTuple

import msgspec

from tickwire.core.codec import encode
from tickwire.core.event import Record
from tickwire.core.ids import EventId
from tickwire.core.quote import Fields
from tickwire.hub.applied import Applied, AppliedNamed, AppliedQuotes, apply
from tickwire.hub.catchup import CatchUp
from tickwire.hub.channel import Channel
from tickwire.hub.head import Head
from tickwire.hub.pacer import Pacer
from tickwire.hub.past import Past, Source
from tickwire.hub.reader import Reader
from tickwire.hub.recent import Recent
from tickwire.hub.router import Plan, Router
from tickwire.hub.sink import Sink
from tickwire.hub.start import Gap, History, Start
from tickwire.hub.state import StateFrames
from tickwire.hub.subscription import Subscription
from tickwire.market.board import Board
from tickwire.sse.frame import comment, frame

RECENT_EVENTS = 50_000  # some 20 MB with every frame made; a second of a busy market, minutes of a usual one


class HubStats(NamedTuple):
    """What the hub counted since it was made. `deliveries` are events handed to sinks of live readers."""

    readers: int
    live: int
    channels: int
    events: int
    deliveries: int
    stalls: int
    gaps: int
    opened: int
    closed: dict[str, int]  # by reason


class Client(msgspec.Struct, frozen=True):
    """One connected reader. `position` is the id up to which it has everything that it asked for."""

    id: str
    subscription: dict[str, Any]
    position: str
    live: bool
    stalls: int


class Hub:
    """Takes the journal's records in order, and keeps every reader supplied.

    Everything here happens on one event loop, and between two calls nothing is pending: a live reader has been written
    everything up to `head`. `start_at` is the sequence number that `board` already stands at;
    `lifetime` how many seconds readers may stay (0: for ever), each a tenth more or less, so that they do not all
    come back at once.
    """

    def __init__(
        self,
        board: Board,
        epoch: str,
        source: Source,
        *,
        make_board: Callable[[], Board] = Board,
        start_at: int = 0,
        recent_events: int = RECENT_EVENTS,
        lifetime: float = 0.0,
    ) -> None:
        self.board = board
        self.head = Head(epoch, start_at)
        self._prefix = self.head.prefix
        self._router = Router(self.head)
        self._router.extend(board.symbols)
        self._state = StateFrames(board, self._prefix)
        self._recent = Recent(recent_events, start_at)
        self._past = Past(source, self._prefix, make_board)
        self._catch_up = CatchUp(self.head, self._state, self._recent, self._past)
        self._pacer = Pacer(self.head, self._catch_up)
        self.readers: dict[Reader, Channel] = {}
        self._clients: dict[str, tuple[Reader, ...]] = {}  # by client id: usually one
        self._now = 0.0
        self._lifetime = lifetime
        self.ending = False  # whether everybody was sent away
        self._dirty: set[Channel] = set()
        self._events = self._deliveries = self._stalls = self._gaps = self._opened = 0
        self._closed: dict[str, int] = {}

    def apply(self, records: Iterable[Record], now: float) -> None:
        """Take the next records: board, channels, and out to the live readers. `now` is monotonic, in seconds."""
        self._now = now
        for record in records:
            item = apply(self.board, self._prefix, record)
            self._recent.add(item)
            self._events += record.count
            self.head.sequence = record.last
            self._route(item)
        for channel in self._dirty:
            self._deliveries += channel.flush(now)
        self._dirty.clear()

    def history(self) -> History:
        """What a reader that comes now can start from."""
        return History(self.head.epoch, min(self._past.first, self.head.sequence + 1), self.head.sequence)

    def open(self, subscription: Subscription, start: Start, client_id: str, sink: Sink) -> Reader:
        """A new reader. It gets nothing until `run`; `close` must follow in any case."""
        channel = self._router.channel(subscription)
        channel.readers += 1
        reader = Reader(channel, client_id, sink, position=start.position, snapshot=start.snapshot)
        reader.opened_at = self.head.sequence
        self.readers[reader] = channel
        self._clients[client_id] = (*self._clients.get(client_id, ()), reader)
        self._opened += 1
        return reader

    async def run(self, reader: Reader, gap: Gap | None = None) -> str:
        """Keep the reader supplied until its stream is to end; answers why. `gap` is told to it first."""
        channel = self.readers[reader]
        arrived = False
        while await reader.ready():
            if gap is not None:
                self._gaps += 1
                reader.write(frame(encode(gap), event="gap"))
            if arrived and self._pacer.at_hand(reader, channel):
                channel.join(reader)
            else:
                gap = await self._catch_up.bring(reader, channel)
            arrived = True
            if gap is None:
                await reader.interrupted()
        return reader.closing or ""

    def close(self, reader: Reader) -> None:
        """The reader is gone; its channel goes with the last one."""
        reader.end("lost")
        channel = self.readers.pop(reader)
        others = tuple(other for other in self._clients.pop(reader.client_id) if other is not reader)
        if others:
            self._clients[reader.client_id] = others
        channel.readers -= 1
        if not channel.readers:
            self._router.drop(channel)
        self._stalls += reader.stalls
        reason = reader.closing or ""
        self._closed[reason] = self._closed.get(reason, 0) + 1

    def end_all(self, reason: str, retry_of: Callable[[], int]) -> None:
        """Say `bye` to every reader and let its stream end; `retry_of` gives each its time to come back, in ms."""
        self.ending = True
        for reader in list(self.readers):
            self._dismiss(reader, reason, retry_of())

    def evict(self, client_id: str, retry_ms: int) -> int:
        """Say `bye` to the readers with this client id and let their streams end; answers how many those were."""
        readers = self._clients.get(client_id, ())
        for reader in readers:
            self._dismiss(reader, "evicted", retry_ms)
        return len(readers)

    def retire(self, now: float, retry_of: Callable[[], int]) -> None:
        """Say `bye` to the readers whose time is up. `now` is monotonic, in seconds."""
        if not self._lifetime:
            return
        for reader in self.readers:
            if not reader.expires:
                reader.expires = now + self._lifetime * uniform(0.9, 1.1)  # noqa: S311  # spreads load
            elif reader.expires <= now:
                self._dismiss(reader, "lifetime", retry_of())

    def audience(self, kind: str, target: str | None) -> int:
        """How many readers that are here now take an event of this kind that is for `target` (None: for all)."""
        return sum(kind in self.readers[reader].subscription.events for reader in self._known_as(target))

    def clients(self, client_id: str | None = None) -> list[Client]:
        """Who is connected: all, or those with one client id."""
        return [self._describe(reader) for reader in self._known_as(client_id)]

    def beat(self, now: float, ts: int, silence: float) -> None:
        """Write a heartbeat to the live readers of each channel that was silent for `silence` seconds.

        `now` is monotonic in seconds, `ts` wall time in microseconds.
        """
        beat = comment(f"hb {ts} {self.head}")
        for channel in self._router.channels.values():
            if channel.written_at is None:
                channel.written_at = now
            elif (channel.live or channel.arriving) and now - channel.written_at >= silence:
                channel.write(beat, now)
                for reader in channel.arriving:
                    reader.write(beat)

    def pace(self, now: float) -> float:
        """Flush the paced channels that are due; the seconds until this should be called again. `now` is monotonic."""
        events, wait = self._pacer.run(self._router.paced, now)
        self._deliveries += events
        return wait

    def stats(self) -> HubStats:
        """The counts so far."""
        return HubStats(
            readers=len(self.readers),
            live=sum(len(channel.live) for channel in self._router.channels.values()),
            channels=len(self._router.channels),
            events=self._events,
            deliveries=self._deliveries,
            stalls=self._stalls + sum(reader.stalls for reader in self.readers),
            gaps=self._gaps,
            opened=self._opened,
            closed=dict(self._closed),
        )

    def _known_as(self, client_id: str | None) -> Iterable[Reader]:
        return self.readers if client_id is None else self._clients.get(client_id, ())

    def _dismiss(self, reader: Reader, reason: str, retry_ms: int) -> None:
        if reader.closing is None:
            data: dict[str, Any] = {"reason": reason, "reconnect_in_ms": retry_ms}
            reader.write(frame(encode(data), event="bye", retry=retry_ms))
        reader.end(reason)

    def _describe(self, reader: Reader) -> Client:
        channel = self.readers[reader]
        position = reader.position
        if reader in channel.live:
            position = channel.position if channel.paced else self.head.sequence
        return Client(
            id=reader.client_id,
            subscription=channel.subscription.describe(),
            position=str(EventId(self.head.epoch, position)),
            live=reader.live,
            stalls=reader.stalls,
        )

    def _tell(self, reader: Reader, item: AppliedNamed) -> None:
        """An event for one reader of a channel, between what the channel writes to all."""
        channel = self.readers[reader]
        if not reader.live or item.kind not in channel.subscription.events:
            return  # catch-up will find it, or it is not wanted
        if channel.paced:
            channel.leave(reader)
            channel.join(reader)  # its next flush is one of its own
            return
        self._deliveries += channel.flush(self._now)
        if reader in channel.live:
            reader.write(item.frame)
            self._deliveries += 1
        else:
            reader.position = item.first - 1  # the flush has filled it: it has all before this event

    def _route(self, item: Applied) -> None:
        if isinstance(item, AppliedQuotes):
            self._route_quotes(item)
        else:
            self._route_named(item)

    def _route_quotes(self, item: AppliedQuotes) -> None:
        self._router.extend(self.board.symbols)
        for fields, plan in self._router.plans.items():
            self._route_planned(item, fields, plan)

    def _route_planned(self, item: AppliedQuotes, fields: Fields, plan: Plan) -> None:
        dirty, routes = self._dirty, plan.routes
        if plan.everything:
            frames = item.all_frames(fields)
            for channel in plan.everything:
                channel.pending += frames
            dirty.update(plan.everything)
        wanted = [place for place, row in enumerate(item.rows) if routes[row]]
        for place, one in zip(wanted, item.frames(wanted, fields), strict=True):
            channels = routes[item.rows[place]]
            for channel in channels:
                channel.pending.append(one)
            dirty.update(channels)

    def _route_named(self, item: AppliedNamed) -> None:
        self._state.keep(item)
        if item.target is not None:
            for reader in self._clients.get(item.target, ()):
                self._tell(reader, item)
            return
        for channel in self._router.channels.values():
            if item.kind not in channel.subscription.events:
                continue
            if channel.paced:
                channel.named.append(item)
            else:
                channel.pending.append(item.frame)
                self._dirty.add(channel)
