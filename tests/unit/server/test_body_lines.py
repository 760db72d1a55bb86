"""The lines of a request body of unlimited length."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from tickwire.server.transport.body_lines import MAX_LINES, BodyLine, BodyLines


async def read_parts(parts: list[bytes]) -> list[list[BodyLine]]:
    received = 0

    async def receive() -> dict[str, Any]:
        nonlocal received
        received += 1
        return {"type": "http.request", "body": parts[received - 1], "more_body": received < len(parts)}

    return [[*lines] async for lines in BodyLines({"headers": []}, receive, asyncio.Event()).parts()]


async def test_few_lines_are_in_memory_at_a_time() -> None:
    """A part of a few hundred KB with lines of a single byte would otherwise occupy tens of MB."""
    batches = await read_parts([b"1\n" * 10_500])
    assert [len(batch) for batch in batches] == 10 * [MAX_LINES] + [500]
    assert batches[-1][-1] == BodyLine(10_500, b"1")


async def test_the_parts_of_a_body_do_not_change_its_lines() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    for count in (0, 1, MAX_LINES - 1, MAX_LINES, MAX_LINES + 1, 2 * MAX_LINES):
        texts = [b"x" * rng.randrange(4) for _ in range(count)]
        body = b"\n".join(texts) + rng.choice([b"", b"\n"])
        cuts = sorted(rng.randrange(len(body) + 1) for _ in range(rng.randrange(6)))
        parts = [body[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(body)], strict=True)]
        lines = [line for batch in await read_parts(parts) for line in batch]
        assert lines == [BodyLine(number, text) for number, text in enumerate(texts, 1) if text]
