"""An sse-starlette application as its documentation describes: each reader has a queue and a generator."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

readers: set[asyncio.Queue[str]] = set()


async def publish(request: Request) -> Response:
    text = (await request.body()).decode()
    for queue in readers:
        queue.put_nowait(text)
    return Response(status_code=204)


async def events() -> AsyncIterator[dict[str, str]]:
    queue: asyncio.Queue[str] = asyncio.Queue()
    readers.add(queue)
    try:
        while True:
            yield {"data": await queue.get()}
    finally:
        readers.discard(queue)


async def stream(_: Request) -> EventSourceResponse:
    return EventSourceResponse(events())


app = Starlette(routes=[Route("/publish", publish, methods=["POST"]), Route("/stream", stream)])
