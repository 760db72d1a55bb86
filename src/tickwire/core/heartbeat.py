"""The data of a heartbeat event."""

from __future__ import annotations

import msgspec


class Heartbeat(msgspec.Struct, frozen=True):
    """A heartbeat: the stream was silent, and the server is alive.

    `ts` is the server's time in microseconds since 1970, and `head` is the server's newest event id.
    """

    ts: int
    head: str
