"""Events that are older than the recent window, made again from the journal.

A quote depends on all ticks of its symbol before it, so reading the past means applying it: from the newest saved
state before the wanted event onwards, on a board of its own. Boards that have walked some way are kept for the next
who comes along, and so are the events they made, so that a thousand readers who resume together cost little more than
one, and none of them holds a board.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Protocol

from tickwire.core.event import Kind, Record
from tickwire.errors import JournalExpired
from tickwire.hub.applied import Applied, apply
from tickwire.hub.made import Made
from tickwire.hub.saved import read_saved
from tickwire.market.board import Board

STEP_EVENTS = 2_000  # read and applied in one go: a few milliseconds
STEP_BYTES = 4 * 1024 * 1024  # likewise; ticks and candles never come near it
_FEW = 64  # events read in one go where they are large: a named one may be 64 KB
_MOST_ITEMS = 64  # records answered at once: who asks writes some frames, and asks again
_AT_ONCE = {Kind.NAMED: _FEW, Kind.CANDLES: STEP_EVENTS}
_MOST_WALKERS = 4  # boards kept: more would only help if readers resumed from very many different times at once


class Source(Protocol):
    """What the past needs of a journal."""

    @property
    def first(self) -> int:
        """The oldest sequence number that can be read."""
        ...

    async def read(self, after: int, *, limit: int = ..., kind: Kind | None = None) -> Sequence[Record]:
        """Whole records with events after `after`, oldest first."""
        ...

    async def load_state(self, at: int | None = None) -> tuple[int, bytes] | None:
        """The newest saved state at or before a sequence number."""
        ...


class _Walker:
    """A board on its way through the past; it stands at `position`."""

    def __init__(self, board: Board, position: int) -> None:
        self.board = board
        self.position = position


class Past:
    """The journal's history as events that can be sent."""

    def __init__(self, source: Source, prefix: bytes, board: Board, make_board: Callable[[], Board]) -> None:
        self._source = source
        self._board = board  # the present one, for what needs no other
        self._prefix = prefix
        self._make_board = make_board
        self._walkers: list[_Walker] = []
        self._made = Made()
        self._limit = _FEW  # events to read next, as many as were small enough before
        self._turn = asyncio.Lock()  # one walk at a time: a crowd waits, and then finds the items made

    @property
    def first(self) -> int:
        """The oldest sequence number that can be read."""
        return self._source.first

    async def after(self, sequence: int, head: int) -> list[Applied]:
        """Some of what follows `sequence` up to `head`; JournalExpired where it has expired.

        The journal may already hold more than the hub has applied; that is for the live flow to send.
        """
        found = self._made.after(sequence, _MOST_ITEMS)
        if found:
            return found
        async with self._turn:
            found = self._made.after(sequence, _MOST_ITEMS)  # whoever had its turn before may have wanted the same
            if not found:
                records = await self._read(sequence)
                found = [await self._applied(record) for record in records if record.last <= head]
            return found[:_MOST_ITEMS]

    async def _read(self, after: int) -> Sequence[Record]:
        """The records after `after`, as many as can be applied in one go."""
        records = await self._source.read(after, limit=self._limit)
        if records and records[0].first > after + 1:
            raise JournalExpired(f"the events after {after} have expired")
        sizes = accumulate(len(record.data) for record in records)
        count = next((count for count, size in enumerate(sizes, 1) if size >= STEP_BYTES), None)
        self._limit = min(STEP_EVENTS, self._limit * 4) if count is None else _FEW
        return records[:count]

    async def of(self, kinds: Sequence[Kind], after: int, to: int) -> tuple[list[Applied], int]:
        """Events of these kinds after `after`, the first of each, and the number up to which those are all.

        That is `to`, or less where there are more. JournalExpired where some may have expired.
        """
        found: list[Record] = []
        for kind in kinds:
            limit = _AT_ONCE[kind]
            records = await self._source.read(after, limit=limit, kind=kind)
            found += records
            if sum(record.count for record in records) >= limit:
                to = min(to, records[-1].last)
        if self._source.first > after + 1:  # looked at last: what expires while it is read would not be missed
            raise JournalExpired(f"the events after {after} have expired")
        return [self._stateless(record) for record in sorted(found) if record.last <= to], to

    def _stateless(self, record: Record) -> Applied:
        """The events of a record that changes no board. Those of any size are not kept."""
        item = self._made.get(record.first)
        if item is None:
            item = apply(self._board, self._prefix, record)
            if record.kind is not Kind.NAMED:
                self._made.keep(item)
        return item

    async def _applied(self, record: Record) -> Applied:
        item = self._made.get(record.first)
        if item is None:
            walker = await self._walker_before(record.first)
            item = apply(walker.board, self._prefix, record)
            walker.position = record.last
            self._made.keep(item)
        return item

    async def _walker_before(self, first: int) -> _Walker:
        """A board that has taken everything before the event `first` and nothing after."""
        self._walkers = [walker for walker in self._walkers if walker.position + 1 >= self._source.first]
        standing = [walker for walker in self._walkers if walker.position < first]
        walker = max(standing, key=lambda each: each.position, default=None)
        if walker is None or first - walker.position > STEP_EVENTS:
            walker = await self._from_state(first - 1, walker)
        while walker.position < first - 1:
            records = await self._read(walker.position)
            if not records:
                raise JournalExpired(f"the events after {walker.position} have expired")
            for record in records:
                if record.first >= first:
                    break
                apply(walker.board, self._prefix, record)
                walker.position = record.last
        return walker

    async def _from_state(self, at: int, known: _Walker | None) -> _Walker:
        state = await self._source.load_state(at)
        if known is not None and (state is None or state[0] <= known.position):
            return known
        if state is None and self._source.first > 1:
            raise JournalExpired(f"no state is kept from which the events before {at} could be made again")
        board = self._make_board()
        if state is not None:
            board.restore(read_saved(state[1]).board)
        walker = _Walker(board, 0 if state is None else state[0])
        self._walkers = [*self._walkers[-(_MOST_WALKERS - 1) :], walker]
        return walker
