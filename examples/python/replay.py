"""Replay a recording as fast as possible, and print a candle of each minute: python replay.py

The program starts its own server, which ends with the program.
"""

import contextlib
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import tickwire

RECORDING = """time,symbol,price,size
2026-01-05T14:30:00Z,ACME,12.50,100
2026-01-05T14:30:40Z,ACME,12.70,200
2026-01-05T14:31:10Z,ACME,12.60,100
2026-01-05T14:32:20Z,ACME,12.90,300
"""


@contextlib.contextmanager
def replaying(recording: str) -> Iterator[str]:
    """Run a server that replays a recording. Yield its URL."""
    with socket.create_server(("127.0.0.1", 0)) as free, tempfile.TemporaryDirectory() as folder:
        port = free.getsockname()[1]
        free.close()
        file = Path(folder, "ticks.csv")
        file.write_text(recording)
        options = ["--feed", f"replay:{file}", "--speed", "0", "--journal", "memory", "--port", str(port)]
        command = [sys.executable, "-m", "tickwire", "serve", *options]
        with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE) as server:
            # The server prints its address when it is ready.
            assert server.stdout is not None and server.stdout.readline()
            try:
                yield f"http://127.0.0.1:{port}"
            finally:
                server.terminate()


with replaying(RECORDING) as url, tickwire.Client(url) as client:
    # `since` starts the stream with the first tick of the recording.
    with client.quotes("ACME", delivery="all", since="earliest") as quotes:
        for _ in range(RECORDING.count("ACME")):
            print(f"tick {quotes.next_item().last}")
    for candle in client.history("ACME", "1m"):
        print(f"candle {candle.open} {candle.high} {candle.low} {candle.close} {candle.volume:g}")
