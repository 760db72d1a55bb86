"""An event id names a position in the history of a journal. Event ids have the form `<epoch>-<sequence>`, such as
`m3x9f-5121`.

The last id of an evicted reader also contains the time of the eviction: `m3x9f-5121.evicted-1764000000`. If the reader
has no position after which it can resume, the id is `.evicted-1764000000`.

A journal numbers its events from 1 without gaps. The sequence is the number of the event. The epoch names the history
that the journal stores. The epoch changes only when the journal loses all its events and starts a new history. A server
therefore recognizes an id from a lost history, and does not confuse the id with an event of the new history.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from tickwire.errors import InputError

_EVENT_ID_PATTERN = re.compile(r"([a-z0-9]{1,16})-(0|[1-9][0-9]{0,17})", re.ASCII)
_EVICTION_TIME_PATTERN = re.compile(r"\.evicted-([0-9]{1,12})", re.ASCII)
EPOCH_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
# An epoch is chosen at random from 36**6 = 2e9 values. Two histories of one server therefore never have the same epoch
# in practice.
EPOCH_LENGTH = 6
MAX_SEQUENCE = 10**18 - 1
"""The largest sequence number that an event id can contain."""


class EventId(NamedTuple):
    """The position of an event in the history of a journal. `str()` returns the id as it is sent to clients."""

    epoch: str
    sequence: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.sequence}"


def evicted_event_id(position: EventId | None, evicted_at_s: int) -> str:
    """Return the last id of an evicted reader. The time is in seconds since the Unix epoch.

    `position` is None if the reader has no position after which it can resume.
    """
    return f"{'' if position is None else position}.evicted-{evicted_at_s}"


def parse_eviction_time(text: str) -> int | None:
    """Return the time in the last id of an evicted reader, in seconds since the Unix epoch.

    Return None for any other text.
    """
    event_id = strip_eviction_time(text)
    is_valid = not event_id or _EVENT_ID_PATTERN.fullmatch(event_id) is not None
    match = _EVICTION_TIME_PATTERN.fullmatch(text, len(event_id))
    return int(match[1]) if is_valid and match is not None else None


def strip_eviction_time(text: str) -> str:
    """Return an event id without the time of an eviction. The result is empty if the id contains no position."""
    event_id, _, _ = text.partition(".evicted-")
    is_evicted = _EVICTION_TIME_PATTERN.fullmatch(text, len(event_id)) is not None
    return event_id if is_evicted else text


def parse_event_id(text: str, *, field: str = "last_event_id") -> EventId:
    """Parse an event id, and ignore the time of an eviction in the id.

    If `text` is not an event id, raise an InputError that names `field`, the parameter or key that contained the text.
    """
    match = _EVENT_ID_PATTERN.fullmatch(strip_eviction_time(text))
    if match is None:
        shown = text if len(text) <= 40 else text[:40] + "..."
        raise InputError(f"{shown!r} is not an event id: expected <epoch>-<sequence>, such as m3x9f-5121", field=field)
    return EventId(match[1], int(match[2]))
