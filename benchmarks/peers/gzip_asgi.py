"""An ASGI application with a queue and a zlib stream for each reader.

GET opens a stream of all symbols, or of the symbols in the parameter `symbols`. POST publishes a JSON array of quotes.
"""

from __future__ import annotations

import asyncio
import zlib
from typing import Any
from urllib.parse import parse_qs

import msgspec
from body import read_body

GZIP_WBITS = 16 + zlib.MAX_WBITS
HEADERS = [(b"content-type", b"text/event-stream"), (b"content-encoding", b"gzip")]


class QuoteSymbol(msgspec.Struct):
    symbol: str


class QueueReader:
    def __init__(self, symbols: set[str] | None) -> None:
        self.symbols = symbols
        self.queue: asyncio.Queue[bytes] = asyncio.Queue()

    def enqueue(self, events: list[tuple[str, bytes]]) -> None:
        matching = [event for symbol, event in events if self.symbols is None or symbol in self.symbols]
        if matching:
            self.queue.put_nowait(b"".join(matching))


readers: set[QueueReader] = set()


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    if scope["method"] == "POST":
        await publish(receive, send)
    else:
        symbols = parse_qs(scope["query_string"].decode()).get("symbols", ["*"])[0]
        await stream(QueueReader(None if symbols == "*" else set(symbols.split(","))), send)


async def publish(receive: Any, send: Any) -> None:
    body = await read_body(receive)
    quotes = msgspec.json.decode(body, type=list[msgspec.Raw])
    events = [(msgspec.json.decode(quote, type=QuoteSymbol).symbol, b"data: " + quote + b"\n\n") for quote in quotes]
    for reader in readers:
        reader.enqueue(events)
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


async def stream(reader: QueueReader, send: Any) -> None:
    compressor = zlib.compressobj(wbits=GZIP_WBITS)
    readers.add(reader)
    try:
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        while True:
            piece = compressor.compress(await reader.queue.get()) + compressor.flush(zlib.Z_SYNC_FLUSH)
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    finally:
        readers.discard(reader)
