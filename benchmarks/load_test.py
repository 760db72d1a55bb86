"""The load test: REST clients and readers of streams, a table of targets, and a report with plots.

The test measures a server at any address, or starts a server. It reads the CPU time and the memory of the server from
`GET /metrics`, so the server may run on another machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import httpx2
import msgspec
import numpy as np

from benchmarks.linear_fit import fit_line
from benchmarks.load_scenarios import SYMBOLS
from benchmarks.load_worker import WorkerPlan, WorkerResult
from benchmarks.machine import available_cores
from benchmarks.process import run_program
from tickwire.client.token import bearer_header
from tickwire.errors import ClientError, InputError
from tickwire.testing.ports import find_free_port

TARGET_RATE, TARGET_READERS = 5_000, 1_000
MIN_SUCCESS, MAX_P95_MS, MAX_CPU, MAX_GROWTH = 0.99, 100.0, 0.75, 0.05
# If the achieved rate is below this share of the requested rate, the load processes may have been too slow.
_MIN_RATE_SHARE = 0.98
_CONNECTIONS_PER_PROCESS = 32
# The time in which the processes start and the streams open.
_START_S = 4.0
_SERVER_OPTIONS = ("--feed", "http", "--keep-events", "20000", "--log-level", "warning")
# After this number of events, the event window of a server has its full size. The window then no longer increases the
# memory of the server.
_WARM_UP_EVENTS, _TICKS_PER_REQUEST = 70_000, 1_000
_SAMPLES = ("process_cpu_seconds_total", "process_resident_memory_bytes", "tickwire_readers")


class LoadOptions(NamedTuple):
    """The load of the test. If `url` is empty, the test starts its own server."""

    url: str = ""
    rate: float = TARGET_RATE
    readers: int = TARGET_READERS
    seconds: int = 60
    processes: int = 1
    publishes: bool = True
    seed: int = 1


class ServerSample(NamedTuple):
    """The CPU time, the memory and the readers of the server. `at_s` is the time since the start of the test."""

    at_s: float
    cpu_s: float
    memory_bytes: float
    readers: float


class Target(NamedTuple):
    """A row of the result: a measured figure and its target. `is_met` is None if the test gives no verdict."""

    item: str
    target: str
    measured: str
    is_met: bool | None


class LoadResult(NamedTuple):
    """The result of a load test: the options, the results of the load processes, and the samples of the server."""

    options: LoadOptions
    workers: Sequence[WorkerResult]
    samples: Sequence[ServerSample]

    @property
    def latencies_ms(self) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return np.concatenate([np.asarray(worker.latencies_us, float) for worker in self.workers]) / 1000

    @property
    def latency_seconds(self) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        return np.concatenate([np.asarray(worker.latency_seconds, np.int64) for worker in self.workers])

    @property
    def first_event_ms(self) -> list[float]:
        return [value / 1000 for worker in self.workers for value in worker.first_event_us]

    @property
    def failures(self) -> dict[str, int]:
        names = {name for worker in self.workers for name in worker.failures}
        return {name: sum(worker.failures.get(name, 0) for worker in self.workers) for name in sorted(names)}

    @property
    def achieved_rate(self) -> float:
        return (len(self.latencies_ms) + sum(self.failures.values())) / self.options.seconds

    @property
    def cpu_share(self) -> float:
        """The CPU time of the server per second of the test."""
        first, last = self.samples[0], self.samples[-1]
        return (last.cpu_s - first.cpu_s) / (last.at_s - first.at_s)

    @property
    def typical_readers(self) -> float:
        """The median number of connected readers."""
        return float(np.median([sample.readers for sample in self.samples]))

    @property
    def load_side_is_limit(self) -> bool:
        """Whether the achieved rate is too low because a load process used most of its core."""
        busiest = max(worker.cpu_s for worker in self.workers) / self.options.seconds
        return self.achieved_rate < _MIN_RATE_SHARE * self.options.rate and busiest > 0.85


def measure_load(options: LoadOptions, token: str) -> LoadResult:
    """Run the test. Raise ClientError if the server cannot be measured."""
    with _server(options) as url:
        if not options.url:
            _warm_up(url)
        return asyncio.run(_measure(options._replace(url=url), token))


def _warm_up(url: str) -> None:
    ticks = [{"symbol": SYMBOLS[number % len(SYMBOLS)], "last": 1.0} for number in range(_TICKS_PER_REQUEST)]
    with httpx2.Client(base_url=url, timeout=30) as client:
        for _ in range(_WARM_UP_EVENTS // _TICKS_PER_REQUEST):
            client.post("/v1/quotes", json=ticks).raise_for_status()


@contextlib.contextmanager
def _server(options: LoadOptions) -> Iterator[str]:
    if options.url:
        if urlsplit(options.url).scheme != "http":
            raise InputError(f"{options.url!r} is not an http:// address: measure the server without TLS", field="url")
        yield options.url.rstrip("/")
        return
    port = find_free_port()
    command = [sys.executable, "-m", "tickwire", "serve", "--port", str(port), *_SERVER_OPTIONS]
    with (
        tempfile.TemporaryDirectory(prefix="tickwire-load-") as folder,
        run_program(command, port, Path(folder), {}, reports_ready=True),
    ):
        yield f"http://127.0.0.1:{port}"


async def _measure(options: LoadOptions, token: str) -> LoadResult:
    begins_at = time.time() + _START_S
    address = urlsplit(options.url)
    readers = _split(options.readers, options.processes)
    plans = [
        WorkerPlan(
            host=address.hostname or "127.0.0.1",
            port=address.port or 80,
            token=token,
            begins_at=begins_at,
            seconds=options.seconds,
            rate=options.rate / options.processes,
            connections=_CONNECTIONS_PER_PROCESS,
            readers=readers[number],
            publishes=options.publishes,
            seed=options.seed * 1_000 + number,
        )
        for number in range(options.processes)
    ]
    async with httpx2.AsyncClient(base_url=options.url, headers=bearer_header(token or None), timeout=30) as client:
        sampling = asyncio.create_task(_sample_server(client, begins_at, options.seconds))
        workers = await asyncio.gather(*(_run_worker(plan) for plan in plans))
        return LoadResult(options, workers, await sampling)


def _split(total: int, parts: int) -> list[int]:
    return [total // parts + (number < total % parts) for number in range(parts)]


async def _run_worker(plan: WorkerPlan) -> WorkerResult:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.load_worker", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate(msgspec.json.encode(plan))
    if process.returncode:
        raise ClientError("a process of the load test has failed: see its message above")
    return msgspec.json.decode(output, type=WorkerResult)


async def _sample_server(client: httpx2.AsyncClient, begins_at: float, seconds: int) -> list[ServerSample]:
    """Read the metrics of the server once a second."""
    samples = []
    for number in range(seconds + 1):
        await asyncio.sleep(begins_at + number - time.time())
        try:
            answer = await client.get("/metrics")
        except httpx2.TransportError as error:
            raise ClientError(f"the server does not answer: {error}") from None
        if not answer.is_success:
            raise ClientError(f"GET /metrics answers {answer.status_code}: use a token with the scope metrics")
        values = dict(line.rsplit(" ", 1) for line in answer.text.splitlines() if line.startswith(_SAMPLES))
        if len(values) < len(_SAMPLES):
            raise ClientError("the server runs on a system without /proc, so its memory cannot be measured")
        cpu_s, memory, readers = (float(values[name]) for name in _SAMPLES)
        samples.append(ServerSample(time.time() - begins_at, cpu_s, memory, readers))
    return samples


def compare_with_targets(result: LoadResult) -> list[Target]:
    """Return the rows of the result: the measured figures and their targets."""
    options, latencies = result.options, result.latencies_ms
    total = len(latencies) + sum(result.failures.values())
    success = len(latencies) / total if total else 0.0
    p95 = float(np.percentile(latencies, 95)) if len(latencies) else float("inf")
    growth = memory_growth(result.samples)
    first_events = result.first_event_ms
    id_errors, gaps, lost = (
        sum(getattr(worker, name) for worker in result.workers) for name in ("id_errors", "gaps", "lost_readers")
    )
    reached = "the load generator was the limit" if result.load_side_is_limit else ""
    rate_is_met = None if reached else result.achieved_rate >= _MIN_RATE_SHARE * options.rate
    first_event = f"{np.percentile(first_events, 95):.0f} ms" if first_events else "no event"
    return [
        Target("requests per second", f"{options.rate:,.0f}", f"{result.achieved_rate:,.0f} {reached}", rate_is_met),
        Target("readers", f"{options.readers:,}", f"{result.typical_readers:,.0f}",
               result.typical_readers >= options.readers),
        Target("expected answers", f">= {MIN_SUCCESS:.0%}", f"{success:.2%}", success >= MIN_SUCCESS),
        Target("latency, 95 %", f"<= {MAX_P95_MS:.0f} ms", f"{p95:.1f} ms", p95 <= MAX_P95_MS),
        Target("CPU of the server", f"<= {MAX_CPU:.0%} of a core", f"{result.cpu_share:.0%}",
               result.cpu_share <= MAX_CPU),
        Target("growth of the memory", f"<= {MAX_GROWTH:.0%}", f"{max(0.0, growth):.1%}", growth <= MAX_GROWTH),
        Target("first event, 95 %", "", first_event, None),
        Target("ids that decrease", "0", f"{id_errors:,}", id_errors == 0),
        Target("gaps and lost streams", "0", f"{gaps + lost:,}", gaps + lost == 0),
    ]  # fmt: skip


def memory_growth(samples: Sequence[ServerSample]) -> float:
    """Return the lower bound of the memory growth in the second half of the test.

    Ignore the first half, in which caches of fixed size fill.
    """
    half = samples[len(samples) // 2 :]
    times = [sample.at_s for sample in half]
    return fit_line(times, [sample.memory_bytes for sample in half]).growth(times)


def default_processes() -> int:
    """Return the number of cores that remain for the load processes: all cores except one for the server."""
    return max(1, len(available_cores()) - 1)


def token_from_environment() -> str:
    return os.environ.get("TICKWIRE_TOKEN", "")
