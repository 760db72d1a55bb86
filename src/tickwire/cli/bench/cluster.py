"""What NATS adds: appends a second and the time from append to follower, beside the journals of one process."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import NamedTuple

from tickwire.cli.bench.local import append_rate, bench_ticks
from tickwire.cli.bench.process import Server, free_port, running
from tickwire.cli.bench.report import Row
from tickwire.clock import SystemClock
from tickwire.core.event import ticks_entry
from tickwire.journal.base import Journal, Retention
from tickwire.journal.memory import MemoryJournal
from tickwire.journal.nats.program import find_server
from tickwire.journal.open import JournalOptions, opened_journal
from tickwire.journal.sqlite import SQLiteJournal

COLUMNS = {"ticks_per_s": "ticks/s", "us_per_append": "us/append", "p50_ms": "p50 ms", "p99_ms": "p99 ms"}
_BATCHES = (1, 100, 500)
_PACED = 200  # appends a second while the way is timed
_PACED_TICKS = 100  # in each: 20,000 ticks a second
MISSING = "nats-server is not on this machine (Debian: apt-get install nats-server)"


def cluster(seconds: float) -> list[Row]:
    """The journal on NATS: appends a second, and how long a batch is on its way to a follower."""
    return asyncio.run(_cluster(seconds))


async def _cluster(seconds: float) -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="tickwire-bench-", dir=Path.cwd()) as name, nats_server(Path(name)) as nats:
        rows, url = [], nats and nats.url
        if url is not None:
            for count in _BATCHES:
                async with _opened(url, f"bench{count}") as opened:
                    rows.append(await append_rate(f"nats, {count} a batch", opened, count, seconds))
        rows += await _ways(Path(name), url, seconds)
    return rows if url is not None else [*rows, {"name": "nats", "missing": MISSING}]


async def _ways(folder: Path, url: str | None, seconds: float) -> list[Row]:
    """From append to follower, in the same process and, on NATS, in another place of it."""
    memory = MemoryJournal(Retention(), SystemClock())
    rows = [await _way("to a follower, memory", memory, memory, seconds)]
    file = await SQLiteJournal.open(folder / "way", Retention(), SystemClock())
    rows.append(await _way("to a follower, sqlite", file, file, seconds))
    for each in (memory, file):
        await each.close()
    if url is not None:
        async with _opened(url, "way") as one, _opened(url, "way") as two:
            rows.append(await _way("to a follower, nats", one, two, seconds))
    return rows


async def _way(name: str, into: Journal, out: Journal, seconds: float) -> Row:
    """Appends at an even pace; each batch's first tick says when it was appended."""
    ticks, took = bench_ticks(_PACED_TICKS), list[float]()
    sent: dict[int, float] = {}

    async def follow() -> None:
        async for records in out.follow(0):
            now = time.perf_counter()
            took.extend(now - sent.pop(record.first) for record in records if record.first in sent)

    following = asyncio.create_task(follow())
    begin, first = time.perf_counter(), 1
    for number in range(int(seconds * _PACED)):
        await asyncio.sleep(max(0.0, begin + number / _PACED - time.perf_counter()))
        sent[first] = time.perf_counter()
        first = (await into.append(ticks_entry(ticks, source="bench"))).last + 1
    await asyncio.sleep(0.1)
    following.cancel()
    cuts = statistics.quantiles(took, n=100)
    return {"name": name, "p50_ms": round(1e3 * cuts[49], 3), "p99_ms": round(1e3 * cuts[98], 3)}


class Nats(NamedTuple):
    """A running NATS server."""

    url: str
    server: Server


@contextlib.contextmanager
def nats_server(folder: Path) -> Iterator[Nats | None]:
    """A NATS server of our own, on the first core; None where there is no program for it."""
    program = find_server()
    if program is None:
        yield None
        return
    port = free_port()
    command = [program, "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(folder / "nats")]
    with running(command, port, folder, {}) as server:
        yield Nats(f"nats://127.0.0.1:{port}", server)


@contextlib.asynccontextmanager
async def _opened(url: str, name: str) -> AsyncIterator[Journal]:
    async with opened_journal(f"{url}/{name}", JournalOptions(candidate=False), SystemClock()) as (journal, _):
        yield journal
