"""Measure the latency of well-behaved readers, without and during an attack."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

import uvloop

from benchmarks.report import Row
from tickwire.client.publisher import Publisher
from tickwire.testing.server import ServerProcess
from tickwire.testing.tokens import TEST_SECRET, bearer_header, sign_token

COLUMNS = {
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "max_ms": "max ms",
    "pieces_per_s": "pieces/s",
    "heads_cut": "heads cut",
    "tokens_refused": "refused",
}
_GOOD_READERS = 500
_SLOW_CONNECTIONS = 2_000
_STALLED_READERS = 500
_FORGED_TOKENS_PER_S = 200
_TOKEN_FORGERS = 10
_SYMBOL_COUNT = 20
_PUBLISHES_PER_S = 20
# All readers and attackers connect within this time.
_WARM_UP_S = 2.0
_QUOTE_TIME_PATTERN = re.compile(rb'"ts":(\d+)')


def measure_attack(seconds: float) -> list[Row]:
    """Measure the latency of 500 well-behaved readers, alone and during an attack.

    The server requires tokens. Each well-behaved reader subscribes to 20 symbols, and the publisher sends each symbol
    20 times per second. The attack has three parts. 2,000 connections send a request head at one byte per second, and
    reconnect when the server closes them. 500 readers never read. 200 requests per second have a forged token. The
    latency is the time of receipt minus the time of publishing.
    """
    return uvloop.run(_measure_attack(seconds))


async def _measure_attack(seconds: float) -> list[Row]:
    options = ("--feed", "http", "--journal", "memory", "--auth", "secret", "--log-level", "warning")
    with tempfile.TemporaryDirectory(prefix="tickwire-bench-") as folder:
        async with ServerProcess(*options, "--auth-secret", TEST_SECRET, cwd=Path(folder)) as server:
            address = urlsplit(server.url)
            attack = _Attack(address.hostname or "", address.port or 0)
            tasks = [asyncio.create_task(attack.read_quotes()) for _ in range(_GOOD_READERS)]
            tasks.append(asyncio.create_task(_publish_ticks(server.url)))
            try:
                alone = await attack.measure_latency("alone", seconds)
                tasks += [asyncio.create_task(attack.send_slow_head()) for _ in range(_SLOW_CONNECTIONS)]
                tasks += [asyncio.create_task(attack.open_stalled_reader()) for _ in range(_STALLED_READERS)]
                tasks += [asyncio.create_task(attack.send_forged_tokens()) for _ in range(_TOKEN_FORGERS)]
                attacked = await attack.measure_latency("under attack", seconds)
                failures = [repr(task.exception()) for task in tasks if task.done()]
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
    if failures:
        return [alone, {"name": "under attack", "failed": "; ".join(failures[:3])}]
    return [alone, attacked | {"heads_cut": attack.heads_cut, "tokens_refused": attack.tokens_refused}]


class _Attack:
    """The well-behaved readers and the attackers of one server, and counters of their results."""

    def __init__(self, host: str, port: int) -> None:
        self.heads_cut = 0
        self.tokens_refused = 0
        self._host = host
        self._port = port
        self._latencies_ms: list[float] = []

    async def measure_latency(self, name: str, seconds: float) -> Row:
        """Measure the latency of the well-behaved readers after a warm-up."""
        await asyncio.sleep(_WARM_UP_S)
        self._latencies_ms.clear()
        await asyncio.sleep(seconds)
        latencies_ms = sorted(self._latencies_ms)
        if not latencies_ms:
            return {"name": name, "failed": "no quote arrived"}
        return {
            "name": name,
            "p50_ms": round(latencies_ms[len(latencies_ms) // 2], 1),
            "p99_ms": round(latencies_ms[int(len(latencies_ms) * 0.99)], 1),
            "max_ms": round(latencies_ms[-1], 1),
            "pieces_per_s": round(len(latencies_ms) / seconds),
        }

    async def read_quotes(self) -> None:
        """Read a stream as a well-behaved reader. Record the age of the newest quote in each received piece."""
        reader, writer = await asyncio.open_connection(self._host, self._port)
        writer.write(_stream_request(sign_token(sub="good")))
        while piece := await reader.read(65_536):
            times_us = _QUOTE_TIME_PATTERN.findall(piece)
            if times_us:
                self._latencies_ms.append(time.time() * 1000 - int(times_us[-1]) / 1000)

    async def send_slow_head(self) -> None:
        """Send a request head at one byte per second. Reconnect when the server closes the connection."""
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection(self._host, self._port)
                writer.write(b"GET /v1/stream HTTP/1.1\r\nX-A: ")
                while not writer.transport.is_closing():
                    await asyncio.sleep(1)
                    writer.write(b"a")
                self.heads_cut += 1

    async def open_stalled_reader(self) -> None:
        """Open a stream and never read from it."""
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(connection, (self._host, self._port))
            await loop.sock_sendall(connection, _stream_request(sign_token(sub="stalled")))
            await asyncio.Event().wait()

    async def send_forged_tokens(self) -> None:
        """Send requests with a token that is signed with another secret."""
        request = _stream_request(sign_token(key="a wrong secret that is as long as the server's own secret"))
        while True:
            reader, writer = await asyncio.open_connection(self._host, self._port)
            writer.write(request)
            self.tokens_refused += (await reader.readline()).startswith(b"HTTP/1.1 401")
            writer.close()
            await asyncio.sleep(_TOKEN_FORGERS / _FORGED_TOKENS_PER_S)


async def _publish_ticks(url: str) -> None:
    async with Publisher(url, token=sign_token("publish")) as publisher:
        due = time.monotonic()
        while True:
            now_us = int(time.time() * 1e6)
            ticks = [
                {"symbol": f"S{number}", "last": now_us % 1000 + 1, "ts": now_us} for number in range(_SYMBOL_COUNT)
            ]
            await publisher.publish(ticks)
            due += 1 / _PUBLISHES_PER_S
            await asyncio.sleep(max(0, due - time.monotonic()))


def _stream_request(token: str) -> bytes:
    headers = {"Host": "localhost", **bearer_header(token)}
    lines = ["GET /v1/stream HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode()
