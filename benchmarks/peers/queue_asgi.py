"""A minimal ASGI application with a queue for each reader. GET opens a stream, and POST publishes an event."""

from __future__ import annotations

import asyncio
from typing import Any

from body import read_body

readers: set[asyncio.Queue[bytes]] = set()


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    if scope["method"] == "POST":
        await publish(receive, send)
    else:
        await stream(send)


async def publish(receive: Any, send: Any) -> None:
    body = await read_body(receive)
    event = b"data: " + body + b"\n\n"
    for queue in readers:
        queue.put_nowait(event)
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


async def stream(send: Any) -> None:
    queue: asyncio.Queue[bytes] = asyncio.Queue()
    readers.add(queue)
    try:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        while True:
            await send({"type": "http.response.body", "body": await queue.get(), "more_body": True})
    finally:
        readers.discard(queue)
