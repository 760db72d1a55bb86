"""A process of the cluster does not reply to requests of other processes.

Only the first request waits for the silent process. The answers to all requests count this process as missing.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal

import httpx2

from tickwire.journal.nats.address import parse_nats_address
from tickwire.journal.nats.connection import NatsConnection
from tickwire.testing.server import ServerProcess, run_server
from tickwire.testing.waiting import wait_until
from tickwire.testing.wire import open_stream

UNANSWERED_HEADER = "tickwire-unanswered"
REPLY_TIMEOUT_S = 1.5


async def measure_seconds(awaitable):
    started_at = asyncio.get_running_loop().time()
    answer = await awaitable
    return answer, asyncio.get_running_loop().time() - started_at


async def test_requests_wait_once_for_a_stopped_process(nats, name, tmp_path):
    """The answers do not contain the readers of the stopped process, and count the process as missing.

    Only the first request waits for the process.
    """
    url = f"{nats.url}/{name}"
    options = ("--journal", url, "--role", "edge", "--feed", "http")
    async with (
        run_server(journal=url, role="edge") as one,
        ServerProcess(*options, cwd=tmp_path) as two,
        open_stream(two.url, {"client_id": "far"}) as far,
        open_stream(one.url, {"client_id": "near"}) as near,
        httpx2.AsyncClient(base_url=one.url) as client,
    ):
        await far.next_event(), await near.next_event()
        await wait_until(lambda: one.runtime.cluster.peers.count == 2)
        answer = await client.get("/v1/clients")
        assert ([each["id"] for each in answer.json()], UNANSWERED_HEADER in answer.headers) == (["far", "near"], False)
        os.kill(two.pid, signal.SIGSTOP)
        try:
            answer, waited = await measure_seconds(client.get("/v1/clients"))
            assert ([each["id"] for each in answer.json()], answer.headers[UNANSWERED_HEADER]) == (["near"], "1")
            assert waited >= REPLY_TIMEOUT_S
            for method, path, body in (
                ("GET", "/v1/clients", None),
                ("GET", "/v1/clients/near", None),
                ("PATCH", "/v1/clients/near", {"add": ["B"], "remove": ["*"]}),
                ("POST", "/v1/messages", {"target": "near", "event": "note", "data": 1}),
                ("GET", "/v1/clients/far", None),
                ("DELETE", "/v1/clients/far", None),
            ):
                answer, waited = await measure_seconds(client.request(method, path, json=body))
                assert answer.headers.get(UNANSWERED_HEADER) == "1", path
                assert waited < REPLY_TIMEOUT_S, path
            assert (answer.status_code, answer.json()["hint"]) == (
                404,
                "1 of the servers did not answer, and the reader may be connected to one of them",
            )
        finally:
            os.kill(two.pid, signal.SIGCONT)
        while UNANSWERED_HEADER in (answer := await client.get("/v1/clients")).headers:
            await asyncio.sleep(0.01)
        assert [each["id"] for each in answer.json()] == ["far", "near"]


async def test_stopped_server_is_not_missing_if_it_announced_its_end(nats, name):
    url = f"{nats.url}/{name}"
    async with run_server(journal=url, role="edge") as one, httpx2.AsyncClient(base_url=one.url) as client:
        async with contextlib.AsyncExitStack() as cleanup:
            await cleanup.enter_async_context(run_server(journal=url, role="edge"))
            await wait_until(lambda: one.runtime.cluster.peers.count == 2)
        answer, waited = await measure_seconds(client.get("/v1/clients"))
        assert UNANSWERED_HEADER not in answer.headers
        assert waited < REPLY_TIMEOUT_S


async def test_lost_connection_closes_without_error(own_nats, name):
    """Pending messages to a dead server are dropped."""
    connection = await NatsConnection.open(parse_nats_address(own_nats.url, name))
    own_nats.kill()
    await wait_until(lambda: not connection.is_connected)
    await connection.publish(f"{name}.p.x", b"x")
    await connection.close()


async def test_server_without_nats_counts_others_as_missing(own_nats, name):
    """The server returns its own readers at once."""
    url = f"{own_nats.url}/{name}"
    async with (
        run_server(journal=url, role="edge") as one,
        run_server(journal=url, role="edge") as two,
        httpx2.AsyncClient(base_url=one.url) as client,
    ):
        await wait_until(lambda: one.runtime.cluster.peers.count == 2 == two.runtime.cluster.peers.count)
        own_nats.kill()
        await wait_until(lambda: one.runtime.journal.unavailable_reason() is not None)
        assert (await client.get("/v1/clients")).headers[UNANSWERED_HEADER] == "1"
        own_nats.start()
