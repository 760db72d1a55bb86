"""Check the image: `python deploy/image/check.py [--image IMAGE] ENGINE run OPTIONS...`.

The container must run as an ordinary user with a read-only root file system, stop while it still starts, and drain 500
streams when it stops. The script needs only Python, and exits with 0 if all checks succeed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.client
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Sequence

_NAME = "tickwire-check"
_READERS = 500
_TIMEOUT_S = 60
_REQUEST = b"GET /v1/stream?symbols=AAPL HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
_FACTS = "import os; print(os.getuid(), os.access('/', os.W_OK), os.access('/opt/tickwire', os.W_OK))"


def main() -> int:
    """Run the checks."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--image", default="localhost/tickwire", help="the image  [default: %(default)s]")
    parser.add_argument("run", nargs=argparse.REMAINDER, help="the command that runs a container, without the image")
    arguments = parser.parse_args()
    asyncio.run(_check(arguments.run, arguments.image))
    return 0


async def _check(run: Sequence[str], image: str) -> None:
    facts = await _output(*run, "--entrypoint", "python", image, "-c", _FACTS)
    assert facts.split() == ["10001", "False", "False"], f"the user and what it may write: {facts}"
    print("runs as user 10001, who can write neither / nor /opt/tickwire")
    refused = await _start(*run, image)
    assert await refused.wait() == 2, "without --auth, the server must refuse to listen on all addresses"
    print("refuses to start without --auth, and without --insecure")
    await _stop_during_start(run, image)
    async with _running(run, image) as (process, port):
        await _drain(process, port)


async def _stop_during_start(run: Sequence[str], image: str) -> None:
    """Send SIGTERM while the server starts. The first process of a container ignores signals without a handler."""
    engine = run[: run.index("run")]
    environment = ("TICKWIRE_INSECURE=1", f"TICKWIRE_PORT={_free_port()}")
    process = await _start(*run, "--name", _NAME, *(f"--env={each}" for each in environment), image)
    started = time.monotonic()
    while process.returncode is None:
        await _output(*engine, "kill", "--signal", "TERM", _NAME)
        assert time.monotonic() < started + _TIMEOUT_S, "a stop during the start has no effect"
    print(f"stops during the start with exit code {process.returncode}")
    # 143 is 128 plus the number of SIGTERM. 137 would be 128 plus the number of SIGKILL.
    assert process.returncode in (0, 143)


@contextlib.asynccontextmanager
async def _running(run: Sequence[str], image: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    """Run a container, wait until the server is ready, and run the health check of the image."""
    port, engine = _free_port(), run[: run.index("run")]
    # Log only warnings, because the level info logs a line for each stream.
    environment = ("TICKWIRE_INSECURE=1", "TICKWIRE_LOG_LEVEL=warning", f"TICKWIRE_PORT={port}")
    process = await _start(*run, "--name", _NAME, *(f"--env={each}" for each in environment), image)
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            while not await asyncio.to_thread(_is_ready, port):
                assert process.returncode is None, "the container has ended"
                await asyncio.sleep(0.05)
        check = await _start(*engine, "exec", _NAME, "python", "/opt/tickwire/health.py")
        assert await check.wait() == 0, "the health check of the image fails"
        yield process, port
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


async def _drain(process: asyncio.subprocess.Process, port: int) -> None:
    """Open streams, stop the container, and check that each stream ends with a bye event."""
    readers = [await asyncio.open_connection("127.0.0.1", port) for _ in range(_READERS)]
    for reader, writer in readers:
        writer.write(_REQUEST)
        await reader.readuntil(b"event: welcome")
    rests = [asyncio.create_task(_read_to_end(reader)) for reader, _ in readers]
    process.send_signal(signal.SIGTERM)
    started = time.monotonic()
    async with asyncio.timeout(_TIMEOUT_S):
        code = await process.wait()
        ends = await asyncio.gather(*rests)
    took = time.monotonic() - started
    farewells = sum(b"event: bye" in end for end in ends)
    print(f"SIGTERM under {_READERS} streams: {farewells} received bye, exit code {code} after {took:.1f} s")
    assert (farewells, code) == (_READERS, 0)


async def _read_to_end(reader: asyncio.StreamReader) -> bytes:
    """Return the last bytes of a stream."""
    end = b""
    while data := await reader.read(65536):
        end = (end + data)[-1000:]
    return end


def _is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except OSError:
        return False
    finally:
        connection.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _start(*command: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL)


async def _output(*command: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    output, _ = await process.communicate()
    return output.decode()


if __name__ == "__main__":
    sys.exit(main())
