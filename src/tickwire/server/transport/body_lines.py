"""Read the lines of a request body of unlimited length."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

from tickwire.errors import InputError
from tickwire.server.http_errors import ServerStopping, TooLarge
from tickwire.server.transport.asgi import Receive, Scope
from tickwire.server.transport.body import check_encoding
from tickwire.server.transport.protocol import CONNECTION_EXTENSION, StreamProtocol

MAX_LINE_BYTES = 16 * 1024
"""The maximum length of a line. A tick with all fields has about 300 bytes."""

MAX_LINES = 1_000
"""The maximum number of lines in memory.

Without this limit, short lines could occupy much memory, because even a line of one byte is an object of about a
hundred bytes.
"""


class BodyLine(NamedTuple):
    """A line, and its number in the body. The first line of the body has the number 1."""

    number: int
    text: bytes


class BodyLines:
    """The lines of a request body, without its blank lines.

    At most one part of the body is in memory, a few hundred KB. While the caller processes lines, the server reads no
    more bytes, and TCP slows down the client. The client may pause for as long as the time limit of a short request
    body. The time in which the caller processes lines does not count as a pause.
    """

    def __init__(self, scope: Scope, receive: Receive, stopping: asyncio.Event) -> None:
        """`stopping` is an event that is set when the server begins to stop.

        The constructor raises UnsupportedContentEncoding if the body is compressed.
        """
        check_encoding(scope)
        self._scope = scope
        self._receive = receive
        self._stopping = stopping
        connection = scope.get("extensions", {}).get(CONNECTION_EXTENSION)
        self._connection = connection if isinstance(connection, StreamProtocol) else None

    async def parts(self) -> AsyncIterator[Sequence[BodyLine]]:
        """Yield lists of the complete lines that have arrived, with at most MAX_LINES lines each, until the body ends.

        Raise TooLarge for a line that is too long, ServerStopping if the server stops, and InputError if the client
        disconnects. Before the error, the iterator has yielded all complete lines.
        """
        stopped = asyncio.create_task(self._stopping.wait())
        try:
            number, rest, is_complete = 0, b"", False
            while not is_complete:
                data, is_complete = await self._receive_part(stopped)
                rest += data
                has_more_lines = True
                while has_more_lines:
                    *texts, rest = rest.split(b"\n", MAX_LINES)
                    has_more_lines = len(texts) == MAX_LINES
                    if is_complete and not has_more_lines:
                        texts.append(rest)
                    # Also check the last line. It may be incomplete, but it may already be too long.
                    too_long = _find_too_long(texts if has_more_lines else [*texts, rest])
                    # First yield the lines before the line that is too long.
                    lines = [
                        BodyLine(place, text) for place, text in enumerate(texts[:too_long], number + 1) if text.strip()
                    ]
                    if lines:
                        yield lines
                    if too_long is not None:
                        raise TooLarge(f"line {number + 1 + too_long} is longer than {MAX_LINE_BYTES} bytes")
                    number += len(texts)
        finally:
            stopped.cancel()

    async def _receive_part(self, stopped: asyncio.Task[bool]) -> tuple[bytes, bool]:
        """Return the next bytes of the body, and whether these bytes are the end of the body."""
        if self._connection is not None:
            self._connection.start_body_time(self._scope)
        receiving = asyncio.ensure_future(self._receive())
        try:
            await asyncio.wait({receiving, stopped}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not receiving.done():
                receiving.cancel()
            if self._connection is not None:
                self._connection.stop_body_time(self._scope)
        if not receiving.done() or receiving.cancelled():
            raise ServerStopping("the server is stopping: send the remaining lines again")
        message = receiving.result()
        if message["type"] == "http.disconnect":
            raise InputError("the client disconnected before the end of the body")
        return message.get("body", b""), not message.get("more_body", False)


def _find_too_long(texts: Sequence[bytes]) -> int | None:
    """Return the index of the first line that is too long, or None."""
    return next((place for place, text in enumerate(texts) if len(text) > MAX_LINE_BYTES), None)
