"""The interface between a reader and the connection that sends the reader's bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Sink(Protocol):
    """The send buffer of one connection. `write` never blocks and never rejects bytes.

    After a `write`, `is_full` may be True, but the sink still delivers all written bytes.
    """

    @property
    def is_chunked(self) -> bool:
        """Whether `write` expects HTTP/1.1 chunk framing. It does if the sink writes directly to a socket."""
        ...

    @property
    def write(self) -> Callable[[bytes], None]:
        """The function that queues bytes for the connection."""
        ...

    @property
    def listener(self) -> SinkListener | None:
        """The receiver of notifications: the reader, or None before the stream begins and after it has ended."""
        ...

    @property
    def is_full(self) -> bool:
        """Whether too many bytes wait to be sent. If so, write no more until the sink calls `on_drained`."""
        ...


class SinkListener(Protocol):
    """The receiver of a sink's notifications."""

    def on_full(self) -> None:
        """Handle the notification that the sink has become full."""
        ...

    def on_drained(self) -> None:
        """Handle the notification that the sink is no longer full."""
        ...

    def on_disconnected(self) -> None:
        """Handle the loss of the connection: no more bytes will be delivered."""
        ...

    def on_write_error(self) -> None:
        """Handle a failed write: its bytes will not be delivered."""
        ...
