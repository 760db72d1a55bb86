"""Event ids: `<epoch>-<sequence>`, such as `m3x9f-5121`.

The sequence counts events from 1 without a hole. The epoch names the history that the sequence counts in; it changes
only when a journal's history is lost, so that an id from a lost history is recognised instead of misread.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from tickwire.errors import InputError

_ID = re.compile(r"([a-z0-9]{1,16})-(0|[1-9][0-9]{0,17})", re.ASCII)
EPOCH_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
EPOCH_LENGTH = 6  # 36**6 = 2e9: two histories of one server will not meet by chance


class EventId(NamedTuple):
    """An event's place in one history. `str()` gives the wire form."""

    epoch: str
    sequence: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.sequence}"


def parse_id(text: str, *, field: str = "last_event_id") -> EventId:
    """The id that `text` spells; InputError where it spells none."""
    match = _ID.fullmatch(text)
    if match is None:
        shown = text if len(text) <= 40 else text[:40] + "..."
        raise InputError(f"{shown!r} is not an event id: expected <epoch>-<sequence>, such as m3x9f-5121", field=field)
    return EventId(match[1], int(match[2]))
