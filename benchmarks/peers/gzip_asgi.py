"""A compression stream for each reader: an ASGI application with a queue and a zlib stream each.

GET reads, of all symbols or of those in `symbols`; POST publishes a JSON array of quotes.
"""

from __future__ import annotations

import asyncio
import zlib
from typing import Any
from urllib.parse import parse_qs

import msgspec
from body import read_body

GZIP = 16 + zlib.MAX_WBITS
HEADERS = [(b"content-type", b"text/event-stream"), (b"content-encoding", b"gzip")]


class Named(msgspec.Struct):
    symbol: str


class Reader:
    def __init__(self, symbols: set[str] | None) -> None:
        self.symbols = symbols
        self.queue: asyncio.Queue[bytes] = asyncio.Queue()

    def put(self, events: list[tuple[str, bytes]]) -> None:
        wanted = [event for symbol, event in events if self.symbols is None or symbol in self.symbols]
        if wanted:
            self.queue.put_nowait(b"".join(wanted))


readers: set[Reader] = set()


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    if scope["method"] == "POST":
        await publish(receive, send)
    else:
        asked = parse_qs(scope["query_string"].decode()).get("symbols", ["*"])[0]
        await stream(Reader(None if asked == "*" else set(asked.split(","))), send)


async def publish(receive: Any, send: Any) -> None:
    body = await read_body(receive)
    quotes = msgspec.json.decode(body, type=list[msgspec.Raw])
    events = [(msgspec.json.decode(quote, type=Named).symbol, b"data: " + quote + b"\n\n") for quote in quotes]
    for reader in readers:
        reader.put(events)
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


async def stream(reader: Reader, send: Any) -> None:
    packer = zlib.compressobj(wbits=GZIP)
    readers.add(reader)
    try:
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        while True:
            piece = packer.compress(await reader.queue.get()) + packer.flush(zlib.Z_SYNC_FLUSH)
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    finally:
        readers.discard(reader)
