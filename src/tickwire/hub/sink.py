"""Where a reader's bytes go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Sink(Protocol):
    """One connection's outgoing side. It never blocks: it takes what it is given and says when it has had enough.

    `framed` tells which bytes `write` wants: with HTTP/1.1 chunk framing around them (straight to a socket) or without
    (through a server that adds its own). After `write`, `full` may be true; what was written is still delivered.
    """

    @property
    def framed(self) -> bool:
        """Whether `write` wants chunks instead of plain bytes."""
        ...

    @property
    def write(self) -> Callable[[bytes], None]:
        """Takes bytes."""
        ...

    @property
    def full(self) -> bool:
        """Whether more is waiting here than should; stop writing until `drained` is called."""
        ...


class Listener(Protocol):
    """Whom a sink tells what happens to it."""

    def filled(self) -> None:
        """The sink became full."""
        ...

    def drained(self) -> None:
        """The sink is no longer full."""
        ...

    def lost(self) -> None:
        """The other side is gone; nothing more will be delivered."""
        ...
