"""Good readers while others attack: how late quotes are without and with slow heads, stalled readers and bad tokens.

    python benchmarks/attack.py [--seconds 12]

A server of its own, with tokens. 500 good readers of 20 symbols that are published 20 times a second. Then besides them
2,000 connections that send a head a byte a second (and come again when they are cut), 500 readers that never read, and
200 requests a second with a forged token. Prints how late quotes are, from the publisher's clock to the reader's.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

import uvloop

from tickwire.client.publisher import Publisher
from tickwire.testing.server import ServerProcess
from tickwire.testing.tokens import SECRET, bearer, token

GOOD, SLOW_HEADS, STALLED, FORGED_RATE = 500, 2_000, 500, 200
SYMBOLS, ROUNDS = 20, 20  # quotes in a round, rounds a second
TS = re.compile(rb'"ts":(\d+)')


class Good:
    """A reader: notes how late each piece that comes is, in milliseconds."""

    late: ClassVar[list[float]] = []

    async def read(self, host: str, port: int) -> None:
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(_request(bearer(token(sub="good"))))
        while piece := await reader.read(65_536):
            found = TS.findall(piece)
            if found:
                self.late.append(time.time() * 1000 - int(found[-1]) / 1000)


async def slow_head(host: str, port: int, cut: list[int]) -> None:
    while True:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection(host, port)
            writer.write(b"GET /v1/stream HTTP/1.1\r\nX-A: ")
            while not writer.transport.is_closing():
                await asyncio.sleep(1)
                writer.write(b"a")
            cut[0] += 1


async def stalled(host: str, port: int) -> None:
    connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(connection, (host, port))
    await loop.sock_sendall(connection, _request(bearer(token(sub="stalled"))))
    try:
        await asyncio.Event().wait()
    finally:
        connection.close()


async def forge(host: str, port: int, refused: list[int]) -> None:
    headers = bearer(token(key="not the server's secret, though it is as long as it"))
    while True:
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(_request(headers))
        refused[0] += (await reader.readline()).startswith(b"HTTP/1.1 401")
        writer.close()
        await asyncio.sleep(10 / FORGED_RATE)


async def publish(url: str) -> None:
    async with Publisher(url, token=token("publish")) as publisher:
        due = time.monotonic()
        while True:
            now = int(time.time() * 1e6)
            ticks = [{"symbol": f"S{number}", "last": now % 1000 + 1, "ts": now} for number in range(SYMBOLS)]
            await publisher.publish(ticks)
            due += 1 / ROUNDS
            await asyncio.sleep(max(0, due - time.monotonic()))


async def measured(seconds: float) -> dict[str, float]:
    await asyncio.sleep(2)  # everybody is there
    Good.late.clear()
    await asyncio.sleep(seconds)
    late = sorted(Good.late)
    picked = {name: round(late[int(len(late) * part)], 1) for name, part in (("p50", 0.5), ("p99", 0.99))}
    return {**picked, "most": round(late[-1], 1), "pieces_per_s": round(len(late) / seconds)}


async def run(seconds: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        options = ("--feed", "http", "--journal", "memory", "--auth", "secret", "--auth-secret", SECRET)
        async with ServerProcess(*options, "--log-level", "warning", cwd=Path(folder)) as server:
            host, port = urlsplit(server.url).hostname or "", urlsplit(server.url).port or 0
            tasks = [asyncio.create_task(Good().read(host, port)) for _ in range(GOOD)]
            tasks.append(asyncio.create_task(publish(server.url)))
            print("alone      ", json.dumps(await measured(seconds)), flush=True)
            cut, refused = [0], [0]
            tasks += [asyncio.create_task(slow_head(host, port, cut)) for _ in range(SLOW_HEADS)]
            tasks += [asyncio.create_task(stalled(host, port)) for _ in range(STALLED)]
            tasks += [asyncio.create_task(forge(host, port, refused)) for _ in range(10)]
            print("under attack", json.dumps(await measured(seconds)), flush=True)
            print(f"slow heads cut: {cut[0]}, forged tokens refused: {refused[0]}")
            print("failed:", [repr(task.exception()) for task in tasks if task.done()][:3])
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def _request(headers: dict[str, str]) -> bytes:
    lines = [
        "GET /v1/stream HTTP/1.1",
        "Host: localhost",
        *(f"{name}: {value}" for name, value in headers.items()),
        "",
        "",
    ]
    return "\r\n".join(lines).encode()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=12)
    uvloop.run(run(parser.parse_args().seconds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
