"""Conformance of QUERY /v1/stream (RFC 10008): the parameters of the stream are in the body."""

from __future__ import annotations

import asyncio
import json

import pytest

from tickwire.testing.wire import open_stream

# The tests of a module share one server.
pytestmark = pytest.mark.asyncio(loop_scope="module")

JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize("filler", [0, 20_000, 200_000])
async def test_a_long_list_opens_a_stream(wire, filler: int) -> None:
    """The body may be longer than any URL. The parameters for the start of the stream stay in the URL."""
    names = [wire.prefixed(f"S{number}") for number in range(600)]
    await wire.publish(S1=5, S599=6)
    body = json.dumps({"symbols": names, "fields": ["last"]}) + " " * filler
    params = {"client_id": wire.prefixed("q"), "snapshot": "true"}
    async with open_stream(wire.url, params, method="QUERY", headers=JSON, body=body.encode()) as stream:
        welcome = await wire.read_welcome(stream)
        assert welcome["client_id"] == params["client_id"]
        assert len(welcome["subscription"]["symbols"]) == 600
        assert sorted(await wire.next_prices(stream, 2)) == [("S1", 5.0), ("S599", 6.0)]
        receipt = await wire.publish(S2=7)
        assert await wire.next_prices(stream, 1) == [("S2", 7.0)]
    resume = {**JSON, "Last-Event-ID": receipt["first_id"]}
    async with open_stream(wire.url, params, method="QUERY", headers=resume, body=body.encode()) as stream:
        assert (await wire.read_welcome(stream))["resume"]["complete"]


async def test_the_body_may_arrive_in_parts(wire) -> None:
    """The body has a Content-Length, or arrives in chunks."""
    host, port = wire.url.partition("//")[2].split(":")
    body = json.dumps({"symbols": [wire.prefixed("A")]}).encode()
    parts = {
        f"Content-Length: {len(body)}": [body[:5], body[5:]],
        "Transfer-Encoding: chunked": [
            b"5\r\n" + body[:5] + b"\r\n",
            b"%x\r\n%b\r\n0\r\n\r\n" % (len(body[5:]), body[5:]),
        ],
    }
    for framing, pieces in parts.items():
        reader, writer = await asyncio.open_connection(host, int(port))
        head = (
            f"QUERY /v1/stream HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\n{framing}\r\n\r\n"
        )
        for piece in (head.encode(), *pieces):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        assert b" 200 " in await reader.readline()
        assert b"event: welcome" in await reader.readuntil(b"event: welcome")
        writer.close()


@pytest.mark.parametrize(
    ("params", "headers", "body", "status", "field"),
    [
        ({}, JSON, "", 400, None),
        ({}, JSON, "[]", 400, None),
        ({}, JSON, '{"symbol":"A"}', 400, "symbol"),
        ({}, JSON, '{"client_id":"a"}', 400, "client_id"),
        ({"symbols": "A"}, JSON, '{"symbols":"B"}', 400, "symbols"),
        ({"subscription": "x"}, JSON, '{"symbols":"B"}', 404, "subscription"),
        ({}, {}, "{}", 415, None),
        ({}, {"Content-Type": "text/plain"}, "{}", 415, None),
        ({}, JSON, " " * 300_000, 413, None),
    ],
)
async def test_an_invalid_request_is_rejected(wire, params, headers, body: str, status: int, field: str | None) -> None:
    async with open_stream(wire.url, params, method="QUERY", headers=headers, body=body.encode()) as stream:
        assert stream.status == status
        assert (await stream.read_json()).get("field") == field
        if status == 415:
            assert stream.headers["accept-query"] == "application/json"


async def test_options_lists_the_method(wire) -> None:
    answer = await wire.client.options("/v1/stream")
    assert answer.headers["allow"] == "GET, HEAD, QUERY, OPTIONS"
    assert answer.headers["accept-query"] == "application/json"
