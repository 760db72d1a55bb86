"""Connect and disconnect many different clients for a long time, and measure the memory of the server.

Readers come and go with different subscriptions and compressions. They change their subscriptions, store lists, send
incomplete requests, and disconnect in different ways. Other readers stay connected. A server whose memory grows with
the number of past clients would eventually need more memory than the machine has.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
import struct
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.linear_fit import fit_line
from benchmarks.process import ProcessGroup, run_program
from benchmarks.report import Row
from tickwire.calibration.svg_chart import DATA_COLOUR, MODEL_COLOUR, Panel, axis_range, render_document
from tickwire.errors import ClientError
from tickwire.testing.ports import find_free_port

COLUMNS = {
    "mb": "memory MB",
    "files": "open files",
    "threads": "threads",
    "comings": "short-lived clients",
    "changes": "changes",
}
MAX_GROWTH = {"memory": 0.05, "open files": 0.05, "threads": 0.02}
"""The maximum growth of each resource of the server in the second half of the test. For example, 0.05 is 5 %.

The growth is the increase of a straight line through the samples. The line has the smallest slope that the samples
allow with 99.5 % certainty. The first half does not count, because caches of fixed size fill and the allocator reaches
its working size.
"""
STANDING_READERS = 150
_COMINGS_PER_S = 30
# The maximum number of clients that come and go at the same time.
_MAX_VISITORS = 16
# The timeout of a read. On a busy machine, an answer takes a few seconds.
_READ_TIMEOUT_S = 60.0
_CODINGS = ("identity", "gzip", "zstd")
_SYMBOLS = tuple(f"S{number}" for number in range(200))
_SERVER_OPTIONS = ("--feed", "http", "--keep-events", "20000", "--log-level", "warning")
# After this number of events, the event window of the server has its full size.
_WARM_UP_EVENTS = 70_000
_TICKS_PER_PUBLISH = 200
_PUBLISH_INTERVAL_S = 0.05
_MAX_TICKS_PER_REQUEST = 1_000
_QUARTERS = 4
# The time for the server to notice the last disconnections before its memory is measured.
_SETTLE_S = 1.0
# The number of samples in a test. A straight line is fitted to the samples.
_SAMPLES = 240
# A linger time of 0 makes close() reset the connection.
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Sample(NamedTuple):
    """The resources of the server at the time `at_s` of the test. The other fields have the order of MAX_GROWTH."""

    at_s: float
    memory_mb: float
    open_files: float
    threads: float


class SoakResult(NamedTuple):
    """The rows of the result: one for each quarter of the test, and one for the time after all clients have left. The
    second value contains all samples."""

    rows: list[Row]
    samples: list[Sample]


def measure_soak(minutes: float, seed: int) -> SoakResult:
    """Run a server and its clients."""
    print(f"seed {seed}")
    port = find_free_port()
    command = [sys.executable, "-m", "tickwire", "serve", "--port", str(port), *_SERVER_OPTIONS]
    # The random choices of the clients need no cryptographic generator.
    soak = _Soak(port, random.Random(seed))
    with (
        tempfile.TemporaryDirectory(prefix="tickwire-soak-") as name,
        run_program(command, port, Path(name), {}, reports_ready=True) as server,
    ):
        return asyncio.run(_measure_quarters(server, soak, minutes * 60 / _QUARTERS))


def find_growth(samples: Sequence[Sample]) -> dict[str, float]:
    """Return the growth of each resource in the second half of the samples, as a share; see MAX_GROWTH."""
    half = samples[len(samples) // 2 :]
    times = [sample.at_s for sample in half]
    columns = [*zip(*half, strict=True)][1:]
    return {name: fit_line(times, column).growth(times) for name, column in zip(MAX_GROWTH, columns, strict=True)}


def find_leaks(samples: Sequence[Sample]) -> list[str]:
    """Return a sentence for each resource that has grown too much."""
    return [
        f"{name}: at least {growth:.1%} more in the second half; at most {MAX_GROWTH[name]:.0%} is permitted"
        for name, growth in find_growth(samples).items()
        if growth > MAX_GROWTH[name]
    ]


def write_plot(path: Path, samples: Sequence[Sample]) -> None:
    """Write a plot of each resource over time as an SVG file."""
    times = [sample.at_s / 60 for sample in samples]
    panels = []
    for name, column in zip(MAX_GROWTH, [*zip(*samples, strict=True)][1:], strict=True):
        half = len(samples) // 2
        line = fit_line(times[half:], column[half:])
        unit = "MB" if name == "memory" else "number"
        panel = Panel(name, f"{unit}, by minute; dashed: fit of the second half", axis_range(times), axis_range(column))
        panel.draw_line(times, column, DATA_COLOUR)
        fitted = [line.start + line.slope * x for x in times[half:]]
        panel.draw_line(times[half:], fitted, MODEL_COLOUR, dashed=True)
        panels.append(panel)
    legend = (("samples", DATA_COLOUR), ("fit", MODEL_COLOUR))
    path.write_text(render_document("Soak test", "resources of the server", panels, legend=legend), encoding="utf-8")


async def _measure_quarters(server: ProcessGroup, soak: _Soak, seconds: float) -> SoakResult:
    rows: list[Row] = []
    samples: list[Sample] = []
    begun_at = time.monotonic()

    def read_sample() -> Sample:
        open_files, threads = server.count_files_and_threads()
        return Sample(time.monotonic() - begun_at, server.memory_bytes() / 1e6, open_files, threads)

    async def sample_regularly() -> None:
        while True:
            samples.append(read_sample())
            await asyncio.sleep(seconds * _QUARTERS / _SAMPLES)

    async def measure(name: str) -> None:
        await asyncio.sleep(_SETTLE_S)
        _, megabytes, files, threads = read_sample()
        rows.append({
            "name": name, "mb": megabytes, "files": files, "threads": threads, "comings": soak.comings,
            "changes": soak.changes,
        })  # fmt: skip
        print(f"{name}: {megabytes:.1f} MB, {soak.comings:,} short-lived clients, {soak.changes:,} changes", flush=True)

    async with soak.standing_readers():
        # Publish these events while readers are connected. The server then renders the events, so that the event window
        # reaches its full size.
        await soak.publish(_WARM_UP_EVENTS)
        async with soak.running_market(), asyncio.TaskGroup() as tasks:
            sampling = tasks.create_task(sample_regularly())
            await _run_quarters(soak, seconds, measure)
            sampling.cancel()
    await measure("after all have left")
    return SoakResult(rows, samples)


async def _run_quarters(soak: _Soak, seconds: float, measure: Callable[[str], Awaitable[None]]) -> None:
    for quarter in range(1, _QUARTERS + 1):
        await soak.run(seconds)
        await measure(f"quarter {quarter}")


class _Client(NamedTuple):
    """One connection to the server."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, method: str, path: str, body: object = None, headers: str = "") -> None:
        content = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(content)}\r\n{headers}\r\n"
        self.writer.write(head.encode() + content)

    async def read(self) -> bytes:
        """Return the next bytes of the answer."""
        try:
            async with asyncio.timeout(_READ_TIMEOUT_S):
                return await self.reader.read(65_536)
        except TimeoutError:
            raise ClientError(f"the server sends no answer for {_READ_TIMEOUT_S:g} s") from None

    async def close(self, *, reset: bool) -> None:
        if reset:
            self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            self.writer.transport.abort()
        else:
            self.writer.close()
            with contextlib.suppress(OSError):
                await self.writer.wait_closed()


class _Soak:
    """The clients of one soak test."""

    def __init__(self, port: int, rng: random.Random) -> None:
        self.comings = 0
        self.changes = 0
        self._port = port
        self._rng = rng

    @contextlib.asynccontextmanager
    async def standing_readers(self) -> AsyncIterator[None]:
        """Keep STANDING_READERS streams open until the `async with` block ends."""
        clients = [await self._open_stream(f"standing{number}") for number in range(STANDING_READERS)]
        reading = [asyncio.create_task(_discard(client)) for client in clients]
        yield
        for client, task in zip(clients, reading, strict=True):
            task.cancel()
            await client.close(reset=False)

    @contextlib.asynccontextmanager
    async def running_market(self) -> AsyncIterator[None]:
        """Publish ticks until the `async with` block ends."""

        async def run() -> None:
            while True:
                await self.publish(_TICKS_PER_PUBLISH)
                await asyncio.sleep(_PUBLISH_INTERVAL_S)

        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(run())
            yield
            task.cancel()

    async def publish(self, count: int) -> None:
        """Publish `count` ticks."""
        client = await self._connect()
        for begin in range(0, count, _MAX_TICKS_PER_REQUEST):
            ticks = [
                {"symbol": self._rng.choice(_SYMBOLS), "last": self._rng.randint(1, 9_999) / 100}
                for _ in range(min(_MAX_TICKS_PER_REQUEST, count - begin))
            ]
            client.send("POST", "/v1/quotes", ticks)
            await client.read()
        await client.close(reset=False)

    async def run(self, seconds: float) -> None:
        """Let clients come and go at a constant rate.

        The server keeps changed and stored subscriptions for some time, so their number depends on the rate.
        """
        ends_at, slots = time.monotonic() + seconds, asyncio.Semaphore(_MAX_VISITORS)

        async def visit() -> None:
            async with slots:
                self.comings += 1
                kind = self._rng.choice(
                    [self._visit_stream, self._visit_stream, self._visit_rest, self._visit_incomplete]
                )
                await kind(f"c{self.comings}")

        async with asyncio.TaskGroup() as tasks:
            while time.monotonic() < ends_at:
                tasks.create_task(visit())
                await asyncio.sleep(1 / _COMINGS_PER_S)

    async def _open_stream(self, client_id: str) -> _Client:
        client, rng = await self._connect(), self._rng
        symbols = ",".join(rng.sample(_SYMBOLS, rng.randint(1, 20)))
        options = rng.choice(
            ["", "&interval=250ms", "&delivery=all", "&filter=last%3E1", "&candles=1m", "&events=message"]
        )
        coding = f"Accept-Encoding: {rng.choice(_CODINGS)}\r\n"
        client.send("GET", f"/v1/stream?client_id={client_id}&symbols={symbols}{options}", headers=coding)
        await client.read()
        return client

    async def _visit_stream(self, client_id: str) -> None:
        client = await self._open_stream(client_id)
        if self._rng.random() < 0.5:
            admin = await self._connect()
            admin.send("PATCH", f"/v1/clients/{client_id}", {"add": self._rng.sample(_SYMBOLS, 3)})
            await admin.read()
            await admin.close(reset=False)
            self.changes += 1
        await client.close(reset=self._rng.random() < 0.5)

    async def _visit_rest(self, client_id: str) -> None:
        client = await self._connect()
        for method, path, body in (
            ("POST", "/v1/subscriptions", {"symbols": ",".join(self._rng.sample(_SYMBOLS, 50))}),
            ("POST", "/v1/messages", {"event": "news", "data": "x", "target": client_id}),
            ("GET", "/v1/quotes", None),
            ("GET", "/v1/clients?limit=5", None),
            ("GET", "/nothing", None),
        ):
            client.send(method, path, body)
            await client.read()
        await client.close(reset=self._rng.random() < 0.5)

    async def _visit_incomplete(self, _: str) -> None:
        client = await self._connect()
        client.writer.write(self._rng.choice([b"", b"GET /v1/st", b"\0\r\n\r\n", b"POST /v1/quotes HTTP/1.1\r\n"]))
        await client.close(reset=self._rng.random() < 0.5)

    async def _connect(self) -> _Client:
        return _Client(*await asyncio.open_connection("127.0.0.1", self._port))


async def _discard(client: _Client) -> None:
    """Read and discard everything that the server sends."""
    while await client.reader.read(65_536):
        pass
