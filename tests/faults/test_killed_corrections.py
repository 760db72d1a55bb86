"""kill -9 between the event of a correction and its ticks: readers receive each correction exactly once."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tickwire.clock import SystemClock
from tickwire.core.codec import decode_json
from tickwire.core.correction import TradeCorrection
from tickwire.core.event import RecordKind, decode_named_event
from tickwire.core.tick import ticks_from_bytes
from tickwire.journal.base import Retention
from tickwire.journal.sqlite.journal import SQLiteJournal
from tickwire.recordings.recorder import RECORDING_COLUMNS
from tickwire.testing.marks import short_and_long
from tickwire.testing.server import ServerProcess
from tickwire.testing.waiting import wait_until

T0_US = 1_767_366_000_000_000
CANCELS_PER_REQUEST = 50


async def read_journal(path: Path) -> tuple[list[TradeCorrection], list[float]]:
    """Return the corrections in the order of the journal, and the sizes of all ticks."""
    journal = await SQLiteJournal.open(path, Retention(), SystemClock())
    records = await journal.read(0, limit=10**9)
    await journal.close()
    events = [decode_named_event(record) for record in records if record.kind is RecordKind.NAMED_EVENT]
    corrections = [decode_json(bytes(event.data), TradeCorrection) for event in events if event.name == "correction"]
    batches = [ticks_from_bytes(record.data) for record in records if record.kind is RecordKind.TICKS]
    return corrections, [size for ticks in batches for size in ticks["size"].tolist()]


async def wait_for_head(url: str, head: int) -> None:
    async with httpx2.AsyncClient(base_url=url) as client:

        async def has_arrived() -> bool:
            text = (await client.get("/metrics")).text
            return any(
                line.startswith("tickwire_journal_head ") and float(line.rpartition(" ")[2]) >= head
                for line in text.splitlines()
            )

        await wait_until(has_arrived)


@short_and_long("rounds", short=2, long=40)
async def test_a_replay_repeats_no_correction(tmp_path: Path, rounds: int) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng, trades = random.Random(seed), 400 * (rounds + 1)
    rows = [",".join(RECORDING_COLUMNS)]
    sizes = [size for number in range(1, trades + 1) for size in (number, -number)]
    rows += [f"x,{T0_US + abs(size)},A,10.0,{size},,,,," for size in sizes]
    file = tmp_path / "recording.csv"
    file.write_text("\n".join(rows) + "\n")
    options = ("--feed", f"replay:{file}", "--speed", "0", "--journal", f"sqlite:{tmp_path / 'j'}")
    head = 0
    for _ in range(rounds):
        async with ServerProcess(*options, cwd=tmp_path) as server:
            # The corrections of a batch precede its ticks, and each of them is a commit. So a kill nearly always comes
            # between a correction and its ticks.
            head += rng.randint(50, 350)
            await wait_for_head(server.url, head)
            await server.kill()
    async with ServerProcess(*options, cwd=tmp_path) as server:
        await wait_for_head(server.url, 3 * trades)
    corrections, journaled_sizes = await read_journal(tmp_path / "j")
    assert [each.size for each in corrections] == [float(number) for number in range(1, trades + 1)]
    assert journaled_sizes == sizes


@pytest.mark.parametrize("path", ["/v1/corrections", "/v1/quotes"])
@short_and_long("rounds", short=2, long=40)
async def test_a_repeated_request_repeats_no_correction(tmp_path: Path, rounds: int, path: str) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng, number = random.Random(seed), 0
    options = ("--feed", "http", "--journal", f"sqlite:{tmp_path / 'j'}")

    async def publish(client: httpx2.AsyncClient) -> None:
        nonlocal number
        facts = {"cancel": True} if path == "/v1/quotes" else {}
        sizes = range(number * CANCELS_PER_REQUEST + 1, (number + 1) * CANCELS_PER_REQUEST + 1)
        body = [{"symbol": "A", "ts": T0_US, "last": 10.0, "size": size, **facts} for size in sizes]
        answer = await client.post(path, json=body, headers={"Idempotency-Key": f"k{number}"})
        assert answer.is_success, answer.text
        number += 1

    async def publish_until_killed(client: httpx2.AsyncClient) -> None:
        with contextlib.suppress(httpx2.TransportError):
            while True:
                await publish(client)

    for is_last in [False] * rounds + [True]:
        async with ServerProcess(*options, cwd=tmp_path) as server, httpx2.AsyncClient(base_url=server.url) as client:
            first = {"symbol": "A", "ts": T0_US, "last": 10.0, "size": 1e9}
            answer = await client.post("/v1/quotes", json=[first], headers={"Idempotency-Key": "first"})
            assert answer.is_success
            # The first request repeats the request that the previous kill has interrupted.
            await publish(client)
            if is_last:
                break
            publishing = asyncio.create_task(publish_until_killed(client))
            goal, polls = number + rng.randint(1, 5), iter(range(rng.randint(0, 20)))

            def is_time(goal: int = goal, polls: Iterator[int] = polls) -> bool:
                return number >= goal and next(polls, None) is None

            await wait_until(is_time, poll_interval_s=0.0005)
            await server.kill()
            await publishing
    corrections, sizes = await read_journal(tmp_path / "j")
    expected = [float(size) for size in range(1, number * CANCELS_PER_REQUEST + 1)]
    assert Counter(each.size for each in corrections) == Counter(expected)
    assert [-size for size in sizes[1:]] == expected
