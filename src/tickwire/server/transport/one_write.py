"""Sends several ASGI messages of a response with one write to the socket.

uvicorn writes the head and the body of a response separately. Each write is a system call that also wakes the client,
so two writes cost almost twice as much as one.
"""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from tickwire.server.transport.asgi import Send
from tickwire.server.transport.overlapping_cycle import OverlappingCycle


class _WriteCollector:
    """Collects the bytes that uvicorn would write to the transport. `flush` writes them to the transport."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> None:
        self._parts.append(data)

    def flush(self) -> None:
        if self._parts:
            self._transport.write(b"".join(self._parts))
            self._parts.clear()

    def close(self) -> None:
        """Write the messages, and close the transport. uvicorn then drops the next requests of the connection."""
        self.flush()
        self._transport.close()


async def send_in_one_write(send: Send, *messages: MutableMapping[str, Any]) -> None:
    """Pass messages to the ASGI `send` of a request.

    If uvicorn would write the messages at once, write all of them together. If another ASGI server runs the
    application, or if the send buffer is full, pass the messages one by one.
    """
    cycle = getattr(send, "__self__", None)
    if isinstance(cycle, OverlappingCycle):
        await cycle.wait_for_turn()
    if not isinstance(cycle, RequestResponseCycle) or cycle.flow.write_paused:
        for message in messages:
            await send(message)
        return
    transport = cycle.transport
    collector = _WriteCollector(transport)
    cycle.transport = collector  # type: ignore[assignment]  # uvicorn calls only `write` and `close`
    try:
        # No other task can write to the collector during these calls, because none of them waits: the send buffer is
        # not full.
        for message in messages:
            await send(message)
    finally:
        cycle.transport = transport
        collector.flush()
