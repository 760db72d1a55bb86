"""The one catch-up: from "I have seen everything up to event k" to live.

A new reader has seen nothing, a returning one has its last id, and a slow one stands where its socket filled up; all
three come through here. Newest-only readers get the newest quote of each symbol that changed since k, in the order of
ids; readers of everything get every event since k. Forming candles come last, because they are as of the head and have
no ids. All of it is made in pieces while it is sent: a reader that halts half-way holds none of it.

A reader of a paced channel then waits for the channel's flush, where all of its readers stand at one place, and that
brings it what has changed meanwhile (`pacer.py`). Catch-up cannot do that last step: it goes to the head, so that who
has just come sees the present, and the channel is at the head only while it is flushed.

A reader whose subscription was changed comes through here too. First it is given the quotes that the change owes it, as
far as they are no newer than k, and without ids, because ids do not go back; the newer ones come as changed since k.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tickwire.core.codec import encode
from tickwire.errors import JournalAway, JournalError, JournalExpired
from tickwire.hub.applied import Applied, AppliedNamed
from tickwire.hub.backlog import Backlog
from tickwire.hub.channel import Channel, Numbered
from tickwire.hub.forming import Forming
from tickwire.hub.head import Head
from tickwire.hub.past import Past
from tickwire.hub.pieces import Piece, Pieces
from tickwire.hub.reader import Reader
from tickwire.hub.recent import Recent
from tickwire.hub.router import Router
from tickwire.hub.screening import entered_frames, left_frames, matches_frame
from tickwire.hub.start import Gap, Reason
from tickwire.hub.state import StateFrames
from tickwire.sse.frame import frame, unnumbered

log = logging.getLogger(__name__)

_PIECE = 16  # events written at once, some 5 KB: a slow reader takes them while they are still fresh
_MOST_ITEMS = 64  # records looked at in one step
_AWAY_SECONDS = 0.25  # between two tries, while the journal cannot be reached

Rows: TypeAlias = NDArray[np.intp]


class CatchUp:
    """Brings readers that are behind to the head and into their channel; `channels` tells each reader's."""

    def __init__(
        self,
        head: Head,
        state: StateFrames,
        recent: Recent,
        past: Past,
        forming: Forming,
        *,
        router: Router,
        channels: Mapping[Reader, Channel],
    ) -> None:
        self._head = head
        self._state = state
        self._recent = recent
        self._past = past
        self._forming = forming
        self._pieces = Pieces(head)
        self._backlog = Backlog(head, state, recent, past, channels)
        self._router = router
        self._channels = channels
        self.unreadable = 0  # gaps because the journal could not be read where it should

    async def bring(self, reader: Reader) -> Gap | None:
        """Write what the reader misses until it is live or closing. A gap that opened meanwhile is the answer.

        While the journal cannot be reached it waits: the reader stays, and goes on from where it stands.
        """
        while True:
            try:
                return await self._bring(reader)
            except JournalAway:
                if not await reader.ready():
                    return None
                await asyncio.sleep(_AWAY_SECONDS)

    async def _bring(self, reader: Reader) -> Gap | None:
        try:
            if self._channels[reader].subscription.delivery == "latest":
                await self._bring_latest(reader)
            else:
                await self._bring_all(reader)
        except JournalAway:  # that is no gap: it will be there again
            raise
        except JournalExpired:
            return self._gap(reader, "expired")
        except JournalError as error:
            self.unreadable += 1
            log.error("the events after %d cannot be read, and a reader is not given them: %s", reader.position, error)
            return self._gap(reader, "unreadable")
        return None

    def changes(self, channel: Channel, after: int, named: Sequence[Numbered]) -> tuple[list[bytes], int]:
        """The newest quotes of the channel that came after `after`, and the named events given, in the order of ids.

        Also how many of those are quotes.
        """
        rows = self._changed(channel, after)
        return self._merged(channel, rows, named), len(rows)

    def flushed(self, channel: Channel) -> tuple[list[bytes], int]:
        """What a paced channel has to send since its last flush, and how many of that are quotes."""
        if not channel.tells:
            return self.changes(channel, channel.position, channel.named)
        before, now = channel.members, self.note(channel)
        quotes = self._changed(channel, channel.position).tolist()
        rows = [*{*quotes, *(now ^ before)}]
        frames = dict(zip(rows, self._state.frames(rows, channel.subscription.fields), strict=True))
        board = self._state.board
        pieces = [
            (int(board.sequences[row]), b"".join(_crossed(channel, row, board.symbols[row], frames[row], before)))
            for row in rows
        ]
        pieces += [(item.first, item.frame) for item in channel.named]
        return [piece for _, piece in sorted(pieces)], len(quotes)

    def note(self, channel: Channel) -> frozenset[int]:
        """Note the rows in a paced channel's screen, and answer them."""
        channel.members = frozenset(self._router.rows(channel).tolist())
        return channel.members

    def matches(self, channel: Channel) -> bytes:
        """The `matches` event of the channel's screen now; nothing where it wants none."""
        if not channel.tells:
            return b""
        symbols = self._state.board.symbols
        return matches_frame(channel, [symbols[row] for row in self._router.rows(channel).tolist()])

    def at_hand(self, reader: Reader) -> list[Numbered] | None:
        """The events beside quotes that the reader has not seen; None where that takes a look into the journal."""
        return self._backlog.at_hand(reader)

    async def _bring_latest(self, reader: Reader) -> None:
        told = None
        while await reader.ready():
            if self._pay(reader):
                continue
            if told is None:
                told = self._tell_matches(reader)
                continue
            if await self._advance(reader, self._head.sequence):
                continue
            channel = self._channels[reader]
            if reader.position == self._head.sequence and not self._tell_forming(reader, channel):
                if self.matches(channel) == told:
                    channel.join(reader)
                    return
                told = None

    async def _advance(self, reader: Reader, to: int) -> bool:
        """Write the next of what is newest as of `to` at most, where the reader then stands; whether there was any."""
        due = await self._backlog.next(reader, _PIECE)
        if reader.owed is not None:  # changed while the journal was read
            return True
        channel, upto = self._channels[reader], min(due.upto, to)
        piece = self._pieces.at(channel, reader.position, upto)
        if piece is None:
            piece = self._newest(channel, reader.position, upto)
            self._pieces.keep(channel, reader.position, upto, piece)
        events = [event for event in due.events if event.first <= piece.upto]
        if events:
            piece = self._newest(channel, reader.position, upto, events)
        reader.position = piece.upto
        reader.snapshot = reader.snapshot and piece.upto < reader.opened_at
        reader.sent += piece.quotes
        if piece.body:
            reader.write(piece.body)
        return bool(piece.body)

    def _newest(self, channel: Channel, after: int, upto: int, events: Sequence[Numbered] = ()) -> Piece:
        """The first of what is newest after `after`, up to `upto` at most, and the events that belong in between."""
        rows, upto = self._piece(self._newer(channel, after), upto)
        return Piece(b"".join(self._merged(channel, rows, events)), upto, len(rows))

    async def _bring_all(self, reader: Reader) -> None:
        told = None
        while await reader.ready():
            if self._pay(reader):
                continue
            if told is None:
                told = self._tell_matches(reader)
                continue
            if reader.snapshot:  # as of when it came: of what came since it gets everything
                await self._advance(reader, reader.opened_at)
                continue
            piece = await self._next(reader)
            if piece is not None:
                reader.position = piece.upto
                if piece.body and await reader.ready():
                    reader.write(piece.body)
            elif not self._tell_forming(reader, self._channels[reader]):
                if self.matches(self._channels[reader]) == told:
                    self._channels[reader].join(reader)
                    return
                told = None

    async def _next(self, reader: Reader) -> Piece | None:
        """What a reader of every event is to get next; None where it has it all."""
        piece = self._pieces.at(self._channels[reader], reader.position)
        if piece is not None:
            return piece
        items = self._recent.after(reader.position, _MOST_ITEMS)
        if items is None:
            items = await self._past.after(reader.position, self._head.sequence)
        elif not items:
            return None
        return self._first(items, reader)

    def _first(self, items: Sequence[Applied], reader: Reader) -> Piece:
        """The first of the items' events that the reader is still to get."""
        channel, upto, frames = self._channels[reader], reader.position, list[bytes]()
        shared = True
        for item in items:
            if len(frames) >= _PIECE:
                break
            if isinstance(item, AppliedNamed):
                frames += [item.frame] * (item.first > upto and item.is_for(channel, reader.who))
                upto, shared = item.last, shared and item.target is None
            else:
                found, upto = item.wanted(channel, upto, _PIECE - len(frames))
                frames += found
        piece = Piece(b"".join(frames), upto)
        if shared and upto > reader.position:
            self._pieces.keep(channel, reader.position, None, piece)
        return piece

    def _tell_matches(self, reader: Reader) -> bytes:
        """Write the reader the whole set of its screen, if it has one; answers what it knows now."""
        matches = self.matches(self._channels[reader])
        if matches:
            reader.write(matches)
        return matches

    def _tell_forming(self, reader: Reader, channel: Channel) -> bool:
        """Write some of the forming candles that have changed since the reader was given them; whether any had."""
        if not channel.candles:
            return False
        rows = self._forming.changed(channel, reader.formed)
        piece = rows[:_PIECE].tolist()
        frames = b"".join(self._forming.frames(piece, channel.candles))
        reader.formed = self._head.sequence if len(rows) <= _PIECE else self._forming.sequence(piece[-1])
        if frames:
            reader.write(frames)
        return bool(piece)

    def _pay(self, reader: Reader) -> bool:
        """Write some of the quotes that a change of its subscription owes the reader; whether there was a change.

        After the last one it is told that the change is in force.
        """
        if reader.owed is None:
            return False
        channel = self._channels[reader]
        rows, reader.owed = self._due(channel, reader.owed, reader.position)
        if len(rows):
            frames = self._state.frames(rows.tolist(), channel.subscription.fields)
            reader.write(b"".join(map(unnumbered, frames)))
        else:
            reader.owed = None
            reader.write(frame(encode(channel.subscription.describe()), event="subscription"))
        return True

    def _due(self, channel: Channel, owed: Rows, position: int) -> tuple[Rows, Rows]:
        """The next rows whose quotes the channel takes and that are no newer than `position`, and those after them."""
        sequences, rows = self._state.board.sequences, owed[:0]
        while not len(rows) and len(owed):
            rows, owed = owed[:_PIECE], owed[_PIECE:]
            rows = rows[sequences[rows] <= position]
            if channel.screen is not None:
                rows = rows[np.isin(rows, self._router.rows(channel))]
        return rows, owed

    def _gap(self, reader: Reader, reason: Reason) -> Gap:
        """The journal does not give what the reader needs next: tell it, and start anew from the current state."""
        head = self._head
        gap = Gap(f"{head.epoch}-{reader.position}", str(head), reason)
        reader.snapshot, reader.opened_at = True, head.sequence
        return gap

    def _changed(self, channel: Channel, after: int) -> Rows:
        """The board rows of the channel whose newest quote came after `after`, oldest change first."""
        return self._in_order(self._newer(channel, after))

    def _newer(self, channel: Channel, after: int) -> Rows:
        """The same in any order."""
        if "quote" not in channel.subscription.events:
            return np.empty(0, np.intp)
        rows = self._router.rows(channel)
        return rows[self._state.board.sequences[rows] > after]

    def _in_order(self, rows: Rows) -> Rows:
        return rows[np.argsort(self._state.board.sequences[rows])]

    def _piece(self, rows: Rows, upto: int) -> tuple[Rows, int]:
        """The first rows to write of those that changed up to `upto`, and the number up to which that is everything."""
        sequences = self._state.board.sequences
        rows = rows[sequences[rows] <= upto]
        if len(rows) > _PIECE:  # of many it is quicker to find the first few than to sort all
            rows = rows[np.argpartition(sequences[rows], _PIECE - 1)[:_PIECE]]
            upto = int(sequences[rows].max())
        return self._in_order(rows), upto

    def _merged(self, channel: Channel, rows: Rows, named: Sequence[Numbered]) -> list[bytes]:
        """The state frames of the rows and the named events, in the order of ids."""
        frames = self._state.frames(rows.tolist(), channel.subscription.fields)
        if not named:
            return frames
        numbers = self._state.board.sequences[rows].tolist()
        both = [*zip(numbers, frames, strict=True), *((item.first, item.frame) for item in named)]
        return [found for _, found in sorted(both)]


def _crossed(channel: Channel, row: int, symbol: str, quote: bytes, before: frozenset[int]) -> list[bytes]:
    """What a paced channel gets for a row that changed, which may have entered or left its screen."""
    if row not in channel.members:
        return left_frames(channel, symbol, quote)
    return [quote] if row in before else entered_frames(channel, symbol, quote)
