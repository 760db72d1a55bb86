"""A process that does not answer the others: it is waited for once, and whoever asked is told."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal

import httpx2

from tickwire.journal.nats.address import parse_address
from tickwire.journal.nats.attendance import GONE_SECONDS, MISSED_SECONDS, Attendance
from tickwire.journal.nats.link import Link
from tickwire.testing.server import ServerProcess, run_server
from tickwire.testing.wire import open_stream

UNANSWERED = "tickwire-unanswered"
WAIT = 1.5  # what a question waits at most


async def until(condition):
    while not condition():
        await asyncio.sleep(0.005)


async def timed(asking):
    begun = asyncio.get_running_loop().time()
    answer = await asking
    return answer, asyncio.get_running_loop().time() - begun


async def test_a_stopped_process_is_waited_for_once_and_named(nats, name, tmp_path):
    """Its readers are missing, and every answer says so; only the first waits, until it is heard from again."""
    url = f"{nats.url}/{name}"
    options = ("--journal", url, "--role", "edge", "--feed", "http")
    async with (
        run_server(journal=url, role="edge") as one,
        ServerProcess(*options, cwd=tmp_path) as two,
        open_stream(two.url, {"client_id": "far"}) as far,
        open_stream(one.url, {"client_id": "near"}) as near,
        httpx2.AsyncClient(base_url=one.url) as client,
    ):
        await far.event(), await near.event()
        await until(lambda: one.runtime.company.peers.count == 2)
        answer = await client.get("/v1/clients")
        assert ([each["id"] for each in answer.json()], UNANSWERED in answer.headers) == (["far", "near"], False)
        os.kill(two.pid, signal.SIGSTOP)
        try:
            answer, waited = await timed(client.get("/v1/clients"))
            assert ([each["id"] for each in answer.json()], answer.headers[UNANSWERED]) == (["near"], "1")
            assert waited >= WAIT
            for method, path, body in (
                ("GET", "/v1/clients", None),
                ("GET", "/v1/clients/near", None),
                ("PATCH", "/v1/clients/near", {"add": ["B"], "remove": ["*"]}),
                ("POST", "/v1/messages", {"target": "near", "event": "note", "data": 1}),
                ("GET", "/v1/clients/far", None),
                ("DELETE", "/v1/clients/far", None),
            ):
                answer, waited = await timed(client.request(method, path, json=body))
                assert answer.headers.get(UNANSWERED) == "1", path
                assert waited < WAIT, path
            assert (answer.status_code, answer.json()["hint"]) == (
                404,
                "1 of the servers did not answer: the reader may be there",
            )
        finally:
            os.kill(two.pid, signal.SIGCONT)
        while UNANSWERED in (answer := await client.get("/v1/clients")).headers:
            await asyncio.sleep(0.01)
        assert [each["id"] for each in answer.json()] == ["far", "near"]


async def test_who_says_goodbye_is_not_missed(nats, name):
    """A server that stops as it should is no longer asked, nor told to be missing."""
    url = f"{nats.url}/{name}"
    async with run_server(journal=url, role="edge") as one, httpx2.AsyncClient(base_url=one.url) as client:
        async with contextlib.AsyncExitStack() as leaving:
            await leaving.enter_async_context(run_server(journal=url, role="edge"))
            await until(lambda: one.runtime.company.peers.count == 2)
        answer, waited = await timed(client.get("/v1/clients"))
        assert UNANSWERED not in answer.headers
        assert waited < WAIT


async def test_a_link_that_is_lost_can_be_left(own_nats, name):
    """What is still to be sent to a server that is gone is no reason to end with an error."""
    link = await Link.open(parse_address(own_nats.url, name))
    own_nats.kill()
    await until(lambda: not link.up)
    await link.publish(f"{name}.p.x", b"x")
    await link.close()


async def test_a_server_that_has_lost_nats_knows_that_others_are_missing(own_nats, name):
    """Alone for now, it answers for itself at once, and says that there are others."""
    url = f"{own_nats.url}/{name}"
    async with (
        run_server(journal=url, role="edge") as one,
        run_server(journal=url, role="edge") as two,
        httpx2.AsyncClient(base_url=one.url) as client,
    ):
        await until(lambda: one.runtime.company.peers.count == 2 == two.runtime.company.peers.count)
        own_nats.kill()
        await until(lambda: one.runtime.journal.fault() is not None)
        assert (await client.get("/v1/clients")).headers[UNANSWERED] == "1"
        own_nats.start()


async def test_who_is_slow_is_not_taken_for_gone():
    """A process that gives signs while it does not answer is waited for; one without any is missed, then forgotten."""
    attendance = Attendance()
    assert attendance.see("slow", 0.0)
    assert attendance.see("mute", 0.0)
    assert not attendance.see("slow", 1.0)
    attendance.miss({"slow", "mute"}, 0.5)
    assert attendance.expected(2.0) == {"slow"}
    assert attendance.known(2.0) == {"slow", "mute"}
    assert not attendance.see("mute", 2.5)
    assert attendance.expected(2.5) == {"slow", "mute"}
    assert attendance.expected(2.5 + GONE_SECONDS) == {"mute"}
    assert attendance.known(2.0 + MISSED_SECONDS) == {"mute"}
    attendance.leave("mute")
    assert not attendance.known(2.5)
