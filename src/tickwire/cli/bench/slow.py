"""How old prices are for a reader on a slow line."""

from __future__ import annotations

import re
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tickwire.cli.bench.process import free_port, running
from tickwire.cli.bench.report import Row

COLUMNS = {"age_p50_s": "age p50 s", "age_p90_s": "age p90 s", "kb_per_s": "KB/s", "quotes": "quotes"}
_RATE = 20_000  # bytes a second that the reader takes
_WINDOW = 4_096  # its receive buffer: on a slow line little is under way
_SETTLE = 3.0  # seconds until all buffers between the two are as full as they get
_QUOTE = re.compile(rb'"last":.*"ts":(\d+)')


def slow(seconds: float) -> list[Row]:
    """A reader of all symbols that drains 20 KB/s of a market that sends 900 KB/s: the age of the prices it sees."""
    port = free_port()
    options = ["--journal", "memory", "--rate", "30", "--port", str(port)]
    command = [sys.executable, "-m", "tickwire", "serve", *options]
    with tempfile.TemporaryDirectory(prefix="tickwire-bench-") as name, running(command, port, Path(name), {}):
        ages = list(_ages(port, seconds + _SETTLE))
    return [
        {
            "name": "tickwire",
            "age_p50_s": round(statistics.median(ages), 3),
            "age_p90_s": round(statistics.quantiles(ages, n=10)[8], 3),
            "kb_per_s": _RATE / 1000,
            "quotes": len(ages),
        }
    ]


def _ages(port: int, seconds: float) -> Iterator[float]:
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _WINDOW)
        connection.connect(("127.0.0.1", port))
        connection.sendall(b"GET /v1/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
        start, taken, rest = time.monotonic(), 0, b""
        while (passed := time.monotonic() - start) < seconds:
            time.sleep(max(0.0, taken / _RATE - passed))
            part = connection.recv(1_000)
            taken += len(part)
            *lines, rest = (rest + part).split(b"\n")
            now = time.time()
            if passed > _SETTLE:
                yield from (now - int(found[1]) / 1e6 for line in lines if (found := _QUOTE.search(line)))
