"""What becomes of a batch of ticks that is published: the server answers it, the client reads it."""

from __future__ import annotations

import msgspec


class Published(msgspec.Struct, frozen=True):
    """How many ticks were taken, and the first and last id they got; `repeated` says that they were there already."""

    accepted: int
    first_id: str
    last_id: str
    repeated: bool
