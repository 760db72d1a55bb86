"""Serve readers with two worker processes that share one journal: python cluster.py

The program starts its own server, publishes a price, and receives it through both workers.
"""

import asyncio
import socket
import subprocess
import sys
import tempfile

import tickwire

READERS = 8


async def main(url: str) -> None:
    async with tickwire.AsyncClient(url) as client:
        # Each connection reaches one of the two workers.
        streams = [client.quotes("ACME") for _ in range(READERS)]
        await asyncio.gather(*(stream.next_event() for stream in streams))
        await client.publish({"symbol": "ACME", "last": 12.5})
        quotes = await asyncio.gather(*(anext(stream) for stream in streams))
    print(f"{len(quotes)} readers received {', '.join({str(quote.last) for quote in quotes})}")


with socket.create_server(("127.0.0.1", 0)) as free:
    port = free.getsockname()[1]
with tempfile.TemporaryDirectory() as folder:
    options = ["--feed", "http", "--workers", "2", "--port", str(port), "--data", folder]
    command = [sys.executable, "-m", "tickwire", "serve", *options]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE) as server:
        # The server prints its address when it is ready.
        assert server.stdout is not None and server.stdout.readline()
        try:
            asyncio.run(main(f"http://127.0.0.1:{port}"))
        finally:
            server.terminate()
