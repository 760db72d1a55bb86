"""A gap: a range of events that a reader will not receive."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

GapReason: TypeAlias = Literal["expired", "epoch", "unreadable"]
"""The reason for a gap: the events were deleted, belong to another epoch, or are damaged."""


class Gap(msgspec.Struct, frozen=True, rename={"start": "from", "end": "to"}):
    """A range of events that a reader will not receive: the events after id `start`, up to id `end`."""

    start: str
    end: str
    reason: GapReason
