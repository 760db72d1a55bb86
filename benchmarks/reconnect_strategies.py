"""Measure reconnect strategies: kill the server, start it again, and let all readers reconnect."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Protocol

from benchmarks.report import Row
from benchmarks.rounds import BenchmarkTask, run_rounds
from tickwire.client.backoff import Backoff
from tickwire.testing.ports import find_free_port
from tickwire.testing.server import ServerProcess
from tickwire.testing.waiting import wait_until

COLUMNS = {
    "mean_ms": "mean ms",
    "p99_ms": "p99 ms",
    "peak_connects_per_s": "peak connects/s",
    "attempts": "attempts per reader",
    "reference_ms": "reference ms",
}
_REQUEST = b"GET /v1/stream?symbols=A HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept-Encoding: identity\r\n\r\n"
_FIRST_EVENT = b"event: welcome"
_FIXED_WAIT_S = 1.0
# The wait before the second attempt, in both exponential strategies.
_FIRST_WAIT_S = 0.5
_MAX_WAIT_S = 30.0
# The peak is the largest number of connects in an interval of this length.
_PEAK_INTERVAL_S = 0.1
# The benchmark fails after this time, for example if readers do not reconnect.
_MAX_DURATION_S = 120.0


class Waits(Protocol):
    """Determines how long one reader waits before each attempt to reconnect, including the first attempt."""

    def next_wait(self) -> float:
        """Return the seconds to wait before the next attempt."""
        ...


class _FixedWaits:
    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def next_wait(self) -> float:
        return self._seconds


class _ExponentialWaits:
    def __init__(self) -> None:
        self._failures = 0

    def next_wait(self) -> float:
        self._failures += 1
        return min(_MAX_WAIT_S, _FIRST_WAIT_S * 2.0 ** (self._failures - 1))


# For each strategy: a function that returns the waits of one reader, and a reference figure. The reference figure is a
# recovery time in milliseconds from the specification of this project. The specification has no figure for the strategy
# with jitter.
_STRATEGIES: dict[str, tuple[Callable[[random.Random], Waits], int | None]] = {
    "immediate": (lambda _rng: _FixedWaits(0.0), 120),
    "fixed, 1 s": (lambda _rng: _FixedWaits(_FIXED_WAIT_S), 300),
    "exponential from 0.5 s": (lambda _rng: _ExponentialWaits(), 180),
    "exponential, full jitter": (lambda rng: Backoff(_FIRST_WAIT_S, _MAX_WAIT_S, rng), None),
}


def measure_strategies(readers: int, rounds: int, *, seed: int) -> list[Row]:
    """Return the recovery times of `readers` readers and the peak of connects per second, one row per strategy.

    The recovery time of a reader begins when the server accepts connections again, and ends with the first event.
    """
    tasks = [BenchmarkTask(name, partial(_measure_strategy, name, readers, seed)) for name in _STRATEGIES]
    return run_rounds(tasks, rounds)


def _measure_strategy(name: str, readers: int, seed: int) -> Row:
    return asyncio.run(_measure(name, readers, seed))


@dataclass
class _Fleet:
    """The readers of one measurement. Times are values of `perf_counter`."""

    port: int
    connected: int = 0
    attempted_at: list[float] = field(default_factory=list)
    recovered_at: list[float] = field(default_factory=list)

    async def run_reader(self, waits: Waits) -> None:
        """Read a stream until the connection is lost, and then reconnect once."""
        reader, writer = await self._open_stream()
        self.connected += 1
        # The server is killed during this read, which then ends.
        await _read_to_end(reader)
        writer.transport.abort()
        while True:
            await asyncio.sleep(waits.next_wait())
            self.attempted_at.append(perf_counter())
            try:
                reader, writer = await self._open_stream()
            except (OSError, asyncio.IncompleteReadError):
                continue
            self.recovered_at.append(perf_counter())
            writer.transport.abort()
            return

    async def _open_stream(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a stream, and wait for its first event."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(_REQUEST)
            await reader.readuntil(_FIRST_EVENT)
        except (OSError, asyncio.IncompleteReadError):
            writer.transport.abort()
            raise
        return reader, writer


async def _read_to_end(reader: asyncio.StreamReader) -> None:
    try:
        while await reader.read(65_536):
            pass
    except OSError:
        return


async def _measure(name: str, readers: int, seed: int) -> Row:
    strategy, reference_ms = _STRATEGIES[name]
    rng = random.Random(seed)
    port = find_free_port()
    with tempfile.TemporaryDirectory() as folder:
        options = ("--feed", "http", "--journal", "memory", "--port", str(port))
        async with ServerProcess(*options, cwd=Path(folder)) as server, asyncio.timeout(_MAX_DURATION_S):
            fleet = _Fleet(port)
            tasks = [asyncio.create_task(fleet.run_reader(strategy(rng))) for _ in range(readers)]
            await wait_until(lambda: fleet.connected == readers, poll_interval_s=0.01)
            await server.kill()
            await server.start()
            back_at = perf_counter()
            await asyncio.gather(*tasks)
    times_ms = sorted(max(0.0, at - back_at) * 1000 for at in fleet.recovered_at)
    return {
        "name": name,
        "mean_ms": sum(times_ms) / readers,
        "p99_ms": times_ms[min(readers - 1, int(readers * 0.99))],
        "peak_connects_per_s": _peak(fleet.attempted_at),
        "attempts": len(fleet.attempted_at) / readers,
        "reference_ms": reference_ms,
    }


def _peak(times: list[float]) -> float:
    """Return the largest number of connects per second in any interval."""
    counts = Counter(int(at / _PEAK_INTERVAL_S) for at in times)
    return max(counts.values()) / _PEAK_INTERVAL_S
