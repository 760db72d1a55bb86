"""A long response is encoded while the client reads it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest
from starlette.responses import StreamingResponse

from tickwire.core.codec import decode_json
from tickwire.server.loop_slices import OBJECTS_PER_SLICE, json_array_response

SLICE = [b"1"] * 100


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7])
async def test_a_response_contains_every_object_and_is_encoded_when_it_is_read(count: int) -> None:
    encoded = 0

    async def encode() -> AsyncIterator[Sequence[bytes]]:
        nonlocal encoded
        for _ in range(count):
            encoded += 1
            yield SLICE

    response = await json_array_response(encode())
    assert encoded <= OBJECTS_PER_SLICE // len(SLICE) + 1
    if isinstance(response, StreamingResponse):
        body = b""
        async for part in response.body_iterator:
            assert encoded <= OBJECTS_PER_SLICE // len(SLICE) + 1 + body.count(b"1") // len(SLICE)
            assert isinstance(part, bytes)
            body += part
    else:
        body = bytes(response.body)
    assert decode_json(body, list[int]) == [1] * count * len(SLICE)
