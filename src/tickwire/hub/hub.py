"""The hub: from applied events to every reader that wants them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from tickwire.core.codec import decode, encode
from tickwire.core.event import Entry, Record
from tickwire.hub.applied import AppliedNamed, apply, aside
from tickwire.hub.candling import Candling
from tickwire.hub.catchup import CatchUp
from tickwire.hub.controller import Controller
from tickwire.hub.flow import Flow
from tickwire.hub.forming import Forming
from tickwire.hub.head import Head
from tickwire.hub.outlet import Outlets
from tickwire.hub.pacer import Pacer
from tickwire.hub.past import Past, Source
from tickwire.hub.reader import Reader, Who
from tickwire.hub.recent import Recent
from tickwire.hub.roster import Roster
from tickwire.hub.router import Router
from tickwire.hub.saved import Saved, pack_saved
from tickwire.hub.sink import Sink
from tickwire.hub.start import Gap, History, Start
from tickwire.hub.state import StateFrames
from tickwire.hub.subscription import Subscription
from tickwire.hub.tally import Tally
from tickwire.market.board import Board
from tickwire.market.candles import Candles
from tickwire.sse.coding import IDENTITY, Coding
from tickwire.sse.frame import comment, frame

RECENT_EVENTS = 50_000  # some 20 MB with every frame made; a second of a busy market, minutes of a usual one


class HubStats(NamedTuple):
    """What the hub counted since it was made. `deliveries` are events handed to sinks of live readers.

    `conflated` are quotes that readers were not sent because a newer one was there first: slow readers, and paced ones.
    """

    readers: int
    live: int
    channels: int
    events: int
    ticks: int
    deliveries: int
    bytes: int  # that readers were sent
    stalls: int
    conflated: int
    gaps: int
    unreadable: int  # of those, because the journal could not read what it holds
    opened: int
    closed: dict[str, int]  # by reason
    changed: int  # subscriptions that are not what their readers came with
    kept: int  # subscriptions put down for streams to name
    revoked: int  # users and tokens
    spared: int  # bytes that readers were not sent, because of compression


class Hub:
    """Takes the journal's records in order, and keeps every reader supplied.

    Everything here happens on one event loop, and between two calls nothing is pending: a live reader has been written
    everything up to `head`. `start_at` is the sequence number that `board` already stands at, and that `saved` is of.
    `candles` are those of the same events: whoever calls `apply` lets them take each record first.
    `lifetime` is how many seconds readers may stay (0: for ever), each a tenth more or less, so that they do not all
    come back at once. A hub that is behind the market on purpose has the one at its head as `leader`: what is done to
    readers from outside does not wait.
    """

    def __init__(
        self,
        board: Board,
        epoch: str,
        source: Source,
        *,
        make_board: Callable[[], Board] = Board,
        start_at: int = 0,
        saved: Saved | None = None,
        candles: Candles | None = None,
        recent_events: int = RECENT_EVENTS,
        lifetime: float = 0.0,
        leader: Hub | None = None,
    ) -> None:
        self.board = board
        self.head = Head(epoch, start_at)
        self.roster = Roster(self.head)
        self._prefix = self.head.prefix
        self._tally = Tally()
        self._router = Router(board, self.head, self._tally)
        self._router.extend(board.symbols)
        self._state = StateFrames(board, self._prefix)
        self._recent = Recent(recent_events, start_at)
        self._past = Past(source, self._prefix, board, make_board)
        forming = Forming(board, Candles() if candles is None else candles)
        self._catch_up = CatchUp(
            self.head, self._state, self._recent, self._past, forming,
            router=self._router, channels=self.roster.channels,
        )  # fmt: skip
        self._candling = Candling(self.head, forming, self._router.candles)
        self._pacer = Pacer(self.head, self._catch_up, forming, self._tally)
        self._outlets = Outlets()
        above = None if leader is None else leader.control
        self.control: Controller = Controller(self.head, self.roster, self._router, lifetime, above)
        self._flow = Flow(self.roster, self._router, self._state, self._candling, self.control, self._tally)
        if saved is not None:
            self.control.ledger.restore(saved)
        self._halted = [] if saved is None else saved.halted
        self._events = 0
        self._moved = asyncio.Event()

    def apply(self, records: Iterable[Record], now: float) -> None:
        """Take the next records: board, channels, and out to the live readers. `now` is monotonic, in seconds."""
        for record in records:
            item = apply(self.board, self._prefix, record)
            self._recent.add(item)
            self._events += record.count
            self._flow.make_way(item, now)
            self.head.sequence = record.last
            self._flow.give(item, now)
        self._flow.flush(now)
        self._moved.set()

    async def reach(self, sequence: int) -> None:
        """Wait until everything up to `sequence` was applied."""
        await self.until(lambda: self.head.sequence >= sequence)

    async def until(self, reached: Callable[[], bool]) -> None:
        """Wait until this holds, which only records that are applied can bring about."""
        while not reached():
            self._moved.clear()
            await self._moved.wait()

    def announce(self, entry: Entry, now: float) -> None:
        """Tell who takes such events something that this process knows and no journal holds: it has no id.

        Who comes later gets it in place of what was said of its kind before. `now` is monotonic, in seconds.
        """
        item = aside(entry, self.head.sequence)
        self._state.announce(item)
        self._write_all(item, now)

    def retract(self, entry: Entry, now: float) -> None:
        """What was announced of this kind holds no longer: tell what the journal said last, or else `entry`."""
        item = aside(entry, self.head.sequence)
        self._write_all(self._state.retract(item.kind) or item, now)

    def history(self) -> History:
        """What a reader that comes now can start from."""
        return History(self.head.epoch, min(self._past.first, self.head.sequence + 1), self.head.sequence)

    def save(self, candles: bytes = b"") -> bytes:
        """All that was learned from the events up to `head`; `candles` go with it."""
        return pack_saved(self.control.ledger.save(self.board.save(), candles, self.halted))

    @property
    def halted(self) -> list[str]:
        """The symbols that do not trade, as the newest status says."""
        status = self._state.newest("status")
        if status is not None:
            self._halted = decode(bytes(status.named.data), dict[str, Any]).get("halted", [])
        return self._halted

    def admits(self, asked: Subscription, start: Start, who: Who) -> bool:
        """Whether there is room for what the filter costs of a reader that asks so."""
        wanted = who.rights.narrowed(asked) if start.resume is None else self._in_force(asked, start, who)[0]
        return self.has_room(wanted)

    def has_room(self, subscription: Subscription) -> bool:
        """Whether there is room for what its filter costs."""
        return subscription.screen is None or self._router.screening.admits(subscription.screen)

    def _in_force(self, asked: Subscription, start: Start, who: Who) -> tuple[Subscription, bool]:
        """What a reader that asks so gets within its rights, and whether it has not seen all of that where it starts.

        That is what its subscription was changed to: by somebody this moment, where it starts anew.
        """
        now, at = self.control.ledger.changes.newest(who.client_id, who.user, asked)
        return who.rights.narrowed(now), start.resume is not None and start.position < at

    def open(self, asked: Subscription, start: Start, who: Who, sink: Sink, *, coding: Coding = IDENTITY) -> Reader:
        """A new reader. It gets nothing until `run`; `close` must follow in any case. ScreensFull: see `admits`."""
        subscription, owes = self._in_force(asked, start, who)
        channel = self._router.channel(subscription)
        reader = Reader(
            channel,
            who,
            sink,
            asked=channel.subscription if asked == channel.subscription else asked,
            outlet=self._outlets.of(coding, framed=sink.framed),
            position=start.position,
            snapshot=start.snapshot,
        )
        reader.opened_at = self.head.sequence if start.snapshot else start.position
        if start.resume is None and start.position == self.head.sequence:
            reader.formed = self.head.sequence  # it wants nothing but what comes
        if owes:
            reader.owed = self._router.rows(channel)
        self.roster.add(reader, channel)
        return reader

    async def run(self, reader: Reader, gap: Gap | None = None) -> str:
        """Keep the reader supplied until its stream is to end; answers why. `gap` is told to it first."""
        self.control.admit(reader)
        arrived = False
        while await reader.ready():
            if gap is not None:
                reader.gaps += 1
                self._tally.gaps += 1
                reader.write(frame(encode(gap), event="gap"))
            channel = self.roster.channels[reader]
            if arrived and self._pacer.at_hand(reader, channel):
                channel.join(reader)
            else:
                gap = await self._catch_up.bring(reader)
            arrived = True
            if gap is None:
                await reader.interrupted()
        return reader.closing or ""

    def close(self, reader: Reader) -> None:
        """The reader is gone; its channel goes with the last one."""
        reader.end("lost")
        self.roster.channels[reader].settle(reader)
        self.control.tidy(self.roster.remove(reader))

    def audience(self, kind: str, target: str | None) -> int:
        """How many readers that are here now take an event of this kind that is for `target` (None: for all)."""
        return sum(kind in self.roster.channels[reader].subscription.events for reader in self.roster.named(target))

    def beat(self, now: float, ts: int, silence: float) -> None:
        """Write a heartbeat to the live readers of each channel that was silent for `silence` seconds.

        `now` is monotonic in seconds, `ts` wall time in microseconds.
        """
        beat = comment(f"hb {ts} {self.head}")
        for channel in self._router.channels.values():
            if channel.written_at is None:
                channel.written_at = now
            elif (channel.live or channel.arriving) and now - channel.written_at >= silence:
                channel.tell(beat, now)

    def pace(self, now: float) -> float:
        """Flush the paced channels that are due, and show forming candles; the seconds until the next call is due.

        `now` is monotonic, in seconds.
        """
        self._candling.show(now)
        return self._pacer.run(self._router.paced, now)

    def stats(self) -> HubStats:
        """The counts so far."""
        tally = self._tally
        return HubStats(
            readers=len(self.roster),
            live=sum(len(channel.live) for channel in self._router.channels.values()),
            channels=len(self._router.channels),
            events=self._events,
            ticks=tally.of(None),
            deliveries=tally.delivered,
            bytes=self._outlets.sent,
            stalls=tally.stalls,
            conflated=tally.conflated,
            gaps=tally.gaps,
            unreadable=self._catch_up.unreadable,
            opened=self.roster.opened,
            closed=dict(self.roster.closed),
            changed=len(self.control.ledger.changes),
            kept=len(self.control.ledger.kept),
            revoked=len(self.control.ledger.revoked),
            spared=self._outlets.saved,
        )

    def _write_all(self, item: AppliedNamed, now: float) -> None:
        """An event without its id, at once to all who take its kind."""
        for channel in self._router.channels.values():
            if item.kind in channel.subscription.events:
                channel.tell(item.bare, now)
