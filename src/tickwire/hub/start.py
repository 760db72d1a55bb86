"""Where a reader starts: from nothing, from an id it has, or from the past. Pure decisions, no I/O."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from tickwire.core.ids import EventId, parse_id
from tickwire.core.moment import moment_hint
from tickwire.errors import InputError
from tickwire.hub.subscription import Subscription

Reason: TypeAlias = Literal["expired", "epoch", "unreadable"]
"""Why events will not come: no longer kept, of a history that is lost, or kept and damaged."""


class Resume(msgspec.Struct, frozen=True, rename={"start": "from"}):
    """What the welcome event says of a resume: the id asked for, the one gone on from, and why if they differ."""

    asked: str
    start: str
    complete: bool
    reason: Reason | None


class Gap(msgspec.Struct, frozen=True, rename={"start": "from", "end": "to"}):
    """Events that a reader will not get: those after `start` up to `end`."""

    start: str
    end: str
    reason: Reason


class History(msgspec.Struct, frozen=True):
    """What the journal holds at one moment: sequence numbers `first` to `head` of `epoch`."""

    epoch: str
    first: int
    head: int

    def old(self, sequence: int) -> bool:
        """Whether an event is in the older half, and so may soon expire."""
        return sequence < (self.first + self.head) // 2

    def id(self, sequence: int) -> str:
        """The wire form of one of its ids."""
        return str(EventId(self.epoch, sequence))


class Start(msgspec.Struct, frozen=True):
    """Where to begin: after `position`, with the whole current state first where `snapshot` is true."""

    position: int
    snapshot: bool
    resume: Resume | None = None
    gap: Gap | None = None


def fresh(history: History, *, snapshot: bool) -> Start:
    """A new reader: the current state and what follows, or only what follows."""
    return Start(position=0 if snapshot else history.head, snapshot=snapshot)


def earliest(history: History, subscription: Subscription) -> Start:
    """A reader of the whole kept past. For newest-only delivery that is the current state."""
    if subscription.delivery == "latest":
        return Start(position=0, snapshot=True)
    return Start(position=history.first - 1, snapshot=False)


def after(history: History, asked: EventId, subscription: Subscription) -> Start:
    """A reader that has seen everything up to the id `asked`.

    An id of another epoch, or one this history has not reached, says nothing about it: the reader gets a gap and the
    whole state. So does a reader of events that are no state, when the journal no longer reaches back to its id; for
    newest-only quotes the state is all there is to miss.
    """
    if asked.epoch != history.epoch or asked.sequence > history.head:
        return _lost(history, asked, "epoch")
    if asked.sequence < history.first - 1:
        if subscription.delivery == "all" or subscription.unskipped:
            return _lost(history, asked, "expired")
        resume = Resume(str(asked), str(asked), complete=True, reason=None)
        return Start(position=0, snapshot=False, resume=resume)
    resume = Resume(str(asked), str(asked), complete=True, reason=None)
    return Start(position=asked.sequence, snapshot=False, resume=resume)


def since(history: History, text: str, subscription: Subscription) -> Start:
    """A reader that asks for the past with `since`: `earliest` or an id."""
    if text == "earliest":
        return earliest(history, subscription)
    try:
        return after(history, parse_id(text, field="since"), subscription)
    except InputError as error:
        raise InputError(
            f"since={text[:40]!r} is neither 'earliest' nor an event id nor a time",
            field="since",
            hint=moment_hint(text, "since"),
        ) from error


def since_time(history: History, text: str, sequence: int) -> Start:
    """A reader that asks for what came after the moment `text`, before which `sequence` was the last event."""
    position = max(sequence, history.first - 1)
    reached = sequence >= history.first or history.first == 1
    resume = Resume(text, history.id(position), complete=reached, reason=None if reached else "expired")
    return Start(position=position, snapshot=False, resume=resume)


def _lost(history: History, asked: EventId, reason: Reason) -> Start:
    head = history.id(history.head)
    resume = Resume(str(asked), head, complete=False, reason=reason)
    return Start(position=0, snapshot=True, resume=resume, gap=Gap(str(asked), head, reason))
