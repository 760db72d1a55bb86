"""Publish requests that a client sends without waiting for the answers."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import Any

import pytest

from tickwire.core.codec import decode_json
from tickwire.hub.hub import FlushTimes, Hub
from tickwire.server.routes import publish
from tickwire.testing.server import run_server
from tickwire.testing.waiting import wait_until

VALID, INVALID, LATEST_PRICE = "valid", "invalid", "latest price"


def publish_request(body: bytes, headers: bytes = b"") -> bytes:
    return b"POST /v1/quotes HTTP/1.1\r\nHost: localhost\r\n%bContent-Length: %d\r\n\r\n%b" % (headers, len(body), body)


def quote_request(number: int) -> bytes:
    return publish_request(b'[{"symbol":"A","last":%d}]' % number)


async def connect(server) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = server.url.removeprefix("http://").partition(":")
    return await asyncio.open_connection(host, int(port))


async def read_response(reader: asyncio.StreamReader) -> tuple[int, Any]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return int(head.split(b" ")[1]), decode_json(await reader.readexactly(length), Any)


@pytest.fixture
async def server():
    async with run_server() as running:
        yield running


@pytest.fixture
def records_per_apply(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of journal records in each call of the hub."""
    counts: list[int] = []
    apply = Hub.apply

    def counted(self, records, now, started_at_ns=None) -> FlushTimes:
        counts.append(len(records))
        return apply(self, records, now, started_at_ns)

    monkeypatch.setattr(Hub, "apply", counted)
    return counts


async def test_waiting_batches_become_events_in_one_flush(server, records_per_apply: list[int]) -> None:
    """The answers and the ticks are in the order of the requests."""
    reader, writer = await connect(server)
    writer.write(b"".join(map(quote_request, range(1, 101))))
    responses = [await read_response(reader) for _ in range(100)]
    assert {status for status, _ in responses} == {201}
    numbers = [int(receipt["first_id"].partition("-")[2]) for _, receipt in responses]
    assert numbers == sorted(numbers)
    assert server.runtime.hub.board.last_prices() == {"A": 100.0}
    assert max(records_per_apply) > 1
    writer.close()


async def test_a_large_batch_does_not_overlap(
    server, records_per_apply: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shared journal may divide its entry, and ticks of the next request must not come between the parts."""
    monkeypatch.setattr(publish, "_MAX_OVERLAPPING_TICKS", 0)
    reader, writer = await connect(server)
    writer.write(b"".join(map(quote_request, range(1, 11))))
    assert [(await read_response(reader))[0] for _ in range(10)] == 10 * [201]
    assert max(records_per_apply) == 1
    writer.close()


async def test_each_request_receives_its_own_answer(server) -> None:
    """Failing requests, and requests to other targets, see the effects of all earlier requests and no later ones."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    kinds = [VALID, *rng.choices([VALID, INVALID, LATEST_PRICE], [4, 1, 1], k=80)]
    requests, price = list[tuple[bytes, int]](), 0
    for kind in kinds:
        if kind == VALID:
            price += 1
            requests.append((quote_request(price), price))
        else:
            get = b"GET /v1/quotes?symbols=A HTTP/1.1\r\nHost: localhost\r\n\r\n"
            requests.append((publish_request(b"[{}]") if kind == INVALID else get, price))
    reader, writer = await connect(server)
    text = b"".join(request for request, _ in requests)
    for begin in range(0, len(text), size := rng.choice([100, 1_000, len(text)])):
        writer.write(text[begin : begin + size])
        await asyncio.sleep(0)
    for kind, (_, newest) in zip(kinds, requests, strict=True):
        status, body = await read_response(reader)
        assert status == {VALID: 201, INVALID: 400, LATEST_PRICE: 200}[kind]
        if kind == LATEST_PRICE:
            assert [quote["last"] for quote in body] == [newest]
    writer.close()


async def test_no_interim_answer_precedes_the_answer_to_another_request(server) -> None:
    """A request that overlaps with another request has arrived completely, so it needs no `100 Continue`."""
    reader, writer = await connect(server)
    body = b'[{"symbol":"A","last":1}]'
    writer.write(publish_request(body) + 5 * publish_request(body, b"Expect: 100-continue\r\n"))
    for _ in range(6):
        assert (await read_response(reader))[0] == 201
    writer.close()


async def test_a_client_that_disconnects_publishes_the_batches_that_it_has_sent_in_order(server) -> None:
    for _ in range(10):
        _, writer = await connect(server)
        writer.write(b"".join(map(quote_request, range(1, 51))))
        await writer.drain()
        await asyncio.sleep(0)
        writer.transport.abort()
    # No request is left behind.
    await wait_until(lambda: not any("run_asgi" in repr(task) for task in asyncio.all_tasks()))
    reader, writer = await connect(server)
    writer.write(quote_request(1_000))
    assert (await read_response(reader))[0] == 201
    assert server.runtime.hub.board.last_prices() == {"A": 1_000.0}
    writer.close()


@pytest.mark.parametrize("rest", [b"\0\0\r\n\r\n", 200 * quote_request(2)], ids=["garbage", "too many requests"])
async def test_no_error_overtakes_the_answers_to_earlier_requests(server, rest: bytes) -> None:
    """The client would take the 400 as the answer to the first request, which the server may carry out."""
    reader, writer = await connect(server)
    # The last request ends the connection if the kernel has divided the bytes, so that few requests waited at a time.
    writer.write(quote_request(1) + rest + publish_request(b"[]", b"Connection: close\r\n"))
    received = b""
    with contextlib.suppress(ConnectionError):
        received = await reader.read()
    assert not received.startswith(b"HTTP/1.1 400")
    writer.close()


@pytest.mark.parametrize("begin", [b"", b"POST /v1/quotes HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"])
async def test_a_malformed_request_is_answered_if_all_earlier_ones_are(server, begin: bytes) -> None:
    """The head of the request, or its body, is malformed."""
    reader, writer = await connect(server)
    writer.write(quote_request(1))
    assert (await read_response(reader))[0] == 201
    writer.write(begin + b"\0\0\r\n\r\n")
    assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 400")
    writer.close()
