"""Divides the work of one request into slices, so that no request blocks the event loop for long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Generator, Sequence
from typing import TypeVar

from starlette.responses import Response, StreamingResponse

T = TypeVar("T")

OBJECTS_PER_SLICE = 256
"""The number of JSON objects that the server encodes in one slice. A slice has about 64 KB and takes about 1 ms."""


async def in_slices(items: Sequence[T], size: int) -> AsyncIterator[Sequence[T]]:
    """Yield the items in slices of at most `size` items. Other tasks run between two slices."""
    async for begin, end in slice_bounds(len(items), size):
        yield items[begin:end]


async def slice_bounds(count: int, size: int) -> AsyncIterator[tuple[int, int]]:
    """Yield the start and the end of each slice of `count` items. Other tasks run between two slices."""
    for begin in range(0, count, size):
        if begin:
            await asyncio.sleep(0)
        yield begin, min(begin + size, count)


async def run_steps(steps: Generator[None, None, T]) -> T:
    """Run all steps of a generator, and return its result. Other tasks run after each step."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
        await asyncio.sleep(0)


async def json_array_response(slices: AsyncIterator[Sequence[bytes]]) -> Response:
    """Return a response with a JSON array. `slices` yields the encoded elements.

    The server encodes each slice of a long array only after the client has read the previous slices. Without this wait,
    the responses to slow clients could fill the memory.
    """
    objects = list[bytes]()
    async for part in slices:
        objects += part
        if len(objects) > OBJECTS_PER_SLICE:
            return StreamingResponse(_encode_array(objects, slices), media_type="application/json")
    return Response(b"[" + b",".join(objects) + b"]", media_type="application/json")


async def _encode_array(objects: list[bytes], further: AsyncIterator[Sequence[bytes]]) -> AsyncIterator[bytes]:
    first = b"[" + b",".join(objects)
    objects.clear()
    yield first
    async for part in further:
        if part:
            yield b"," + b",".join(part)
    yield b"]"
