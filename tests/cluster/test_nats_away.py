"""NATS is unreachable when the servers start: they wait, report the reason, and end at once when they are stopped."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

import httpx2
import pytest

from tickwire.testing.nats_server import NatsServer
from tickwire.testing.ports import find_free_port
from tickwire.testing.server import ServerProcess
from tickwire.testing.waiting import wait_until


async def start_without_nats(folder, port, spec, *options):
    log = (folder / "server.log").open("ab")
    command = ("-m", "tickwire", "serve", "--port", str(port), "--feed", "http", "--journal", spec, *options)
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, cwd=folder, stdout=asyncio.subprocess.DEVNULL, stderr=log, env=os.environ
    )
    log.close()
    return process


async def get(url):
    async with httpx2.AsyncClient() as client:
        try:
            return await client.get(url)
        except httpx2.TransportError:
            return None


async def test_a_server_waits_for_nats_and_then_starts(tmp_path, name):
    nats = NatsServer(tmp_path / "nats")
    port = find_free_port()
    url = f"http://127.0.0.1:{port}"
    process = await start_without_nats(tmp_path, port, f"{nats.url}/{name}")
    try:

        async def status_has_reason():
            answer = await get(f"{url}/readyz")
            return answer is not None and answer.status_code == 503 and "cannot reach NATS" in answer.json()["detail"]

        await wait_until(status_has_reason, poll_interval_s=0.1)
        assert (await get(f"{url}/healthz")).status_code == 200
        answer = await get(f"{url}/v1/quotes")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        with nats:

            async def is_ready():
                answer = await get(f"{url}/readyz")
                return answer is not None and answer.status_code == 200

            await wait_until(is_ready, poll_interval_s=0.1)
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_server_that_waits_for_nats_stops_at_once(workers, tmp_path, name):
    port = find_free_port()
    process = await start_without_nats(
        tmp_path, port, f"nats://127.0.0.1:{find_free_port()}/{name}", "--workers", workers
    )
    try:

        async def is_waiting():
            return (await get(f"http://127.0.0.1:{port}/healthz")) is not None

        await wait_until(is_waiting, poll_interval_s=0.1)
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()


async def test_a_wrong_password_is_named(tmp_path, name):
    """The server ends, because a retry with the same password would fail too."""
    with NatsServer(tmp_path / "nats", "--user", "a", "--pass", "right") as nats:
        spec = nats.url.replace("nats://", "nats://a:wrong@")
        with pytest.raises(RuntimeError, match="rejects the credentials: check the user and password"):
            await ServerProcess("--feed", "http", "--journal", f"{spec}/{name}", cwd=tmp_path).start()


async def test_a_message_that_no_limit_allows_is_413_and_the_server_stays_ready(tmp_path, name):
    """The server answers 413, because it cannot split a message.

    It splits a large batch of ticks into several entries.
    """
    folder = tmp_path / "nats"
    folder.mkdir()
    (folder / "limit.conf").write_text("max_payload: 20000")
    with NatsServer(folder, "-c", str(folder / "limit.conf")) as nats:
        spec = f"{nats.url}/{name}"
        async with ServerProcess("--feed", "http", "--journal", spec, cwd=tmp_path) as server:
            ticks = [{"symbol": "A", "last": price} for price in range(1_000)]
            async with httpx2.AsyncClient(base_url=server.url) as client:
                answer = await client.post("/v1/messages", json={"event": "note", "data": "x" * 30_000})
                assert answer.status_code == 413
                assert "(max_payload is 20000 bytes)" in answer.json()["detail"]
                answer = await client.post("/v1/quotes", json=ticks)
                assert (answer.status_code, answer.json()["accepted"]) == (201, 1_000)
                assert (await client.get("/readyz")).status_code == 200
