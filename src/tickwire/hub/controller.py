"""What is done to readers from outside: another subscription, an eviction, the end of their time or of the server's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import uniform
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tickwire.core.codec import encode
from tickwire.errors import ScreensFull
from tickwire.hub.applied import AppliedNamed
from tickwire.hub.channel import Channel
from tickwire.hub.control import Change, Control, Evict, Forget, Hold, Keep, Revoke, read_control
from tickwire.hub.head import Head
from tickwire.hub.ledger import Ledger
from tickwire.hub.reader import LATER_MS, Reader
from tickwire.hub.roster import Roster
from tickwire.hub.router import Router
from tickwire.hub.subscription import Subscription
from tickwire.sse.frame import frame

WARNING_SECONDS = 30.0  # before a token expires: time to fetch another, and to try twice
_HELD_AT_ONCE = 1_000  # names in one event: some 100 KB at most

_Farewell: TypeAlias = tuple[str, Callable[[], int]]
"""The reason of a bye, and what gives each reader its time to come back, in ms."""

_Dues: TypeAlias = dict[tuple[Channel, Channel], NDArray[np.intp]]


class Controller:
    """Obeys the controls that come through the journal, and sends readers away.

    Controls are for everybody at once: a controller with a `leader` leaves the journal to that one, whose hub is at the
    head, and is told by it. `lifetime` is how many seconds readers may stay (0: for ever), each a tenth more or less,
    so that they do not all come back at once.
    """

    def __init__(
        self, head: Head, roster: Roster, router: Router, lifetime: float, leader: Controller | None = None
    ) -> None:
        self.ledger: Ledger = Ledger() if leader is None else leader.ledger
        self._head = head
        self._roster = roster
        self._router = router
        self._lifetime = lifetime
        self._leader = leader
        self._farewell: _Farewell | None = None  # for whoever is here, and for whoever still comes
        self._crowds = [self]  # all that obey together

    @property
    def ending(self) -> bool:
        """Whether everybody was sent away."""
        return self._last_word is not None

    @property
    def _last_word(self) -> _Farewell | None:
        return self._farewell or (None if self._leader is None else self._leader._last_word)

    def lead(self, follower: Controller) -> None:
        """Tell this one too, whose leader this is."""
        self._crowds.append(follower)

    def release(self, follower: Controller) -> None:
        """It has gone."""
        self._crowds.remove(follower)

    def obey(self, item: AppliedNamed, now: float) -> None:
        """Do what an event of kind CONTROL says. `now` is monotonic, in seconds."""
        if self._leader is None:
            control = read_control(item.named)
            if self.ledger.take(control, item.last):
                for crowd in self._crowds:
                    crowd._act(control, now)

    def over(self, now: float, first: int) -> Iterator[Forget]:
        """What every process is to let go of, in messages of a bounded size.

        `now` is monotonic, in seconds, `first` the oldest event that the journal holds.
        """
        head = self._head.sequence
        numbers = self.ledger.changes.over(now, head, first, self._connected)
        for begin in range(0, len(numbers), _HELD_AT_ONCE):
            yield Forget(numbers[begin : begin + _HELD_AT_ONCE], head)

    def holds(self) -> Iterator[Hold]:
        """What other processes must know to be in use here, in messages of a bounded size."""
        clients = sorted(name for name in self.ledger.changes.clients() if self._connected(name))
        kept = self.ledger.kept.used
        for begin in range(0, max(len(clients), len(kept)), _HELD_AT_ONCE):
            end = begin + _HELD_AT_ONCE
            yield Hold(clients[begin:end], kept[begin:end])

    def keeps(self) -> Iterator[Keep]:
        """The kept subscriptions that are in use here, for processes that have let go of them."""
        kept = self.ledger.kept
        for name in kept.used:
            yield Keep(name, dict(kept.parameters(name) or {}), kept.user(name))

    def end_all(self, reason: str, retry_of: Callable[[], int]) -> None:
        """Say `bye` to every reader and let its stream end; `retry_of` gives each its time to come back, in ms."""
        for crowd in self._crowds:
            crowd._end((reason, retry_of))

    def end_here(self, reason: str) -> None:
        """Say `bye` to this hub's readers only."""
        self._end((reason, lambda: LATER_MS))

    def _end(self, farewell: _Farewell) -> None:
        self._farewell = farewell
        for reader in list(self._roster.channels):
            self.admit(reader)

    def retire(self, now: float, wall: float, retry_of: Callable[[], int]) -> None:
        """Say `bye` to the readers whose time, or whose token's, is up, and warn those whose token's soon will be.

        `now` is monotonic, `wall` the time of day, both in seconds.
        """
        for crowd in self._crowds:
            for reader in crowd._roster.channels:
                if reader.who.rights.expires is not None:
                    _expire(reader, reader.who.rights.expires - wall, retry_of)
                if self._lifetime:
                    self._wear_out(reader, now, retry_of)

    def admit(self, reader: Reader) -> None:
        """A reader has come and had its welcome. Meanwhile all may have been sent away, or its token revoked."""
        if self._last_word is not None:
            reason, retry_of = self._last_word
            reader.dismiss(reason, retry_of())
        elif self.ledger.revoked.refuses(reader.who.rights):
            reader.dismiss("evicted", LATER_MS)

    def tidy(self, channel: Channel) -> None:
        """A channel that nobody reads any more is dropped."""
        if not channel.readers:
            self._router.drop(channel)

    def _act(self, control: Control, now: float) -> None:
        """Do to the readers here what a control says."""
        if isinstance(control, Evict):
            for reader in self._roster.named(control.name):
                if control.user in (None, reader.who.user):
                    reader.dismiss("evicted", control.retry_ms)
        elif isinstance(control, Revoke):
            for reader in list(self._roster.channels):
                if self.ledger.revoked.refuses(reader.who.rights):
                    reader.dismiss("evicted", control.retry_ms)
        elif isinstance(control, Change):
            asked, wanted = Subscription(**control.asked), Subscription(**control.now)
            dues: _Dues = {}
            for reader in self._roster.named(control.client_id):
                if (reader.who.user, reader.asked) == (control.user, asked):
                    self._change(reader, reader.who.rights.narrowed(wanted), now, dues)

    def _connected(self, name: str) -> bool:
        return any(name in crowd._roster for crowd in self._crowds)

    def _wear_out(self, reader: Reader, now: float, retry_of: Callable[[], int]) -> None:
        if not reader.expires:
            reader.expires = now + self._lifetime * uniform(0.9, 1.1)  # noqa: S311  # spreads load
        elif reader.expires <= now:
            reader.dismiss("lifetime", retry_of())

    def _change(self, reader: Reader, subscription: Subscription, now: float, dues: _Dues) -> None:
        """Another subscription for a reader, wherever it stands: it goes on from there, in another channel.

        Of symbols that are new to it the newest quotes are due, as far as they are from before where it stands; `dues`
        remembers which those are.
        """
        old = self._roster.channels[reader]
        if reader.live:
            old.flush(now)
        if reader.live:  # the flush has not filled it
            old.leave(reader)
        was_counted = reader.counted is not None
        old.settle(reader)
        try:
            new = self._router.channel(subscription)
        except ScreensFull:  # others came first, between the answer to who wanted it and now
            reader.dismiss("limit", LATER_MS)
            return
        if (old, new) not in dues:  # new ones may differ, as rights do
            dues[old, new] = self._due(old, new)
        due = dues[old, new]
        reader.owed = due if reader.owed is None else self._still_due(reader.owed, due, new)
        reader.formed = 0  # of the symbols that are new to it, and it does no harm to see the others again
        reader.counted = new.count() if was_counted else None
        self._roster.move(reader, new)
        old.readers -= 1
        self.tidy(old)
        reader.move(new)

    def _due(self, old: Channel, new: Channel) -> NDArray[np.intp]:
        """The rows of the new channel whose quotes readers of the old one do not have in the form they get now."""
        rows = self._router.rows(new)
        if old.subscription.fields != new.subscription.fields:
            return rows
        return np.setdiff1d(rows, self._router.rows(old))

    def _still_due(self, before: NDArray[np.intp], due: NDArray[np.intp], new: Channel) -> NDArray[np.intp]:
        """What was due before, as far as the new channel has it, and what is due now."""
        return np.union1d(np.intersect1d(before, self._router.rows(new)), due)


def _expire(reader: Reader, left: float, retry_of: Callable[[], int]) -> None:
    """See to a reader whose token is good for `left` seconds more."""
    if left <= 0:
        reader.dismiss("expired", retry_of())
    elif left <= WARNING_SECONDS and not reader.warned and reader.closing is None:
        reader.warned = True
        reader.write(frame(encode({"in_ms": int(left * 1000)}), event="expiring"))
