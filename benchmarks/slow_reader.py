"""Measure the age of prices for a reader on a slow line."""

from __future__ import annotations

import re
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.process import run_program
from benchmarks.report import Row
from tickwire.testing.ports import find_free_port

COLUMNS = {"age_p50_s": "age p50 s", "age_p90_s": "age p90 s", "kb_per_s": "KB/s", "quotes": "quotes"}
_BYTES_PER_S = 20_000
# The buffer is small, because few bytes are in flight on a slow line.
_RECEIVE_BUFFER_BYTES = 4_096
# After this time, the buffers between server and reader do not fill further.
_WARM_UP_S = 3.0
_QUOTE_TIME_PATTERN = re.compile(rb'"last":.*"ts":(\d+)')


def measure_slow_reader(seconds: float) -> list[Row]:
    """Measure the age of prices for a slow reader.

    The reader subscribes to all symbols and reads 20 KB/s, but the market sends 900 KB/s.
    """
    port = find_free_port()
    options = ["--journal", "memory", "--rate", "30", "--port", str(port)]
    command = [sys.executable, "-m", "tickwire", "serve", *options]
    with (
        tempfile.TemporaryDirectory(prefix="tickwire-bench-") as name,
        run_program(command, port, Path(name), {}, reports_ready=True),
    ):
        ages_s = list(_quote_ages(port, seconds + _WARM_UP_S))
    return [
        {
            "name": "tickwire",
            "age_p50_s": round(statistics.median(ages_s), 3),
            "age_p90_s": round(statistics.quantiles(ages_s, n=10)[8], 3),
            "kb_per_s": _BYTES_PER_S / 1000,
            "quotes": len(ages_s),
        }
    ]


def _quote_ages(port: int, seconds: float) -> Iterator[float]:
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
        connection.connect(("127.0.0.1", port))
        connection.sendall(b"GET /v1/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
        start, received_bytes, incomplete_line = time.monotonic(), 0, b""
        while (elapsed_s := time.monotonic() - start) < seconds:
            time.sleep(max(0.0, received_bytes / _BYTES_PER_S - elapsed_s))
            part = connection.recv(1_000)
            received_bytes += len(part)
            *lines, incomplete_line = (incomplete_line + part).split(b"\n")
            now = time.time()
            if elapsed_s > _WARM_UP_S:
                yield from (now - int(match[1]) / 1e6 for line in lines if (match := _QUOTE_TIME_PATTERN.search(line)))
