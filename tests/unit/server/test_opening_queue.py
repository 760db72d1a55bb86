"""Streams open in the order of their requests, a few in each turn of the event loop."""

from __future__ import annotations

import asyncio

import pytest

from tickwire.server import opening_queue
from tickwire.server.opening_queue import OpeningQueue


async def test_each_turn_opens_streams_up_to_its_cost_and_in_order(monkeypatch) -> None:
    monkeypatch.setattr(opening_queue, "_MAX_TURN_COST", 1_000)
    monkeypatch.setattr(opening_queue, "_BASE_COST", 100)
    queue, opened = OpeningQueue(), list[int]()

    async def open_stream(number: int) -> None:
        await queue.wait(150)
        opened.append(number)

    tasks = [asyncio.ensure_future(open_stream(number)) for number in range(20)]
    counts = []
    while len(opened) < 20:
        await asyncio.sleep(0)
        counts.append(len(opened))
        if counts == [4]:
            tasks[6].cancel()
            opened.append(6)
    assert max(after - before for before, after in zip([0, *counts], counts, strict=False)) <= 4
    assert sorted(opened) == [*range(20)]
    assert [number for number in opened if number != 6] == [number for number in range(20) if number != 6]
    # At the beginning of a turn, a request opens its stream without a wait.
    await asyncio.sleep(0)
    with pytest.raises(StopIteration):
        queue.wait(150).send(None)
