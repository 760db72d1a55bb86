"""A graceful stop under load: everybody is told, nothing is lost, and the process ends in time."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from time import perf_counter

import httpx2
import pytest

from tickwire.testing.crowd import Crowd
from tickwire.testing.server import ServerProcess

READERS = int(os.environ.get("TICKWIRE_TEST_READERS", "2000"))  # more by hand: see the figures in docs/performance.md
WINDOW = 10.0  # seconds that the server gives itself
EVENTS = 20  # in a batch
BATCHES = 25  # before the stop: faster than so many readers in one process can take them, so some are behind
ALL = {"delivery": "all", "snapshot": "false"}


class Publisher:
    """Publishes batches one after the other and repeats the one that was not acknowledged, on the next server."""

    def __init__(self) -> None:
        self.batch = 0
        self.first = 0
        self.last = 0

    async def run(self, url: str, batches: int | None = None) -> None:
        """Publish so many batches, or until the server takes no more."""
        async with httpx2.AsyncClient(base_url=url) as client:
            until = None if batches is None else self.batch + batches
            while self.batch != until:
                try:
                    await self._one(client)
                except httpx2.TransportError:
                    return

    async def _one(self, client: httpx2.AsyncClient) -> None:
        ticks = [{"symbol": f"S{place}", "last": float(self.batch)} for place in range(EVENTS)]
        answer = await client.post("/v1/quotes", json=ticks, headers={"Idempotency-Key": f"b{self.batch}"})
        assert answer.is_success, answer.text
        first, last = (int(answer.json()[key].rpartition("-")[2]) for key in ("first_id", "last_id"))
        self.first, self.last, self.batch = self.first or first, last, self.batch + 1


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_a_stop_under_load_tells_everybody_and_loses_nothing(tmp_path: Path) -> None:
    """Each reader gets a `bye` with a time of its own; with its last id at the next server it has every event once."""
    options = ("--feed", "http", "--data", str(tmp_path))
    publisher = Publisher()
    async with ServerProcess(*options, cwd=tmp_path) as server:
        crowd = Crowd(server.url, ALL)
        await crowd.come(READERS)
        publishing = asyncio.create_task(publisher.run(server.url))
        while publisher.batch < BATCHES or any(not reader.ids for reader in crowd.readers):
            await asyncio.sleep(0.01)
        begin = perf_counter()
        assert await server.stop() == 0
        took = perf_counter() - begin
        await asyncio.gather(publishing, crowd.ended())
    told = [reader.retry_ms for reader in crowd.readers if reader.retry_ms is not None]
    print(f"{READERS} readers: ended in {took:.1f} s; {len(told)} byes, to come back in {min(told)} to {max(told)} ms")
    assert took < WINDOW
    assert len(told) == READERS
    assert len(set(told)) > READERS // 10
    async with ServerProcess(*options, cwd=tmp_path) as server:
        again = Crowd(server.url, ALL)
        await again.come(READERS, lambda number: crowd.readers[number].last_id)
        await publisher.run(server.url, batches=3)
        while any(reader.ids[-1:].tolist() != [publisher.last] for reader in again.readers):
            await asyncio.sleep(0.01)
        truth = Crowd(server.url, {**ALL, "since": "earliest"})
        await truth.come(1)
        everything = truth.readers[0].ids
        while len(everything) < EVENTS * publisher.batch:
            await asyncio.sleep(0.01)
        again.leave()
    for before, after in zip(crowd.readers, again.readers, strict=True):
        assert before.ids + after.ids == everything[-len(before.ids + after.ids) :]
        assert before.ids[0] == everything[0]
    print(f"{len(everything)} events, each once, over the restart")
    log = (tmp_path / "server.log").read_text()
    assert "ERROR" not in log, log
    assert "Traceback" not in log, log
