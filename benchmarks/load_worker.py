"""One process of the load test. It runs clients of the REST API and readers of streams.

The process reads a plan, and prints a result.

`load_test.py` starts the processes: `python -m benchmarks.load_worker` with the plan as JSON on standard input.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import sys
import time
from collections import Counter

import msgspec
import uvloop

from benchmarks.load_scenarios import SYMBOLS, SYMBOLS_PER_READER, Request, Scenarios, sequence_of

_CONTENT_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
_ANSWER_TIMEOUT_S = 30.0


class WorkerPlan(msgspec.Struct, frozen=True):
    """The work of one process. `rate` is in requests per second. `begins_at` is the wall-clock time of the start."""

    host: str
    port: int
    token: str
    begins_at: float
    seconds: int
    rate: float
    connections: int
    readers: int
    publishes: bool
    seed: int


class WorkerResult(msgspec.Struct):
    """The result of one process.

    `latencies_us` contains the latency of each successful request. `latency_seconds` contains, for each of these
    requests, the number of seconds from the start of the test to the answer. `id_errors` counts the events whose id was
    lower than the id of the previous event.
    """

    cpu_s: float
    latencies_us: list[int]
    latency_seconds: list[int]
    failures: dict[str, int]
    scenarios: dict[str, int]
    first_event_us: list[int]
    events: int
    id_errors: int
    gaps: int
    lost_readers: int


class LoadWorker:
    """The clients of one process."""

    def __init__(self, plan: WorkerPlan) -> None:
        self._plan = plan
        self._rng = random.Random(plan.seed)
        self._authorization = f"Authorization: Bearer {plan.token}\r\n" if plan.token else ""
        self._failures, self._scenarios = Counter[str](), Counter[str]()
        self._latencies_us: list[int] = []
        self._latency_seconds: list[int] = []
        self._first_event_us: list[int] = []
        self._events = self._id_errors = self._gaps = self._lost_readers = 0
        self._ends_at = plan.begins_at + plan.seconds

    async def run(self) -> WorkerResult:
        """Connect, wait until `begins_at`, and run until the end of the test."""
        plan = self._plan
        if plan.publishes:
            await self._publish_quotes()
        readers = [asyncio.create_task(self._read_stream(number)) for number in range(plan.readers)]
        await asyncio.sleep(plan.begins_at - time.time())
        cpu_before = time.process_time()
        clients = [self._run_client(number) for number in range(plan.connections)]
        await asyncio.gather(*clients)
        cpu_s = time.process_time() - cpu_before
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
        return WorkerResult(
            cpu_s, self._latencies_us, self._latency_seconds, dict(self._failures), dict(self._scenarios),
            self._first_event_us, self._events, self._id_errors, self._gaps, self._lost_readers,
        )  # fmt: skip

    async def _publish_quotes(self) -> None:
        reader, writer = await asyncio.open_connection(self._plan.host, self._plan.port)
        request = Scenarios(self._rng, publishes=True).first_import()
        status = await self._exchange(reader, writer, request)
        writer.close()
        if status != request.expected:
            raise SystemExit(f"the server answers {status} to a publish request: use a token with the scope publish")

    async def _run_client(self, number: int) -> None:
        """Send requests on one connection, at the client's share of the rate. If the client is late, it still sends
        every request."""
        scenarios = Scenarios(random.Random(self._plan.seed * 10_007 + number), publishes=self._plan.publishes)
        interval_s = self._plan.connections / self._plan.rate
        due_at = self._plan.begins_at + interval_s * number / self._plan.connections
        while due_at < self._ends_at and time.time() < self._ends_at:
            try:
                reader, writer = await asyncio.open_connection(self._plan.host, self._plan.port)
                with contextlib.closing(writer):
                    while due_at < self._ends_at and time.time() < self._ends_at:
                        await asyncio.sleep(due_at - time.time())
                        due_at += interval_s
                        await self._measure(reader, writer, scenarios.next_request())
            except (OSError, EOFError, TimeoutError) as error:
                self._failures[type(error).__name__] += 1

    async def _measure(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: Request) -> None:
        begun_at = time.perf_counter()
        async with asyncio.timeout(_ANSWER_TIMEOUT_S):
            status = await self._exchange(reader, writer, request)
        self._scenarios[request.scenario] += 1
        if status == request.expected:
            self._latencies_us.append(round((time.perf_counter() - begun_at) * 1e6))
            self._latency_seconds.append(int(time.time() - self._plan.begins_at))
        else:
            self._failures[f"{request.scenario}: status {status}"] += 1

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: Request) -> int:
        key = f"Idempotency-Key: {request.key}\r\n" if request.key else ""
        head = (
            f"{request.method} {request.path} HTTP/1.1\r\nHost: {self._plan.host}\r\n"
            f"Content-Length: {len(request.body)}\r\n{key}{self._authorization}\r\n"
        )
        writer.write(head.encode() + request.body)
        answer = await reader.readuntil(b"\r\n\r\n")
        length = _CONTENT_LENGTH.search(answer)
        if length is not None:
            await reader.readexactly(int(length[1]))
        return int(answer[9:12])

    async def _read_stream(self, number: int) -> None:
        """Read one stream until the test ends. After a lost connection, resume the stream after the newest event."""
        await asyncio.sleep(self._rng.random())
        # If the test publishes no symbols, read all symbols of the server.
        symbols = self._rng.sample(SYMBOLS, SYMBOLS_PER_READER) if self._plan.publishes else ["*"]
        last_id = ""
        while True:
            try:
                last_id = await self._read_connection(f"load{self._plan.seed}-{number}", ",".join(symbols), last_id)
            except (OSError, EOFError, ValueError):
                self._lost_readers += 1
                await asyncio.sleep(1)

    async def _read_connection(self, client_id: str, symbols: str, last_id: str) -> str:
        begun_at = time.perf_counter()
        reader, writer = await asyncio.open_connection(self._plan.host, self._plan.port, limit=2**20)
        with contextlib.closing(writer):
            resume = f"Last-Event-ID: {last_id}\r\n" if last_id else ""
            writer.write(
                f"GET /v1/stream?client_id={client_id}&symbols={symbols} HTTP/1.1\r\nHost: {self._plan.host}\r\n"
                f"{resume}{self._authorization}\r\n".encode()
            )
            answer = await reader.readuntil(b"\r\n\r\n")
            if answer[9:12] != b"200":
                raise ValueError(answer[:60])
            newest, waits = sequence_of(last_id), True
            async for line in _lines(reader):
                if line.startswith(b"id: "):
                    sequence = sequence_of(line[4:].decode())
                    # An equal id is not an error, because several events, such as the events of a snapshot, may have
                    # the same id.
                    self._id_errors += sequence < newest
                    newest, last_id = sequence, line[4:].decode()
                    self._events += 1
                    if waits:
                        waits = False
                        self._first_event_us.append(round((time.perf_counter() - begun_at) * 1e6))
                elif line == b"event: gap":
                    self._gaps += 1
        return last_id


async def _lines(reader: asyncio.StreamReader):  # type: ignore[no-untyped-def]  # an asynchronous generator of bytes
    """Yield the lines of a chunked response."""
    rest = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        *lines, rest = (rest + (await reader.readexactly(size + 2))[:-2]).split(b"\n")
        for line in lines:
            yield line


def main() -> None:
    """Read a plan from standard input, run it, and print the result."""
    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=WorkerPlan)
    sys.stdout.buffer.write(msgspec.json.encode(uvloop.run(LoadWorker(plan).run())))


if __name__ == "__main__":
    main()
