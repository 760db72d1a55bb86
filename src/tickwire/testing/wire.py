"""Read a stream byte by byte: open a socket, send a request as text, and parse the events of the response.

Tests use this module instead of the Python client, so that they check the exact bytes of the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import ssl
import sys
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

from tickwire.sse.compression import DEFLATE_SYNC_POINT

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_FIELD_PATTERN = re.compile(r"^(\w+): ?(.*)$")
# The default timeout for the next event. It is shorter than the timeout of a test, so that the traceback shows which
# wait failed. A test that expects no event passes a shorter timeout.
_EVENT_TIMEOUT_S = 100.0


class WireEvent(NamedTuple):
    """One event or comment of a stream. If the server sent the event without a name, `name` is `quote`."""

    id: str | None
    name: str
    text: str
    retry: int | None = None

    @property
    def sequence(self) -> int:
        """The sequence number in the id of the event."""
        return int((self.id or "-0").rpartition("-")[2])

    @property
    def data(self) -> Any:
        """The data of the event as Python objects, decoded from the JSON text."""
        return json.loads(self.text)


class WireStream:
    """One HTTP response: the status, the headers, and the events in the body."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.status = 0
        self.headers: dict[str, str] = {}
        # The bytes of the encoded body, without the chunk framing.
        self.received_bytes = 0
        self._buffer = ""
        self._decode: Callable[[bytes], bytes] = bytes

    async def read_head(self) -> None:
        """Read the status line and the headers."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status, *lines = head.split("\r\n")
        self.status = int(status.split(" ")[1])
        self.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)}
        self._decode = _content_decoder(self.headers.get("content-encoding", "identity"))

    async def next_event(self, timeout_s: float = _EVENT_TIMEOUT_S) -> WireEvent | None:
        """Return the next event or comment, or None at the end of the body.

        Raise TimeoutError if nothing arrives within `timeout_s`.
        """
        async with asyncio.timeout(timeout_s):
            while "\n\n" not in self._buffer:
                chunk = await self.next_chunk()
                if not chunk:
                    return None
                self._buffer += chunk
        raw, _, self._buffer = self._buffer.partition("\n\n")
        return _parse_event(raw)

    async def next_events(
        self, count: int, *, name: str = "quote", timeout_s: float = _EVENT_TIMEOUT_S
    ) -> list[WireEvent]:
        """Return the next `count` events with the name `name`. Skip all other events.

        If the stream ends earlier, return the events received so far.
        """
        events: list[WireEvent] = []
        while len(events) < count:
            event = await self.next_event(timeout_s)
            if event is None:
                break
            if event.name == name:
                events.append(event)
        return events

    async def read_json(self) -> Any:
        """Read and return the JSON body of a response that is not a stream, such as an error response."""
        if "content-length" in self.headers:
            return json.loads(await self.reader.readexactly(int(self.headers["content-length"])))
        return json.loads(await self.reader.read())

    def abort(self) -> None:
        """Close the connection at once. The kernel sends a reset if the socket contains unread bytes."""
        self.writer.transport.abort()

    async def next_chunk(self) -> str:
        """Return the next decoded chunk of the body, or an empty string at the end of the body."""
        size = int(await self.reader.readline() or b"0", 16)
        body = (await self.reader.readexactly(size + 2))[:-2]
        self.received_bytes += size
        return self._decode(body).decode()


class _ZstdStreamDecoder:
    """Decodes consecutive zstd frames, which arrive in chunks of any size."""

    def __init__(self) -> None:
        self._frame = zstd.ZstdDecompressor()

    def decompress(self, data: bytes) -> bytes:
        decoded = self._frame.decompress(data) if data else b""
        while self._frame.eof:
            rest, self._frame = self._frame.unused_data, zstd.ZstdDecompressor()
            decoded += self._frame.decompress(rest) if rest else b""
        return decoded


class _StrictGzipDecoder:
    """Decodes a gzip body, but returns no bytes before a sync point arrives, like Go's decoder.

    A sync point is the end of a flushed block.
    """

    def __init__(self) -> None:
        self._decoder = zlib.decompressobj(16 + zlib.MAX_WBITS)
        self._unreleased = b""

    def decompress(self, data: bytes) -> bytes:
        # The first byte of a compressed block's sync point also contains bits of the block, so compare only the other
        # bytes.
        marker = DEFLATE_SYNC_POINT[1:]
        complete, found, rest = (self._unreleased + data).rpartition(marker)
        self._unreleased = rest
        return self._decoder.decompress(complete + found)


def _content_decoder(coding: str) -> Callable[[bytes], bytes]:
    """Return a function that decodes the chunks of a body with the content coding `coding`, such as gzip.

    Raise KeyError if the coding is unknown.
    """
    factories: dict[str, Callable[[], Callable[[bytes], bytes]]] = {
        "identity": lambda: bytes,
        "gzip": lambda: _StrictGzipDecoder().decompress,
        "zstd": lambda: _ZstdStreamDecoder().decompress,
    }
    return factories[coding]()


@contextlib.asynccontextmanager
async def open_stream(
    url: str,
    params: Mapping[str, str] | None = None,
    *,
    path: str = "/v1/stream",
    headers: Mapping[str, str] | None = None,
    method: str = "GET",
    body: bytes | None = None,
    version: str = "1.1",
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[WireStream]:
    """Request a stream, and read the status line and headers. Close the connection when the `async with` block ends."""
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port, limit=2**22, ssl=tls)
    lines = [f"{method} {path}?{urlencode(params or {})} HTTP/{version}", f"Host: {address.netloc}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    stream = WireStream(reader, writer)
    try:
        writer.write("\r\n".join([*lines, "", ""]).encode() + (body or b""))
        await stream.read_head()
        yield stream
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def _parse_event(raw: str) -> WireEvent:
    if raw.startswith(":"):
        return WireEvent(None, "comment", raw[1:].strip())
    fields: dict[str, list[str]] = {}
    for line in raw.split("\n"):
        match = _FIELD_PATTERN.match(line)
        if match:
            fields.setdefault(match[1], []).append(match[2])
    return WireEvent(
        id=fields.get("id", [None])[-1],
        name=fields.get("event", ["quote"])[-1],
        text="\n".join(fields.get("data", [])),
        retry=int(fields["retry"][-1]) if "retry" in fields else None,
    )
