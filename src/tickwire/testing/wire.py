"""A stream as it is on the wire: a socket, a request written by hand, and events as they come.

Deliberately not the client SDK: what this reads, the server has really sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import sys
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_FIELD = re.compile(r"^(\w+): ?(.*)$")
_PATIENCE = 10.0  # seconds for the next event; tests that wait for silence give their own


class WireEvent(NamedTuple):
    """One event or comment. `sequence` is the number in the id, `name` is `quote` for unnamed events."""

    id: str | None
    name: str
    text: str
    retry: int | None = None

    @property
    def sequence(self) -> int:
        """The number in the id."""
        return int((self.id or "-0").rpartition("-")[2])

    @property
    def data(self) -> Any:
        """The data as JSON."""
        return json.loads(self.text)


class WireStream:
    """One open response: its head, and its body as events."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.status = 0
        self.headers: dict[str, str] = {}
        self.taken = 0  # bytes of the body as they came, without the framing
        self._text = ""
        self._decode: Callable[[bytes], bytes] = bytes

    async def read_head(self) -> None:
        """Read the status line and the headers."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status, *lines = head.split("\r\n")
        self.status = int(status.split(" ")[1])
        self.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)}
        self._decode = _decoder(self.headers.get("content-encoding", "identity"))

    async def event(self, patience: float = _PATIENCE) -> WireEvent | None:
        """The next event or comment; None at the end of the body. TimeoutError where none comes in time."""
        async with asyncio.timeout(patience):
            while "\n\n" not in self._text:
                piece = await self.chunk()
                if not piece:
                    return None
                self._text += piece
        raw, _, self._text = self._text.partition("\n\n")
        return _parse(raw)

    async def events(self, count: int, *, name: str = "quote", patience: float = _PATIENCE) -> list[WireEvent]:
        """The next `count` events of one name; others are passed over. Fewer where the stream ends."""
        found: list[WireEvent] = []
        while len(found) < count:
            event = await self.event(patience)
            if event is None:
                break
            if event.name == name:
                found.append(event)
        return found

    async def body(self) -> Any:
        """The whole body of an ordinary answer, as JSON."""
        if "content-length" in self.headers:
            return json.loads(await self.reader.readexactly(int(self.headers["content-length"])))
        return json.loads(await self.reader.read())

    def cut(self) -> None:
        """Drop the connection without a word (a reset, where the system has unread bytes)."""
        self.writer.transport.abort()

    async def chunk(self) -> str:
        """The next chunk of the body as it was sent; empty at its end."""
        size = int(await self.reader.readline() or b"0", 16)
        body = (await self.reader.readexactly(size + 2))[:-2]
        self.taken += size
        return self._decode(body).decode()


class _ZstdFrames:
    """Decodes a row of zstd frames, in whatever pieces they come."""

    def __init__(self) -> None:
        self._frame = zstd.ZstdDecompressor()

    def decompress(self, data: bytes) -> bytes:
        found = self._frame.decompress(data) if data else b""
        while self._frame.eof:
            rest, self._frame = self._frame.unused_data, zstd.ZstdDecompressor()
            found += self._frame.decompress(rest) if rest else b""
        return found


def _decoder(coding: str) -> Callable[[bytes], bytes]:
    """What turns pieces of a body in this content coding into the bytes that were meant; KeyError for others."""
    makers: dict[str, Callable[[], Callable[[bytes], bytes]]] = {
        "identity": lambda: bytes,
        "gzip": lambda: zlib.decompressobj(16 + zlib.MAX_WBITS).decompress,
        "zstd": lambda: _ZstdFrames().decompress,
    }
    return makers[coding]()


@contextlib.asynccontextmanager
async def open_stream(
    url: str,
    params: Mapping[str, str] | None = None,
    *,
    path: str = "/v1/stream",
    headers: Mapping[str, str] | None = None,
    method: str = "GET",
    version: str = "1.1",
) -> AsyncIterator[WireStream]:
    """Ask for a stream and read the head of the answer; the connection is closed when left."""
    host = urlsplit(url)
    reader, writer = await asyncio.open_connection(host.hostname, host.port, limit=2**22)
    lines = [f"{method} {path}?{urlencode(params or {})} HTTP/{version}", f"Host: {host.netloc}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    stream = WireStream(reader, writer)
    try:
        writer.write("\r\n".join([*lines, "", ""]).encode())
        await stream.read_head()
        yield stream
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def _parse(raw: str) -> WireEvent:
    if raw.startswith(":"):
        return WireEvent(None, "comment", raw[1:].strip())
    fields: dict[str, list[str]] = {}
    for line in raw.split("\n"):
        match = _FIELD.match(line)
        if match:
            fields.setdefault(match[1], []).append(match[2])
    return WireEvent(
        id=fields.get("id", [None])[-1],
        name=fields.get("event", ["quote"])[-1],
        text="\n".join(fields.get("data", [])),
        retry=int(fields["retry"][-1]) if "retry" in fields else None,
    )
