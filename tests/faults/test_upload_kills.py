"""kill -9 of a publisher, or of the server, at random moments of an upload: the journal has each tick exactly once."""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path

import httpx2

from tickwire.clock import SystemClock
from tickwire.core.event import RecordKind
from tickwire.core.tick import ticks_from_bytes
from tickwire.journal.base import Retention
from tickwire.journal.sqlite.journal import SQLiteJournal
from tickwire.testing.marks import short_and_long
from tickwire.testing.server import ServerProcess
from tickwire.testing.waiting import wait_until

TICKS_PER_ROUND = 3_000


async def start_publish(file: Path, url: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tickwire", "publish", str(file), "--url", url),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )


async def wait_for_price(url: str, process: asyncio.subprocess.Process, goal: float) -> float:
    """Wait until the server has the price `goal` of the symbol A, or the publisher has ended. Return the price."""
    async with httpx2.AsyncClient(base_url=url) as client:
        price = -1.0

        async def has_arrived() -> bool:
            nonlocal price
            answer = await client.get("/v1/quotes/A")
            price = answer.json()["last"] if answer.is_success else price
            return price >= goal or process.returncode is not None

        await wait_until(has_arrived)
        return price


@short_and_long("rounds", short=2, long=200)
async def test_an_upload_survives_kills_of_the_publisher_and_of_the_server(tmp_path: Path, rounds: int) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng, count = random.Random(seed), TICKS_PER_ROUND * (rounds + 2)
    file = tmp_path / "ticks.csv"
    file.write_text("symbol,ts,last\n" + "".join(f"A,{1_767_366_000_000_000 + n},{n}\n" for n in range(count)))
    options, price = ("--feed", "http", "--journal", f"sqlite:{tmp_path / 'j'}"), 0.0
    for number in range(rounds):
        async with ServerProcess(*options, cwd=tmp_path) as server:
            publisher = await start_publish(file, server.url)
            price = await wait_for_price(server.url, publisher, price + rng.randrange(TICKS_PER_ROUND))
            if number % 2:
                await server.kill()
            if publisher.returncode is None:
                publisher.kill()
            await publisher.wait()
    async with ServerProcess(*options, cwd=tmp_path) as server:
        publisher = await start_publish(file, server.url)
        assert await publisher.wait() == 0
    journal = await SQLiteJournal.open(tmp_path / "j", Retention(), SystemClock())
    records = await journal.read(0, limit=10**9, kind=RecordKind.TICKS)
    await journal.close()
    prices = [price for record in records for price in ticks_from_bytes(record.data)["last"].tolist()]
    assert prices == [*map(float, range(count))]
