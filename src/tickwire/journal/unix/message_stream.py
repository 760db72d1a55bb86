"""One end of a connection between the owner of a journal and a follower.

The class sends and receives whole messages.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Generic, TypeVar, cast

import msgspec

from tickwire.journal.unix.messages import LENGTH_BYTES, MAX_MESSAGE_BYTES
from tickwire.journal.unix.peer_credentials import has_own_user

# `wait_until_writable` waits while more bytes than this are unsent. A follower that is so far behind reads the missed
# records from the history later.
_MAX_UNSENT_BYTES = 2**20

T = TypeVar("T")

log = logging.getLogger("tickwire.journal")


class MessageStream(asyncio.Protocol, Generic[T]):
    """A connection that decodes received messages of the type `T`.

    The class closes the connection if the process at the other end belongs to another user, or sends an invalid
    message.
    """

    def __init__(
        self,
        decoder: msgspec.msgpack.Decoder[T],
        on_message: Callable[[T], None],
        on_lost: Callable[[], None],
    ) -> None:
        self._decoder = decoder
        self._on_message = on_message
        self._on_lost = on_lost
        self._transport: asyncio.Transport | None = None
        self._chunks: list[bytes] = []
        self._received_bytes, self._needed_bytes = 0, LENGTH_BYTES
        self._writable = asyncio.Event()

    @property
    def unsent_bytes(self) -> int:
        """The number of bytes that the kernel has not accepted yet."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    @property
    def is_closing(self) -> bool:
        """Whether the connection is closed, or will close after it has sent the remaining bytes."""
        return self._transport is None or self._transport.is_closing()

    def send(self, data: bytes | bytearray) -> None:
        """Send an encoded message. Do nothing if the connection is closed."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    async def wait_until_writable(self) -> None:
        """Wait until at most _MAX_UNSENT_BYTES are unsent, or the connection is lost."""
        await self._writable.wait()

    def pause_reading(self) -> None:
        """Stop reading. Further messages stay in the kernel's buffer, and the sender waits when this buffer is full."""
        if not self.is_closing and self._transport is not None:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if not self.is_closing and self._transport is not None:
            self._transport.resume_reading()

    def close(self) -> None:
        """Close the connection after all unsent bytes have been sent."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accept the connection if the other process belongs to the same user."""
        # Do not check the type, because the transports of uvloop do not inherit from `asyncio.Transport`.
        self._transport = transport = cast(asyncio.Transport, transport)
        transport.set_write_buffer_limits(_MAX_UNSENT_BYTES)
        self._writable.set()
        if not has_own_user(transport.get_extra_info("socket")):
            log.warning("closed a connection to the journal's socket, because it came from another user")
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """Decode all messages that have arrived completely."""
        self._chunks.append(data)
        self._received_bytes += len(data)
        if self._received_bytes < self._needed_bytes:
            return
        received = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        start = 0
        while not self.is_closing:
            body = start + LENGTH_BYTES
            end = body + int.from_bytes(received[start:body], "big")
            if end - body > MAX_MESSAGE_BYTES:
                self._abort_after(f"a message of {end - body} bytes")
                return
            if len(received) < end or len(received) < body:
                self._needed_bytes = max(LENGTH_BYTES, end - start)
                break
            self._deliver(received[body:end])
            start = end
        self._chunks = [received[start:]]
        self._received_bytes = len(received) - start

    def pause_writing(self) -> None:
        """Make `wait_until_writable` wait, because the kernel's buffer is full."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """End the wait of `wait_until_writable`."""
        self._writable.set()

    def connection_lost(self, error: Exception | None) -> None:
        """Report the end of the connection."""
        self._writable.set()
        self._on_lost()

    def _deliver(self, body: bytes) -> None:
        try:
            message = self._decoder.decode(body)
        except msgspec.DecodeError as error:
            self._abort_after(f"an invalid message ({error})")
            return
        self._on_message(message)

    def _abort_after(self, reason: str) -> None:
        log.error("closed a connection to the journal's socket, because it received %s", reason)
        self.abort()
