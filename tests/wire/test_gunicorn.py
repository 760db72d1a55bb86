"""Workers of gunicorn: streams without ASGI, a drain at a stop, and a clear error for another application."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from tickwire.testing.ports import find_free_port
from tickwire.testing.wire import open_stream

pytest.importorskip("gunicorn", reason="this test needs gunicorn: pip install 'tickwire[gunicorn]'")
APPLICATION = "tickwire:create_app(feed='http', journal='memory')"


@contextlib.asynccontextmanager
async def run_gunicorn(folder: Path, application: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str, Path]]:
    """Run gunicorn with one worker. Yield the process, its URL and its log."""
    port, log = find_free_port(), folder / "gunicorn.log"
    options = ("-k", "tickwire.gunicorn.Worker", "-b", f"127.0.0.1:{port}", "--log-file", str(log))
    command = (sys.executable, "-m", "gunicorn", *options, application)
    process = await asyncio.create_subprocess_exec(*command, cwd=folder, stderr=asyncio.subprocess.DEVNULL)
    try:
        yield process, f"http://127.0.0.1:{port}", log
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_stream_of_a_worker_is_drained_at_a_stop(tmp_path: Path) -> None:
    async with run_gunicorn(tmp_path, APPLICATION) as (process, url, log), httpx2.AsyncClient() as client:
        while True:
            assert process.returncode is None, log.read_text()
            with contextlib.suppress(httpx2.TransportError):
                if (await client.get(f"{url}/healthz")).is_success:
                    break
            await asyncio.sleep(0.05)
        async with open_stream(url, {"delivery": "all"}) as stream:
            assert (await stream.next_event()).name == "welcome"
            await client.post(f"{url}/v1/quotes", json={"symbol": "A", "last": 1.5})
            (event,) = await stream.next_events(1)
            assert event.data["last"] == 1.5
            # A sender of the direct path registers the socket. Behind ASGI, the server writes through the transports.
            assert 'tickwire_sender{sender="transport"} 1' not in (await client.get(f"{url}/metrics")).text
            process.terminate()
            (bye,) = await stream.next_events(1, name="bye")
            assert bye.data["reason"] == "drain"
        assert await process.wait() == 0


async def test_worker_refuses_another_application(tmp_path: Path) -> None:
    (tmp_path / "other.py").write_text("async def app(scope, receive, send): ...\n")
    async with run_gunicorn(tmp_path, "other:app") as (process, _, log):
        assert await process.wait() == 4
        assert "runs only Tickwire" in log.read_text()
